//! Every call of the API, over the real listeners, by everybody who must not make it. The list of calls is the descriptor
//! set, so a new call without an answer here fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use chasqui_proto::v1::Role;
use chasqui_server::auth::roles::{self, Listener, Who};
use chasqui_tests::orders::code;
use chasqui_tests::simulated::{self, Simulated};
use chasqui_tests::{Client, TestFleet};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::{Code, Request, Status};

/// Calls by their path, in the order of the files.
fn paths() -> Vec<String> {
    let set = prost_types::FileDescriptorSet::decode(chasqui_proto::DESCRIPTOR_SET).unwrap();
    let mut paths = Vec::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                paths.push(format!(
                    "/{}.{}/{}",
                    file.package(),
                    service.name(),
                    method.name()
                ));
            }
        }
    }
    assert!(paths.len() > 40, "the descriptor set is nearly empty");
    // Ends the caller's session, so it goes last.
    paths.sort_by_key(|path| path.ends_with("/Logout"));
    paths
}

/// Only these two services are for machines.
fn is_for_machines(path: &str) -> bool {
    path.starts_with("/chasqui.v1.LinkService/")
        || path.starts_with("/chasqui.v1.EnrolmentService/")
}

/// Calls with an empty message: a message without fields is a valid one of every type.
async fn call<S>(service: S, path: &str) -> Result<(), Status>
where
    S: GrpcService<Body>,
    S::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <S::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut grpc = Grpc::new(service);
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(error.into().to_string()))?;
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = PathAndQuery::try_from(path).unwrap();
    let mut answer = grpc
        .server_streaming(Request::new(()), path, codec)
        .await?
        .into_inner();
    // A refusal may come in the first message's place.
    let first = answer.message();
    match tokio::time::timeout(std::time::Duration::from_secs(30), first).await {
        Ok(answered) => answered.map(|_| ()),
        Err(_) => Err(Status::deadline_exceeded("nothing was answered")),
    }
}

fn refused(path: &str, who: &str, answer: Result<(), Status>, code_wanted: Code, reason: &str) {
    let status = answer.expect_err(&format!("{path} lets {who} in"));
    assert_eq!(
        (status.code(), code(&status).as_str()),
        (code_wanted, reason),
        "{path} as {who}: {}",
        status.message()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_calls_what_is_not_theirs() {
    let fleet = TestFleet::start().await.unwrap();
    let nobody = Client::anonymous(&fleet.server.people_url).await.unwrap();
    let stranger = nobody.with_token("chs_0000000000000000000000000000000000000000000");
    let people = [
        (Role::Requester, &fleet.requester),
        (Role::Technician, &fleet.technician),
        (Role::Lead, &fleet.lead),
        (Role::Coordinator, &fleet.coordinator),
        (Role::Administrator, &fleet.admin),
        (Role::Auditor, &fleet.auditor),
    ];
    for path in paths().iter().filter(|path| !is_for_machines(path)) {
        let row = roles::row(path).unwrap_or_else(|| panic!("{path} has no row"));
        assert_eq!(row.listener, Listener::People, "{path}");
        let Who::People(allowed) = row.who else {
            let answer = call(nobody.channel(), path).await;
            let passed = !matches!(&answer, Err(status) if code(status) == "SESSION_REQUIRED");
            assert!(passed, "{path} is open and asks for a session");
            continue;
        };
        let answer = call(nobody.channel(), path).await;
        refused(
            path,
            "nobody",
            answer,
            Code::Unauthenticated,
            "SESSION_REQUIRED",
        );
        let answer = call(stranger.channel(), path).await;
        refused(
            path,
            "a stranger",
            answer,
            Code::Unauthenticated,
            "SESSION_UNKNOWN",
        );
        for (role, client) in people {
            let name = role
                .as_str_name()
                .trim_start_matches("ROLE_")
                .to_ascii_lowercase();
            let answer = call(client.channel(), path).await;
            if allowed.iter().any(|role| role.as_str() == name) {
                // The door lets them in; that an empty message is refused inside is another matter.
                if let Err(status) = answer {
                    assert!(
                        status.code() != Code::Unauthenticated && code(&status) != "ROLE_REQUIRED",
                        "{path} keeps {name} out: {status:?}"
                    );
                    assert!(
                        !matches!(status.code(), Code::Internal | Code::Unknown),
                        "{path} fails inside on an empty message: {status:?}"
                    );
                }
            } else {
                refused(path, &name, answer, Code::PermissionDenied, "ROLE_REQUIRED");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_and_people_have_their_own_door() {
    let fleet = TestFleet::start().await.unwrap();
    let token = fleet.token(1).await.unwrap();
    let device = Simulated::enrol(&fleet, &token, "pc-1").await.unwrap();
    let dial = async |certificate| {
        simulated::channel(&fleet.server.agents_url, &device.authority, certificate)
            .await
            .unwrap()
    };
    let bare = dial(None).await;
    let certified = dial(Some(device.client_certificate().unwrap())).await;
    for path in paths() {
        if is_for_machines(&path) {
            let row = roles::row(&path).unwrap_or_else(|| panic!("{path} has no row"));
            assert_eq!(row.listener, Listener::Agents, "{path}");
            let answer = call(fleet.admin.channel(), &path).await;
            refused(
                &path,
                "an administrator",
                answer,
                Code::Unimplemented,
                "METHOD_UNKNOWN",
            );
            let bare = call(bare.clone(), &path).await;
            let open = path.starts_with("/chasqui.v1.EnrolmentService/");
            if open {
                let status = bare.unwrap_err();
                assert_ne!(code(&status), "CERTIFICATE_REQUIRED", "{path}");
                assert_eq!(status.code(), Code::InvalidArgument, "{path}: {status:?}");
            } else {
                refused(
                    &path,
                    "a machine without certificate",
                    bare,
                    Code::Unauthenticated,
                    "CERTIFICATE_REQUIRED",
                );
                if let Err(status) = call(certified.clone(), &path).await {
                    assert!(
                        !matches!(
                            status.code(),
                            Code::Unauthenticated
                                | Code::PermissionDenied
                                | Code::Unimplemented
                                | Code::Internal
                                | Code::Unknown
                        ),
                        "{path}: {status:?}"
                    );
                }
            }
        } else {
            for channel in [&bare, &certified] {
                let answer = call(channel.clone(), &path).await;
                refused(
                    &path,
                    "a machine",
                    answer,
                    Code::Unimplemented,
                    "METHOD_UNKNOWN",
                );
            }
        }
    }
    // What no file of the API names is on neither.
    for path in ["/chasqui.v1.TicketService/DropTickets", "/", "/admin"] {
        refused(
            path,
            "a machine",
            call(certified.clone(), path).await,
            Code::Unimplemented,
            "METHOD_UNKNOWN",
        );
    }
}
