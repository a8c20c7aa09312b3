//! `catalogue publish`: carries the definitions and the signed catalogue of a trust folder to the coordinator, which can
//! only pass them on.

use std::path::Path;

use chasqui_proto::v1;
use chasqui_trust::{Catalogue, Digest, Document as _};
use serde_json::json;

use crate::catalogue::sign::enough_publishers;
use crate::client::{Client, call};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::input;
use crate::trust;
use crate::trust::folder::{Folder, Kind};

pub async fn run(context: &Context, dir: &Path) -> Outcome {
    let (client, _) = Client::of_session(context)?;
    let (definitions, version) = publish(&client, &Folder::at(dir)).await?;
    let value = json!({ "catalogue": version, "definitions": definitions });
    context.screen.show(&value, |s| {
        format!(
            "{} v{version}, {definitions} {}",
            s.say("publicado: catálogo", "published: catalogue"),
            s.say("definiciones", "definitions")
        )
    });
    Ok(())
}

/// Sends every definition of the folder's catalogue, then the catalogue; gives back how many and its version. Nothing is
/// sent of a catalogue that no machine would believe.
pub async fn publish(client: &Client, folder: &Folder) -> Outcome<(usize, u64)> {
    let path = folder.complete(Kind::Catalogue);
    let draft = folder.draft(Kind::Catalogue);
    let envelope = match folder.envelope(&path)? {
        Some(envelope) if !draft.exists() => envelope,
        found => {
            // A draft is newer than what is complete: publishing the older one would surprise.
            let shown = draft.display();
            let begun = folder.envelope(&draft)?;
            if let Some(begun) = &begun {
                enough_publishers(folder, &folder.root()?, begun)?;
            }
            return Err(Failure::new(
                Exit::Refused,
                "CATALOGUE_INCOMPLETE",
                if begun.is_some() || found.is_some() {
                    format!("al catálogo {shown} le faltan firmas")
                } else {
                    format!("no hay catálogo firmado en {}", folder.path().display())
                },
                if begun.is_some() || found.is_some() {
                    format!("the catalogue {shown} lacks signatures")
                } else {
                    format!(
                        "there is no signed catalogue in {}",
                        folder.path().display()
                    )
                },
            )
            .hint(
                "fírmelo con: chasqui catalogue sign",
                "sign it with: chasqui catalogue sign",
            ));
        }
    };
    let root = folder.root()?;
    enough_publishers(folder, &root, &envelope)?;
    let catalogue = Catalogue::decode(&envelope)?;
    let mut bytes = Vec::new();
    for entry in &catalogue.definitions {
        bytes.push(folder.definition_bytes(entry)?);
    }
    for one in &bytes {
        send(client, one).await?;
    }
    let version = trust::publish_one(client, &envelope).await?;
    Ok((bytes.len(), version))
}

/// Stores a definition at the coordinator. That gives it no force: the signed catalogue does.
async fn send(client: &Client, bytes: &[u8]) -> Outcome<Digest> {
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
