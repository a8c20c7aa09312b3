//! What a running action prints: kept up to a bound, and shown to those who watch without a gap or a repetition. Losing
//! output is no error, for the signed result carries its digest; inventing some would be.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use chasqui_base::clock::now_ms;
use chasqui_domain::ids::{DeviceId, OrderId};
use chasqui_domain::order::OrderState;
use chasqui_proto::v1::{self, watch_order_response::Event};
use chasqui_store::order as store;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::deliver::{may_print, own_target};
use super::{find, whole};
use crate::auth;
use crate::context::Context;
use crate::error::Failure;
use crate::fleet::{Live, Watch, Watched};
use crate::rpc::check;

/// Output kept of one order on one machine.
pub const MAX_KEPT_BYTES: u64 = 1024 * 1024;
/// Most bytes of one chunk.
const MAX_CHUNK_BYTES: usize = 256 * 1024;
/// How often a watcher looks into the store although nobody called: another coordinator may have changed the order.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Messages that wait for a slow watcher.
const BACKLOG: usize = 16;

/// Keeps one chunk of a machine's output and shows it to those who watch.
///
/// # Returns
/// Bytes kept in all.
///
/// # Errors
/// ORDER_OTHER_DEVICE when the order is not this machine's.
pub async fn output(
    ctx: &Context,
    device: &auth::Device,
    chunk: v1::OutputChunk,
) -> Result<u64, Status> {
    let order_id: OrderId = check::id("order_id", &chunk.order_id)?;
    if chunk.data.len() > MAX_CHUNK_BYTES {
        return Err(chasqui_proto::error::bad_field(
            "data",
            "is over 256 KiB: send smaller chunks",
        ));
    }
    let (device_id, now_ms, offset, data) = (
        device.id.to_string(),
        now_ms(),
        chunk.offset,
        chunk.data.clone(),
    );
    let (kept, end) = ctx
        .store
        .write(move |tx| -> Result<_, Failure> {
            let order_id = order_id.to_string();
            let target = own_target(tx, &order_id, &device_id)?;
            let end = store::output_end(tx, &order_id, &device_id)?;
            let piece = fresh(offset, &data, end);
            if !may_print(target.state) || piece.is_empty() {
                return Ok((None, end));
            }
            // A gap stays a gap: bytes stand at their own offset.
            let at = offset.max(end);
            store::append_output(tx, (&order_id, &device_id), at, &piece, now_ms)?;
            let end = at.saturating_add(u64::try_from(piece.len()).unwrap_or(0));
            Ok((Some((at, piece)), end))
        })
        .await?;
    if let Some((offset, data)) = kept {
        ctx.bus.publish(
            order_id,
            Live::Output {
                device: device.id,
                offset,
                data,
            },
        );
    }
    Ok(end)
}

/// The part of a chunk that lies behind `end` and within the bound.
fn fresh(offset: u64, data: &Bytes, end: u64) -> Bytes {
    let length = u64::try_from(data.len()).unwrap_or(0);
    let from = end.saturating_sub(offset).min(length);
    let to = MAX_KEPT_BYTES.saturating_sub(offset).min(length);
    match (usize::try_from(from), usize::try_from(to)) {
        (Ok(from), Ok(to)) if from < to => data.slice(from..to),
        _ => Bytes::new(),
    }
}

/// What the watcher has seen.
#[derive(Default)]
struct Seen {
    version: Option<u64>,
    ends: HashMap<String, u64>,
}

/// The order now, then each change and all output; ends when the order is final.
pub async fn watch(
    ctx: Context,
    order_id: OrderId,
) -> Result<ReceiverStream<Result<v1::WatchOrderResponse, Status>>, Status> {
    // Before the order is read: what happens in between is then heard twice rather than never.
    let live = ctx.bus.watch(order_id);
    // A wrong id is the call's own error, not the stream's.
    ctx.store
        .read(move |tx| find(tx, &order_id.to_string()).map(|_| ()))
        .await?;
    let (sender, receiver) = mpsc::channel(BACKLOG);
    let tasks = ctx.tasks.clone();
    tasks.spawn(async move {
        let stop = ctx.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = follow(&ctx, order_id, live, &sender) => {}
        }
    });
    Ok(ReceiverStream::new(receiver))
}

type Sender = mpsc::Sender<Result<v1::WatchOrderResponse, Status>>;

async fn follow(ctx: &Context, order_id: OrderId, mut live: Watch, sender: &Sender) {
    let mut seen = Seen::default();
    loop {
        match look(ctx, order_id, &mut seen, sender).await {
            Some(true) => {}
            Some(false) | None => return,
        }
        // Output that follows on needs no look into the store; everything else does.
        loop {
            let next = tokio::select! {
                next = live.next() => Some(next),
                () = tokio::time::sleep(LOOK_EVERY) => None,
                () = sender.closed() => return,
            };
            match next {
                Some(Watched::Live(Live::Output {
                    device,
                    offset,
                    data,
                })) => {
                    if !show_live(device, offset, data, &mut seen, sender).await {
                        break;
                    }
                }
                Some(Watched::Ended) => return,
                Some(Watched::Live(Live::Changed) | Watched::Missed(_)) | None => break,
            }
        }
    }
}

/// Shows output that came on the bus. False when it does not follow on what was shown: the store then has to tell.
async fn show_live(
    device: DeviceId,
    offset: u64,
    data: Bytes,
    seen: &mut Seen,
    sender: &Sender,
) -> bool {
    let device_id = device.to_string();
    let shown = seen.ends.get(&device_id).copied().unwrap_or(0);
    if offset > shown {
        return false;
    }
    let piece = fresh(offset, &data, shown);
    if piece.is_empty() {
        return true;
    }
    let end = shown.saturating_add(u64::try_from(piece.len()).unwrap_or(0));
    let output = v1::OrderOutput {
        device_id: device_id.clone(),
        offset: shown,
        data: piece,
        truncated: false,
    };
    seen.ends.insert(device_id, end);
    sender
        .send(Ok(v1::WatchOrderResponse {
            event: Some(Event::Output(output)),
        }))
        .await
        .is_ok()
}

/// Reads the store and shows what is new: first the order the first time, output first afterwards, so that all output
/// stands before the final state.
///
/// # Returns
/// Whether to go on; nothing when nobody watches any more.
async fn look(ctx: &Context, order_id: OrderId, seen: &mut Seen, sender: &Sender) -> Option<bool> {
    let known = seen.version;
    let read = ctx
        .store
        .read(move |tx| -> Result<_, Failure> {
            let order = find(tx, &order_id.to_string())?;
            let output = store::output(tx, &order.id)?;
            let shown = if known == Some(order.version) {
                None
            } else {
                Some(whole(tx, &order)?)
            };
            Ok((order.version, order.state, shown, output))
        })
        .await;
    let (version, state, order, output) = match read {
        Ok(read) => read,
        Err(failure) => {
            let _ = sender.send(Err(failure.into())).await;
            return None;
        }
    };
    let first = known.is_none();
    seen.version = Some(version);
    let change = order.map(|order| v1::WatchOrderResponse {
        event: Some(Event::Order(order)),
    });
    let (before, after) = if first {
        (change, None)
    } else {
        (None, change)
    };
    if let Some(change) = before {
        sender.send(Ok(change)).await.ok()?;
    }
    for (device_id, offset, bytes) in output {
        let shown = seen.ends.get(&device_id).copied().unwrap_or(0);
        let data = fresh(offset, &bytes.into(), shown);
        if data.is_empty() {
            continue;
        }
        let at = offset.max(shown);
        let end = at.saturating_add(u64::try_from(data.len()).unwrap_or(0));
        // The store has a gap only where the machine left one or the bound was reached.
        let output = v1::OrderOutput {
            device_id: device_id.clone(),
            offset: at,
            data,
            truncated: at > shown,
        };
        seen.ends.insert(device_id, end);
        sender
            .send(Ok(v1::WatchOrderResponse {
                event: Some(Event::Output(output)),
            }))
            .await
            .ok()?;
    }
    if let Some(change) = after {
        sender.send(Ok(change)).await.ok()?;
    }
    Some(!ends(state))
}

/// Whether nothing more will come. What is unknown may still be answered by the machine.
fn ends(state: OrderState) -> bool {
    state.is_final()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_and_within_the_bound_is_kept() {
        let data = Bytes::from_static(b"abcdef");
        assert_eq!(fresh(0, &data, 0), "abcdef");
        assert_eq!(fresh(0, &data, 4), "ef");
        assert_eq!(fresh(0, &data, 6), "");
        assert_eq!(fresh(10, &data, 4), "abcdef");
        assert_eq!(fresh(MAX_KEPT_BYTES - 2, &data, 0), "ab");
        assert_eq!(fresh(MAX_KEPT_BYTES, &data, 0), "");
        assert_eq!(fresh(u64::MAX, &data, 0), "");
    }
}
