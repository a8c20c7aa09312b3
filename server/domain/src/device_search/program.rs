//! `office<2019`: a program's name and what its version must be.

use std::cmp::Ordering;

use super::Op;
use crate::search::fold;
use crate::version::Scheme;

/// What is asked of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Part of its name, folded.
    pub name: String,
    /// What its version must be, if that matters.
    pub version: Option<(Op, String)>,
}

/// Reads `firefox`, `office<2019` or `openssl >= 3.0.2`. Nothing when the name or the version is empty.
pub fn read(text: &str) -> Option<Wanted> {
    let sign = text.find(['<', '>', '=', '!']);
    let (name, rest) = text.split_at_checked(sign.unwrap_or(text.len()))?;
    let version = match Op::ALL.iter().find(|(_, sign)| rest.starts_with(sign)) {
        Some((op, sign)) => {
            let version = rest.strip_prefix(sign)?.trim();
            if version.is_empty() || version.contains(['<', '>', '=', '!']) {
                return None;
            }
            Some((*op, version.to_owned()))
        }
        None if rest.is_empty() => None,
        None => return None,
    };
    let name = fold(name);
    (!name.is_empty()).then_some(Wanted { name, version })
}

/// Whether an installed program is one that is wanted. `name_key` is the folded name.
///
/// A year is compared with the year in the product's name ("Office Professional Plus 2016" is version 16.0.4266), else
/// with a version that is numbered by years. A version of another kind says nothing about a year: no match.
pub fn fits(wanted: &Wanted, name_key: &str, version: &str, source: &str) -> bool {
    if !name_key.contains(&wanted.name) {
        return false;
    }
    let Some((op, typed)) = &wanted.version else {
        return true;
    };
    if version.is_empty() && year_in(name_key).is_none() {
        return false;
    }
    let order: Ordering = match (year_of(typed), year_in(name_key), year_of(version)) {
        (Some(typed), Some(named), _) => named.cmp(&typed),
        (Some(_), None, None) => return false,
        _ => Scheme::of_source(source).compare_to_typed(version, typed),
    };
    op.holds(order)
}

fn is_year(text: &str) -> bool {
    text.len() == 4
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text.starts_with("19") || text.starts_with("20"))
}

/// The year that a version is, or begins with.
fn year_of(version: &str) -> Option<u32> {
    let first = version.split(|c: char| !c.is_ascii_alphanumeric()).next()?;
    is_year(first).then(|| first.parse().ok()).flatten()
}

/// The last year in a product's name.
fn year_in(name: &str) -> Option<u32> {
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| is_year(word))
        .filter_map(|word| word.parse().ok())
        .next_back()
}
