//! `chasqui demo`.

use crate::args::{DemoArgs, DemoChildArgs};
use crate::context::Context;
use crate::failure::Outcome;

pub async fn run(_context: &Context, _args: DemoArgs) -> Outcome {
    Ok(())
}

pub fn child(_args: DemoChildArgs) -> Outcome {
    Ok(())
}
