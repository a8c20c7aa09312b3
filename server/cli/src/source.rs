//! `source new|list|revoke`: who may send inventories of other programs.

use chasqui_proto::v1;
use serde_json::{Value, json};

use crate::args::SourceCommand;
use crate::client::{Client, call};
use crate::context::Context;
use crate::failure::Outcome;
use crate::input;
use crate::output::{Screen, Tone};

pub async fn run(context: &Context, command: SourceCommand) -> Outcome {
    let (client, _) = Client::of_session(context)?;
    let screen = &context.screen;
    match command {
        SourceCommand::New { name } => {
            let request = v1::CreateInventorySourceRequest {
                request_id: input::request_id(),
                name,
            };
            let answer = call(|| {
                let (mut sources, request) = (client.sources(), request.clone());
                async move { sources.create_inventory_source(request).await }
            })
            .await?;
            let source = answer.source.unwrap_or_default();
            let mut value = source_json(&source);
            if let Some(object) = value.as_object_mut() {
                object.insert("secret".to_owned(), Value::String(answer.secret.clone()));
            }
            screen.show(&value, |s| {
                let how = s.say(
                    "usuario {name}, esta contraseña (o Bearer); dirección: https://COORDINADOR/front/inventory.php",
                    "user {name}, this password (or Bearer); address: https://COORDINATOR/front/inventory.php",
                );
                let how = how.replace("{name}", &source.name);
                format!("{}\n{}", answer.secret, s.tone(Tone::Dim, &how))
            });
        }
        SourceCommand::List => {
            let sources = list(&client).await?;
            let value = json!({ "sources": sources.iter().map(source_json).collect::<Vec<_>>() });
            screen.show(&value, |s| table(s, &sources));
        }
        SourceCommand::Revoke { source } => {
            let known = list(&client).await?;
            let id = known
                .into_iter()
                .find(|one| one.name == source)
                .map_or(source, |one| one.id);
            let request = v1::RevokeInventorySourceRequest { source_id: id };
            let answer = call(|| {
                let (mut sources, request) = (client.sources(), request.clone());
                async move { sources.revoke_inventory_source(request).await }
            })
            .await?;
            let source = answer.source.unwrap_or_default();
            screen.show(&source_json(&source), |s| {
                format!("{} {}", s.say("revocada:", "revoked:"), source.name)
            });
        }
    }
    Ok(())
}

async fn list(client: &Client) -> Outcome<Vec<v1::InventorySource>> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    for _ in 0..200 {
        let request = v1::ListInventorySourcesRequest {
            page: Some(v1::PageRequest {
                page_size: 500,
                page_token,
            }),
        };
        let answer = call(|| {
            let (mut sources, request) = (client.sources(), request.clone());
            async move { sources.list_inventory_sources(request).await }
        })
        .await?;
        found.extend(answer.sources);
        page_token = answer.page.unwrap_or_default().next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(found)
}

fn source_json(source: &v1::InventorySource) -> Value {
    json!({
        "id": source.id,
        "name": source.name,
        "created_by": source.created_by,
        "created_at_ms": source.created_at_ms,
        "last_used_at_ms": source.last_used_at_ms,
        "revoked": source.revoked,
    })
}

fn table(screen: &Screen, sources: &[v1::InventorySource]) -> String {
    let heading = [
        screen.say("NOMBRE", "NAME"),
        screen.say("CREADA", "MADE"),
        screen.say("ÚLTIMO INVENTARIO", "LAST INVENTORY"),
        screen.say("REVOCADA", "REVOKED"),
        "ID",
    ];
    let rows = sources
        .iter()
        .map(|source| {
            let revoked = if source.revoked {
                screen.say("sí", "yes")
            } else {
                screen.say("no", "no")
            };
            vec![
                source.name.clone(),
                screen.time(source.created_at_ms),
                screen.time(source.last_used_at_ms),
                revoked.to_owned(),
                source.id.clone(),
            ]
        })
        .collect();
    screen.table(&heading, rows)
}
