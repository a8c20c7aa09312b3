//! Telling and asking the person at the machine. Now: telling, on the terminals that can be written to. There is no way
//! yet to ask, so an order that must ask is refused while somebody is there: no answer means no. The same holds for an
//! order that must tell when nobody can be told: the signed receipt never says that somebody was told who was not.

mod presence;

use chasqui_base::text::Lang;
use chasqui_trust::definition::Consent;
use chasqui_trust::render::describe_for_person;
use chasqui_trust::result::ConsentAnswer;
use chasqui_trust::{Authorised, ConsentReceipt, Digest, Envelope, SigningKey};

use crate::policy::Refused;
use presence::{Places, Presence};

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
    if authorised.order().consent == Consent::None {
        return Ok(None);
    }
    let lang = Lang::from_env();
    let presence = Presence::find(&Places::of_this_machine());
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
        device_fingerprint,
        answer,
        user: None,
        by: None,
        deferred: 0,
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
