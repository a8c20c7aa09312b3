//! The agents' link. `Connect` is a small stream for control; everything long has its own call. What a message means for
//! orders, inventory or trust is decided in those features' files; here is who is on the line and in what order things
//! are said.

mod codec;
mod greeting;
mod stream;

use chasqui_proto::error::bad_field;
use chasqui_proto::v1::link_service_server::LinkService;
use chasqui_proto::v1::{
    AgentMessage, FetchOrdersRequest, FetchOrdersResponse, FetchTrustDocumentsRequest,
    FetchTrustDocumentsResponse, OfferInventoryRequest, OfferInventoryResponse, OutputChunk,
    ReportInventoryRequest, ReportInventoryResponse, SendOutputResponse, SubmitResultRequest,
    SubmitResultResponse,
};
use tonic::{Request, Response, Status, Streaming};

use super::{inventory, order, trust};
use crate::auth;
use crate::context::Context;

pub use codec::Routes;
pub use stream::LinkStream;

/// Most bytes of one chunk of output.
const MAX_CHUNK: usize = 256 * 1024;

/// The link of one device.
pub struct Service(pub Context);

#[tonic::async_trait]
impl LinkService for Service {
    type ConnectStream = LinkStream;

    async fn connect(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<LinkStream>, Status> {
        let device = auth::device(&request)?;
        let source = auth::peer(&request)?.source();
        Ok(Response::new(LinkStream::new(
            self.0.clone(),
            device,
            source,
            request.into_inner(),
        )))
    }

    async fn send_output(
        &self,
        request: Request<Streaming<OutputChunk>>,
    ) -> Result<Response<SendOutputResponse>, Status> {
        let device = auth::device(&request)?;
        let mut chunks = request.into_inner();
        let mut kept_bytes = 0;
        loop {
            let chunk = tokio::select! {
                chunk = chunks.message() => chunk?,
                () = self.0.stop.cancelled() => None,
            };
            let Some(chunk) = chunk else { break };
            if chunk.data.len() > MAX_CHUNK {
                return Err(bad_field(
                    "data",
                    format!(
                        "has {} bytes, at most {MAX_CHUNK} are allowed",
                        chunk.data.len()
                    ),
                ));
            }
            let last = chunk.last;
            kept_bytes = order::output(&self.0, &device, chunk).await?;
            if last {
                break;
            }
        }
        Ok(Response::new(SendOutputResponse { kept_bytes }))
    }

    async fn offer_inventory(
        &self,
        request: Request<OfferInventoryRequest>,
    ) -> Result<Response<OfferInventoryResponse>, Status> {
        let device = auth::device(&request)?;
        inventory::offer(&self.0, &device, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn report_inventory(
        &self,
        request: Request<ReportInventoryRequest>,
    ) -> Result<Response<ReportInventoryResponse>, Status> {
        let device = auth::device(&request)?;
        inventory::report(&self.0, &device, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn submit_result(
        &self,
        request: Request<SubmitResultRequest>,
    ) -> Result<Response<SubmitResultResponse>, Status> {
        let device = auth::device(&request)?;
        order::submit_result(&self.0, &device, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn fetch_trust_documents(
        &self,
        request: Request<FetchTrustDocumentsRequest>,
    ) -> Result<Response<FetchTrustDocumentsResponse>, Status> {
        let device = auth::device(&request)?;
        trust::fetch(&self.0, &device, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn fetch_orders(
        &self,
        request: Request<FetchOrdersRequest>,
    ) -> Result<Response<FetchOrdersResponse>, Status> {
        let device = auth::device(&request)?;
        let orders = order::pending(&self.0, device.id).await?;
        Ok(Response::new(FetchOrdersResponse { orders }))
    }
}
