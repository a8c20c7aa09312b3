//! What can be typed about orders and evidence.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::PageArgs;

#[derive(Clone, Debug, Default, Args)]
pub struct SignArgs {
    /// Key file to sign with (default: key.pem of the settings folder)
    #[arg(long, value_name = "FILE", env = "CHASQUI_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
    /// File whose first line is the key's passphrase (default: asked)
    #[arg(
        long,
        value_name = "FILE",
        env = "CHASQUI_PASSPHRASE_FILE",
        hide_env_values = true
    )]
    pub passphrase_file: Option<PathBuf>,
    /// Pinned root to check against (default: root.json of the settings folder)
    #[arg(
        long,
        value_name = "FILE",
        env = "CHASQUI_ROOT",
        hide_env_values = true
    )]
    pub root: Option<PathBuf>,
    /// Do not ask after showing what is signed
    #[arg(long)]
    pub yes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OrderStateName {
    Requested,
    AwaitingApproval,
    Approved,
    Rejected,
    Expired,
    Cancelled,
    Queued,
    Sent,
    Accepted,
    AwaitingConsent,
    Running,
    Checking,
    Succeeded,
    Failed,
    Partly,
    Refused,
    Unknown,
}

#[derive(Debug, Args)]
pub struct RequestArgs {
    /// Definition, for example disk.clean.temp (its newest version in the catalogue)
    pub definition: String,
    /// Ticket it serves: id or number
    #[arg(long)]
    pub ticket: String,
    /// Device: id, host name or plate; may be given more than once (default: the ticket's)
    #[arg(long = "device", value_name = "DEVICE")]
    pub devices: Vec<String>,
    /// Parameter name=value; may be given more than once, a list as name=a,b
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub parameters: Vec<String>,
    /// Why
    #[arg(long)]
    pub reason: String,
    /// How long the order is valid, for example 2h, 7d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = crate::input::span)]
    pub valid_for: i64,
    /// Ask more of the person at the machine than the definition does
    #[arg(long)]
    pub consent: Option<ConsentName>,
    /// Wait for the next start of each machine
    #[arg(long)]
    pub next_boot: bool,
    /// Emergency: without the usual approvals, seen by everybody; says why
    #[arg(long, value_name = "WHY")]
    pub break_glass: Option<String>,
    /// Not before this time: YYYY-MM-DDTHH:MM or HH:MM (default: now)
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Valid until this time, likewise (default: --valid-for)
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Within this window: DAY HH:MM-HH:MM or HH:MM-HH:MM, the next one
    #[arg(long, value_name = "WINDOW")]
    pub window: Option<String>,
    /// In that window every week until --until: one signed order for each
    #[arg(long, requires_all = ["window", "until"], conflicts_with = "watch")]
    pub weekly: bool,
    /// Time zone of these times
    #[arg(long, value_name = "ZONE", default_value = "America/Bogota")]
    pub zone: String,
    /// Show what would be signed; sign and send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Stay until the order is final
    #[arg(long)]
    pub watch: bool,
    #[command(flatten)]
    pub sign: SignArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConsentName {
    None,
    Notify,
    Ask,
    AskAlways,
}

#[derive(Debug, Subcommand)]
pub enum OrderCommand {
    /// Sign and send an order
    Request(Box<RequestArgs>),
    /// Show an order as it was signed
    Show {
        /// Id of the order
        order: String,
        /// Pinned root to check against (default: root.json of the settings folder)
        #[arg(
            long,
            value_name = "FILE",
            env = "CHASQUI_ROOT",
            hide_env_values = true
        )]
        root: Option<PathBuf>,
    },
    /// List orders
    List {
        /// Only for this ticket: id or number
        #[arg(long)]
        ticket: Option<String>,
        /// Only on this device: id, host name or plate
        #[arg(long)]
        device: Option<String>,
        /// Only in this state; may be given more than once
        #[arg(long = "state", value_name = "STATE")]
        states: Vec<OrderStateName>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Check an order, then sign an approval
    Approve {
        /// Ids of the orders, each shown
        #[arg(required = true, value_name = "ORDER")]
        orders: Vec<String>,
        /// A word on it
        #[arg(long, default_value = "")]
        comment: String,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Sign a refusal
    Reject {
        /// Id of the order
        order: String,
        /// Why
        #[arg(long)]
        comment: String,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Take back an order or an approval of your own
    Withdraw {
        /// Id of the order
        order: String,
        /// Why
        #[arg(long)]
        comment: String,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Call an order off: stopping needs no signature
    Cancel {
        /// Id of the order
        order: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Follow an order until it is final
    Watch {
        /// Id of the order
        order: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum EvidenceCommand {
    /// Save everything that proves an order and its result
    Export {
        /// Id of the order
        order: String,
        /// Which device, when the order has several
        #[arg(long, default_value = "")]
        device: String,
        /// Where to write (default: the name the coordinator proposes)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check an evidence file offline, with the root alone
    Verify {
        /// The evidence file
        file: PathBuf,
        /// Root to check against (default: root.json of the settings folder)
        #[arg(
            long,
            value_name = "FILE",
            env = "CHASQUI_ROOT",
            hide_env_values = true
        )]
        root: Option<PathBuf>,
    },
}
