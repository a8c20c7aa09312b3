//! A definition laid open: every member as a line with a path, a name and a value in both languages. What a publisher
//! signs, what an approver reads and what differs between two versions are the same lines.

use chasqui_trust::Text;
use chasqui_trust::definition::{
    Arg, ArgValue, CharClass, Consent, Definition, FactKind, Interruption, InventoryKind, Lock,
    NamedArg, ParameterKind, Platform, Precondition, Priority, Run, Step, StopPolicy, WhenAbsent,
};

use crate::output::{Screen, clean};

/// One member of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facet {
    /// Where it stands, for example `steps.clean.run`.
    pub path: String,
    /// What people call it.
    pub name: Text,
    /// Its value.
    pub value: Text,
}

/// Every member, in the order of the document.
pub fn facets(definition: &Definition) -> Vec<Facet> {
    let mut out = Lines(Vec::new());
    let d = definition;
    out.same("id", "Acción", "Action", &d.id);
    out.same("version", "Versión", "Version", &d.version.to_string());
    out.words("title", "Título", "Title", &d.title);
    out.words("summary", "Qué hace", "What it does", &d.summary);
    out.words("plan", "Qué pasará", "What will happen", &d.plan);
    out.words(
        "if_it_fails",
        "Si sale mal",
        "If it goes wrong",
        &d.if_it_fails,
    );
    let platforms: Vec<&str> = d.platforms.iter().map(|p| platform(*p)).collect();
    out.same("platforms", "Sistemas", "Systems", &platforms.join(", "));
    out.same("risk", "Riesgo", "Risk", &d.risk.to_string());
    out.put(
        "consent",
        ("Consentimiento", "Consent"),
        consent_text(d.consent),
    );
    out.put(
        "when_absent",
        ("Si no hay nadie", "If nobody is there"),
        absent_text(d.when_absent),
    );
    out.same(
        "approvals",
        "Aprobaciones al menos",
        "Approvals at least",
        &d.approvals.to_string(),
    );
    for spec in &d.parameters {
        let path = format!("parameters.{}", spec.name);
        out.words(
            &format!("{path}.title"),
            &format!("Parámetro {}", spec.name),
            &format!("Parameter {}", spec.name),
            &spec.title,
        );
        out.same(
            &format!("{path}.kind"),
            &format!("Valores de {}", spec.name),
            &format!("Values of {}", spec.name),
            &kind_text(&spec.kind),
        );
    }
    for condition in &d.preconditions {
        let (path, value) = precondition(condition);
        out.same(
            &format!("preconditions.{path}"),
            &format!("Solo si {path}"),
            &format!("Only if {path}"),
            &value,
        );
    }
    for lock in &d.locks {
        let key = lock_text(lock);
        out.put(
            &format!("locks.{key}"),
            ("Ocupa", "Holds"),
            Text::same(&key),
        );
    }
    for interruption in &d.interrupts {
        let (key, value) = match interruption {
            Interruption::Network => ("network", Text::new("la red", "the network")),
            Interruption::Reboot => (
                "reboot",
                Text::new("reinicia el equipo", "restarts the machine"),
            ),
        };
        out.put(&format!("interrupts.{key}"), ("Corta", "Interrupts"), value);
    }
    limits(&mut out, d);
    for step in &d.steps {
        out.step("steps", ("Paso", "Step"), step);
    }
    let order: Vec<&str> = d.steps.iter().map(|s| s.id.as_str()).collect();
    out.same(
        "steps",
        "Orden de los pasos",
        "Order of the steps",
        &order.join(", "),
    );
    out.words(
        "check.summary",
        "Se comprueba después",
        "Checked afterwards",
        &d.check.summary,
    );
    out.same(
        "check.run",
        "Comprobación",
        "Check",
        &run_text(&d.check.run),
    );
    undo(&mut out, d);
    for item in &d.evidence {
        let path = format!("evidence.{}", item.fact);
        out.words(
            &format!("{path}.title"),
            &format!("Hecho {}", item.fact),
            &format!("Fact {}", item.fact),
            &item.title,
        );
        out.same(
            &format!("{path}.kind"),
            &format!("Clase de {}", item.fact),
            &format!("Kind of {}", item.fact),
            format!("{} {}", fact_kind(item.kind), item.unit).trim_end(),
        );
    }
    for name in &d.critical {
        out.same(&format!("critical.{name}"), "Exige", "Needs", name);
    }
    out.0
}

fn limits(out: &mut Lines, d: &Definition) {
    let amount = |value: Option<String>| match value {
        Some(value) => Text::same(value),
        None => Text::new("los del sistema", "the system's own"),
    };
    out.put(
        "limits.memory_bytes",
        ("Memoria, bytes", "Memory, bytes"),
        amount(d.limits.memory_bytes.map(|v| v.to_string())),
    );
    out.put(
        "limits.cpu_percent",
        ("Procesador, % de uno", "Processor, % of one"),
        amount(d.limits.cpu_percent.map(|v| v.to_string())),
    );
    out.put(
        "limits.processes",
        ("Procesos", "Processes"),
        amount(d.limits.processes.map(|v| v.to_string())),
    );
    out.put(
        "limits.priority",
        ("Prioridad", "Priority"),
        match d.limits.priority {
            Priority::Low => Text::new("baja", "low"),
            Priority::Normal => Text::new("normal", "normal"),
        },
    );
    out.put(
        "stop",
        ("Si se detiene", "If stopped"),
        match d.stop {
            StopPolicy::EndTree { grace_ms } => Text::new(
                format!("se terminan sus procesos tras {grace_ms} ms"),
                format!("its processes are ended after {grace_ms} ms"),
            ),
            StopPolicy::LetFinish => Text::new(
                "el paso en curso sigue hasta su fin",
                "the running step goes on to its end",
            ),
        },
    );
    out.same(
        "time_limit_ms",
        "Tiempo de los pasos, ms",
        "Time for the steps, ms",
        &d.time_limit_ms.to_string(),
    );
    out.same(
        "check_time_limit_ms",
        "Tiempo de la comprobación, ms",
        "Time for the check, ms",
        &d.check_time_limit_ms.to_string(),
    );
}

fn undo(out: &mut Lines, d: &Definition) {
    let Some(undo) = &d.undo else {
        out.put(
            "undo",
            ("Se puede devolver", "Can be taken back"),
            Text::new("no", "no"),
        );
        return;
    };
    out.put(
        "undo",
        ("Se puede devolver", "Can be taken back"),
        Text::new("sí", "yes"),
    );
    out.words(
        "undo.summary",
        "Qué se devuelve",
        "What is taken back",
        &undo.summary,
    );
    out.put(
        "undo.when_check_fails",
        (
            "Se devuelve si la comprobación no se cumple",
            "Taken back when the check does not hold",
        ),
        yes(undo.when_check_fails),
    );
    out.put(
        "undo.when_unreachable_ms",
        (
            "Se devuelve sin coordinador tras, ms",
            "Taken back without the coordinator after, ms",
        ),
        undo.when_unreachable_ms.map_or_else(
            || Text::new("nunca", "never"),
            |ms| Text::same(ms.to_string()),
        ),
    );
    for step in &undo.steps {
        out.step("undo.steps", ("Paso de devolución", "Undo step"), step);
    }
}

struct Lines(Vec<Facet>);

impl Lines {
    fn put(&mut self, path: &str, (es, en): (&str, &str), value: Text) {
        self.0.push(Facet {
            path: path.to_owned(),
            name: Text::new(es, en),
            value,
        });
    }

    fn same(&mut self, path: &str, es: &str, en: &str, value: &str) {
        self.put(path, (es, en), Text::same(value));
    }

    /// A text is two lines: whoever signs answers for both languages, whichever they read.
    fn words(&mut self, path: &str, es: &str, en: &str, text: &Text) {
        for (language, words) in [("es", &text.es), ("en", &text.en)] {
            self.same(
                &format!("{path}.{language}"),
                &format!("{es} ({language})"),
                &format!("{en} ({language})"),
                words,
            );
        }
    }

    fn step(&mut self, place: &str, (es, en): (&str, &str), step: &Step) {
        let path = format!("{place}.{}", step.id);
        self.words(
            &format!("{path}.title"),
            &format!("{es} {}", step.id),
            &format!("{en} {}", step.id),
            &step.title,
        );
        self.same(
            &format!("{path}.run"),
            &format!("{es} {} ejecuta", step.id),
            &format!("{en} {} runs", step.id),
            &run_text(&step.run),
        );
    }
}

/// What a step or check runs, on one line; arguments with spaces are quoted.
pub fn run_text(run: &Run) -> String {
    match run {
        Run::Program {
            path,
            args,
            success_codes,
            script_digest,
        } => {
            let mut words = vec![path.clone()];
            words.extend(args.iter().map(|arg| match arg {
                Arg::Literal(text) if text.is_empty() || text.contains(' ') => format!("{text:?}"),
                Arg::Literal(text) => text.clone(),
                Arg::Parameter(name) => format!("{{{name}}}"),
                Arg::Script => "[script]".to_owned(),
            }));
            let codes: Vec<String> = success_codes.iter().map(ToString::to_string).collect();
            let script = script_digest
                .map(|digest| format!("  script {digest}"))
                .unwrap_or_default();
            format!("{}  (ok: {}){script}", words.join(" "), codes.join(", "))
        }
        Run::Builtin { name, args } => {
            let args: Vec<String> = args.iter().map(named_arg).collect();
            format!("{name}({})", args.join("; "))
        }
    }
}

fn named_arg(arg: &NamedArg) -> String {
    match &arg.value {
        ArgValue::Literal(value) => format!("{}={value}", arg.name),
        ArgValue::Parameter(name) => format!("{}={{{name}}}", arg.name),
    }
}

/// A grammar on one line.
pub fn kind_text(kind: &ParameterKind) -> String {
    match kind {
        ParameterKind::Integer { min, max } => format!("integer {min}..{max}"),
        ParameterKind::Choice { options } => format!("choice {}", options.join(" | ")),
        ParameterKind::Text {
            max_length,
            class,
            leading_dash,
        } => {
            let dash = if *leading_dash { " leading_dash" } else { "" };
            format!("text {} <= {max_length}{dash}", class_text(*class))
        }
        ParameterKind::List {
            max_items,
            max_length,
            class,
        } => format!(
            "list <= {max_items} of {} <= {max_length}",
            class_text(*class)
        ),
        ParameterKind::Inventory { of } => format!("inventory {}", inventory_text(*of)),
    }
}

fn class_text(class: CharClass) -> &'static str {
    match class {
        CharClass::Digits => "digits",
        CharClass::Alphanumeric => "alphanumeric",
        CharClass::Identifier => "identifier",
        CharClass::Host => "host",
        CharClass::Version => "version",
        CharClass::FileName => "file_name",
        CharClass::Prose => "prose",
    }
}

fn inventory_text(of: InventoryKind) -> &'static str {
    match of {
        InventoryKind::Service => "service",
        InventoryKind::Package => "package",
        InventoryKind::Printer => "printer",
        InventoryKind::Disk => "disk",
        InventoryKind::Interface => "interface",
    }
}

fn fact_kind(kind: FactKind) -> &'static str {
    match kind {
        FactKind::Number => "number",
        FactKind::Flag => "flag",
        FactKind::Text => "text",
        FactKind::Time => "time",
        FactKind::Digest => "digest",
    }
}

/// `linux`, `windows`.
pub fn platform(platform: Platform) -> &'static str {
    match platform {
        Platform::Linux => "linux",
        Platform::Windows => "windows",
    }
}

/// A lock as it is written: `resource`, or `resource:{parameter}`.
pub fn lock_text(lock: &Lock) -> String {
    match &lock.parameter {
        Some(parameter) => format!("{}:{{{parameter}}}", lock.resource),
        None => lock.resource.clone(),
    }
}

/// What tells one condition from another, and how much it asks.
pub fn precondition(condition: &Precondition) -> (String, String) {
    match condition {
        Precondition::BatteryAtLeast { percent } => {
            ("battery_at_least".to_owned(), format!("{percent} %"))
        }
        Precondition::FreeDisk { path, bytes } => {
            (format!("free_disk {path}"), format!("{bytes} bytes"))
        }
        Precondition::NoPendingReboot => ("no_pending_reboot".to_owned(), "-".to_owned()),
        Precondition::NobodyLoggedIn => ("nobody_logged_in".to_owned(), "-".to_owned()),
        Precondition::SomebodyLoggedIn => ("somebody_logged_in".to_owned(), "-".to_owned()),
    }
}

/// What the person at the machine is asked, in words.
pub fn consent_text(consent: Consent) -> Text {
    match consent {
        Consent::None => Text::new("no se avisa", "not told"),
        Consent::Notify => Text::new("se avisa", "told"),
        Consent::Ask => Text::new("se pregunta", "asked"),
        Consent::AskAlways => Text::new("se pregunta en la pantalla", "asked on the screen"),
    }
}

fn absent_text(rule: WhenAbsent) -> Text {
    match rule {
        WhenAbsent::Proceed => Text::new("se hace", "it is done"),
        WhenAbsent::Wait => Text::new("espera", "it waits"),
        WhenAbsent::Refuse => Text::new("no se hace", "it is not done"),
    }
}

fn yes(value: bool) -> Text {
    if value {
        Text::new("sí", "yes")
    } else {
        Text::new("no", "no")
    }
}

/// Every member for people.
pub fn render(screen: &Screen, definition: &Definition) -> String {
    facets(definition)
        .iter()
        .map(|facet| {
            format!(
                "  {}: {}\n",
                clean(screen.lang.pick(&facet.name.es, &facet.name.en)),
                clean(screen.lang.pick(&facet.value.es, &facet.value.en))
            )
        })
        .collect()
}
