//! Why a field is missing in some things of a list: told once for the field, with the reason that tells most. A bus has
//! hundreds of devices, and a list of gaps longer than the facts helps nobody.

use std::collections::BTreeMap;

use super::{Notes, Unreadable};

/// Gaps of one list, by field.
#[derive(Debug, Default)]
pub struct Gaps(BTreeMap<&'static str, Gap>);

#[derive(Debug)]
struct Gap {
    why: Unreadable,
    things: usize,
}

impl Gaps {
    /// Takes the field of a thing, or remembers why it is missing. The first of equally telling reasons stays.
    pub fn part<T>(
        &mut self,
        field: &'static str,
        thing: &str,
        read: Result<T, Unreadable>,
    ) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(why) => {
                self.add(field, thing, why);
                None
            }
        }
    }

    /// Remembers that a field of a thing is missing.
    pub fn add(&mut self, field: &'static str, thing: &str, mut why: Unreadable) {
        if !why.detail.contains(thing) {
            why.detail = format!("{thing}: {}", why.detail);
        }
        match self.0.get_mut(field) {
            None => {
                self.0.insert(field, Gap { why, things: 1 });
            }
            Some(gap) => {
                gap.things = gap.things.saturating_add(1);
                if gap.why.weight() < why.weight() {
                    gap.why = why;
                }
            }
        }
    }

    /// Notes the gaps, each under `LIST.FIELD`.
    pub fn tell(self, list: &str, notes: &mut Notes) {
        for (field, Gap { mut why, things }) in self.0 {
            if let Some(others @ 1..) = things.checked_sub(1) {
                why.detail = format!("{} (and {others} more)", why.detail);
            }
            notes.unread(&format!("{list}.{field}"), why);
        }
    }
}
