//! One machine's part of an order, as the coordinator knows it: what it sent and what the machine reported.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::OrderState;
use crate::{Invalid, Refused, Text};

/// Where an order stands at one machine: the order's states from `queued` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// Waits for the machine to be there.
    Queued,
    /// On its way.
    Sent,
    /// In the machine's journal.
    Accepted,
    /// The person at the machine is asked.
    AwaitingConsent,
    /// Its steps are being carried out.
    Running,
    /// The check afterwards is being made.
    Checking,
    /// The check afterwards holds.
    Succeeded,
    /// A step or the check did not hold.
    Failed,
    /// Some of it held.
    Partly,
    /// The machine would not, naming the rule.
    Refused,
    /// It may have run, and nobody can say with what result.
    Unknown,
    /// Its time ran out before it was sent.
    Expired,
    /// Taken back before it began.
    Cancelled,
}

impl TargetState {
    /// Every state, in the order of the enum.
    pub const ALL: [Self; 13] = [
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
        Self::Expired,
        Self::Cancelled,
    ];

    /// The name in the API and in the database: the order state's.
    pub fn as_str(self) -> &'static str {
        OrderState::from(self).as_str()
    }

    /// The name people read.
    pub fn name(self) -> Text {
        OrderState::from(self).name()
    }

    /// Whether nothing can follow. `unknown` is not final.
    pub fn is_final(self) -> bool {
        OrderState::from(self).is_final()
    }

    /// How far along, for states on the way; `None` for the others.
    fn rank(self) -> Option<u8> {
        match self {
            Self::Queued => Some(0),
            Self::Sent => Some(1),
            Self::Accepted => Some(2),
            Self::AwaitingConsent => Some(3),
            Self::Running => Some(4),
            Self::Checking => Some(5),
            _ => None,
        }
    }
}

impl From<TargetState> for OrderState {
    fn from(state: TargetState) -> Self {
        match state {
            TargetState::Queued => Self::Queued,
            TargetState::Sent => Self::Sent,
            TargetState::Accepted => Self::Accepted,
            TargetState::AwaitingConsent => Self::AwaitingConsent,
            TargetState::Running => Self::Running,
            TargetState::Checking => Self::Checking,
            TargetState::Succeeded => Self::Succeeded,
            TargetState::Failed => Self::Failed,
            TargetState::Partly => Self::Partly,
            TargetState::Refused => Self::Refused,
            TargetState::Unknown => Self::Unknown,
            TargetState::Expired => Self::Expired,
            TargetState::Cancelled => Self::Cancelled,
        }
    }
}

/// The order's states before delivery belong to no machine.
impl TryFrom<OrderState> for TargetState {
    type Error = Invalid;

    fn try_from(state: OrderState) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|&target| OrderState::from(target) == state)
            .ok_or_else(|| {
                Invalid::new(
                    "state",
                    "la orden aún no tiene equipos en cola",
                    "the order has no machines in the queue yet",
                )
            })
    }
}

impl fmt::Display for TargetState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TargetState {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::try_from(text.parse::<OrderState>()?)
    }
}

/// What the coordinator did, or what the machine reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetEvent {
    /// Coordinator: about to be sent (recorded before a byte leaves). Sending again what was not confirmed is allowed:
    /// the machine's journal keeps it from running twice.
    Send,
    /// Machine: its journal has never seen the order.
    NotReceived,
    /// Machine: verified and in the journal.
    Accept,
    /// Machine: asking the person.
    AskConsent,
    /// Machine: the first step may have begun.
    Run,
    /// Machine: steps done, checking.
    Check,
    /// Machine, final: the check holds.
    Succeed,
    /// Machine, final: a step or the check did not hold.
    Fail,
    /// Machine, final: some of it held.
    Partly,
    /// Machine, final: not authorised, not consented, or against local policy; the result names the rule.
    Refuse,
    /// Machine, final: cancelled before it began.
    ReportCancelled,
    /// Machine: it may have begun, and the journal cannot say how it ended.
    ReportUnknown,
    /// Coordinator: the machine has been silent for too long.
    LoseContact,
    /// Coordinator: the order's validity ended.
    Expire,
    /// Coordinator: a person took it back.
    Cancel,
}

impl TargetEvent {
    /// Every event, in the order of the enum.
    pub const ALL: [Self; 15] = [
        Self::Send,
        Self::NotReceived,
        Self::Accept,
        Self::AskConsent,
        Self::Run,
        Self::Check,
        Self::Succeed,
        Self::Fail,
        Self::Partly,
        Self::Refuse,
        Self::ReportCancelled,
        Self::ReportUnknown,
        Self::LoseContact,
        Self::Expire,
        Self::Cancel,
    ];

    /// The name people read.
    pub fn name(self) -> Text {
        match self {
            Self::Send => Text::new("un envío", "sending"),
            Self::NotReceived => {
                Text::new("el informe «no recibida»", "the report \"not received\"")
            }
            Self::Accept => Text::new("el informe «aceptada»", "the report \"accepted\""),
            Self::AskConsent => Text::new(
                "el informe «pidiendo consentimiento»",
                "the report \"asking for consent\"",
            ),
            Self::Run => Text::new("el informe «en ejecución»", "the report \"running\""),
            Self::Check => Text::new("el informe «en verificación»", "the report \"checking\""),
            Self::Succeed => Text::new("el informe «exitosa»", "the report \"succeeded\""),
            Self::Fail => Text::new("el informe «fallida»", "the report \"failed\""),
            Self::Partly => Text::new("el informe «parcial»", "the report \"partly done\""),
            Self::Refuse => Text::new("el informe «rehusada»", "the report \"refused\""),
            Self::ReportCancelled => Text::new(
                "el informe «cancelada en el equipo»",
                "the report \"cancelled at the machine\"",
            ),
            Self::ReportUnknown => Text::new(
                "el informe «resultado desconocido»",
                "the report \"result unknown\"",
            ),
            Self::LoseContact => Text::new("la pérdida de contacto", "losing contact"),
            Self::Expire => Text::new("el vencimiento", "expiry"),
            Self::Cancel => Text::new("la cancelación", "cancelling"),
        }
    }

    /// The state a machine's report tells of.
    fn reported(self) -> Option<TargetState> {
        match self {
            Self::Accept => Some(TargetState::Accepted),
            Self::AskConsent => Some(TargetState::AwaitingConsent),
            Self::Run => Some(TargetState::Running),
            Self::Check => Some(TargetState::Checking),
            Self::Succeed => Some(TargetState::Succeeded),
            Self::Fail => Some(TargetState::Failed),
            Self::Partly => Some(TargetState::Partly),
            Self::Refuse => Some(TargetState::Refused),
            Self::ReportCancelled => Some(TargetState::Cancelled),
            Self::ReportUnknown => Some(TargetState::Unknown),
            Self::Send | Self::NotReceived | Self::LoseContact | Self::Expire | Self::Cancel => {
                None
            }
        }
    }
}

/// The machine's state after `event`, or why it cannot be. `Ok` with the same state: nothing new was said.
pub fn target_transition(state: TargetState, event: TargetEvent) -> Result<TargetState, Refused> {
    use TargetEvent as E;
    use TargetState as S;
    if let Some(reported) = event.reported() {
        return report(state, reported).ok_or_else(|| refuse(state, event));
    }
    let at_machine = matches!(
        state,
        S::Accepted | S::AwaitingConsent | S::Running | S::Checking
    );
    match (event, state) {
        (E::Send, S::Queued | S::Sent) => Ok(S::Sent),
        // Only what the machine never confirmed goes back into the queue. Once it has confirmed, a journal that knows
        // nothing was lost or rolled back, and proves nothing about what ran.
        (E::NotReceived, S::Queued | S::Sent) => Ok(S::Queued),
        (E::NotReceived, _) if at_machine || state == S::Unknown => Ok(S::Unknown),
        // Not confirmed is not lost: it waits for the machine to come back, or for its validity to end.
        (E::LoseContact, S::Queued | S::Sent | S::Unknown) => Ok(state),
        (E::LoseContact, _) if at_machine => Ok(S::Unknown),
        (E::Expire, S::Queued | S::Expired) => Ok(S::Expired),
        // Sent and never confirmed: it may have run before its time was over.
        (E::Expire, S::Sent | S::Unknown) => Ok(S::Unknown),
        (E::Cancel, S::Queued | S::Cancelled) => Ok(S::Cancelled),
        // Late timers and repeated questions about what is over say nothing new.
        (E::LoseContact | E::Expire | E::NotReceived, _) if state.is_final() => Ok(state),
        _ => Err(refuse(state, event)),
    }
}

/// What a machine's report makes of a state. `None`: it contradicts what is known.
fn report(state: TargetState, reported: TargetState) -> Option<TargetState> {
    if state == reported {
        return Some(state);
    }
    match (state.rank(), reported.rank()) {
        // On the way, a step told: forward counts, an earlier one told late does not.
        (Some(now), Some(told)) => Some(if told > now { reported } else { state }),
        // On the way, an end told. From `queued` too: after a restored backup the machine knows more than the record.
        (Some(_), None) => Some(reported),
        // The machine is back and still at it.
        (None, Some(_)) if state == TargetState::Unknown => Some(reported),
        (None, None) if state == TargetState::Unknown => Some(reported),
        // It ended; steps told late, and "unknown" told before the journal answered, change nothing. What expired was
        // never sent.
        (None, Some(_)) if state != TargetState::Expired => Some(state),
        (None, None) if reported == TargetState::Unknown && state != TargetState::Expired => {
            Some(state)
        }
        _ => None,
    }
}

fn refuse(state: TargetState, event: TargetEvent) -> Refused {
    let (now, what) = (state.name(), event.name());
    if let Some(told) = event.reported().filter(|_| state.is_final()) {
        let told = told.name();
        return Refused::new(
            "ORDER_RESULT_CONFLICT",
            format!(
                "El equipo informa «{}» de una orden que ya terminó como «{}»; lo primero queda. Revise el diario del equipo.",
                told.es, now.es
            ),
            format!(
                "The machine reports \"{}\" for an order that ended as \"{}\"; the first stays. Look into the machine's journal.",
                told.en, now.en
            ),
        );
    }
    let remedy = match (state, event) {
        (_, TargetEvent::Cancel) if !state.is_final() => Text::new(
            "Pida al equipo que la cancele; su informe decide.",
            "Ask the machine to cancel it; its report decides.",
        ),
        (_, TargetEvent::Expire) => Text::new(
            "El equipo ya la tiene; su informe decide.",
            "The machine has it already; its report decides.",
        ),
        (TargetState::Unknown, _) => Text::new(
            "Nunca se envía de nuevo: espere lo que diga el diario del equipo.",
            "It is never sent again: wait for what the machine's journal says.",
        ),
        _ if state.is_final() => Text::new("Solicite una orden nueva.", "Request a new order."),
        _ => Text::new("El equipo ya la tiene.", "The machine has it already."),
    };
    let why = Text::new(
        format!(
            "En este equipo el estado de la orden es «{}»; no admite {}.",
            now.es, what.es
        ),
        format!(
            "At this machine the order's state is \"{}\"; it does not admit {}.",
            now.en, what.en
        ),
    );
    Refused {
        code: "ORDER_STATE",
        why: why.and(&remedy),
    }
}

/// What the order as a whole shows, given all its machines. `None` without machines.
///
/// - While some are on their way: the furthest step among those; but `running` when others have ended and the rest only
///   waits, for the order is under way.
/// - When none is: `unknown` if any is, for the order still owes an answer; else the state they share; else `partly` if
///   anything was achieved anywhere; else the worst, in the order failed, refused, expired, cancelled.
///
/// The order of the machines does not matter, and the result is final exactly when every machine's state is.
pub fn aggregate(targets: &[TargetState]) -> Option<OrderState> {
    use TargetState as S;
    let first = *targets.first()?;
    let any = |state: S| targets.contains(&state);
    let furthest = targets
        .iter()
        .copied()
        .filter(|state| state.rank().is_some())
        .max_by_key(|state| state.rank());
    if let Some(furthest) = furthest {
        let begun = targets.iter().any(|state| state.rank().is_none());
        let waits = matches!(furthest, S::Queued | S::Sent);
        return Some(if begun && waits {
            OrderState::Running
        } else {
            furthest.into()
        });
    }
    if any(S::Unknown) {
        return Some(OrderState::Unknown);
    }
    if targets.iter().all(|&state| state == first) {
        return Some(first.into());
    }
    if any(S::Succeeded) || any(S::Partly) {
        return Some(OrderState::Partly);
    }
    [S::Failed, S::Refused, S::Expired, S::Cancelled]
        .into_iter()
        .find(|&state| any(state))
        .map(OrderState::from)
}
