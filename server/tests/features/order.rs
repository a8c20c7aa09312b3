use chasqui_base::clock::{HOUR_MS, now_ms};
use chasqui_proto::v1::order_service_server::OrderService as _;
use chasqui_proto::v1::ticket_service_server::TicketService as _;
use chasqui_proto::v1::{self, OrderState};
use chasqui_server::rpc::order;
use chasqui_store::device;
use chasqui_trust::order::{Order, ParameterValue};
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
    a_ticket_that_ends_calls_its_waiting_orders_off,
    a_repeated_order_is_the_same_order,
    an_altered_order_is_what_the_machine_gets_and_refuses,
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

async fn a_ticket_that_ends_calls_its_waiting_orders_off(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    let undecided = world.ordered(&[&machine]).await;
    let queued = world.ordered(&[&machine]).await;
    world
        .say(&queued, &world.lead, Decision::Approve)
        .await
        .unwrap();
    let other = world.machine("pc-2", 61).await;
    let sent = world.ordered(&[&other]).await;
    world
        .say(&sent, &world.lead, Decision::Approve)
        .await
        .unwrap();
    assert_eq!(order::pending(&world.ctx, other.id).await.unwrap().len(), 1);
    for order in [&undecided, &queued, &sent] {
        let message = v1::CancelTicketRequest {
            request_id: fresh(),
            ticket_id: order.ticket_id.clone(),
            expected_version: 0,
            reason: "ya no".to_owned(),
        };
        ok(world
            .tickets()
            .cancel_ticket(world.by(&world.requester, message))
            .await);
    }
    assert_eq!(
        world.look(&undecided.id).await.state(),
        OrderState::Cancelled
    );
    assert_eq!(world.look(&queued.id).await.state(), OrderState::Cancelled);
    assert!(
        order::pending(&world.ctx, machine.id)
            .await
            .unwrap()
            .is_empty()
    );
    // A machine has it already: it is asked to stop, and says what came of it.
    let sent = world.look(&sent.id).await;
    assert_eq!(sent.state(), OrderState::Sent);
    let told = world.timeline(&world.technician, &sent.ticket_id).await;
    assert!(
        told.iter()
            .any(|entry| entry.kind == "order.cancel_requested")
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
    let mut ran =
        crate::papers::result(&machine, &order, chasqui_trust::result::Outcome::Succeeded);
    ran.order_digest = got;
    assert_eq!(
        reason(world.submit(&machine, &order, &ran).await),
        "RESULT_ORDER_MISMATCH"
    );
    let mut refused =
        crate::papers::result(&machine, &order, chasqui_trust::result::Outcome::Refused);
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
