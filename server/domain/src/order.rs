//! An order's life: from somebody asking for an action to what each machine made of it.
//!
//! ```text
//!  requested ──ask_approval──> awaiting_approval          one machine, seen from the coordinator (`target`):
//!      │  approve                 │ approve
//!      └──────────> approved <────┘                        queued ──send──> sent ──> accepted ──> awaiting_consent
//!                     │  └─withdraw──> awaiting_approval      ^               │         │               │
//!                   queue                                     └─not_received──┘         v               v
//!                     v                                                              running ──> checking
//!                   queued ... the targets' machine            │                        │            │
//!                                                              v                        v            v
//!  reject: requested, awaiting_approval ──> rejected         expired      succeeded, failed, partly, refused, cancelled
//!  expire: until queued ──> expired                          cancelled
//!  cancel: until queued ──> cancelled                        lose_contact: accepted .. checking ──> unknown
//!                                                            unknown ──> whatever the machine's journal says
//! ```
//! Reports arrive at least once and may overtake each other or be repeated: a report that says nothing new is `Ok` with
//! the same state, and an earlier step told late changes nothing. Final states never leave; a machine that contradicts
//! its own final report is refused. **`unknown` is never answered by sending again**, only by the machine's journal.
//!
//! The coordinator records `send` before a byte leaves, so that an order it calls expired or cancelled never reached a
//! machine. How many signatures an approval takes is not decided here.

mod target;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use target::{TargetEvent, TargetState, aggregate, target_transition};

use crate::{Invalid, Refused, Text};

/// Where an order stands. An order for one machine passes through all of these; one for many shows what
/// [`aggregate`] makes of its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    /// Asked for and signed by who asks.
    Requested,
    /// More signatures are needed.
    AwaitingApproval,
    /// Enough people have signed.
    Approved,
    /// Somebody said no.
    Rejected,
    /// Its time ran out before any machine had it.
    Expired,
    /// Withdrawn before it began.
    Cancelled,
    /// Waits for the machine to be there.
    Queued,
    /// On its way; the machine has not confirmed.
    Sent,
    /// Verified by the machine and written into its journal.
    Accepted,
    /// The person at the machine is asked.
    AwaitingConsent,
    /// Its steps are being carried out.
    Running,
    /// Done; whether it helped is being looked at.
    Checking,
    /// The check afterwards holds.
    Succeeded,
    /// A step or the check afterwards did not hold.
    Failed,
    /// Some of it held.
    Partly,
    /// The machine would not, naming the rule.
    Refused,
    /// It may have run, and nobody can say with what result.
    Unknown,
}

impl OrderState {
    /// Every state, in the order of the enum.
    pub const ALL: [Self; 17] = [
        Self::Requested,
        Self::AwaitingApproval,
        Self::Approved,
        Self::Rejected,
        Self::Expired,
        Self::Cancelled,
        Self::Queued,
        Self::Sent,
        Self::Accepted,
        Self::AwaitingConsent,
        Self::Running,
        Self::Checking,
        Self::Succeeded,
        Self::Failed,
        Self::Partly,
        Self::Refused,
        Self::Unknown,
    ];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::AwaitingConsent => "awaiting_consent",
            Self::Running => "running",
            Self::Checking => "checking",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Partly => "partly",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }

    /// The name people read.
    pub fn name(self) -> Text {
        match self {
            Self::Requested => Text::new("solicitada", "requested"),
            Self::AwaitingApproval => Text::new("por aprobar", "awaiting approval"),
            Self::Approved => Text::new("aprobada", "approved"),
            Self::Rejected => Text::new("rechazada", "rejected"),
            Self::Expired => Text::new("vencida", "expired"),
            Self::Cancelled => Text::new("cancelada", "cancelled"),
            Self::Queued => Text::new("en cola", "queued"),
            Self::Sent => Text::new("enviada", "sent"),
            Self::Accepted => Text::new("aceptada por el equipo", "accepted by the machine"),
            Self::AwaitingConsent => Text::new(
                "esperando el consentimiento del usuario",
                "awaiting the user's consent",
            ),
            Self::Running => Text::new("en ejecución", "running"),
            Self::Checking => Text::new("en verificación", "checking"),
            Self::Succeeded => Text::new("exitosa", "succeeded"),
            Self::Failed => Text::new("fallida", "failed"),
            Self::Partly => Text::new("parcial", "partly done"),
            Self::Refused => Text::new("rehusada por el equipo", "refused by the machine"),
            Self::Unknown => Text::new("desconocida", "unknown"),
        }
    }

    /// Whether nothing can follow. `unknown` is not final: the machine's journal may still answer.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Rejected
                | Self::Expired
                | Self::Cancelled
                | Self::Succeeded
                | Self::Failed
                | Self::Partly
                | Self::Refused
        )
    }

    /// Whether people still decide, and no machine has heard of it.
    pub fn is_undecided(self) -> bool {
        matches!(
            self,
            Self::Requested | Self::AwaitingApproval | Self::Approved
        )
    }
}

impl fmt::Display for OrderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OrderState {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| {
                let all = Self::ALL.map(Self::as_str).join(", ");
                Invalid::new(
                    "state",
                    format!("desconocido: use uno de {all}"),
                    format!("unknown: use one of {all}"),
                )
            })
    }
}

/// What happens to an order as a whole, or to its one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderEvent {
    /// The requester's signature alone is not enough.
    AskApproval,
    /// The signatures now suffice.
    Approve,
    /// Somebody entitled said no.
    Reject,
    /// A signature was taken back; the rest no longer suffices.
    Withdraw,
    /// Its targets were written down for delivery.
    Queue,
    /// Its validity ended.
    Expire,
    /// A person took it back.
    Cancel,
    /// Something happened on the way to, or at, the machine.
    Target(TargetEvent),
}

impl OrderEvent {
    /// Every event. `Expire` and `Cancel` appear twice, for the order and for its target; they mean the same.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::AskApproval,
            Self::Approve,
            Self::Reject,
            Self::Withdraw,
            Self::Queue,
            Self::Expire,
            Self::Cancel,
        ];
        all.extend(TargetEvent::ALL.map(Self::Target));
        all
    }

    /// The name people read.
    pub fn name(self) -> Text {
        match self {
            Self::AskApproval => Text::new("una petición de aprobación", "a request for approval"),
            Self::Approve => Text::new("una aprobación", "an approval"),
            Self::Reject => Text::new("un rechazo", "a rejection"),
            Self::Withdraw => Text::new(
                "el retiro de una aprobación",
                "the withdrawal of an approval",
            ),
            Self::Queue => Text::new("la puesta en cola", "queueing"),
            Self::Expire => TargetEvent::Expire.name(),
            Self::Cancel => TargetEvent::Cancel.name(),
            Self::Target(event) => event.name(),
        }
    }
}

impl From<TargetEvent> for OrderEvent {
    fn from(event: TargetEvent) -> Self {
        Self::Target(event)
    }
}

/// The state after `event`, or why it cannot be (code `ORDER_STATE`; `ORDER_RESULT_CONFLICT` when a machine contradicts
/// its final report). `Ok` with the same state means that nothing new was said.
pub fn transition(state: OrderState, event: OrderEvent) -> Result<OrderState, Refused> {
    use OrderEvent as E;
    use OrderState as S;
    match (state, event) {
        (S::Requested | S::AwaitingApproval, E::AskApproval) => Ok(S::AwaitingApproval),
        (S::Requested | S::AwaitingApproval | S::Approved, E::Approve) => Ok(S::Approved),
        (S::Requested | S::AwaitingApproval | S::Approved, E::Reject) => Ok(S::Rejected),
        (S::AwaitingApproval | S::Approved, E::Withdraw) => Ok(S::AwaitingApproval),
        (S::Approved | S::Queued, E::Queue) => Ok(S::Queued),
        (
            S::Requested | S::AwaitingApproval | S::Approved,
            E::Expire | E::Target(TargetEvent::Expire),
        ) => Ok(S::Expired),
        (
            S::Requested | S::AwaitingApproval | S::Approved,
            E::Cancel | E::Target(TargetEvent::Cancel),
        ) => Ok(S::Cancelled),
        // Said again, or a timer that comes late.
        (S::Rejected, E::Reject | E::Expire | E::Target(TargetEvent::Expire)) => Ok(S::Rejected),
        (_, E::Expire) => on_target(state, TargetEvent::Expire),
        (_, E::Cancel) => on_target(state, TargetEvent::Cancel),
        (_, E::Target(event)) => on_target(state, event),
        _ => Err(refuse(state, event)),
    }
}

fn on_target(state: OrderState, event: TargetEvent) -> Result<OrderState, Refused> {
    match TargetState::try_from(state) {
        Ok(target) => target_transition(target, event).map(OrderState::from),
        Err(_) => Err(refuse(state, event.into())),
    }
}

fn refuse(state: OrderState, event: OrderEvent) -> Refused {
    let (now, what) = (state.name(), event.name());
    let why = Text::new(
        format!(
            "El estado de la orden es «{}»; no admite {}.",
            now.es, what.es
        ),
        format!(
            "The order's state is \"{}\"; it does not admit {}.",
            now.en, what.en
        ),
    );
    let remedy = match state {
        _ if state.is_final() => Text::new("Solicite una orden nueva.", "Request a new order."),
        OrderState::Requested | OrderState::AwaitingApproval
            if matches!(event, OrderEvent::Target(_)) =>
        {
            Text::new(
                "Ningún equipo debía tenerla: revise de dónde viene.",
                "No machine should have it: look where this came from.",
            )
        }
        OrderState::Requested | OrderState::AwaitingApproval => {
            Text::new("Primero debe aprobarse.", "It must be approved first.")
        }
        OrderState::Approved if matches!(event, OrderEvent::Target(_)) => Text::new(
            "Ningún equipo debía tenerla: revise de dónde viene.",
            "No machine should have it: look where this came from.",
        ),
        OrderState::Approved => Text::new("Ya está aprobada.", "It is approved already."),
        OrderState::Unknown => Text::new(
            "Espere lo que diga el diario del equipo.",
            "Wait for what the machine's journal says.",
        ),
        _ => Text::new(
            "Ya salió de manos de las personas.",
            "It has left people's hands.",
        ),
    };
    Refused {
        code: "ORDER_STATE",
        why: why.and(&remedy),
    }
}

#[cfg(test)]
mod tests;
