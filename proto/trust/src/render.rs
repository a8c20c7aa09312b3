//! What a signer and the person at the workstation read, rendered from the papers themselves. Refuses to describe a
//! definition or machines that are not the ones the order binds, and disarms whatever a terminal or page would act on.

use std::fmt::Write as _;

use crate::canonical::{Document as _, FormatError};
use crate::definition::{
    Arg, Consent, Definition, Interruption, Precondition, Run, StopPolicy, WhenAbsent, resolve_args,
};
use crate::digest::Digest;
use crate::order::{Leaf, Order, Start, Targets};
use crate::people::People;
use crate::text::{Text, neutralise};
use crate::verify::Authorised;

/// The order in words, for requester and approver before they sign: who asks, what, on which machines by name, with
/// which parameters, the risk, the validity, the ticket, the reason, what runs and what is checked afterwards. `leaves`
/// are all machines of the order, in order. With the people document the requester is shown by name, else by id alone.
///
/// # Errors
/// When the definition is not the one the order names by digest, or the machines are not those of its Merkle root.
pub fn describe_order(
    order: &Order,
    definition: &Definition,
    leaves: &[Leaf],
    people: Option<&People>,
) -> Result<Text, FormatError> {
    if definition.digest()? != order.definition.digest {
        return Err(FormatError::invalid(
            "order",
            "definition.digest",
            "is not the digest of the definition shown",
        ));
    }
    if Targets::of(leaves)? != order.targets {
        return Err(FormatError::invalid(
            "order",
            "targets",
            "are not the machines shown",
        ));
    }
    let requester = people
        .and_then(|people| people.person(&order.requester))
        .map_or_else(
            || order.requester.clone(),
            |person| format!("{} ({})", person.name, person.id),
        );
    Ok(Text {
        es: describe(order, definition, leaves, &requester, true),
        en: describe(order, definition, leaves, &requester, false),
    })
}

/// What the person at the workstation reads before an authorised order touches their machine.
pub fn describe_for_person(authorised: &Authorised) -> Text {
    let order = authorised.order();
    let definition = authorised.definition();
    let approvers: Vec<String> = authorised
        .approvers()
        .iter()
        .map(|a| neutralise(&a.name))
        .collect();
    let mut es = format!(
        "{}\n{}\nSolicita: {}\nTiquete: {}\nMotivo: {}\n",
        neutralise(&definition.title.es),
        neutralise(&definition.plan_of(&order.parameters).es),
        neutralise(&authorised.requester().name),
        neutralise(&order.ticket.number),
        indented(&order.reason),
    );
    let mut en = format!(
        "{}\n{}\nRequested by: {}\nTicket: {}\nReason: {}\n",
        neutralise(&definition.title.en),
        neutralise(&definition.plan_of(&order.parameters).en),
        neutralise(&authorised.requester().name),
        neutralise(&order.ticket.number),
        indented(&order.reason),
    );
    if !approvers.is_empty() {
        let names = approvers.join(", ");
        let _ = writeln!(es, "Aprueba: {names}");
        let _ = writeln!(en, "Approved by: {names}");
    }
    let failure = definition.failure_of(&order.parameters);
    let _ = writeln!(es, "Si sale mal: {}", neutralise(&failure.es));
    let _ = writeln!(en, "If it goes wrong: {}", neutralise(&failure.en));
    Text { es, en }
}

/// `2026-11-23 18:05:09 UTC` from UTC milliseconds (proleptic Gregorian calendar).
pub fn utc(ms: i64) -> String {
    let seconds = ms.div_euclid(1000);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days to civil date: H. Hinnant, "chrono-compatible low-level date algorithms".
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        rest / 3600,
        rest % 3600 / 60,
        rest % 60
    )
}

fn describe(
    order: &Order,
    definition: &Definition,
    leaves: &[Leaf],
    requester: &str,
    es: bool,
) -> String {
    let t = |spanish: &'static str, english: &'static str| if es { spanish } else { english };
    let mut out = String::new();
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(out, "{label}: {value}");
    };
    if order.break_glass {
        line(
            t("EMERGENCIA", "EMERGENCY"),
            t(
                "se hace sin las aprobaciones usuales; todos lo verán",
                "it is done without the usual approvals; everybody will see it",
            ),
        );
    }
    line(
        t("Acción", "Action"),
        &format!(
            "{} ({} v{})",
            neutralise(definition.title.pick(es)),
            neutralise(&definition.id),
            definition.version
        ),
    );
    line(
        t("Qué hace", "What it does"),
        &neutralise(definition.summary.pick(es)),
    );
    line(
        t("Qué pasará", "What will happen"),
        &neutralise(definition.plan_of(&order.parameters).pick(es)),
    );
    line(
        t("Si sale mal", "If it goes wrong"),
        &neutralise(definition.failure_of(&order.parameters).pick(es)),
    );
    line(t("Riesgo", "Risk"), &risk(definition.risk, es));
    line(t("Solicita", "Requested by"), &neutralise(requester));
    line(t("Tiquete", "Ticket"), &neutralise(&order.ticket.number));
    line(t("Motivo", "Reason"), &indented(&order.reason));
    line(t("Consentimiento", "Consent"), consent(order.consent, es));
    if order.consent != Consent::None {
        line(
            t("Si no hay nadie", "If nobody is there"),
            when_absent(definition.when_absent, es),
        );
    }
    line(
        t("Vale", "Valid"),
        &format!("{} — {}", utc(order.not_before_ms), utc(order.not_after_ms)),
    );
    if order.start == Start::NextBoot {
        line(
            t("Empieza", "Begins"),
            t(
                "cuando el equipo vuelva a arrancar",
                "when the machine starts next",
            ),
        );
    }
    if order.parameters.is_empty() {
        line(t("Parámetros", "Parameters"), t("ninguno", "none"));
    } else {
        line(t("Parámetros", "Parameters"), "");
    }
    for parameter in &order.parameters {
        let title = definition
            .parameters
            .iter()
            .find(|spec| spec.name == parameter.name)
            .map_or(parameter.name.as_str(), |spec| spec.title.pick(es));
        line(
            &format!("  {} ({})", neutralise(title), neutralise(&parameter.name)),
            &neutralise(&parameter.value.to_string()),
        );
    }
    line(t("Equipos", "Machines"), &leaves.len().to_string());
    for leaf in leaves {
        let plate = leaf
            .plate
            .as_deref()
            .map(|plate| format!(", {} {}", t("placa", "plate"), neutralise(plate)))
            .unwrap_or_default();
        line(
            &format!("  {}{plate}", neutralise(&leaf.host_name)),
            &format!(
                "{} {}, {} {}",
                t("clave", "key"),
                short(&leaf.device_fingerprint),
                t("desde", "from"),
                utc(leaf.not_before_ms)
            ),
        );
    }
    for condition in &definition.preconditions {
        line(t("Solo si", "Only if"), &precondition(condition, es));
    }
    for interruption in &definition.interrupts {
        line(
            t("Corta", "Interrupts"),
            match interruption {
                Interruption::Network => t("la red", "the network"),
                Interruption::Reboot => t(
                    "todo: el equipo se reinicia",
                    "everything: the machine restarts",
                ),
            },
        );
    }
    line(t("Pasos", "Steps"), "");
    for (at, step) in definition.steps.iter().enumerate() {
        line(
            &format!("  {}. {}", at + 1, neutralise(step.title.pick(es))),
            &run(&step.run, order),
        );
    }
    line(
        t("Si se detiene", "If stopped"),
        match definition.stop {
            StopPolicy::EndTree { .. } => t(
                "se terminan todos sus procesos",
                "all its processes are ended",
            ),
            StopPolicy::LetFinish => t(
                "el paso en curso sigue hasta su fin y no empieza otro",
                "the running step goes on to its end and no other begins",
            ),
        },
    );
    if let Some(undo) = &definition.undo {
        line(
            t("Se puede devolver", "Can be taken back"),
            &neutralise(undo.summary.pick(es)),
        );
        for (at, step) in undo.steps.iter().enumerate() {
            line(
                &format!("  {}. {}", at + 1, neutralise(step.title.pick(es))),
                &run(&step.run, order),
            );
        }
    }
    line(
        t("Se comprueba después", "Checked afterwards"),
        &neutralise(definition.check.summary.pick(es)),
    );
    line(
        t("Definición", "Definition"),
        &order.definition.digest.to_hex(),
    );
    line(t("Orden", "Order"), &neutralise(&order.id));
    out
}

fn run(run: &Run, order: &Order) -> String {
    match run {
        Run::Program {
            path,
            args,
            script_digest,
            ..
        } => {
            let script = script_digest.map(|d| format!("[script {}]", short(&d)));
            let words = resolve_args(args, &order.parameters, script.as_deref())
                .unwrap_or_else(|| args.iter().map(placeholder).collect());
            let mut shown = vec![path.clone()];
            shown.extend(words);
            neutralise(&shown.join(" "))
        }
        Run::Builtin { name, .. } => neutralise(name),
    }
}

fn placeholder(arg: &Arg) -> String {
    match arg {
        Arg::Literal(text) => text.clone(),
        Arg::Parameter(name) => format!("[{name}]"),
        Arg::Script => "[script]".into(),
    }
}

fn risk(risk: u8, es: bool) -> String {
    let words = match (risk, es) {
        (0, true) => "solo lectura",
        (0, false) => "read-only",
        (1, true) => "inofensivo",
        (1, false) => "harmless",
        (2, true) => "interrupción corta de un programa o servicio",
        (2, false) => "short interruption of one program or service",
        (3, true) => "pérdida de trabajo sin guardar o de red, o cambio de configuración",
        (3, false) => "loss of unsaved work or network, or change of configuration",
        (_, true) => "destructivo o de seguridad",
        (_, false) => "destructive or security relevant",
    };
    format!("{risk} ({words})")
}

fn consent(consent: Consent, es: bool) -> &'static str {
    match (consent, es) {
        (Consent::None, true) => "no se avisa",
        (Consent::None, false) => "not told",
        (Consent::Notify, true) => "se avisa a la persona",
        (Consent::Notify, false) => "the person is told",
        (Consent::Ask, true) => "se pregunta a la persona; sin un sí no se hace",
        (Consent::Ask, false) => "the person is asked; without a yes it is not done",
        (Consent::AskAlways, true) => "se pregunta en la pantalla; sin un sí no se hace",
        (Consent::AskAlways, false) => "asked on the screen; without a yes it is not done",
    }
}

fn when_absent(rule: WhenAbsent, es: bool) -> &'static str {
    match (rule, es) {
        (WhenAbsent::Proceed, true) => "se hace",
        (WhenAbsent::Proceed, false) => "it is done",
        (WhenAbsent::Wait, true) => "espera a que haya alguien, mientras la orden valga",
        (WhenAbsent::Wait, false) => "it waits for somebody, while the order is valid",
        (WhenAbsent::Refuse, true) => "no se hace",
        (WhenAbsent::Refuse, false) => "it is not done",
    }
}

fn precondition(condition: &Precondition, es: bool) -> String {
    let t = |spanish: String, english: String| if es { spanish } else { english };
    match condition {
        Precondition::BatteryAtLeast { percent } => t(
            format!("está conectado a la corriente o con batería de {percent} % o más"),
            format!("it is on mains or has {percent} % of battery or more"),
        ),
        Precondition::FreeDisk { path, bytes } => {
            let (path, mib) = (neutralise(path), bytes.div_ceil(1 << 20));
            t(
                format!("{path} tiene {mib} MiB libres o más"),
                format!("{path} has {mib} MiB free or more"),
            )
        }
        Precondition::NoPendingReboot => t(
            "no espera un reinicio".to_owned(),
            "it does not wait for a restart".to_owned(),
        ),
        Precondition::NobodyLoggedIn => t(
            "nadie tiene una sesión".to_owned(),
            "nobody has a session".to_owned(),
        ),
        Precondition::SomebodyLoggedIn => t(
            "alguien tiene una sesión".to_owned(),
            "somebody has a session".to_owned(),
        ),
    }
}

fn short(digest: &Digest) -> String {
    digest.to_hex().chars().take(16).collect()
}

/// A text of several lines, further lines indented so they cannot pose as lines of ours.
fn indented(text: &str) -> String {
    text.split('\n')
        .map(neutralise)
        .collect::<Vec<_>>()
        .join("\n    ")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn civil_time_of_known_instants() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_795_457_109_999), "2026-11-23 18:05:09 UTC");
        assert_eq!(utc(-1), "1969-12-31 23:59:59 UTC");
    }
}
