//! `definition list|publish`: action definitions. Storing one gives it no force: a signed catalogue does.

use chasqui_proto::v1;
use chasqui_trust::{Definition, Digest, Document as _};
use serde_json::json;

use crate::args::DefinitionCommand;
use crate::client::{Client, call};
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{Screen, clean};
use crate::{input, papers};

pub async fn run(context: &Context, command: DefinitionCommand) -> Outcome {
    let (client, _) = Client::of_session(context)?;
    let screen = &context.screen;
    match command {
        DefinitionCommand::List => {
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
            screen.show(&value, |s| table(s, &found));
        }
        DefinitionCommand::Publish { files } => {
            let mut digests = Vec::new();
            for file in &files {
                let bytes = canonical(&input::read_file(file)?)?;
                digests.push(publish(&client, &bytes).await?.to_hex());
            }
            screen.show(&json!({ "digests": digests }), |_| digests.join("\n"));
        }
    }
    Ok(())
}

/// Canonical bytes of a definition written by hand: any spacing, the same content.
pub fn canonical(bytes: &[u8]) -> Outcome<Vec<u8>> {
    let definition: Definition = serde_json::from_slice(bytes).map_err(|error| {
        crate::failure::Failure::new(
            crate::failure::Exit::Invalid,
            "PAPER_UNREADABLE",
            format!("la definición no se puede leer: {error}"),
            format!("the definition cannot be read: {error}"),
        )
    })?;
    Ok(definition.encode()?)
}

/// Stores a definition at the coordinator.
pub async fn publish(client: &Client, bytes: &[u8]) -> Outcome<Digest> {
    let request = v1::PublishDefinitionRequest {
        request_id: input::request_id(),
        definition: bytes.to_vec().into(),
    };
    call(|| {
        let (mut trust, request) = (client.trust(), request.clone());
        async move { trust.publish_definition(request).await }
    })
    .await?;
    Ok(Digest::of(bytes))
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
