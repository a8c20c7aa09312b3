//! The command line: what can be typed. Help is written in English here; `help.rs` holds the same in Spanish, and a test
//! holds the two together.

mod order;

use std::path::PathBuf;

use chasqui_base::text::Lang;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use order::{
    ConsentName, EvidenceCommand, OrderCommand, OrderStateName, RequestArgs, SignArgs,
};

/// Remote support for workstations: tickets, devices, signed actions.
#[derive(Debug, Parser)]
#[command(
    name = "chasqui",
    version,
    propagate_version = false,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Coordinator's address for people, https://host:port (default: the one logged in to)
    #[arg(
        long,
        global = true,
        env = "CHASQUI_SERVER",
        value_name = "URL",
        hide_env_values = true
    )]
    pub server: Option<String>,
    /// PEM file with the authority of the coordinator's certificate (default: public authorities)
    #[arg(
        long,
        global = true,
        env = "CHASQUI_CA",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub ca: Option<PathBuf>,
    /// Language of texts: es or en (default: from the environment)
    #[arg(
        long,
        global = true,
        env = "CHASQUI_LANG",
        value_name = "LANG",
        hide_env_values = true
    )]
    pub lang: Option<Lang>,
    /// Print JSON for scripts
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Log in to a coordinator
    Login(LoginArgs),
    /// End the session
    Logout,
    /// Show who is logged in
    Whoami,
    /// Show what the coordinator is and which trust documents are in force
    Info,
    /// Accounts of people
    #[command(subcommand)]
    Person(PersonCommand),
    /// Enrolment tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Sources of inventories that other programs send (GLPI Agent, FusionInventory)
    #[command(subcommand)]
    Source(SourceCommand),
    /// Devices: machines that enrolled
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Tickets: what people ask of the help desk
    #[command(subcommand)]
    Ticket(TicketCommand),
    /// Signed actions on devices
    #[command(subcommand)]
    Order(OrderCommand),
    /// Evidence files of signed actions
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Whether a device should be retired
    #[command(subcommand)]
    Retirement(RetirementCommand),
    /// Action definitions and the signed list of them
    #[command(subcommand)]
    Catalogue(crate::catalogue::args::CatalogueCommand),
    /// Root and people document
    #[command(subcommand)]
    Trust(crate::trust::args::TrustCommand),
    /// The key you sign with
    #[command(subcommand)]
    Key(KeyCommand),
    /// Play one whole support case on this machine
    Demo(DemoArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Runs a child of the demo with a narrowed view of the machine
    #[command(hide = true)]
    DemoChild(DemoChildArgs),
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Log-in name
    pub login: Option<String>,
    /// File whose first line is the password (default: asked)
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    Requester,
    Technician,
    Lead,
    Coordinator,
    Administrator,
    Auditor,
}

#[derive(Debug, Subcommand)]
pub enum PersonCommand {
    /// Make an account
    New {
        /// Log-in name
        login: String,
        /// Full name
        #[arg(long)]
        name: String,
        /// Role; may be given more than once
        #[arg(long = "role", required = true, value_name = "ROLE")]
        roles: Vec<RoleName>,
        /// File whose first line is the password (default: asked)
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// List accounts
    List,
    /// Close an account, or reopen it with --undo
    Disable {
        /// Log-in name or id
        person: String,
        /// Reopen instead
        #[arg(long)]
        undo: bool,
    },
    /// Change a password, your own or (as administrator) somebody's
    Password {
        /// Log-in name or id (default: you)
        person: Option<String>,
        /// File whose first line is the old password (default: asked)
        #[arg(long, value_name = "FILE")]
        old_password_file: Option<PathBuf>,
        /// File whose first line is the new password (default: asked)
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make an enrolment token and show it this once
    New {
        /// What it is for
        #[arg(long, default_value = "")]
        note: String,
        /// How long it works, for example 30m, 12h, 7d
        #[arg(long = "for", value_name = "TIME", default_value = "24h", value_parser = crate::input::span)]
        valid_for_ms: i64,
        /// How many machines may use it
        #[arg(long, value_name = "N", default_value_t = 1)]
        uses: u32,
    },
    /// List tokens
    List,
    /// Revoke a token
    Revoke {
        /// Id of the token
        token: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum SourceCommand {
    /// Make a source and show its secret this once
    New {
        /// Its name, also the user of Basic authentication
        name: String,
    },
    /// List sources
    List,
    /// Revoke a source: what it sends from now on is refused
    Revoke {
        /// Name or id of the source
        source: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceStateName {
    Active,
    Revoked,
    Quarantined,
    Retired,
}

#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// List devices
    List {
        /// Part of host name, plate or model
        #[arg(long, default_value = "")]
        text: String,
        /// Only in this state
        #[arg(long)]
        state: Option<DeviceStateName>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show a device and its inventory
    Show {
        /// Id, host name or plate
        device: String,
        /// With every installed program
        #[arg(long)]
        software: bool,
    },
    /// End a device's stream and refuse its certificate from now on
    Revoke {
        /// Id, host name or plate
        device: String,
        /// Why; kept in the log
        #[arg(long)]
        reason: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Set what people know of a device
    Facts {
        /// Id, host name or plate
        device: String,
        /// Inventory plate
        #[arg(long)]
        plate: Option<String>,
        /// Day of purchase, YYYY-MM-DD
        #[arg(long)]
        purchase_date: Option<String>,
        /// Organisational unit
        #[arg(long)]
        dependency: Option<String>,
        /// Officer answerable for the device
        #[arg(long)]
        responsible: Option<String>,
        #[command(flatten)]
        more: Box<crate::device::args::MoreFacts>,
    },
    /// Take what people know of many devices from a spreadsheet saved as CSV
    Import(crate::device::args::ImportArgs),
    /// Devices that may be one machine, waiting for a decision
    Matches(crate::device::args::MatchesArgs),
    /// Undo a merge: the retired device stands as before
    Split {
        /// The retired device's id
        device: String,
        /// Why; kept in the log
        #[arg(long)]
        reason: String,
    },
    /// Find devices: cpu:i5 ram<8G os:"Windows 10" seen>30d
    Search(SearchArgs),
    /// Show what devices can be searched by, and how
    Fields,
    /// List devices that gave no sign of life, with their last user and place
    Silent {
        /// Not seen for so many days
        #[arg(long, value_name = "N", default_value_t = 30)]
        days: u32,
    },
    /// Save a query under a name; list:NAME stands for it in queries
    ListSave {
        /// Name of the list
        name: String,
        /// What to find
        #[arg(allow_hyphen_values = true)]
        query: String,
        /// Show it to everybody
        #[arg(long)]
        shared: bool,
    },
    /// Show the saved lists
    ListAll,
    /// Show a saved list
    ListShow {
        /// Name of the list
        name: String,
    },
    /// Delete a saved list
    ListDelete {
        /// Name of the list
        name: String,
    },
    /// Show what changed of a device and when
    History {
        /// Id, host name or plate
        device: String,
        /// Only the last so much time, for example 12h, 30d
        #[arg(long = "since", value_name = "TIME", value_parser = crate::input::span)]
        since_ms: Option<i64>,
        /// Only this section, as --json names it: memory, disks, software; may be given more than once
        #[arg(long = "section", value_name = "NAME", value_parser = crate::history::section)]
        sections: Vec<i32>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Compare two moments of a device, or two devices
    Diff {
        /// Id, host name or plate
        device: String,
        /// From how it was so long ago, for example 12h, 30d (default with no other device: 30d)
        #[arg(long = "from", value_name = "TIME", value_parser = crate::input::span)]
        from_ms: Option<i64>,
        /// To how it was so long ago (default: now)
        #[arg(long = "to", value_name = "TIME", value_parser = crate::input::span)]
        to_ms: Option<i64>,
        /// With another device: id, host name or plate
        #[arg(long, value_name = "DEVICE")]
        with: Option<String>,
    },
    /// List parts that left a device or turned up in another one
    Alarms {
        /// Only of this device: id, host name or plate
        device: Option<String>,
        /// Also those that were acknowledged
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Say what an alarm about a part was about
    Acknowledge {
        /// Id of the alarm
        alarm: String,
        /// What it was; kept in the log
        #[arg(long)]
        reason: String,
    },
    /// Identities seen on two machines at once
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
}

#[derive(Debug, Args)]
pub struct SearchArgs {
    /// What to find
    #[arg(default_value = "", allow_hyphen_values = true)]
    pub query: String,
    /// Fields to show, parted by commas
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Write every device found to a CSV file; - is the standard output
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write every device found to a spreadsheet
    #[arg(long, value_name = "FILE")]
    pub xlsx: Option<PathBuf>,
    #[command(flatten)]
    pub page: PageArgs,
}

#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// List what waits for a decision
    List,
    /// Decide: one machine after all, or revoked for both
    Resolve {
        /// Id of the quarantine entry
        quarantine: String,
        /// What to do
        #[arg(long)]
        decision: QuarantineDecisionName,
        /// Why; kept in the log
        #[arg(long)]
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QuarantineDecisionName {
    Release,
    Revoke,
}

#[derive(Clone, Debug, Default, Args)]
pub struct PageArgs {
    /// Most rows
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u32,
    /// Token of the page to go on with
    #[arg(long, value_name = "TOKEN", default_value = "")]
    pub page: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TicketStateName {
    Registered,
    Classified,
    Assigned,
    InProgress,
    OnHold,
    Solved,
    Closed,
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TicketKindName {
    Incident,
    Request,
    Maintenance,
}

#[derive(Debug, Subcommand)]
pub enum TicketCommand {
    /// Register a ticket
    New {
        /// What it is about, one line
        title: String,
        /// The whole story
        #[arg(long, default_value = "")]
        description: String,
        /// Device it is about: id, host name or plate
        #[arg(long)]
        device: Option<String>,
        /// On behalf of whom: log-in name or id
        #[arg(long = "for", value_name = "PERSON")]
        requester: Option<String>,
    },
    /// List tickets
    List {
        /// Only in this state; may be given more than once
        #[arg(long = "state", value_name = "STATE")]
        states: Vec<TicketStateName>,
        /// Only assigned to this person: log-in name, id or "me"
        #[arg(long)]
        assignee: Option<String>,
        /// Only of this requester: log-in name, id or "me"
        #[arg(long)]
        requester: Option<String>,
        /// Only about this device: id, host name or plate
        #[arg(long)]
        device: Option<String>,
        /// Part of the title
        #[arg(long, default_value = "")]
        text: String,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show a ticket with its timeline
    Show {
        /// Id or number
        ticket: String,
    },
    /// Say kind, service, urgency and impact
    Classify {
        /// Id or number
        ticket: String,
        /// Kind
        #[arg(long)]
        kind: TicketKindName,
        /// Service of the catalogue
        #[arg(long)]
        service: String,
        /// 1 (very low) to 5 (very high)
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=5))]
        urgency: u32,
        /// 1 (very low) to 5 (very high)
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=5))]
        impact: u32,
    },
    /// Give a ticket to a technician
    Assign {
        /// Id or number
        ticket: String,
        /// Log-in name, id or "me"
        #[arg(long)]
        to: String,
    },
    /// Begin work
    Start {
        /// Id or number
        ticket: String,
    },
    /// Pause work
    Hold {
        /// Id or number
        ticket: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Go on with work
    Resume {
        /// Id or number
        ticket: String,
    },
    /// Propose a solution to the requester
    Solve {
        /// Id or number
        ticket: String,
        /// What was done
        #[arg(long)]
        solution: String,
    },
    /// Accept the solution, as the requester; closes the ticket
    Approve {
        /// Id or number
        ticket: String,
        /// A word on it
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// Refuse the solution, as the requester; work goes on
    Reject {
        /// Id or number
        ticket: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Close without the requester's word, as the lead
    Close {
        /// Id or number
        ticket: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Call a ticket off
    Cancel {
        /// Id or number
        ticket: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Add a comment
    Comment {
        /// Id or number
        ticket: String,
        /// What to say
        text: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum RetirementCommand {
    /// Assess a device, each criterion with its evidence
    Assess {
        /// Id, host name or plate
        device: String,
        /// As of this day, YYYY-MM-DD (default: now)
        #[arg(long, value_name = "DAY", value_parser = crate::input::day)]
        as_of: Option<i64>,
    },
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key, protected by a passphrase
    New {
        /// Where to write it (default: key.pem of the settings folder)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// File whose first line is the passphrase (default: asked)
        #[arg(
            long,
            value_name = "FILE",
            env = "CHASQUI_PASSPHRASE_FILE",
            hide_env_values = true
        )]
        passphrase_file: Option<PathBuf>,
    },
    /// Keep the key open for a while, for risk 0 and 1 only
    Unlock {
        /// Key file (default: key.pem of the settings folder)
        #[arg(long, value_name = "FILE", env = "CHASQUI_KEY", hide_env_values = true)]
        key: Option<PathBuf>,
        /// File whose first line is the passphrase (default: asked)
        #[arg(
            long,
            value_name = "FILE",
            env = "CHASQUI_PASSPHRASE_FILE",
            hide_env_values = true
        )]
        passphrase_file: Option<PathBuf>,
        /// For how long, at most 8h
        #[arg(long = "for", value_name = "TIME", default_value = "15m", value_parser = crate::input::span)]
        valid_for_ms: i64,
    },
    /// Forget every open key
    Lock,
    /// Show the public half
    Show {
        /// Key file (default: key.pem of the settings folder)
        #[arg(long, value_name = "FILE", env = "CHASQUI_KEY", hide_env_values = true)]
        key: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Step {
    Setup,
    Enrol,
    Inventory,
    Ticket,
    Classify,
    Request,
    Approve,
    Verify,
    Run,
    Check,
    Timeline,
    Solve,
    Close,
    Retirement,
    Evidence,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder for everything the demo makes
    #[arg(long, value_name = "DIR", default_value = "./chasqui-demo")]
    pub data: PathBuf,
    /// End after the case: exit 0 when everything held
    #[arg(long)]
    pub once: bool,
    /// Folder with action definitions (default: those of this program)
    #[arg(long, value_name = "DIR")]
    pub catalogue: Option<PathBuf>,
    /// Wait for Enter before this step
    #[arg(long, value_name = "STEP")]
    pub pause_before: Option<Step>,
}

#[derive(Debug, Args)]
pub struct DemoChildArgs {
    /// Folder the child may write to; nothing outside it and the system's own folders is visible
    #[arg(long, value_name = "DIR")]
    pub only: Option<PathBuf>,
    /// Process that the child must not outlive
    #[arg(long, value_name = "PID")]
    pub parent: u32,
    /// Program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub program: Vec<std::ffi::OsString>,
}
