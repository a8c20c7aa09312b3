//! `catalogue new`: a definition to begin from. The file has every member with its safe choice; what to write into each is
//! said on standard error, since JSON has no place for it.

use std::path::PathBuf;

use chasqui_trust::Definition;
use serde_json::json;

use crate::catalogue;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::Screen;
use crate::{input, key};

pub async fn run(context: &Context, id: &str, from: Option<&str>, out: Option<PathBuf>) -> Outcome {
    let screen = &context.screen;
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if id.is_empty()
        || id.len() > 64
        || !id.chars().all(named)
        || !id.starts_with(|c: char| c.is_ascii_alphanumeric())
    {
        return Err(Failure::usage(
            format!(
                "{id:?} no sirve de nombre: use letras, dígitos, punto y guion, 64 como máximo"
            ),
            format!("{id:?} cannot be a name: use letters, digits, dots and dashes, at most 64"),
        )
        .hint(
            "por ejemplo: printer.queue.clear",
            "for example: printer.queue.clear",
        ));
    }
    let definition = match from {
        None => Definition::draft(id),
        Some(name) => {
            let held = catalogue::find(context, name).await?;
            // A copy under another name is another action: it begins at 1.
            let version = if held.id == id {
                held.version.checked_add(1).ok_or_else(|| {
                    Failure::usage("no hay versión siguiente", "there is no next version")
                })?
            } else {
                1
            };
            Definition {
                id: id.to_owned(),
                version,
                ..held
            }
        }
    };
    let path = out.unwrap_or_else(|| PathBuf::from(format!("{id}.json")));
    key::refuse_overwrite(&path)?;
    let mut text = serde_json::to_vec_pretty(&definition)
        .map_err(|error| Failure::new(Exit::Failed, "IO", error.to_string(), error.to_string()))?;
    text.push(b'\n');
    input::write_file(&path, &text, 0o644)?;
    if from.is_none() {
        screen.note(guidance(screen));
    }
    let value = json!({
        "file": path.display().to_string(),
        "id": definition.id,
        "version": definition.version,
    });
    screen.show(&value, |s| {
        format!(
            "{} {} ({} v{})\n  → chasqui catalogue check {}",
            s.say("escrita:", "written:"),
            path.display(),
            definition.id,
            definition.version,
            path.display()
        )
    });
    Ok(())
}

/// What to write into each member.
fn guidance(screen: &Screen) -> String {
    let rows: &[(&str, &str, &str)] = &[
        (
            "title, summary, plan, if_it_fails",
            "en español y en inglés; {nombre} en plan e if_it_fails es el valor de un parámetro",
            "in Spanish and English; {name} in plan and if_it_fails is a parameter's value",
        ),
        (
            "risk",
            "4 hasta que lo piense: 0 solo lee, 1 inofensiva, 2 corta un servicio, 3 pierde trabajo o red, 4 destruye",
            "4 until you have thought about it: 0 reads, 1 harmless, 2 interrupts a service, 3 loses work or network, 4 destroys",
        ),
        (
            "consent, when_absent",
            "none, notify, ask o ask_always; proceed, wait o refuse",
            "none, notify, ask or ask_always; proceed, wait or refuse",
        ),
        (
            "parameters",
            "la gramática más estrecha que sirva: integer, choice, text, list o inventory",
            "the narrowest grammar that serves: integer, choice, text, list or inventory",
        ),
        (
            "preconditions, locks, interrupts",
            "cuándo puede empezar, qué ocupa y qué corta",
            "when it may begin, what it holds and what it interrupts",
        ),
        (
            "steps",
            "programa por ruta completa y argumentos sueltos, sin intérprete; o una función del agente",
            "a program by its full path and single arguments, no interpreter; or a function of the agent",
        ),
        (
            "check",
            "lo que debe cumplirse después: solo eso es éxito",
            "what must hold afterwards: that alone is success",
        ),
        (
            "undo, stop, limits",
            "cómo se devuelve, cómo se detiene y cuánto puede tomar",
            "how it is taken back, how it is stopped and how much it may take",
        ),
        (
            "evidence",
            "los hechos de la comprobación que se guardan; ningún otro sale del equipo",
            "the facts of the check that are kept; no other leaves the machine",
        ),
    ];
    let mut out = format!(
        "{}\n",
        screen.say(
            "Falta escribir (docs/definitions.md trae un ejemplo completo):",
            "Still to be written (docs/definitions.md has a complete example):"
        )
    );
    for (members, es, en) in rows {
        out.push_str(&format!("  {members}: {}\n", screen.say(es, en)));
    }
    out.trim_end().to_owned()
}
