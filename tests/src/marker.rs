//! An action that leaves a mark: each of its two steps appends one line to a file of its own, so that a test can count how
//! often it ran. Between them it can be held, by a pipe that nobody writes to.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chasqui_trust::definition::Definition;
use serde_json::json;

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
    ///
    /// # Errors
    /// When a definition is none any more.
    pub fn definitions(&self) -> Result<Vec<Definition>> {
        Ok(vec![
            self.definition(MARK, false)?,
            self.definition(HELD, true)?,
        ])
    }

    fn definition(&self, id: &str, held: bool) -> Result<Definition> {
        let dd = Path::new("/usr/bin/dd");
        let dd = if dd.is_file() {
            dd
        } else {
            Path::new("/bin/dd")
        };
        let text = |es: &str, en: &str| json!({"es": es, "en": en});
        let literal = |text: String| json!({"literal": text});
        let step = |id: &str, args: Vec<String>| {
            json!({
                "id": id,
                "title": text("Dejar una línea", "Leave a line"),
                "run": {"program": {
                    "path": dd.display().to_string(),
                    "args": args.into_iter().map(literal).collect::<Vec<_>>(),
                    "success_codes": [0],
                    "script_digest": null,
                }},
            })
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
        let definition = json!({
            "critical": [],
            "id": id,
            "version": 1,
            "title": text("Dejar una marca", "Leave a mark"),
            "summary": text("Añade una línea a dos archivos.", "Appends a line to two files."),
            "platforms": ["linux"],
            "risk": 2,
            "consent": "none",
            "parameters": [],
            "time_limit_ms": 600_000,
            "check_time_limit_ms": 10_000,
            "steps": steps,
            "check": {
                "summary": text("El segundo archivo cambió.", "The second file changed."),
                "run": {"builtin": {"name": "file.renewed", "args": [
                    {"name": "path", "value": {"literal": {"text": self.path("second").display().to_string()}}},
                    {"name": "begins_with", "value": {"literal": {"list": ["ran"]}}},
                ]}},
            },
            "evidence": [
                {"fact": "size", "title": text("Tamaño", "Size"), "unit": "bytes"},
            ],
        });
        serde_json::from_value(definition).context("the marker's definition")
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
