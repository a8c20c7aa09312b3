//! The sealed record: the newest signed checkpoint, and the proof that one event is under it. Leaves hold no personal
//! text, so a proof can be shown to anybody who may see that the event exists.

use chasqui_domain::ids::EventId;
use chasqui_proto::error::{retry_after, status};
use chasqui_proto::v1;
use chasqui_store::log::{self, SignedCheckpoint};
use chasqui_store::{StoreError, event};
use chasqui_trust::evidence::Checkpoint;
use chasqui_trust::{Digest, Document, Envelope, PublicKey, SigningKey, sign};
use tonic::{Code, Request, Response, Status};

use super::check;
use crate::context::Context;
use crate::error::{Failure, not_found};

/// How long a client waits for the sealer, which runs every second.
const SEALED_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// The service.
#[derive(Clone)]
pub struct Service(pub Context);

/// Signs a checkpoint. What is stored as its signature is the whole envelope, so that it can be handed on as it is.
///
/// # Errors
/// [`StoreError::Log`] when the paper cannot be made.
pub fn sign_checkpoint(
    org: &str,
    key: &SigningKey,
    of: &log::Checkpoint,
) -> Result<log::Signature, StoreError> {
    let paper = Checkpoint {
        critical: Vec::new(),
        org: org.to_owned(),
        size: u64::try_from(of.size).unwrap_or(0),
        root: Digest(of.root_hash),
        at_ms: of.at_ms,
    };
    let envelope = sign(&paper, &[key]).map_err(|error| StoreError::Log(error.to_string()))?;
    Ok(log::Signature {
        bytes: envelope.to_json(),
        key_id: key.key_id().0.to_hex(),
    })
}

/// Whether a stored checkpoint is signed by this key and says what its columns say.
pub fn is_signed(org: &str, key: &PublicKey, of: &SignedCheckpoint) -> bool {
    let Ok(envelope) = Envelope::from_json(&of.signature.bytes) else {
        return false;
    };
    let Ok(paper) = Checkpoint::decode(&envelope) else {
        return false;
    };
    envelope.is_signed_by(key)
        && paper.org == org
        && i64::try_from(paper.size) == Ok(of.checkpoint.size)
        && paper.root == Digest(of.checkpoint.root_hash)
        && paper.at_ms == of.checkpoint.at_ms
}

#[tonic::async_trait]
impl v1::log_service_server::LogService for Service {
    async fn get_checkpoint(
        &self,
        _request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        let latest = self
            .0
            .store
            .read(|tx| log::latest(tx).map_err(Failure::from))
            .await?;
        Ok(Response::new(v1::GetCheckpointResponse {
            checkpoint: latest.as_ref().map(shown),
        }))
    }

    async fn get_event_proof(
        &self,
        request: Request<v1::GetEventProofRequest>,
    ) -> Result<Response<v1::GetEventProofResponse>, Status> {
        let event_id: EventId = check::id("event_id", &request.into_inner().event_id)?;
        let answer = self
            .0
            .store
            .read(move |tx| -> Result<_, Failure> {
                let id = event_id.to_string();
                let event = event::get(tx, &id)?.ok_or_else(|| not_found("event", &id))?;
                let latest = log::latest(tx)?;
                let (Some(latest), Some(index)) = (latest, event.leaf_index) else {
                    return Err(retry_after(
                        Code::Unavailable,
                        "EVENT_NOT_SEALED",
                        "the event is recorded and not sealed yet: ask again in a moment",
                        SEALED_WITHIN,
                    )
                    .into());
                };
                let proof = log::prove(tx, &event, latest.checkpoint.size)?;
                Ok(v1::GetEventProofResponse {
                    checkpoint: Some(shown(&latest)),
                    leaf_index: u64::try_from(index).map_err(|_| {
                        status(
                            Code::Internal,
                            "INTERNAL",
                            "a leaf below the first: damage; run `check`",
                            &[],
                        )
                    })?,
                    leaf: event::leaf_bytes(&event).into(),
                    proof: proof.into_iter().map(|hash| hash.to_vec().into()).collect(),
                })
            })
            .await?;
        Ok(Response::new(answer))
    }
}

fn shown(signed: &SignedCheckpoint) -> v1::Checkpoint {
    v1::Checkpoint {
        size: u64::try_from(signed.checkpoint.size).unwrap_or(0),
        root_hash: signed.checkpoint.root_hash.to_vec().into(),
        at_ms: signed.checkpoint.at_ms,
        envelope: signed.signature.bytes.clone().into(),
    }
}
