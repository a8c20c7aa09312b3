//! The response half of `Connect`, and inside it the request half: one task serves both, because a second one would cost
//! memory on every machine's account. First the greeting; then messages out as they are queued, messages in as they
//! come.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use chasqui_base::clock;
use chasqui_proto::v1::{AgentMessage, OrderProgress, ServerMessage, agent_message};
use futures_util::Stream;
use tonic::{Status, Streaming};

use super::greeting;
use crate::auth::Device;
use crate::context::Context;
use crate::fleet::{Link, Next};
use crate::rpc::order;

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What one device hears.
pub struct LinkStream {
    ctx: Context,
    device: Device,
    phase: Phase,
}

enum Phase {
    /// Waits for the Hello and decides whether this machine is the device.
    Greeting(Work<Result<(Place, Streaming<AgentMessage>), Status>>),
    Open {
        // Boxed: a finished greeting leaves nothing of its size behind.
        inbound: Box<Streaming<AgentMessage>>,
        place: Place,
        /// What an incoming message set going. The next message waits for it.
        work: Option<Work<()>>,
    },
    Ended,
}

/// A link's place in the fleet, given up when dropped.
pub(super) struct Place {
    pub(super) ctx: Context,
    pub(super) link: Arc<Link>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ctx.fleet.leave(&self.link);
    }
}

impl LinkStream {
    /// The stream of a device that the gate let in.
    pub fn new(
        ctx: Context,
        device: Device,
        source: String,
        inbound: Streaming<AgentMessage>,
    ) -> Self {
        let greeting = greeting::greet(ctx.clone(), device, source, inbound);
        Self {
            ctx,
            device,
            phase: Phase::Greeting(Box::pin(greeting)),
        }
    }
}

impl Stream for LinkStream {
    type Item = Result<ServerMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &mut this.phase {
                Phase::Greeting(greeting) => match ready!(greeting.as_mut().poll(cx)) {
                    Ok((place, inbound)) => {
                        this.phase = Phase::Open {
                            inbound: Box::new(inbound),
                            place,
                            work: None,
                        };
                    }
                    Err(status) => {
                        tracing::info!(
                            device = %this.device.id,
                            reason = chasqui_proto::error::reason_of(&status).unwrap_or_default(),
                            "stream refused"
                        );
                        this.phase = Phase::Ended;
                        return Poll::Ready(Some(Err(status)));
                    }
                },
                Phase::Open {
                    inbound,
                    place,
                    work,
                } => {
                    if let Some(running) = work
                        && running.as_mut().poll(cx).is_ready()
                    {
                        *work = None;
                    }
                    match place.link.poll_next(cx) {
                        Poll::Ready(Next::Message(message)) => {
                            return Poll::Ready(Some(Ok(message)));
                        }
                        Poll::Ready(Next::End(status)) => {
                            this.phase = Phase::Ended;
                            return Poll::Ready(status.map(Err));
                        }
                        Poll::Pending => {}
                    }
                    if work.is_some() {
                        return Poll::Pending;
                    }
                    match ready!(Pin::new(inbound.as_mut()).poll_next(cx)) {
                        Some(Ok(message)) => {
                            place.link.heard(clock::now_ms());
                            match message.message {
                                None => {}
                                Some(agent_message::Message::ProbeAnswer(answer)) => {
                                    place.link.probe_answered(&answer.nonce);
                                }
                                Some(agent_message::Message::Progress(progress)) => {
                                    *work = Some(Box::pin(take_progress(
                                        this.ctx.clone(),
                                        this.device,
                                        progress,
                                    )));
                                }
                                Some(agent_message::Message::Hello(_)) => {
                                    this.phase = Phase::Ended;
                                    return Poll::Ready(Some(Err(greeting::hello_again())));
                                }
                            }
                        }
                        Some(Err(status)) => {
                            // A broken connection, or a message over the bound: the latter's status tells the agent.
                            this.phase = Phase::Ended;
                            return Poll::Ready(Some(Err(status)));
                        }
                        None => {
                            this.phase = Phase::Ended;
                            return Poll::Ready(None);
                        }
                    }
                }
                Phase::Ended => return Poll::Ready(None),
            }
        }
    }
}

/// Progress is a hint for watchers: what cannot be stored is said in the log and changes nothing for the machine.
async fn take_progress(ctx: Context, device: Device, progress: OrderProgress) {
    if let Err(status) = order::progress(&ctx, &device, progress).await {
        tracing::info!(
            device = %device.id,
            reason = chasqui_proto::error::reason_of(&status).unwrap_or_default(),
            cause = status.message(),
            "progress was not stored"
        );
    }
}
