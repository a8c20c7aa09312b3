//! `evidence export|verify`: the file that proves an order and its result, and checking it with the root alone.

use std::path::{Path, PathBuf};

use chasqui_proto::v1;
use chasqui_trust::{EvidenceReport, verify_evidence};
use serde_json::{Value, json};

use crate::args::EvidenceCommand;
use crate::client::{Client, call};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Screen, Tone, clean};
use crate::{device, input, papers};

/// Commands that need the coordinator, and one that must not.
pub async fn run(context: &Context, command: EvidenceCommand) -> Outcome {
    match command {
        EvidenceCommand::Export { order, device, out } => {
            let (client, _) = Client::of_session(context)?;
            let device_id = if device.is_empty() {
                String::new()
            } else {
                device::get(&client, &device).await?.id
            };
            let answer = export(&client, &order, &device_id).await?;
            // The name comes from elsewhere: only its last part, and only if it is a plain one.
            let proposed = Path::new(&answer.file_name).file_name().map_or_else(
                || PathBuf::from(format!("{order}.evidence.json")),
                PathBuf::from,
            );
            let path = out.unwrap_or(proposed);
            input::write_file(&path, &answer.evidence, 0o644)?;
            let value = json!({
                "file": path.display().to_string(),
                "bytes": answer.evidence.len(),
            });
            context.screen.show(&value, |s| {
                format!("{} {}", s.say("guardado en", "saved as"), path.display())
            });
            Ok(())
        }
        EvidenceCommand::Verify { file, root } => {
            let bytes = input::read_file(&file)?;
            let pinned = papers::pinned_root(context, root.as_ref())?;
            let report = verify(&bytes, &pinned)?;
            context
                .screen
                .show(&to_json(&report), |s| render(s, &report));
            Ok(())
        }
    }
}

/// The evidence of one order on one machine.
pub async fn export(
    client: &Client,
    order_id: &str,
    device_id: &str,
) -> Outcome<v1::ExportEvidenceResponse> {
    let request = v1::ExportEvidenceRequest {
        order_id: order_id.to_owned(),
        device_id: device_id.to_owned(),
    };
    call(|| {
        let (mut orders, request) = (client.orders(), request.clone());
        async move { orders.export_evidence(request).await }
    })
    .await
}

/// Offline: the file's bytes and the root's, nothing else.
pub fn verify(evidence: &[u8], pinned_root: &[u8]) -> Outcome<EvidenceReport> {
    verify_evidence(evidence, pinned_root).map_err(|error| {
        let text = error.text();
        Failure::new(Exit::Invalid, error.code(), text.es, text.en)
    })
}

/// The stable JSON of a report.
pub fn to_json(report: &EvidenceReport) -> Value {
    json!({
        "holds": true,
        "org": report.org,
        "single_signer": report.single_signer,
        "root_version": report.root_version,
        "order_id": report.order_id,
        "order_digest": report.order_digest.to_hex(),
        "ticket": report.ticket,
        "requester": report.requester,
        "approvers": report.approvers,
        "host_name": report.host_name,
        "device_fingerprint": report.device_fingerprint.to_hex(),
        "outcome": report.outcome.map(|o| serde_json::to_value(o).unwrap_or(Value::Null)),
        "check_holds": report.check_holds,
        "authorised": report.authorised,
        "judged_at_ms": report.judged_at_ms,
        "steps": report.steps.iter().map(|step| json!({
            "title": { "es": step.title.es, "en": step.title.en },
            "detail": { "es": step.detail.es, "en": step.detail.en },
            "at_ms": step.at_ms,
        })).collect::<Vec<_>>(),
    })
}

/// The report for people.
pub fn render(screen: &Screen, report: &EvidenceReport) -> String {
    let mut out = format!(
        "{} {}\n",
        screen.tone(Tone::Good, "✔"),
        screen.say("la evidencia se sostiene", "the evidence holds")
    );
    for step in &report.steps {
        let at = step
            .at_ms
            .map(|at| format!(" ({})", chasqui_trust::render::utc(at)))
            .unwrap_or_default();
        out.push_str(&format!(
            "  {} {}: {}{at}\n",
            screen.tone(Tone::Good, "✔"),
            clean(screen.lang.pick(&step.title.es, &step.title.en)),
            clean(screen.lang.pick(&step.detail.es, &step.detail.en)),
        ));
    }
    if report.single_signer {
        out.push_str(&format!(
            "  {} {}\n",
            screen.tone(Tone::Warn, "!"),
            screen.say(
                "la raíz la puede cambiar una sola clave",
                "one key alone can change the root"
            )
        ));
    }
    out
}
