//! What a recorded event says to people, in both languages. Names of persons and machines stand beside the text; here is
//! what they did.

use chasqui_domain::Text;
use chasqui_domain::order::OrderState;
use chasqui_domain::ticket::{Kind, Level};
use serde_json::Value;

/// The text of an event. `title` is what a registration was about, `person` the name of a person the event names.
pub fn text(kind: &str, data: &Value, personal: Option<&Value>, person: &str) -> Text {
    match kind.split_once('.') {
        Some(("ticket", what)) => ticket(what, data, personal, person),
        Some(("order", what)) => order(what, data),
        _ => Text::same(kind),
    }
}

fn ticket(what: &str, data: &Value, personal: Option<&Value>, person: &str) -> Text {
    match what {
        "registered" => {
            let title = personal
                .map(|written| string(written, "title"))
                .unwrap_or_default();
            Text::new(
                format!("Solicitud registrada: {title}"),
                format!("Request registered: {title}"),
            )
        }
        "classified" => classified(data),
        "assigned" => Text::new(
            format!("Asignado a {person}"),
            format!("Assigned to {person}"),
        ),
        "started" => Text::new("Atención iniciada", "Work begun"),
        "held" => Text::new("En espera", "On hold"),
        "resumed" => Text::new("Atención reanudada", "Work resumed"),
        "solution_proposed" => Text::new("Solución propuesta", "Solution proposed"),
        "solution_approved" => Text::new(
            "Solución aprobada; tiquete cerrado",
            "Solution approved; ticket closed",
        ),
        "solution_rejected" => Text::new("Solución rechazada", "Solution rejected"),
        "closed_by_silence" => Text::new(
            "Cerrado por falta de respuesta",
            "Closed for lack of an answer",
        ),
        "closed_by_lead" => Text::new("Cerrado por el líder", "Closed by the lead"),
        "cancelled" => Text::new("Cancelado", "Cancelled"),
        "reopened" => Text::new("Reabierto", "Reopened"),
        "commented" => Text::new("Comentario", "Comment"),
        "device_attached" => Text::new("Equipo relacionado", "Device linked"),
        "device_detached" => Text::new("Equipo separado", "Device unlinked"),
        other => Text::same(other),
    }
}

fn classified(data: &Value) -> Text {
    let kind = string(data, "kind")
        .parse::<Kind>()
        .map(Kind::name)
        .unwrap_or_default();
    let service = string(data, "service");
    let level = |field: &str| {
        data.get(field)
            .and_then(Value::as_u64)
            .and_then(|level| u8::try_from(level).ok())
            .and_then(|level| Level::new(level).ok())
    };
    let priority = match (level("urgency"), level("impact")) {
        (Some(urgency), Some(impact)) => chasqui_domain::ticket::priority(urgency, impact).name(),
        _ => Text::same("?"),
    };
    Text::new(
        format!(
            "Clasificado: {}, servicio {service}, prioridad {}",
            kind.es, priority.es
        ),
        format!(
            "Classified: {}, service {service}, priority {}",
            kind.en, priority.en
        ),
    )
}

fn order(what: &str, data: &Value) -> Text {
    let host = string(data, "host_name");
    let on = |es: &str, en: &str| Text::new(format!("{host}: {es}"), format!("{host}: {en}"));
    match what {
        "requested" => requested(data),
        "approved" => {
            let (have, need) = (number(data, "have"), number(data, "need"));
            Text::new(
                format!("Acción aprobada y firmada ({have} de {need})"),
                format!("Action approved and signed ({have} of {need})"),
            )
        }
        "rejected" => Text::new("Acción rechazada", "Action rejected"),
        "withdrawn" => Text::new("Firma retirada", "Signature withdrawn"),
        "sent" => on("orden enviada al equipo", "order sent to the machine"),
        "accepted" => on(
            "orden verificada y aceptada por el equipo",
            "order verified and accepted by the machine",
        ),
        "awaiting_consent" => on("se pregunta al usuario", "the user is asked"),
        "running" => on("acción en ejecución", "action running"),
        "checking" => on("se comprueba el resultado", "the result is being checked"),
        "result" => result(data),
        "expired" => Text::new(
            "La orden venció sin ejecutarse",
            "The order expired without running",
        ),
        "unknown" => on(
            "sin noticia del resultado; no se ejecuta de nuevo",
            "no word of the result; it is not run again",
        ),
        "cancelled" => Text::new("Orden cancelada", "Order cancelled"),
        "cancel_requested" => Text::new(
            "Se pidió al equipo detener la acción",
            "The machine was asked to stop the action",
        ),
        other => Text::same(other),
    }
}

fn requested(data: &Value) -> Text {
    let title = both(data.get("title"));
    let (targets, need) = (number(data, "targets"), number(data, "required_approvals"));
    Text::new(
        format!(
            "Acción solicitada y firmada: {} (equipos: {targets}, aprobaciones necesarias: {need})",
            title.es
        ),
        format!(
            "Action requested and signed: {} (machines: {targets}, approvals needed: {need})",
            title.en
        ),
    )
}

fn result(data: &Value) -> Text {
    let host = string(data, "host_name");
    let outcome = string(data, "outcome")
        .parse::<OrderState>()
        .map(OrderState::name)
        .unwrap_or_default();
    let mut text = Text::new(
        format!("{host}: acción {}.", outcome.es),
        format!("{host}: action {}.", outcome.en),
    );
    if let Some(refusal) = data.get("refusal").filter(|refusal| refusal.is_object()) {
        let rule = string(refusal, "rule");
        let detail = both(refusal.get("detail"));
        text.push(&Text::new(
            format!("Regla {rule}: {}", detail.es),
            format!("Rule {rule}: {}", detail.en),
        ));
    }
    let Some(check) = data.get("check").filter(|check| check.is_object()) else {
        return text;
    };
    let explanation = both(check.get("explanation"));
    text.push(
        &if check.get("holds").and_then(Value::as_bool) == Some(true) {
            Text::new(
                "La comprobación posterior se cumple:",
                "The check afterwards holds:",
            )
        } else {
            Text::new(
                "La comprobación posterior no se cumple:",
                "The check afterwards does not hold:",
            )
        },
    );
    text.push(&explanation);
    for fact in check
        .get("facts")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let seen = |side: &str| match fact.get(side).and_then(Value::as_str) {
            Some(value) => Text::same(value),
            None => Text::new("no observado", "not observed"),
        };
        let (name, unit) = (string(fact, "name"), string(fact, "unit"));
        let (before, after) = (seen("before"), seen("after"));
        text.push(&Text::new(
            format!("[{name}: {} → {} {unit}]", before.es, after.es).replace(" ]", "]"),
            format!("[{name}: {} → {} {unit}]", before.en, after.en).replace(" ]", "]"),
        ));
    }
    text
}

fn string(data: &Value, field: &str) -> String {
    data.get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn number(data: &Value, field: &str) -> u64 {
    data.get(field).and_then(Value::as_u64).unwrap_or_default()
}

fn both(value: Option<&Value>) -> Text {
    value.map_or_else(Text::default, |value| {
        Text::new(string(value, "es"), string(value, "en"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_result_tells_outcome_check_and_facts_in_both_languages() {
        let data = json!({
            "host_name": "pc-1", "outcome": "failed", "refusal": null,
            "check": {"holds": false, "explanation": {"es": "quedan archivos", "en": "files are left"},
                      "facts": [{"name": "bytes", "before": "10", "after": null, "unit": "B"}]},
        });
        let text = text("order.result", &data, None, "");
        assert_eq!(
            text.es,
            "pc-1: acción fallida. La comprobación posterior no se cumple: quedan archivos [bytes: 10 → no observado B]"
        );
        assert_eq!(
            text.en,
            "pc-1: action failed. The check afterwards does not hold: files are left [bytes: 10 → not observed B]"
        );
    }

    #[test]
    fn what_is_not_known_shows_its_name_and_never_fails() {
        for kind in ["ticket.invented", "order.invented", "other", ""] {
            text(kind, &json!(null), None, "");
        }
    }
}
