//! Reading the table. Every error names its line and what was expected there.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::{EditionGroup, Knowledge, KnowledgeError, LongerSupport, Release};
use crate::calendar;

const BYTES_MAX: usize = 1 << 20;
const ROWS_MAX: usize = 5_000;
const FIELD_MAX_CHARS: usize = 200;
const LIST_MAX: usize = 16;

const COLUMNS: [&str; 11] = [
    "system",
    "release",
    "also",
    "edition",
    "builds",
    "label",
    "released",
    "supported_until",
    "longer_until",
    "longer_kind",
    "source",
];

pub(super) fn parse(text: &str) -> Result<Knowledge, KnowledgeError> {
    if text.len() > BYTES_MAX {
        return Err(error(
            1,
            format!(
                "the file has {} bytes; at most {BYTES_MAX} are read",
                text.len()
            ),
        ));
    }
    let mut heads: BTreeMap<&str, &str> = BTreeMap::new();
    let mut rows: Vec<Release> = Vec::new();
    let mut seen: BTreeMap<(String, String, EditionGroup), usize> = BTreeMap::new();
    let mut columns_at = None;
    let mut last = 0;
    for (at, line) in text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim_end()))
    {
        last = at;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(head) = line.strip_prefix('@') {
            let (name, value) = head
                .split_once(' ')
                .ok_or_else(|| error(at, "expected `@name value`"))?;
            let value = field(at, name, value)?;
            if columns_at.is_some() || !["version", "checked_on", "source"].contains(&name) {
                return Err(error(
                    at,
                    "expected @version, @checked_on or @source, before the column names",
                ));
            }
            if heads.insert(name, value).is_some() {
                return Err(error(at, format!("@{name} is there twice")));
            }
            continue;
        }
        let fields: Vec<&str> = line.split(';').collect();
        if columns_at.is_none() {
            if fields != COLUMNS {
                return Err(error(
                    at,
                    format!("expected the column names `{}`", COLUMNS.join(";")),
                ));
            }
            columns_at = Some(at);
            continue;
        }
        let row = row(at, &fields)?;
        for spelling in std::iter::once(&row.release).chain(&row.also) {
            let key = (row.system.clone(), spelling.clone(), row.edition);
            if let Some(before) = seen.insert(key, at) {
                return Err(error(
                    at,
                    format!("{} {spelling} is in line {before} already", row.system),
                ));
            }
        }
        if rows.len() >= ROWS_MAX {
            return Err(error(at, format!("more than {ROWS_MAX} rows")));
        }
        rows.push(row);
    }
    let head = |name: &str| {
        heads
            .get(name)
            .copied()
            .filter(|value| !value.is_empty())
            .ok_or_else(|| error(last, format!("@{name} is missing")))
    };
    if rows.is_empty() {
        return Err(error(last, "the table has no rows"));
    }
    Ok(Knowledge {
        version: head("version")?.to_owned(),
        checked_on: date(last, "@checked_on", head("checked_on")?)?,
        source: head("source")?.to_owned(),
        rows,
    })
}

fn row(at: usize, fields: &[&str]) -> Result<Release, KnowledgeError> {
    let [
        system,
        release,
        also,
        edition,
        builds,
        label,
        released,
        until,
        longer_until,
        longer_kind,
        source,
    ] = fields
    else {
        return Err(error(
            at,
            format!("has {} fields; expected {}", fields.len(), COLUMNS.len()),
        ));
    };
    let system = required(at, "system", system)?.to_owned();
    let release = required(at, "release", release)?.to_owned();
    let also = list(at, "also", also)?
        .into_iter()
        .map(str::to_owned)
        .collect();
    let edition = EditionGroup::ALL
        .into_iter()
        .find(|group| group.as_str() == *edition)
        .ok_or_else(|| {
            let all = EditionGroup::ALL.map(EditionGroup::as_str).join(", ");
            error(at, format!("edition {edition:?}: expected one of {all}"))
        })?;
    let source = field(at, "source", source)?;
    let builds = list(at, "builds", builds)?
        .into_iter()
        .map(|build| {
            build
                .parse()
                .map_err(|_| error(at, format!("build {build:?}: expected a number")))
        })
        .collect::<Result<Vec<u32>, _>>()?;
    let label = required(at, "label", label)?.to_owned();
    let released = date(at, "released", released)?;
    let supported_until = match *until {
        "open" => None,
        day => Some(date(at, "supported_until", day)?),
    };
    if supported_until.is_some_and(|end| end < released) {
        return Err(error(at, "supported_until lies before released"));
    }
    let longer = match (*longer_until, *longer_kind) {
        ("", "") => None,
        (day, kind) => {
            let until = date(at, "longer_until", day)?;
            let (free, name) = match kind.split_once(' ') {
                Some(("free", name)) if !name.is_empty() => (true, name),
                Some(("paid", name)) if !name.is_empty() => (false, name),
                _ => {
                    return Err(error(
                        at,
                        "longer_kind: expected `free NAME` or `paid NAME`",
                    ));
                }
            };
            if supported_until.is_none_or(|end| until <= end) {
                return Err(error(at, "longer_until must lie after supported_until"));
            }
            Some(LongerSupport {
                until,
                name: field(at, "longer_kind", name)?.to_owned(),
                free,
            })
        }
    };
    Ok(Release {
        system,
        release,
        also,
        edition,
        builds,
        label,
        released,
        supported_until,
        longer,
        source: (!source.is_empty()).then(|| source.to_owned()),
    })
}

fn list<'a>(at: usize, name: &str, text: &'a str) -> Result<Vec<&'a str>, KnowledgeError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let items: Vec<&str> = text.split(',').collect();
    if items.len() > LIST_MAX {
        return Err(error(at, format!("{name} has more than {LIST_MAX} items")));
    }
    for item in &items {
        required(at, name, item)?;
    }
    Ok(items)
}

fn required<'a>(at: usize, name: &str, text: &'a str) -> Result<&'a str, KnowledgeError> {
    if text.is_empty() || text.trim() != text {
        return Err(error(
            at,
            format!("{name} is empty or has spaces around it"),
        ));
    }
    field(at, name, text)
}

fn field<'a>(at: usize, name: &str, text: &'a str) -> Result<&'a str, KnowledgeError> {
    if text.chars().count() > FIELD_MAX_CHARS || text.chars().any(char::is_control) {
        return Err(error(
            at,
            format!("{name} is over {FIELD_MAX_CHARS} characters or holds control characters"),
        ));
    }
    Ok(text)
}

fn date(at: usize, name: &str, text: &str) -> Result<Date, KnowledgeError> {
    calendar::parse_date(text)
        .ok_or_else(|| error(at, format!("{name} {text:?}: expected a day as YYYY-MM-DD")))
}

fn error(line: usize, what: impl Into<String>) -> KnowledgeError {
    KnowledgeError {
        line,
        what: what.into(),
    }
}
