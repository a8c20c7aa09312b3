//! The nudge and the live output between whoever does something and whoever watches. Within one process now; between
//! replicas another kind joins this enum. Losing a message is never an error: watchers read the store as well.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chasqui_domain::ids::{DeviceId, OrderId};
use tokio::sync::broadcast;

/// Messages a watcher may lag behind, each at most one output chunk.
const BACKLOG: usize = 64;

/// What watchers of an order hear.
#[derive(Clone, Debug)]
pub enum Live {
    /// Something about the order changed: read it again.
    Changed,
    /// Output of one machine.
    Output {
        /// Which machine.
        device: DeviceId,
        /// Offset of the first byte in the machine's whole output.
        offset: u64,
        /// The bytes.
        data: Bytes,
    },
}

/// What a watcher gets.
#[derive(Clone, Debug)]
pub enum Watched {
    /// In order.
    Live(Live),
    /// So many messages were dropped because the watcher was slow.
    Missed(u64),
    /// Nothing more comes.
    Ended,
}

type Channels = Arc<Mutex<HashMap<OrderId, broadcast::Sender<Live>>>>;

/// The bus.
#[derive(Clone)]
pub enum Bus {
    /// Within this process.
    Local(Channels),
}

impl Bus {
    /// A bus of one process.
    pub fn local() -> Self {
        Self::Local(Channels::default())
    }

    /// Tells whoever watches an order. Nobody may.
    pub fn publish(&self, order: OrderId, live: Live) {
        let Self::Local(channels) = self;
        if let Ok(channels) = channels.lock()
            && let Some(channel) = channels.get(&order)
        {
            // Without a receiver there is nobody to tell.
            let _ = channel.send(live);
        }
    }

    /// Watches an order from now on.
    pub fn watch(&self, order: OrderId) -> Watch {
        let Self::Local(channels) = self;
        let receiver = match channels.lock() {
            Ok(mut channels) => channels
                .entry(order)
                .or_insert_with(|| broadcast::channel(BACKLOG).0)
                .subscribe(),
            Err(_) => broadcast::channel(1).1,
        };
        Watch {
            order,
            channels: Arc::clone(channels),
            receiver,
        }
    }
}

/// One watcher. Dropping the last one of an order frees its channel.
pub struct Watch {
    order: OrderId,
    channels: Channels,
    receiver: broadcast::Receiver<Live>,
}

impl Watch {
    /// The next message.
    pub async fn next(&mut self) -> Watched {
        match self.receiver.recv().await {
            Ok(live) => Watched::Live(live),
            Err(broadcast::error::RecvError::Lagged(missed)) => Watched::Missed(missed),
            Err(broadcast::error::RecvError::Closed) => Watched::Ended,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Ok(mut channels) = self.channels.lock()
            // This watcher's own receiver still counts.
            && channels.get(&self.order).is_some_and(|channel| channel.receiver_count() <= 1)
        {
            channels.remove(&self.order);
        }
    }
}

#[cfg(test)]
mod tests {
    use chasqui_base::clock;

    use super::*;

    #[tokio::test]
    async fn a_slow_watcher_hears_that_it_missed_something() {
        let bus = Bus::local();
        let order = OrderId(clock::new_id());
        bus.publish(order, Live::Changed);
        let mut watch = bus.watch(order);
        for _ in 0..BACKLOG + 3 {
            bus.publish(order, Live::Changed);
        }
        assert!(matches!(watch.next().await, Watched::Missed(3)));
        assert!(matches!(watch.next().await, Watched::Live(Live::Changed)));
        let other = bus.watch(order);
        drop(watch);
        let Bus::Local(channels) = &bus;
        assert_eq!(channels.lock().unwrap().len(), 1);
        drop(other);
        assert!(channels.lock().unwrap().is_empty());
    }
}
