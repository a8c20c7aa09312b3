//! `chasqui-server check`: whether the record agrees with itself and with the tables. Every leaf, node and checkpoint of
//! the log is recomputed, checkpoints are verified with the log's public key, and every ticket is replayed from its
//! events.

use anyhow::{Context as _, bail};
use chasqui_base::text::Lang;
use chasqui_store::log::{self, Report};
use chasqui_store::{Options, Store, StoreError};
use chasqui_trust::{PublicKey, SigningKey};

use crate::config::Config;
use crate::init;
use crate::rpc;

/// What the check saw.
#[derive(Debug)]
pub struct Checked {
    /// The log and the states.
    pub report: Report,
    /// Tickets replayed.
    pub tickets: u64,
    /// Tickets whose row is not what their events lead to.
    pub findings: Vec<String>,
}

impl Checked {
    /// Whether everything agrees.
    pub fn holds(&self) -> bool {
        self.report.holds() && self.findings.is_empty()
    }
}

/// Checks an open store in one snapshot. Blocking: not for an async thread.
///
/// # Errors
/// When the store cannot be read; disagreements are findings.
pub fn check_store(store: &Store, org: &str, key: &PublicKey) -> Result<Checked, StoreError> {
    store.read_blocking(|tx| -> Result<Checked, StoreError> {
        let report = log::check(tx, Some(&|signed| rpc::log::is_signed(org, key, signed)))?;
        let mut findings = Vec::new();
        let tickets = rpc::ticket::check_replay(tx, &mut findings)?;
        Ok(Checked {
            report,
            tickets,
            findings,
        })
    })
}

/// The command.
///
/// # Errors
/// When something does not agree, after it was printed.
pub fn check(config: &Config, lang: Lang) -> anyhow::Result<()> {
    let path = config.data_file(init::LOG_KEY);
    let pem = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let key = SigningKey::from_pkcs8_pem(&pem)
        .with_context(|| path.display().to_string())?
        .public_key();
    let store = Store::open(&config.store.url, &Options::existing()).context("the database")?;
    let checked = check_store(&store, &config.organisation, &key)?;
    let report = &checked.report;
    for (es, en, number) in [
        ("eventos", "events", report.events),
        ("eventos sellados", "sealed events", report.sealed),
        ("puntos de control", "checkpoints", report.checkpoints),
        ("estados comparados", "states compared", report.states),
        (
            "tiquetes reproducidos",
            "tickets replayed",
            i64::try_from(checked.tickets).unwrap_or(i64::MAX),
        ),
    ] {
        println!("{}: {number}", lang.pick(es, en));
    }
    if checked.holds() {
        println!("{}", lang.pick("todo concuerda", "everything agrees"));
        return Ok(());
    }
    for finding in report.findings.iter().chain(&checked.findings) {
        eprintln!("  {finding}");
    }
    bail!(
        "{}",
        lang.pick(
            "el registro y las tablas no concuerdan: detenga el servidor, conserve una copia y restaure la última copia de respaldo",
            "the record and the tables do not agree: stop the server, keep a copy and restore the last backup"
        )
    )
}
