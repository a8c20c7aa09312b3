//! Age against a useful life of five years: the accounting practice for computers in Colombia (Decreto 3019 de 1989),
//! and the threshold public entities use to let a computer go.
//!
//! The day of purchase, typed by people, decides. Without it the firmware's build date gives an estimate, and it is
//! worth thinking through what it can tell. Firmware is built before it is installed. If it was never updated, the
//! machine was sold after that day, by the months it lay in stock: it is a little *younger* than the firmware. If it was
//! updated, the machine is *older*, by any number of years. So a recent date tells nothing, and never counts as good; an
//! old date tells of an old machine, less at most the time in stock, for which we allow two years. A hypervisor's
//! firmware tells of the hypervisor's makers, not of a machine: a virtual machine has no such age.

use jiff::civil::Date;
use jiff::{ToSpan, Unit};

use super::{Criterion, CriterionId, DeviceFacts, Fact, Rule, Verdict, day, no_today};
use crate::{Text, calendar};

const LIFE_YEARS: i32 = 5;
/// From a year before the end of its life a machine is watched, so that its replacement can enter the yearly plan.
const WATCH_YEARS: i32 = 4;
/// Between the firmware's build and the machine's sale, at most.
const STOCK_YEARS: i32 = 2;
/// Older dates are clocks and tables that were never set.
const OLDEST_YEAR: i16 = 1990;

pub(super) fn assess(facts: &DeviceFacts, today: Option<Date>) -> Criterion {
    let Some(today) = today else {
        return Rule::new(CriterionId::Age, "age.unknown", 1).unknown(&no_today());
    };
    if facts.virtual_machine.value() == Some(&true) {
        let mut rule = Rule::new(CriterionId::Age, "age.virtual", 1);
        rule.observed("machine.virtual", "true".into(), "", &facts.virtual_machine);
        return rule.unknown(&Text::new(
            "Es una máquina virtual: la antigüedad es la del servidor que la aloja, que no se ve desde dentro.",
            "It is a virtual machine: the age is that of its host, which cannot be seen from inside.",
        ));
    }
    match facts.purchase_date.value() {
        Some(text) => by_purchase(facts, text, today),
        None => by_firmware(facts, today),
    }
}

fn by_purchase(facts: &DeviceFacts, text: &str, today: Date) -> Criterion {
    let mut rule = Rule::new(CriterionId::Age, "age.purchase", 1);
    cite(
        &mut rule,
        "machine.purchase_date",
        text,
        calendar::parse_date(text),
        &facts.purchase_date,
    );
    let bought = match plausible(calendar::parse_date(text), today) {
        Ok(date) => date,
        Err(why) => {
            let why = Text::new(
                format!("La fecha de compra registrada {}: corríjala.", why.es),
                format!("The recorded day of purchase {}: correct it.", why.en),
            );
            return rule.unknown(&why);
        }
    };
    let (age, on) = (span(bought, today), day(bought));
    let verdict = if reached(bought, LIFE_YEARS, today) {
        Verdict::Fails
    } else if reached(bought, WATCH_YEARS, today) {
        Verdict::Watch
    } else {
        Verdict::Ok
    };
    let said = match verdict {
        Verdict::Fails => Text::new(
            format!("cumplió su vida útil de {LIFE_YEARS} años"),
            format!("past its useful life of {LIFE_YEARS} years"),
        ),
        Verdict::Watch => Text::new(
            format!("está en el último de los {LIFE_YEARS} años de su vida útil"),
            format!("in the last of the {LIFE_YEARS} years of its useful life"),
        ),
        _ => Text::new(
            format!("dentro de su vida útil de {LIFE_YEARS} años"),
            format!("within its useful life of {LIFE_YEARS} years"),
        ),
    };
    let mut text = Text::new(
        format!("Comprado el {}, hace {}: {}.", on.es, age.es, said.es),
        format!("Bought on {}, {} ago: {}.", on.en, age.en, said.en),
    );
    if let Some(built) = facts
        .firmware_date
        .value()
        .and_then(|text| parse_firmware(text))
        && built.year() >= OLDEST_YEAR
        && facts.virtual_machine.value() == Some(&false)
        && reached(built, STOCK_YEARS, bought)
    {
        rule.observed(
            "firmware.date",
            built.to_string(),
            "day",
            &facts.firmware_date,
        );
        let built = day(built);
        text.push(&Text::new(
            format!("Su firmware es del {}, mucho antes: se compró usado o la fecha de compra está errada.", built.es),
            format!("Its firmware is of {}, long before: it was bought used or the day of purchase is wrong.", built.en),
        ));
    }
    rule.verdict(verdict, text.es, text.en)
}

fn by_firmware(facts: &DeviceFacts, today: Date) -> Criterion {
    let mut rule = Rule::new(CriterionId::Age, "age.firmware", 1);
    let no_purchase = facts.purchase_date.why();
    let prefix = Text::new(
        format!("Sin fecha de compra: {}.", no_purchase.es),
        format!("No day of purchase: {}.", no_purchase.en),
    );
    let text = match &facts.firmware_date {
        Fact::Known { value, .. } => value,
        unknown @ Fact::Unknown { .. } => {
            let why = unknown.why();
            return rule.unknown(&prefix.and(&Text::new(
                format!("Sin fecha del firmware: {}.", why.es),
                format!("No firmware date: {}.", why.en),
            )));
        }
    };
    cite(
        &mut rule,
        "firmware.date",
        text,
        parse_firmware(text),
        &facts.firmware_date,
    );
    if facts.virtual_machine.value().is_none() {
        let why = facts.virtual_machine.why();
        return rule.unknown(&prefix.and(&Text::new(
            format!("La fecha del firmware no sirve sin saber si la máquina es virtual: {}.", why.es),
            format!("The firmware's date is of no use without knowing whether the machine is virtual: {}.", why.en),
        )));
    }
    let built = match plausible(parse_firmware(text), today) {
        Ok(date) => date,
        Err(why) => {
            return rule.unknown(&prefix.and(&Text::new(
                format!("La fecha del firmware {}.", why.es),
                format!("The firmware's date {}.", why.en),
            )));
        }
    };
    let (age, on) = (span(built, today), day(built));
    let verdict = if reached(built, LIFE_YEARS + STOCK_YEARS, today) {
        Verdict::Fails
    } else if reached(built, LIFE_YEARS, today) {
        Verdict::Watch
    } else {
        Verdict::Unknown
    };
    let said = match verdict {
        Verdict::Fails => Text::new(
            format!(
                "aun con {STOCK_YEARS} años en bodega, cumplió su vida útil de {LIFE_YEARS} años"
            ),
            format!(
                "even after {STOCK_YEARS} years in stock it is past its useful life of {LIFE_YEARS} years"
            ),
        ),
        Verdict::Watch => Text::new(
            format!("quizá cumplió su vida útil de {LIFE_YEARS} años"),
            format!("it may be past its useful life of {LIFE_YEARS} years"),
        ),
        _ => Text::new(
            "puede ser una actualización de un equipo más viejo, así que no prueba que sea reciente",
            "it may be an update of an older machine, so it does not prove a recent one",
        ),
    };
    let text = prefix.and(&Text::new(
        format!(
            "Estimación por el firmware, construido el {}, hace {}: {}.",
            on.es, age.es, said.es
        ),
        format!(
            "Estimate from the firmware, built on {}, {} ago: {}.",
            on.en, age.en, said.en
        ),
    ));
    rule.verdict(verdict, text.es, text.en)
}

/// Whether `years` have passed from `from` to `today`, the anniversary included.
fn reached(from: Date, years: i32, today: Date) -> bool {
    from.checked_add(years.years())
        .is_ok_and(|anniversary| anniversary <= today)
}

fn plausible(date: Option<Date>, today: Date) -> Result<Date, Text> {
    match date {
        None => Err(Text::new("no es una fecha", "is no date")),
        Some(date) if date > today => {
            let on = day(date);
            Err(Text::new(
                format!("está en el futuro ({})", on.es),
                format!("lies in the future ({})", on.en),
            ))
        }
        Some(date) if date.year() < OLDEST_YEAR => {
            let on = day(date);
            Err(Text::new(
                format!("es anterior a {OLDEST_YEAR} ({}), no es creíble", on.es),
                format!(
                    "lies before {OLDEST_YEAR} ({}), which is not credible",
                    on.en
                ),
            ))
        }
        Some(date) => Ok(date),
    }
}

/// `MM/DD/YYYY` (SMBIOS 2.3 and later) or `YYYY-MM-DD`. The older `MM/DD/YY` is of the years 19YY (SMBIOS, type 0).
fn parse_firmware(text: &str) -> Option<Date> {
    let text = text.trim();
    let Some((month, rest)) = text.split_once('/') else {
        return calendar::parse_date(text);
    };
    let (dom, year) = rest.split_once('/')?;
    let year = if year.len() == 2 {
        format!("19{year}")
    } else {
        year.to_owned()
    };
    calendar::parse_date(&format!("{year}-{month:0>2}-{dom:0>2}"))
}

/// Whole years and months.
fn span(from: Date, to: Date) -> Text {
    let (years, months) = match from.until((Unit::Year, to)) {
        Ok(span) => (span.get_years(), span.get_months()),
        Err(_) => (0, 0),
    };
    let es = match (years, months) {
        (0, 0) => "menos de un mes".to_owned(),
        (0, months) => months_es(months),
        (years, 0) => years_es(i32::from(years)),
        (years, months) => format!("{} y {}", years_es(i32::from(years)), months_es(months)),
    };
    let en = match (years, months) {
        (0, 0) => "less than a month".to_owned(),
        (0, months) => count_en(months, "month"),
        (years, 0) => count_en(i32::from(years), "year"),
        (years, months) => format!(
            "{} and {}",
            count_en(i32::from(years), "year"),
            count_en(months, "month")
        ),
    };
    Text::new(es, en)
}

fn years_es(years: i32) -> String {
    if years == 1 {
        "1 año".to_owned()
    } else {
        format!("{years} años")
    }
}

fn months_es(months: i32) -> String {
    if months == 1 {
        "1 mes".to_owned()
    } else {
        format!("{months} meses")
    }
}

fn count_en(count: i32, unit: &str) -> String {
    if count == 1 {
        format!("1 {unit}")
    } else {
        format!("{count} {unit}s")
    }
}

/// A date as evidence: as a day when it is one, else as it came, fit to be shown.
fn cite(rule: &mut Rule, name: &str, text: &str, date: Option<Date>, fact: &Fact<String>) {
    match date {
        Some(date) => rule.observed(name, date.to_string(), "day", fact),
        None => {
            let shown = text
                .chars()
                .filter(|ch| !ch.is_control())
                .take(40)
                .collect();
            rule.observed(name, shown, "", fact);
        }
    }
}
