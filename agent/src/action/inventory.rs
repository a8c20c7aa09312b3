//! `inventory.collect` and `inventory.accepted`: a full observation now, and its acceptance by the coordinator.

use std::sync::Arc;
use std::time::Duration;

use chasqui_base::clock;
use chasqui_base::text::Text;
use serde_json::{Value, json};

use super::builtin::{
    Args, Boxed, Check, Ended, Finding, Making, Step, Work, fact, not_applicable,
};
use crate::agent::Agent;
use crate::policy::Refused;

const LOOK_AGAIN: Duration = Duration::from_millis(100);

#[derive(Clone, Debug)]
struct Collect(Arc<Agent>);

/// `inventory.collect`.
pub fn step(_: &mut Args, making: &Making<'_>) -> Result<Box<dyn Step>, Refused> {
    Ok(Box::new(collect(making)?))
}

/// `inventory.accepted`.
pub fn check(_: &mut Args, making: &Making<'_>) -> Result<Box<dyn Check>, Refused> {
    Ok(Box::new(collect(making)?))
}

fn collect(making: &Making<'_>) -> Result<Collect, Refused> {
    making.setting.agent.clone().map(Collect).ok_or_else(|| {
        not_applicable(
            "solo un agente en marcha toma inventarios",
            "only a running agent takes inventories",
        )
    })
}

impl Collect {
    fn accepted_at_ms(&self) -> i64 {
        self.0.board.status().inventory_at_ms
    }
}

impl Step for Collect {
    fn run<'a>(&'a self, work: &'a Work<'a>) -> Boxed<'a, Ended> {
        Box::pin(async {
            let before = self.accepted_at_ms();
            let began = clock::monotonic();
            self.0.observe_now.notify_one();
            while self.accepted_at_ms() == before {
                if work.control.cancel.is_cancelled() {
                    return Ended::badly("cancelled");
                }
                if began.elapsed() >= work.limit {
                    return Ended::badly("time limit");
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Ended::well(Value::Null)
        })
    }
}

impl Check for Collect {
    fn observe<'a>(&'a self, _: &'a Work<'a>) -> Boxed<'a, Value> {
        Box::pin(async { json!(self.accepted_at_ms()) })
    }

    fn judge<'a>(&'a self, before: &'a Value, _: &'a Value, _: &'a Work<'a>) -> Boxed<'a, Finding> {
        Box::pin(async {
            let before = before.as_i64().unwrap_or(i64::MAX);
            let after = self.accepted_at_ms();
            let holds = after > before;
            let (es, en) = if holds {
                (
                    "el coordinador aceptó un inventario nuevo de este equipo",
                    "the coordinator accepted a new inventory of this machine",
                )
            } else {
                (
                    "el coordinador no aceptó ningún inventario nuevo; chasqui-agent status dice por qué",
                    "the coordinator accepted no new inventory; chasqui-agent status tells why",
                )
            };
            let shown = |at: i64| (at > 0 && at < i64::MAX).then_some(at);
            Finding {
                holds,
                facts: vec![fact("accepted_at", shown(before), shown(after), "ms")],
                explanation: Text::new(es, en),
            }
        })
    }
}
