//! Sets of devices by number, and a query worked out over them. `NOT` never finds what was not observed: it goes down to
//! the terms, and a negated term is what is known of the field without what matches.

use super::field::Field;
use super::value::{self, Test};
use super::{Kind, Query, Term};

/// Devices by number, small whole ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    words: Vec<u64>,
}

impl Set {
    /// Highest number that a set holds: 64 million devices are beyond any fleet, and a lying number fills no memory.
    pub const MOST: i64 = 1 << 26;

    /// Adds a number; outside 0 to [`MOST`](Self::MOST) it is left out.
    pub fn insert(&mut self, number: i64) {
        if !(0..Self::MOST).contains(&number) {
            return;
        }
        let Ok(number) = usize::try_from(number) else {
            return;
        };
        let at = number / 64;
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        if let Some(word) = self.words.get_mut(at) {
            *word |= 1 << (number % 64);
        }
    }

    /// Whether a number is in it.
    pub fn contains(&self, number: i64) -> bool {
        usize::try_from(number).is_ok_and(|number| {
            self.words
                .get(number / 64)
                .is_some_and(|word| word >> (number % 64) & 1 == 1)
        })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Adds another's.
    pub fn unite(&mut self, other: &Self) {
        if other.words.len() > self.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// Keeps what is in both.
    pub fn intersect(&mut self, other: &Self) {
        self.words.truncate(other.words.len());
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word &= more;
        }
    }

    /// Takes another's out.
    pub fn subtract(&mut self, other: &Self) {
        for (word, less) in self.words.iter_mut().zip(&other.words) {
            *word &= !less;
        }
    }

    /// The numbers, rising.
    pub fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let base = i64::try_from(at).unwrap_or(0) * 64;
            (0..64)
                .filter(move |bit| word >> bit & 1 == 1)
                .map(move |bit| base + bit)
        })
    }
}

impl FromIterator<i64> for Set {
    fn from_iter<T: IntoIterator<Item = i64>>(numbers: T) -> Self {
        let mut set = Self::default();
        for number in numbers {
            set.insert(number);
        }
        set
    }
}

/// Where the facts are.
pub trait Source {
    /// What can go wrong there.
    type Error;
    /// Every device.
    fn all(&mut self) -> Result<Set, Self::Error>;
    /// Devices of which the field is known.
    fn known(&mut self, field: &'static Field) -> Result<Set, Self::Error>;
    /// Devices whose field is known and fits. Only the tests that say what fits are asked: `Within`, `Contains`, `Is`,
    /// `Version`, `Program`.
    fn matching(&mut self, field: &'static Field, test: &Test) -> Result<Set, Self::Error>;
    /// Devices whose field is known and does not fit. A source that can say so at once saves both sets.
    ///
    /// # Errors
    /// Those of the source.
    fn excluding(&mut self, field: &'static Field, test: &Test) -> Result<Set, Self::Error> {
        let found = self.matching(field, test)?;
        without(self.known(field)?, &found)
    }
    /// Devices that a folded word names.
    fn word(&mut self, word: &str) -> Result<Set, Self::Error>;
}

/// The devices that a query finds. Saved lists must have been expanded: one that was not finds nothing.
///
/// # Errors
/// Those of the source.
pub fn evaluate<S: Source>(query: &Query, now_ms: i64, source: &mut S) -> Result<Set, S::Error> {
    walk(query, false, now_ms, source)
}

fn walk<S: Source>(
    query: &Query,
    negated: bool,
    now_ms: i64,
    source: &mut S,
) -> Result<Set, S::Error> {
    match query {
        Query::Not(part) => walk(part, !negated, now_ms, source),
        Query::All(parts) if parts.is_empty() => {
            if negated {
                Ok(Set::default())
            } else {
                source.all()
            }
        }
        Query::All(parts) | Query::Any(parts) => {
            let both = matches!(query, Query::All(_)) != negated;
            let mut found: Option<Set> = None;
            for part in parts {
                if both && found.as_ref().is_some_and(Set::is_empty) {
                    break;
                }
                let more = walk(part, negated, now_ms, source)?;
                match &mut found {
                    None => found = Some(more),
                    Some(found) if both => found.intersect(&more),
                    Some(found) => found.unite(&more),
                }
            }
            Ok(found.unwrap_or_default())
        }
        Query::Term(Term::Word(word)) => {
            let found = source.word(&crate::search::fold(word))?;
            if negated {
                without(source.all()?, &found)
            } else {
                Ok(found)
            }
        }
        Query::Term(Term::Field {
            field,
            op,
            value,
            quoted,
        }) => {
            if field.kind == Kind::List {
                return Ok(Set::default());
            }
            // Parsing found it good.
            let Ok(test) = value::read(field, *op, value, *quoted, now_ms) else {
                return Ok(Set::default());
            };
            let (positive, flip) = match test {
                Test::Observed => (None, false),
                Test::Unobserved => (None, true),
                Test::Outside(low, high) => (Some(Test::Within(low, high)), true),
                Test::IsNot(text) => (Some(Test::Is(text)), true),
                test => (Some(test), false),
            };
            match (positive, flip != negated) {
                (None, false) => source.known(field),
                (None, true) => {
                    let known = source.known(field)?;
                    without(source.all()?, &known)
                }
                (Some(test), false) => source.matching(field, &test),
                (Some(test), true) => source.excluding(field, &test),
            }
        }
    }
}

fn without<E>(mut from: Set, less: &Set) -> Result<Set, E> {
    from.subtract(less);
    Ok(from)
}
