use proptest::prelude::*;

use super::*;

/// The approval phase: what changes. What repeats is in [`REPEATS`].
const DECISIONS: &[(OrderState, OrderEvent, OrderState)] = {
    use OrderEvent as E;
    use OrderState as S;
    &[
        (S::Requested, E::AskApproval, S::AwaitingApproval),
        (S::Requested, E::Approve, S::Approved),
        (S::Requested, E::Reject, S::Rejected),
        (S::Requested, E::Expire, S::Expired),
        (S::Requested, E::Cancel, S::Cancelled),
        (S::AwaitingApproval, E::Approve, S::Approved),
        (S::AwaitingApproval, E::Reject, S::Rejected),
        (S::AwaitingApproval, E::Expire, S::Expired),
        (S::AwaitingApproval, E::Cancel, S::Cancelled),
        (S::Approved, E::Withdraw, S::AwaitingApproval),
        (S::Approved, E::Reject, S::Rejected),
        (S::Approved, E::Queue, S::Queued),
        (S::Approved, E::Expire, S::Expired),
        (S::Approved, E::Cancel, S::Cancelled),
    ]
};

/// Said again: `Ok`, and nothing changes.
const REPEATS: &[(OrderState, OrderEvent)] = {
    use OrderEvent as E;
    use OrderState as S;
    &[
        (S::AwaitingApproval, E::AskApproval),
        (S::AwaitingApproval, E::Withdraw),
        (S::Approved, E::Approve),
        (S::Rejected, E::Reject),
        (S::Rejected, E::Expire),
        (S::Queued, E::Queue),
    ]
};

/// One machine, a row per state and a column per event, as a person would draw it. `.`: nothing new. `-`: refused.
/// `!`: refused as a contradiction of the final result. A name: the state that follows.
const MACHINE: &str = "
            Send    NotRecv Accept   AskCons  Run     Check    Succeed   Fail   Partly Refuse  RepCanc   RepUnk  Lose    Expire  Cancel
queued      sent    .       accepted awaiting running checking succeeded failed partly refused cancelled unknown .       expired cancelled
sent        .       queued  accepted awaiting running checking succeeded failed partly refused cancelled unknown .       unknown -
accepted    -       unknown .        awaiting running checking succeeded failed partly refused cancelled unknown unknown -       -
awaiting    -       unknown .        .        running checking succeeded failed partly refused cancelled unknown unknown -       -
running     -       unknown .        .        .       checking succeeded failed partly refused cancelled unknown unknown -       -
checking    -       unknown .        .        .       .        succeeded failed partly refused cancelled unknown unknown -       -
succeeded   -       .       .        .        .       .        .         !      !      !       !         .       .       .       -
failed      -       .       .        .        .       .        !         .      !      !       !         .       .       .       -
partly      -       .       .        .        .       .        !         !      .      !       !         .       .       .       -
refused     -       .       .        .        .       .        !         !      !      .       !         .       .       .       -
unknown     -       .       accepted awaiting running checking succeeded failed partly refused cancelled .       .       .       -
expired     -       .       !        !        !       !        !         !      !      !       !         !       .       .       -
cancelled   -       .       .        .        .       .        !         !      !      !       .         .       .       .       .
";

fn state(name: &str) -> TargetState {
    if name == "awaiting" {
        TargetState::AwaitingConsent
    } else {
        name.parse().unwrap()
    }
}

fn machine() -> Vec<(TargetState, TargetEvent, String)> {
    let mut cells = Vec::new();
    for line in MACHINE.lines().skip(2) {
        let mut words = line.split_whitespace();
        let from = state(words.next().unwrap());
        let row: Vec<&str> = words.collect();
        assert_eq!(row.len(), TargetEvent::ALL.len(), "{line}");
        cells.extend(
            row.into_iter()
                .zip(TargetEvent::ALL)
                .map(|(cell, event)| (from, event, cell.to_owned())),
        );
    }
    assert_eq!(cells.len(), TargetState::ALL.len() * TargetEvent::ALL.len());
    cells
}

#[test]
fn every_pair_of_machine_state_and_event() {
    for (from, event, cell) in machine() {
        let got = target_transition(from, event);
        match cell.as_str() {
            "." => assert_eq!(got, Ok(from), "{from} {event:?}"),
            "-" => assert_eq!(got.unwrap_err().code, "ORDER_STATE", "{from} {event:?}"),
            "!" => assert_eq!(
                got.unwrap_err().code,
                "ORDER_RESULT_CONFLICT",
                "{from} {event:?}"
            ),
            name => assert_eq!(got, Ok(state(name)), "{from} {event:?}"),
        }
    }
}

#[test]
fn every_pair_of_order_state_and_event() {
    let machine = machine();
    for from in OrderState::ALL {
        for event in OrderEvent::all() {
            let got = transition(from, event);
            // Expiring and cancelling mean the same whether said of the order or of its machine.
            let plain = match event {
                OrderEvent::Target(TargetEvent::Expire) => OrderEvent::Expire,
                OrderEvent::Target(TargetEvent::Cancel) => OrderEvent::Cancel,
                other => other,
            };
            let as_target = match event {
                OrderEvent::Target(event) => Some(event),
                OrderEvent::Expire => Some(TargetEvent::Expire),
                OrderEvent::Cancel => Some(TargetEvent::Cancel),
                _ => None,
            };
            let decided = DECISIONS
                .iter()
                .find(|(state, by, _)| (*state, *by) == (from, plain))
                .map(|(_, _, to)| *to);
            let at_machine = TargetState::try_from(from).ok().zip(as_target);
            if let Some(to) = decided {
                assert_eq!(got, Ok(to), "{from} {event:?}");
            } else if REPEATS.contains(&(from, plain)) {
                assert_eq!(got, Ok(from), "{from} {event:?}");
            } else if let Some((target, by)) = at_machine {
                let (_, _, cell) = machine
                    .iter()
                    .find(|(state, event, _)| (*state, *event) == (target, by))
                    .unwrap();
                match (cell.as_str(), got) {
                    (".", Ok(to)) => assert_eq!(to, from, "{event:?}"),
                    ("-" | "!", Err(_)) => {}
                    (name, Ok(to)) => assert_eq!(to, state(name).into(), "{from} {event:?}"),
                    (cell, got) => panic!("{from} {event:?}: {got:?}, expected {cell}"),
                }
            } else {
                let refused = got.expect_err(&format!("{from} {event:?}"));
                assert_eq!(refused.code, "ORDER_STATE");
            }
        }
    }
}

#[test]
fn refusals_in_words() {
    let mut lines = String::new();
    for (from, event) in [
        (OrderState::Requested, OrderEvent::Queue),
        (OrderState::Requested, TargetEvent::Succeed.into()),
        (OrderState::Approved, TargetEvent::Run.into()),
        (OrderState::Rejected, OrderEvent::Approve),
        (OrderState::Queued, OrderEvent::Approve),
        (OrderState::Running, OrderEvent::Cancel),
        (OrderState::Running, OrderEvent::Expire),
        (OrderState::Running, TargetEvent::Send.into()),
        (OrderState::Unknown, TargetEvent::Send.into()),
        (OrderState::Succeeded, TargetEvent::Fail.into()),
        (OrderState::Succeeded, TargetEvent::Send.into()),
        (OrderState::Expired, TargetEvent::Succeed.into()),
    ] {
        let refused = transition(from, event).unwrap_err();
        lines.push_str(&format!(
            "{} {}\n  {}\n",
            refused.code, refused.why.es, refused.why.en
        ));
    }
    insta::assert_snapshot!(lines);
}

#[test]
fn names_survive_text() {
    for state in OrderState::ALL {
        assert_eq!(state.to_string().parse::<OrderState>().unwrap(), state);
        assert_eq!(
            serde_json::to_string(&state).unwrap(),
            format!("\"{state}\"")
        );
    }
    for target in TargetState::ALL {
        assert_eq!(target.to_string().parse::<TargetState>().unwrap(), target);
        assert_eq!(
            serde_json::to_string(&target).unwrap(),
            format!("\"{target}\"")
        );
    }
    assert!("approved".parse::<TargetState>().is_err());
    assert!("verifying".parse::<OrderState>().is_err());
}

#[test]
fn an_order_for_many_shows_what_they_have_in_common() {
    use OrderState as O;
    use TargetState as T;
    let cases: &[(&[T], O)] = &[
        (&[T::Queued, T::Queued], O::Queued),
        (&[T::Queued, T::Sent], O::Sent),
        (&[T::Queued, T::Running, T::Accepted], O::Running),
        (&[T::Checking, T::AwaitingConsent], O::Checking),
        (&[T::Succeeded, T::Queued], O::Running),
        (&[T::Unknown, T::Sent], O::Running),
        (&[T::Succeeded, T::AwaitingConsent], O::AwaitingConsent),
        (&[T::Succeeded, T::Unknown], O::Unknown),
        (&[T::Succeeded, T::Succeeded], O::Succeeded),
        (&[T::Succeeded, T::Failed], O::Partly),
        (&[T::Partly, T::Refused], O::Partly),
        (&[T::Refused, T::Failed], O::Failed),
        (&[T::Refused, T::Expired], O::Refused),
        (&[T::Cancelled, T::Expired], O::Expired),
        (&[T::Cancelled], O::Cancelled),
    ];
    for (targets, expected) in cases {
        assert_eq!(aggregate(targets), Some(*expected), "{targets:?}");
    }
    assert_eq!(aggregate(&[]), None);
}

fn any_target() -> impl Strategy<Value = TargetState> {
    (0..TargetState::ALL.len()).prop_map(|at| TargetState::ALL[at])
}

fn any_event() -> impl Strategy<Value = TargetEvent> {
    (0..TargetEvent::ALL.len()).prop_map(|at| TargetEvent::ALL[at])
}

proptest! {
    #[test]
    fn aggregating_ignores_order_and_ends_when_all_ended(mut targets in proptest::collection::vec(any_target(), 1..12)) {
        let whole = aggregate(&targets).unwrap();
        prop_assert_eq!(whole.is_final(), targets.iter().all(|target| target.is_final()));
        targets.reverse();
        prop_assert_eq!(aggregate(&targets), Some(whole));
        targets.sort();
        prop_assert_eq!(aggregate(&targets), Some(whole));
    }

    /// Whatever comes, in whatever order and however often: an end stays, and nothing that a machine has confirmed is
    /// ever put back to be sent.
    #[test]
    fn ends_hold_and_nothing_confirmed_is_sent_again(events in proptest::collection::vec(any_event(), 0..80)) {
        let mut state = TargetState::Queued;
        let mut confirmed = false;
        for event in events {
            let Ok(next) = target_transition(state, event) else { continue };
            prop_assert!(!state.is_final() || next == state);
            confirmed |= !matches!(next, TargetState::Queued | TargetState::Sent);
            prop_assert!(!(confirmed && matches!(next, TargetState::Queued | TargetState::Sent)));
            state = next;
        }
    }

    /// A report repeated at once says nothing new.
    #[test]
    fn repeating_changes_nothing(state in any_target(), event in any_event()) {
        if let Ok(next) = target_transition(state, event)
            && !matches!(event, TargetEvent::Expire | TargetEvent::LoseContact)
        {
            prop_assert_eq!(target_transition(next, event), Ok(next));
        }
    }
}
