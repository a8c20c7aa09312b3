//! The trust documents the coordinator carries, believed only under the root pinned on this machine.

use std::path::PathBuf;

use chasqui_base::clock;
use chasqui_proto::v1;
use chasqui_trust::{
    CatalogueEntry, Definition, Digest, Document as _, People, Refusal, TrustState,
    VerifiedCatalogue,
};

use crate::client::{Client, call};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::input;
use crate::output::Screen;
use crate::trust::folder::Kind;
use crate::trust::show::expiry_warning;

/// Root, people document and catalogue, verified.
#[derive(Clone, Debug)]
pub struct Papers {
    /// Root and people document.
    pub state: TrustState,
    /// Catalogue.
    pub catalogue: VerifiedCatalogue,
}

impl Papers {
    /// The people document.
    pub fn people(&self) -> Outcome<&People> {
        self.state
            .people()
            .ok_or_else(|| refusal(&Refusal::PeopleMissing))
    }

    /// The version of the people document.
    pub fn people_version(&self) -> u64 {
        self.state.people().map_or(0, |people| people.version)
    }

    /// Says what is due soon, on standard error.
    pub fn warn(&self, screen: &Screen) {
        let now = clock::now_ms();
        let people = self.state.people().map(|people| people.expires_at_ms);
        let documents = [
            (Kind::Root, Some(self.state.root().expires_at_ms)),
            (Kind::People, people),
            (
                Kind::Catalogue,
                Some(self.catalogue.catalogue().expires_at_ms),
            ),
        ];
        for (kind, expires_at_ms) in documents {
            let warning = expires_at_ms.and_then(|at| expiry_warning(kind, at, now, screen.lang));
            if let Some(warning) = warning {
                screen.note(format!("{}: {warning}", screen.say("aviso", "warning")));
            }
        }
    }

    /// A person's name, or the id when the document does not know it.
    pub fn name(&self, person: &str) -> String {
        self.state
            .people()
            .and_then(|people| people.person(person))
            .map_or_else(|| person.to_owned(), |p| p.name.clone())
    }
}

/// The bytes of the pinned root: the file named, else `root.json` of the settings folder.
pub fn pinned_root(context: &Context, file: Option<&PathBuf>) -> Outcome<Vec<u8>> {
    let path = file
        .cloned()
        .unwrap_or_else(|| context.setting("root.json"));
    if !path.exists() {
        let shown = path.display();
        return Err(Failure::new(
            Exit::NotFound,
            "ROOT_NOT_PINNED",
            format!("no hay una raíz de confianza en {shown}"),
            format!("there is no root of trust at {shown}"),
        )
        .hint(
            "consígala por un camino que no sea el coordinador e instálela con: chasqui trust pin root.json",
            "get it by another way than the coordinator and install it with: chasqui trust pin root.json",
        ));
    }
    input::read_file(&path)
}

/// Fetches the documents and verifies them under the pinned root, as of now.
pub async fn fetch(client: &Client, pinned: &[u8]) -> Outcome<Papers> {
    let documents = call(|| {
        let mut trust = client.trust();
        async move {
            trust
                .get_trust_documents(v1::GetTrustDocumentsRequest {})
                .await
        }
    })
    .await?;
    let now = clock::now_ms();
    let mut state = TrustState::from_root(pinned)?;
    for root in &documents.roots {
        let envelope = chasqui_trust::Envelope::from_json(root)?;
        let version = chasqui_trust::Root::decode(&envelope)?.version;
        if version > state.root().version {
            state.accept_root(root)?;
        }
    }
    if documents.people.is_empty() || documents.catalogue.is_empty() {
        return Err(Failure::new(
            Exit::Refused,
            "TRUST_NOT_PUBLISHED",
            "el coordinador todavía no tiene documento de personas y catálogo",
            "the coordinator has no people document and catalogue yet",
        )
        .hint(
            "publíquelos con: chasqui trust publish y chasqui catalogue publish",
            "publish them with: chasqui trust publish and chasqui catalogue publish",
        ));
    }
    state.accept_people(&documents.people, now)?;
    let catalogue = state.accept_catalogue(&documents.catalogue, now)?;
    Ok(Papers { state, catalogue })
}

/// The newest definition of this id in the catalogue, its bytes checked against the signed digest.
pub async fn definition(
    client: &Client,
    papers: &Papers,
    id: &str,
) -> Outcome<(Definition, Vec<u8>)> {
    let entry = papers.catalogue.catalogue().latest(id).ok_or_else(|| {
        Failure::new(
            Exit::NotFound,
            "DEFINITION_NOT_IN_CATALOGUE",
            format!("el catálogo no tiene la acción {id:?}"),
            format!("the catalogue has no action {id:?}"),
        )
        .hint(
            "véalas con: chasqui catalogue list",
            "list them with: chasqui catalogue list",
        )
    })?;
    definition_of(client, entry).await
}

/// The definition of an entry of the verified catalogue.
pub async fn definition_of(
    client: &Client,
    entry: &CatalogueEntry,
) -> Outcome<(Definition, Vec<u8>)> {
    let id = &entry.id;
    let published = list(client).await?;
    let bytes = published
        .into_iter()
        .map(|p| p.definition.to_vec())
        .find(|bytes| Digest::of(bytes) == entry.digest)
        .ok_or_else(|| {
            Failure::new(
                Exit::NotFound,
                "DEFINITION_MISSING",
                format!("el coordinador no tiene el texto de {id:?} que firma el catálogo"),
                format!("the coordinator lacks the text of {id:?} that the catalogue signs"),
            )
            .hint(
                "publíquelo con: chasqui catalogue publish",
                "publish it with: chasqui catalogue publish",
            )
        })?;
    Ok((Definition::decode_payload(&bytes)?, bytes))
}

/// Definitions at the coordinator. Their digests are not believed before they are compared with the catalogue.
pub async fn list(client: &Client) -> Outcome<Vec<v1::PublishedDefinition>> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    for _ in 0..200 {
        let request = v1::ListDefinitionsRequest {
            page: Some(v1::PageRequest {
                page_size: 500,
                page_token,
            }),
        };
        let answer = call(|| {
            let (mut trust, request) = (client.trust(), request.clone());
            async move { trust.list_definitions(request).await }
        })
        .await?;
        found.extend(answer.definitions);
        page_token = answer.page.unwrap_or_default().next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// A refusal of the one judgement of orders, as a failure of this program.
pub fn refusal(refusal: &Refusal) -> Failure {
    let text = refusal.text();
    let exit = match refusal {
        Refusal::OrderSignatureInvalid
        | Refusal::StatementSignatureInvalid
        | Refusal::OrderKeyUnknown(_)
        | Refusal::DefinitionDigest
        | Refusal::DefinitionMismatch
        | Refusal::DeviceMismatch
        | Refusal::LeafProofInvalid
        | Refusal::StatementOtherOrder
        | Refusal::BundleMalformed(_)
        | Refusal::OrderMalformed(_)
        | Refusal::DefinitionMalformed(_)
        | Refusal::StatementMalformed(_)
        | Refusal::UnknownCritical { .. } => Exit::Invalid,
        Refusal::ParameterInvalid(_) => Exit::Usage,
        _ => Exit::Refused,
    };
    let failure = Failure::new(exit, refusal.code(), text.es, text.en);
    match refusal {
        Refusal::DefinitionPublishers { .. } => failure.hint(
            "otro publicador lo firma con: chasqui catalogue sign, y se publica con: chasqui catalogue publish",
            "another publisher signs it with: chasqui catalogue sign, and it is published with: chasqui catalogue publish",
        ),
        Refusal::BreakGlassNotAllowed { .. } => failure.hint(
            "pídala sin --break-glass: espera las aprobaciones usuales",
            "request it without --break-glass: it waits for the usual approvals",
        ),
        _ => failure,
    }
}

impl From<chasqui_trust::TrustError> for Failure {
    fn from(error: chasqui_trust::TrustError) -> Self {
        let text = error.text();
        let exit = match error {
            chasqui_trust::TrustError::Expired { .. } => Exit::Refused,
            _ => Exit::Invalid,
        };
        Self::new(exit, error.code(), text.es, text.en)
    }
}
