//! `device search` and `device fields`. Long answers are fetched page by page; a file is written beside its name and moved
//! there when it is whole.

use std::io::Write as _;
use std::path::Path;

use chasqui_documents::{Cell, csv, xlsx};
use chasqui_proto::v1;
use serde_json::{Value, json};

use super::device_json;
use crate::args::SearchArgs;
use crate::client::{Client, call};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Screen, bytes_text, time_text};
use crate::ticket::more;

/// Devices of one page of an answer that is fetched whole.
pub const PAGE: u32 = 500;
/// Columns when nobody says.
const COLUMNS: [&str; 7] = ["plate", "dependency", "model", "os", "cpu", "ram", "seen"];

pub async fn search(client: &Client, screen: &Screen, args: SearchArgs) -> Outcome {
    let columns = if args.columns.is_empty() {
        COLUMNS.map(str::to_owned).to_vec()
    } else {
        args.columns
    };
    let mut request = v1::SearchDevicesRequest {
        page: Some(v1::PageRequest {
            page_size: args.page.limit,
            page_token: args.page.page,
        }),
        query: args.query,
        columns,
    };
    if args.csv.is_none() && args.xlsx.is_none() {
        let answer = ask(client, screen, &request).await?;
        let next = answer.page.clone().unwrap_or_default().next_page_token;
        let mut value = answer_json(&answer);
        if let Some(object) = value.as_object_mut() {
            object.insert("next_page".to_owned(), json!(next));
        }
        screen.show(&value, |s| {
            format!("{}{}", table(s, &answer), more(s, &next))
        });
        return Ok(());
    }
    request.page = Some(v1::PageRequest {
        page_size: PAGE,
        page_token: String::new(),
    });
    if let Some(path) = &args.csv {
        if path.as_os_str() == "-" {
            let mut out = std::io::BufWriter::new(std::io::stdout());
            write_csv(client, screen, request.clone(), &mut out).await?;
            out.flush()?;
        } else {
            let mut bytes = Vec::new();
            let rows = write_csv(client, screen, request.clone(), &mut bytes).await?;
            save(screen, path, &bytes, rows)?;
        }
    }
    if let Some(path) = &args.xlsx {
        let mut rows = Vec::new();
        let heading = each_row(client, screen, request, |cells| {
            rows.push(cells);
            Ok(())
        })
        .await?;
        let name = screen.say("equipos", "devices");
        let bytes = xlsx::sheet(name, &heading, &rows).map_err(|error| {
            Failure::new(
                Exit::Failed,
                "SPREADSHEET",
                format!("no se pudo hacer la hoja: {error}"),
                format!("the sheet could not be made: {error}"),
            )
        })?;
        save(screen, path, &bytes, rows.len())?;
    }
    Ok(())
}

async fn write_csv(
    client: &Client,
    screen: &Screen,
    request: v1::SearchDevicesRequest,
    out: &mut impl std::io::Write,
) -> Outcome<usize> {
    let mut rows = 0;
    // The heading is known with the first page, which may have no row.
    let mut begun = false;
    let mut token = String::new();
    loop {
        let mut request = request.clone();
        if let Some(page) = &mut request.page {
            page.page_token.clone_from(&token);
        }
        let answer = ask(client, screen, &request).await?;
        if !begun {
            let titles: Vec<Cell> = heading(&answer).into_iter().map(Cell::Text).collect();
            csv::row(out, &titles)?;
            begun = true;
        }
        for found in &answer.devices {
            csv::row(out, &cells(found, &answer.columns))?;
            rows += 1;
        }
        token = answer.page.unwrap_or_default().next_page_token;
        if token.is_empty() {
            return Ok(rows);
        }
    }
}

/// Every row of every page; the heading.
async fn each_row(
    client: &Client,
    screen: &Screen,
    mut request: v1::SearchDevicesRequest,
    mut visit: impl FnMut(Vec<Cell>) -> Outcome,
) -> Outcome<Vec<String>> {
    loop {
        let answer = ask(client, screen, &request).await?;
        for found in &answer.devices {
            visit(cells(found, &answer.columns))?;
        }
        let next = answer.page.clone().unwrap_or_default().next_page_token;
        if next.is_empty() {
            return Ok(heading(&answer));
        }
        if let Some(page) = &mut request.page {
            page.page_token = next;
        }
    }
}

fn heading(answer: &v1::SearchDevicesResponse) -> Vec<String> {
    std::iter::once("host")
        .chain(answer.columns.iter().map(|field| field.name.as_str()))
        .chain(std::iter::once("id"))
        .map(str::to_owned)
        .collect()
}

/// A row for programs: sizes in bytes, moments in local time.
fn cells(found: &v1::FoundDevice, columns: &[v1::SearchField]) -> Vec<Cell> {
    let device = found.device.clone().unwrap_or_default();
    let mut row = vec![Cell::Text(device.host_name)];
    for (cell, field) in found.cells.iter().zip(columns) {
        row.push(match (&cell.text, cell.number, field.kind.as_str()) {
            (Some(text), ..) => Cell::Text(text.clone()),
            (None, Some(at_ms), "moment") => Cell::Text(time_text(at_ms)),
            // Exact to 2^53, eight petabytes.
            (None, Some(number), _) => Cell::Number(number as f64),
            (None, None, _) => Cell::Empty,
        });
    }
    row.push(Cell::Text(device.id));
    row
}

fn save(screen: &Screen, path: &Path, bytes: &[u8], rows: usize) -> Outcome {
    chasqui_base::durable::write(path, bytes, 0o644)
        .map_err(|error| Failure::file(path, &error))?;
    screen.note(format!(
        "{} {}: {rows} {}",
        screen.say("escrito", "written"),
        path.display(),
        screen.say("equipos", "devices")
    ));
    Ok(())
}

/// One page; a query that was not understood comes back with the line that points at the place.
async fn ask(
    client: &Client,
    screen: &Screen,
    request: &v1::SearchDevicesRequest,
) -> Outcome<v1::SearchDevicesResponse> {
    let answer = call(|| {
        let (mut devices, request) = (client.devices(), request.clone());
        async move { devices.search_devices(request).await }
    })
    .await;
    answer.map_err(|failure| pointed(screen, failure, &request.query))
}

/// Shows where a query is wrong, above the error.
pub fn pointed(screen: &Screen, mut failure: Failure, query: &str) -> Failure {
    if let Some(caret) = caret(&failure.details, query)
        && !screen.json
    {
        screen.note(caret);
        failure.details.clear();
    }
    failure
}

fn caret(details: &[(String, String)], query: &str) -> Option<String> {
    let number = |wanted: &str| -> Option<usize> {
        let (_, value) = details.iter().find(|(name, _)| name == wanted)?;
        value.parse().ok()
    };
    let (start, end) = (number("column_start")?, number("column_end")?);
    // A coordinator is not to be trusted with the width of a terminal.
    let most = query.chars().count();
    let (start, end) = (start.min(most), end.min(most));
    let line: String = query
        .chars()
        .map(|ch| {
            if chasqui_trust::text::is_deceptive(ch) {
                ' '
            } else {
                ch
            }
        })
        .collect();
    let marks = "^".repeat(end.saturating_sub(start).max(1));
    Some(format!("  {line}\n  {}{marks}", " ".repeat(start)))
}

fn answer_json(answer: &v1::SearchDevicesResponse) -> Value {
    let devices: Vec<Value> = answer
        .devices
        .iter()
        .map(|found| {
            let mut value = device_json(&found.device.clone().unwrap_or_default());
            let columns: serde_json::Map<String, Value> = answer
                .columns
                .iter()
                .zip(&found.cells)
                .map(|(field, cell)| {
                    let known = match (&cell.text, cell.number) {
                        (Some(text), _) => json!(text),
                        (None, Some(number)) if field.kind == "flag" => json!(number != 0),
                        (None, number) => json!(number),
                    };
                    (field.name.clone(), known)
                })
                .collect();
            if let Some(object) = value.as_object_mut() {
                object.insert("columns".to_owned(), columns.into());
            }
            value
        })
        .collect();
    json!({ "query": answer.query, "total": answer.total, "devices": devices })
}

fn table(screen: &Screen, answer: &v1::SearchDevicesResponse) -> String {
    let mut titles = vec![screen.say("EQUIPO", "HOST").to_owned()];
    for field in &answer.columns {
        // The first other name is the Spanish one.
        let name = match field.aliases.first() {
            Some(alias) => screen.lang.pick(alias, &field.name),
            None => &field.name,
        };
        titles.push(name.to_uppercase());
    }
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let rows = answer
        .devices
        .iter()
        .map(|found| {
            let device = found.device.clone().unwrap_or_default();
            std::iter::once(device.host_name)
                .chain(
                    found
                        .cells
                        .iter()
                        .zip(&answer.columns)
                        .map(|(cell, field)| cell_text(screen, cell, &field.kind)),
                )
                .collect()
        })
        .collect();
    let found = screen.say("encontrados", "found");
    format!("{}\n{} {found}", screen.table(&titles, rows), answer.total)
}

fn cell_text(screen: &Screen, cell: &v1::SearchCell, kind: &str) -> String {
    match (&cell.text, cell.number, kind) {
        (Some(text), ..) => text.clone(),
        (None, Some(number), "bytes") => bytes_text(u64::try_from(number).unwrap_or(0)),
        (None, Some(at_ms), "moment") => screen.time(at_ms),
        (None, Some(0), "flag") => "no".to_owned(),
        (None, Some(_), "flag") => screen.say("sí", "yes").to_owned(),
        (None, Some(number), _) => number.to_string(),
        (None, None, _) => screen.say("no observado", "not observed").to_owned(),
    }
}

/// The grammar and every field.
pub async fn fields(client: &Client, screen: &Screen) -> Outcome {
    let answer = call(|| {
        let mut devices = client.devices();
        async move {
            devices
                .get_search_fields(v1::GetSearchFieldsRequest {})
                .await
        }
    })
    .await?;
    let value = json!({ "fields": answer.fields.iter().map(|field| {
        let about = field.about.clone().unwrap_or_default();
        json!({
            "name": field.name, "aliases": field.aliases, "kind": field.kind,
            "about": { "es": about.es, "en": about.en },
        })
    }).collect::<Vec<_>>() });
    screen.show(&value, |s| fields_text(s, &answer.fields));
    Ok(())
}

const GRAMMAR_ES: &str = r#"Una consulta son términos separados por blancos: todos deben cumplirse.
  cpu:i5 ram<8G os:"Windows 10" software:"office<2019" seen>30d dependency:Jurídica
  o, OR        uno u otro: cpu:i5 o cpu:i3      -, NOT     lo conocido que no es así: -cpu:i5
  ( )          agrupan                          "…"        texto con blancos o signos
  : = !=       contiene, es, no es              < <= > >=  números, tamaños, días, versiones
  4G..8G       rango con ambos extremos         30d 12h 8w edad: visto>30d es hace más de 30 días
  campo:?      no observado                     campo:*    observado
  K M G T      de 1024 (8G); KB MB GB TB de 1000; `:` en tamaños es «alrededor de», `=` es exacto
  2020, 2020-02, 2020-02-29 son el año, el mes y el día; una palabra sola busca nombre, placa, modelo, serie, IP, usuario…
Lo no observado no cumple ni una comparación ni su negación."#;
const GRAMMAR_EN: &str = r#"A query is terms parted by blanks: all of them must hold.
  cpu:i5 ram<8G os:"Windows 10" software:"office<2019" seen>30d dependency:Jurídica
  OR, o        one or the other: cpu:i5 OR cpu:i3   -, NOT     what is known and not so: -cpu:i5
  ( )          group                                "…"        text with blanks or signs
  : = !=       contains, is, is not                 < <= > >=  numbers, sizes, days, versions
  4G..8G       range with both ends                 30d 12h 8w age: seen>30d is more than 30 days ago
  field:?      not observed                         field:*    observed
  K M G T      of 1024 (8G); KB MB GB TB of 1000; `:` with sizes means about, `=` exactly
  2020, 2020-02, 2020-02-29 are the year, month and day; a bare word looks for host, plate, model, serial, IP, user, ...
What was not observed satisfies neither a comparison nor its negation."#;

fn fields_text(screen: &Screen, fields: &[v1::SearchField]) -> String {
    let heading = [
        screen.say("CAMPO", "FIELD"),
        screen.say("TAMBIÉN", "ALSO"),
        screen.say("VALOR", "VALUE"),
        screen.say("QUÉ ES", "WHAT IT IS"),
    ];
    let kind = |kind: &str| -> &'static str {
        match kind {
            "text" => screen.say("texto", "text"),
            "number" => screen.say("número", "number"),
            "bytes" => screen.say("tamaño", "size"),
            "day" => screen.say("día o edad", "day or age"),
            "moment" => screen.say("día o edad", "day or age"),
            "flag" => screen.say("sí o no", "yes or no"),
            "version" => screen.say("versión", "version"),
            "terms" => screen.say("texto", "text"),
            "program" => screen.say("programa", "program"),
            "list" => screen.say("nombre", "name"),
            _ => "?",
        }
    };
    let rows = fields
        .iter()
        .map(|field| {
            let about = field.about.clone().unwrap_or_default();
            vec![
                field.name.clone(),
                field.aliases.join(", "),
                kind(&field.kind).to_owned(),
                screen.lang.pick(&about.es, &about.en).to_owned(),
            ]
        })
        .collect();
    format!(
        "{}\n\n{}",
        screen.say(GRAMMAR_ES, GRAMMAR_EN),
        screen.table(&heading, rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use chasqui_base::text::Lang;

    fn field(name: &str, alias: &str, kind: &str) -> v1::SearchField {
        v1::SearchField {
            name: name.to_owned(),
            aliases: vec![alias.to_owned()],
            kind: kind.to_owned(),
            about: Some(v1::Text {
                es: "memoria".to_owned(),
                en: "memory".to_owned(),
            }),
        }
    }

    fn answer() -> v1::SearchDevicesResponse {
        let device = v1::Device {
            id: "01976000-0000-7000-8000-000000000003".into(),
            host_name: "=pc-07".into(),
            ..Default::default()
        };
        let number = |number| v1::SearchCell {
            text: None,
            number: Some(number),
        };
        v1::SearchDevicesResponse {
            devices: vec![v1::FoundDevice {
                device: Some(device),
                cells: vec![number(4 << 30), v1::SearchCell::default(), number(1)],
            }],
            columns: vec![
                field("ram", "memoria", "bytes"),
                field("cpu", "procesador", "text"),
                field("reboot", "reinicio", "flag"),
            ],
            total: 12_345,
            query: "ram<8G".into(),
            page: None,
        }
    }

    #[test]
    fn what_was_found_reads_well_in_both_languages() {
        let found = answer();
        insta::assert_snapshot!("search_es", table(&Screen::plain(Lang::Es), &found));
        insta::assert_snapshot!("search_en", table(&Screen::plain(Lang::En), &found));
        insta::assert_json_snapshot!("search_json", answer_json(&found));
    }

    #[test]
    fn a_row_of_a_file_keeps_numbers_and_leaves_the_unknown_empty() {
        let found = answer();
        let mut out = Vec::new();
        csv::row(&mut out, &cells(&found.devices[0], &found.columns)).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "'=pc-07,4294967296,,1,01976000-0000-7000-8000-000000000003\r\n"
        );
        assert_eq!(heading(&found), ["host", "ram", "cpu", "reboot", "id"]);
    }

    #[test]
    fn the_line_below_points_at_the_place() {
        let details: Vec<(String, String)> = [("column_start", "7"), ("column_end", "13")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        assert_eq!(
            caret(&details, "cpu:i5 memria<8G").unwrap(),
            "  cpu:i5 memria<8G\n         ^^^^^^"
        );
        let far: Vec<(String, String)> = [("column_start", "9999999"), ("column_end", "99999999")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        assert_eq!(caret(&far, "ab").unwrap(), "  ab\n    ^");
        assert_eq!(caret(&[], "ab"), None);
    }

    #[test]
    fn fields_read_well_in_both_languages() {
        for (lang, name) in [(Lang::Es, "es"), (Lang::En, "en")] {
            let text = fields_text(&Screen::plain(lang), &answer().columns);
            insta::assert_snapshot!(format!("fields_{name}"), text);
        }
    }
}
