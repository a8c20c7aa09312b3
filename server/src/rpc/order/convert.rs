//! Between the API's order and the rules' and the store's.

use bytes::Bytes;
use chasqui_domain::order::OrderState;
use chasqui_proto::v1;
use chasqui_store::order::{Order as Row, Statement, Target};
use chasqui_trust::{Document as _, Envelope, Order};

/// Above so many machines the results are left out of the order: they are in each machine's evidence.
const RESULTS_WITHIN: usize = 50;

/// The whole order.
pub fn order(order: &Row, targets: &[Target], statements: &[Statement]) -> v1::Order {
    let results = targets.len() <= RESULTS_WITHIN;
    v1::Order {
        id: order.id.clone(),
        digest: hex::decode(&order.digest).unwrap_or_default().into(),
        envelope: order.envelope.clone().into(),
        state: shown(order.state).into(),
        definition_id: order.definition_id.clone(),
        definition_version: order.definition_version,
        definition_digest: hex::decode(&order.definition_digest)
            .unwrap_or_default()
            .into(),
        risk: order.risk,
        ticket_id: order.ticket_id.clone().unwrap_or_default(),
        ticket_number: order.ticket_number.clone(),
        requester_id: order.requester_id.clone(),
        requester_name: order.requester_name.clone(),
        reason: order.reason.clone(),
        created_at_ms: order.created_at_ms,
        not_before_ms: order.not_before_ms,
        not_after_ms: order.not_after_ms,
        required_approvals: order.required_approvals,
        targets: targets
            .iter()
            .map(|one| target(order, one, results))
            .collect(),
        statements: statements.iter().map(statement).collect(),
        version: order.version,
        break_glass: claims_emergency(&order.envelope),
    }
}

/// Whether what was signed claims the emergency rule. The row was verified when it was written.
fn claims_emergency(envelope: &[u8]) -> bool {
    Envelope::from_json(envelope)
        .and_then(|envelope| Order::decode(&envelope))
        .is_ok_and(|order| order.break_glass)
}

/// The order in a list: without what was signed, and without results.
pub fn listed(of: &Row, targets: &[Target]) -> v1::Order {
    let mut shown = order(of, targets, &[]);
    shown.envelope = Bytes::new();
    for target in &mut shown.targets {
        target.result = Bytes::new();
    }
    shown
}

fn target(order: &Row, target: &Target, with_result: bool) -> v1::OrderTarget {
    let detail: Option<chasqui_domain::Text> = serde_json::from_str(&target.detail).ok();
    v1::OrderTarget {
        device_id: target.device_id.clone(),
        host_name: target.host_name.clone(),
        leaf_index: target.leaf_index,
        leaf: target.leaf.clone().into(),
        // Before it is queued the order's own state is the machine's.
        state: shown(target.state.map_or(order.state, OrderState::from)).into(),
        refusal_code: target.refusal.clone(),
        refusal: detail.map(|text| v1::Text {
            es: text.es,
            en: text.en,
        }),
        result: target
            .result
            .clone()
            .filter(|_| with_result)
            .unwrap_or_default()
            .into(),
        sent_at_ms: target.sent_at_ms.unwrap_or(0),
        result_at_ms: target.result_at_ms.unwrap_or(0),
    }
}

fn statement(statement: &Statement) -> v1::OrderStatement {
    v1::OrderStatement {
        id: statement.id.clone(),
        person_id: statement.person_id.clone(),
        person_name: statement.person_name.clone(),
        decision: statement.decision.clone(),
        at_ms: statement.at_ms,
        envelope: statement.envelope.clone().into(),
    }
}

fn shown(state: OrderState) -> v1::OrderState {
    match state {
        OrderState::Requested => v1::OrderState::Requested,
        OrderState::AwaitingApproval => v1::OrderState::AwaitingApproval,
        OrderState::Approved => v1::OrderState::Approved,
        OrderState::Rejected => v1::OrderState::Rejected,
        OrderState::Expired => v1::OrderState::Expired,
        OrderState::Cancelled => v1::OrderState::Cancelled,
        OrderState::Queued => v1::OrderState::Queued,
        OrderState::Sent => v1::OrderState::Sent,
        OrderState::Accepted => v1::OrderState::Accepted,
        OrderState::AwaitingConsent => v1::OrderState::AwaitingConsent,
        OrderState::Running => v1::OrderState::Running,
        OrderState::Checking => v1::OrderState::Checking,
        OrderState::Succeeded => v1::OrderState::Succeeded,
        OrderState::Failed => v1::OrderState::Failed,
        OrderState::Partly => v1::OrderState::Partly,
        OrderState::Refused => v1::OrderState::Refused,
        OrderState::Unknown => v1::OrderState::Unknown,
    }
}

/// A state out of a request.
pub fn state(state: i32) -> Option<OrderState> {
    let asked = v1::OrderState::try_from(state).ok()?;
    OrderState::ALL
        .into_iter()
        .find(|state| shown(*state) == asked)
}
