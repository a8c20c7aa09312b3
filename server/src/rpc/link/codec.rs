//! How the link's calls are framed: small buffers for the stream that every machine of the fleet holds open, bounds per
//! call before anything is decoded, and few large reports at once.

use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use chasqui_proto::v1::link_service_server::{LinkService, LinkServiceServer, SERVICE_NAME};
use chasqui_proto::v1::{AgentMessage, OutputChunk, SendOutputResponse, ServerMessage};
use prost::Message;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::codec::{BufferSettings, Codec};
use tonic::server::{ClientStreamingService, Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::{LinkStream, MAX_CHUNK, Service};

/// Bytes of a message of the control stream.
const MAX_CONTROL: usize = 64 * 1024;
/// Bytes of one inventory report and everything smaller: the API's 16 MiB and its framing.
const MAX_REPORT: usize = 16 * 1024 * 1024 + 64 * 1024;
/// Reports read at once; the next wait in the network, not in memory.
const REPORTS_AT_ONCE: usize = 16;

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

/// The link's calls as a service of the router. Cheap to clone.
#[derive(Clone)]
pub struct Routes {
    service: Arc<Service>,
    rest: LinkServiceServer<Service>,
    reports: Arc<Semaphore>,
}

impl Routes {
    /// Routes to this service.
    pub fn new(service: Service) -> Self {
        let service = Arc::new(service);
        Self {
            rest: LinkServiceServer::from_arc(Arc::clone(&service))
                .max_decoding_message_size(MAX_REPORT),
            service,
            reports: Arc::new(Semaphore::new(REPORTS_AT_ONCE)),
        }
    }
}

impl NamedService for Routes {
    const NAME: &'static str = SERVICE_NAME;
}

impl<B> tower::Service<http::Request<B>> for Routes
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _cx: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Answer {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        match method {
            "Connect" => {
                let connect = Connect(Arc::clone(&self.service));
                Box::pin(async move {
                    let mut grpc = Grpc::new(SmallCodec::default())
                        .apply_max_message_size_config(Some(MAX_CONTROL), None);
                    Ok(grpc.streaming(connect, request).await)
                })
            }
            "SendOutput" => {
                let output = Output(Arc::clone(&self.service));
                Box::pin(async move {
                    let mut grpc =
                        Grpc::new(ProstCodec::<SendOutputResponse, OutputChunk>::default())
                            .apply_max_message_size_config(Some(MAX_CHUNK + MAX_CONTROL), None);
                    Ok(grpc.client_streaming(output, request).await)
                })
            }
            "ReportInventory" => {
                let reports = Arc::clone(&self.reports);
                let mut rest = self.rest.clone();
                Box::pin(async move {
                    // Never closed; without a place the report is read all the same.
                    let _place = reports.acquire_owned().await.ok();
                    rest.call(request).await
                })
            }
            _ => self.rest.call(request),
        }
    }
}

struct Connect(Arc<Service>);

impl StreamingService<AgentMessage> for Connect {
    type Response = ServerMessage;
    type ResponseStream = LinkStream;
    type Future = Pin<Box<dyn Future<Output = Result<Response<LinkStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<AgentMessage>>) -> Self::Future {
        let service = Arc::clone(&self.0);
        Box::pin(async move { service.connect(request).await })
    }
}

struct Output(Arc<Service>);

impl ClientStreamingService<OutputChunk> for Output {
    type Response = SendOutputResponse;
    type Future =
        Pin<Box<dyn Future<Output = Result<Response<SendOutputResponse>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<OutputChunk>>) -> Self::Future {
        let service = Arc::clone(&self.0);
        Box::pin(async move { service.send_output(request).await })
    }
}

/// protobuf with buffers that fit control messages: tonic's own start at 8 KiB each way, for every open stream.
struct SmallCodec<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for SmallCodec<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// Bytes a buffer starts with and grows by, and those after which a write is flushed.
fn small() -> BufferSettings {
    BufferSettings::new(256, 16 * 1024)
}

impl<E, D> Codec for SmallCodec<E, D>
where
    E: Message + Send + 'static,
    D: Message + Default + Send + 'static,
{
    type Encode = E;
    type Decode = D;
    type Encoder = <ProstCodec<E, D> as Codec>::Encoder;
    type Decoder = <ProstCodec<E, D> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<E, D>::raw_encoder(small())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<E, D>::raw_decoder(small())
    }
}
