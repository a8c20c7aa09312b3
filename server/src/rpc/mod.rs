//! The services of the API, one file a feature: decode, decide by the rules of `chasqui-domain`, store, encode. Who may
//! call at all was decided before ([`crate::auth`]); SQL is the store's.

pub mod check;
pub mod device;
pub mod enrolment;
pub mod enrolment_token;
pub mod evidence;
pub mod inventory;
pub mod inventory_source;
pub mod keyset;
pub mod link;
pub mod log;
pub mod order;
pub mod page;
pub mod person;
pub mod retirement;
pub mod session;
pub mod ticket;
pub mod trust;
pub mod wire;

pub use check::request_key;
pub use page::{Page, page};

use chasqui_proto::v1::device_service_server::DeviceServiceServer;
use chasqui_proto::v1::enrolment_service_server::EnrolmentServiceServer;
use chasqui_proto::v1::enrolment_token_service_server::EnrolmentTokenServiceServer;
use chasqui_proto::v1::inventory_service_server::InventoryServiceServer;
use chasqui_proto::v1::inventory_source_service_server::InventorySourceServiceServer;
use chasqui_proto::v1::log_service_server::LogServiceServer;
use chasqui_proto::v1::order_service_server::OrderServiceServer;
use chasqui_proto::v1::person_service_server::PersonServiceServer;
use chasqui_proto::v1::retirement_service_server::RetirementServiceServer;
use chasqui_proto::v1::session_service_server::SessionServiceServer;
use chasqui_proto::v1::ticket_service_server::TicketServiceServer;
use chasqui_proto::v1::trust_service_server::TrustServiceServer;
use tonic::service::Routes;

use crate::context::Context;

/// Bytes of a request that holds fields and short texts alone.
pub const SMALL: usize = 16 * 1024;
/// Bytes of a request with a long text (20,000 characters of at most 4 bytes) or a small envelope.
pub const TEXT: usize = 128 * 1024;
/// Bytes of a trust document with its frame.
pub const DOCUMENT: usize = 2 * 1024 * 1024;
/// Bytes of 10,000 rows of a spreadsheet.
pub const ROWS: usize = 12 * 1024 * 1024;
/// Bytes of an order with 10,000 leaves.
pub const ORDER: usize = 16 * 1024 * 1024;

/// What the agents' listener serves.
pub fn agents(ctx: &Context) -> Routes {
    Routes::default()
        .add_service(
            EnrolmentServiceServer::new(enrolment::Service(ctx.clone()))
                .max_decoding_message_size(SMALL),
        )
        .add_service(link::Routes::new(link::Service(ctx.clone())))
}

/// What the people's listener serves. A new feature adds its line here.
pub fn people(ctx: &Context) -> Routes {
    Routes::default()
        .add_service(
            SessionServiceServer::new(session::Service(ctx.clone()))
                .max_decoding_message_size(SMALL),
        )
        .add_service(
            PersonServiceServer::new(person::Service(ctx.clone())).max_decoding_message_size(SMALL),
        )
        .add_service(
            EnrolmentTokenServiceServer::new(enrolment_token::Service(ctx.clone()))
                .max_decoding_message_size(SMALL),
        )
        .add_service(
            DeviceServiceServer::new(device::Service(ctx.clone())).max_decoding_message_size(ROWS),
        )
        .add_service(
            TicketServiceServer::new(ticket::Service(ctx.clone())).max_decoding_message_size(TEXT),
        )
        .add_service(
            OrderServiceServer::new(order::Service(ctx.clone())).max_decoding_message_size(ORDER),
        )
        .add_service(
            TrustServiceServer::new(trust::Service(ctx.clone()))
                .max_decoding_message_size(DOCUMENT),
        )
        .add_service(
            InventoryServiceServer::new(inventory::Service(ctx.clone()))
                .max_decoding_message_size(SMALL),
        )
        .add_service(
            InventorySourceServiceServer::new(inventory_source::Service(ctx.clone()))
                .max_decoding_message_size(SMALL),
        )
        .add_service(
            RetirementServiceServer::new(retirement::Service(ctx.clone()))
                .max_decoding_message_size(SMALL),
        )
        .add_service(
            LogServiceServer::new(log::Service(ctx.clone())).max_decoding_message_size(SMALL),
        )
}
