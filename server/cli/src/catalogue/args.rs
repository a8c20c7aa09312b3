//! What can be typed after `chasqui catalogue`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::trust::args::{FolderArgs, PassphraseArgs};

#[derive(Debug, Args)]
pub struct SignArgs {
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Definition files or folders of them (default: those the catalogue has, with new dates)
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Leave out what the last catalogue had
    #[arg(long, requires = "paths")]
    pub replace: bool,
    /// How long the catalogue is valid
    #[arg(long, value_name = "DAYS", default_value_t = 180, value_parser = clap::value_parser!(u32).range(1..=730))]
    pub days: u32,
    /// Key file of a publisher (default: those of the trust folder); may be given more than once
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
    /// Copy of the same draft whose signatures to take over; may be given more than once
    #[arg(long = "merge", value_name = "FILE")]
    pub merge: Vec<PathBuf>,
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Do not ask after showing what is signed
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Subcommand)]
pub enum CatalogueCommand {
    /// List definitions of the catalogue in force
    List,
    /// Begin a definition, with the safe choice everywhere
    New {
        /// Its id, for example printer.queue.clear
        id: String,
        /// Copy this one instead, with the next version: a file, or ID or ID@VERSION of the coordinator
        #[arg(long, value_name = "DEFINITION")]
        from: Option<String>,
        /// Where to write it (default: ID.json)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check definitions: form, rules, both languages, and what looks wrong
    Check {
        /// Definition files or folders of them (default: the folder catalogue, or server/catalogue)
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Compare two definitions, member by member; what widens is marked
    Diff {
        /// The older one: a file, or ID or ID@VERSION of the coordinator
        before: String,
        /// The newer one, likewise
        after: String,
    },
    /// Make and sign the next catalogue, or add your signature to the one another publisher began
    Sign(SignArgs),
    /// Hand definitions and the signed catalogue to the coordinator
    Publish {
        #[command(flatten)]
        folder: FolderArgs,
    },
}
