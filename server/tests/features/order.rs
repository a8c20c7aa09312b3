use chasqui_base::clock::{HOUR_MS, now_ms};
use chasqui_proto::v1::order_service_server::OrderService as _;
use chasqui_proto::v1::ticket_service_server::TicketService as _;
use chasqui_proto::v1::{self, OrderState};
use chasqui_server::rpc::order;
use chasqui_store::device;
use chasqui_trust::order::{Order, ParameterValue, Targets};
use chasqui_trust::{
    Decision, DeviceIdentity, Digest, Envelope, OrderBundle, TrustState, sign, verify_order,
};
use tonic::Code;

use crate::world::{World, fresh, ok, reason, refused};

both_engines!(
    an_approved_order_reaches_its_machine_as_signed,
    what_a_machine_would_refuse_is_refused_at_once,
    only_the_machines_that_were_signed_are_stored,
    only_open_tickets_get_orders,
    a_repeated_order_is_the_same_order,
    statements_count_as_machines_count_them,
    two_approvals_are_two_persons,
    a_rejection_or_withdrawal_ends_it,
    a_wave_is_not_released_before_its_time,
    an_altered_order_is_what_the_machine_gets_and_refuses,
    what_is_over_by_time_expires,
    calling_off_stops_what_has_not_begun_and_asks_the_rest,
    orders_are_listed_by_ticket_device_and_state,
);

async fn an_approved_order_reaches_its_machine_as_signed(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    let order = world.ordered(&[&machine]).await;
    assert_eq!(
        (order.state(), order.required_approvals, order.risk),
        (OrderState::AwaitingApproval, 1, 2)
    );
    assert_eq!(order.targets[0].state(), OrderState::AwaitingApproval);
    assert!(
        order::pending(&world.ctx, machine.id)
            .await
            .unwrap()
            .is_empty()
    );
    let order = world
        .say(&order, &world.lead, Decision::Approve)
        .await
        .unwrap();
    assert_eq!(
        (order.state(), order.statements.len()),
        (OrderState::Queued, 1)
    );
    let delivered = order::pending(&world.ctx, machine.id).await.unwrap();
    assert_eq!(delivered[0].order_id, order.id);
    assert_eq!(world.look(&order.id).await.state(), OrderState::Sent);
    // The machine believes it by the root alone.
    let mut trust = TrustState::from_root(&world.root(1).to_json()).unwrap();
    trust
        .accept_people(&world.people(1).to_json(), now_ms())
        .unwrap();
    let catalogue = trust
        .accept_catalogue(&world.catalogue(1).to_json(), now_ms())
        .unwrap();
    let device = DeviceIdentity::of(&machine.key().public_key(), None);
    let authorised =
        verify_order(&delivered[0].bundle, &trust, &catalogue, &device, now_ms()).unwrap();
    assert_eq!(
        authorised.digest(),
        Digest::from_slice(&order.digest).unwrap()
    );
    assert_eq!(authorised.approvers()[0].person, world.lead.id.to_string());
    // Sent and not confirmed: it is given again, and nothing more is recorded.
    let events = world.events().await;
    assert_eq!(
        order::pending(&world.ctx, machine.id).await.unwrap(),
        delivered
    );
    assert_eq!(world.events().await, events);
    let kinds: Vec<_> = world
        .timeline(&world.requester, &order.ticket_id)
        .await
        .into_iter()
        .map(|entry| entry.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            "ticket.registered",
            "order.requested",
            "order.approved",
            "order.sent"
        ]
    );
    world.check().await;
}

async fn what_a_machine_would_refuse_is_refused_at_once(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    let ticket = world.ticket(&world.requester, "Disco lleno", None).await;
    let leaves = [machine.leaf()];
    let good = world.order(&ticket, &leaves);
    let events = world.events().await;
    let mut cases: Vec<(Order, &str)> = Vec::new();
    let mut case = |change: &dyn Fn(&mut Order), reason: &'static str| {
        let mut order = good.clone();
        order.id = fresh();
        change(&mut order);
        cases.push((order, reason));
    };
    case(
        &|order| order.parameters[0].value = ParameterValue::Integer(91),
        "PARAMETER_INVALID",
    );
    case(&|order| order.parameters.clear(), "PARAMETER_INVALID");
    case(
        &|order| order.org = "otra-entidad".to_owned(),
        "ORDER_ORG_MISMATCH",
    );
    case(&|order| order.min_people_version = 2, "PEOPLE_TOO_OLD");
    case(
        &|order| order.min_catalogue_version = 2,
        "CATALOGUE_TOO_OLD",
    );
    case(
        &|order| order.not_after_ms = order.created_at_ms + 31 * 24 * HOUR_MS,
        "ORDER_VALIDITY_TOO_LONG",
    );
    case(
        &|order| (order.not_before_ms, order.not_after_ms) = (1, order.created_at_ms + 1),
        "ORDER_VALIDITY_TOO_LONG",
    );
    case(
        &|order| {
            order.created_at_ms -= 2 * HOUR_MS;
            order.not_before_ms = order.created_at_ms;
            order.not_after_ms = order.created_at_ms + HOUR_MS;
        },
        "ORDER_EXPIRED",
    );
    case(
        &|order| order.definition.digest = Digest::of(b"another"),
        "DEFINITION_UNKNOWN",
    );
    case(
        &|order| order.definition.version = 2,
        "DEFINITION_NOT_IN_CATALOGUE",
    );
    case(
        &|order| order.ticket.number = "MA-2020-000001".to_owned(),
        "ORDER_TICKET_MISMATCH",
    );
    case(&|order| order.ticket.id = fresh(), "TICKET_UNKNOWN");
    for (order, expected) in cases {
        let envelope = sign(&order, &[&world.technician.key()]).unwrap();
        assert_eq!(
            reason(world.create(&world.technician, &envelope, &leaves).await),
            expected
        );
    }
    // Signed with another person's key, or handed in by another person.
    let forged = sign(&good, &[&world.lead.key()]).unwrap();
    assert_eq!(
        reason(world.create(&world.technician, &forged, &leaves).await),
        "ORDER_KEY_UNKNOWN"
    );
    let signed = sign(&good, &[&world.technician.key()]).unwrap();
    let answer = world.create(&world.lead, &signed, &leaves).await;
    assert_eq!(
        refused(answer),
        (
            Code::PermissionDenied,
            "ORDER_REQUESTER_MISMATCH".to_owned()
        )
    );
    // The lead may not sign orders: the people document says so.
    let mut theirs = good.clone();
    theirs.requester = world.lead.id.to_string();
    let theirs = sign(&theirs, &[&world.lead.key()]).unwrap();
    assert_eq!(
        reason(world.create(&world.lead, &theirs, &leaves).await),
        "REQUESTER_NO_DUTY"
    );
    // One byte of what was signed is changed.
    let mut tampered = signed.clone();
    let text = String::from_utf8(tampered.payload.clone())
        .unwrap()
        .replace("\"integer\":7", "\"integer\":9");
    tampered.payload = text.into_bytes();
    assert_eq!(
        reason(world.create(&world.technician, &tampered, &leaves).await),
        "ORDER_SIGNATURE_INVALID"
    );
    assert_eq!(
        world.events().await,
        events,
        "a refused order leaves nothing"
    );
    assert!(
        world
            .create(&world.technician, &signed, &leaves)
            .await
            .is_ok()
    );
}

async fn only_the_machines_that_were_signed_are_stored(world: World) {
    world.publish_trust().await;
    let (one, two) = (
        world.machine("pc-1", 60).await,
        world.machine("pc-2", 61).await,
    );
    let ticket = world.ticket(&world.requester, "Disco lleno", None).await;
    let events = world.events().await;
    let leaves = [one.leaf(), two.leaf()];
    let envelope = sign(&world.order(&ticket, &leaves), &[&world.technician.key()]).unwrap();
    for wrong in [
        vec![one.leaf()],
        vec![two.leaf(), one.leaf()],
        vec![one.leaf(), one.leaf()],
    ] {
        let answer = world.create(&world.technician, &envelope, &wrong).await;
        assert!(["ORDER_TARGETS_MISMATCH", "PAPER_INVALID"].contains(&reason(answer).as_str()));
    }
    let refuse = async |leaf: chasqui_trust::Leaf| {
        let leaves = [leaf];
        let envelope = sign(&world.order(&ticket, &leaves), &[&world.technician.key()]).unwrap();
        reason(world.create(&world.technician, &envelope, &leaves).await)
    };
    let mut leaf = one.leaf();
    leaf.host_name = "otro".to_owned();
    assert_eq!(refuse(leaf).await, "ORDER_HOST_NAME_MISMATCH");
    let mut leaf = one.leaf();
    leaf.device_fingerprint = Digest::of(b"nobody");
    assert_eq!(refuse(leaf).await, "ORDER_DEVICE_UNKNOWN");
    let mut leaf = one.leaf();
    leaf.plate = Some("P-1".to_owned());
    assert_eq!(refuse(leaf).await, "ORDER_PLATE_MISMATCH");
    world.set_device_state(&one, device::State::Revoked).await;
    assert_eq!(refuse(one.leaf()).await, "DEVICE_REVOKED");
    world
        .set_device_state(&one, device::State::Quarantined)
        .await;
    assert_eq!(refuse(one.leaf()).await, "DEVICE_QUARANTINED");
    assert_eq!(world.events().await, events);
}

async fn only_open_tickets_get_orders(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    let ticket = world.ticket(&world.requester, "Disco lleno", None).await;
    let message = v1::CancelTicketRequest {
        request_id: fresh(),
        ticket_id: ticket.id.clone(),
        expected_version: 0,
        reason: "ya no".to_owned(),
    };
    ok(world
        .tickets()
        .cancel_ticket(world.by(&world.requester, message))
        .await);
    let leaves = [machine.leaf()];
    let envelope = sign(&world.order(&ticket, &leaves), &[&world.technician.key()]).unwrap();
    assert_eq!(
        reason(world.create(&world.technician, &envelope, &leaves).await),
        "TICKET_CLOSED"
    );
}

async fn a_repeated_order_is_the_same_order(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    let ticket = world.ticket(&world.requester, "Disco lleno", None).await;
    let leaves = [machine.leaf()];
    let envelope = sign(&world.order(&ticket, &leaves), &[&world.technician.key()]).unwrap();
    let message = v1::CreateOrderRequest {
        request_id: fresh(),
        envelope: envelope.to_json().into(),
        leaves: vec![machine.leaf().encode().unwrap().into()],
    };
    let first = ok(world
        .orders()
        .create_order(world.by(&world.technician, message.clone()))
        .await);
    let events = world.events().await;
    let second = ok(world
        .orders()
        .create_order(world.by(&world.technician, message))
        .await);
    assert_eq!(first, second);
    // The same signed order under another request is no second one.
    let answer = world.create(&world.technician, &envelope, &leaves).await;
    assert_eq!(
        refused(answer),
        (Code::AlreadyExists, "ORDER_EXISTS".to_owned())
    );
    assert_eq!(world.events().await, events);
}

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

async fn an_altered_order_is_what_the_machine_gets_and_refuses(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    let order = world.ordered(&[&machine]).await;
    world
        .say(&order, &world.lead, Decision::Approve)
        .await
        .unwrap();
    let mut envelope = Envelope::from_json(&order.envelope).unwrap();
    envelope.payload = String::from_utf8(envelope.payload)
        .unwrap()
        .replace("\"integer\":7", "\"integer\":1")
        .into_bytes();
    let hex = hex::encode(envelope.to_json());
    let literal = if world.url.starts_with("sqlite") {
        format!("X'{hex}'")
    } else {
        format!("'\\x{hex}'")
    };
    world
        .raw(&format!(
            "UPDATE orders SET envelope = {literal} WHERE id = '{}'",
            order.id
        ))
        .await;
    let delivered = order::pending(&world.ctx, machine.id).await.unwrap();
    let mut trust = TrustState::from_root(&world.root(1).to_json()).unwrap();
    trust
        .accept_people(&world.people(1).to_json(), now_ms())
        .unwrap();
    let catalogue = trust
        .accept_catalogue(&world.catalogue(1).to_json(), now_ms())
        .unwrap();
    let device = DeviceIdentity::of(&machine.key().public_key(), None);
    let refusal =
        verify_order(&delivered[0].bundle, &trust, &catalogue, &device, now_ms()).unwrap_err();
    assert_eq!(refusal.code(), "ORDER_SIGNATURE_INVALID");
    // Its refusal speaks of the bytes it got, and is believed; anything but a refusal is not.
    let got = OrderBundle::decode(&delivered[0].bundle)
        .unwrap()
        .order_digest();
    let mut ran = crate::world::result(&machine, &order, chasqui_trust::result::Outcome::Succeeded);
    ran.order_digest = got;
    assert_eq!(
        reason(world.submit(&machine, &order, &ran).await),
        "RESULT_ORDER_MISMATCH"
    );
    let mut refused =
        crate::world::result(&machine, &order, chasqui_trust::result::Outcome::Refused);
    refused.order_digest = got;
    assert!(!world.submit(&machine, &order, &refused).await.unwrap());
    let order = world.look(&order.id).await;
    assert_eq!(
        (order.state(), order.targets[0].refusal_code.as_str()),
        (OrderState::Refused, "ORDER_SIGNATURE_INVALID")
    );
    assert_eq!(
        order.targets[0].refusal.as_ref().unwrap().es,
        "la firma no es válida"
    );
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
    let result = crate::world::result(&machine, &sent, chasqui_trust::result::Outcome::Cancelled);
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

async fn orders_are_listed_by_ticket_device_and_state(world: World) {
    world.publish_trust().await;
    let (one, two) = (
        world.machine("pc-1", 60).await,
        world.machine("pc-2", 61).await,
    );
    let first = world.ordered(&[&one]).await;
    let second = world.ordered(&[&two]).await;
    world
        .say(&second, &world.lead, Decision::Approve)
        .await
        .unwrap();
    let list = async |message: v1::ListOrdersRequest| {
        let answer = ok(world
            .orders()
            .list_orders(world.by(&world.auditor, message))
            .await);
        answer
            .orders
            .into_iter()
            .map(|order| order.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        list(v1::ListOrdersRequest::default()).await,
        [second.id.clone(), first.id.clone()]
    );
    let by_device = v1::ListOrdersRequest {
        device_id: one.id.to_string(),
        ..Default::default()
    };
    assert_eq!(list(by_device).await.join(","), first.id);
    let by_state = v1::ListOrdersRequest {
        states: vec![OrderState::Queued.into()],
        ..Default::default()
    };
    assert_eq!(list(by_state).await.join(","), second.id);
    let by_ticket = v1::ListOrdersRequest {
        ticket_id: first.ticket_id.clone(),
        ..Default::default()
    };
    assert_eq!(list(by_ticket).await, [first.id]);
}
