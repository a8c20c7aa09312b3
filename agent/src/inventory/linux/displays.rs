//! Monitors at the graphics cards' connectors, by what each says of itself.

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::gaps::Gaps;
use super::super::{Collector, Notes, Observation, Source, Unreadable, bounds};
use super::edid::{self, Edid};
use super::{ids, placeholder};

const DRM: &str = "/sys/class/drm";
const MAX_EDID_BYTES: usize = 32 << 10;
const MAX_DISPLAYS: usize = 64;
/// Connectors inside the machine.
const BUILT_IN: &[&str] = &["eDP-", "LVDS-", "DSI-"];

/// Makers of most monitors and panels, by their letters.
const MAKERS: &[(&str, &str)] = &[
    ("AAC", "AcerView"),
    ("ACI", "ASUS"),
    ("ACR", "Acer"),
    ("AOC", "AOC"),
    ("APP", "Apple"),
    ("AUO", "AU Optronics"),
    ("AUS", "ASUS"),
    ("BNQ", "BenQ"),
    ("BOE", "BOE"),
    ("CMN", "Chimei Innolux"),
    ("CMO", "Chi Mei Optoelectronics"),
    ("CPQ", "Compaq"),
    ("CSO", "CSOT"),
    ("DEL", "Dell"),
    ("DON", "Denon"),
    ("ENC", "EIZO"),
    ("EPI", "Envision"),
    ("FUS", "Fujitsu"),
    ("GBT", "Gigabyte"),
    ("GSM", "LG"),
    ("GWY", "Gateway"),
    ("HEC", "Hisense"),
    ("HIT", "Hitachi"),
    ("HPN", "HP"),
    ("HSD", "HannStar"),
    ("HWP", "HP"),
    ("HWV", "Huawei"),
    ("IBM", "IBM"),
    ("INL", "InnoLux"),
    ("IVM", "iiyama"),
    ("IVO", "InfoVision"),
    ("LCD", "Toshiba Matsushita"),
    ("LEN", "Lenovo"),
    ("LGD", "LG Display"),
    ("LPL", "LG Philips"),
    ("MAX", "Belinea"),
    ("MEI", "Panasonic"),
    ("MEL", "Mitsubishi"),
    ("MSI", "MSI"),
    ("MST", "MStar"),
    ("NEC", "NEC"),
    ("PHL", "Philips"),
    ("QDS", "Quanta"),
    ("RHT", "Red Hat"),
    ("SAM", "Samsung"),
    ("SDC", "Samsung Display"),
    ("SEC", "Samsung Display"),
    ("SHP", "Sharp"),
    ("SNY", "Sony"),
    ("SPT", "Sceptre"),
    ("TCL", "TCL"),
    ("TOS", "Toshiba"),
    ("VIZ", "Vizio"),
    ("VSC", "ViewSonic"),
    ("XMI", "Xiaomi"),
];

/// Makes the displays section.
#[derive(Clone, Copy, Debug)]
pub struct Displays;

impl Collector for Displays {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Displays
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let mut gaps = Gaps::default();
        let mut displays = Vec::new();
        let names = source.list(DRM);
        for connector in notes.take("displays", DRM, names).unwrap_or_default() {
            // `card0-HDMI-A-1`; `card0` is the card, `renderD128` and `version` are others' business.
            if !connector.starts_with("card") || !connector.contains('-') {
                continue;
            }
            if displays.len() >= MAX_DISPLAYS {
                let why = Unreadable::too_large(format!("{DRM}: over {MAX_DISPLAYS} displays"));
                notes.unread("displays", why);
                break;
            }
            match connected(source, &connector) {
                Ok(true) => displays.push(display(source, connector, &mut gaps)),
                Ok(false) => {}
                Err(why) => notes.unread("displays", why),
            }
        }
        gaps.tell("displays", &mut notes);
        Observation::new(Facts::Displays(v1::DisplaysFacts { displays }), notes)
    }
}

fn connected(source: &Source, connector: &str) -> Result<bool, Unreadable> {
    let path = format!("{DRM}/{connector}/status");
    match source.line(&path)?.as_str() {
        "connected" => Ok(true),
        "disconnected" => Ok(false),
        // Analogue outputs of old cards cannot tell.
        "unknown" => Err(Unreadable::no_source(format!("{path}: unknown"))),
        other => Err(Unreadable::malformed(format!("{path}: {other:.40}"))),
    }
}

fn display(source: &Source, connector: String, gaps: &mut Gaps) -> v1::Display {
    let path = format!("{DRM}/{connector}/edid");
    let read = source.bytes(&path, MAX_EDID_BYTES).and_then(|bytes| {
        if bytes.is_empty() {
            return Err(Unreadable::no_source(format!("{path}: no EDID")));
        }
        let edid =
            edid::parse(&bytes).map_err(|why| Unreadable::malformed(format!("{path}: {why}")))?;
        Ok((edid, bytes))
    });
    let port = connector.split_once('-').map_or("", |(_, port)| port);
    let built_in = BUILT_IN.iter().any(|kind| port.starts_with(kind));
    let edid = read.as_ref().map(|(edid, _)| edid);
    for fault in edid.map(|edid| edid.faults.as_slice()).unwrap_or_default() {
        let why = Unreadable::malformed(format!("{path}: {fault}"));
        gaps.add("checksum", &connector, why);
    }
    let maker = take(gaps, &connector, "manufacturer_id", &edid, |e| {
        e.maker.clone()
    });
    let named = maker
        .as_deref()
        .ok_or_else(|| Unreadable::no_source(format!("{path}: no maker")))
        .and_then(|letters| maker_name(source, letters));
    let text = |text: Option<String>| text.filter(|text| !placeholder::is_filler(text));
    let pixels = |e: &Edid, pick: fn((u32, u32)) -> u32| e.mode.map(pick);
    v1::Display {
        manufacturer: gaps.part("manufacturer", &connector, named),
        model: take(gaps, &connector, "model", &edid, |e| text(model(e))),
        serial: serial(&edid, &path)
            .map_or_else(|why| gaps.part("serial", &connector, Err(why)), Some),
        serial_number: take(gaps, &connector, "serial_number", &edid, |e| {
            e.serial_number
        }),
        product_code: take(gaps, &connector, "product_code", &edid, |e| {
            Some(u32::from(e.product_code))
        }),
        year: take(gaps, &connector, "year", &edid, |e| e.year),
        week: take(gaps, &connector, "week", &edid, |e| e.week),
        width_mm: take(gaps, &connector, "width_mm", &edid, |e| {
            e.size_mm.map(|s| s.0)
        }),
        height_mm: take(gaps, &connector, "height_mm", &edid, |e| {
            e.size_mm.map(|s| s.1)
        }),
        diagonal_tenths_inch: take(gaps, &connector, "diagonal_tenths_inch", &edid, |e| {
            e.size_mm.map(diagonal_tenths_inch)
        }),
        width_px: take(gaps, &connector, "width_px", &edid, |e| pixels(e, |m| m.0)),
        height_px: take(gaps, &connector, "height_px", &edid, |e| pixels(e, |m| m.1)),
        built_in: Some(built_in),
        manufacturer_id: maker,
        edid: gaps.part("edid", &connector, read.map(|(_, bytes)| bytes.into())),
        connector,
    }
}

fn take<T>(
    gaps: &mut Gaps,
    connector: &str,
    field: &'static str,
    edid: &Result<&Edid, &Unreadable>,
    pick: impl FnOnce(&Edid) -> Option<T>,
) -> Option<T> {
    let read = match edid {
        Ok(edid) => {
            pick(edid).ok_or_else(|| Unreadable::no_source(format!("{connector}: EDID is silent")))
        }
        Err(why) => Err((*why).clone()),
    };
    gaps.part(field, connector, read)
}

/// The name, else the last free text, where built-in panels keep it.
fn model(edid: &Edid) -> Option<String> {
    let plain = |text: &&String| text.chars().count() > 4 && !text.contains('\u{fffd}');
    let from_text = || edid.texts.iter().rev().find(plain).cloned();
    edid.name.clone().or_else(from_text)
}

/// The text, else the number in decimal.
fn serial(edid: &Result<&Edid, &Unreadable>, path: &str) -> Result<String, Unreadable> {
    let edid = edid.map_err(Clone::clone)?;
    let text = edid
        .serial
        .clone()
        .map(|text| placeholder::refuse(Ok(text)));
    let number = edid.serial_number.map(|number| number.to_string());
    match (text, number) {
        (Some(Ok(text)), _) => Ok(text),
        (_, Some(number)) => Ok(number),
        (Some(Err(why)), None) => Err(why),
        (None, None) => Err(Unreadable::no_source(format!("{path}: no serial"))),
    }
}

fn maker_name(source: &Source, letters: &str) -> Result<String, Unreadable> {
    if let Some((_, name)) = MAKERS.iter().find(|(known, _)| *known == letters) {
        return Ok((*name).to_owned());
    }
    let (path, list) = ids::read(source, "pnp.ids")?;
    ids::look_up_monitor_maker(&list, letters)
        .map(|name| bounds::clean(&name))
        .ok_or_else(|| Unreadable::no_source(format!("{path}: no {letters}")))
}

fn diagonal_tenths_inch((width, height): (u32, u32)) -> u32 {
    let square = u64::from(width).pow(2) + u64::from(height).pow(2);
    // In hundredths of a millimetre, so that the division rounds well.
    let hundredths = (square * 10_000).isqrt();
    u32::try_from((hundredths + 127) / 254).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagonals_are_those_on_the_box() {
        assert_eq!(diagonal_tenths_inch((527, 296)), 238);
        assert_eq!(diagonal_tenths_inch((309, 174)), 140);
        assert_eq!(diagonal_tenths_inch((0, 0)), 0);
        assert_eq!(diagonal_tenths_inch((4_095, 4_095)), 2_280);
    }

    #[test]
    fn makers_are_in_order_and_once() {
        assert!(MAKERS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
