//! The stream of a machine: who gets one, who loses it, and in what order things are said.

use bytes::Bytes;
use chasqui_base::clock;
use chasqui_proto::v1::link_service_client::LinkServiceClient;
use chasqui_proto::v1::{
    AgentMessage, DeviceState, FetchOrdersRequest, GetDeviceRequest, GoodbyeReason,
    ListQuarantineRequest, OrderDelivery, ProbeAnswer, QuarantineDecision,
    ResolveQuarantineRequest, RevokeDeviceRequest, agent_message, server_message,
};
use chasqui_server::ca::{Authority, RequestedKey};
use chasqui_server::fleet::Sent;
use tonic::Code;

use crate::rig::{Coordinator, Machine, Stream, hello, reason};

async fn a_machine_is_welcomed_and_shown_as_connected() {
    let coordinator = Coordinator::start().await;
    let device = coordinator.device().await;
    let mut stream = device.open("boot-1").await.unwrap();
    let Some(server_message::Message::Welcome(welcome)) = stream.next().await.unwrap() else {
        panic!("no welcome");
    };
    assert_eq!((welcome.store_epoch, welcome.beat_every_ms), (1, 300_000));
    let shown = coordinator
        .devices()
        .await
        .get_device(GetDeviceRequest {
            device: "PC-1".to_owned(),
        })
        .await
        .unwrap()
        .into_inner()
        .device
        .unwrap();
    assert!(shown.connected && shown.last_seen_at_ms > 0, "{shown:?}");
    assert!(shown.clock_offset_ms.unwrap().abs() < clock::MINUTE_MS);
    assert_eq!(shown.state(), DeviceState::Active);
    // A message without content is a sign of life.
    stream.out.send(AgentMessage::default()).await.unwrap();
    drop(stream);
    until(|| !coordinator.ctx.fleet.is_connected(device.id)).await;
    // Signs of life lie in memory and are stored now and then, at the latest when stopping.
    let seen_at_ms = coordinator.ctx.fleet.last_seen_ms(device.id).unwrap();
    let id = device.id.to_string();
    let coordinator = coordinator.restart().await;
    let stored = coordinator
        .ctx
        .store
        .read(move |tx| chasqui_store::device::get(tx, &id))
        .await
        .unwrap()
        .unwrap();
    assert!(stored.last_seen_at_ms >= Some(seen_at_ms), "{stored:?}");
}

async fn the_same_start_of_the_machine_takes_its_place_silently() {
    let coordinator = Coordinator::start().await;
    let device = coordinator.device().await;
    let mut first = device.welcomed("boot-1").await;
    let mut second = device.welcomed("boot-1").await;
    assert_eq!(goodbye(&mut first).await, GoodbyeReason::Superseded);
    assert!(
        first.next().await.unwrap().is_none(),
        "superseded is no failure"
    );
    drop(first);
    // The older stream's end does not take the newer one's place away.
    assert_eq!(
        coordinator.ctx.fleet.send(device.id, order("1")),
        Sent::Queued
    );
    assert!(matches!(
        second.next().await.unwrap(),
        Some(server_message::Message::Order(_))
    ));
    assert_eq!(quarantined(&coordinator).await, 0);
}

async fn a_reboot_takes_the_place_of_a_stream_that_answers_no_more() {
    let coordinator = Coordinator::start().await;
    let device = coordinator.device().await;
    // Open, but it answers no probe.
    let mut dead = device.welcomed("boot-1").await;
    let mut second = device.welcomed("boot-2").await;
    assert!(matches!(
        dead.next().await.unwrap(),
        Some(server_message::Message::Probe(_))
    ));
    assert_eq!(goodbye(&mut dead).await, GoodbyeReason::Superseded);
    assert_eq!(
        coordinator.ctx.fleet.send(device.id, order("1")),
        Sent::Queued
    );
    assert!(matches!(
        second.next().await.unwrap(),
        Some(server_message::Message::Order(_))
    ));
    assert_eq!(quarantined(&coordinator).await, 0);
}

async fn a_copy_is_quarantined_until_a_person_decides() {
    let coordinator = Coordinator::start().await;
    let device = coordinator.device().await;
    let mut first = device.welcomed("boot-1").await;
    let mut copy = device.open("boot-2").await.unwrap();
    let Some(server_message::Message::Probe(probe)) = first.next().await.unwrap() else {
        panic!("no probe");
    };
    first
        .say(agent_message::Message::ProbeAnswer(ProbeAnswer {
            nonce: probe.nonce,
        }))
        .await;
    assert_eq!(
        reason(&copy.next().await.unwrap_err()),
        "DEVICE_QUARANTINED"
    );
    assert_eq!(goodbye(&mut first).await, GoodbyeReason::Quarantined);
    assert_eq!(
        reason(&first.next().await.unwrap_err()),
        "DEVICE_QUARANTINED"
    );

    // Neither gets in, nor any other call.
    let refused = LinkServiceClient::new(device.channel.clone())
        .fetch_orders(FetchOrdersRequest {})
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::PermissionDenied, "DEVICE_QUARANTINED")
    );
    let mut devices = coordinator.devices().await;
    let items = devices
        .list_quarantine(ListQuarantineRequest::default())
        .await
        .unwrap()
        .into_inner()
        .items;
    assert_eq!(items.len(), 1);
    assert_eq!(
        (
            items[0].first_boot_id.as_str(),
            items[0].second_boot_id.as_str()
        ),
        ("boot-1", "boot-2")
    );

    let decision = ResolveQuarantineRequest {
        quarantine_id: items[0].id.clone(),
        decision: QuarantineDecision::Release.into(),
        reason: "restored from a backup".to_owned(),
    };
    let answer = devices
        .resolve_quarantine(decision.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.device.unwrap().state(), DeviceState::Active);
    assert_eq!(
        reason(&devices.resolve_quarantine(decision).await.unwrap_err()),
        "QUARANTINE_RESOLVED"
    );
    device.welcomed("boot-2").await;
    record_holds(&coordinator).await;
}

async fn a_revocation_overtakes_every_order() {
    let coordinator = Coordinator::start().await;
    let device = coordinator.device().await;
    let mut stream = device.welcomed("boot-1").await;
    // Not read by the machine yet, and more than the connection's window holds: they wait in the queue.
    let mut queued = 0;
    while coordinator
        .ctx
        .fleet
        .send(device.id, big_order(&queued.to_string()))
        == Sent::Queued
    {
        queued += 1;
    }
    let answer = coordinator
        .devices()
        .await
        .revoke_device(RevokeDeviceRequest {
            device_id: device.id.to_string(),
            reason: "stolen".to_owned(),
        })
        .await
        .unwrap();
    assert_eq!(
        answer.into_inner().device.unwrap().state(),
        DeviceState::Revoked
    );
    assert_eq!(
        coordinator.ctx.fleet.send(device.id, order("late")),
        Sent::NotConnected
    );
    let mut orders = 0;
    let said = loop {
        match stream.next().await.unwrap() {
            Some(server_message::Message::Order(_)) => orders += 1,
            Some(server_message::Message::Goodbye(said)) => break said.reason(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(said, GoodbyeReason::Revoked);
    assert!(
        orders < queued,
        "all {queued} orders were delivered after the revocation"
    );
    assert_eq!(reason(&stream.next().await.unwrap_err()), "DEVICE_REVOKED");
    // The open connection is of no more use, nor is a new one.
    let refused = LinkServiceClient::new(device.channel.clone())
        .fetch_orders(FetchOrdersRequest {})
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "DEVICE_REVOKED");
    let refused = device
        .open("boot-1")
        .await
        .err()
        .expect("a revoked machine got a stream");
    assert_eq!(reason(&refused), "DEVICE_REVOKED");
    record_holds(&coordinator).await;
}

async fn a_revocation_the_gate_has_not_heard_of_is_seen_at_the_greeting() {
    let coordinator = Coordinator::start().await;
    let device = coordinator.device().await;
    drop(device.welcomed("boot-1").await);
    // As another coordinator over the same store would do it: nothing in this process is told.
    let id = device.id.to_string();
    coordinator
        .ctx
        .store
        .write(move |tx| {
            chasqui_store::device::set_state(
                tx,
                &id,
                chasqui_store::device::State::Revoked,
                "lost",
                1,
            )
        })
        .await
        .unwrap();
    let mut stream = device
        .open("boot-1")
        .await
        .expect("the gate still believes what it remembers");
    assert_eq!(reason(&stream.next().await.unwrap_err()), "DEVICE_REVOKED");
    until(|| !coordinator.ctx.fleet.is_connected(device.id)).await;
}

async fn a_certificate_must_be_ours_and_in_force() {
    let coordinator = Coordinator::start().await;
    let device = coordinator.device().await;
    let key = RequestedKey::read(&device.machine.csr()).unwrap();
    let now_ms = clock::now_ms();
    let folder = tempfile::tempdir().unwrap();
    let foreign = Authority::create(folder.path(), "example", now_ms).unwrap();
    let foreign = foreign.issue(device.id, &key, now_ms, 30).unwrap().der;
    let expired = coordinator
        .ctx
        .ca
        .issue(device.id, &key, now_ms - 40 * clock::DAY_MS, 30)
        .unwrap()
        .der;
    let good = coordinator
        .ctx
        .ca
        .issue(device.id, &key, now_ms, 30)
        .unwrap()
        .der;
    for (certificate, accepted) in [(foreign, false), (expired, false), (good, true)] {
        // In TLS 1.3 the refusal arrives after the client's last word: at connecting or at the first call.
        let got_in = match coordinator
            .agents(Some((&device.machine, &certificate)))
            .await
        {
            Err(_) => false,
            Ok(channel) => match LinkServiceClient::new(channel)
                .fetch_orders(FetchOrdersRequest {})
                .await
            {
                Ok(_) => true,
                Err(status) => {
                    assert!(
                        chasqui_proto::error::reason_of(&status).is_none(),
                        "the gate was reached: {status:?}"
                    );
                    false
                }
            },
        };
        assert_eq!(got_in, accepted);
    }

    // Ours and in force, but for a device nobody enrolled, and for another machine's device.
    let stranger = Machine::new("pc-9");
    let stranger_key = RequestedKey::read(&stranger.csr()).unwrap();
    for (id, expected) in [
        (
            chasqui_domain::ids::DeviceId(clock::new_id()),
            "DEVICE_UNKNOWN",
        ),
        (device.id, "CERTIFICATE_KEY_UNKNOWN"),
    ] {
        let certificate = coordinator
            .ctx
            .ca
            .issue(id, &stranger_key, now_ms, 30)
            .unwrap()
            .der;
        let channel = coordinator
            .agents(Some((&stranger, &certificate)))
            .await
            .unwrap();
        let refused = LinkServiceClient::new(channel)
            .fetch_orders(FetchOrdersRequest {})
            .await
            .unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::Unauthenticated, expected)
        );
    }
}

async fn a_stream_begins_with_one_hello() {
    let coordinator = Coordinator::start().await;
    let device = coordinator.device().await;
    let mut silent = Stream::begin(device.channel.clone()).await.unwrap();
    silent
        .say(agent_message::Message::ProbeAnswer(ProbeAnswer {
            nonce: Bytes::new(),
        }))
        .await;
    assert_eq!(reason(&silent.next().await.unwrap_err()), "HELLO_EXPECTED");

    let mut unnamed = Stream::begin(device.channel.clone()).await.unwrap();
    unnamed
        .say(agent_message::Message::Hello(hello("", "pc-1")))
        .await;
    let refused = unnamed.next().await.unwrap_err();
    assert!(refused.message().contains("boot_id"), "{refused:?}");

    let mut twice = device.welcomed("boot-1").await;
    twice
        .say(agent_message::Message::Hello(hello("boot-1", "pc-1")))
        .await;
    assert_eq!(reason(&twice.next().await.unwrap_err()), "HELLO_AGAIN");
    until(|| coordinator.ctx.fleet.connected() == 0).await;
}

async fn a_message_over_the_limit_ends_the_stream() {
    let coordinator = Coordinator::start().await;
    let device = coordinator.device().await;
    let mut large = hello("boot-1", "pc-1");
    large.capabilities = vec!["x".repeat(100_000)];
    let mut stream = Stream::begin(device.channel.clone()).await.unwrap();
    stream.say(agent_message::Message::Hello(large)).await;
    assert_eq!(stream.next().await.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(coordinator.ctx.fleet.connected(), 0);
    // The same stream with a Hello that fits is welcomed.
    device.welcomed("boot-1").await;
}

fn order(id: &str) -> chasqui_proto::v1::ServerMessage {
    chasqui_proto::v1::ServerMessage {
        message: Some(server_message::Message::Order(OrderDelivery {
            order_id: id.to_owned(),
            bundle: Bytes::new(),
        })),
    }
}

fn big_order(id: &str) -> chasqui_proto::v1::ServerMessage {
    chasqui_proto::v1::ServerMessage {
        message: Some(server_message::Message::Order(OrderDelivery {
            order_id: id.to_owned(),
            bundle: vec![0; 1024 * 1024].into(),
        })),
    }
}

async fn goodbye(stream: &mut Stream) -> GoodbyeReason {
    match stream.next().await.unwrap() {
        Some(server_message::Message::Goodbye(goodbye)) => goodbye.reason(),
        other => panic!("no goodbye: {other:?}"),
    }
}

async fn quarantined(coordinator: &Coordinator) -> usize {
    let mut devices = coordinator.devices().await;
    devices
        .list_quarantine(ListQuarantineRequest::default())
        .await
        .unwrap()
        .into_inner()
        .items
        .len()
}

/// Replaying the events gives the states that the tables have.
async fn record_holds(coordinator: &Coordinator) {
    let report = coordinator
        .ctx
        .store
        .read(|tx| chasqui_store::log::check(tx, None))
        .await
        .unwrap();
    assert!(report.holds() && report.states > 0, "{report:?}");
}

async fn until(holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it never came to hold");
}

on_both!(
    a_revocation_the_gate_has_not_heard_of_is_seen_at_the_greeting,
    a_machine_is_welcomed_and_shown_as_connected,
    the_same_start_of_the_machine_takes_its_place_silently,
    a_reboot_takes_the_place_of_a_stream_that_answers_no_more,
    a_copy_is_quarantined_until_a_person_decides,
    a_revocation_overtakes_every_order,
    a_certificate_must_be_ours_and_in_force,
    a_stream_begins_with_one_hello,
    a_message_over_the_limit_ends_the_stream,
);
