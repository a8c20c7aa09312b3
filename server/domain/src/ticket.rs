//! A ticket's life: its states, what leads from one to the next, and who may do it.
//!
//! ```text
//!   register
//!      v        classify              assign, take             start
//!  registered ───────────> classified ────────────> assigned ──────────> in_progress <── on_hold, solved, closed
//!                                                     ^   │ ^               │
//!                                        assign again └───┘ └─ assign, take ┤
//!                                                         │                 │
//!   on_hold <── hold ── assigned, in_progress             │ propose_solution│
//!      └── resume ──> in_progress                         └─────────┬───────┘
//!                                                                   v
//!                  in_progress <── reject_solution, reopen ────── solved
//!                                                                   │
//!                                                                   │ approve_solution, close_by_silence,
//!                                                                   v close_by_lead
//!                                     in_progress <── reopen ── closed
//!
//!  registered, classified, assigned, in_progress, on_hold ── cancel ──> cancelled
//! ```
//! `classify` again (another priority, another category) keeps the state from classified to on_hold; `assign` on hold
//! keeps it waiting in other hands. A solved ticket is answered, not cancelled. A cancelled one stays cancelled.
//! Comments, devices and orders are recorded in every state and change none: a result may arrive after closing.

mod fields;
mod number;
mod permission;
mod priority;
mod replay;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use fields::{Body, DESCRIPTION_MAX_CHARS, REASON_MAX_CHARS, Reason, TITLE_CHARS, Title};
pub use number::TicketNumber;
pub use permission::{Actor, may, may_view};
pub use priority::{Level, priority};
pub use replay::{ReplayError, TicketState, apply, replay};

use crate::ids::{CategoryId, DeviceId, GroupId, OrderId, PersonId};
use crate::order::OrderState;
use crate::{Invalid, Refused, Text};

/// Where a ticket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Asked for, seen by nobody yet.
    Registered,
    /// Kind, category and priority are decided.
    Classified,
    /// In the hands of a technician who has not begun.
    Assigned,
    /// Being worked on.
    InProgress,
    /// Waiting for the requester, a part, a provider or an authorisation.
    OnHold,
    /// A solution is proposed; the requester has the word.
    Solved,
    /// Ended: approved, silent, or closed by the lead.
    Closed,
    /// Ended without a solution.
    Cancelled,
}

impl State {
    /// Every state, in the order of the enum.
    pub const ALL: [Self; 8] = [
        Self::Registered,
        Self::Classified,
        Self::Assigned,
        Self::InProgress,
        Self::OnHold,
        Self::Solved,
        Self::Closed,
        Self::Cancelled,
    ];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Classified => "classified",
            Self::Assigned => "assigned",
            Self::InProgress => "in_progress",
            Self::OnHold => "on_hold",
            Self::Solved => "solved",
            Self::Closed => "closed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The name people read.
    pub fn name(self) -> Text {
        match self {
            Self::Registered => Text::new("registrado", "registered"),
            Self::Classified => Text::new("clasificado", "classified"),
            Self::Assigned => Text::new("asignado", "assigned"),
            Self::InProgress => Text::new("en curso", "in progress"),
            Self::OnHold => Text::new("en espera", "on hold"),
            Self::Solved => Text::new("solucionado", "solved"),
            Self::Closed => Text::new("cerrado", "closed"),
            Self::Cancelled => Text::new("cancelado", "cancelled"),
        }
    }

    /// Whether the help desk still owes something. A solved ticket is open: the requester may reject.
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Closed | Self::Cancelled)
    }
}

/// What a ticket is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Something that worked does not.
    Incident,
    /// Something is asked for.
    Request,
    /// Planned work on equipment.
    Maintenance,
}

impl Kind {
    /// Every kind, in the order of the enum.
    pub const ALL: [Self; 3] = [Self::Incident, Self::Request, Self::Maintenance];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Request => "request",
            Self::Maintenance => "maintenance",
        }
    }

    /// The name people read.
    pub fn name(self) -> Text {
        match self {
            Self::Incident => Text::new("incidente", "incident"),
            Self::Request => Text::new("requerimiento", "request"),
            Self::Maintenance => Text::new("mantenimiento", "maintenance"),
        }
    }
}

/// What happened to a ticket, with what was said. This is the record: the state is what these events lead to.
/// In JSON an object with `event` as tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The first event of every ticket, and only the first.
    Registered {
        /// Asked for as.
        kind: Kind,
        /// One line.
        title: Title,
        /// In the requester's words.
        description: Body,
        /// Who is to be helped, and has the word on the solution.
        requester: PersonId,
        /// How much it presses, as the requester sees it.
        urgency: Level,
        /// What it is about, when known.
        device: Option<DeviceId>,
    },
    /// Kind, category and priority decided, or decided anew.
    Classified {
        /// Decided kind.
        kind: Kind,
        /// Entry of the service catalogue.
        category: Option<CategoryId>,
        /// Decided urgency.
        urgency: Level,
        /// How much of the entity it touches.
        impact: Level,
    },
    /// Given to a technician.
    Assigned {
        /// Who attends it now.
        assignee: PersonId,
        /// The group they attend it for.
        group: Option<GroupId>,
    },
    /// Work begins.
    Started,
    /// Work waits.
    Held {
        /// For whom or what.
        reason: Reason,
    },
    /// Work goes on.
    Resumed,
    /// A solution is offered to the requester.
    SolutionProposed {
        /// What was done.
        solution: Body,
    },
    /// The requester agrees: closed.
    SolutionApproved,
    /// The requester disagrees.
    SolutionRejected {
        /// What is still wrong.
        reason: Reason,
    },
    /// Nobody answered in the time the entity allows.
    ClosedBySilence,
    /// The lead closes without the requester's answer.
    ClosedByLead {
        /// The motive, which stays on record.
        reason: Reason,
    },
    /// Ended without a solution.
    Cancelled {
        /// The motive, which stays on record.
        reason: Reason,
    },
    /// Not solved after all.
    Reopened {
        /// What came back.
        reason: Reason,
    },
    /// Somebody said something.
    Commented {
        /// What was said.
        text: Body,
        /// Not shown to the requester.
        internal: bool,
    },
    /// The ticket is about this device too.
    DeviceAttached {
        /// Which.
        device: DeviceId,
    },
    /// It is not about this device.
    DeviceDetached {
        /// Which.
        device: DeviceId,
    },
    /// An order of this ticket moved.
    OrderMoved {
        /// Which.
        order: OrderId,
        /// Where to.
        state: OrderState,
    },
}

/// An event without what was said: what one asks permission for, and what the table of transitions is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Make a new ticket.
    Register,
    /// Decide kind, category, urgency, impact.
    Classify,
    /// Give it to a technician.
    Assign,
    /// Take it oneself.
    Take,
    /// Begin to work.
    Start,
    /// Wait.
    Hold,
    /// Go on.
    Resume,
    /// Offer a solution.
    ProposeSolution,
    /// Accept it.
    ApproveSolution,
    /// Refuse it.
    RejectSolution,
    /// Close because nobody answered.
    CloseBySilence,
    /// Close without the requester.
    CloseByLead,
    /// End without a solution.
    Cancel,
    /// Bring it back.
    Reopen,
    /// Say something everybody on the ticket reads.
    Comment,
    /// Say something the requester does not read.
    CommentInternally,
    /// Attach a device.
    AttachDevice,
    /// Detach a device.
    DetachDevice,
    /// Note that an order moved.
    RecordOrder,
}

impl Action {
    /// Every action, in the order of the enum.
    pub const ALL: [Self; 19] = [
        Self::Register,
        Self::Classify,
        Self::Assign,
        Self::Take,
        Self::Start,
        Self::Hold,
        Self::Resume,
        Self::ProposeSolution,
        Self::ApproveSolution,
        Self::RejectSolution,
        Self::CloseBySilence,
        Self::CloseByLead,
        Self::Cancel,
        Self::Reopen,
        Self::Comment,
        Self::CommentInternally,
        Self::AttachDevice,
        Self::DetachDevice,
        Self::RecordOrder,
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Classify => "classify",
            Self::Assign => "assign",
            Self::Take => "take",
            Self::Start => "start",
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::ProposeSolution => "propose_solution",
            Self::ApproveSolution => "approve_solution",
            Self::RejectSolution => "reject_solution",
            Self::CloseBySilence => "close_by_silence",
            Self::CloseByLead => "close_by_lead",
            Self::Cancel => "cancel",
            Self::Reopen => "reopen",
            Self::Comment => "comment",
            Self::CommentInternally => "comment_internally",
            Self::AttachDevice => "attach_device",
            Self::DetachDevice => "detach_device",
            Self::RecordOrder => "record_order",
        }
    }

    /// The verb people read, after "cannot" and "no se puede".
    pub fn name(self) -> Text {
        match self {
            Self::Register => Text::new("registrar", "be registered"),
            Self::Classify => Text::new("clasificar", "be classified"),
            Self::Assign => Text::new("asignar", "be assigned"),
            Self::Take => Text::new("tomar", "be taken"),
            Self::Start => Text::new("iniciar", "be started"),
            Self::Hold => Text::new("poner en espera", "be put on hold"),
            Self::Resume => Text::new("reanudar", "be resumed"),
            Self::ProposeSolution => Text::new("solucionar", "be solved"),
            Self::ApproveSolution => Text::new("aprobar", "be approved"),
            Self::RejectSolution => Text::new("rechazar", "be rejected"),
            Self::CloseBySilence => Text::new("cerrar por silencio", "be closed by silence"),
            Self::CloseByLead => Text::new("cerrar", "be closed"),
            Self::Cancel => Text::new("cancelar", "be cancelled"),
            Self::Reopen => Text::new("reabrir", "be reopened"),
            Self::Comment => Text::new("comentar", "be commented on"),
            Self::CommentInternally => Text::new("anotar", "be annotated"),
            Self::AttachDevice => Text::new("relacionar con un equipo", "be linked to a device"),
            Self::DetachDevice => Text::new("separar de un equipo", "be unlinked from a device"),
            Self::RecordOrder => Text::new("relacionar con una orden", "be linked to an order"),
        }
    }
}

impl Event {
    /// What this event does, when `by` caused it (`None`: the system). Assigning to oneself is taking.
    pub fn action(&self, by: Option<PersonId>) -> Action {
        match self {
            Self::Registered { .. } => Action::Register,
            Self::Classified { .. } => Action::Classify,
            Self::Assigned { assignee, .. } if by == Some(*assignee) => Action::Take,
            Self::Assigned { .. } => Action::Assign,
            Self::Started => Action::Start,
            Self::Held { .. } => Action::Hold,
            Self::Resumed => Action::Resume,
            Self::SolutionProposed { .. } => Action::ProposeSolution,
            Self::SolutionApproved => Action::ApproveSolution,
            Self::SolutionRejected { .. } => Action::RejectSolution,
            Self::ClosedBySilence => Action::CloseBySilence,
            Self::ClosedByLead { .. } => Action::CloseByLead,
            Self::Cancelled { .. } => Action::Cancel,
            Self::Reopened { .. } => Action::Reopen,
            Self::Commented {
                internal: false, ..
            } => Action::Comment,
            Self::Commented { internal: true, .. } => Action::CommentInternally,
            Self::DeviceAttached { .. } => Action::AttachDevice,
            Self::DeviceDetached { .. } => Action::DetachDevice,
            Self::OrderMoved { .. } => Action::RecordOrder,
        }
    }
}

/// The state after `event`, or why it cannot happen now (code `TICKET_STATE`).
pub fn transition(state: State, event: &Event) -> Result<State, Refused> {
    step(state, event.action(None))
}

/// The same for a bare action: what a page asks before it shows a button.
pub fn step(state: State, action: Action) -> Result<State, Refused> {
    use Action as A;
    use State as S;
    match (action, state) {
        (
            A::Comment | A::CommentInternally | A::AttachDevice | A::DetachDevice | A::RecordOrder,
            same,
        ) => Ok(same),
        (A::Classify, S::Registered) => Ok(S::Classified),
        (A::Classify, S::Classified | S::Assigned | S::InProgress | S::OnHold) => Ok(state),
        (A::Assign | A::Take, S::Classified | S::Assigned | S::InProgress) => Ok(S::Assigned),
        (A::Assign | A::Take, S::OnHold) => Ok(S::OnHold),
        (A::Start, S::Assigned) => Ok(S::InProgress),
        (A::Hold, S::Assigned | S::InProgress) => Ok(S::OnHold),
        (A::Resume, S::OnHold) => Ok(S::InProgress),
        (A::ProposeSolution, S::Assigned | S::InProgress) => Ok(S::Solved),
        (A::ApproveSolution | A::CloseBySilence | A::CloseByLead, S::Solved) => Ok(S::Closed),
        (A::RejectSolution, S::Solved) => Ok(S::InProgress),
        (A::Reopen, S::Solved | S::Closed) => Ok(S::InProgress),
        (A::Cancel, S::Registered | S::Classified | S::Assigned | S::InProgress | S::OnHold) => {
            Ok(S::Cancelled)
        }
        _ => Err(refuse(state, action)),
    }
}

fn refuse(state: State, action: Action) -> Refused {
    let (verb, now) = (action.name(), state.name());
    let why = Text::new(
        format!("No se puede {} un tiquete {}.", verb.es, now.es),
        format!("A ticket that is {} cannot {}.", now.en, verb.en),
    );
    Refused {
        code: "TICKET_STATE",
        why: why.and(&remedy(state, action)),
    }
}

/// What to do instead.
fn remedy(state: State, action: Action) -> Text {
    use Action as A;
    use State as S;
    match (state, action) {
        (_, A::Register) => Text::new("Ya está registrado.", "It is registered already."),
        (S::Cancelled, _) => Text::new("Registre uno nuevo.", "Register a new one."),
        (S::Closed, _) => Text::new(
            "Reábralo o registre uno nuevo.",
            "Reopen it or register a new one.",
        ),
        (S::Registered, A::Reopen)
        | (S::Classified | S::Assigned | S::InProgress | S::OnHold, A::Reopen) => {
            Text::new("Sigue abierto.", "It is still open.")
        }
        (S::Registered, _) => Text::new("Primero clasifíquelo.", "Classify it first."),
        (S::Classified, _) => Text::new("Primero asígnelo.", "Assign it first."),
        (S::Assigned, A::Resume) => Text::new("Inícielo.", "Start it."),
        (S::InProgress, A::Start | A::Resume) => {
            Text::new("Ya está en curso.", "It is in progress already.")
        }
        (S::OnHold, A::Hold) => Text::new("Ya está en espera.", "It is on hold already."),
        (S::OnHold, _) => Text::new("Primero reanúdelo.", "Resume it first."),
        (S::Assigned | S::InProgress, _) => Text::new(
            "Primero proponga una solución.",
            "Propose a solution first.",
        ),
        (S::Solved, _) => Text::new(
            "Apruebe o rechace la solución, o reábralo.",
            "Approve or reject the solution, or reopen it.",
        ),
    }
}

macro_rules! text_form {
    ($type:ty, $field:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::ALL
                    .into_iter()
                    .find(|one| one.as_str() == text)
                    .ok_or_else(|| {
                        let all = Self::ALL.map(Self::as_str).join(", ");
                        Invalid::new(
                            $field,
                            format!("desconocido: use uno de {all}"),
                            format!("unknown: use one of {all}"),
                        )
                    })
            }
        }
    };
}

text_form!(State, "state");
text_form!(Kind, "kind");

#[cfg(test)]
mod tests;
