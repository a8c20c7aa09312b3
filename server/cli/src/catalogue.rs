//! `catalogue …`: action definitions, from the first draft to the signed list that gives them force. Everything but
//! `list`, `publish` and names of the coordinator's definitions works on files alone.

pub mod args;
pub mod check;
pub mod diff;
pub mod draft;
pub mod facets;
pub mod publish;
pub mod read;
pub mod rules;
pub mod sign;
pub mod widening;

use std::path::Path;

use chasqui_trust::{Definition, Digest, Document as _};
use serde_json::json;

use crate::client::Client;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Screen, clean};
use crate::papers::{self, Papers};
use args::CatalogueCommand;

pub async fn run(context: &Context, command: CatalogueCommand) -> Outcome {
    let screen = &context.screen;
    match command {
        CatalogueCommand::List => list(context).await,
        CatalogueCommand::New { id, from, out } => {
            draft::run(context, &id, from.as_deref(), out).await
        }
        CatalogueCommand::Check { paths } => check::run(screen, &paths),
        CatalogueCommand::Diff { before, after } => {
            let before = find(context, &before).await?;
            let after = find(context, &after).await?;
            let changes = diff::changes(&before, &after);
            let name = |d: &Definition| format!("{} v{}", d.id, d.version);
            let value = json!({
                "before": { "id": before.id, "version": before.version },
                "after": { "id": after.id, "version": after.version },
                "widens": changes.iter().any(|change| !change.widens.is_empty()),
                "changes": diff::to_json(&changes),
            });
            screen.show(&value, |s| {
                format!(
                    "{} → {}\n{}",
                    name(&before),
                    name(&after),
                    diff::render(s, &changes)
                )
            });
            Ok(())
        }
        CatalogueCommand::Sign(args) => sign::run(context, &args),
        CatalogueCommand::Publish { folder } => publish::run(context, &folder.dir).await,
    }
}

async fn list(context: &Context) -> Outcome {
    let (client, _) = Client::of_session(context)?;
    let mut found = Vec::new();
    for published in papers::list(&client).await? {
        let definition = Definition::decode_payload(&published.definition)?;
        found.push((definition, Digest::of(&published.definition)));
    }
    let value = json!({ "definitions": found.iter().map(|(d, digest)| json!({
        "id": d.id,
        "version": d.version,
        "digest": digest.to_hex(),
        "title": { "es": d.title.es, "en": d.title.en },
        "risk": d.risk,
        "parameters": d.parameters.iter().map(|p| p.name.clone()).collect::<Vec<_>>(),
    })).collect::<Vec<_>>() });
    context.screen.show(&value, |s| table(s, &found));
    Ok(())
}

/// A definition: a file, or `ID` or `ID@VERSION` of the coordinator, its bytes checked against the signed catalogue.
pub async fn find(context: &Context, name: &str) -> Outcome<Definition> {
    let path = Path::new(name);
    if path.is_file() {
        return Ok(read::file(path)?.0);
    }
    if name.contains(['/', '\\']) || name.ends_with(".json") {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(Failure::file(path, &missing));
    }
    let (id, version) = match name.split_once('@') {
        None => (name, None),
        Some((id, version)) => {
            let version = version.parse::<u32>().map_err(|_| {
                Failure::usage(
                    format!("{name:?} no tiene la forma ID@VERSIÓN"),
                    format!("{name:?} is not ID@VERSION"),
                )
            })?;
            (id, Some(version))
        }
    };
    let (client, _) = Client::of_session(context)?;
    let pinned = papers::pinned_root(context, None)?;
    let papers = papers::fetch(&client, &pinned).await?;
    published(&client, &papers, id, version).await
}

async fn published(
    client: &Client,
    papers: &Papers,
    id: &str,
    version: Option<u32>,
) -> Outcome<Definition> {
    let catalogue = papers.catalogue.catalogue();
    let Some(version) = version else {
        return Ok(papers::definition(client, papers, id).await?.0);
    };
    let Some(entry) = catalogue.entry(id, version) else {
        return Err(Failure::new(
            Exit::NotFound,
            "DEFINITION_NOT_IN_CATALOGUE",
            format!("el catálogo no tiene {id:?} versión {version}"),
            format!("the catalogue has no {id:?} version {version}"),
        )
        .hint(
            "véalas con: chasqui catalogue list",
            "list them with: chasqui catalogue list",
        ));
    };
    Ok(papers::definition_of(client, entry).await?.0)
}

fn table(screen: &Screen, found: &[(Definition, Digest)]) -> String {
    let heading = [
        screen.say("ACCIÓN", "ACTION"),
        screen.say("VERSIÓN", "VERSION"),
        screen.say("RIESGO", "RISK"),
        screen.say("PARÁMETROS", "PARAMETERS"),
        screen.say("TÍTULO", "TITLE"),
    ];
    let rows = found
        .iter()
        .map(|(d, _)| {
            let parameters: Vec<&str> = d.parameters.iter().map(|p| p.name.as_str()).collect();
            vec![
                d.id.clone(),
                d.version.to_string(),
                d.risk.to_string(),
                parameters.join(", "),
                clean(screen.lang.pick(&d.title.es, &d.title.en)),
            ]
        })
        .collect();
    screen.table(&heading, rows)
}
