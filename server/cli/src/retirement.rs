//! `retirement assess`: whether a device should be retired, each criterion with its evidence. The rule runs at the
//! coordinator; this shows its answer.

use chasqui_proto::v1;
use serde_json::{Value, json};

use crate::args::RetirementCommand;
use crate::client::{Client, call};
use crate::context::Context;
use crate::device;
use crate::failure::Outcome;
use crate::output::{Screen, Tone, clean, enum_name};

pub async fn run(context: &Context, command: RetirementCommand) -> Outcome {
    let (client, _) = Client::of_session(context)?;
    let RetirementCommand::Assess { device, as_of } = command;
    let device = device::get(&client, &device).await?;
    let answer = assess(&client, &device.id, as_of.unwrap_or(0)).await?;
    context
        .screen
        .show(&to_json(&answer), |s| render(s, &answer));
    Ok(())
}

/// The assessment as of a moment, 0 for now.
pub async fn assess(
    client: &Client,
    device_id: &str,
    as_of_ms: i64,
) -> Outcome<v1::AssessRetirementResponse> {
    let request = v1::AssessRetirementRequest {
        device_id: device_id.to_owned(),
        as_of_ms,
    };
    call(|| {
        let (mut retirement, request) = (client.retirement(), request.clone());
        async move { retirement.assess_retirement(request).await }
    })
    .await
}

fn class_text(screen: &Screen, class: v1::RetirementClass) -> String {
    use v1::RetirementClass as C;
    let (tone, es, en) = match class {
        C::Unspecified => (Tone::Dim, "sin clase", "no class"),
        C::Current => (Tone::Good, "vigente", "in force"),
        C::Watch => (Tone::Warn, "vigilar", "to be watched"),
        C::Upgrade => (Tone::Warn, "repotenciar", "to be upgraded"),
        C::Reassign => (Tone::Warn, "reasignar", "to be reassigned"),
        C::Retire => (Tone::Bad, "dar de baja", "to be retired"),
        C::InsufficientData => (Tone::Dim, "datos insuficientes", "too little is known"),
    };
    screen.tone(tone, screen.lang.pick(es, en))
}

fn verdict_text(screen: &Screen, verdict: v1::CriterionVerdict) -> String {
    use v1::CriterionVerdict as V;
    let (tone, es, en) = match verdict {
        V::Unspecified | V::Unknown => (Tone::Dim, "desconocido", "unknown"),
        V::Ok => (Tone::Good, "bien", "fine"),
        V::Watch => (Tone::Warn, "vigilar", "watch"),
        V::Fails => (Tone::Bad, "no cumple", "fails"),
    };
    screen.tone(tone, screen.lang.pick(es, en))
}

/// One criterion with its evidence, a line each.
pub fn criterion_lines(screen: &Screen, criterion: &v1::Criterion) -> Vec<String> {
    let name = criterion.name.clone().unwrap_or_default();
    let explanation = criterion.explanation.clone().unwrap_or_default();
    let mut lines = vec![format!(
        "{}: {} — {} ({} v{})",
        clean(screen.lang.pick(&name.es, &name.en)),
        verdict_text(screen, criterion.verdict()),
        clean(screen.lang.pick(&explanation.es, &explanation.en)),
        clean(&criterion.rule),
        criterion.rule_version
    )];
    for evidence in &criterion.evidence {
        let at = if evidence.observed_at_ms == 0 {
            String::new()
        } else {
            format!(", {}", screen.time(evidence.observed_at_ms))
        };
        let unit = if evidence.unit.is_empty() {
            String::new()
        } else {
            format!(" {}", clean(&evidence.unit))
        };
        lines.push(format!(
            "  {} = {}{unit} ({}{at})",
            clean(&evidence.fact),
            clean(&evidence.value),
            clean(&evidence.source)
        ));
    }
    lines
}

/// The assessment for people.
pub fn render(screen: &Screen, answer: &v1::AssessRetirementResponse) -> String {
    let summary = answer.summary.clone().unwrap_or_default();
    let mut out = format!(
        "{} — {}\n  {}\n",
        screen.tone(Tone::Strong, &clean(&answer.host_name)),
        class_text(screen, answer.class()),
        clean(screen.lang.pick(&summary.es, &summary.en))
    );
    for criterion in &answer.criteria {
        for line in criterion_lines(screen, criterion) {
            out.push_str(&format!("  {line}\n"));
        }
    }
    out.push_str(&screen.fields(&[
        (
            screen.say("a fecha de", "as of"),
            screen.time(answer.as_of_ms),
        ),
        (screen.say("reglas", "rules"), answer.rule_version.clone()),
        (
            screen.say("conocimiento", "knowledge"),
            answer.knowledge_version.clone(),
        ),
        (screen.say("resumen", "digest"), hex::encode(&answer.digest)),
    ]));
    out
}

/// One line: class and summary.
pub fn headline(screen: &Screen, answer: &v1::AssessRetirementResponse) -> String {
    let summary = answer.summary.clone().unwrap_or_default();
    format!(
        "{} — {}",
        class_text(screen, answer.class()),
        clean(screen.lang.pick(&summary.es, &summary.en))
    )
}

/// The stable JSON of an assessment.
pub fn to_json(answer: &v1::AssessRetirementResponse) -> Value {
    let text = |t: &Option<v1::Text>| {
        let t = t.clone().unwrap_or_default();
        json!({ "es": t.es, "en": t.en })
    };
    json!({
        "device": { "id": answer.device_id, "host_name": answer.host_name },
        "as_of_ms": answer.as_of_ms,
        "class": enum_name(answer.class().as_str_name(), "RETIREMENT_CLASS_"),
        "summary": text(&answer.summary),
        "criteria": answer.criteria.iter().map(|c| json!({
            "id": c.id,
            "verdict": enum_name(c.verdict().as_str_name(), "CRITERION_VERDICT_"),
            "name": text(&c.name),
            "explanation": text(&c.explanation),
            "rule": c.rule,
            "rule_version": c.rule_version,
            "evidence": c.evidence.iter().map(|e| json!({
                "fact": e.fact,
                "value": e.value,
                "unit": e.unit,
                "source": e.source,
                "observed_at_ms": e.observed_at_ms,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "rule_version": answer.rule_version,
        "knowledge_version": answer.knowledge_version,
        "digest": hex::encode(&answer.digest),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chasqui_base::text::Lang;

    #[test]
    fn an_assessment_shows_each_criterion_with_its_evidence() {
        let answer = v1::AssessRetirementResponse {
            device_id: "01976000-0000-7000-8000-000000000003".into(),
            host_name: "pc-07".into(),
            as_of_ms: 1_767_330_000_000,
            class: v1::RetirementClass::Upgrade as i32,
            summary: Some(v1::Text {
                es: "Poca memoria".into(),
                en: "Little memory".into(),
            }),
            criteria: vec![v1::Criterion {
                id: "memory".into(),
                verdict: v1::CriterionVerdict::Fails as i32,
                name: Some(v1::Text {
                    es: "Memoria".into(),
                    en: "Memory".into(),
                }),
                explanation: Some(v1::Text {
                    es: "Menos de 8 GiB".into(),
                    en: "Less than 8 GiB".into(),
                }),
                evidence: vec![v1::Evidence {
                    fact: "memory.installed_bytes".into(),
                    value: "4294967296".into(),
                    unit: "bytes".into(),
                    source: "/sys/firmware/dmi/tables/DMI".into(),
                    observed_at_ms: 1_767_330_000_000,
                }],
                rule: "memory.minimum".into(),
                rule_version: 1,
            }],
            rule_version: "1".into(),
            knowledge_version: "2026-01".into(),
            digest: vec![2; 32].into(),
        };
        insta::assert_snapshot!("retirement_es", render(&Screen::plain(Lang::Es), &answer));
        insta::assert_snapshot!("retirement_en", render(&Screen::plain(Lang::En), &answer));
        insta::assert_json_snapshot!("retirement_json", to_json(&answer));
    }
}
