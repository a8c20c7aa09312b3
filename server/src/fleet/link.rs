//! One device's stream as the rest of the coordinator sees it: a bounded queue of messages, an end, and a question
//! whether the other side still lives. It is small, because there is one for every machine of the fleet: an idle link
//! holds no buffer and no task of its own.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use chasqui_domain::ids::DeviceId;
use chasqui_proto::v1::{
    Goodbye, GoodbyeReason, OrderDelivery, Probe, ServerMessage, server_message,
};
use futures_util::task::AtomicWaker;
use prost::Message;
use tokio::sync::oneshot;
use tonic::Status;

use super::Sent;

/// Messages that may wait for one device.
const MOST_MESSAGES: usize = 256;
/// Their encoded bytes together; one message always fits.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// Orders whose delivery a stream remembers; beyond it, it forgets all and delivers again, which agents endure.
const MOST_DELIVERED: usize = 4_096;

/// How a stream ends on purpose.
#[derive(Clone, Debug)]
pub struct End {
    /// Said in the Goodbye.
    pub reason: GoodbyeReason,
    /// Said in the Goodbye: reconnect not before.
    pub retry_after_ms: i64,
    /// The call's status after the Goodbye; nothing is OK.
    pub status: Option<Status>,
}

/// An open stream.
pub struct Link {
    /// Whose it is.
    pub device: DeviceId,
    /// The start of the machine that opened it.
    pub boot_id: Box<str>,
    /// As the machine calls itself.
    pub host_name: Box<str>,
    /// Where it comes from.
    pub source: Box<str>,
    heard_at_ms: AtomicI64,
    queue: Mutex<Queue>,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Queue {
    open: bool,
    messages: VecDeque<ServerMessage>,
    bytes: usize,
    end: Option<End>,
    goodbye_said: bool,
    delivered: HashSet<Box<str>>,
    probe: Option<(Bytes, oneshot::Sender<()>)>,
}

/// What a stream does next.
#[derive(Debug)]
pub enum Next {
    /// Send this.
    Message(ServerMessage),
    /// Nothing more comes; end with this status, or with OK.
    End(Option<Status>),
}

impl Link {
    /// A link that nobody knows yet.
    pub fn new(
        device: DeviceId,
        boot_id: &str,
        host_name: &str,
        source: &str,
        now_ms: i64,
    ) -> Arc<Self> {
        Arc::new(Self {
            device,
            boot_id: boot_id.into(),
            host_name: host_name.into(),
            source: source.into(),
            heard_at_ms: AtomicI64::new(now_ms),
            queue: Mutex::default(),
            waker: AtomicWaker::new(),
        })
    }

    /// Begins to take messages, this one before any other. Until then nothing but a question is queued: no order
    /// overtakes the Welcome.
    pub fn open(&self, welcome: ServerMessage) {
        if let Ok(mut queue) = self.queue.lock()
            && queue.end.is_none()
        {
            queue.open = true;
            queue.bytes += welcome.encoded_len();
            queue.messages.push_front(welcome);
        }
        self.waker.wake();
    }

    /// Queues a message.
    pub fn send(&self, message: ServerMessage) -> Sent {
        let Ok(mut queue) = self.queue.lock() else {
            return Sent::NotConnected;
        };
        let sent = queue.push(message);
        drop(queue);
        self.waker.wake();
        sent
    }

    /// Queues the orders this stream has not had.
    pub fn deliver(&self, orders: Vec<OrderDelivery>) -> Sent {
        let Ok(mut queue) = self.queue.lock() else {
            return Sent::NotConnected;
        };
        let mut sent = Sent::Queued;
        for order in orders {
            if queue.delivered.contains(order.order_id.as_str()) {
                continue;
            }
            if queue.delivered.len() >= MOST_DELIVERED {
                queue.delivered.clear();
            }
            let id: Box<str> = order.order_id.as_str().into();
            sent = queue.push(ServerMessage {
                message: Some(server_message::Message::Order(order)),
            });
            if sent != Sent::Queued {
                break;
            }
            queue.delivered.insert(id);
        }
        drop(queue);
        self.waker.wake();
        sent
    }

    /// Ends the stream: drops what waits, says Goodbye. The first end counts.
    pub fn end(&self, end: End) {
        if let Ok(mut queue) = self.queue.lock()
            && queue.end.is_none()
        {
            queue.messages = VecDeque::new();
            queue.bytes = 0;
            queue.end = Some(end);
        }
        self.waker.wake();
    }

    /// Asks the machine whether it lives. The receiver gets a unit when it answers, an error when the stream ends or
    /// another question takes this one's place.
    pub fn probe(&self, nonce: Bytes) -> oneshot::Receiver<()> {
        let (answered, answer) = oneshot::channel();
        if let Ok(mut queue) = self.queue.lock() {
            let was_open = std::mem::replace(&mut queue.open, true);
            queue.push(ServerMessage {
                message: Some(server_message::Message::Probe(Probe {
                    nonce: nonce.clone(),
                })),
            });
            queue.open = was_open;
            queue.probe = Some((nonce, answered));
        }
        self.waker.wake();
        answer
    }

    /// The machine answered a question.
    pub fn probe_answered(&self, nonce: &[u8]) {
        let asked = self
            .queue
            .lock()
            .ok()
            .and_then(|mut queue| queue.probe.take_if(|(asked, _)| asked == nonce));
        if let Some((_, answered)) = asked {
            // Whoever asked may have stopped waiting.
            let _ = answered.send(());
        }
    }

    /// Something came from the machine.
    pub fn heard(&self, now_ms: i64) {
        self.heard_at_ms.store(now_ms, Ordering::Relaxed);
    }

    /// When something last came, UTC milliseconds.
    pub fn heard_at_ms(&self) -> i64 {
        self.heard_at_ms.load(Ordering::Relaxed)
    }

    /// The stream's next step, for the one task that serves it.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Next> {
        self.waker.register(cx.waker());
        let Ok(mut queue) = self.queue.lock() else {
            return Poll::Ready(Next::End(None));
        };
        if let Some(message) = queue.pop() {
            return Poll::Ready(Next::Message(message));
        }
        match &queue.end {
            None => Poll::Pending,
            Some(end) if queue.goodbye_said => Poll::Ready(Next::End(end.status.clone())),
            Some(end) => {
                let goodbye = Goodbye {
                    reason: end.reason.into(),
                    retry_after_ms: end.retry_after_ms,
                };
                queue.goodbye_said = true;
                Poll::Ready(Next::Message(ServerMessage {
                    message: Some(server_message::Message::Goodbye(goodbye)),
                }))
            }
        }
    }
}

impl Queue {
    fn push(&mut self, message: ServerMessage) -> Sent {
        if self.end.is_some() || !self.open {
            return Sent::NotConnected;
        }
        let bytes = message.encoded_len();
        let fits = self.messages.is_empty() || self.bytes + bytes <= MOST_BYTES;
        if self.messages.len() >= MOST_MESSAGES || !fits {
            return Sent::Full;
        }
        self.bytes += bytes;
        self.messages.push_back(message);
        Sent::Queued
    }

    fn pop(&mut self) -> Option<ServerMessage> {
        let message = self.messages.pop_front()?;
        self.bytes = self.bytes.saturating_sub(message.encoded_len());
        if self.messages.is_empty() {
            // An idle link holds no buffer.
            self.messages = VecDeque::new();
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use chasqui_base::clock;

    use super::*;

    /// An open link whose Welcome was taken.
    fn link(boot_id: &str) -> Arc<Link> {
        let link = Link::new(DeviceId(clock::new_id()), boot_id, "pc-1", "192.0.2.1", 0);
        link.open(ServerMessage::default());
        assert!(next(&link).is_ready());
        link
    }

    fn next(link: &Link) -> Poll<Next> {
        link.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    fn order(id: &str, size: usize) -> OrderDelivery {
        OrderDelivery {
            order_id: id.to_owned(),
            bundle: vec![0; size].into(),
        }
    }

    fn ended() -> End {
        End {
            reason: GoodbyeReason::Revoked,
            retry_after_ms: 0,
            status: Some(Status::permission_denied("revoked")),
        }
    }

    #[test]
    fn an_end_overtakes_every_order_that_waits() {
        let link = link("a");
        assert_eq!(
            link.deliver(vec![order("1", 1), order("2", 1)]),
            Sent::Queued
        );
        link.end(ended());
        assert_eq!(link.deliver(vec![order("3", 1)]), Sent::NotConnected);
        let Poll::Ready(Next::Message(first)) = next(&link) else {
            panic!("no goodbye");
        };
        assert!(
            matches!(first.message, Some(server_message::Message::Goodbye(_))),
            "{first:?}"
        );
        assert!(matches!(next(&link), Poll::Ready(Next::End(Some(_)))));
    }

    #[test]
    fn an_order_is_delivered_once_a_stream() {
        let link = link("a");
        link.deliver(vec![order("1", 1)]);
        link.deliver(vec![order("1", 1), order("2", 1)]);
        let mut count = 0;
        while let Poll::Ready(Next::Message(_)) = next(&link) {
            count += 1;
        }
        assert_eq!(count, 2);
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_bytes() {
        let link = link("a");
        let sent = link.deliver((0..1_000).map(|n| order(&n.to_string(), 1)).collect());
        assert_eq!(sent, Sent::Full);
        let other = self::link("b");
        assert_eq!(
            other.deliver(
                (0..10)
                    .map(|n| order(&n.to_string(), 2 * 1024 * 1024))
                    .collect()
            ),
            Sent::Full
        );
        let Ok(queue) = other.queue.lock() else {
            panic!()
        };
        assert!(queue.bytes <= MOST_BYTES);
        // What did not fit was not marked as delivered: the next sweep brings it.
        assert_eq!(queue.delivered.len(), queue.messages.len());
    }

    #[test]
    fn no_order_overtakes_the_welcome() {
        let link = Link::new(DeviceId(clock::new_id()), "a", "pc-1", "192.0.2.1", 0);
        assert_eq!(link.deliver(vec![order("1", 1)]), Sent::NotConnected);
        let _answer = link.probe(Bytes::from_static(b"one"));
        link.open(ServerMessage::default());
        let Poll::Ready(Next::Message(first)) = next(&link) else {
            panic!("nothing");
        };
        assert_eq!(first.message, None, "the welcome comes first");
        assert_eq!(link.deliver(vec![order("1", 1)]), Sent::Queued);
    }

    #[test]
    fn only_the_asked_nonce_answers() {
        let link = link("a");
        let mut answer = link.probe(Bytes::from_static(b"one"));
        link.probe_answered(b"two");
        assert!(answer.try_recv().is_err());
        link.probe_answered(b"one");
        assert!(answer.try_recv().is_ok());
    }
}
