//! Definitions as people write them: any spacing, but every member and no other. Says where in the file a mistake is and
//! what to do about it.

use std::path::{Path, PathBuf};

use chasqui_trust::{Definition, Document as _, Text};
use serde_json::Value;

use crate::failure::{Exit, Failure, Outcome};
use crate::input;

/// Most files that are read at once.
pub const MAX_FILES: usize = 2_000;
/// The schema lies beside the definitions and is none.
const SCHEMA: &str = "schema.json";

/// A mistake and where it is.
#[derive(Clone, Debug)]
pub struct Mistake {
    /// Stable, for scripts.
    pub code: &'static str,
    /// The member, for example `steps[0].run`; empty for the whole document.
    pub at: String,
    /// Line and column, counted from 1, where the text itself is wrong.
    pub position: Option<(usize, usize)>,
    /// What is wrong.
    pub text: Text,
    /// What to do.
    pub remedy: Text,
}

/// Reads one definition strictly; no rule of its content is judged yet.
pub fn parse(bytes: &[u8]) -> Result<Definition, Box<Mistake>> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read: Result<Definition, _> = serde_path_to_error::deserialize(&mut reader);
    let (at, error) = match read {
        Ok(definition) => match reader.end() {
            Ok(()) => return complete(definition, bytes),
            Err(error) => (String::new(), error),
        },
        Err(error) => {
            let at = error.path().to_string();
            (
                if at == "." { String::new() } else { at },
                error.into_inner(),
            )
        }
    };
    let position = Some((error.line(), error.column())).filter(|(line, _)| *line > 0);
    let said = error.to_string();
    let said = said
        .rsplit_once(" at line ")
        .map_or(said.as_str(), |(before, _)| before)
        .to_owned();
    let (code, es, remedy) = explain(&said);
    Err(Box::new(Mistake {
        code,
        at,
        position,
        text: Text::new(format!("{es}: {said}"), said),
        remedy,
    }))
}

/// An optional member that is left out would be read as null; whoever wrote it may have meant something else.
fn complete(definition: Definition, bytes: &[u8]) -> Result<Definition, Box<Mistake>> {
    let written: Option<Value> = serde_json::from_slice(bytes).ok();
    let whole = serde_json::to_value(&definition).ok();
    let lacking = match (&whole, &written) {
        (Some(whole), Some(written)) => lacking(whole, written, ""),
        _ => None,
    };
    let Some(at) = lacking else {
        return Ok(definition);
    };
    let name = at.rsplit('.').next().unwrap_or_default();
    let said = format!("missing field `{name}`");
    let (code, es, remedy) = explain(&said);
    Err(Box::new(Mistake {
        code,
        text: Text::new(format!("{es}: {said}"), said),
        at,
        position: None,
        remedy,
    }))
}

/// The first member of `whole` that `written` lacks.
fn lacking(whole: &Value, written: &Value, at: &str) -> Option<String> {
    match (whole, written) {
        (Value::Object(whole), Value::Object(written)) => whole.iter().find_map(|(name, value)| {
            let path = if at.is_empty() {
                name.clone()
            } else {
                format!("{at}.{name}")
            };
            match written.get(name) {
                Some(found) => lacking(value, found, &path),
                None => Some(path),
            }
        }),
        (Value::Array(whole), Value::Array(written)) => whole
            .iter()
            .zip(written)
            .enumerate()
            .find_map(|(n, (value, found))| lacking(value, found, &format!("{at}[{n}]"))),
        _ => None,
    }
}

fn explain(said: &str) -> (&'static str, &'static str, Text) {
    if said.starts_with("unknown field") {
        (
            "FIELD_UNKNOWN",
            "miembro desconocido",
            Text::new(
                "quítelo o corrija su nombre: lo que un agente no conoce no se puede firmar",
                "remove it or mend its name: what an agent does not know cannot be signed",
            ),
        )
    } else if said.starts_with("missing field") {
        (
            "FIELD_MISSING",
            "falta un miembro",
            Text::new(
                "agréguelo; todos son obligatorios, y docs/definitions.md dice qué significa cada uno",
                "add it; all are required, and docs/definitions.md says what each one means",
            ),
        )
    } else if said.starts_with("duplicate field") {
        (
            "FIELD_TWICE",
            "miembro repetido",
            Text::new("deje uno solo", "leave one of them"),
        )
    } else if said.starts_with("unknown variant") {
        (
            "VALUE_UNKNOWN",
            "valor desconocido",
            Text::new(
                "use uno de los que el mensaje nombra",
                "use one of those the message names",
            ),
        )
    } else if said.starts_with("invalid") {
        (
            "VALUE_TYPE",
            "tipo de valor equivocado",
            Text::new(
                "escriba el valor como server/catalogue/schema.json lo describe",
                "write the value as server/catalogue/schema.json describes it",
            ),
        )
    } else {
        (
            "JSON",
            "no es JSON",
            Text::new(
                "corrija la sintaxis en esa línea",
                "mend the syntax on that line",
            ),
        )
    }
}

/// The canonical bytes of a definition written by hand: any spacing, the same content.
pub fn canonical(bytes: &[u8]) -> Outcome<Vec<u8>> {
    let definition = parse(bytes).map_err(|mistake| failure("", &mistake))?;
    Ok(definition.encode()?)
}

/// A definition file and its canonical bytes.
pub fn file(path: &Path) -> Outcome<(Definition, Vec<u8>)> {
    let shown = path.display().to_string();
    let definition =
        parse(&input::read_file(path)?).map_err(|mistake| failure(&shown, &mistake))?;
    let bytes = definition.encode().map_err(|error| {
        let mut failure = Failure::from(error);
        failure.details.push(("file".to_owned(), shown));
        failure.hint(
            "vea todo lo que falta con: chasqui catalogue check",
            "see all that is missing with: chasqui catalogue check",
        )
    })?;
    Ok((definition, bytes))
}

fn failure(file: &str, mistake: &Mistake) -> Failure {
    let mut failure = Failure::new(
        Exit::Invalid,
        "PAPER_UNREADABLE",
        format!("la definición no se puede leer: {}", mistake.text.es),
        format!("the definition cannot be read: {}", mistake.text.en),
    )
    .hint(mistake.remedy.es.clone(), mistake.remedy.en.clone());
    if !file.is_empty() {
        failure.details.push(("file".to_owned(), file.to_owned()));
    }
    if !mistake.at.is_empty() {
        failure.details.push(("at".to_owned(), mistake.at.clone()));
    }
    if let Some((line, column)) = mistake.position {
        failure
            .details
            .push(("line".to_owned(), format!("{line}:{column}")));
    }
    failure
}

/// Definition files: those named, and those in the folders named, in order of name.
pub fn files(paths: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let inside = input::json_files(path)?;
            files.extend(
                inside
                    .into_iter()
                    .filter(|file| file.file_name().is_none_or(|name| name != SCHEMA)),
            );
        } else {
            files.push(path.clone());
        }
    }
    if files.len() > MAX_FILES {
        return Err(Failure::usage(
            format!("más de {MAX_FILES} archivos: un catálogo no tiene más"),
            format!("more than {MAX_FILES} files: no catalogue has more"),
        ));
    }
    if files.is_empty() {
        return Err(Failure::new(
            Exit::NotFound,
            "DEFINITION_MISSING",
            "no hay ninguna definición ahí",
            "there is no definition there",
        )
        .hint(
            "comience una con: chasqui catalogue new ID",
            "begin one with: chasqui catalogue new ID",
        ));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shipped() -> Value {
        serde_json::from_str(include_str!(
            "../../../catalogue/system.library-cache.rebuild.json"
        ))
        .unwrap()
    }

    fn mistake(change: impl FnOnce(&mut Value)) -> Box<Mistake> {
        let mut value = shipped();
        change(&mut value);
        parse(&serde_json::to_vec_pretty(&value).unwrap()).unwrap_err()
    }

    #[test]
    fn a_mistake_says_where_it_is_and_what_to_do() {
        let unknown = mistake(|v| v["steps"][0]["shell"] = json!(true));
        assert_eq!(unknown.code, "FIELD_UNKNOWN");
        assert!(unknown.at.starts_with("steps[0]"), "{}", unknown.at);
        assert!(unknown.text.en.contains("shell"), "{}", unknown.text.en);
        assert!(unknown.position.unwrap().0 > 1);

        let missing = mistake(|v| {
            v.as_object_mut().unwrap().remove("locks");
        });
        assert_eq!(missing.code, "FIELD_MISSING");
        assert!(missing.text.en.contains("locks"));
        // Also where null would be a value: nothing is left to be guessed.
        let optional = mistake(|v| {
            v["limits"].as_object_mut().unwrap().remove("processes");
        });
        assert_eq!(
            (optional.code, optional.at.as_str()),
            ("FIELD_MISSING", "limits.processes")
        );

        let wrong = mistake(|v| v["limits"]["processes"] = json!("many"));
        assert_eq!(
            (wrong.code, wrong.at.as_str()),
            ("VALUE_TYPE", "limits.processes")
        );

        let variant = mistake(|v| v["consent"] = json!("maybe"));
        assert_eq!(
            (variant.code, variant.at.as_str()),
            ("VALUE_UNKNOWN", "consent")
        );

        let broken = parse(b"{\n  \"critical\": [,]\n}").unwrap_err();
        assert_eq!((broken.code, broken.position.unwrap().0), ("JSON", 2));
        let mut twice = serde_json::to_vec(&shipped()).unwrap();
        twice.extend_from_slice(b"{}");
        assert_eq!(parse(&twice).unwrap_err().code, "JSON");
    }
}
