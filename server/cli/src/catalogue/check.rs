//! `catalogue check`: everything that can be said about definitions before anybody signs them. Mistakes make it fail;
//! warnings are what a second pair of eyes would ask about.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chasqui_trust::definition::{
    Arg, ArgValue, Consent, Definition, Interruption, Precondition, Run, StopPolicy, WhenAbsent,
};
use chasqui_trust::verify::TWO_PUBLISHERS_FROM_RISK;
use chasqui_trust::{Document as _, FormatError, Text};
use serde_json::{Value, json};

use crate::catalogue::read;
use crate::failure::{Exit, Failure, Outcome};
use crate::input;
use crate::output::{Screen, Tone, clean};

/// The fact that a program's check leaves.
const EXIT_CODE: &str = "exit_code";

/// Something to say about a file.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which file.
    pub file: String,
    /// False for a warning.
    pub error: bool,
    /// Stable, for scripts.
    pub code: &'static str,
    /// The member.
    pub at: String,
    /// Line and column, counted from 1.
    pub position: Option<(usize, usize)>,
    /// What is wrong.
    pub text: Text,
    /// What to do.
    pub remedy: Text,
}

pub fn run(screen: &Screen, paths: &[PathBuf]) -> Outcome {
    let files = read::files(&places(paths)?)?;
    let mut texts = Vec::new();
    for file in &files {
        texts.push((file.clone(), input::read_file(file)?));
    }
    let findings = check(&texts);
    let errors = findings.iter().filter(|f| f.error).count();
    let value = json!({
        "files": files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>(),
        "errors": errors,
        "warnings": findings.len() - errors,
        "findings": findings.iter().map(to_json).collect::<Vec<_>>(),
    });
    screen.show(&value, |s| render(s, &findings, files.len()));
    if errors == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Invalid,
        "CATALOGUE_INVALID",
        format!("{errors} errores: nada de esto se puede firmar así"),
        format!("{errors} mistakes: nothing of this can be signed as it is"),
    ))
}

/// What was named, else the usual folder.
fn places(paths: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    if !paths.is_empty() {
        return Ok(paths.to_vec());
    }
    ["catalogue", "server/catalogue"]
        .iter()
        .map(PathBuf::from)
        .find(|folder| folder.is_dir())
        .map(|folder| vec![folder])
        .ok_or_else(|| {
            Failure::usage(
                "aquí no hay carpeta catalogue: nombre archivos o carpetas",
                "there is no folder catalogue here: name files or folders",
            )
        })
}

/// Findings about these files, in their order.
pub fn check(files: &[(PathBuf, Vec<u8>)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen: BTreeMap<(String, u32), String> = BTreeMap::new();
    for (path, bytes) in files {
        let name = path.display().to_string();
        let mut one = About {
            file: &name,
            out: &mut findings,
        };
        let definition = match read::parse(bytes) {
            Ok(definition) => definition,
            Err(mistake) => {
                one.out.push(Finding {
                    file: name.clone(),
                    error: true,
                    code: mistake.code,
                    at: mistake.at,
                    position: mistake.position,
                    text: mistake.text,
                    remedy: mistake.remedy,
                });
                continue;
            }
        };
        if let Err(error) = definition.encode() {
            one.rule(&error);
        }
        let key = (definition.id.clone(), definition.version);
        if let Some(first) = seen.get(&key) {
            one.error(
                "DEFINITION_TWICE",
                "id",
                &format!("{} versión {} está también en {first}", key.0, key.1),
                &format!("{} version {} is in {first} too", key.0, key.1),
                "cuente la versión o cambie el nombre",
                "count the version up or change the name",
            );
        } else {
            seen.insert(key, name.clone());
        }
        mistakes(&mut one, &definition);
        warnings(&mut one, &definition, path);
    }
    findings
}

struct About<'a> {
    file: &'a str,
    out: &'a mut Vec<Finding>,
}

impl About<'_> {
    fn add(&mut self, error: bool, code: &'static str, at: &str, text: Text, remedy: Text) {
        self.out.push(Finding {
            file: self.file.to_owned(),
            error,
            code,
            at: at.to_owned(),
            position: None,
            text,
            remedy,
        });
    }

    fn error(
        &mut self,
        code: &'static str,
        at: &str,
        es: &str,
        en: &str,
        do_es: &str,
        do_en: &str,
    ) {
        self.add(true, code, at, Text::new(es, en), Text::new(do_es, do_en));
    }

    fn warn(&mut self, code: &'static str, at: &str, es: &str, en: &str, do_es: &str, do_en: &str) {
        self.add(false, code, at, Text::new(es, en), Text::new(do_es, do_en));
    }

    /// A rule of the format that does not hold.
    fn rule(&mut self, error: &FormatError) {
        let (at, why) = match error {
            FormatError::Invalid { field, why, .. } => (field.clone(), why.clone()),
            other => (String::new(), other.to_string()),
        };
        self.add(
            true,
            "RULE",
            &at,
            Text::new(format!("no cumple el formato: {why}"), why),
            Text::new(
                "corríjalo y repita; se dice un error de formato a la vez",
                "mend it and repeat; one mistake of form is told at a time",
            ),
        );
    }
}

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

fn mistakes(one: &mut About, definition: &Definition) {
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

fn warnings(one: &mut About, d: &Definition, path: &Path) {
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

fn to_json(finding: &Finding) -> Value {
    json!({
        "file": finding.file,
        "level": if finding.error { "error" } else { "warning" },
        "code": finding.code,
        "at": finding.at,
        "line": finding.position.map(|(line, _)| line),
        "column": finding.position.map(|(_, column)| column),
        "text": { "es": finding.text.es, "en": finding.text.en },
        "remedy": { "es": finding.remedy.es, "en": finding.remedy.en },
    })
}

fn render(screen: &Screen, findings: &[Finding], files: usize) -> String {
    let mut out = String::new();
    for finding in findings {
        let place = match finding.position {
            Some((line, column)) => format!("{}:{line}:{column}", finding.file),
            None => finding.file.clone(),
        };
        let at = if finding.at.is_empty() {
            String::new()
        } else {
            format!(" {}", finding.at)
        };
        let word = if finding.error {
            screen.tone(Tone::Bad, "error")
        } else {
            screen.tone(Tone::Warn, screen.say("aviso", "warning"))
        };
        out.push_str(&format!(
            "{}{}\n  {word}: {} [{}]\n  → {}\n",
            clean(&place),
            clean(&at),
            clean(screen.lang.pick(&finding.text.es, &finding.text.en)),
            finding.code,
            clean(screen.lang.pick(&finding.remedy.es, &finding.remedy.en))
        ));
    }
    let errors = findings.iter().filter(|f| f.error).count();
    out.push_str(&format!(
        "{files} {}, {errors} {}, {} {}\n",
        screen.say("archivos", "files"),
        screen.say("errores", "mistakes"),
        findings.len() - errors,
        screen.say("avisos", "warnings")
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use chasqui_trust::definition::{EvidenceSpec, FactKind};

    fn shipped() -> Definition {
        serde_json::from_str(include_str!("../../../catalogue/disk.clean.temp.json")).unwrap()
    }

    fn codes(definitions: &[(&str, &Definition)]) -> Vec<&'static str> {
        let files: Vec<(PathBuf, Vec<u8>)> = definitions
            .iter()
            .map(|(name, d)| (PathBuf::from(name), serde_json::to_vec_pretty(d).unwrap()))
            .collect();
        check(&files).into_iter().map(|f| f.code).collect()
    }

    #[test]
    fn a_draft_is_no_definition_yet() {
        let draft = Definition::draft("disk.clean.temp");
        assert!(codes(&[("disk.clean.temp.json", &draft)]).contains(&"RULE"));
    }

    #[test]
    fn each_mistake_has_its_code() {
        let name = "disk.clean.temp.json";
        let mut twice = shipped();
        assert_eq!(
            codes(&[(name, &shipped()), ("b/disk.clean.temp.json", &twice)]),
            ["DEFINITION_TWICE"]
        );
        twice.version = 2;
        assert!(codes(&[(name, &shipped()), ("b/disk.clean.temp.json", &twice)]).is_empty());

        let mut template = shipped();
        template.plan.en = "removes what is older than {days}".to_owned();
        assert!(codes(&[(name, &template)]).contains(&"RULE"));

        let mut unused = shipped();
        let mut spec = unused.parameters[0].clone();
        spec.name = "folder".to_owned();
        unused.parameters.push(spec);
        assert!(codes(&[(name, &unused)]).contains(&"PARAMETER_UNUSED"));

        let mut evidence = shipped();
        evidence.check.run = Run::Program {
            path: "/usr/bin/test".to_owned(),
            args: vec![Arg::Parameter("older_than_days".to_owned())],
            success_codes: vec![0],
            script_digest: None,
        };
        assert!(codes(&[(name, &evidence)]).contains(&"EVIDENCE_WITHOUT_CHECK"));
        evidence.evidence = vec![EvidenceSpec {
            fact: EXIT_CODE.to_owned(),
            title: Text::new("Código", "Code"),
            unit: String::new(),
            kind: FactKind::Number,
        }];
        assert!(codes(&[(name, &evidence)]).is_empty());
    }

    #[test]
    fn what_looks_wrong_is_a_warning() {
        let table: Vec<(&str, Box<dyn FnOnce(&mut Definition)>)> = vec![
            (
                "RISK_CONSENT",
                Box::new(|d| {
                    d.risk = 2;
                    d.consent = Consent::None;
                }),
            ),
            (
                "RISK_INTERRUPTS",
                Box::new(|d| d.interrupts.push(Interruption::Reboot)),
            ),
            (
                "UNDO_UNREACHABLE",
                Box::new(|d| d.interrupts.push(Interruption::Network)),
            ),
            ("TWO_PUBLISHERS", Box::new(|d| d.risk = 3)),
            (
                "NO_LOCK",
                Box::new(|d| {
                    d.risk = 2;
                    d.locks.clear();
                }),
            ),
            (
                "NOT_TRANSLATED",
                Box::new(|d| d.summary.en = d.summary.es.clone()),
            ),
            (
                "PLAN_SILENT",
                Box::new(|d| d.plan.en = "Removes old files.".to_owned()),
            ),
            ("FILE_NAME", Box::new(|d| d.id = "disk.other".to_owned())),
        ];
        for (code, change) in table {
            let mut definition = shipped();
            change(&mut definition);
            let files = [(
                PathBuf::from("disk.clean.temp.json"),
                serde_json::to_vec(&definition).unwrap(),
            )];
            let found = check(&files);
            assert!(
                found.iter().any(|f| f.code == code && !f.error),
                "{code}: {found:?}"
            );
        }
    }
}
