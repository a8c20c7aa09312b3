//! Administrative facts from the rows of a spreadsheet: everything is checked first, in the same way for a preview and for
//! the real call; then all rows are written in one transaction, or none.

use std::collections::{BTreeMap, HashMap, HashSet};

use chasqui_base::{clock, fault_point};
use chasqui_domain::Text;
use chasqui_domain::device_facts::Facts;
use chasqui_domain::device_import::{
    Column, Found, MOST_COLUMNS, MOST_ROWS, Problem, Row, choose, columns, row,
};
use chasqui_domain::ids::DeviceId;
use chasqui_domain::search::fold;
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::v1::{
    FactChange, ImportAdministrativeFactsRequest, ImportAdministrativeFactsResponse, ImportColumn,
    ImportError, ImportedRow,
};
use chasqui_store::device::{self, State};
use chasqui_store::request::idempotent;
use chasqui_store::{Tx, device_term};
use prost::Message;
use tonic::{Code, Request, Response, Status};

use super::facts::write_checked;
use crate::auth;
use crate::context::Context;
use crate::error::Failure;
use crate::rpc::{check, wire};

/// Devices that one key of a row may find; more say no more.
const CANDIDATES: u32 = 10;
/// Errors in the answer of a real call.
const MOST_ERRORS: usize = 500;

/// A row that is right.
struct Planned {
    line: u32,
    device: device::Device,
    after: Facts,
}

/// What the rows come to.
struct Plan {
    columns: Vec<Column>,
    rows: Vec<Planned>,
    problems: Vec<Problem>,
}

/// Checks, and writes unless it is a preview.
pub async fn import(
    ctx: &Context,
    request: Request<ImportAdministrativeFactsRequest>,
) -> Result<Response<ImportAdministrativeFactsResponse>, Status> {
    let now_ms = clock::now_ms();
    let actor = auth::person(&request)?.id.to_string();
    let request = request.into_inner();
    check_bounds(&request)?;
    if request.preview {
        let answer = ctx
            .store
            .read(move |tx| {
                let plan = plan(tx, &request, now_ms)?;
                Ok::<_, Failure>(answer(&request, &plan, false))
            })
            .await?;
        return Ok(Response::new(answer));
    }
    let key = check::request_key(
        &actor,
        "DeviceService/ImportAdministrativeFacts",
        &request,
        |request| &mut request.request_id,
        now_ms,
    )?;
    let kept = ctx
        .store
        .write(move |tx| {
            idempotent(tx, &key, |tx| {
                let plan = plan(tx, &request, now_ms)?;
                if let Some(first) = plan.problems.first()
                    && (!request.skip_errors || first.line == 0)
                {
                    return Err(Failure::from(refused(first, plan.problems.len())));
                }
                for planned in &plan.rows {
                    write_checked(tx, &planned.device, &planned.after, &actor, now_ms)?;
                    fault_point!("server.device.import.row");
                }
                Ok(answer(&request, &plan, true).encode_to_vec())
            })
        })
        .await?;
    fault_point!("server.device.import.written");
    Ok(Response::new(wire::answer(&kept.response)?))
}

fn check_bounds(request: &ImportAdministrativeFactsRequest) -> Result<(), Status> {
    if request.rows.len() > MOST_ROWS {
        return Err(bad_field(
            "rows",
            "are more than 10,000: send them in several calls",
        ));
    }
    if request.headings.len() > MOST_COLUMNS || request.mapping.len() > MOST_COLUMNS {
        return Err(bad_field("headings", "are more than 100"));
    }
    for heading in &request.headings {
        check::text("headings", heading, 0, 200)?;
    }
    for column in &request.mapping {
        check::text("mapping.heading", &column.heading, 0, 200)?;
        check::line("mapping.field", &column.field, 1, 50)?;
    }
    for row in &request.rows {
        if row.cells.len() > 2 * MOST_COLUMNS {
            return Err(bad_field(
                "rows.cells",
                format!("of line {} are too many", row.line),
            ));
        }
        for cell in &row.cells {
            check::text("rows.cells", cell, 0, 2_000).map_err(|status| {
                bad_field(
                    "rows.cells",
                    format!("line {}: {}", row.line, status.message()),
                )
            })?;
        }
    }
    Ok(())
}

fn refused(first: &Problem, count: usize) -> Status {
    let place = |line_word: &str| match (first.line, first.column.as_str()) {
        (0, column) => column.to_owned(),
        (line, "") => format!("{line_word} {line}"),
        (line, column) => format!("{line_word} {line}, {column}"),
    };
    let (count, line, column) = (count.to_string(), first.line.to_string(), &first.column);
    let es = format!(
        "no se escribió nada: {count} errores; el primero ({}): {}. Vea todos con una vista previa, o deje fuera las filas con error",
        place("línea"),
        first.text.es
    );
    status(
        Code::FailedPrecondition,
        "IMPORT_HAS_ERRORS",
        format!(
            "nothing was written: {count} errors; the first ({}): {}. See all with a preview, or leave out rows with errors",
            place("line"),
            first.text.en
        ),
        &[
            ("errors", &count),
            ("line", &line),
            ("column", column),
            ("es", &es),
        ],
    )
}

fn plan(
    tx: &mut Tx,
    request: &ImportAdministrativeFactsRequest,
    now_ms: i64,
) -> Result<Plan, Failure> {
    let mapping: Vec<(String, String)> = request
        .mapping
        .iter()
        .map(|column| (column.heading.clone(), column.field.clone()))
        .collect();
    let columns = match columns(&request.headings, &mapping) {
        Ok(columns) => columns,
        Err(problems) => {
            return Ok(Plan {
                columns: Vec::new(),
                rows: Vec::new(),
                problems,
            });
        }
    };
    let mut known = Known::default();
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    let mut seen: HashMap<String, u32> = HashMap::new();
    for given in &request.rows {
        let read = match row(given.line, &given.cells, &request.headings, &columns) {
            Ok(read) if read.is_blank() => continue,
            Ok(read) => read,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let id = match choose(given.line, &known.find(tx, &read)?) {
            Ok(id) => id,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let Some(device) = known.device(tx, &id)? else {
            continue;
        };
        if let Some(line) = seen.get(&id) {
            problems.push(row_problem(
                given.line,
                "ROW_TWICE",
                format!(
                    "es el mismo equipo de la línea {line} ({}): deje una de las dos",
                    device.host_name
                ),
                format!(
                    "is the device of line {line} ({}): leave one of them",
                    device.host_name
                ),
                vec![id],
            ));
            continue;
        }
        match read.apply(&device.facts, now_ms) {
            Ok(after) => {
                seen.insert(id, given.line);
                rows.push(Planned {
                    line: given.line,
                    device,
                    after,
                });
            }
            Err(found) => problems.extend(found),
        }
    }
    refuse_taken(tx, &mut rows, &mut problems)?;
    problems.sort_by_key(|problem| problem.line);
    Ok(Plan {
        columns,
        rows,
        problems,
    })
}

fn row_problem(
    line: u32,
    code: &'static str,
    es: String,
    en: String,
    candidates: Vec<String>,
) -> Problem {
    Problem {
        line,
        column: String::new(),
        code,
        text: Text::new(es, en),
        candidates,
    }
}

/// Takes out the rows whose plate another device carries after the import. A row that goes leaves its device's plate where
/// it was, which may be another row's: looked at until nothing changes.
fn refuse_taken(
    tx: &mut Tx,
    rows: &mut Vec<Planned>,
    problems: &mut Vec<Problem>,
) -> Result<(), Failure> {
    loop {
        let moving: HashMap<String, String> = rows
            .iter()
            .filter(|row| row.device.facts.plate != row.after.plate)
            .map(|row| (row.device.id.clone(), fold(&row.after.plate)))
            .collect();
        let mut claimed: HashMap<String, (String, u32)> = HashMap::new();
        let mut bad: HashSet<String> = HashSet::new();
        for row in rows.iter() {
            let plate = fold(&row.after.plate);
            if plate.is_empty() || !moving.contains_key(&row.device.id) {
                continue;
            }
            let mut taken = None;
            for owner in device::with_plate(tx, &plate, CANDIDATES)? {
                if owner != row.device.id && moving.get(&owner).is_none_or(|to| *to == plate) {
                    taken = Some(owner);
                    break;
                }
            }
            if let Some((owner, line)) = claimed.get(&plate) {
                problems.push(row_problem(
                    row.line,
                    "PLATE_TAKEN",
                    format!(
                        "la placa «{}» está también en la línea {line}",
                        row.after.plate
                    ),
                    format!("plate {:?} is in line {line} too", row.after.plate),
                    vec![owner.clone()],
                ));
                bad.insert(row.device.id.clone());
            } else if let Some(owner) = taken.filter(|owner| !bad.contains(owner)) {
                let name =
                    device::get(tx, &owner)?.map_or_else(String::new, |device| device.host_name);
                problems.push(row_problem(
                    row.line,
                    "PLATE_TAKEN",
                    format!(
                        "la placa «{}» la tiene el equipo {name}: corrija una de las dos",
                        row.after.plate
                    ),
                    format!(
                        "plate {:?} is on device {name}: correct one of them",
                        row.after.plate
                    ),
                    vec![owner],
                ));
                bad.insert(row.device.id.clone());
            } else {
                claimed.insert(plate, (row.device.id.clone(), row.line));
            }
        }
        if bad.is_empty() {
            return Ok(());
        }
        rows.retain(|row| !bad.contains(&row.device.id));
    }
}

/// Devices already read in this call.
#[derive(Default)]
struct Known(BTreeMap<String, Option<device::Device>>);

impl Known {
    /// A device in use.
    fn device(&mut self, tx: &mut Tx, id: &str) -> Result<Option<device::Device>, Failure> {
        if let Some(known) = self.0.get(id) {
            return Ok(known.clone());
        }
        let found = device::get(tx, id)?
            .filter(|device| matches!(device.state, State::Active | State::Quarantined));
        self.0.insert(id.to_owned(), found.clone());
        Ok(found)
    }

    fn in_use(&mut self, tx: &mut Tx, ids: Vec<String>) -> Result<Vec<String>, Failure> {
        let mut used = Vec::new();
        for id in ids {
            if self.device(tx, &id)?.is_some() && !used.contains(&id) {
                used.push(id);
            }
        }
        Ok(used)
    }

    fn find(&mut self, tx: &mut Tx, row: &Row) -> Result<Found, Failure> {
        let mut found = Found::default();
        if !row.id.is_empty() {
            let id = row.id.to_lowercase();
            let ids = if id.parse::<DeviceId>().is_ok() {
                vec![id]
            } else {
                Vec::new()
            };
            found.id = Some(self.in_use(tx, ids)?);
        }
        if !row.serial.is_empty() {
            let term = fold(&row.serial);
            let mut ids = device_term::devices(tx, "system_serial", &term, CANDIDATES)?;
            ids.extend(device_term::devices(
                tx,
                "chassis_serial",
                &term,
                CANDIDATES,
            )?);
            found.serial = Some(self.in_use(tx, ids)?);
        }
        if !row.host_name.is_empty() {
            let mut ids = device::with_host_name(tx, &row.host_name, CANDIDATES)?;
            for other in [row.host_name.to_lowercase(), row.host_name.to_uppercase()] {
                if ids.is_empty() {
                    ids = device::with_host_name(tx, &other, CANDIDATES)?;
                }
            }
            if ids.is_empty() {
                ids = device_term::devices(tx, "host_name", &fold(&row.host_name), CANDIDATES)?;
            }
            found.host_name = Some(self.in_use(tx, ids)?);
        }
        if !row.plate().is_empty() {
            let ids = device::with_plate(tx, row.plate(), CANDIDATES)?;
            found.plate = Some(self.in_use(tx, ids)?);
        }
        Ok(found)
    }
}

fn answer(
    request: &ImportAdministrativeFactsRequest,
    plan: &Plan,
    applied: bool,
) -> ImportAdministrativeFactsResponse {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let changes = |planned: &Planned| planned.device.facts.changes(&planned.after);
    let changed = plan
        .rows
        .iter()
        .filter(|row| !changes(row).is_empty())
        .count();
    let lines: HashSet<u32> = plan
        .problems
        .iter()
        .map(|one| one.line)
        .filter(|line| *line > 0)
        .collect();
    let rows = if applied {
        Vec::new()
    } else {
        plan.rows
            .iter()
            .map(|row| ImportedRow {
                line: row.line,
                device_id: row.device.id.clone(),
                host_name: row.device.host_name.clone(),
                changes: changes(row)
                    .into_iter()
                    .map(|(field, before, after)| FactChange {
                        field: field.name().to_owned(),
                        before,
                        after,
                    })
                    .collect(),
            })
            .collect()
    };
    ImportAdministrativeFactsResponse {
        columns: request
            .headings
            .iter()
            .zip(&plan.columns)
            .map(|(heading, column)| ImportColumn {
                heading: heading.clone(),
                field: column.name().to_owned(),
            })
            .collect(),
        rows,
        errors: plan
            .problems
            .iter()
            .take(if applied { MOST_ERRORS } else { usize::MAX })
            .map(|problem| ImportError {
                line: problem.line,
                column: problem.column.clone(),
                code: problem.code.to_owned(),
                text: Some(wire::text(&problem.text)),
                candidates: problem.candidates.clone(),
            })
            .collect(),
        changed: count(changed),
        unchanged: count(plan.rows.len() - changed),
        refused: count(lines.len()),
        applied,
    }
}
