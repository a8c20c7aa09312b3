//! Bringing what waits in the database to the streams that are open: at connect, after a nudge, and in a sweep that
//! finds what a nudge missed. And the other way: signs of life, stored some minutes apart.

use std::time::Duration;

use chasqui_base::clock;
use chasqui_domain::ids::DeviceId;
use chasqui_proto::v1::{ServerMessage, TrustChanged, server_message};

use super::Sent;
use crate::context::Context;
use crate::error::Failure;
use crate::rpc;

/// How often signs of life are stored.
const FLUSH_EVERY: Duration = Duration::from_secs(180);
/// Devices read or written in one transaction of a sweep.
const PAGE: u32 = 500;

/// Something was committed for this device: brings it its waiting orders, if it is connected. Returns at once.
pub fn nudge_orders(ctx: &Context, device: DeviceId) {
    if !ctx.fleet.is_connected(device) {
        return;
    }
    let (ctx, tasks) = (ctx.clone(), ctx.tasks.clone());
    tasks.spawn(async move { push_orders(&ctx, device).await });
}

/// Reads a device's waiting orders and queues those its stream has not had.
pub async fn push_orders(ctx: &Context, device: DeviceId) {
    let Some(link) = ctx.fleet.link(device) else {
        return;
    };
    match rpc::order::pending(ctx, device).await {
        Ok(orders) => {
            if link.deliver(orders) == Sent::Full {
                tracing::info!(%device, "the device takes no more messages now; the rest follows in the sweep");
            }
        }
        Err(status) => {
            tracing::warn!(%device, cause = status.message(), "waiting orders were not read")
        }
    }
}

/// Trust documents were published: tells every connected device which versions are in force. Returns at once.
pub fn trust_changed(ctx: &Context) {
    let (ctx, tasks) = (ctx.clone(), ctx.tasks.clone());
    tasks.spawn(async move {
        match rpc::trust::versions(&ctx).await {
            Ok(versions) => ctx.fleet.broadcast(&ServerMessage {
                message: Some(server_message::Message::TrustChanged(TrustChanged {
                    root_version: versions.root,
                    people_version: versions.people,
                    catalogue_version: versions.catalogue,
                })),
            }),
            Err(status) => tracing::warn!(cause = status.message(), "trust versions were not read"),
        }
    });
}

/// Starts the sweep and the flush; they end when the coordinator stops.
pub fn start(ctx: &Context) {
    let sweeper = ctx.clone();
    ctx.tasks.spawn(async move {
        let every = Duration::from_secs(sweeper.config.devices.sweep_seconds.into());
        while !stopped_within(&sweeper, every).await {
            sweep(&sweeper).await;
        }
    });
    let flusher = ctx.clone();
    ctx.tasks.spawn(async move {
        while !stopped_within(&flusher, FLUSH_EVERY).await {
            flush_seen(&flusher).await;
        }
    });
}

/// Stores signs of life. What cannot be stored is kept for the next time.
pub async fn flush_seen(ctx: &Context) {
    let seen = ctx.fleet.take_seen(clock::now_ms());
    for part in seen.chunks(usize::try_from(PAGE).unwrap_or(1)) {
        let rows: Vec<_> = part
            .iter()
            .map(|(device, at_ms)| (device.to_string(), *at_ms))
            .collect();
        let stored: Result<(), Failure> = ctx
            .store
            .write(move |tx| Ok(chasqui_store::device::seen(tx, &rows)?))
            .await;
        if let Err(failure) = stored {
            ctx.fleet.keep_seen(part);
            tracing::warn!(
                cause = failure.status().message(),
                devices = part.len(),
                "signs of life were not stored"
            );
        }
    }
}

async fn sweep(ctx: &Context) {
    let mut after = String::new();
    loop {
        let from = after.clone();
        let now_ms = clock::now_ms();
        let page = ctx
            .store
            .read(move |tx| {
                Ok::<_, Failure>(chasqui_store::order::waiting_devices(
                    tx, now_ms, &from, PAGE,
                )?)
            })
            .await;
        let devices = match page {
            Ok(devices) => devices,
            Err(failure) => {
                tracing::warn!(
                    cause = failure.status().message(),
                    "devices with waiting orders were not read"
                );
                return;
            }
        };
        let Some(last) = devices.last() else { return };
        after.clone_from(last);
        for device in devices.iter().filter_map(|id| id.parse().ok()) {
            if ctx.stop.is_cancelled() {
                return;
            }
            push_orders(ctx, device).await;
        }
    }
}

async fn stopped_within(ctx: &Context, time: Duration) -> bool {
    tokio::time::timeout(time, ctx.stop.cancelled())
        .await
        .is_ok()
}
