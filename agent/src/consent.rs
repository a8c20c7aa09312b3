//! Telling and asking the person at the machine. Now: telling, on the terminals that take messages. There is no way yet
//! to ask, so an order that must ask is refused while somebody is there: no answer means no.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use chasqui_base::text::Lang;
use chasqui_trust::definition::Consent;
use chasqui_trust::render::describe_for_person;
use chasqui_trust::result::ConsentAnswer;
use chasqui_trust::{Authorised, ConsentReceipt, Digest, Envelope, SigningKey};

use crate::policy::Refused;

const MAX_TERMINALS: usize = 64;
const MAX_SHOWN: usize = 4_000;

/// Tells or asks as the order wants. Answers the signed receipt, none where nothing was to be said.
///
/// # Errors
/// The refusal, when the answer is not a yes.
pub fn obtain(
    authorised: &Authorised,
    device_fingerprint: Digest,
    key: &SigningKey,
    now_ms: i64,
) -> Result<Option<Envelope>, Refused> {
    let lang = Lang::from_env();
    let present = somebody_is_here();
    let shown: String = describe_for_person(authorised)
        .pick(lang == Lang::Es)
        .chars()
        .take(MAX_SHOWN)
        .collect();
    let answer = match authorised.order().consent {
        Consent::None => return Ok(None),
        Consent::Notify => {
            let heading = lang.pick(
                "Soporte técnico trabajará en este equipo:",
                "Technical support is about to work on this machine:",
            );
            let told = tell_terminals(&format!(
                "\r\n{heading}\r\n{}\r\n",
                shown.replace('\n', "\r\n")
            ));
            tracing::info!(told, present, "person told");
            if present || told > 0 {
                ConsentAnswer::Notified
            } else {
                ConsentAnswer::NobodyPresent
            }
        }
        Consent::Ask if !present => ConsentAnswer::NobodyPresent,
        Consent::Ask | Consent::AskAlways => {
            return Err(Refused::new(
                "CONSENT_NOT_POSSIBLE",
                "la acción exige preguntar a la persona del equipo y este agente aún no puede preguntar; sin respuesta no se ejecuta",
                "the action must ask the person at the machine and this agent cannot ask yet; without an answer it does not run",
            ));
        }
    };
    let receipt = ConsentReceipt {
        critical: Vec::new(),
        org: authorised.order().org.clone(),
        order_digest: authorised.digest(),
        device_fingerprint,
        answer,
        user: None,
        shown,
        asked_at_ms: now_ms,
        answered_at_ms: now_ms,
    };
    chasqui_trust::sign(&receipt, &[key])
        .map(Some)
        .map_err(|error| {
            let text = error.text();
            Refused::new("CONSENT_NOT_POSSIBLE", text.es, text.en)
        })
}

/// True when a person is logged in, as logind or a terminal shows it.
fn somebody_is_here() -> bool {
    let session = fs::read_dir("/run/systemd/sessions")
        .into_iter()
        .flatten()
        .flatten()
        .take(MAX_TERMINALS)
        .filter_map(|file| fs::read_to_string(file.path()).ok())
        .any(|text| text.lines().any(|line| line == "CLASS=user"));
    session || open_terminals().next().is_some()
}

/// Terminals that take messages from others (mesg y: writable by their group).
fn open_terminals() -> impl Iterator<Item = fs::File> {
    fs::read_dir("/dev/pts")
        .into_iter()
        .flatten()
        .flatten()
        .take(MAX_TERMINALS)
        .filter_map(|entry| open_terminal(&entry.path()))
}

#[cfg(unix)]
fn open_terminal(path: &Path) -> Option<fs::File> {
    use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
    let meta = fs::symlink_metadata(path).ok()?;
    let takes = meta.file_type().is_char_device() && meta.permissions().mode() & 0o020 != 0;
    if !takes || path.file_name()? == "ptmx" {
        return None;
    }
    // A terminal that is stopped must not stop the agent.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    fs::OpenOptions::new()
        .write(true)
        .custom_flags(i32::try_from(flags.bits()).ok()?)
        .open(path)
        .ok()
}

#[cfg(not(unix))]
fn open_terminal(_path: &Path) -> Option<fs::File> {
    None
}

fn tell_terminals(text: &str) -> usize {
    open_terminals()
        .filter_map(|mut terminal| terminal.write_all(text.as_bytes()).ok())
        .count()
}
