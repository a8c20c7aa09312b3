//! What can be typed after `chasqui trust`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Clone, Debug, Args)]
pub struct FolderArgs {
    /// Trust folder, on the machine of the ceremony
    #[arg(long, value_name = "DIR", default_value = "trust")]
    pub dir: PathBuf,
}

#[derive(Clone, Debug, Default, Args)]
pub struct PassphraseArgs {
    /// File whose first line is the passphrase of every key used (default: asked for each)
    #[arg(
        long,
        value_name = "FILE",
        env = "CHASQUI_PASSPHRASE_FILE",
        hide_env_values = true
    )]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Organisation: lower-case letters, digits, dots and dashes
    #[arg(long)]
    pub org: String,
    /// Address where agents dial, https://host:port
    #[arg(long, value_name = "URL")]
    pub agents_url: String,
    /// Address for people, https://host:port
    #[arg(long, value_name = "URL")]
    pub people_url: String,
    /// PEM certificate of the authority of the agents' listener, copied by hand; may be given more than once
    #[arg(long = "ca-file", required = true, value_name = "FILE")]
    pub ca_files: Vec<PathBuf>,
    /// How many root keys to make here
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub root_keys: u32,
    /// How many root keys must sign
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub root_threshold: u32,
    /// How many trust administrators' keys to make here
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub admin_keys: u32,
    /// How many trust administrators must sign
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub admin_threshold: u32,
    /// How many publishers' keys to make here
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub publisher_keys: u32,
    /// How many publishers must sign
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub publisher_threshold: u32,
    /// Public root key made on another machine (then none is made here); may be given more than once
    #[arg(long = "root-key", value_name = "PUB")]
    pub given_root_keys: Vec<String>,
    /// Public key of a trust administrator made on another machine (then none is made here)
    #[arg(long = "admin-key", value_name = "PUB")]
    pub given_admin_keys: Vec<String>,
    /// Public key of a publisher made on another machine (then none is made here)
    #[arg(long = "publisher-key", value_name = "PUB")]
    pub given_publisher_keys: Vec<String>,
    /// Approvals by risk and machines, RISK:MACHINES:APPROVALS; the first row that fits applies
    #[arg(long = "approvals", value_name = "ROW", value_parser = threshold)]
    pub thresholds: Vec<chasqui_trust::root::Threshold>,
    /// What two people may do in an emergency without those approvals, RISK:MACHINES:APPROVALS (default: nothing)
    #[arg(long, value_name = "ROW", value_parser = threshold)]
    pub break_glass: Option<chasqui_trust::root::Threshold>,
    /// How long the root is valid, days
    #[arg(long, value_name = "DAYS", default_value_t = 730)]
    pub days: u32,
    /// Leave the root unsigned, to be signed with `trust sign`
    #[arg(long)]
    pub draft: bool,
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// `RISK:MACHINES:APPROVALS`.
fn threshold(text: &str) -> Result<chasqui_trust::root::Threshold, String> {
    let wrong = || format!("{text:?} is not RISK:MACHINES:APPROVALS, for example 2:10:1");
    let parts: Vec<&str> = text.split(':').collect();
    let [risk, targets, approvals] = parts.as_slice() else {
        return Err(wrong());
    };
    Ok(chasqui_trust::root::Threshold {
        max_risk: risk.parse().map_err(|_| wrong())?,
        max_targets: targets.parse().map_err(|_| wrong())?,
        approvals: approvals.parse().map_err(|_| wrong())?,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CustodyName {
    File,
    Hardware,
    Browser,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DutyName {
    Request,
    Approve,
}

#[derive(Debug, Args)]
pub struct AddPersonArgs {
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Id of the person's account
    #[arg(long)]
    pub id: String,
    /// Name a signer reads
    #[arg(long)]
    pub name: String,
    /// The person's public key: file or ed25519:HEX
    #[arg(long, value_name = "PUB")]
    pub key: String,
    /// Where the private half lives
    #[arg(long, default_value = "file")]
    pub custody: CustodyName,
    /// Highest risk the key may sign for
    #[arg(long, value_name = "0-4", value_parser = clap::value_parser!(u8).range(0..=4))]
    pub max_risk: u8,
    /// What the person may sign, separated by commas
    #[arg(long, value_delimiter = ',', required = true)]
    pub duty: Vec<DutyName>,
    /// How long the key is valid, days
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    pub days: u32,
}

#[derive(Debug, Args)]
pub struct AddKeyArgs {
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Public key: file or ed25519:HEX
    #[arg(long, value_name = "PUB")]
    pub key: String,
    /// How many of this role must sign from now on
    #[arg(long, value_name = "N")]
    pub threshold: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub enum AddCommand {
    /// Add a person, or one more key of a person, to the next people document
    Person(AddPersonArgs),
    /// Add a root key to the next root
    RootKey(AddKeyArgs),
    /// Add a trust administrator's key to the next root
    AdminKey(AddKeyArgs),
    /// Add a publisher's key to the next root
    PublisherKey(AddKeyArgs),
    /// Add a coordinator, or replace the one of that name, in the next root
    Coordinator {
        #[command(flatten)]
        folder: FolderArgs,
        /// Short name (default: the host of the agents' address)
        #[arg(long)]
        name: Option<String>,
        /// Address where agents dial, https://host:port
        #[arg(long, value_name = "URL")]
        agents_url: String,
        /// Address for people, https://host:port
        #[arg(long, value_name = "URL")]
        people_url: String,
        /// PEM certificate of the authority of the agents' listener; may be given more than once
        #[arg(long = "ca-file", required = true, value_name = "FILE")]
        ca_files: Vec<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub enum RevokeCommand {
    /// Leave a person out of the next people document
    Person {
        #[command(flatten)]
        folder: FolderArgs,
        /// Id of the person
        id: String,
    },
    /// Leave a key out: a person's of the next people document, or a role's of the next root
    Key {
        #[command(flatten)]
        folder: FolderArgs,
        /// Id of the key (64 hex characters, or its first 8 or more)
        key: String,
    },
    /// Leave a coordinator out of the next root
    Coordinator {
        #[command(flatten)]
        folder: FolderArgs,
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct RenewArgs {
    #[command(flatten)]
    pub folder: FolderArgs,
    /// How long the people document is valid, at most 30 days
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=30))]
    pub days: u32,
    /// Key file of a trust administrator (default: those of the trust folder); may be given more than once
    #[arg(long = "admin-key", value_name = "FILE")]
    pub admin_keys: Vec<PathBuf>,
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// Make the first root: keys, organisation, coordinator. Works without network
    Init(InitArgs),
    /// Sign a draft of root or people document with one more key, on this or another machine
    Sign {
        /// The draft
        file: PathBuf,
        /// Key file; may be given more than once
        #[arg(long = "key", value_name = "FILE")]
        keys: Vec<PathBuf>,
        /// Copy of the same draft whose signatures to take over; may be given more than once
        #[arg(long = "merge", value_name = "FILE")]
        merge: Vec<PathBuf>,
        #[command(flatten)]
        passphrase: PassphraseArgs,
        /// Do not ask after showing what is signed
        #[arg(long)]
        yes: bool,
    },
    /// New people document with new dates, signed
    Renew(RenewArgs),
    /// Add to the next people document or root
    #[command(subcommand)]
    Add(AddCommand),
    /// Leave out of the next people document or root
    #[command(subcommand)]
    Revoke(RevokeCommand),
    /// Begin the next root with new dates, to be signed with `trust sign`
    NewRoot {
        #[command(flatten)]
        folder: FolderArgs,
        /// How long it is valid, days
        #[arg(long, value_name = "DAYS", default_value_t = 730)]
        days: u32,
        /// How many root keys must sign from now on
        #[arg(long, value_name = "N")]
        root_threshold: Option<u32>,
    },
    /// Show a root, people document, catalogue or draft
    Show {
        /// The file
        file: PathBuf,
        /// Root to check it against (default: the one beside it, else the pinned one)
        #[arg(
            long,
            value_name = "FILE",
            env = "CHASQUI_ROOT",
            hide_env_values = true
        )]
        root: Option<PathBuf>,
    },
    /// Install a root on this machine, to check everything against
    Pin {
        /// The root
        file: PathBuf,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Even if another root is pinned that did not sign this one
        #[arg(long)]
        replace: bool,
    },
    /// Hand the roots and the people document of a trust folder to the coordinator
    Publish {
        #[command(flatten)]
        folder: FolderArgs,
    },
}
