//! Telling and asking the person at the machine. Now: telling, on the terminals that can be written to. There is no way
//! yet to ask, so an order that must ask is refused while somebody is there: no answer means no. The same holds for an
//! order that must tell when nobody can be told: the signed receipt never says that somebody was told who was not.

mod presence;

use chasqui_base::text::Lang;
use chasqui_trust::definition::{Consent, WhenAbsent};
use chasqui_trust::render::describe_for_person;
use chasqui_trust::result::ConsentAnswer;
use chasqui_trust::{Authorised, ConsentReceipt, Digest, Envelope, SigningKey};

use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::policy::Refused;
use presence::{Places, Presence};

const MAX_SHOWN: usize = 4_000;

/// True when somebody has a session here, or when that cannot be excluded.
pub fn somebody_present() -> bool {
    Presence::find(&Places::of_this_machine()).somebody()
}

/// What is to be asked, and of whom.
#[derive(Debug)]
pub struct Ask<'a> {
    /// What people signed.
    pub authorised: &'a Authorised,
    /// The order's consent, or stronger where the local policy says so.
    pub consent: Consent,
    /// What to do when nobody is there or the screen is locked.
    pub when_absent: WhenAbsent,
    /// This machine.
    pub device_fingerprint: Digest,
    /// Signs the receipt.
    pub key: &'a SigningKey,
    /// Folder for answers; inside the agent's state folder.
    pub folder: &'a Path,
    /// The order cannot begin from here on, UTC milliseconds.
    pub not_after_ms: i64,
    /// Called off by a person, or the agent stops.
    pub cancel: &'a CancellationToken,
}

/// What came of it.
#[derive(Debug)]
pub enum Obtained {
    /// May begin; the signed receipt where somebody was told or asked.
    Yes(Option<Envelope>),
    /// May not begin; the receipt of what was answered, where somebody was asked.
    No(Refused, Option<Envelope>),
    /// Called off before an answer.
    CalledOff,
}

/// Tells or asks as the order wants.
pub async fn obtain(ask: &Ask<'_>) -> Obtained {
    match tell(ask) {
        Ok(receipt) => Obtained::Yes(receipt),
        Err(refused) => Obtained::No(refused, None),
    }
}

fn tell(ask: &Ask<'_>) -> Result<Option<Envelope>, Refused> {
    let now_ms = chasqui_base::clock::now_ms();
    if ask.consent == Consent::None {
        return Ok(None);
    }
    let authorised = ask.authorised;
    let lang = Lang::from_env();
    let presence = Presence::find(&Places::of_this_machine());
    let shown: String = describe_for_person(authorised)
        .pick(lang == Lang::Es)
        .chars()
        .take(MAX_SHOWN)
        .collect();
    let answer = match ask.consent {
        Consent::None => return Ok(None),
        Consent::Notify => {
            let heading = lang.pick(
                "Soporte técnico trabajará en este equipo:",
                "Technical support is about to work on this machine:",
            );
            let told = presence.tell(&format!(
                "\r\n{heading}\r\n{}\r\n",
                shown.replace('\n', "\r\n")
            ));
            tracing::info!(told, present = presence.somebody(), "person told");
            notice(presence.somebody(), told)?
        }
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
        device_fingerprint: ask.device_fingerprint,
        answer,
        user: None,
        by: None,
        deferred: 0,
        shown,
        asked_at_ms: now_ms,
        answered_at_ms: now_ms,
    };
    chasqui_trust::sign(&receipt, &[ask.key])
        .map(Some)
        .map_err(|error| {
            let text = error.text();
            Refused::new("CONSENT_NOT_POSSIBLE", text.es, text.en)
        })
}

/// What may be signed after telling: that somebody was told only if a terminal took the text.
fn notice(somebody: bool, told: usize) -> Result<ConsentAnswer, Refused> {
    match (told, somebody) {
        (1.., _) => Ok(ConsentAnswer::Notified),
        (0, false) => Ok(ConsentAnswer::NobodyPresent),
        (0, true) => Err(Refused::new(
            "CONSENT_NOT_POSSIBLE",
            "la acción exige avisar a la persona del equipo y no se pudo avisar a nadie: ninguna terminal recibe mensajes; abra una terminal en el equipo o cierre la sesión y vuelva a pedir la acción",
            "the action must tell the person at the machine and nobody could be told: no terminal takes messages; open a terminal on the machine or log out, and order the action again",
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn nobody_is_said_to_be_told_who_was_not() {
        assert_eq!(notice(true, 1).unwrap(), ConsentAnswer::Notified);
        assert_eq!(notice(false, 0).unwrap(), ConsentAnswer::NobodyPresent);
        let refused = notice(true, 0).unwrap_err();
        assert_eq!(refused.rule, "CONSENT_NOT_POSSIBLE");
        assert!(refused.text.es.contains("ninguna terminal"));
        assert!(refused.text.en.contains("no terminal takes messages"));
    }
}
