//! What is said about a definition whose form holds: mistakes that its own rules cannot see, and warnings.

use std::path::Path;

use chasqui_trust::Text;
use chasqui_trust::definition::{
    Arg, ArgValue, Consent, Definition, Interruption, Precondition, Run, StopPolicy, WhenAbsent,
};
use chasqui_trust::verify::TWO_PUBLISHERS_FROM_RISK;

use crate::catalogue::check::About;

/// The fact that a program's check leaves.
pub const EXIT_CODE: &str = "exit_code";

fn runs(definition: &Definition) -> impl Iterator<Item = &Run> {
    definition
        .steps
        .iter()
        .chain(definition.undo.iter().flat_map(|undo| &undo.steps))
        .map(|step| &step.run)
        .chain(std::iter::once(&definition.check.run))
}

fn uses(definition: &Definition, name: &str) -> bool {
    runs(definition).any(|run| match run {
        Run::Program { args, .. } => args
            .iter()
            .any(|arg| matches!(arg, Arg::Parameter(used) if used == name)),
        Run::Builtin { args, .. } => args
            .iter()
            .any(|arg| matches!(&arg.value, ArgValue::Parameter(used) if used == name)),
    })
}

/// Every text of a definition and where it stands.
fn texts(d: &Definition) -> Vec<(String, &Text)> {
    let mut out = vec![
        ("title".to_owned(), &d.title),
        ("summary".to_owned(), &d.summary),
        ("plan".to_owned(), &d.plan),
        ("if_it_fails".to_owned(), &d.if_it_fails),
        ("check.summary".to_owned(), &d.check.summary),
    ];
    for (at, spec) in d.parameters.iter().enumerate() {
        out.push((format!("parameters[{at}].title"), &spec.title));
    }
    for (at, step) in d.steps.iter().enumerate() {
        out.push((format!("steps[{at}].title"), &step.title));
    }
    for (at, item) in d.evidence.iter().enumerate() {
        out.push((format!("evidence[{at}].title"), &item.title));
    }
    if let Some(undo) = &d.undo {
        out.push(("undo.summary".to_owned(), &undo.summary));
        for (at, step) in undo.steps.iter().enumerate() {
            out.push((format!("undo.steps[{at}].title"), &step.title));
        }
    }
    out
}

/// Names between braces.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{')
        .skip(1)
        .filter_map(|part| part.split_once('}').map(|(name, _)| name))
}

/// Texts that are not there in one language, and names in them that no parameter has: all at once, where the format's own
/// rules tell the first.
pub fn words(one: &mut About, definition: &Definition) {
    for (at, text) in texts(definition) {
        for (language, words) in [("es", &text.es), ("en", &text.en)] {
            if words.trim().is_empty() {
                one.error(
                    "TEXT_MISSING",
                    &format!("{at}.{language}"),
                    "falta el texto",
                    "the text is missing",
                    "escríbalo: la gente lee español o inglés",
                    "write it: people read Spanish or English",
                );
            }
        }
    }
    for (at, text) in [
        ("plan", &definition.plan),
        ("if_it_fails", &definition.if_it_fails),
    ] {
        for words in [&text.es, &text.en] {
            for name in placeholders(words) {
                if !definition.parameters.iter().any(|p| p.name == name) {
                    one.error(
                        "PLACEHOLDER_UNKNOWN",
                        at,
                        &format!("{{{name}}} no es un parámetro"),
                        &format!("{{{name}}} is no parameter"),
                        "corrija el nombre o quite las llaves",
                        "mend the name or remove the braces",
                    );
                }
            }
        }
    }
}

/// What is wrong although the form holds.
pub fn mistakes(one: &mut About, definition: &Definition) {
    for (at, spec) in definition.parameters.iter().enumerate() {
        if !uses(definition, &spec.name) {
            one.error(
                "PARAMETER_UNUSED",
                &format!("parameters[{at}]"),
                &format!(
                    "ningún paso ni comprobación usa el parámetro {:?}",
                    spec.name
                ),
                &format!("no step or check uses the parameter {:?}", spec.name),
                "úselo o quítelo: quien firma creería que hace algo",
                "use it or remove it: a signer would believe that it does something",
            );
        }
    }
    if matches!(definition.check.run, Run::Program { .. }) {
        for (at, item) in definition.evidence.iter().enumerate() {
            if item.fact != EXIT_CODE {
                one.error(
                    "EVIDENCE_WITHOUT_CHECK",
                    &format!("evidence[{at}]"),
                    &format!("la comprobación es un programa y no da el hecho {:?}", item.fact),
                    &format!("the check is a program and gives no fact {:?}", item.fact),
                    "de un programa solo queda exit_code; use una función del agente o quite el hecho",
                    "of a program exit_code alone stays; use a function of the agent or remove the fact",
                );
            }
        }
    }
}

/// What looks wrong.
pub fn warnings(one: &mut About, d: &Definition, path: &Path) {
    let asks = d.consent >= Consent::Ask;
    if (d.risk >= 2 && d.consent == Consent::None) || (d.risk >= 3 && !asks) {
        one.warn(
            "RISK_CONSENT",
            "consent",
            &format!(
                "riesgo {} y a la persona del equipo no se le pregunta o ni se le avisa",
                d.risk
            ),
            &format!(
                "risk {} and the person at the machine is not asked, or not even told",
                d.risk
            ),
            "de riesgo 2 en adelante avise; de 3 en adelante pregunte",
            "from risk 2 on tell; from 3 on ask",
        );
    }
    let least = |interruption: &Interruption| match interruption {
        Interruption::Network => 2,
        Interruption::Reboot => 3,
    };
    for interruption in &d.interrupts {
        if d.risk < least(interruption) {
            one.warn(
                "RISK_INTERRUPTS",
                "risk",
                &format!("corta la red o reinicia con riesgo {} apenas", d.risk),
                &format!(
                    "interrupts the network or restarts at a mere risk {}",
                    d.risk
                ),
                "declare 2 para la red y 3 para un reinicio, al menos",
                "declare at least 2 for the network and 3 for a restart",
            );
        }
    }
    if d.interrupts.contains(&Interruption::Network)
        && d.undo
            .as_ref()
            .is_none_or(|u| u.when_unreachable_ms.is_none())
    {
        one.warn(
            "UNDO_UNREACHABLE",
            "undo",
            "corta la red y nada la devuelve si el coordinador deja de verse",
            "it interrupts the network and nothing brings it back when the coordinator is lost",
            "dé un undo con when_unreachable_ms",
            "give an undo with when_unreachable_ms",
        );
    }
    if d.risk >= 3 && d.approvals == 0 {
        one.warn(
            "RISK_APPROVALS",
            "approvals",
            &format!(
                "riesgo {} y la definición no pide aprobación propia",
                d.risk
            ),
            &format!(
                "risk {} and the definition asks for no approval of its own",
                d.risk
            ),
            "ponga 1 o más",
            "set 1 or more",
        );
    }
    if d.risk >= 2 && d.locks.is_empty() {
        one.warn(
            "NO_LOCK",
            "locks",
            "dos órdenes podrían trabajar a la vez sobre lo mismo",
            "two orders could work on the same thing at once",
            "nombre lo que ocupa",
            "name what it holds",
        );
    }
    if d.risk >= TWO_PUBLISHERS_FROM_RISK {
        one.warn(
            "TWO_PUBLISHERS",
            "risk",
            &format!(
                "con riesgo {} el catálogo necesita la firma de dos publicadores",
                d.risk
            ),
            &format!(
                "at risk {} the catalogue needs the signatures of two publishers",
                d.risk
            ),
            "cada uno firma con: chasqui catalogue sign",
            "each of them signs with: chasqui catalogue sign",
        );
    }
    if d.preconditions.contains(&Precondition::NobodyLoggedIn) && asks {
        one.warn(
            "NOBODY_TO_ASK",
            "preconditions",
            "exige que no haya nadie y preguntar a quien esté",
            "it demands that nobody is there, and asks whoever is",
            "quite una de las dos cosas",
            "remove one of the two",
        );
    }
    if d.consent == Consent::None && d.when_absent != WhenAbsent::Proceed {
        one.warn(
            "ABSENT_UNUSED",
            "when_absent",
            "no se avisa ni pregunta a nadie: when_absent no hace nada",
            "nobody is told or asked: when_absent does nothing",
            "escriba proceed",
            "write proceed",
        );
    }
    if d.stop == StopPolicy::LetFinish && d.time_limit_ms > 60 * 60 * 1000 {
        one.warn(
            "CANNOT_STOP",
            "stop",
            "más de una hora sin que nadie lo pueda detener",
            "more than an hour that nobody can stop",
            "use end_tree, o un tiempo más corto",
            "use end_tree, or a shorter time",
        );
    }
    for (at, spec) in d.parameters.iter().enumerate() {
        let place = format!("{{{}}}", spec.name);
        if !d.plan.es.contains(&place) || !d.plan.en.contains(&place) {
            one.warn(
                "PLAN_SILENT",
                &format!("parameters[{at}]"),
                &format!("el plan no dice el valor de {:?} en los dos idiomas", spec.name),
                &format!("the plan does not say the value of {:?} in both languages", spec.name),
                "nómbrelo con {…} en plan: es lo que lee quien aprueba y la persona del equipo",
                "name it with {…} in plan: it is what the approver and the person at the machine read",
            );
        }
    }
    for (at, text) in [
        ("title", &d.title),
        ("summary", &d.summary),
        ("plan", &d.plan),
        ("if_it_fails", &d.if_it_fails),
        ("check.summary", &d.check.summary),
    ] {
        if !text.es.is_empty() && text.es == text.en && text.es.contains(' ') {
            one.warn(
                "NOT_TRANSLATED",
                at,
                "el español y el inglés son iguales",
                "Spanish and English are the same",
                "tradúzcalo: la persona del equipo lee uno de los dos",
                "translate it: the person at the machine reads one of them",
            );
        }
    }
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    if stem.is_some_and(|stem| stem != d.id && stem != format!("{}-{}", d.id, d.version)) {
        one.warn(
            "FILE_NAME",
            "id",
            &format!("el archivo no se llama como la acción {:?}", d.id),
            &format!("the file is not named like the action {:?}", d.id),
            "llámelo ID.json",
            "name it ID.json",
        );
    }
}
