//! `session.message` and `session.delivered`: words for the person at the machine, with the ticket they belong to.

use std::time::Duration;

use chasqui_base::clock;
use chasqui_base::text::Text;
use serde_json::{Value, json};

use super::builtin::{Args, Boxed, Check, Ended, Finding, Making, Step, Work, fact};
use crate::consent::{self, Message};
use crate::policy::Refused;

/// `session.message`: `text` (1 to 1,000 characters), `buttons` (`ok`, `yes_no`), `wait_seconds` (10 to 600).
pub fn step(args: &mut Args, making: &Making<'_>) -> Result<Box<dyn Step>, Refused> {
    let body = args.needed("text")?;
    let yes_no = match args.needed("buttons")?.as_str() {
        "ok" => false,
        "yes_no" => true,
        _ => return Err(args.wrong("buttons")),
    };
    let seconds = args.between("wait_seconds", 10, 600)?;
    if body.is_empty() || body.chars().count() > 1_000 {
        return Err(args.wrong("text"));
    }
    let order = making.authorised.order();
    Ok(Box::new(Words(Message {
        title: format!(
            "{} · {}",
            order.ticket.number,
            making.authorised.requester().name
        ),
        body,
        yes_no,
        wait: Duration::from_secs(seconds.unsigned_abs()),
    })))
}

#[derive(Debug)]
struct Words(Message);

impl Step for Words {
    fn run<'a>(&'a self, work: &'a Work<'a>) -> Boxed<'a, Ended> {
        Box::pin(async {
            let shown = tokio::select! {
                shown = consent::show(&self.0) => shown,
                () = work.control.cancel.cancelled() => return Ended::badly("cancelled"),
                () = tokio::time::sleep(work.limit) => return Ended::badly("time limit"),
            };
            if shown.delivered == 0 {
                return Ended::badly("nobody could be shown the message");
            }
            Ended::well(json!({
                "delivered": shown.delivered,
                "answer": shown.answer,
                "at_ms": clock::now_ms(),
            }))
        })
    }
}

/// `session.delivered`.
pub fn check(_: &mut Args, _: &Making<'_>) -> Result<Box<dyn Check>, Refused> {
    Ok(Box::new(Delivered))
}

#[derive(Debug)]
struct Delivered;

impl Check for Delivered {
    fn observe<'a>(&'a self, _: &'a Work<'a>) -> Boxed<'a, Value> {
        Box::pin(async { Value::Null })
    }

    fn judge<'a>(&'a self, _: &'a Value, said: &'a Value, _: &'a Work<'a>) -> Boxed<'a, Finding> {
        Box::pin(async { judge(said) })
    }
}

/// Whether the words were shown, only the showing can tell.
fn judge(said: &Value) -> Finding {
    let delivered = said["delivered"].as_u64().unwrap_or(0);
    let answer = said["answer"].as_str();
    let (es, en) = match (delivered, answer) {
        (0, _) => (
            "el mensaje no llegó a nadie".to_owned(),
            "the message reached nobody".to_owned(),
        ),
        (_, None) => (
            "el mensaje se mostró; nadie respondió".to_owned(),
            "the message was shown; nobody answered".to_owned(),
        ),
        (_, Some(answer)) => (
            format!("el mensaje se mostró; respuesta: {answer}"),
            format!("the message was shown; answer: {answer}"),
        ),
    };
    let none: Option<u64> = None;
    Finding {
        holds: delivered > 0,
        facts: vec![
            fact("delivered_to", none, Some(delivered), ""),
            fact("answer", none, answer, ""),
            fact("shown_until", none, said["at_ms"].as_i64(), "ms"),
        ],
        explanation: Text::new(es, en),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reached_nobody_is_no_success() {
        assert!(!judge(&Value::Null).holds);
        assert!(!judge(&json!({"delivered": 0})).holds);
        assert!(judge(&json!({"delivered": 1, "answer": "yes"})).holds);
    }
}
