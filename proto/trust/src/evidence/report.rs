//! The report of an evidence file: each verified step in both languages. It only words what was verified before.

use super::{Checkpoint, Evidence, EvidenceReport, ReportStep};
use crate::order::Order;
use crate::render::utc;
use crate::result::{ActionResult, ConsentAnswer, ConsentReceipt, Outcome, UndoCause, UndoResult};
use crate::state::TrustState;
use crate::text::{Text, neutralise};
use crate::verify::Authorised;

pub(super) struct Findings<'a> {
    pub(super) authorised: Option<&'a Authorised>,
    pub(super) result: Option<&'a ActionResult>,
    pub(super) consent: Option<&'a ConsentReceipt>,
    pub(super) checkpoint: Option<&'a Checkpoint>,
}

pub(super) fn report(
    evidence: &Evidence,
    trust: &TrustState,
    order: &Order,
    at_ms: i64,
    found: Findings<'_>,
) -> EvidenceReport {
    let mut steps = Vec::new();
    let mut step = |title: Text, detail: Text, at_ms: Option<i64>| {
        steps.push(ReportStep {
            title,
            detail,
            at_ms,
        });
    };
    let root = trust.root();
    let keys = root.root.key_ids.len();
    step(
        Text::new("Raíz de confianza", "Root of trust"),
        if trust.single_signer() {
            Text::new(
                format!(
                    "versión {}; UNA SOLA CLAVE puede reemplazarla",
                    root.version
                ),
                format!("version {}; ONE KEY ALONE can replace it", root.version),
            )
        } else {
            Text::new(
                format!(
                    "versión {}; la reemplazan {} de {keys} claves",
                    root.version, root.root.threshold
                ),
                format!(
                    "version {}; replaced by {} of {keys} keys",
                    root.version, root.root.threshold
                ),
            )
        },
        Some(root.issued_at_ms),
    );
    let leaf = &evidence.bundle.leaf;
    let plate = leaf
        .plate
        .as_deref()
        .map(|p| format!(" ({})", neutralise(p)))
        .unwrap_or_default();
    let what = format!(
        "{} v{}, {} {}",
        neutralise(&order.definition.id),
        order.definition.version,
        neutralise(&order.ticket.number),
        neutralise(&order.id)
    );
    match found.authorised {
        Some(authorised) => {
            let requester = authorised.requester();
            step(
                Text::new("Orden firmada", "Order signed"),
                Text::new(
                    format!("{} solicitó {what}", neutralise(&requester.name)),
                    format!("{} requested {what}", neutralise(&requester.name)),
                ),
                Some(requester.at_ms),
            );
            for approver in authorised.approvers() {
                step(
                    Text::new("Aprobación firmada", "Approval signed"),
                    Text::same(neutralise(&approver.name)),
                    Some(approver.at_ms),
                );
            }
            step(
                Text::new("Autorizada", "Authorised"),
                Text::new(
                    format!(
                        "{} aprobaciones de {} necesarias",
                        authorised.approvers().len(),
                        authorised.required_approvals()
                    ),
                    format!(
                        "{} approvals of {} needed",
                        authorised.approvers().len(),
                        authorised.required_approvals()
                    ),
                ),
                Some(at_ms),
            );
        }
        None => step(
            Text::new("Orden no autorizada", "Order not authorised"),
            Text::new(
                format!("{what}; el equipo la rechazó"),
                format!("{what}; the machine refused it"),
            ),
            Some(at_ms),
        ),
    }
    if order.break_glass {
        step(
            Text::new("ORDEN DE EMERGENCIA", "EMERGENCY ORDER"),
            Text::new(
                "se dio sin las aprobaciones usuales, por la regla de emergencia de la raíz",
                "it was given without the usual approvals, by the root's rule for emergencies",
            ),
            None,
        );
    }
    step(
        Text::new("Equipo", "Machine"),
        Text::same(format!(
            "{}{plate}, {}",
            neutralise(&leaf.host_name),
            leaf.device_fingerprint
        )),
        None,
    );
    if let Some(consent) = found.consent {
        let user = consent.user.as_deref().map(neutralise).unwrap_or_default();
        let (es, en) = answer(consent.answer);
        step(
            Text::new("Consentimiento", "Consent"),
            Text::new(
                format!("{es} {user}").trim_end(),
                format!("{en} {user}").trim_end(),
            ),
            Some(consent.answered_at_ms),
        );
    }
    match found.result {
        Some(result) => {
            let (es, en) = outcome(result.outcome);
            let mut detail = Text::new(es, en);
            if let Some(note) = &result.refusal {
                detail.es = format!("{es}: {} {}", note.rule, neutralise(&note.detail.es));
                detail.en = format!("{en}: {} {}", note.rule, neutralise(&note.detail.en));
            }
            step(
                Text::new(
                    "Resultado firmado por el equipo",
                    "Result signed by the machine",
                ),
                detail,
                Some(result.finished_at_ms),
            );
            if let Some(undo) = &result.undo {
                step(
                    Text::new("Efectos devueltos", "Effects taken back"),
                    undone(undo),
                    Some(result.finished_at_ms),
                );
            }
            if let Some(check) = &result.check {
                let (es, en) = if check.holds {
                    ("se cumple", "holds")
                } else {
                    ("NO se cumple", "does NOT hold")
                };
                step(
                    Text::new("Comprobación posterior", "Check afterwards"),
                    Text::new(
                        format!("{es}: {}", neutralise(&check.explanation.es)),
                        format!("{en}: {}", neutralise(&check.explanation.en)),
                    ),
                    Some(result.finished_at_ms),
                );
            }
        }
        None => step(
            Text::new("Sin resultado", "No result"),
            Text::new(
                "el archivo no contiene resultado del equipo",
                "the file holds no result of the machine",
            ),
            None,
        ),
    }
    if let Some(checkpoint) = found.checkpoint {
        step(
            Text::new("Registro sellado", "Sealed log"),
            Text::new(
                format!(
                    "la entrada está en el registro de {} entradas, firmado por el coordinador",
                    checkpoint.size
                ),
                format!(
                    "the entry is in the log of {} entries, signed by the coordinator",
                    checkpoint.size
                ),
            ),
            Some(checkpoint.at_ms),
        );
    }
    EvidenceReport {
        org: trust.org().to_owned(),
        single_signer: trust.single_signer(),
        root_version: root.version,
        order_digest: evidence.bundle.order_digest(),
        order_id: order.id.clone(),
        ticket: order.ticket.number.clone(),
        requester: order.requester.clone(),
        approvers: found
            .authorised
            .map(|a| a.approvers().iter().map(|s| s.person.clone()).collect())
            .unwrap_or_default(),
        host_name: leaf.host_name.clone(),
        device_fingerprint: leaf.device_fingerprint,
        outcome: found.result.map(|r| r.outcome),
        check_holds: found.result.and_then(|r| r.check.as_ref()).map(|c| c.holds),
        authorised: found.authorised.is_some(),
        judged_at_ms: at_ms,
        steps,
    }
}

impl EvidenceReport {
    /// The report as lines of text, in Spanish or English.
    pub fn to_lines(&self, spanish: bool) -> Vec<String> {
        self.steps
            .iter()
            .map(|step| {
                let when = step.at_ms.map(|ms| format!(" [{}]", utc(ms)));
                format!(
                    "{}: {}{}",
                    step.title.pick(spanish),
                    step.detail.pick(spanish),
                    when.unwrap_or_default()
                )
            })
            .collect()
    }
}

fn answer(answer: ConsentAnswer) -> (&'static str, &'static str) {
    match answer {
        ConsentAnswer::Notified => ("avisado", "told"),
        ConsentAnswer::Granted => ("aceptado", "granted"),
        ConsentAnswer::Denied => ("negado", "denied"),
        ConsentAnswer::TimedOut => ("sin respuesta", "no answer"),
        ConsentAnswer::NobodyPresent => ("nadie presente", "nobody present"),
        ConsentAnswer::Locked => ("pantalla bloqueada", "screen locked"),
    }
}

fn undone(undo: &UndoResult) -> Text {
    let (es, en) = match undo.cause {
        UndoCause::CheckFailed => ("la comprobación no se cumplió", "the check did not hold"),
        UndoCause::Unreachable => (
            "el coordinador no se alcanzaba",
            "the coordinator could not be reached",
        ),
    };
    if undo.complete {
        Text::new(
            format!("{es}; se devolvió todo"),
            format!("{en}; all was taken back"),
        )
    } else {
        Text::new(
            format!("{es}; NO se devolvió todo"),
            format!("{en}; NOT all was taken back"),
        )
    }
}

fn outcome(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Succeeded => ("exitoso", "succeeded"),
        Outcome::Failed => ("fallido", "failed"),
        Outcome::Partly => ("parcial", "partly"),
        Outcome::Refused => ("rechazado por el equipo", "refused by the machine"),
        Outcome::Unknown => ("desconocido", "unknown"),
        Outcome::Cancelled => ("cancelado", "cancelled"),
    }
}
