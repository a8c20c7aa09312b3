//! How a stream begins: Hello, the question whether this machine is the device or a copy of it, Welcome.
//!
//! A reconnect while the older stream is half open is normal. The same start of the machine (boot id) takes its place
//! silently. Another start does so only when nobody answers on the older stream any more; if somebody does, two machines
//! hold one identity, and a person has to decide.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chasqui_base::clock;
use chasqui_proto::error::{bad_field, retry_after, status};
use chasqui_proto::v1::{
    AgentMessage, GoodbyeReason, Hello, ServerMessage, TrustChanged, Welcome, agent_message,
    server_message,
};
use chasqui_store::device::{self, Claim, State};
use chasqui_store::event::{self, NewEvent};
use chasqui_store::{Tx, meta};
use serde_json::json;
use tonic::{Code, Status, Streaming};

use super::stream::Place;
use crate::auth::{self, Device};
use crate::context::Context;
use crate::error::Failure;
use crate::fleet::{self, Joined, Link};
use crate::rpc::{check, device as device_rpc, enrolment, trust};

/// How long a machine may take to say Hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// How long an older stream may take to answer whether it lives. A live one answers in a round trip.
const PROBE_WITHIN: Duration = Duration::from_secs(4);
/// Streams of one device that may push each other aside before this one gives up.
const TRIES: usize = 3;
/// An agent's clock further off than this is said in the log.
const CLOCK_WORTH_SAYING_MS: i64 = 5 * clock::MINUTE_MS;

/// Greets one machine. On success it has its place in the fleet and its Welcome in the queue.
pub(super) async fn greet(
    ctx: Context,
    device: Device,
    source: String,
    mut inbound: Streaming<AgentMessage>,
) -> Result<(Place, Streaming<AgentMessage>), Status> {
    let first = tokio::select! {
        first = tokio::time::timeout(HELLO_WITHIN, inbound.message()) => first,
        () = ctx.stop.cancelled() => return Err(stopping()),
    };
    let hello = match first {
        Ok(Ok(Some(AgentMessage {
            message: Some(agent_message::Message::Hello(hello)),
        }))) => hello,
        Ok(Err(status)) => return Err(status),
        Ok(_) => {
            return Err(status(
                Code::InvalidArgument,
                "HELLO_EXPECTED",
                "the first message of a stream is a Hello",
                &[],
            ));
        }
        Err(_) => {
            return Err(status(
                Code::DeadlineExceeded,
                "HELLO_TIMEOUT",
                "no Hello came within ten seconds: connect again",
                &[],
            ));
        }
    };
    check_hello(&hello)?;
    let now_ms = clock::now_ms();
    let link = Link::new(device.id, &hello.boot_id, &hello.host_name, &source, now_ms);
    join(&ctx, &link).await?;
    let place = Place {
        ctx: ctx.clone(),
        link,
    };

    // From here a revocation finds the link; what was decided before it is seen in this transaction.
    let store_epoch = register(&ctx, device, &hello, now_ms).await?;
    if ctx.stop.is_cancelled() {
        return Err(stopping());
    }
    place.link.open(ServerMessage {
        message: Some(server_message::Message::Welcome(welcome(&ctx, store_epoch))),
    });
    match trust::versions(&ctx).await {
        Ok(now) => {
            let held = (
                hello.root_version,
                hello.people_version,
                hello.catalogue_version,
            );
            if held != (now.root, now.people, now.catalogue) {
                place.link.send(ServerMessage {
                    message: Some(server_message::Message::TrustChanged(TrustChanged {
                        root_version: now.root,
                        people_version: now.people,
                        catalogue_version: now.catalogue,
                    })),
                });
            }
        }
        // The agent asks by itself now and then; a stream without this message is better than none.
        Err(status) => tracing::warn!(cause = status.message(), "trust versions were not read"),
    }
    fleet::nudge_orders(&ctx, device.id);
    Ok((place, inbound))
}

/// A second Hello on one stream.
pub(super) fn hello_again() -> Status {
    status(
        Code::InvalidArgument,
        "HELLO_AGAIN",
        "a stream has one Hello, its first message: open a new stream",
        &[],
    )
}

fn check_hello(hello: &Hello) -> Result<(), Status> {
    check::line("hello.agent_version", &hello.agent_version, 1, 64)?;
    check::line("hello.boot_id", &hello.boot_id, 1, 128)?;
    enrolment::check_host_name(&hello.host_name)?;
    if hello.capabilities.len() > 64 {
        return Err(bad_field("hello.capabilities", "at most 64 are allowed"));
    }
    for capability in &hello.capabilities {
        check::line("hello.capabilities", capability, 1, 64)?;
    }
    if hello.process_nonce.len() > 64 {
        return Err(bad_field(
            "hello.process_nonce",
            "at most 64 bytes are allowed",
        ));
    }
    Ok(())
}

/// Gives the link its device's place, or finds out that another machine has it.
async fn join(ctx: &Context, link: &Arc<Link>) -> Result<(), Status> {
    let mut force = false;
    for _ in 0..TRIES {
        let old = match ctx.fleet.join(link, force) {
            Joined::Alone => return Ok(()),
            Joined::Superseded => {
                tracing::info!(device = %link.device, forced = force, "an older stream was superseded");
                return Ok(());
            }
            Joined::Occupied(old) => old,
        };
        let mut nonce = [0_u8; 16];
        getrandom::fill(&mut nonce).map_err(|cause| crate::error::internal("random", &cause))?;
        let answer = old.probe(Bytes::copy_from_slice(&nonce));
        match tokio::time::timeout(PROBE_WITHIN, answer).await {
            Ok(Ok(())) => return Err(quarantine(ctx, &old, link).await?),
            // The older stream ended meanwhile, or another newcomer asked after us: look again.
            Ok(Err(_)) => force = false,
            Err(_) => force = true,
        }
    }
    Err(retry_after(
        Code::Aborted,
        "STREAM_CONTENDED",
        "several streams of this device are opening at once: try again",
        Duration::from_secs(5),
    ))
}

/// Holds the identity for a person to decide and ends its streams.
async fn quarantine(ctx: &Context, old: &Link, new: &Link) -> Result<Status, Status> {
    let now_ms = clock::now_ms();
    let device = new.device;
    let (known, other) = (claim(old), claim(new));
    let id = clock::new_id().to_string();
    ctx.store
        .write(move |tx| {
            let found = device_rpc::get(tx, device)?;
            if found.state == State::Active {
                device::insert_quarantine(tx, &id, &found.id, &known, &other, now_ms)?;
                let reason = "another machine answered with this identity";
                device_rpc::set_state(
                    tx,
                    device,
                    State::Quarantined,
                    "device.quarantined",
                    "system",
                    now_ms,
                    reason,
                )?;
            }
            Ok::<_, Failure>(())
        })
        .await?;
    tracing::warn!(%device, "two machines answered with one identity: quarantined");
    let refusal = auth::quarantined(device);
    device_rpc::shut_out(ctx, device, GoodbyeReason::Quarantined, refusal.clone());
    Ok(refusal)
}

fn claim(link: &Link) -> Claim {
    Claim {
        boot_id: link.boot_id.to_string(),
        host_name: link.host_name.to_string(),
        address: link.source.to_string(),
    }
}

/// Writes what the machine said of itself.
async fn register(
    ctx: &Context,
    device: Device,
    hello: &Hello,
    now_ms: i64,
) -> Result<u64, Status> {
    let clock_offset_ms = hello.now_ms.saturating_sub(now_ms);
    if clock_offset_ms.saturating_abs() > CLOCK_WORTH_SAYING_MS {
        tracing::warn!(device = %device.id, clock_offset_ms, "the machine's clock is off");
    }
    let said = device::Hello {
        boot_id: hello.boot_id.clone(),
        host_name: hello.host_name.clone(),
        agent_version: hello.agent_version.clone(),
        capabilities: json!(hello.capabilities).to_string(),
        clock_offset_ms,
    };
    let epoch = ctx
        .store
        .write(move |tx| {
            let standing = device::standing(tx, &device.id.to_string())?
                .ok_or_else(|| auth::device_unknown(device.id))?;
            auth::check_standing(device.id, &standing, &device.fingerprint)?;
            let found = device_rpc::get(tx, device.id)?;
            device::hello(tx, &found, &said, now_ms)?;
            if found.host_name != said.host_name || found.agent_version != said.agent_version {
                crate::rpc::inventory::search_row::refresh(tx, &found.id)?;
            }
            record(tx, &found, &said, now_ms)?;
            Ok::<_, Failure>(meta::epoch(tx)?)
        })
        .await?;
    u64::try_from(epoch).map_err(|cause| crate::error::internal("store epoch", &cause))
}

/// A connection is no event: there are too many, and nothing changed. Another name or version of the agent is one.
fn record(
    tx: &mut Tx,
    found: &device::Device,
    said: &device::Hello,
    now_ms: i64,
) -> Result<(), Failure> {
    if found.host_name == said.host_name && found.agent_version == said.agent_version {
        return Ok(());
    }
    event::append(
        tx,
        NewEvent {
            subject_kind: "device",
            subject_id: &found.id,
            part: None,
            kind: "device.described",
            actor: &found.id,
            at_ms: now_ms,
            state: None,
            data: json!({"host_name": said.host_name, "agent_version": said.agent_version}),
            personal: None,
        },
    )?;
    Ok(())
}

fn welcome(ctx: &Context, store_epoch: u64) -> Welcome {
    let devices = &ctx.config.devices;
    let ms = |seconds: u32| i64::from(seconds) * clock::SECOND_MS;
    Welcome {
        now_ms: clock::now_ms(),
        store_epoch,
        beat_every_ms: ms(devices.beat_seconds),
        inventory_every_ms: ms(devices.inventory_seconds),
        reconnect_cap_ms: ms(devices.reconnect_cap_seconds),
        server_version: crate::VERSION.to_owned(),
    }
}

fn stopping() -> Status {
    retry_after(
        Code::Unavailable,
        "SHUTTING_DOWN",
        "the coordinator is stopping: connect again soon",
        Duration::from_secs(5),
    )
}
