//! The shape of `device facts`, `device import` and `device matches`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::args::PageArgs;

/// Facts that came after the first four.
#[derive(Debug, Args)]
pub struct MoreFacts {
    /// Building, floor, room or desk
    #[arg(long)]
    pub seat: Option<String>,
    /// Contract under which it was bought
    #[arg(long)]
    pub contract: Option<String>,
    /// Last day of the warranty, YYYY-MM-DD
    #[arg(long)]
    pub warranty_end: Option<String>,
    /// Who sold it
    #[arg(long)]
    pub supplier: Option<String>,
    /// Number of the invoice
    #[arg(long)]
    pub invoice: Option<String>,
    /// A note
    #[arg(long)]
    pub note: Option<String>,
    /// Purchase price, as 1234567.89 or "$ 1.234.567,89"
    #[arg(long)]
    pub cost: Option<String>,
    /// Currency of the price, three letters (default: COP)
    #[arg(long)]
    pub currency: Option<String>,
}

/// `device import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file: semicolons, commas or tabs; UTF-8, UTF-16 or Windows-1252
    pub file: PathBuf,
    /// What a column holds, COLUMN=FACT; - leaves it out; may be given more than once
    #[arg(long = "map", value_name = "COLUMN=FACT")]
    pub maps: Vec<String>,
    /// Check and show what would change; write nothing
    #[arg(long)]
    pub preview: bool,
    /// Leave out rows with errors and write the others
    #[arg(long)]
    pub skip_errors: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// `device matches`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct MatchesArgs {
    #[command(subcommand)]
    pub command: Option<MatchCommand>,
    /// Only in this state (default: open)
    #[arg(long)]
    pub state: Option<MatchStateName>,
    #[command(flatten)]
    pub page: PageArgs,
}

/// What to do with one match.
#[derive(Debug, Subcommand)]
pub enum MatchCommand {
    /// Show both devices side by side with the evidence
    Show {
        /// The match's id
        id: String,
    },
    /// Merge: B is retired and A goes on with it
    Merge {
        /// The match's id
        id: String,
        /// Whose facts count where both are known and differ
        #[arg(long, value_name = "SIDE", ignore_case = true)]
        keep_facts_of: Option<SideName>,
        /// Why; kept in the log
        #[arg(long)]
        reason: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Keep apart for good: they are two machines
    Apart {
        /// The match's id
        id: String,
        /// Why; kept in the log
        #[arg(long)]
        reason: String,
    },
}

/// Where a match stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MatchStateName {
    Open,
    Merged,
    Apart,
    Withdrawn,
}

/// One of the two devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SideName {
    A,
    B,
}
