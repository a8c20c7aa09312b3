use chasqui_base::clock::{HOUR_MS, now_ms};
use chasqui_proto::v1::order_service_server::OrderService as _;
use chasqui_proto::v1::{self, OrderState};
use chasqui_server::rpc::order;
use chasqui_trust::order::Targets;
use chasqui_trust::{Decision, OrderBundle, sign};

use crate::world::{World, ok, reason};

both_engines!(
    statements_count_as_machines_count_them,
    two_approvals_are_two_persons,
    a_rejection_or_withdrawal_ends_it,
    what_is_over_by_time_expires,
    calling_off_stops_what_has_not_begun_and_asks_the_rest,
    a_wave_is_not_released_before_its_time,
);

async fn statements_count_as_machines_count_them(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    let order = world.ordered(&[&machine]).await;
    let other = world.ordered(&[&machine]).await;
    let events = world.events().await;
    // One's own order.
    assert_eq!(
        reason(
            world
                .say(&order, &world.technician, Decision::Approve)
                .await
        ),
        "APPROVAL_OWN_ORDER"
    );
    // Somebody the people document does not name.
    assert_eq!(
        reason(
            world
                .say(&order, &world.administrator, Decision::Approve)
                .await
        ),
        "APPROVAL_UNKNOWN_KEY"
    );
    // Signed with another person's key, or handed in by another person.
    let paper = world.statement(&order, &world.lead, Decision::Approve);
    let forged = sign(&paper, &[&world.coordinator.key()]).unwrap();
    assert_eq!(
        reason(world.hand_in(&order, &world.lead, &forged).await),
        "APPROVAL_UNKNOWN_KEY"
    );
    let signed = sign(&paper, &[&world.lead.key()]).unwrap();
    assert_eq!(
        reason(world.hand_in(&order, &world.coordinator, &signed).await),
        "STATEMENT_PERSON_MISMATCH"
    );
    // About another order.
    assert_eq!(
        reason(world.hand_in(&other, &world.lead, &signed).await),
        "STATEMENT_OTHER_ORDER"
    );
    // Altered, lapsed, of another organisation.
    let mut altered = signed.clone();
    altered.payload = String::from_utf8(altered.payload)
        .unwrap()
        .replace("approve", "reject")
        .into_bytes();
    assert_eq!(
        reason(world.hand_in(&order, &world.lead, &altered).await),
        "STATEMENT_SIGNATURE_INVALID"
    );
    let mut lapsed = paper.clone();
    (lapsed.at_ms, lapsed.expires_at_ms) = (now_ms() - 2 * HOUR_MS, now_ms() - HOUR_MS);
    let lapsed = sign(&lapsed, &[&world.lead.key()]).unwrap();
    assert_eq!(
        reason(world.hand_in(&order, &world.lead, &lapsed).await),
        "APPROVAL_EXPIRED"
    );
    let mut foreign = paper;
    foreign.org = "otra-entidad".to_owned();
    let foreign = sign(&foreign, &[&world.lead.key()]).unwrap();
    assert_eq!(
        reason(world.hand_in(&order, &world.lead, &foreign).await),
        "STATEMENT_ORG_MISMATCH"
    );
    assert_eq!(world.events().await, events);
    assert_eq!(
        world.look(&order.id).await.state(),
        OrderState::AwaitingApproval
    );
    assert_eq!(
        world
            .hand_in(&order, &world.lead, &signed)
            .await
            .unwrap()
            .state(),
        OrderState::Queued
    );
    // Decided is decided.
    assert_eq!(
        reason(
            world
                .say(&order, &world.coordinator, Decision::Approve)
                .await
        ),
        "ORDER_STATE"
    );
}

async fn two_approvals_are_two_persons(world: World) {
    world.publish_trust().await;
    let mut machines = Vec::new();
    for (seed, name) in [(60, "pc-1"), (61, "pc-2"), (62, "pc-3")] {
        machines.push(world.machine(name, seed).await);
    }
    let order = world.ordered(&machines.iter().collect::<Vec<_>>()).await;
    assert_eq!(order.required_approvals, 2);
    let order = world
        .say(&order, &world.lead, Decision::Approve)
        .await
        .unwrap();
    assert_eq!(order.state(), OrderState::AwaitingApproval);
    let events = world.events().await;
    assert_eq!(
        reason(world.say(&order, &world.lead, Decision::Approve).await),
        "APPROVAL_SAME_PERSON"
    );
    assert_eq!(world.events().await, events);
    let order = world
        .say(&order, &world.coordinator, Decision::Approve)
        .await
        .unwrap();
    assert_eq!(order.state(), OrderState::Queued);
    assert!(
        order
            .targets
            .iter()
            .all(|target| target.state() == OrderState::Queued)
    );
    // Each machine gets its own place and learns nothing of the others.
    for (index, machine) in machines.iter().enumerate() {
        let delivered = order::pending(&world.ctx, machine.id).await.unwrap();
        let bundle = OrderBundle::decode(&delivered[0].bundle).unwrap();
        assert_eq!(
            (bundle.leaf_index as usize, bundle.leaf.host_name.as_str()),
            (index, machine.host_name.as_str())
        );
        assert!(
            !String::from_utf8_lossy(&delivered[0].bundle).contains(if index == 0 {
                "pc-2"
            } else {
                "pc-1"
            })
        );
    }
    world.check().await;
}

async fn a_rejection_or_withdrawal_ends_it(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    let order = world.ordered(&[&machine]).await;
    let rejected = world
        .say(&order, &world.lead, Decision::Reject)
        .await
        .unwrap();
    assert_eq!(rejected.state(), OrderState::Rejected);
    assert_eq!(
        reason(
            world
                .say(&order, &world.coordinator, Decision::Approve)
                .await
        ),
        "ORDER_STATE"
    );
    let order = world.ordered(&[&machine]).await;
    let withdrawn = world
        .say(&order, &world.technician, Decision::Withdraw)
        .await
        .unwrap();
    assert_eq!(withdrawn.state(), OrderState::Rejected);
    // Approved, queued, and then a no: the machine never gets it.
    let order = world.ordered(&[&machine]).await;
    world
        .say(&order, &world.lead, Decision::Approve)
        .await
        .unwrap();
    let stopped = world
        .say(&order, &world.coordinator, Decision::Reject)
        .await
        .unwrap();
    assert_eq!(stopped.state(), OrderState::Cancelled);
    assert!(
        order::pending(&world.ctx, machine.id)
            .await
            .unwrap()
            .is_empty()
    );
    world.check().await;
}

async fn what_is_over_by_time_expires(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    let undecided = world.ordered(&[&machine]).await;
    let sent = world.sent(&machine).await;
    let waiting = world.ordered(&[&machine]).await;
    world
        .say(&waiting, &world.lead, Decision::Approve)
        .await
        .unwrap();
    let past = now_ms() - 1;
    world
        .raw(&format!("UPDATE orders SET not_after_ms = {past}"))
        .await;
    chasqui_server::jobs::once(&world.ctx)
        .await
        .map_err(tonic::Status::from)
        .unwrap();
    assert_eq!(world.look(&undecided.id).await.state(), OrderState::Expired);
    assert_eq!(world.look(&waiting.id).await.state(), OrderState::Expired);
    // What a machine may hold is not called expired; some time later it is unknown, and never sent again.
    assert_eq!(world.look(&sent.id).await.state(), OrderState::Sent);
    world
        .raw(&format!(
            "UPDATE orders SET not_after_ms = {}",
            past - HOUR_MS
        ))
        .await;
    chasqui_server::jobs::once(&world.ctx)
        .await
        .map_err(tonic::Status::from)
        .unwrap();
    assert_eq!(world.look(&sent.id).await.state(), OrderState::Unknown);
    world
        .raw(&format!(
            "UPDATE orders SET not_after_ms = {}",
            now_ms() + HOUR_MS
        ))
        .await;
    assert!(
        order::pending(&world.ctx, machine.id)
            .await
            .unwrap()
            .is_empty()
    );
    world.check().await;
}

async fn calling_off_stops_what_has_not_begun_and_asks_the_rest(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    let cancel = |order: &v1::Order| v1::CancelOrderRequest {
        order_id: order.id.clone(),
        reason: "ya no hace falta".to_owned(),
    };
    let undecided = world.ordered(&[&machine]).await;
    let answer = ok(world
        .orders()
        .cancel_order(world.by(&world.technician, cancel(&undecided)))
        .await)
    .order
    .unwrap();
    assert_eq!(answer.state(), OrderState::Cancelled);
    let events = world.events().await;
    ok(world
        .orders()
        .cancel_order(world.by(&world.technician, cancel(&undecided)))
        .await);
    assert_eq!(
        world.events().await,
        events,
        "a second cancel says nothing new"
    );
    let sent = world.sent(&machine).await;
    let answer = ok(world
        .orders()
        .cancel_order(world.by(&world.lead, cancel(&sent)))
        .await)
    .order
    .unwrap();
    assert_eq!(
        answer.state(),
        OrderState::Sent,
        "the machine's report decides"
    );
    assert!(
        order::pending(&world.ctx, machine.id)
            .await
            .unwrap()
            .is_empty(),
        "and it is not sent again"
    );
    let result = crate::papers::result(&machine, &sent, chasqui_trust::result::Outcome::Cancelled);
    world.submit(&machine, &sent, &result).await.unwrap();
    assert_eq!(world.look(&sent.id).await.state(), OrderState::Cancelled);
    let kinds: Vec<_> = world
        .timeline(&world.lead, &sent.ticket_id)
        .await
        .into_iter()
        .map(|entry| entry.kind)
        .collect();
    assert!(
        kinds.contains(&"order.cancel_requested".to_owned()),
        "{kinds:?}"
    );
    world.check().await;
}

async fn a_wave_is_not_released_before_its_time(world: World) {
    world.publish_trust().await;
    let (now, later) = (
        world.machine("pc-1", 60).await,
        world.machine("pc-2", 61).await,
    );
    let ticket = world.ticket(&world.requester, "Disco lleno", None).await;
    let mut second = later.leaf();
    second.not_before_ms = now_ms() + HOUR_MS / 2;
    let leaves = [now.leaf(), second];
    let envelope = sign(&world.order(&ticket, &leaves), &[&world.technician.key()]).unwrap();
    let order = world
        .create(&world.technician, &envelope, &leaves)
        .await
        .unwrap();
    world
        .say(&order, &world.lead, Decision::Approve)
        .await
        .unwrap();
    assert_eq!(order::pending(&world.ctx, now.id).await.unwrap().len(), 1);
    assert!(
        order::pending(&world.ctx, later.id)
            .await
            .unwrap()
            .is_empty()
    );
    let order = world.look(&order.id).await;
    assert_eq!(
        (order.targets[0].state(), order.targets[1].state()),
        (OrderState::Sent, OrderState::Queued)
    );
    // An order that begins later is registered and approved now, and waits.
    let mut future = world.order(&ticket, &[now.leaf()]);
    future.not_before_ms = now_ms() + HOUR_MS / 2;
    future.targets = Targets::of(&[now.leaf()]).unwrap();
    let envelope = sign(&future, &[&world.technician.key()]).unwrap();
    let order = world
        .create(&world.technician, &envelope, &[now.leaf()])
        .await
        .unwrap();
    assert_eq!(
        world
            .say(&order, &world.lead, Decision::Approve)
            .await
            .unwrap()
            .state(),
        OrderState::Queued
    );
    assert_eq!(
        order::pending(&world.ctx, now.id).await.unwrap().len(),
        1,
        "only the first, which is not confirmed"
    );
}
