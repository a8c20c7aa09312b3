//! Who may do what on whose ticket. This decides by person and ticket; whether the ticket's state allows it is
//! [`step`](super::step), and who may call an RPC at all is the server's role table.

use super::Action;
use crate::Refused;
use crate::role::{Role, Roles};

/// Who acts, seen from one ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// What happens by time or by a machine's report.
    System,
    /// Somebody with a log-in.
    Person {
        /// All their roles.
        roles: Roles,
        /// They are the one to be helped.
        is_requester: bool,
        /// The ticket is in their hands.
        is_assignee: bool,
    },
}

const STAFF: &[Role] = &[Role::Technician, Role::Lead, Role::Coordinator];
const LEADS: &[Role] = &[Role::Lead, Role::Coordinator];

/// Whether `actor` may do `action` on the ticket (code `TICKET_PERMISSION`).
///
/// - Who is auditor and nothing else only reads, also their own tickets; anybody else registers tickets.
/// - Leads and coordinators classify, assign, close and work on every ticket; a technician takes tickets and works on
///   those in their own hands.
/// - Only the requester approves or rejects, and never a solution of their own making: then the lead closes.
/// - Silence and machines' reports are the system's.
pub fn may(action: Action, actor: Actor) -> Result<(), Refused> {
    use Action as A;
    let (roles, is_requester, is_assignee) = match actor {
        Actor::System => {
            return match action {
                A::CloseBySilence | A::RecordOrder | A::Register => Ok(()),
                _ => Err(refuse(action, "una persona", "a person")),
            };
        }
        Actor::Person {
            roles,
            is_requester,
            is_assignee,
        } => (roles, is_requester, is_assignee),
    };
    if !roles.iter().any(|role| role != Role::Auditor) {
        return Err(refuse(
            action,
            "un rol distinto de auditor",
            "a role other than auditor",
        ));
    }
    let staff = roles.has_any(STAFF);
    let lead = roles.has_any(LEADS);
    let works = staff && is_assignee || lead;
    let (allowed, es, en) = match action {
        A::Register => (true, "", ""),
        A::Classify | A::Assign | A::CloseByLead => (
            lead,
            "un líder o el coordinador",
            "a lead or the coordinator",
        ),
        A::Take | A::CommentInternally | A::DetachDevice => (
            staff,
            "un técnico, un líder o el coordinador",
            "a technician, a lead or the coordinator",
        ),
        A::Start | A::Hold | A::Resume | A::ProposeSolution => (
            works,
            "el técnico que lo tiene asignado, un líder o el coordinador",
            "the technician it is assigned to, a lead or the coordinator",
        ),
        A::ApproveSolution | A::RejectSolution => (
            is_requester && !is_assignee,
            "quien lo solicitó, si no es también quien lo atendió (entonces lo cierra el líder)",
            "its requester, unless they attended it too (then the lead closes it)",
        ),
        A::Reopen => (
            is_requester || works,
            "quien lo solicitó, el técnico que lo tiene asignado, un líder o el coordinador",
            "its requester, the technician it is assigned to, a lead or the coordinator",
        ),
        A::Cancel => (
            is_requester || lead,
            "quien lo solicitó, un líder o el coordinador",
            "its requester, a lead or the coordinator",
        ),
        A::Comment | A::AttachDevice => (
            is_requester || staff,
            "quien lo solicitó o el personal de la mesa de ayuda",
            "its requester or the help desk's staff",
        ),
        A::CloseBySilence | A::RecordOrder => (false, "el sistema", "the system"),
    };
    if allowed {
        Ok(())
    } else {
        Err(refuse(action, es, en))
    }
}

/// Whether `actor` may read the ticket: its requester, its assignee, the help desk's staff, administrators and auditors.
/// (Internal comments are for everybody here but a mere requester.)
pub fn may_view(actor: Actor) -> bool {
    match actor {
        Actor::System => true,
        Actor::Person {
            roles,
            is_requester,
            is_assignee,
        } => {
            is_requester
                || is_assignee
                || roles.has_any(STAFF)
                || roles.has_any(&[Role::Administrator, Role::Auditor])
        }
    }
}

fn refuse(action: Action, es: &str, en: &str) -> Refused {
    let verb = action.name();
    Refused::new(
        "TICKET_PERMISSION",
        format!("Para {} este tiquete se necesita: {es}.", verb.es),
        format!("For this ticket to {} it takes {en}.", verb.en),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(role: Role, is_requester: bool, is_assignee: bool) -> Actor {
        Actor::Person {
            roles: role.into(),
            is_requester,
            is_assignee,
        }
    }

    fn allowed(actor: Actor) -> Vec<&'static str> {
        Action::ALL
            .into_iter()
            .filter(|&action| may(action, actor).is_ok())
            .map(Action::as_str)
            .collect()
    }

    #[test]
    fn the_whole_table() {
        let mut table = String::new();
        for role in Role::ALL {
            for (is_requester, is_assignee) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                let whose = match (is_requester, is_assignee) {
                    (false, false) => "other's",
                    (true, false) => "own",
                    (false, true) => "assigned",
                    (true, true) => "own and assigned",
                };
                let actions = allowed(person(role, is_requester, is_assignee)).join(" ");
                table.push_str(&format!("{role}, {whose}: {actions}\n"));
            }
        }
        table.push_str(&format!("system: {}\n", allowed(Actor::System).join(" ")));
        insta::assert_snapshot!(table);
    }

    #[test]
    fn nobody_approves_their_own_work() {
        for role in Role::ALL {
            assert!(may(Action::ApproveSolution, person(role, true, true)).is_err());
            assert!(may(Action::ApproveSolution, person(role, false, true)).is_err());
            assert!(may(Action::ApproveSolution, person(role, false, false)).is_err());
        }
        assert!(
            may(
                Action::ApproveSolution,
                person(Role::Requester, true, false)
            )
            .is_ok()
        );
    }

    #[test]
    fn auditors_read_and_change_nothing() {
        let auditor = person(Role::Auditor, false, false);
        assert!(may_view(auditor));
        assert!(allowed(auditor).is_empty());
        assert!(allowed(person(Role::Auditor, true, true)).is_empty());
        let nobody = Actor::Person {
            roles: Roles::NONE,
            is_requester: true,
            is_assignee: true,
        };
        assert!(allowed(nobody).is_empty());
        assert!(!may_view(person(Role::Requester, false, false)));
        assert!(may_view(person(Role::Requester, true, false)));
    }

    #[test]
    fn only_time_closes_by_silence() {
        for role in Role::ALL {
            assert!(may(Action::CloseBySilence, person(role, true, true)).is_err());
        }
        assert!(may(Action::CloseBySilence, Actor::System).is_ok());
    }
}
