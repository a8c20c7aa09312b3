//! Orders from the draft to the machine's word, over the public API, with every signature made in the test.

use std::time::Duration;

use anyhow::{Context, Result};
use chasqui_base::clock;
use chasqui_proto::v1::{
    AddStatementRequest, CreateOrderRequest, GetOrderRequest, Order as Shown, OrderState,
    OrderTarget, Ticket,
};
use chasqui_trust::dsse::Envelope;
use chasqui_trust::key::SigningKey;
use chasqui_trust::order::{Leaf, Order};
use chasqui_trust::statement::{Decision, Statement};
use chasqui_trust::{ActionResult, Document, sign};
use tonic::Status;

use crate::cast::Actor;
use crate::fleet::{Client, TestFleet};
use crate::programs::wait_until;

/// How long a machine may take for an action that takes it no time.
const PATIENCE: Duration = Duration::from_secs(60);

/// An order that is not signed yet.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What is to be signed.
    pub order: Order,
    /// The machines, in the order of the tree.
    pub leaves: Vec<Leaf>,
}

/// The code of a refusal; the gRPC code when it carries none of ours.
pub fn code(status: &Status) -> String {
    chasqui_proto::error::reason_of(status)
        .unwrap_or_else(|| format!("{:?}: {}", status.code(), status.message()))
}

impl TestFleet {
    /// An order of the technician for one machine, as an honest program would write it.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn draft(
        &self,
        definition: &str,
        parameters: &[(&str, i64)],
        device_id: &str,
        ticket: &Ticket,
    ) -> Result<Draft> {
        let leaves = vec![self.leaf(device_id).await?];
        let names = (ticket.id.as_str(), ticket.number.as_str());
        let order = self.cast.order(definition, parameters, names, &leaves)?;
        Ok(Draft { order, leaves })
    }

    /// Hands in an order as this person.
    ///
    /// # Errors
    /// The coordinator's refusal.
    pub async fn submit(
        &self,
        client: &Client,
        envelope: &Envelope,
        leaves: &[Leaf],
    ) -> Result<Shown, Status> {
        let leaves: Result<Vec<_>, _> = leaves.iter().map(Leaf::encode).collect();
        let leaves = leaves.map_err(|error| Status::internal(format!("test leaf: {error:?}")))?;
        let answer = client
            .orders()
            .create_order(CreateOrderRequest {
                request_id: clock::new_id().to_string(),
                envelope: envelope.to_json().into(),
                leaves: leaves.into_iter().map(Into::into).collect(),
            })
            .await?;
        answer
            .into_inner()
            .order
            .ok_or_else(|| Status::internal("no order in the answer"))
    }

    /// Hands in a statement as this person.
    ///
    /// # Errors
    /// The coordinator's refusal.
    pub async fn say(
        &self,
        client: &Client,
        order_id: &str,
        statement: &Envelope,
    ) -> Result<Shown, Status> {
        let answer = client
            .orders()
            .add_statement(AddStatementRequest {
                request_id: clock::new_id().to_string(),
                order_id: order_id.to_owned(),
                envelope: statement.to_json().into(),
            })
            .await?;
        answer
            .into_inner()
            .order
            .ok_or_else(|| Status::internal("no order in the answer"))
    }

    /// A signed approval.
    ///
    /// # Errors
    /// When it breaks a rule of its form.
    pub fn approval(&self, order: &Envelope, actor: &Actor) -> Result<Envelope> {
        let statement = self.cast.statement(order, &actor.id, Decision::Approve);
        signed(&statement, &actor.key)
    }

    /// Signed by the technician, approved by the lead, handed in: on its way to its machine.
    ///
    /// # Errors
    /// The coordinator's refusal.
    pub async fn order(&self, draft: &Draft) -> Result<Shown> {
        let envelope = signed(&draft.order, &self.cast.technician.key)?;
        let order = self
            .submit(&self.technician, &envelope, &draft.leaves)
            .await?;
        let mut order = order;
        for (client, actor) in [
            (&self.lead, &self.cast.lead),
            (&self.coordinator, &self.cast.coordinator),
        ] {
            if order.state() != OrderState::AwaitingApproval {
                break;
            }
            let approval = self.approval(&envelope, actor)?;
            order = self.say(client, &order.id, &approval).await?;
        }
        Ok(order)
    }

    /// The order as it stands.
    ///
    /// # Errors
    /// The coordinator's refusal.
    pub async fn shown(&self, order_id: &str) -> Result<Shown> {
        self.technician
            .orders()
            .get_order(GetOrderRequest {
                order_id: order_id.to_owned(),
            })
            .await?
            .into_inner()
            .order
            .context("no order in the answer")
    }

    /// Waits for the first machine's signed result.
    ///
    /// # Errors
    /// When there is none after a minute.
    pub async fn result(&self, order_id: &str) -> Result<(OrderTarget, ActionResult)> {
        let target = wait_until("the machine's result", PATIENCE, async || {
            let order = self.shown(order_id).await?;
            Ok(order
                .targets
                .into_iter()
                .next()
                .filter(|target| !target.result.is_empty()))
        })
        .await
        .with_context(|| format!("order {order_id}"))?;
        let envelope = Envelope::from_json(&target.result)?;
        let result = ActionResult::decode(&envelope)?;
        Ok((target, result))
    }

    /// Waits until the order is in this state.
    ///
    /// # Errors
    /// When it is not after a minute.
    pub async fn until(&self, order_id: &str, state: OrderState) -> Result<Shown> {
        let mut last = OrderState::Unspecified;
        let found = wait_until("the order's state", PATIENCE, async || {
            let order = self.shown(order_id).await?;
            last = order.state();
            Ok((last == state).then_some(order))
        })
        .await;
        found.with_context(|| format!("order {order_id}: {last:?} instead of {state:?}"))
    }
}

/// Signs with one key.
///
/// # Errors
/// When the paper breaks a rule of its form.
pub fn signed(paper: &impl Document, key: &SigningKey) -> Result<Envelope> {
    Ok(sign(paper, &[key])?)
}

/// The same statement under another key, or of another person.
pub fn approve_as(fleet: &TestFleet, order: &Envelope, person: &str) -> Statement {
    fleet.cast.statement(order, person, Decision::Approve)
}
