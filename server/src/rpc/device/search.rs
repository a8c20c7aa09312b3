//! Devices by what people type. The grammar and how terms combine are the domain's; each term is asked of the store.

use std::collections::HashMap;

use chasqui_base::clock;
use chasqui_domain::device_search::{
    Column, FIELDS, Field, Kind, ListTrouble, Query, QueryError, Set, evaluate, expand, field,
    parse,
};
use chasqui_domain::ids::PersonId;
use chasqui_domain::search::fold;
use chasqui_proto::error::{DOMAIN, bad_field};
use chasqui_proto::v1::{
    FoundDevice, GetSearchFieldsResponse, SearchCell, SearchDevicesRequest, SearchDevicesResponse,
    SearchField, Text,
};
use chasqui_store::Tx;
use chasqui_store::device_list;
use chasqui_store::device_search::{self as store, Cell, Found, Searcher};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{encode, page};
use crate::auth;
use crate::context::Context;
use crate::error::Failure;
use crate::rpc::inventory::search_row::section_bits;

/// Most columns of an answer.
const MAX_COLUMNS: usize = 40;

pub(super) async fn search(
    ctx: &Context,
    request: Request<SearchDevicesRequest>,
) -> Result<Response<SearchDevicesResponse>, Status> {
    let now_ms = clock::now_ms();
    let person = auth::person(&request)?.id;
    let request = request.into_inner();
    let query = read(&request.query)?;
    if request.columns.len() > MAX_COLUMNS {
        return Err(bad_field(
            "columns",
            format!("at most {MAX_COLUMNS} are allowed"),
        ));
    }
    let mut columns: Vec<&'static Field> = Vec::with_capacity(request.columns.len());
    for name in &request.columns {
        columns.push(column(name)?);
    }
    let page = page(&request.page, "SearchDevices", &query.to_string())?;
    let after = page
        .after_parts::<2>()?
        .map_or_else(Default::default, |[host, id]| {
            (host.to_owned(), id.to_owned())
        });
    let limit = usize::try_from(page.limit()).unwrap_or(usize::MAX);
    let shown = query.to_string();
    let (mut rows, total) = ctx
        .store
        .read(move |tx| {
            let found = find(tx, &query, person, now_ms)?;
            let rows = store::page(tx, &found, (&after.0, &after.1), limit)?;
            Ok::<_, Failure>((rows, found.len()))
        })
        .await?;
    let info = page.cut(&mut rows, |row| {
        vec![row.device.host_name.clone(), row.device.id.clone()]
    });
    let devices = rows
        .iter()
        .map(|row| FoundDevice {
            device: Some(encode(ctx, &row.device)),
            cells: columns.iter().map(|field| cell(row, field)).collect(),
        })
        .collect();
    Ok(Response::new(SearchDevicesResponse {
        devices,
        page: Some(info),
        total: u64::try_from(total).unwrap_or(u64::MAX),
        query: shown,
        columns: columns.iter().map(|field| shown_field(field)).collect(),
    }))
}

/// What devices can be searched by.
pub(super) fn fields() -> GetSearchFieldsResponse {
    GetSearchFieldsResponse {
        fields: FIELDS.iter().map(shown_field).collect(),
    }
}

fn shown_field(field: &Field) -> SearchField {
    let kind = match field.kind {
        Kind::Text => "text",
        Kind::Number => "number",
        Kind::Bytes => "bytes",
        Kind::Day => "day",
        Kind::Moment => "moment",
        Kind::Flag => "flag",
        Kind::Version => "version",
        Kind::Terms(_) => "terms",
        Kind::Program => "program",
        Kind::List => "list",
    };
    SearchField {
        name: field.name.to_owned(),
        aliases: field
            .aliases
            .iter()
            .map(|name| (*name).to_owned())
            .collect(),
        kind: kind.to_owned(),
        about: Some(Text {
            es: field.es.to_owned(),
            en: field.en.to_owned(),
        }),
    }
}

/// Reads a query, or says where it is wrong.
pub(super) fn read(text: &str) -> Result<Query, Status> {
    parse(text).map_err(|error| refuse(&error))
}

/// The devices a query finds for a person.
pub(super) fn find(
    tx: &mut Tx,
    query: &Query,
    person: PersonId,
    now_ms: i64,
) -> Result<Set, Failure> {
    let query =
        expand(query, &mut |name| list_text(tx, name, person))?.map_err(|it| trouble(&it))?;
    Ok(evaluate(
        &query,
        now_ms,
        &mut Searcher::new(tx, section_bits),
    )?)
}

/// The text of a list that a person may see.
pub(super) fn list_text(
    tx: &mut Tx,
    name: &str,
    person: PersonId,
) -> Result<Option<String>, Failure> {
    let list = device_list::get(tx, &fold(name))?;
    Ok(list
        .filter(|list| list.shared || list.owner_id == person.to_string())
        .map(|list| list.query))
}

/// INVALID_ARGUMENT with the place.
fn refuse(error: &QueryError) -> Status {
    let mut metadata: HashMap<String, String> = HashMap::new();
    for (name, value) in [
        ("field", "query".to_owned()),
        ("start", error.bytes.start.to_string()),
        ("end", error.bytes.end.to_string()),
        ("column_start", error.columns.start.to_string()),
        ("column_end", error.columns.end.to_string()),
        ("es", error.why.es.clone()),
    ] {
        metadata.insert(name.to_owned(), value);
    }
    let mut details = ErrorDetails::with_bad_request_violation("query", error.why.en.clone());
    details.set_error_info(error.code, DOMAIN, metadata);
    Status::with_error_details(Code::InvalidArgument, error.why.en.clone(), details)
}

/// A list in a query that cannot be used.
pub(super) fn trouble(trouble: &ListTrouble) -> Status {
    let (reason, es, en) = match trouble {
        ListTrouble::Unknown(name) => (
            "DEVICE_LIST_UNKNOWN",
            format!("no hay lista {name:?} que usted pueda ver: mire `chasqui device list-all`"),
            format!(
                "there is no list {name:?} that you may see: look at `chasqui device list-all`"
            ),
        ),
        ListTrouble::Cycle(way) => (
            "DEVICE_LIST_CYCLE",
            format!("la lista está hecha de sí misma: {}", way.join(" → ")),
            format!("the list is made of itself: {}", way.join(" → ")),
        ),
        ListTrouble::TooMany => (
            "QUERY_TOO_MANY_TERMS",
            "con sus listas la consulta tiene demasiados términos".to_owned(),
            "with its lists the query has too many terms".to_owned(),
        ),
        ListTrouble::Broken(name) => (
            "DEVICE_LIST_BROKEN",
            format!("la lista {name:?} ya no se entiende: bórrela y guárdela de nuevo"),
            format!("the list {name:?} is no longer understood: delete it and save it again"),
        ),
    };
    chasqui_proto::error::status(Code::InvalidArgument, reason, en, &[("es", &es)])
}

fn column(name: &str) -> Result<&'static Field, Status> {
    let wrong = |problem: String| bad_field("columns", problem);
    let Some(found) = field::find(name) else {
        let shown: String = name.chars().take(64).collect();
        return Err(wrong(match field::nearest(&shown) {
            Some(near) => format!("no field {shown:?}: did you mean {near:?}?"),
            None => format!("no field {shown:?}"),
        }));
    };
    match found.kind {
        Kind::Terms(_) | Kind::Program | Kind::List => Err(wrong(format!(
            "{:?} has many values a device: it can be searched by, not shown",
            found.name
        ))),
        _ => Ok(found),
    }
}

/// The value of a field; days as text, and what people typed as they typed it.
fn cell(row: &Found, field: &Field) -> SearchCell {
    let text = |text: &str| SearchCell {
        text: (!text.is_empty()).then(|| text.to_owned()),
        number: None,
    };
    let number = |number: Option<i64>| SearchCell { text: None, number };
    let device = &row.device;
    match field.column {
        Column::Host => text(&device.host_name),
        Column::Plate => text(&device.facts.plate),
        Column::Dependency => text(&device.facts.dependency),
        Column::Responsible => text(&device.facts.responsible),
        Column::Seat => text(&device.facts.seat),
        Column::Contract => text(&device.facts.contract),
        Column::Supplier => text(&device.facts.supplier),
        Column::State => text(device.state.as_str()),
        Column::Manufacturer => text(&device.manufacturer),
        Column::Os => text(&device.platform),
        Column::Seen => number(device.last_seen_at_ms),
        Column::Enrolled => number(Some(device.enrolled_at_ms)),
        column => match row.cell(column) {
            Cell::Unknown => SearchCell::default(),
            Cell::Text(known) => SearchCell {
                text: Some(known.clone()),
                number: None,
            },
            Cell::Number(days) if field.kind == Kind::Day => SearchCell {
                text: jiff::civil::date(1970, 1, 1)
                    .checked_add(jiff::Span::new().try_days(*days).unwrap_or_default())
                    .ok()
                    .map(|day| day.to_string()),
                number: None,
            },
            Cell::Number(known) => number(Some(*known)),
        },
    }
}
