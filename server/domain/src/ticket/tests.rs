use proptest::prelude::*;
use uuid::Uuid;

use super::*;

/// Every allowed (state, action) pair. What is not here must be refused.
const TABLE: &[(State, Action, State)] = {
    use Action as A;
    use State as S;
    &[
        (S::Registered, A::Classify, S::Classified),
        (S::Registered, A::Cancel, S::Cancelled),
        (S::Classified, A::Classify, S::Classified),
        (S::Classified, A::Assign, S::Assigned),
        (S::Classified, A::Take, S::Assigned),
        (S::Classified, A::Cancel, S::Cancelled),
        (S::Assigned, A::Classify, S::Assigned),
        (S::Assigned, A::Assign, S::Assigned),
        (S::Assigned, A::Take, S::Assigned),
        (S::Assigned, A::Start, S::InProgress),
        (S::Assigned, A::Hold, S::OnHold),
        (S::Assigned, A::ProposeSolution, S::Solved),
        (S::Assigned, A::Cancel, S::Cancelled),
        (S::InProgress, A::Classify, S::InProgress),
        (S::InProgress, A::Assign, S::Assigned),
        (S::InProgress, A::Take, S::Assigned),
        (S::InProgress, A::Hold, S::OnHold),
        (S::InProgress, A::ProposeSolution, S::Solved),
        (S::InProgress, A::Cancel, S::Cancelled),
        (S::OnHold, A::Classify, S::OnHold),
        (S::OnHold, A::Assign, S::OnHold),
        (S::OnHold, A::Take, S::OnHold),
        (S::OnHold, A::Resume, S::InProgress),
        (S::OnHold, A::Cancel, S::Cancelled),
        (S::Solved, A::ApproveSolution, S::Closed),
        (S::Solved, A::CloseBySilence, S::Closed),
        (S::Solved, A::CloseByLead, S::Closed),
        (S::Solved, A::RejectSolution, S::InProgress),
        (S::Solved, A::Reopen, S::InProgress),
        (S::Closed, A::Reopen, S::InProgress),
    ]
};

/// Recorded in every state, changing none.
const RECORDS: &[Action] = &[
    Action::Comment,
    Action::CommentInternally,
    Action::AttachDevice,
    Action::DetachDevice,
    Action::RecordOrder,
];

#[test]
fn every_pair_of_state_and_action() {
    let mut allowed = 0;
    for state in State::ALL {
        for action in Action::ALL {
            let expected = if RECORDS.contains(&action) {
                Some(state)
            } else {
                TABLE
                    .iter()
                    .find(|(from, by, _)| (*from, *by) == (state, action))
                    .map(|(_, _, to)| *to)
            };
            match (step(state, action), expected) {
                (Ok(to), Some(expected)) => {
                    assert_eq!(to, expected, "{state} {action:?}");
                    allowed += 1;
                }
                (Err(refused), None) => {
                    assert_eq!(refused.code, "TICKET_STATE");
                    assert!(refused.why.es.ends_with('.') && refused.why.en.ends_with('.'));
                }
                (got, expected) => panic!("{state} {action:?}: {got:?}, expected {expected:?}"),
            }
        }
    }
    assert_eq!(allowed, TABLE.len() + RECORDS.len() * State::ALL.len());
}

#[test]
fn refusals_say_what_to_do() {
    let mut lines = String::new();
    for state in State::ALL {
        for action in Action::ALL {
            if let Err(refused) = step(state, action) {
                lines.push_str(&format!("{}\n  {}\n", refused.why.es, refused.why.en));
            }
        }
    }
    insta::assert_snapshot!(lines);
}

#[test]
fn names_survive_text() {
    for state in State::ALL {
        assert_eq!(state.to_string().parse::<State>().unwrap(), state);
        assert_eq!(
            serde_json::to_string(&state).unwrap(),
            format!("\"{state}\"")
        );
    }
    for kind in Kind::ALL {
        assert_eq!(kind.to_string().parse::<Kind>().unwrap(), kind);
        assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
    }
    for action in Action::ALL {
        assert_eq!(
            serde_json::to_string(&action).unwrap(),
            format!("\"{}\"", action.as_str())
        );
    }
    assert!("Closed".parse::<State>().is_err());
}

fn id<T: From<Uuid>>(n: u128) -> T {
    Uuid::from_u128(n).into()
}

fn reason(text: &str) -> Reason {
    Reason::parse(text).unwrap()
}

fn body(text: &str) -> Body {
    Body::parse("text", text).unwrap()
}

fn registered() -> Event {
    Event::Registered {
        kind: Kind::Request,
        title: Title::parse("No imprime").unwrap(),
        description: body("Desde ayer"),
        requester: id(1),
        urgency: Level::MEDIUM,
        device: Some(id(10)),
    }
}

fn one_case() -> Vec<Event> {
    vec![
        registered(),
        Event::Classified {
            kind: Kind::Incident,
            category: Some(id(20)),
            urgency: Level::new(4).unwrap(),
            impact: Level::new(5).unwrap(),
        },
        Event::Assigned {
            assignee: id(2),
            group: None,
        },
        Event::Started,
        Event::Held {
            reason: reason("Espera un repuesto"),
        },
        Event::Commented {
            text: body("Llegó"),
            internal: true,
        },
        Event::Resumed,
        Event::OrderMoved {
            order: id(30),
            state: OrderState::Requested,
        },
        Event::OrderMoved {
            order: id(30),
            state: OrderState::Succeeded,
        },
        Event::DeviceAttached { device: id(10) },
        Event::DeviceAttached { device: id(11) },
        Event::DeviceDetached { device: id(10) },
        Event::SolutionProposed {
            solution: body("Se cambió el rodillo"),
        },
        Event::SolutionRejected {
            reason: reason("Sigue igual"),
        },
        Event::SolutionProposed {
            solution: body("Se cambió el fusor"),
        },
        Event::SolutionApproved,
    ]
}

#[test]
fn a_case_replays_to_its_end() {
    let ticket = replay(&one_case()).unwrap();
    assert_eq!(ticket.state, State::Closed);
    assert_eq!(ticket.kind, Kind::Incident);
    assert_eq!(ticket.priority, Some(Level::new(5).unwrap()));
    assert_eq!(ticket.assignee, Some(id(2)));
    assert_eq!(ticket.devices, vec![id(11)]);
    assert_eq!(ticket.orders, vec![(id(30), OrderState::Succeeded)]);
    assert_eq!(ticket.hold_reason, None);
    assert_eq!(
        ticket.solution.as_ref().map(Body::as_str),
        Some("Se cambió el fusor")
    );
    assert_eq!(ticket.reopened, 1);
}

#[test]
fn events_survive_json() {
    for event in one_case() {
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(
            serde_json::from_str::<Event>(&json).unwrap(),
            event,
            "{json}"
        );
    }
    assert!(serde_json::from_str::<Event>(r#"{"event":"held","reason":""}"#).is_err());
    assert!(serde_json::from_str::<Event>(r#"{"event":"held","reason":"x","more":1}"#).is_err());
}

#[test]
fn a_story_that_cannot_be_is_refused_where_it_breaks() {
    assert_eq!(replay(&[]), Err(ReplayError::Empty));
    assert_eq!(replay(&[Event::Started]), Err(ReplayError::NotRegistered));
    let twice = [registered(), registered()];
    assert!(matches!(
        replay(&twice),
        Err(ReplayError::Refused { at: 1, .. })
    ));
    let mut case = one_case();
    case.remove(2);
    assert!(matches!(
        replay(&case),
        Err(ReplayError::Refused { at: 2, .. })
    ));
}

#[test]
fn assigning_to_oneself_is_taking() {
    let event = Event::Assigned {
        assignee: id(2),
        group: None,
    };
    assert_eq!(event.action(Some(id(2))), Action::Take);
    assert_eq!(event.action(Some(id(3))), Action::Assign);
    assert_eq!(event.action(None), Action::Assign);
}

proptest! {
    /// Whatever people do, a cancelled ticket stays so, a closed one only reopens, and records change no state.
    #[test]
    fn ends_hold(actions in proptest::collection::vec(0usize..Action::ALL.len(), 0..60)) {
        let mut state = State::Registered;
        for action in actions.into_iter().map(|at| Action::ALL[at]) {
            if let Ok(next) = step(state, action) {
                prop_assert!(state != State::Cancelled || next == State::Cancelled);
                prop_assert!(state != State::Closed || next == State::Closed || action == Action::Reopen);
                prop_assert!(next != State::Solved || state == State::Solved || action == Action::ProposeSolution);
                prop_assert!(next != State::Closed || matches!(state, State::Solved | State::Closed));
                state = next;
            }
        }
    }
}
