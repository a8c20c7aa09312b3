//! Whole lists at hand, so that neither storing a difference nor reading one reads a whole list from the database. A list
//! is held by the digest of its section, which says all that is in it: what is held is never old, though the database may
//! have forgotten it. Which row it is, if any, is asked of the database each time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{ItemDigest, List};

/// Most bytes held, about.
const MOST_BYTES: usize = 48 << 20;
/// What a program costs beside its texts.
const OVERHEAD: usize = 320;

/// The lists used last.
#[derive(Debug, Default)]
pub(crate) struct Bases {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// Used last at the end.
    lists: VecDeque<One>,
    bytes: usize,
}

#[derive(Debug)]
struct One {
    digest: String,
    list: Arc<List>,
    bytes: usize,
}

impl Bases {
    /// A list, if it is held.
    pub(super) fn get(&self, digest: &str) -> Option<Arc<List>> {
        let mut held = self.lock();
        let at = held.lists.iter().position(|one| one.digest == digest)?;
        let one = held.lists.remove(at)?;
        let list = Arc::clone(&one.list);
        held.lists.push_back(one);
        Some(list)
    }

    /// The list that has most of a sample of programs.
    pub(super) fn closest<'a>(
        &self,
        sample: impl Iterator<Item = &'a ItemDigest>,
    ) -> Option<(String, Arc<List>)> {
        let sample: Vec<&ItemDigest> = sample.collect();
        let held = self.lock();
        let shared = |one: &&One| sample.iter().filter(|digest| one.list.has(digest)).count();
        let best = held.lists.iter().max_by_key(shared)?;
        Some((best.digest.clone(), Arc::clone(&best.list)))
    }

    /// Holds a list, and lets go of those used longest ago.
    pub(super) fn keep(&self, digest: &str, list: &Arc<List>) {
        let texts = |one: &super::Program| {
            one.facts.len()
                + one.name.len()
                + one.version.len()
                + one.publisher.len()
                + one.source.len()
                + one.architecture.len()
        };
        let programs: usize = list.programs.iter().map(|one| texts(one) + OVERHEAD).sum();
        let bytes = programs + list.shell.len();
        let mut held = self.lock();
        if bytes > MOST_BYTES || held.lists.iter().any(|one| one.digest == digest) {
            return;
        }
        held.bytes += bytes;
        held.lists.push_back(One {
            digest: digest.to_owned(),
            list: Arc::clone(list),
            bytes,
        });
        while held.bytes > MOST_BYTES
            && let Some(one) = held.lists.pop_front()
        {
            held.bytes -= one.bytes;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Lists and bytes agree between any two operations.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::software::Program;

    fn list(name: &str, facts: usize) -> Arc<List> {
        let program = Program {
            source: String::new(),
            name: name.to_owned(),
            architecture: String::new(),
            version: String::new(),
            facts: [name.as_bytes(), &vec![0; facts]].concat(),
            publisher: String::new(),
        };
        Arc::new(List::new(vec![0x42, 0], vec![program]))
    }

    #[test]
    fn what_was_used_longest_ago_goes_when_there_is_no_room() {
        let bases = Bases::default();
        let third = MOST_BYTES / 3;
        for name in ["a", "b"] {
            bases.keep(name, &list(name, third));
        }
        assert!(bases.get("a").is_some());
        bases.keep("c", &list("c", third));
        assert!(bases.get("b").is_none());
        assert!(bases.get("a").is_some() && bases.get("c").is_some());
        bases.keep("larger than all", &list("d", MOST_BYTES));
        assert!(bases.get("larger than all").is_none() && bases.get("a").is_some());
        let held = bases.lock();
        let bytes: usize = held.lists.iter().map(|one| one.bytes).sum();
        assert_eq!(held.bytes, bytes);
    }

    #[test]
    fn the_closest_has_most_of_the_sample() {
        let bases = Bases::default();
        let (one, two) = (list("a", 1), list("b", 1));
        bases.keep("one", &one);
        bases.keep("two", &two);
        let found = bases.closest(one.sample()).map(|(digest, _)| digest);
        assert_eq!(found.as_deref(), Some("one"));
    }
}
