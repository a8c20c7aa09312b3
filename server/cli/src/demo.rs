//! `chasqui demo`: one whole support case on this very machine, by the public API and the three shipped programs alone.
//! It makes its own coordinator, agent, people and trust in one folder, plays the case step by step, and takes everything
//! down at the end. What it shows, it has checked.

#[cfg(unix)]
mod case;
#[cfg(unix)]
mod cast;
#[cfg(unix)]
mod ceremony;
#[cfg(unix)]
mod children;
#[cfg(unix)]
mod confine;
#[cfg(unix)]
mod folder;
#[cfg(unix)]
mod setup;
#[cfg(unix)]
mod stage;
#[cfg(unix)]
mod watch;

use crate::args::{DemoArgs, DemoChildArgs};
use crate::context::Context;
use crate::failure::Outcome;

/// Plays the case. With `--once` it ends after it; else it stays up until told to stop.
#[cfg(unix)]
pub async fn run(context: &Context, args: DemoArgs) -> Outcome {
    stage::run(context, args).await
}

/// Becomes the coordinator or the agent of the demo, with a narrowed view of the machine.
#[cfg(unix)]
pub fn child(args: DemoChildArgs) -> Outcome {
    confine::run(args)
}

#[cfg(not(unix))]
pub async fn run(_context: &Context, _args: DemoArgs) -> Outcome {
    Err(not_here())
}

#[cfg(not(unix))]
pub fn child(_args: DemoChildArgs) -> Outcome {
    Err(not_here())
}

#[cfg(not(unix))]
fn not_here() -> crate::failure::Failure {
    crate::failure::Failure::new(
        crate::failure::Exit::Refused,
        "DEMO_UNIX_ONLY",
        "la demostración necesita Linux: el coordinador y el agente de esta versión son programas de Linux",
        "the demo needs Linux: coordinator and agent of this version are Linux programs",
    )
    .hint(
        "las demás órdenes de chasqui funcionan también aquí",
        "the other commands of chasqui work here too",
    )
}
