//! Retirement assessment: turns what is stored of a device into the facts the rule asks for, and its answer into the
//! API's. The rule is `chasqui_domain::retirement`'s; here is decided only where each fact comes from.
//!
//! Everything is read as of a moment, so that a paper can be made again: the sections as they stood then, each with the
//! time of its first observation and the source that came with it.

mod facts;

use chasqui_base::clock::now_ms;
use chasqui_domain::ids::DeviceId;
use chasqui_domain::knowledge::Knowledge;
use chasqui_domain::retirement::{Assessment, Class, Criterion, Verdict, assess};
use chasqui_proto::error::bad_field;
use chasqui_proto::v1;
use chasqui_store::device;
use sha2::{Digest, Sha256};
use tonic::{Request, Response, Status};

use super::check;
use super::wire::text;
use crate::context::Context;
use crate::error::{Failure, internal, not_found};

/// The service.
#[derive(Clone)]
pub struct Service(pub Context);

#[tonic::async_trait]
impl v1::retirement_service_server::RetirementService for Service {
    async fn assess_retirement(
        &self,
        request: Request<v1::AssessRetirementRequest>,
    ) -> Result<Response<v1::AssessRetirementResponse>, Status> {
        let body = request.into_inner();
        let device_id: DeviceId = check::id("device_id", &body.device_id)?;
        let now_ms = now_ms();
        let as_of_ms = if body.as_of_ms == 0 {
            now_ms
        } else {
            body.as_of_ms
        };
        if !(0..=now_ms).contains(&as_of_ms) {
            return Err(bad_field(
                "as_of_ms",
                "lies in the future or before 1970: use 0 for now",
            ));
        }
        let knowledge = Knowledge::builtin().map_err(|error| internal("knowledge", &error))?;
        let answer = self
            .0
            .store
            .read(move |tx| -> Result<_, Failure> {
                let id = device_id.to_string();
                let device = device::get(tx, &id)?.ok_or_else(|| not_found("device", &id))?;
                let facts = facts::of(tx, &device, as_of_ms)?;
                Ok((device.host_name, assess(&facts, knowledge, as_of_ms)))
            })
            .await?;
        let (host_name, assessment) = answer;
        Ok(Response::new(shown(
            &body.device_id,
            host_name,
            &assessment,
        )?))
    }
}

fn shown(
    device_id: &str,
    host_name: String,
    assessment: &Assessment,
) -> Result<v1::AssessRetirementResponse, Status> {
    let canonical =
        serde_json::to_vec(assessment).map_err(|error| internal("assessment", &error))?;
    Ok(v1::AssessRetirementResponse {
        device_id: device_id.to_owned(),
        host_name,
        as_of_ms: assessment.assessed_at_ms,
        class: class(assessment.class).into(),
        summary: Some(text(&assessment.reason)),
        criteria: assessment.criteria.iter().map(criterion).collect(),
        rule_version: assessment.rule_version.to_string(),
        knowledge_version: assessment.knowledge_version.clone(),
        digest: Sha256::digest(&canonical).to_vec().into(),
    })
}

fn class(class: Class) -> v1::RetirementClass {
    match class {
        Class::Vigente => v1::RetirementClass::Current,
        Class::Vigilar => v1::RetirementClass::Watch,
        Class::Repotenciar => v1::RetirementClass::Upgrade,
        Class::Reasignar => v1::RetirementClass::Reassign,
        Class::Baja => v1::RetirementClass::Retire,
        Class::SinDatos => v1::RetirementClass::InsufficientData,
    }
}

fn criterion(criterion: &Criterion) -> v1::Criterion {
    let verdict = match criterion.verdict {
        Verdict::Ok => v1::CriterionVerdict::Ok,
        Verdict::Watch => v1::CriterionVerdict::Watch,
        Verdict::Fails => v1::CriterionVerdict::Fails,
        Verdict::Unknown => v1::CriterionVerdict::Unknown,
    };
    v1::Criterion {
        id: criterion.id.as_str().to_owned(),
        verdict: verdict.into(),
        name: Some(text(&criterion.id.name())),
        explanation: Some(text(&criterion.explanation)),
        evidence: criterion
            .evidence
            .iter()
            .map(|evidence| v1::Evidence {
                fact: evidence.fact.clone(),
                value: evidence.value.clone(),
                unit: evidence.unit.clone(),
                source: evidence.source.clone(),
                observed_at_ms: evidence.observed_at_ms,
            })
            .collect(),
        rule: criterion.rule.clone(),
        rule_version: criterion.rule_version,
    }
}
