//! `device import`: a spreadsheet's rows, checked as a whole first, shown, and written in calls of bounded size.

use chasqui_proto::v1;
use serde_json::{Value, json};

use super::args::ImportArgs;
use super::sheet;
use crate::client::{Client, call};
use crate::failure::{Exit, Failure, Outcome};
use crate::input;
use crate::output::Screen;

/// Rows of one call: it ends long before its time limit, and each call is written whole or not at all.
const ROWS: usize = 2_000;
/// Bytes of the cells of one call.
const BYTES: usize = 4 * 1024 * 1024;
/// Rows and errors shown to people; `--json` has all.
const SHOWN: usize = 50;

/// What all calls together said.
#[derive(Default)]
struct Sum {
    columns: Vec<v1::ImportColumn>,
    rows: Vec<v1::ImportedRow>,
    errors: Vec<v1::ImportError>,
    changed: u32,
    unchanged: u32,
    refused: u32,
    applied: bool,
}

impl Sum {
    fn add(&mut self, answer: v1::ImportAdministrativeFactsResponse) {
        if self.columns.is_empty() {
            self.columns = answer.columns;
        }
        // What is wrong with the headings is wrong in every call.
        for error in answer.errors {
            if error.line > 0 || !self.errors.contains(&error) {
                self.errors.push(error);
            }
        }
        self.rows.extend(answer.rows);
        self.changed = self.changed.saturating_add(answer.changed);
        self.unchanged = self.unchanged.saturating_add(answer.unchanged);
        self.refused = self.refused.saturating_add(answer.refused);
    }
}

pub async fn run(client: &Client, screen: &Screen, args: ImportArgs) -> Outcome {
    let sheet = sheet::read(&input::read_file(&args.file)?)?;
    let mapping = args
        .maps
        .iter()
        .map(|map| mapping(map))
        .collect::<Outcome<Vec<_>>>()?;
    let chunks = chunks(sheet.rows);
    let total: usize = chunks.iter().map(Vec::len).sum();
    let request = |rows: &[v1::ImportRow], preview: bool| v1::ImportAdministrativeFactsRequest {
        request_id: if preview {
            String::new()
        } else {
            input::request_id()
        },
        preview,
        skip_errors: args.skip_errors,
        headings: sheet.headings.clone(),
        mapping: mapping.clone(),
        rows: rows.to_vec(),
    };
    let mut sum = Sum::default();
    for rows in &chunks {
        sum.add(send(client, request(rows, true)).await?);
    }
    let headings_wrong = sum.errors.iter().any(|error| error.line == 0);
    let stopped = headings_wrong || (!sum.errors.is_empty() && !args.skip_errors);
    if args.preview || stopped {
        screen.show(&to_json(&sum), |s| render(s, &sum));
        if args.preview {
            return Ok(());
        }
        let count = sum.errors.len();
        return Err(Failure::new(
            Exit::Refused,
            "IMPORT_HAS_ERRORS",
            format!("no se escribió nada: {count} errores"),
            format!("nothing was written: {count} errors"),
        )
        .hint(
            "corrija el archivo, o deje fuera esas filas con --skip-errors",
            "correct the file, or leave those rows out with --skip-errors",
        ));
    }
    if !screen.json && sum.changed > 0 {
        screen.line(render(screen, &sum).trim_end());
    }
    if sum.changed > 0 {
        screen.confirm(
            &format!("¿Cambiar los datos de {} equipos?", sum.changed),
            &format!("Change the facts of {} devices?", sum.changed),
            args.yes,
        )?;
    }
    let (mut done, mut written) = (0, 0_u32);
    for rows in &chunks {
        let answer = send(client, request(rows, false))
            .await
            .map_err(|mut failure| {
                let so_far = written.to_string();
                failure.details.push(("devices_changed".to_owned(), so_far));
                failure
            })?;
        done += rows.len();
        written = written.saturating_add(answer.changed);
        if chunks.len() > 1 {
            screen.note(format!("{done}/{total}"));
        }
    }
    sum.applied = true;
    sum.changed = written;
    screen.show(&to_json(&sum), |s| {
        format!(
            "{} {written}",
            s.say("equipos cambiados:", "devices changed:")
        )
    });
    Ok(())
}

fn mapping(text: &str) -> Outcome<v1::ImportColumn> {
    // A heading may hold the sign, the name of a fact never does.
    let (heading, field) = text.rsplit_once('=').ok_or_else(|| {
        Failure::usage(
            format!("--map {text:?} no es COLUMNA=DATO"),
            format!("--map {text:?} is not COLUMN=FACT"),
        )
    })?;
    Ok(v1::ImportColumn {
        heading: heading.trim().to_owned(),
        field: field.trim().to_owned(),
    })
}

/// At least one, so that the headings are checked without rows too.
fn chunks(rows: Vec<(u32, Vec<String>)>) -> Vec<Vec<v1::ImportRow>> {
    let mut chunks = Vec::new();
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    for (line, cells) in rows {
        let size: usize = cells.iter().map(String::len).sum();
        if !chunk.is_empty() && (chunk.len() == ROWS || bytes + size > BYTES) {
            chunks.push(std::mem::take(&mut chunk));
            bytes = 0;
        }
        bytes += size;
        chunk.push(v1::ImportRow { line, cells });
    }
    chunks.push(chunk);
    chunks
}

async fn send(
    client: &Client,
    request: v1::ImportAdministrativeFactsRequest,
) -> Outcome<v1::ImportAdministrativeFactsResponse> {
    call(|| {
        let (mut devices, request) = (client.devices(), request.clone());
        async move { devices.import_administrative_facts(request).await }
    })
    .await
}

fn to_json(sum: &Sum) -> Value {
    json!({
        "applied": sum.applied,
        "columns": sum.columns.iter().map(|column| json!({
            "heading": column.heading, "field": column.field,
        })).collect::<Vec<_>>(),
        "changed": sum.changed,
        "unchanged": sum.unchanged,
        "refused": sum.refused,
        "rows": sum.rows.iter().map(|row| json!({
            "line": row.line,
            "device_id": row.device_id,
            "host_name": row.host_name,
            "changes": row.changes.iter().map(|change| json!({
                "field": change.field, "before": change.before, "after": change.after,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "errors": sum.errors.iter().map(|error| {
            let text = error.text.clone().unwrap_or_default();
            json!({
                "line": error.line,
                "column": error.column,
                "code": error.code,
                "text": { "es": text.es, "en": text.en },
                "candidates": error.candidates,
            })
        }).collect::<Vec<_>>(),
    })
}

fn render(screen: &Screen, sum: &Sum) -> String {
    let mut out = String::new();
    let columns: Vec<Vec<String>> = sum
        .columns
        .iter()
        .map(|column| {
            let left_out = screen.say("(no se usa)", "(left out)");
            let field = if column.field == "-" {
                left_out
            } else {
                &column.field
            };
            vec![column.heading.clone(), field.to_owned()]
        })
        .collect();
    if !columns.is_empty() {
        let heading = [screen.say("COLUMNA", "COLUMN"), screen.say("DATO", "FACT")];
        out.push_str(&cut(screen, &heading, columns));
    }
    let changes: Vec<Vec<String>> = sum
        .rows
        .iter()
        .flat_map(|row| {
            row.changes.iter().map(|change| {
                let before = if change.before.is_empty() {
                    "—"
                } else {
                    &change.before
                };
                vec![
                    row.line.to_string(),
                    row.host_name.clone(),
                    change.field.clone(),
                    before.to_owned(),
                    change.after.clone(),
                ]
            })
        })
        .collect();
    let line = screen.say("LÍNEA", "LINE");
    if !changes.is_empty() {
        let heading = [
            line,
            screen.say("EQUIPO", "HOST"),
            screen.say("DATO", "FACT"),
            screen.say("ANTES", "BEFORE"),
            screen.say("DESPUÉS", "AFTER"),
        ];
        out.push_str(&cut(screen, &heading, changes));
    }
    if !sum.errors.is_empty() {
        let rows = sum
            .errors
            .iter()
            .map(|error| {
                let text = error.text.clone().unwrap_or_default();
                let mut what = screen.say(&text.es, &text.en).to_owned();
                if !error.candidates.is_empty() {
                    what = format!("{what} ({})", error.candidates.join(", "));
                }
                let line = match error.line {
                    0 => String::new(),
                    line => line.to_string(),
                };
                vec![line, error.column.clone(), what]
            })
            .collect();
        out.push_str(&cut(
            screen,
            &[line, screen.say("COLUMNA", "COLUMN"), "ERROR"],
            rows,
        ));
    }
    out.push_str(&format!(
        "{} {} · {} {} · {} {}\n",
        screen.say("cambian:", "changed:"),
        sum.changed,
        screen.say("iguales:", "unchanged:"),
        sum.unchanged,
        screen.say("con error:", "with errors:"),
        sum.refused
    ));
    out
}

fn cut(screen: &Screen, heading: &[&str], mut rows: Vec<Vec<String>>) -> String {
    let more = rows.len().saturating_sub(SHOWN);
    rows.truncate(SHOWN);
    let mut out = screen.table(heading, rows);
    if more > 0 {
        let words = screen.say("más (--json los trae todos)", "more (--json has them all)");
        out.push_str(&format!("\n… {more} {words}"));
    }
    out.push_str("\n\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use chasqui_base::text::Lang;

    #[test]
    fn a_preview_reads_well_in_both_languages() {
        let column = |heading: &str, field: &str| v1::ImportColumn {
            heading: heading.into(),
            field: field.into(),
        };
        let change = |field: &str, before: &str, after: &str| v1::FactChange {
            field: field.into(),
            before: before.into(),
            after: after.into(),
        };
        let sum = Sum {
            columns: vec![column("Placa", "plate"), column("Marca", "-")],
            rows: vec![v1::ImportedRow {
                line: 2,
                device_id: "01976000-0000-7000-8000-000000000003".into(),
                host_name: "pc-07".into(),
                changes: vec![
                    change("plate", "", "100-7"),
                    change("cost", "1", "3450000.50"),
                ],
            }],
            errors: vec![v1::ImportError {
                line: 3,
                column: "Valor".into(),
                code: "VALUE_INVALID".into(),
                text: Some(v1::Text {
                    es: "«x» no es un valor".into(),
                    en: "\"x\" is no amount".into(),
                }),
                candidates: vec![],
            }],
            changed: 1,
            refused: 1,
            ..Sum::default()
        };
        insta::assert_snapshot!("import_es", render(&Screen::plain(Lang::Es), &sum));
        insta::assert_snapshot!("import_en", render(&Screen::plain(Lang::En), &sum));
        insta::assert_json_snapshot!("import_json", to_json(&sum));
    }

    #[test]
    fn a_large_file_goes_in_calls_of_bounded_size() {
        let row = |line, size| (line, vec!["x".repeat(size)]);
        let many = chunks((0..10_001).map(|line| row(line, 1_000)).collect());
        assert!(many.iter().all(|chunk| chunk.len() <= ROWS));
        assert_eq!(many.iter().map(Vec::len).sum::<usize>(), 10_001);
        let big = chunks((0..5).map(|line| row(line, BYTES / 2)).collect());
        assert_eq!(big.len(), 3);
        assert_eq!(chunks(Vec::new()).len(), 1);
    }

    #[test]
    fn a_mapping_may_hold_the_sign_in_its_heading() {
        let column = mapping("a = b=plate").unwrap();
        assert_eq!(
            (column.heading.as_str(), column.field.as_str()),
            ("a = b", "plate")
        );
        assert!(mapping("plate").is_err());
    }
}
