//! The order as the technician's screen sees it: a task follows it from before it is approved, so that no line of live
//! output is missed, and the play reads what it saw.

use std::time::Duration;

use chasqui_base::clock;
use chasqui_proto::v1;
use tokio::sync::mpsc;

use crate::client::Client;
use crate::failure::{Exit, Failure, Outcome};
use crate::order::is_final;
use crate::order::watch::{Seen, follow, output_lines};

/// How long the machine may take to verify an order, and to carry it out.
const PATIENCE: Duration = Duration::from_secs(20);
/// Seen things that wait at most; the demo reads them at once.
const QUEUE: usize = 1024;

/// A watched order.
pub struct Watch {
    seen: mpsc::Receiver<Outcome<Seen>>,
    /// As seen last.
    pub order: Option<v1::Order>,
    /// Output that came and was not shown yet.
    pub output: Vec<String>,
    /// Bytes of output seen.
    pub output_bytes: u64,
}

impl Watch {
    /// Follows an order from now on.
    pub fn start(client: &Client, order_id: &str) -> Self {
        let (sender, seen) = mpsc::channel(QUEUE);
        let (client, order_id) = (client.clone(), order_id.to_owned());
        tokio::spawn(async move {
            let ended = follow(&client, &order_id, |seen| {
                // A full queue means that nobody reads any more.
                sender.try_send(Ok(seen.clone())).is_err()
            })
            .await;
            if let Err(failure) = ended {
                let _ = sender.send(Err(failure)).await;
            }
        });
        Self {
            seen,
            order: None,
            output: Vec::new(),
            output_bytes: 0,
        }
    }

    /// Waits until the order is as `wanted`, or final. New output is handed to `live` as it comes.
    pub async fn until(
        &mut self,
        wanted: impl Fn(&v1::Order) -> bool,
        mut live: impl FnMut(&[String]),
    ) -> Outcome<v1::Order> {
        let deadline = clock::monotonic() + PATIENCE;
        loop {
            if let Some(order) = &self.order
                && (wanted(order) || is_final(order.state()))
            {
                return Ok(order.clone());
            }
            let left = deadline.saturating_duration_since(clock::monotonic());
            let seen = tokio::time::timeout(left, self.seen.recv())
                .await
                .map_err(|_| self.too_long())?;
            match seen {
                Some(Ok(Seen::Order(order))) => self.order = Some(*order),
                Some(Ok(Seen::Output(output))) => {
                    self.output_bytes += output.data.len() as u64;
                    let lines = output_lines(&String::from_utf8_lossy(&output.data));
                    live(&lines);
                    self.output.extend(lines);
                }
                Some(Err(failure)) => return Err(failure),
                None => return Err(self.too_long()),
            }
        }
    }

    fn too_long(&self) -> Failure {
        let state = self.order.as_ref().map_or_else(
            || "?".to_owned(),
            |order| crate::order::state_name(order.state()),
        );
        Failure::new(
            Exit::ActionFailed,
            "DEMO_NO_ANSWER",
            format!("el equipo no respondió a tiempo; la orden quedó en: {state}"),
            format!("the machine did not answer in time; the order stands at: {state}"),
        )
    }
}
