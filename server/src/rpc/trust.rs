//! Roots, people documents, catalogues and definitions. The coordinator believes none of them more than an agent would:
//! it verifies what is published, so that people see mistakes early, and hands on the bytes as signed.
//!
//! The first root is pinned by an administrator who publishes it when none is there. Every later one must be signed by
//! the threshold of the root before it; nothing here can make or replace a root by itself.

use chasqui_base::clock::now_ms;
use chasqui_base::fault_point;
use chasqui_domain::role::Role;
use chasqui_proto::error::bad_field;
use chasqui_proto::v1::{self, TrustDocumentKind};
use chasqui_store::event::{self, NewEvent};
use chasqui_store::request::idempotent;
use chasqui_store::trust_document::{self as store, TrustDocument};
use chasqui_store::{StoreError, Tx};
use chasqui_trust::catalogue::Catalogue;
use chasqui_trust::people::People;
use chasqui_trust::{
    Definition, Digest, Document, Envelope, Root, TrustError, TrustState, VerifiedCatalogue,
};
use prost::Message;
use tonic::{Code, Request, Response, Status};

use super::wire::{answer, malformed, trust_refusal};
use super::{keyset, page, request_key};
use crate::auth::{self, person};
use crate::context::Context;
use crate::error::{Failure, denied, internal, precondition};
use crate::fleet;

/// Names of the kinds in the store.
pub const ROOT: &str = "root";
/// Names of the kinds in the store.
pub const PEOPLE: &str = "people";
/// Names of the kinds in the store.
pub const CATALOGUE: &str = "catalogue";

/// Most bytes of a published document.
const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;
/// Most roots one answer carries.
const MAX_ROOTS: u32 = 1_000;
/// Most roots an agent gets at once.
const ROOTS_AT_ONCE: u32 = 16;
/// Most bytes of definitions on one page of a list.
const MAX_LIST_BYTES: usize = 3 * 1024 * 1024;

/// The service.
#[derive(Clone)]
pub struct Service(pub Context);

/// The documents in force, verified.
pub struct Standing {
    /// Root and people document.
    pub trust: TrustState,
    /// Catalogue, when one is published and counts under the root.
    pub catalogue: Option<VerifiedCatalogue>,
}

/// Verifies what is stored: the chain of roots from the first, the newest people document and catalogue. Nothing before
/// the first root is published.
///
/// # Errors
/// INTERNAL when the stored chain of roots does not verify: damage.
pub fn standing(tx: &mut Tx) -> Result<Option<Standing>, Failure> {
    let roots = store::above(tx, ROOT, 0, MAX_ROOTS)?;
    let mut roots = roots.iter();
    let Some(first) = roots.next() else {
        return Ok(None);
    };
    let damaged = |error: TrustError| Failure::from(internal("stored root", &error));
    let mut trust = TrustState::from_root(&first.envelope).map_err(damaged)?;
    for root in roots {
        trust.accept_root(&root.envelope).map_err(damaged)?;
    }
    // A document that an older root vouched for need not count under the newest; then there is none.
    if let Some(people) = store::newest(tx, PEOPLE)?
        && let Err(error) = trust.restore_people(&people.envelope)
    {
        tracing::warn!(
            code = error.code(),
            version = people.version,
            "the people document does not count under the root"
        );
    }
    let catalogue = match store::newest(tx, CATALOGUE)? {
        None => None,
        Some(catalogue) => match trust.restore_catalogue(&catalogue.envelope) {
            Ok(verified) => Some(verified),
            Err(error) => {
                tracing::warn!(
                    code = error.code(),
                    version = catalogue.version,
                    "the catalogue does not count under the root"
                );
                None
            }
        },
    };
    Ok(Some(Standing { trust, catalogue }))
}

/// Versions in force, 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// Of the newest root.
    pub root: u64,
    /// Of the newest people document.
    pub people: u64,
    /// UTC milliseconds.
    pub people_expires_at_ms: i64,
    /// Of the newest catalogue.
    pub catalogue: u64,
    /// UTC milliseconds.
    pub catalogue_expires_at_ms: i64,
}

/// What is published. Reads three rows and verifies nothing.
///
/// # Errors
/// Those of the store.
pub async fn versions(ctx: &Context) -> Result<Versions, Status> {
    let versions = ctx
        .store
        .read(|tx| -> Result<Versions, Failure> {
            let mut of = |kind| {
                Ok::<_, StoreError>(
                    store::newest(tx, kind)?
                        .map_or((0, 0), |found| (found.version, found.not_after_ms)),
                )
            };
            let (root, _) = of(ROOT)?;
            let (people, people_expires_at_ms) = of(PEOPLE)?;
            let (catalogue, catalogue_expires_at_ms) = of(CATALOGUE)?;
            Ok(Versions {
                root,
                people,
                people_expires_at_ms,
                catalogue,
                catalogue_expires_at_ms,
            })
        })
        .await?;
    Ok(versions)
}

/// What an agent lacks.
///
/// # Errors
/// Those of the store.
pub async fn fetch(
    ctx: &Context,
    _device: &auth::Device,
    request: v1::FetchTrustDocumentsRequest,
) -> Result<v1::FetchTrustDocumentsResponse, Status> {
    let answer = ctx
        .store
        .read(move |tx| -> Result<_, Failure> {
            let roots = store::above(tx, ROOT, request.root_version, ROOTS_AT_ONCE)?;
            let newer = |found: Option<TrustDocument>, held: u64| {
                found
                    .filter(|found| found.version > held)
                    .map(|found| found.envelope)
                    .unwrap_or_default()
            };
            Ok(v1::FetchTrustDocumentsResponse {
                roots: roots.into_iter().map(|root| root.envelope.into()).collect(),
                people: newer(store::newest(tx, PEOPLE)?, request.people_version).into(),
                catalogue: newer(store::newest(tx, CATALOGUE)?, request.catalogue_version).into(),
            })
        })
        .await?;
    Ok(answer)
}

#[tonic::async_trait]
impl v1::trust_service_server::TrustService for Service {
    async fn publish_trust_document(
        &self,
        request: Request<v1::PublishTrustDocumentRequest>,
    ) -> Result<Response<v1::PublishTrustDocumentResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let now_ms = now_ms();
        let actor = who.id.to_string();
        let key = request_key(
            &actor,
            "TrustService/PublishTrustDocument",
            &body,
            |body| &mut body.request_id,
            now_ms,
        )?;
        if body.envelope.len() > MAX_DOCUMENT_BYTES {
            return Err(bad_field(
                "envelope",
                "is over 1 MiB: no trust document is that large",
            ));
        }
        let kind = TrustDocumentKind::try_from(body.kind).unwrap_or_default();
        let envelope = Envelope::from_json(&body.envelope).map_err(|error| malformed(&error))?;
        let document = read(kind, &envelope, body.envelope.to_vec())?;
        let org = self.0.config.organisation.clone();
        let administrator = who.roles.has(Role::Administrator);
        let kept = self
            .0
            .store
            .write(move |tx| {
                idempotent(tx, &key, |tx| {
                    publish(tx, &document, (&org, administrator), &actor, now_ms)?;
                    let response = v1::PublishTrustDocumentResponse {
                        version: document.row.version,
                    };
                    Ok::<_, Failure>(response.encode_to_vec())
                })
            })
            .await?;
        fault_point!("server.trust.published");
        fleet::trust_changed(&self.0);
        Ok(Response::new(answer(&kept.response)?))
    }

    async fn get_trust_documents(
        &self,
        _request: Request<v1::GetTrustDocumentsRequest>,
    ) -> Result<Response<v1::GetTrustDocumentsResponse>, Status> {
        let answer = self
            .0
            .store
            .read(|tx| -> Result<_, Failure> {
                let envelope = |found: Option<TrustDocument>| {
                    found.map(|found| found.envelope).unwrap_or_default()
                };
                Ok(v1::GetTrustDocumentsResponse {
                    roots: store::above(tx, ROOT, 0, MAX_ROOTS)?
                        .into_iter()
                        .map(|root| root.envelope.into())
                        .collect(),
                    people: envelope(store::newest(tx, PEOPLE)?).into(),
                    catalogue: envelope(store::newest(tx, CATALOGUE)?).into(),
                })
            })
            .await?;
        Ok(Response::new(answer))
    }

    async fn publish_definition(
        &self,
        request: Request<v1::PublishDefinitionRequest>,
    ) -> Result<Response<v1::PublishDefinitionResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let now_ms = now_ms();
        let actor = who.id.to_string();
        let key = request_key(
            &actor,
            "TrustService/PublishDefinition",
            &body,
            |body| &mut body.request_id,
            now_ms,
        )?;
        let definition =
            Definition::decode_payload(&body.definition).map_err(|error| malformed(&error))?;
        let digest = Digest::of(&body.definition);
        let kept = self
            .0
            .store
            .write(move |tx| {
                idempotent(tx, &key, |tx| {
                    let hex = digest.to_hex();
                    let name = (definition.id.as_str(), definition.version);
                    if store::insert_definition(tx, &hex, name, &body.definition, now_ms)? {
                        let data =
                            serde_json::json!({"id": definition.id, "version": definition.version});
                        record(
                            tx,
                            ("definition", &hex),
                            "definition.published",
                            &actor,
                            data,
                            now_ms,
                        )?;
                    }
                    let response = v1::PublishDefinitionResponse {
                        digest: digest.as_bytes().to_vec().into(),
                    };
                    Ok::<_, Failure>(response.encode_to_vec())
                })
            })
            .await?;
        fault_point!("server.definition.published");
        Ok(Response::new(answer(&kept.response)?))
    }

    async fn list_definitions(
        &self,
        request: Request<v1::ListDefinitionsRequest>,
    ) -> Result<Response<v1::ListDefinitionsResponse>, Status> {
        let body = request.into_inner();
        let page = page(&body.page, "ListDefinitions", "")?;
        let after = keyset::after(&page)?.map_or(0, |(at, _)| usize::try_from(at).unwrap_or(0));
        let size = usize::try_from(page.size).unwrap_or(0);
        let (definitions, next) = self
            .0
            .store
            .read(move |tx| -> Result<_, Failure> {
                let Some(catalogue) = standing(tx)?.and_then(|standing| standing.catalogue) else {
                    return Ok((Vec::new(), None));
                };
                let entries = &catalogue.catalogue().definitions;
                let (mut found, mut bytes, mut at) = (Vec::new(), 0, after);
                for entry in entries.iter().skip(after) {
                    if found.len() >= size || bytes > MAX_LIST_BYTES {
                        return Ok((found, Some(at)));
                    }
                    at += 1;
                    // Listed, but its bytes were never published: it cannot be ordered and is not shown.
                    if let Some(definition) = store::definition(tx, &entry.digest.to_hex())? {
                        bytes += definition.len();
                        found.push(v1::PublishedDefinition {
                            digest: entry.digest.as_bytes().to_vec().into(),
                            definition: definition.into(),
                        });
                    }
                }
                Ok((found, None))
            })
            .await?;
        let page = next.map_or_else(v1::PageInfo::default, |at| {
            page.next(&[&at.to_string(), ""])
        });
        Ok(Response::new(v1::ListDefinitionsResponse {
            definitions,
            page: Some(page),
        }))
    }
}

/// A document out of a request, with what its row needs.
struct Offered {
    kind: &'static str,
    row: TrustDocument,
}

fn read(kind: TrustDocumentKind, envelope: &Envelope, bytes: Vec<u8>) -> Result<Offered, Status> {
    let bad = |error| malformed(&error);
    let (kind, version, not_after_ms) = match kind {
        TrustDocumentKind::Root => {
            let root = Root::decode(envelope).map_err(bad)?;
            (ROOT, root.version, root.expires_at_ms)
        }
        TrustDocumentKind::People => {
            let people = People::decode(envelope).map_err(bad)?;
            (PEOPLE, people.version, people.expires_at_ms)
        }
        TrustDocumentKind::Catalogue => {
            let catalogue = Catalogue::decode(envelope).map_err(bad)?;
            (CATALOGUE, catalogue.version, catalogue.expires_at_ms)
        }
        TrustDocumentKind::Unspecified => {
            return Err(bad_field("kind", "use root, people or catalogue"));
        }
    };
    let digest = envelope.payload_digest().to_hex();
    Ok(Offered {
        kind,
        row: TrustDocument {
            version,
            digest,
            envelope: bytes,
            not_after_ms,
        },
    })
}

fn publish(
    tx: &mut Tx,
    document: &Offered,
    (org, administrator): (&str, bool),
    actor: &str,
    now_ms: i64,
) -> Result<(), Failure> {
    let row = &document.row;
    let refused = |error: TrustError| {
        Failure::from(trust_refusal(
            Code::FailedPrecondition,
            error.code(),
            &error.text(),
        ))
    };
    if let Some(newest) = store::newest(tx, document.kind)? {
        if newest.version == row.version && newest.digest == row.digest {
            return Ok(());
        }
        // Also where the stored one no longer counts under the root: agents keep its version as a mark.
        if row.version <= newest.version {
            let what = document.kind;
            return Err(refused(if row.version == newest.version {
                TrustError::Fork {
                    what,
                    version: row.version,
                }
            } else {
                TrustError::Rollback {
                    what,
                    held: newest.version,
                    found: row.version,
                }
            }));
        }
    }
    match (standing(tx)?, document.kind) {
        (None, ROOT) => {
            if !administrator {
                return Err(denied(
                    "ROOT_NOT_PINNED",
                    "the first root is pinned by an administrator: ask one to publish it",
                )
                .into());
            }
            let trust = TrustState::from_root(&row.envelope).map_err(refused)?;
            if trust.org() != org {
                return Err(refused(TrustError::Org {
                    what: Root::NAME,
                    expected: org.to_owned(),
                    found: trust.org().to_owned(),
                }));
            }
        }
        (None, _) => {
            return Err(precondition(
                "ROOT_MISSING",
                "no root is published yet: publish the root first",
            )
            .into());
        }
        (Some(mut standing), ROOT) => standing.trust.accept_root(&row.envelope).map_err(refused)?,
        (Some(mut standing), PEOPLE) => standing
            .trust
            .accept_people(&row.envelope, now_ms)
            .map_err(refused)?,
        (Some(mut standing), _) => {
            standing
                .trust
                .accept_catalogue(&row.envelope, now_ms)
                .map_err(refused)?;
        }
    }
    if !store::insert(tx, document.kind, row, now_ms)? {
        let what = document.kind;
        return Err(refused(TrustError::Fork {
            what,
            version: row.version,
        }));
    }
    let kind = format!("trust.{}_published", document.kind);
    let data = serde_json::json!({"version": row.version, "digest": row.digest});
    record(tx, ("trust", document.kind), &kind, actor, data, now_ms)
}

fn record(
    tx: &mut Tx,
    (subject_kind, subject_id): (&str, &str),
    kind: &str,
    actor: &str,
    data: serde_json::Value,
    at_ms: i64,
) -> Result<(), Failure> {
    let event = NewEvent {
        subject_kind,
        subject_id,
        part: None,
        kind,
        actor,
        at_ms,
        state: None,
        data,
        personal: None,
    };
    event::append(tx, event)?;
    Ok(())
}
