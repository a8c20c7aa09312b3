//! Who is connected, and the way to them. The database is the truth: what is sent here is only sooner, and a stream that
//! ends loses nothing. It carries messages and never looks into an order.

mod bus;
mod dispatch;
mod link;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};

use chasqui_domain::ids::DeviceId;
use chasqui_proto::v1::{GoodbyeReason, ServerMessage};

pub use bus::{Bus, Live, Watch, Watched};
pub use dispatch::{flush_seen, nudge_orders, push_orders, start, trust_changed};
pub use link::{End, Link, Next};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It waits for the stream to take it.
    Queued,
    /// No stream of this device is open here.
    NotConnected,
    /// The device does not take its messages; it will find what matters in the database.
    Full,
}

/// The open streams of this process.
#[derive(Default)]
pub struct Fleet {
    links: RwLock<HashMap<DeviceId, Arc<Link>>>,
    /// Signs of life of streams that ended since the last flush.
    departed: Mutex<HashMap<DeviceId, i64>>,
}

/// What stands in the way of a new stream.
pub enum Joined {
    /// Nothing: it is the device's stream now.
    Alone,
    /// The machine came back on a new connection; its older stream was told to end.
    Superseded,
    /// Another start of the machine holds an open stream: ask it whether it still lives.
    Occupied(Arc<Link>),
}

impl Fleet {
    /// Queues a message for a device.
    pub fn send(&self, device: DeviceId, message: ServerMessage) -> Sent {
        self.link(device)
            .map_or(Sent::NotConnected, |link| link.send(message))
    }

    /// Queues a message for every connected device.
    pub fn broadcast(&self, message: &ServerMessage) {
        for link in self.all() {
            link.send(message.clone());
        }
    }

    /// Whether a stream of this device is open here.
    pub fn is_connected(&self, device: DeviceId) -> bool {
        self.link(device).is_some()
    }

    /// How many streams are open here.
    pub fn connected(&self) -> usize {
        self.links.read().map_or(0, |links| links.len())
    }

    /// The last sign of life heard here, UTC milliseconds; the stored one may be later or earlier.
    pub fn last_seen_ms(&self, device: DeviceId) -> Option<i64> {
        match self.link(device) {
            Some(link) => Some(link.heard_at_ms()),
            None => self.departed.lock().ok()?.get(&device).copied(),
        }
    }

    /// The open stream of a device.
    pub fn link(&self, device: DeviceId) -> Option<Arc<Link>> {
        self.links.read().ok()?.get(&device).cloned()
    }

    /// Ends a device's stream: what waits in its queue is dropped, a Goodbye is the last it gets.
    pub fn end(&self, device: DeviceId, end: End) {
        let link = self
            .links
            .write()
            .ok()
            .and_then(|mut links| links.remove(&device));
        if let Some(link) = link {
            link.end(end);
        }
    }

    /// Ends every stream with a Goodbye, each told to come back after its own part of `spread_ms`.
    pub fn end_all(&self, reason: GoodbyeReason, after_ms: i64, spread_ms: i64) {
        let links = self
            .links
            .write()
            .map(|mut links| std::mem::take(&mut *links))
            .unwrap_or_default();
        let count = i64::try_from(links.len()).unwrap_or(i64::MAX).max(1);
        for (number, link) in (0_i64..).zip(links.into_values()) {
            let part = spread_ms.saturating_mul(number) / count;
            link.end(End {
                reason,
                retry_after_ms: after_ms.saturating_add(part),
                status: None,
            });
        }
    }

    /// Makes a link the stream of its device, unless another start of the machine holds one. `force` takes its place.
    pub fn join(&self, link: &Arc<Link>, force: bool) -> Joined {
        let Ok(mut links) = self.links.write() else {
            return Joined::Alone;
        };
        match links.get(&link.device) {
            Some(old) if old.boot_id != link.boot_id && !force => Joined::Occupied(Arc::clone(old)),
            _ => match links.insert(link.device, Arc::clone(link)) {
                Some(old) => {
                    drop(links);
                    old.end(End {
                        reason: GoodbyeReason::Superseded,
                        retry_after_ms: 0,
                        status: None,
                    });
                    Joined::Superseded
                }
                None => Joined::Alone,
            },
        }
    }

    /// A stream is gone. Only its own place is given up, not that of one that superseded it.
    pub fn leave(&self, link: &Arc<Link>) {
        if let Ok(mut links) = self.links.write()
            && links
                .get(&link.device)
                .is_some_and(|now| Arc::ptr_eq(now, link))
        {
            links.remove(&link.device);
        }
        if let Ok(mut departed) = self.departed.lock() {
            departed.insert(link.device, link.heard_at_ms());
        }
    }

    fn all(&self) -> Vec<Arc<Link>> {
        self.links
            .read()
            .map(|links| links.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Signs of life to store: devices that left with their last one, devices that are here with `now_ms`, because
    /// the connection's own keep-alive holds them.
    fn take_seen(&self, now_ms: i64) -> Vec<(DeviceId, i64)> {
        let mut seen: HashMap<DeviceId, i64> = self
            .departed
            .lock()
            .map(|mut departed| std::mem::take(&mut *departed))
            .unwrap_or_default();
        seen.extend(self.all().iter().map(|link| (link.device, now_ms)));
        let mut seen: Vec<_> = seen.into_iter().collect();
        seen.sort_unstable();
        seen
    }

    /// Puts signs of life back that could not be stored.
    fn keep_seen(&self, seen: &[(DeviceId, i64)]) {
        if let Ok(mut departed) = self.departed.lock() {
            for (device, at_ms) in seen {
                departed.entry(*device).or_insert(*at_ms);
            }
        }
    }
}
