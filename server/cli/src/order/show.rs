//! `order show`: an order from its signed bytes, who signed, and what each machine answered, its signature checked.

use std::path::PathBuf;

use chasqui_proto::v1;
use chasqui_trust::order::Start;
use chasqui_trust::result::{ConsentReceipt, Outcome as Ended, UndoCause};
use chasqui_trust::{ActionResult, Definition, Digest, PublicKey, verify_result};
use serde_json::{Value, json};

use crate::client::Client;
use crate::context::Context;
use crate::device;
use crate::failure::{Exit, Failure, Outcome};
use crate::order::consent;
use crate::order::statement::{Examined, examine, read};
use crate::order::{order_json, state_text};
use crate::output::{Screen, Tone, clean};
use crate::papers;

/// A machine's result, and what the person there answered when that can be read.
type Answered = (ActionResult, Option<ConsentReceipt>);

pub async fn run(
    context: &Context,
    client: &Client,
    order_id: &str,
    root: Option<&PathBuf>,
) -> Outcome {
    let screen = &context.screen;
    // Without a pinned root the order can be read, but nobody's signature can be believed: said, not hidden.
    let (examined, verified) = match papers::pinned_root(context, root) {
        Ok(pinned) => {
            let papers = papers::fetch(client, &pinned).await?;
            match examine(client, &papers, order_id).await {
                Ok(examined) => (examined, Ok(())),
                Err(failure) => (
                    read(client, order_id, papers.state.people()).await?.0,
                    Err(failure),
                ),
            }
        }
        Err(failure) => (read(client, order_id, None).await?.0, Err(failure)),
    };
    let mut results = Vec::new();
    for target in &examined.told.targets {
        if target.result.is_empty() {
            results.push(None);
            continue;
        }
        let result = result_of(client, &examined, target).await?;
        let receipt = consent::receipt(client, order_id, target, &result).await;
        results.push(Some((result, receipt)));
    }
    let mut value = order_json(&examined.told);
    if let Some(object) = value.as_object_mut() {
        object.insert(
            "text".to_owned(),
            json!({ "es": examined.text.es, "en": examined.text.en }),
        );
        // As signed, not as told.
        for (name, value) in [
            ("break_glass", json!(examined.order.break_glass)),
            ("next_boot", json!(examined.order.start == Start::NextBoot)),
            (
                "consent",
                serde_json::to_value(examined.order.consent).unwrap_or(Value::Null),
            ),
        ] {
            object.insert(name.to_owned(), value);
        }
        object.insert("verified".to_owned(), json!(verified.is_ok()));
        object.insert(
            "not_verified_because".to_owned(),
            verified
                .as_ref()
                .err()
                .map_or(Value::Null, |failure| json!(failure.code)),
        );
        object.insert(
            "results".to_owned(),
            results
                .iter()
                .map(|found| {
                    found.as_ref().map(|(result, receipt)| {
                        let mut value = result_json(result);
                        if let Some(object) = value.as_object_mut() {
                            let answer = receipt.as_ref().map_or(Value::Null, consent::to_json);
                            object.insert("consent".to_owned(), answer);
                        }
                        value
                    })
                })
                .collect(),
        );
    }
    screen.show(&value, |s| render(s, &examined, &verified, &results));
    // Papers that do not hold are an answer of their own for scripts; a missing root or a lapsed approval is not.
    match verified {
        Err(failure) if failure.exit == Exit::Invalid => Err(failure),
        _ => Ok(()),
    }
}

/// The machine's signed result, verified with the key the order was signed for.
pub async fn result_of(
    client: &Client,
    examined: &Examined,
    target: &v1::OrderTarget,
) -> Outcome<ActionResult> {
    let device = device::get(client, &target.device_id).await?;
    let key = PublicKey::from_slice(&device.public_key)?;
    let index = usize::try_from(target.leaf_index).unwrap_or(usize::MAX);
    let leaf = examined.leaves.get(index);
    if leaf.is_none_or(|leaf| leaf.device_fingerprint != key.fingerprint()) {
        return Err(Failure::new(
            Exit::Invalid,
            "EVIDENCE_DEVICE_KEY",
            "la clave del equipo no es aquella para la que se firmó la orden",
            "the device's key is not the one the order was signed for",
        ));
    }
    let digest = Digest::of(&examined.envelope.payload);
    verify_result(&target.result, &digest, &key).map_err(|error| {
        let text = error.text();
        Failure::new(Exit::Invalid, error.code(), text.es, text.en)
    })
}

/// How an action ended, in words.
pub fn ended_text(screen: &Screen, outcome: Ended) -> String {
    let (tone, es, en) = match outcome {
        Ended::Succeeded => (Tone::Good, "lograda", "succeeded"),
        Ended::Failed => (Tone::Bad, "fallida", "failed"),
        Ended::Partly => (Tone::Warn, "lograda en parte", "partly succeeded"),
        Ended::Refused => (
            Tone::Bad,
            "rechazada por el equipo",
            "refused by the machine",
        ),
        Ended::Unknown => (Tone::Warn, "desconocida", "unknown"),
        Ended::Cancelled => (Tone::Bad, "detenida por una persona", "stopped by a person"),
    };
    screen.tone(tone, screen.lang.pick(es, en))
}

/// The check's facts, before and after, named as the definition names them for people.
pub fn fact_lines(screen: &Screen, result: &ActionResult, definition: &Definition) -> Vec<String> {
    let not_observed = screen.say("no observado", "not observed");
    result
        .check
        .iter()
        .flat_map(|check| &check.facts)
        .map(|fact| {
            let title = definition
                .evidence
                .iter()
                .find(|spec| spec.fact == fact.name)
                .map_or(fact.name.as_str(), |spec| {
                    screen.lang.pick(&spec.title.es, &spec.title.en)
                });
            let after = fact
                .after
                .as_deref()
                .map_or_else(|| not_observed.to_owned(), clean);
            let unit = if fact.unit.is_empty() {
                String::new()
            } else {
                format!(" {}", clean(&fact.unit))
            };
            // What an action counts (files removed) has no value before it.
            match &fact.before {
                Some(before) => format!("{}: {} → {after}{unit}", clean(title), clean(before)),
                None => format!("{}: {after}{unit}", clean(title)),
            }
        })
        .collect()
}

/// What else the machine signed: whether somebody was told or asked, a restart, and what was taken back.
fn after_lines(
    screen: &Screen,
    result: &ActionResult,
    receipt: Option<&ConsentReceipt>,
) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(refusal) = &result.refusal {
        lines.push(format!(
            "{} {} — {}",
            screen.say("negado por:", "refused by:"),
            clean(&refusal.rule),
            clean(screen.lang.pick(&refusal.detail.es, &refusal.detail.en))
        ));
    }
    if let Some(receipt) = receipt {
        lines.push(consent::line(screen, receipt));
    } else if let Some(digest) = &result.consent_digest {
        lines.push(format!(
            "{} {}",
            screen.say(
                "a la persona se le avisó o preguntó; recibo",
                "the person was told or asked; receipt"
            ),
            digest.to_hex().chars().take(16).collect::<String>()
        ));
    }
    if let Some(began) = &result.started_boot_id
        && *began != result.boot_id
    {
        lines.push(
            screen
                .say(
                    "el equipo arrancó de nuevo entretanto",
                    "the machine started anew meanwhile",
                )
                .to_owned(),
        );
    }
    if let Some(undo) = &result.undo {
        let cause = match undo.cause {
            UndoCause::CheckFailed => screen.say(
                "porque la comprobación no se cumplió",
                "because the check did not hold",
            ),
            UndoCause::Unreachable => screen.say(
                "porque el coordinador no se alcanzaba",
                "because the coordinator could not be reached",
            ),
        };
        let (tone, how) = if undo.complete {
            (Tone::Warn, screen.say("devuelto", "taken back"))
        } else {
            (
                Tone::Bad,
                screen.say("devuelto solo en parte", "taken back in part only"),
            )
        };
        lines.push(format!("{} {cause}", screen.tone(tone, how)));
        for step in &undo.steps {
            let code = step
                .exit_code
                .map_or_else(|| "—".to_owned(), |code| code.to_string());
            lines.push(format!(
                "  {} ({code}) {}",
                clean(&step.id),
                clean(&step.note)
            ));
        }
    }
    lines
}

/// The stable JSON of a verified result.
pub fn result_json(result: &ActionResult) -> Value {
    let text = |t: &chasqui_trust::Text| json!({ "es": t.es, "en": t.en });
    json!({
        "outcome": serde_json::to_value(result.outcome).unwrap_or(Value::Null),
        "attempt": result.attempt,
        "refusal": result.refusal.as_ref().map(|r| json!({
            "rule": r.rule,
            "detail": text(&r.detail),
        })),
        "started_at_ms": result.started_at_ms,
        "finished_at_ms": result.finished_at_ms,
        "steps": result.steps.iter().map(|s| json!({
            "id": s.id,
            "exit_code": s.exit_code,
            "duration_ms": s.duration_ms,
            "note": s.note,
        })).collect::<Vec<_>>(),
        "check": result.check.as_ref().map(|c| json!({
            "holds": c.holds,
            "explanation": text(&c.explanation),
            "facts": c.facts.iter().map(|f| json!({
                "name": f.name,
                "before": f.before,
                "after": f.after,
                "unit": f.unit,
            })).collect::<Vec<_>>(),
        })),
        "consent_digest": result.consent_digest.map(|digest| digest.to_hex()),
        "undo": result.undo.as_ref().map(|undo| json!({
            "cause": serde_json::to_value(undo.cause).unwrap_or(Value::Null),
            "complete": undo.complete,
            "steps": undo.steps.iter().map(|s| json!({
                "id": s.id,
                "exit_code": s.exit_code,
                "duration_ms": s.duration_ms,
                "note": s.note,
            })).collect::<Vec<_>>(),
        })),
        "restarted": result.started_boot_id.as_ref().is_some_and(|id| *id != result.boot_id),
        "agent_version": result.agent_version,
        "clock_offset_ms": result.clock_offset_ms,
    })
}

fn render(
    screen: &Screen,
    examined: &Examined,
    verified: &Outcome,
    results: &[Option<Answered>],
) -> String {
    let mut out = format!(
        "{}{}\n{}\n",
        crate::order::emergency(screen, &examined.order),
        state_text(screen, examined.told.state()),
        screen
            .lang
            .pick(&examined.text.es, &examined.text.en)
            .trim_end()
    );
    match verified {
        Ok(()) => out.push_str(&format!(
            "{} {}\n",
            screen.tone(Tone::Good, "✔"),
            screen.say(
                "firmas verificadas bajo la raíz instalada aquí",
                "signatures verified under the root pinned here"
            )
        )),
        Err(failure) => out.push_str(&format!(
            "{} {}: {} [{}]\n",
            screen.tone(Tone::Bad, "✘"),
            screen.say("firmas sin verificar", "signatures not verified"),
            clean(failure.text.get(screen.lang)),
            failure.code
        )),
    }
    for statement in &examined.told.statements {
        let (es, en) = match statement.decision.as_str() {
            "approve" => ("aprobó", "approved"),
            "reject" => ("rechazó", "rejected"),
            "withdraw" => ("retiró", "withdrew"),
            _ => ("declaró", "stated"),
        };
        out.push_str(&format!(
            "  {} {} — {}\n",
            clean(&statement.person_name),
            screen.lang.pick(es, en),
            screen.time(statement.at_ms)
        ));
    }
    for (target, result) in examined.told.targets.iter().zip(results) {
        out.push_str(&format!(
            "  {}: {}\n",
            clean(&target.host_name),
            state_text(screen, target.state())
        ));
        if !target.refusal_code.is_empty() {
            let refusal = target.refusal.clone().unwrap_or_default();
            out.push_str(&format!(
                "    {} — {}\n",
                clean(&target.refusal_code),
                clean(screen.lang.pick(&refusal.es, &refusal.en))
            ));
        }
        if let Some((result, receipt)) = result {
            out.push_str(&format!(
                "    {} {}, {}\n",
                screen.say("resultado firmado:", "signed result:"),
                ended_text(screen, result.outcome),
                screen.time(result.finished_at_ms)
            ));
            if let Some(check) = &result.check {
                out.push_str(&format!(
                    "    {} {}\n",
                    screen.say("comprobación:", "check:"),
                    clean(
                        screen
                            .lang
                            .pick(&check.explanation.es, &check.explanation.en)
                    )
                ));
            }
            for line in fact_lines(screen, result, &examined.definition) {
                out.push_str(&format!("      {line}\n"));
            }
            for line in after_lines(screen, result, receipt.as_ref()) {
                out.push_str(&format!("    {line}\n"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use chasqui_base::text::Lang;
    use chasqui_trust::result::{
        AnsweredBy, CheckFact, CheckResult, ConsentAnswer, Output, StepResult, UndoResult,
    };
    use chasqui_trust::{Definition, Text};

    fn result() -> ActionResult {
        ActionResult {
            critical: Vec::new(),
            org: "example.org".to_owned(),
            order_digest: Digest::of(b"order"),
            device_fingerprint: Digest::of(b"device"),
            attempt: 1,
            outcome: Ended::Failed,
            refusal: None,
            started_at_ms: Some(1_795_457_100_000),
            finished_at_ms: 1_795_457_109_000,
            steps: Vec::new(),
            output: Output::of(b"", false),
            check: Some(CheckResult {
                holds: false,
                facts: vec![
                    CheckFact {
                        name: "free_bytes".to_owned(),
                        before: Some("100".to_owned()),
                        after: Some("90".to_owned()),
                        unit: "bytes".to_owned(),
                    },
                    CheckFact {
                        name: "old_files".to_owned(),
                        before: Some("3".to_owned()),
                        after: None,
                        unit: String::new(),
                    },
                ],
                explanation: Text::new("quedan archivos", "files are left"),
            }),
            consent_digest: Some(Digest::of(b"receipt")),
            undo: Some(UndoResult {
                cause: UndoCause::CheckFailed,
                steps: vec![StepResult {
                    id: "restore".to_owned(),
                    exit_code: None,
                    duration_ms: 5,
                    note: "time limit".to_owned(),
                }],
                complete: false,
            }),
            started_boot_id: Some("before".to_owned()),
            boot_id: "after".to_owned(),
            agent_version: "0.1.0".to_owned(),
            clock_offset_ms: None,
        }
    }

    #[test]
    fn a_result_reads_to_its_end() {
        let definition: Definition =
            serde_json::from_str(include_str!("../../../catalogue/disk.clean.temp.json")).unwrap();
        let result = result();
        let receipt = ConsentReceipt {
            critical: Vec::new(),
            org: "example.org".to_owned(),
            order_digest: result.order_digest,
            device_fingerprint: result.device_fingerprint,
            answer: ConsentAnswer::Granted,
            user: Some("ana".to_owned()),
            by: Some(AnsweredBy::Pointer),
            deferred: 0,
            shown: "…".to_owned(),
            asked_at_ms: 1_795_457_000_000,
            answered_at_ms: 1_795_457_090_000,
        };
        for lang in [Lang::Es, Lang::En] {
            let screen = Screen::plain(lang);
            let mut lines = fact_lines(&screen, &result, &definition);
            lines.extend(after_lines(&screen, &result, Some(&receipt)));
            // Moments are shown in the zone of whoever runs the test.
            for line in &mut lines {
                if let Some((before, _)) = line.split_once(" — ") {
                    *line = before.to_owned();
                }
            }
            insta::assert_snapshot!(format!("result_{lang:?}"), lines.join("\n"));
        }
        let value = result_json(&result);
        assert_eq!(value["undo"]["cause"], "check_failed");
        assert_eq!(value["restarted"], true);
        assert_eq!(value["check"]["facts"][0]["before"], "100");
    }

    #[test]
    fn without_the_receipt_its_digest_is_said() {
        let screen = Screen::plain(Lang::En);
        let text = after_lines(&screen, &result(), None).join("\n");
        assert!(text.contains("receipt"), "{text}");
    }
}
