//! An action that leaves a mark: each of its two steps appends one line to a file of its own, so that a test can count how
//! often it ran. Between them it can be held, by a pipe that nobody writes to.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use chasqui_trust::Text;
use chasqui_trust::definition::{
    Arg, ArgValue, Check, Consent, Definition, EvidenceSpec, FactKind, Lock, NamedArg, Run, Step,
    WhenAbsent,
};
use chasqui_trust::order::ParameterValue;

/// The action's id.
pub const MARK: &str = "prueba.marca";
/// The same, waiting between its steps until [`Marker::open_gate`].
pub const HELD: &str = "prueba.marca-retenida";

/// The files of an action. Removed with it.
#[derive(Debug)]
pub struct Marker {
    folder: tempfile::TempDir,
}

impl Marker {
    /// Makes the line that is appended, and the closed gate.
    ///
    /// # Errors
    /// What the file system says.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("chasqui-marker-")
            .tempdir()?;
        fs::write(folder.path().join("line"), "ran\n")?;
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            folder.path().join("gate"),
            rustix::fs::Mode::from_raw_mode(0o600),
        )?;
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Both actions.
    pub fn definitions(&self) -> Vec<Definition> {
        vec![self.definition(MARK, false), self.definition(HELD, true)]
    }

    fn definition(&self, id: &str, held: bool) -> Definition {
        let dd = Path::new("/usr/bin/dd");
        let dd = if dd.is_file() {
            dd
        } else {
            Path::new("/bin/dd")
        };
        let step = |id: &str, args: Vec<String>| Step {
            id: id.to_owned(),
            title: Text::new("Dejar una línea", "Leave a line"),
            run: Run::Program {
                path: dd.display().to_string(),
                args: args.into_iter().map(Arg::Literal).collect(),
                success_codes: vec![0],
                script_digest: None,
            },
        };
        let append = |name: &str| {
            vec![
                format!("if={}", self.path("line").display()),
                format!("of={}", self.path(name).display()),
                "oflag=append".to_owned(),
                "conv=notrunc".to_owned(),
                "status=none".to_owned(),
            ]
        };
        let mut steps = vec![step("first", append("first"))];
        if held {
            let wait = vec![
                format!("if={}", self.path("gate").display()),
                "of=/dev/null".to_owned(),
                "status=none".to_owned(),
            ];
            steps.push(step("gate", wait));
        }
        steps.push(step("second", append("second")));
        let literal = |name: &str, value| NamedArg {
            name: name.to_owned(),
            value: ArgValue::Literal(value),
        };
        Definition {
            title: Text::new("Dejar una marca", "Leave a mark"),
            summary: Text::new(
                "Añade una línea a dos archivos.",
                "Appends a line to two files.",
            ),
            plan: Text::new("Añadirá dos líneas.", "Will append two lines."),
            if_it_fails: Text::new("Falta una línea.", "A line is missing."),
            risk: 2,
            consent: Consent::None,
            when_absent: WhenAbsent::Proceed,
            approvals: 0,
            // Both append to the same files.
            locks: vec![Lock {
                resource: "marks".to_owned(),
                parameter: None,
            }],
            time_limit_ms: 600_000,
            check_time_limit_ms: 10_000,
            steps,
            check: Check {
                summary: Text::new("El segundo archivo cambió.", "The second file changed."),
                run: Run::Builtin {
                    name: "file.renewed".to_owned(),
                    args: vec![
                        literal(
                            "path",
                            ParameterValue::Text(self.path("second").display().to_string()),
                        ),
                        literal("begins_with", ParameterValue::List(vec!["ran".to_owned()])),
                    ],
                },
            },
            evidence: vec![EvidenceSpec {
                fact: "size".to_owned(),
                title: Text::new("Tamaño", "Size"),
                unit: "bytes".to_owned(),
                kind: FactKind::Number,
            }],
            ..Definition::draft(id)
        }
    }

    /// How many lines each step has left since the last [`Marker::clear`].
    ///
    /// # Errors
    /// What the file system says.
    pub fn lines(&self) -> io::Result<[usize; 2]> {
        let count = |name| match fs::read_to_string(self.path(name)) {
            Ok(text) => Ok(text.lines().count()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        };
        Ok([count("first")?, count("second")?])
    }

    /// Takes the lines away.
    ///
    /// # Errors
    /// What the file system says.
    pub fn clear(&self) -> io::Result<()> {
        for name in ["first", "second"] {
            match fs::remove_file(self.path(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Lets one held action go on. Blocks until it is at the gate.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open_gate(&self) -> io::Result<()> {
        File::options()
            .write(true)
            .open(self.path("gate"))
            .map(drop)
    }
}
