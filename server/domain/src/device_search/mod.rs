//! Searching devices by what people type: `cpu:i5 ram<8G os:"Windows 10" software:"office<2019" seen>30d`.
//!
//! ```text
//! query  = any
//! any    = all { ("OR" | "o") all }
//! all    = one { ["AND" | "y"] one }
//! one    = ("NOT" | "NO" | "-") one | "(" any ")" | term
//! term   = FIELD op value | word
//! op     = ":" | "=" | "!=" | "<" | "<=" | ">" | ">="
//! value  = word | "..\"quoted\".." | from ".." to | "?" (not observed) | "*" (observed)
//! ```
//!
//! A term is true, false or not observed for a device. What was not observed matches neither a comparison nor its
//! negation: `-cpu:i5` finds machines whose processor is known and is another one. Only `field:?` finds the rest.
//!
//! This module knows texts and sets. It must never know where the facts are kept.

pub mod field;
mod parse;
pub mod program;
mod set;
mod value;

use std::fmt;

pub use field::{Column, FIELDS, Field, Kind};
pub use parse::{MAX_CHARS, MAX_DEPTH, MAX_TERMS, parse};
pub use set::{Set, Source, evaluate};
pub use value::{Test, day};

use crate::Text;

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `:`, the field's natural comparison.
    Has,
    /// `=`
    Is,
    /// `!=`
    IsNot,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Op {
    /// As it is typed; longer ones first.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::AtMost, "<="),
        (Self::AtLeast, ">="),
        (Self::IsNot, "!="),
        (Self::Has, ":"),
        (Self::Is, "="),
        (Self::Less, "<"),
        (Self::Greater, ">"),
    ];

    fn text(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(op, _)| *op == self)
            .map_or(":", |(_, text)| text)
    }

    /// Whether an order between two things satisfies the comparison.
    pub fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Has | Self::Is => order.is_eq(),
            Self::IsNot => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

/// Whether a version that was observed fits one that was typed: `os_version:10` is every 10, `os_version=10` is 10 alone.
pub fn version_fits(op: Op, observed: &str, typed: &str) -> bool {
    let begins = op == Op::Has
        && observed
            .strip_prefix(typed)
            .is_some_and(|rest| !rest.starts_with(|ch: char| ch.is_ascii_digit()));
    begins || op.holds(crate::version::Scheme::Numbers.compare(observed, typed))
}

/// What was asked, as a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// All of them; none is every device.
    All(Vec<Query>),
    /// At least one of them.
    Any(Vec<Query>),
    /// Known, and not so.
    Not(Box<Query>),
    /// One comparison.
    Term(Term),
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// A field against a value, as typed and found good.
    Field {
        /// Which.
        field: &'static Field,
        /// How.
        op: Op,
        /// With what.
        value: String,
        /// The value stood in quotes, so `?`, `*` and `..` mean themselves.
        quoted: bool,
    },
    /// A word that names a machine: host, plate, model, serial number, address, user, ...
    Word(String),
}

/// Why a query was not understood, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// Stable code, SCREAMING_SNAKE.
    pub code: &'static str,
    /// Bytes of the query.
    pub bytes: std::ops::Range<usize>,
    /// Characters of the query, counted from 0.
    pub columns: std::ops::Range<usize>,
    /// What is wrong and what to do.
    pub why: Text,
}

impl QueryError {
    /// The query with a line below that points at the place.
    pub fn caret(&self, query: &str) -> String {
        let line: String = query
            .chars()
            .map(|ch| if ch.is_control() { ' ' } else { ch })
            .collect();
        let width = self.columns.len().max(1);
        format!(
            "{line}\n{}{}",
            " ".repeat(self.columns.start),
            "^".repeat(width)
        )
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.why.en)
    }
}

impl std::error::Error for QueryError {}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn inner(query: &Query, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match query {
                Query::All(_) | Query::Any(_) => write!(f, "({query})"),
                Query::Not(_) | Query::Term(_) => write!(f, "{query}"),
            }
        }
        match self {
            Self::All(parts) | Self::Any(parts) => {
                let between = if matches!(self, Self::All(_)) {
                    " "
                } else {
                    " OR "
                };
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        f.write_str(between)?;
                    }
                    inner(part, f)?;
                }
                Ok(())
            }
            Self::Not(part) => {
                f.write_str("-")?;
                inner(part, f)
            }
            Self::Term(Term::Word(word)) => f.write_str(&quote(word)),
            Self::Term(Term::Field {
                field,
                op,
                value,
                quoted,
            }) => {
                write!(f, "{}{}", field.name, op.text())?;
                if *quoted {
                    f.write_str(&quote(value))
                } else {
                    f.write_str(value)
                }
            }
        }
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Names of the saved lists a query is made of.
pub fn lists(query: &Query) -> Vec<&str> {
    match query {
        Query::All(parts) | Query::Any(parts) => parts.iter().flat_map(lists).collect(),
        Query::Not(part) => lists(part),
        Query::Term(Term::Field { field, value, .. }) if field.kind == Kind::List => vec![value],
        Query::Term(_) => Vec::new(),
    }
}

/// Why saved lists could not be put into a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListTrouble {
    /// There is none of this name.
    Unknown(String),
    /// A list that is made of itself, by this way.
    Cycle(Vec<String>),
    /// With its lists the query has more terms than are allowed.
    TooMany,
    /// A list that is no longer understood.
    Broken(String),
}

/// The query with every `list:NAME` exchanged for what the list says. `lookup` gives the text of a list by name.
///
/// # Errors
/// [`ListTrouble`], or what `lookup` says.
pub fn expand<E>(
    query: &Query,
    lookup: &mut dyn FnMut(&str) -> Result<Option<String>, E>,
) -> Result<Result<Query, ListTrouble>, E> {
    let mut terms = 0;
    expand_in(query, lookup, &mut Vec::new(), &mut terms)
}

fn expand_in<E>(
    query: &Query,
    lookup: &mut dyn FnMut(&str) -> Result<Option<String>, E>,
    way: &mut Vec<String>,
    terms: &mut usize,
) -> Result<Result<Query, ListTrouble>, E> {
    Ok(Ok(match query {
        Query::All(parts) | Query::Any(parts) => {
            let mut done = Vec::with_capacity(parts.len());
            for part in parts {
                match expand_in(part, lookup, way, terms)? {
                    Ok(part) => done.push(part),
                    Err(trouble) => return Ok(Err(trouble)),
                }
            }
            if matches!(query, Query::All(_)) {
                Query::All(done)
            } else {
                Query::Any(done)
            }
        }
        Query::Not(part) => match expand_in(part, lookup, way, terms)? {
            Ok(part) => Query::Not(Box::new(part)),
            Err(trouble) => return Ok(Err(trouble)),
        },
        Query::Term(Term::Field { field, value, .. }) if field.kind == Kind::List => {
            let key = crate::search::fold(value);
            let again = way.contains(&key);
            way.push(key);
            // A chain of lists as long as a query may be deep is a ring or might as well be one.
            if again || way.len() > MAX_DEPTH {
                return Ok(Err(ListTrouble::Cycle(way.clone())));
            }
            let Some(text) = lookup(value)? else {
                return Ok(Err(ListTrouble::Unknown(value.clone())));
            };
            let Ok(listed) = parse(&text) else {
                return Ok(Err(ListTrouble::Broken(value.clone())));
            };
            let done = expand_in(&listed, lookup, way, terms)?;
            way.pop();
            match done {
                Ok(done) => done,
                Err(trouble) => return Ok(Err(trouble)),
            }
        }
        Query::Term(term) => {
            *terms += 1;
            if *terms > 4 * MAX_TERMS {
                return Ok(Err(ListTrouble::TooMany));
            }
            Query::Term(term.clone())
        }
    }))
}

#[cfg(test)]
mod tests;
