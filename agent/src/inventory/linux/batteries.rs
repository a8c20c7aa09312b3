//! Batteries that keep the machine itself running: what they were made for and what they still hold. Charge, cycles and
//! state move by themselves and travel apart.

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::gaps::Gaps;
use super::super::{Collector, Notes, Observation, Source, Unreadable, first_of};
use super::firmware::Firmware;
use super::{hardware, placeholder};

const SUPPLIES: &str = "/sys/class/power_supply";
const MAX_BATTERIES: usize = 32;
/// Fewest and most milliwatt-hours that a machine's battery was made for. Outside of them the numbers are nonsense.
const DESIGN_MWH: std::ops::RangeInclusive<u64> = 500..=2_000_000;

/// Chassis types that are carried about.
const PORTABLE: &[&str] = &[
    "portable",
    "laptop",
    "notebook",
    "hand_held",
    "sub_notebook",
    "lunch_box",
    "tablet",
    "convertible",
    "detachable",
];

/// Makes the batteries section.
#[derive(Clone, Copy, Debug)]
pub struct Batteries;

impl Collector for Batteries {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Batteries
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let mut facts = v1::BatteriesFacts::default();
        let mut volatile = v1::VolatileFacts::default();
        match source.list(SUPPLIES) {
            Ok(names) => {
                notes.from("batteries", SUPPLIES);
                let complete = read(source, names, &mut facts, &mut volatile, &mut notes);
                facts.none_expected = none_expected(source, &facts, complete, &mut notes);
            }
            Err(why) => {
                notes.unread("batteries", why.clone());
                notes.unread("none_expected", why);
            }
        }
        Observation {
            volatile,
            ..Observation::new(Facts::Batteries(facts), notes)
        }
    }
}

/// False when a supply did not tell what it is.
fn read(
    source: &Source,
    names: Vec<String>,
    facts: &mut v1::BatteriesFacts,
    volatile: &mut v1::VolatileFacts,
    notes: &mut Notes,
) -> bool {
    let mut gaps = Gaps::default();
    let mut complete = true;
    for name in names {
        if facts.batteries.len() >= MAX_BATTERIES {
            let why = Unreadable::too_large(format!("{SUPPLIES}: over {MAX_BATTERIES} batteries"));
            notes.unread("batteries", why);
            complete = false;
            break;
        }
        let supply = Supply {
            source,
            folder: format!("{SUPPLIES}/{name}"),
        };
        match supply.is_the_machines() {
            Ok(true) => {
                volatile.batteries.push(supply.counters(&name));
                facts.batteries.push(supply.battery(name, &mut gaps));
            }
            Ok(false) => {}
            Err(why) => {
                notes.unread("batteries", why);
                complete = false;
            }
        }
    }
    gaps.tell("batteries", notes);
    complete
}

fn none_expected(
    source: &Source,
    facts: &v1::BatteriesFacts,
    complete: bool,
    notes: &mut Notes,
) -> Option<bool> {
    if !facts.batteries.is_empty() {
        return Some(false);
    }
    if !complete {
        let why = Unreadable::malformed(format!("{SUPPLIES}: a supply does not tell what it is"));
        notes.unread("none_expected", why);
        return None;
    }
    let firmware = Firmware::read(source);
    let chassis = first_of(hardware::chassis_type(&firmware));
    let (origin, chassis) = notes.part("none_expected", chassis)?;
    notes.from("none_expected", origin);
    Some(!PORTABLE.contains(&chassis.as_str()))
}

/// A folder of the kernel's power supplies.
struct Supply<'a> {
    source: &'a Source,
    folder: String,
}

impl Supply<'_> {
    fn line(&self, name: &str) -> Result<String, Unreadable> {
        self.source.line(&format!("{}/{name}", self.folder))
    }

    /// A number above zero: zero stands for "unknown".
    fn number(&self, name: &str) -> Result<u64, Unreadable> {
        let path = format!("{}/{name}", self.folder);
        let number: i64 = self.source.number(&path)?;
        match u64::try_from(number) {
            Ok(number @ 1..) => Ok(number),
            _ => Err(Unreadable::placeholder(format!("{path}: {number}"))),
        }
    }

    /// A battery in its bay that feeds the machine, not a mouse.
    fn is_the_machines(&self) -> Result<bool, Unreadable> {
        const TYPES: &[&str] = &["Mains", "UPS", "Wireless", "Unknown"];
        let kind = self.line("type")?;
        if kind != "Battery" {
            let known = TYPES.contains(&kind.as_str()) || kind.starts_with("USB");
            return if known || kind.starts_with("BrickID") {
                Ok(false)
            } else {
                let why = format!("{}/type: {kind:.40}", self.folder);
                Err(Unreadable::malformed(why))
            };
        }
        match self.line("scope") {
            Ok(scope) if scope == "Device" => return Ok(false),
            Err(why) if !why.is_no_source() => return Err(why),
            _ => {}
        }
        // An empty bay.
        Ok(!self.line("present").is_ok_and(|present| present == "0"))
    }

    fn battery(&self, name: String, gaps: &mut Gaps) -> v1::Battery {
        let text = |file: &str| placeholder::refuse(self.line(file));
        let volts = self.number("voltage_min_design");
        let design = self.energy_mwh("full_design", &volts).and_then(|mwh| {
            let nonsense = || Unreadable::malformed(format!("{}: {mwh} mWh", self.folder));
            DESIGN_MWH
                .contains(&mwh)
                .then_some(mwh)
                .ok_or_else(nonsense)
        });
        let full = self
            .energy_mwh("full", &volts)
            .and_then(|mwh| steady(mwh, design.as_ref().ok().copied()));
        let technology = text("technology").map(|text| text.to_lowercase());
        v1::Battery {
            manufacturer: gaps.part("manufacturer", &name, text("manufacturer")),
            model: gaps.part("model", &name, text("model_name")),
            serial: gaps.part("serial", &name, text("serial_number")),
            technology: gaps.part("technology", &name, technology),
            design_mwh: gaps.part("design_mwh", &name, design),
            full_mwh: gaps.part("full_mwh", &name, full),
            design_mv: gaps.part(
                "design_mv",
                &name,
                volts.map(|microvolts| microvolts / 1_000),
            ),
            name,
        }
    }

    /// `energy_*` in microwatt-hours, else `charge_*` in microampere-hours at the design voltage.
    fn energy_mwh(&self, what: &str, volts: &Result<u64, Unreadable>) -> Result<u64, Unreadable> {
        match self.number(&format!("energy_{what}")) {
            Err(why) if why.is_no_source() => {}
            read => return read.map(|microwatts| microwatts / 1_000),
        }
        let charge = u128::from(self.number(&format!("charge_{what}"))?);
        let microvolts = u128::from(volts.clone()?);
        u64::try_from(charge * microvolts / 1_000_000_000)
            .map_err(|_| Unreadable::malformed(format!("{}: charge_{what}", self.folder)))
    }

    fn counters(&self, name: &str) -> v1::BatteryCounters {
        let state = self.line("status").ok();
        let state = state.map(|text| text.to_lowercase().replace(' ', "_"));
        let charge = self.source.number(&format!("{}/capacity", self.folder));
        v1::BatteryCounters {
            name: name.to_owned(),
            charge_percent: charge.ok().filter(|percent| *percent <= 100),
            cycles: self
                .number("cycle_count")
                .ok()
                .and_then(|cycles| u32::try_from(cycles).ok()),
            state: state.filter(|state| state != "unknown"),
        }
    }
}

/// Full capacity in steps of a hundredth of the design, since its last digits move with every charge.
fn steady(full_mwh: u64, design_mwh: Option<u64>) -> Result<u64, Unreadable> {
    let Some(design) = design_mwh else {
        // Without the design there is nothing to judge it by, nor a step.
        return Err(Unreadable::no_source(
            "full capacity without a design capacity",
        ));
    };
    // New ones hold some more than they were made for.
    if full_mwh > design.saturating_mul(2) {
        return Err(Unreadable::malformed(format!(
            "full at {full_mwh} mWh of {design} mWh"
        )));
    }
    let percent = (full_mwh * 100 + design / 2) / design;
    Ok(percent * design / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_moves_no_digit_of_the_full_capacity() {
        assert_eq!(steady(41_230, Some(54_000)), Ok(41_040));
        assert_eq!(steady(41_290, Some(54_000)), Ok(41_040));
        assert_eq!(steady(54_900, Some(54_000)), Ok(55_080));
        assert!(steady(120_000, Some(54_000)).is_err());
        assert!(steady(50_000, None).is_err());
    }
}
