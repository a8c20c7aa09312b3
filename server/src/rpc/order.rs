//! Orders: what people signed, from registration to the machine's signed result. The coordinator verifies early, so that
//! people hear of a mistake before a machine refuses it; it decides nothing that the agent would not decide again.
//!
//! The way of an order through this folder: [`create`] and [`statement`] take what people sign, [`deliver`] hands it to
//! machines, [`result`] takes what they report, [`output`] what they print, and [`state`] is the one place where states
//! change, each change with its event.

mod convert;
mod create;
mod deliver;
mod output;
mod result;
mod retire;
mod state;
mod statement;
mod ticket_over;

use std::pin::Pin;

use chasqui_base::clock::now_ms;
use chasqui_domain::ids::{DeviceId, OrderId, TicketId};
use chasqui_domain::ticket::Reason;
use chasqui_proto::error::bad_field;
use chasqui_proto::v1;
use chasqui_store::order::{self as store, OrderQuery};
use chasqui_store::trust_document;
use chasqui_store::{StoreError, Tx};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::check::id;
use super::wire::optional_id;
use super::{evidence, keyset, page};
use crate::auth::person;
use crate::context::Context;
use crate::error::{Failure, not_found};

pub(crate) use deliver::changed;
pub use deliver::{bundle, pending, progress};
pub use output::output;
pub use result::submit as submit_result;
pub(crate) use retire::{Retired, retire};
pub use state::expire_due;
pub use statement::expire_lapsed;
pub(crate) use ticket_over::ticket_over;

/// Machines whose targets a list shows of each order.
const LISTED_TARGETS: u32 = 100;
/// Most machines of one order.
const MAX_TARGETS: u32 = 10_000;

/// The service.
#[derive(Clone)]
pub struct Service(pub Context);

/// The whole order as the API shows it.
pub(crate) fn whole(tx: &mut Tx, order: &store::Order) -> Result<v1::Order, StoreError> {
    let targets = store::targets(tx, &order.id, MAX_TARGETS)?;
    let statements = store::statements(tx, &order.id)?;
    Ok(convert::order(order, &targets, &statements))
}

/// The order with this id.
pub(crate) fn find(tx: &mut Tx, order_id: &str) -> Result<store::Order, Failure> {
    store::by_id(tx, order_id)?.ok_or_else(|| not_found("order", order_id).into())
}

#[tonic::async_trait]
impl v1::order_service_server::OrderService for Service {
    async fn create_order(
        &self,
        request: Request<v1::CreateOrderRequest>,
    ) -> Result<Response<v1::CreateOrderResponse>, Status> {
        let who = person(&request)?;
        let order = create::create(&self.0, who, request.into_inner()).await?;
        Ok(Response::new(v1::CreateOrderResponse {
            order: Some(order),
        }))
    }

    async fn get_order(
        &self,
        request: Request<v1::GetOrderRequest>,
    ) -> Result<Response<v1::GetOrderResponse>, Status> {
        let order_id: OrderId = id("order_id", &request.into_inner().order_id)?;
        let answer = self
            .0
            .store
            .read(move |tx| -> Result<_, Failure> {
                let order = find(tx, &order_id.to_string())?;
                let definition =
                    trust_document::definition(tx, &order.definition_digest)?.unwrap_or_default();
                Ok(v1::GetOrderResponse {
                    order: Some(whole(tx, &order)?),
                    definition: definition.into(),
                })
            })
            .await?;
        Ok(Response::new(answer))
    }

    async fn list_orders(
        &self,
        request: Request<v1::ListOrdersRequest>,
    ) -> Result<Response<v1::ListOrdersResponse>, Status> {
        let body = request.into_inner();
        let text = |id: Option<String>| id.unwrap_or_default();
        let mut query = OrderQuery {
            states: body
                .states
                .iter()
                .map(|state| {
                    convert::state(*state)
                        .ok_or_else(|| bad_field("states", "names no state of an order"))
                })
                .collect::<Result<_, _>>()?,
            ticket_id: text(
                optional_id::<TicketId>("ticket_id", &body.ticket_id)?.map(|id| id.to_string()),
            ),
            device_id: text(
                optional_id::<DeviceId>("device_id", &body.device_id)?.map(|id| id.to_string()),
            ),
            ..OrderQuery::default()
        };
        let page = page(&body.page, "ListOrders", &format!("{query:?}"))?;
        query.limit = page.limit();
        query.after = keyset::after(&page)?;
        let mut orders = self
            .0
            .store
            .read(move |tx| -> Result<_, Failure> {
                let mut orders = Vec::new();
                for order in store::list(tx, &query)? {
                    let targets = store::targets(tx, &order.id, LISTED_TARGETS)?;
                    orders.push(convert::listed(&order, &targets));
                }
                Ok(orders)
            })
            .await?;
        let info = page.cut(&mut orders, |order: &v1::Order| {
            keyset::key(order.created_at_ms, &order.id)
        });
        Ok(Response::new(v1::ListOrdersResponse {
            orders,
            page: Some(info),
        }))
    }

    async fn add_statement(
        &self,
        request: Request<v1::AddStatementRequest>,
    ) -> Result<Response<v1::AddStatementResponse>, Status> {
        let who = person(&request)?;
        let order = statement::add(&self.0, who, request.into_inner()).await?;
        Ok(Response::new(v1::AddStatementResponse {
            order: Some(order),
        }))
    }

    async fn cancel_order(
        &self,
        request: Request<v1::CancelOrderRequest>,
    ) -> Result<Response<v1::CancelOrderResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let order_id: OrderId = id("order_id", &body.order_id)?;
        let reason = Reason::parse(&body.reason).map_err(Failure::from)?;
        let (order, held_by) = self
            .0
            .store
            .write(move |tx| -> Result<_, Failure> {
                let order = find(tx, &order_id.to_string())?;
                let personal = serde_json::json!({"reason": reason.as_str()}).to_string();
                let held_by =
                    state::call_off(tx, &order, &who.id.to_string(), &personal, now_ms())?;
                let order = find(tx, &order_id.to_string())?;
                Ok((whole(tx, &order)?, held_by))
            })
            .await?;
        chasqui_base::fault_point!("server.order.cancelled");
        deliver::stop(&self.0, order_id, &order.digest, &held_by);
        deliver::changed(&self.0, order_id);
        Ok(Response::new(v1::CancelOrderResponse {
            order: Some(order),
        }))
    }

    type WatchOrderStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchOrderResponse, Status>> + Send>>;

    async fn watch_order(
        &self,
        request: Request<v1::WatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        let order_id: OrderId = id("order_id", &request.into_inner().order_id)?;
        let stream = output::watch(self.0.clone(), order_id).await?;
        Ok(Response::new(Box::pin(stream)))
    }

    async fn export_evidence(
        &self,
        request: Request<v1::ExportEvidenceRequest>,
    ) -> Result<Response<v1::ExportEvidenceResponse>, Status> {
        let answer = evidence::export(&self.0, request.into_inner()).await?;
        Ok(Response::new(answer))
    }
}
