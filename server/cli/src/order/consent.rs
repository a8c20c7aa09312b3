//! What the person at a machine answered, from the receipt the machine signed. It travels in the evidence of an order; who
//! may not read that sees the receipt's digest alone.

use chasqui_proto::v1;
use chasqui_trust::result::{AnsweredBy, ConsentAnswer, ConsentReceipt};
use chasqui_trust::{ActionResult, Document as _, Evidence, PublicKey};
use serde_json::{Value, json};

use crate::client::Client;
use crate::evidence;
use crate::output::{Screen, clean};

/// The receipt a result names, if it can be had: its digest is the result's and the device's key signed it.
pub async fn receipt(
    client: &Client,
    order_id: &str,
    target: &v1::OrderTarget,
    result: &ActionResult,
) -> Option<ConsentReceipt> {
    let digest = result.consent_digest?;
    let answer = evidence::export(client, order_id, &target.device_id)
        .await
        .ok()?;
    let evidence = Evidence::decode(&answer.evidence).ok()?;
    let envelope = evidence.consent?;
    believed(&envelope, digest, result, &evidence.device_key)
}

fn believed(
    envelope: &chasqui_trust::Envelope,
    digest: chasqui_trust::Digest,
    result: &ActionResult,
    key: &PublicKey,
) -> Option<ConsentReceipt> {
    let receipt = ConsentReceipt::decode(envelope).ok()?;
    let holds = envelope.payload_digest() == digest
        && key.fingerprint() == result.device_fingerprint
        && envelope.is_signed_by(key)
        && receipt.order_digest == result.order_digest;
    holds.then_some(receipt)
}

/// The answer in words, with who gave it and how.
pub fn line(screen: &Screen, receipt: &ConsentReceipt) -> String {
    let (es, en) = match receipt.answer {
        ConsentAnswer::Notified => ("se avisó", "told"),
        ConsentAnswer::Granted => ("dijo que sí", "said yes"),
        ConsentAnswer::Denied => ("dijo que no", "said no"),
        ConsentAnswer::TimedOut => (
            "no respondió, que es un no",
            "did not answer, which is a no",
        ),
        ConsentAnswer::NobodyPresent => ("no había nadie", "nobody was there"),
        ConsentAnswer::Locked => ("la pantalla estaba bloqueada", "the screen was locked"),
    };
    let mut out = format!(
        "{} {}",
        screen.say("la persona del equipo:", "the person there:"),
        screen.say(es, en)
    );
    if let Some(user) = &receipt.user {
        out.push_str(&format!(" ({}", clean(user)));
        if let Some(by) = receipt.by {
            let (es, en) = match by {
                AnsweredBy::Pointer => ("con el puntero", "with the pointer"),
                AnsweredBy::Keyboard => ("con el teclado", "with the keyboard"),
                AnsweredBy::Terminal => ("en una terminal", "in a terminal"),
            };
            out.push_str(&format!(", {}", screen.say(es, en)));
        }
        out.push(')');
    }
    if receipt.deferred > 0 {
        out.push_str(&format!(
            ", {} {}",
            screen.say("aplazada", "put off"),
            receipt.deferred
        ));
    }
    out.push_str(&format!(" — {}", screen.time(receipt.answered_at_ms)));
    out
}

/// The answer for scripts.
pub fn to_json(receipt: &ConsentReceipt) -> Value {
    json!({
        "answer": serde_json::to_value(receipt.answer).unwrap_or(Value::Null),
        "user": receipt.user,
        "by": serde_json::to_value(receipt.by).unwrap_or(Value::Null),
        "deferred": receipt.deferred,
        "shown": receipt.shown,
        "asked_at_ms": receipt.asked_at_ms,
        "answered_at_ms": receipt.answered_at_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chasqui_base::text::Lang;

    #[test]
    fn an_answer_names_who_gave_it_and_how() {
        let mut receipt = ConsentReceipt {
            critical: Vec::new(),
            org: "example.org".to_owned(),
            order_digest: chasqui_trust::Digest::of(b"order"),
            device_fingerprint: chasqui_trust::Digest::of(b"device"),
            answer: ConsentAnswer::Granted,
            user: Some("ana\u{1b}".to_owned()),
            by: Some(AnsweredBy::Keyboard),
            deferred: 1,
            shown: "…".to_owned(),
            asked_at_ms: 1,
            answered_at_ms: 1_795_457_109_000,
        };
        let text = line(&Screen::plain(Lang::En), &receipt);
        assert!(
            text.contains("said yes (ana[U+001B], with the keyboard), put off 1"),
            "{text}"
        );
        receipt.answer = ConsentAnswer::TimedOut;
        receipt.user = None;
        let text = line(&Screen::plain(Lang::Es), &receipt);
        assert!(text.contains("que es un no"), "{text}");
        assert_eq!(to_json(&receipt)["answer"], "timed_out");
    }
}
