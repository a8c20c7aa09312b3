//! `catalogue check`: everything that can be said about definitions before anybody signs them. Mistakes make it fail;
//! warnings are what a second pair of eyes would ask about.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chasqui_trust::{Document as _, FormatError, Text};
use serde_json::{Value, json};

use crate::catalogue::read;
use crate::catalogue::rules::{mistakes, warnings, words};
use crate::failure::{Exit, Failure, Outcome};
use crate::input;
use crate::output::{Screen, Tone, clean};

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
        words(&mut one, &definition);
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

/// Findings about one file.
pub struct About<'a> {
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

    /// What cannot be signed so: member, words in both languages, and what to do.
    pub fn error(
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

    /// What a second pair of eyes would ask about.
    pub fn warn(
        &mut self,
        code: &'static str,
        at: &str,
        es: &str,
        en: &str,
        do_es: &str,
        do_en: &str,
    ) {
        self.add(false, code, at, Text::new(es, en), Text::new(do_es, do_en));
    }

    /// A rule of the format that does not hold.
    fn rule(&mut self, error: &FormatError) {
        let (at, why) = match error {
            FormatError::Invalid { field, why, .. } => (field.clone(), why.clone()),
            other => (String::new(), other.to_string()),
        };
        // Said already, in words of its own.
        let file = self.file;
        if self.out.iter().any(|f| f.file == file && f.at == at) {
            return;
        }
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
    use crate::catalogue::rules::EXIT_CODE;
    use chasqui_trust::definition::{
        Arg, Consent, Definition, EvidenceSpec, FactKind, Interruption, Run,
    };

    fn shipped() -> Definition {
        serde_json::from_str(include_str!("../../../catalogue/disk.clean.temp.json")).unwrap()
    }

    type Edit = Box<dyn FnOnce(&mut Definition)>;

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
        let said = codes(&[("disk.clean.temp.json", &draft)]);
        // Five texts in two languages; the rule about the first of them is not told again.
        assert_eq!(said.iter().filter(|c| **c == "TEXT_MISSING").count(), 10);
        assert!(!said.contains(&"RULE"), "{said:?}");
        let mut stepless = shipped();
        stepless.steps.clear();
        assert!(codes(&[("disk.clean.temp.json", &stepless)]).contains(&"RULE"));
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
        assert!(codes(&[(name, &template)]).contains(&"PLACEHOLDER_UNKNOWN"));
        template.plan.en = "removes what is older than {older_than_days".to_owned();
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
        let table: Vec<(&str, Edit)> = vec![
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
