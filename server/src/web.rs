//! What the people's listener serves beside gRPC: whether the coordinator lives, whether it can work, and the endpoint for
//! inventories of other programs.

pub mod glpi;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use crate::context::Context;
use crate::error::Failure;

/// How long the store may take to say that it is there.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// `/healthz`, `/readyz` and the GLPI endpoint; everything else is not found.
pub fn routes(ctx: Context) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(ctx.clone())
        .merge(glpi::routes(ctx))
}

/// 200 when the store answers and the coordinator is not stopping; else 503 with the reason.
async fn ready(State(ctx): State<Context>) -> (StatusCode, &'static str) {
    if ctx.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    let asked = ctx
        .store
        .read(|tx| Ok::<_, Failure>(chasqui_store::meta::epoch(tx)?));
    match tokio::time::timeout(READY_WITHIN, asked).await {
        Ok(Ok(_)) => (StatusCode::OK, "ok\n"),
        Ok(Err(_)) => (StatusCode::SERVICE_UNAVAILABLE, "the store refuses\n"),
        Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the store does not answer\n",
        ),
    }
}
