//! The role table over the real listeners: every call, by nobody, by each role, and by a machine.

use chasqui_domain::role::Role as DomainRole;
use chasqui_proto::error::reason_of;
use chasqui_proto::v1::Role;
use chasqui_server::auth::roles::{Listener, TABLE, Who};
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codegen::{Body, Bytes, StdError};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::rig::Coordinator;

const ROLES: [(Role, DomainRole); 6] = [
    (Role::Requester, DomainRole::Requester),
    (Role::Technician, DomainRole::Technician),
    (Role::Lead, DomainRole::Lead),
    (Role::Coordinator, DomainRole::Coordinator),
    (Role::Administrator, DomainRole::Administrator),
    (Role::Auditor, DomainRole::Auditor),
];

/// The answer to an empty request on a path: the reason it was refused with, if it was.
async fn call<S>(service: S, path: &'static str) -> Option<String>
where
    S: tonic::client::GrpcService<tonic::body::Body>,
    S::Error: Into<StdError>,
    S::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as Body>::Error: Into<StdError> + Send,
{
    let mut grpc = Grpc::new(service);
    if let Err(error) = grpc.ready().await {
        return Some(Into::<StdError>::into(error).to_string());
    }
    let path = PathAndQuery::from_static(path);
    let codec = ProstCodec::<(), ()>::default();
    // Streams answer their headers and then wait for more; that they were let in is all that is asked.
    let answer = tokio::time::timeout(
        std::time::Duration::from_secs(20),
        grpc.unary(Request::new(()), path, codec),
    );
    match answer.await {
        Ok(Err(status)) => Some(gate_reason(&status)),
        Ok(Ok(_)) | Err(_) => None,
    }
}

fn gate_reason(status: &Status) -> String {
    reason_of(status).unwrap_or_else(|| format!("{:?}", status.code()))
}

fn from_the_gate(reason: Option<&str>) -> bool {
    matches!(
        reason,
        Some(
            "SESSION_REQUIRED"
                | "SESSION_UNKNOWN"
                | "CERTIFICATE_REQUIRED"
                | "ROLE_REQUIRED"
                | "METHOD_UNKNOWN"
        )
    )
}

async fn every_call_refuses_nobody_and_the_wrong_role_and_lets_the_right_one_in() {
    let coordinator = Coordinator::start().await;
    let mut people = Vec::new();
    for (role, domain) in ROLES {
        let session = coordinator.person(&format!("{role:?}"), &[role]).await;
        people.push((domain, coordinator.with_token(&session.token).await));
    }
    let nobody = coordinator.people().await;
    let guess = coordinator.with_token("chs_guess").await;
    let mut refusals = 0;
    for row in TABLE.iter().filter(|row| row.listener == Listener::People) {
        let Who::People(roles) = row.who else {
            assert!(
                !from_the_gate(call(nobody.clone(), row.path).await.as_deref()),
                "{}",
                row.path
            );
            continue;
        };
        assert_eq!(
            call(nobody.clone(), row.path).await.as_deref(),
            Some("SESSION_REQUIRED"),
            "{}",
            row.path
        );
        assert_eq!(
            call(guess.clone(), row.path).await.as_deref(),
            Some("SESSION_UNKNOWN"),
            "{}",
            row.path
        );
        for (role, channel) in &people {
            // Logging out would take the session of the calls that follow.
            if row.path.ends_with("/Logout") {
                continue;
            }
            let answer = call(channel.clone(), row.path).await;
            if roles.contains(role) {
                assert!(
                    !from_the_gate(answer.as_deref()),
                    "{} refuses {role}: {answer:?}",
                    row.path
                );
            } else {
                assert_eq!(
                    answer.as_deref(),
                    Some("ROLE_REQUIRED"),
                    "{} lets {role} in",
                    row.path
                );
                refusals += 1;
            }
        }
    }
    assert!(
        refusals > 50,
        "the table refuses hardly anybody: {refusals}"
    );
}

async fn machines_and_people_have_their_own_listener() {
    let coordinator = Coordinator::start().await;
    let device = coordinator.device().await;
    let stranger = coordinator.agents(None).await.unwrap();
    let admin = coordinator.admin().await;
    for row in TABLE {
        match row.listener {
            Listener::Agents => {
                assert_eq!(
                    call(admin.clone(), row.path).await.as_deref(),
                    Some("METHOD_UNKNOWN"),
                    "{}",
                    row.path
                );
                if matches!(row.who, Who::Device) {
                    let answer = call(stranger.clone(), row.path).await;
                    assert_eq!(
                        answer.as_deref(),
                        Some("CERTIFICATE_REQUIRED"),
                        "{}",
                        row.path
                    );
                }
                let answer = call(device.channel.clone(), row.path).await;
                assert!(
                    !from_the_gate(answer.as_deref()),
                    "{}: {answer:?}",
                    row.path
                );
            }
            Listener::People => {
                for channel in [&device.channel, &stranger] {
                    let answer = call(channel.clone(), row.path).await;
                    assert_eq!(answer.as_deref(), Some("METHOD_UNKNOWN"), "{}", row.path);
                }
            }
        }
    }
    for path in [
        "/chasqui.v1.TicketService/Nothing",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/",
    ] {
        assert_eq!(
            call(admin.clone(), path).await.as_deref(),
            Some("METHOD_UNKNOWN"),
            "{path}"
        );
    }
    // A session's token is no certificate.
    let token = coordinator
        .login("admin", crate::rig::PASSWORD)
        .await
        .unwrap()
        .token;
    let dressed =
        tonic::service::interceptor::InterceptedService::new(stranger, crate::rig::Bearer(token));
    let answer = call(dressed, "/chasqui.v1.LinkService/FetchOrders").await;
    assert_eq!(answer.as_deref(), Some("CERTIFICATE_REQUIRED"));
    let _ = Code::Ok;
}

on_both!(
    every_call_refuses_nobody_and_the_wrong_role_and_lets_the_right_one_in,
    machines_and_people_have_their_own_listener,
);
