//! SQL exists only as a [`Statement`], made by [`sql!`](crate::sql) and gathered by the linker, so that a test can
//! prepare every one of them on both engines. One text serves both; parameters are `$1`, `$2`, ...

use std::sync::OnceLock;

use crate::Engine;

/// Every statement linked into this program. Read it through [`registry`].
#[linkme::distributed_slice]
pub static STATEMENTS: [&'static Statement];

/// Every statement linked into this program, sorted by file and line.
pub fn registry() -> Vec<&'static Statement> {
    let mut all: Vec<_> = STATEMENTS.iter().copied().collect();
    all.sort_by_key(|statement| (statement.file, statement.line));
    all
}

/// One registered SQL text.
pub struct Statement {
    name: &'static str,
    module: &'static str,
    file: &'static str,
    line: u32,
    postgres: &'static str,
    sqlite: &'static str,
    expanded: OnceLock<String>,
    numbered: OnceLock<String>,
}

impl Statement {
    /// Used by [`sql!`](crate::sql) alone.
    #[doc(hidden)]
    pub const fn new(
        name: &'static str,
        sqlite: &'static str,
        postgres: &'static str,
        (module, file, line): (&'static str, &'static str, u32),
    ) -> Self {
        Self {
            name,
            module,
            file,
            line,
            postgres,
            sqlite,
            expanded: OnceLock::new(),
            numbered: OnceLock::new(),
        }
    }

    /// `module::NAME`, or `module:line` for a statement without a name.
    pub fn full_name(&self) -> String {
        if self.name.is_empty() {
            format!("{}:{}", self.module, self.line)
        } else {
            format!("{}::{}", self.module, self.name)
        }
    }

    /// Source file, as the compiler names it.
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// Source line.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The text an engine gets, with ranges of parameters (`$3..$66`) written out. SQLite numbers `$name` parameters by
    /// first appearance, but `?1` by its number, so the dollar signs are exchanged there and a parameter's number means
    /// the same on both.
    pub fn text(&self, engine: Engine) -> &str {
        match engine {
            Engine::Postgres => self.expanded.get_or_init(|| expand(self.postgres)),
            Engine::Sqlite => self.numbered.get_or_init(|| number(&expand(self.sqlite))),
        }
    }
}

/// Writes `$3..$5` out as `$3, $4, $5`; anything else stays as it is.
fn expand(text: &str) -> String {
    let mut parts = text.split("..$");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part
            .find(|ch: char| !ch.is_ascii_digit())
            .unwrap_or(part.len());
        let (last, rest) = part.split_at(end);
        let first = out.rsplit_once('$').map_or("", |(_, first)| first);
        match (first.parse::<u32>(), last.parse::<u32>()) {
            (Ok(first), Ok(last)) => {
                for number in first.saturating_add(1)..=last {
                    out.push_str(&format!(", ${number}"));
                }
            }
            _ => {
                out.push_str("..$");
                out.push_str(last);
            }
        }
        out.push_str(rest);
    }
    out
}

fn number(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let parameter = c == '$' && chars.peek().is_some_and(char::is_ascii_digit);
        out.push(if parameter { '?' } else { c });
    }
    out
}

/// Registers one SQL text for both engines.
///
/// ```ignore
/// sql!(pub(crate) TICKET_STATE, "SELECT state FROM tickets WHERE id = $1");   // a static of the module
/// let rows = tx.execute(sql!("DELETE FROM leases WHERE name = $1"), params![name])?;   // in place
/// ```
#[macro_export]
macro_rules! sql {
    ($text:literal) => {
        $crate::sql_engines!(sqlite: $text, postgres: $text)
    };
    ($(#[$meta:meta])* $vis:vis $name:ident, $text:literal) => {
        $crate::sql_engines!($(#[$meta])* $vis $name, sqlite: $text, postgres: $text);
    };
}

/// The named exception to "one text for both engines": full-text search and the database's own clock. Same parameters
/// and same columns on both.
#[macro_export]
macro_rules! sql_engines {
    (sqlite: $sqlite:literal, postgres: $postgres:literal) => {{
        static STATEMENT: $crate::Statement =
            $crate::Statement::new("", $sqlite, $postgres, (module_path!(), file!(), line!()));
        #[$crate::linkme::distributed_slice($crate::STATEMENTS)]
        #[linkme(crate = $crate::linkme)]
        // The list is gathered in a link section, which the lint counts as unsafe.
        #[allow(unsafe_code)]
        static ENTRY: &$crate::Statement = &STATEMENT;
        &STATEMENT
    }};
    ($(#[$meta:meta])* $vis:vis $name:ident, sqlite: $sqlite:literal, postgres: $postgres:literal) => {
        $(#[$meta])*
        $vis static $name: $crate::Statement =
            $crate::Statement::new(stringify!($name), $sqlite, $postgres, (module_path!(), file!(), line!()));
        const _: () = {
            #[$crate::linkme::distributed_slice($crate::STATEMENTS)]
            #[linkme(crate = $crate::linkme)]
            #[allow(unsafe_code)]
            static ENTRY: &$crate::Statement = &$name;
        };
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn dollar_parameters_become_numbered_ones() {
        assert_eq!(
            super::number("a = $12 AND b = '$' AND c=$1"),
            "a = ?12 AND b = '$' AND c=?1"
        );
    }

    #[test]
    fn ranges_of_parameters_are_written_out() {
        for (text, expanded) in [
            (
                "a IN ($3..$6) AND b = $1",
                "a IN ($3, $4, $5, $6) AND b = $1",
            ),
            ("($1..$2), ($3..$4)", "($1, $2), ($3, $4)"),
            ("$9..$11", "$9, $10, $11"),
            ("a = $7", "a = $7"),
            ("'..$1' || $1", "'..$1' || $1"),
        ] {
            assert_eq!(super::expand(text), expanded);
        }
    }
}
