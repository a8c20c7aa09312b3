//! When programs were installed, kept apart from the list of programs so that machines with the same programs share one list.
//! A day holds runs of positions in that list: a machine set up in one go needs a few numbers for thousands of programs.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::v1::section_facts::Facts;
use crate::v1::{InstalledOn, Section, SectionFacts, SectionKind, SoftwareDatesFacts};

/// Days and runs of the programs' dates, given in the order of the list as days since 1970-01-01; `None` where none is known.
pub fn encode(dates: impl Iterator<Item = Option<i32>>) -> Vec<InstalledOn> {
    // Of each day: the runs so far, and where the last of them ended.
    let mut days: BTreeMap<i32, (Vec<u32>, u32)> = BTreeMap::new();
    for (position, day) in (0_u32..).zip(dates) {
        let Some(day) = day else {
            continue;
        };
        let (runs, end) = days.entry(day).or_default();
        match runs.last_mut() {
            Some(length) if *end == position => *length += 1,
            _ => runs.extend([position - *end, 1]),
        }
        *end = position + 1;
    }
    days.into_iter()
        .map(|(day, (runs, _))| InstalledOn { day, runs })
        .collect()
}

/// The day of each of `count` programs. Whatever the runs claim, the work stays in proportion to their length and `count`:
/// positions outside the list, and more positions than it has, are left out; of two days for one program the first counts.
pub fn decode(facts: &SoftwareDatesFacts, count: usize) -> Vec<Option<i32>> {
    let mut dates = vec![None; count];
    let mut left = count;
    for InstalledOn { day, runs } in &facts.days {
        let mut at = 0_usize;
        for pair in runs.chunks_exact(2) {
            let [skip, length] = [0, 1].map(|part| {
                let number = pair.get(part).copied().unwrap_or_default();
                usize::try_from(number).unwrap_or(usize::MAX)
            });
            at = at.saturating_add(skip);
            let length = length.min(left);
            left -= length;
            let end = at.saturating_add(length).min(count);
            for date in dates.get_mut(at..end).into_iter().flatten() {
                date.get_or_insert(*day);
            }
            at = at.saturating_add(length);
        }
    }
    dates
}

/// The dates of the programs of one inventory, `None` for each where the dates are missing or count in another list.
pub fn of_sections<'a>(
    sections: impl IntoIterator<Item = (&'a Section, &'a SectionFacts)>,
) -> Vec<Option<i32>> {
    let (mut list, mut dates) = (None, None);
    for (section, facts) in sections {
        match &facts.facts {
            Some(Facts::Software(facts)) => list = Some((&section.digest, facts.items.len())),
            Some(Facts::SoftwareDates(facts)) => dates = Some(facts),
            _ => {}
        }
    }
    match (list, dates) {
        (Some((digest, count)), Some(dates)) if dates.software_digest == *digest => {
            decode(dates, count)
        }
        (Some((_, count)), _) => vec![None; count],
        (None, _) => Vec::new(),
    }
}

/// The JSON of sections in their order, as [`super::section_json`] gives each, with `installed_on` (`YYYY-MM-DD`) in each
/// program whose date is known.
pub fn sections_json(sections: &[(&Section, &SectionFacts)]) -> Vec<Value> {
    let dates = of_sections(sections.iter().copied());
    let shown = sections.iter().map(|(section, facts)| {
        let mut value = super::section_json(section, facts);
        if section.kind() == SectionKind::Software {
            let items = value.pointer_mut("/facts/items");
            let items = items.and_then(Value::as_array_mut).into_iter().flatten();
            for (item, day) in items.zip(&dates) {
                if let (Some(item), Some(text)) = (item.as_object_mut(), day.and_then(day_text)) {
                    item.insert("installed_on".to_owned(), text.into());
                }
            }
        }
        value
    });
    shown.collect()
}

/// `YYYY-MM-DD` of a day since 1970-01-01; `None` outside the years 1 to 9999.
pub fn day_text(day: i32) -> Option<String> {
    // Civil date from a day count, in eras of 400 years that begin on the first of March.
    let shifted = i64::from(day) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (1..=9_999)
        .contains(&year)
        .then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// The day of the first ten characters of `YYYY-MM-DD`; `None` when they are no day of the years 1970 to 9999.
pub fn day_of_text(text: &str) -> Option<i32> {
    let text = text.get(..10)?;
    let mut parts = text.split('-');
    let mut part = |length: usize| {
        let part = parts.next().filter(|part| part.len() == length)?;
        part.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(())?;
        part.parse::<i32>().ok()
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    if !(1_970..=9_999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    // The thirtieth of February is the first of March, which writes itself otherwise.
    (day_text(days).as_deref() == Some(text)).then_some(days)
}
