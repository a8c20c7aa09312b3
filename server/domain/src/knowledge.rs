//! What the rules know about the world, as data with a version: until when each operating system gets security updates.
//!
//! The table is a text file of our own form (`server/knowledge/eol.csv`, built into the program): `@name value` lines,
//! then a line of column names, then one row a line, fields separated by `;`. `#` begins a comment line. Nothing here
//! decides about a machine; [`crate::retirement`] does.

mod parse;

use std::fmt;
use std::sync::OnceLock;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::retirement::OperatingSystem;

/// The table compiled into the program.
const BUILTIN: &str = include_str!("../../knowledge/eol.csv");

/// The tables the rules read, with where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knowledge {
    /// Name of this edition of the tables; recorded with every assessment.
    pub version: String,
    /// The day somebody last compared them with the source.
    pub checked_on: Date,
    /// Where the facts come from.
    pub source: String,
    rows: Vec<Release>,
}

/// One release of an operating system, or one of its editions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// `windows`, `windows-server`, or the `ID` of os-release.
    pub system: String,
    /// Version as the system reports it; for Windows only a name.
    pub release: String,
    /// Other spellings of the version.
    pub also: Vec<String>,
    /// Which editions the row is about.
    pub edition: EditionGroup,
    /// Windows build numbers; they decide there.
    pub builds: Vec<u32>,
    /// The name people read.
    pub label: String,
    /// First day of general availability.
    pub released: Date,
    /// Last day of free, general security updates. `None`: the maker has named no day.
    pub supported_until: Option<Date>,
    /// What comes after, for those who have it.
    pub longer: Option<LongerSupport>,
    /// Where this row comes from, when not from the table's source.
    pub source: Option<String>,
}

/// Security updates after general support.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongerSupport {
    /// Its last day.
    pub until: Date,
    /// Its name.
    pub name: String,
    /// Free and for everybody, without subscription: only then it counts. A table cannot know who has paid.
    pub free: bool,
}

/// Editions whose dates are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EditionGroup {
    /// The date is the same for all.
    Any,
    /// Windows Home, Pro, Pro Education, Pro for Workstations.
    HomePro,
    /// Windows Enterprise, Education, IoT Enterprise.
    Enterprise,
    /// Windows Enterprise LTSB and LTSC.
    Ltsc,
    /// Windows IoT Enterprise LTSC.
    IotLtsc,
    /// Windows Server in the yearly channels.
    ServerAnnual,
}

impl EditionGroup {
    const ALL: [Self; 6] = [
        Self::Any,
        Self::HomePro,
        Self::Enterprise,
        Self::Ltsc,
        Self::IotLtsc,
        Self::ServerAnnual,
    ];

    /// The name in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::HomePro => "home_pro",
            Self::Enterprise => "enterprise",
            Self::Ltsc => "ltsc",
            Self::IotLtsc => "iot_ltsc",
            Self::ServerAnnual => "server_annual",
        }
    }
}

/// What the table has on a machine's system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// One row, or several when the edition is needed and not known. Never empty.
    Releases(Vec<&'a Release>),
    /// The system is in the table, this release is not.
    NoRelease,
    /// The table does not have the system.
    NoSystem,
}

/// The table cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnowledgeError {
    /// Line of the file, from 1.
    pub line: usize,
    /// What is wrong there and what is expected.
    pub what: String,
}

impl fmt::Display for KnowledgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for KnowledgeError {}

impl Knowledge {
    /// The tables compiled into the program. An error here is a defect of the build, which a test finds first.
    pub fn builtin() -> Result<&'static Self, KnowledgeError> {
        static PARSED: OnceLock<Result<Knowledge, KnowledgeError>> = OnceLock::new();
        PARSED
            .get_or_init(|| Self::parse(BUILTIN))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// Reads a table. At most 1 MiB, 5,000 rows, 200 characters a field.
    pub fn parse(text: &str) -> Result<Self, KnowledgeError> {
        parse::parse(text)
    }

    /// Every row, in the file's order.
    pub fn releases(&self) -> &[Release] {
        &self.rows
    }

    /// The rows about a machine's system.
    ///
    /// Windows is found by build, never by name: the registry of Windows 11 still says "Windows 10". Others are found by
    /// version, and when that exact version has no row, by the version without its last parts (22.04.5 -> 22.04).
    pub fn find(&self, os: &OperatingSystem) -> Found<'_> {
        let of_system: Vec<&Release> = self
            .rows
            .iter()
            .filter(|row| row.system == os.system)
            .collect();
        if of_system.is_empty() {
            return Found::NoSystem;
        }
        let mut found: Vec<&Release> = if of_system.iter().any(|row| !row.builds.is_empty()) {
            match os.build {
                Some(build) => of_system
                    .into_iter()
                    .filter(|row| row.builds.contains(&build))
                    .collect(),
                None => Vec::new(),
            }
        } else {
            by_version(&of_system, &os.release)
        };
        if let Some(group) = os.edition_group() {
            let of = |group| {
                found
                    .iter()
                    .copied()
                    .filter(|row| row.edition == group)
                    .collect::<Vec<_>>()
            };
            // An edition without a row of its own shares another's: the IoT long-term one the other long-term one's,
            // and all of them the row for everybody. A server of whatever edition has its build's.
            let shared: &[EditionGroup] = match group {
                EditionGroup::IotLtsc => {
                    &[EditionGroup::IotLtsc, EditionGroup::Ltsc, EditionGroup::Any]
                }
                EditionGroup::Any => &[EditionGroup::Any, EditionGroup::ServerAnnual],
                _ => &[group, EditionGroup::Any],
            };
            found = shared
                .iter()
                .map(|&group| of(group))
                .find(|rows| !rows.is_empty())
                .unwrap_or_default();
        }
        if found.is_empty() {
            Found::NoRelease
        } else {
            Found::Releases(found)
        }
    }
}

/// Other spellings must match whole: a service pack not in the table must not find the row of the first release.
fn by_version<'a>(rows: &[&'a Release], version: &str) -> Vec<&'a Release> {
    let exact = rows
        .iter()
        .copied()
        .filter(|row| row.release == version || row.also.iter().any(|also| also == version));
    let mut found: Vec<&Release> = exact.collect();
    let mut shorter = version;
    while found.is_empty() {
        let Some((before, _)) = shorter.rsplit_once('.') else {
            break;
        };
        shorter = before;
        found = rows
            .iter()
            .copied()
            .filter(|row| row.release == shorter)
            .collect();
    }
    found
}

#[cfg(test)]
mod tests;
