//! Exit codes are a contract with scripts: each is provoked through the real program, against a coordinator that answers
//! with a fixed status, or without one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::TcpListener;
use std::path::Path;
use std::task::{Context, Poll};

use chasqui_proto::error::{bad_field, retry_after, status};
use common::{error, run};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};

/// Answers every call of the ticket service with one status.
#[derive(Clone)]
struct Fixed(Status);

impl NamedService for Fixed {
    const NAME: &'static str = "chasqui.v1.TicketService";
}

impl tower::Service<http::Request<Body>> for Fixed {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        ready(Ok(self.0.clone().into_http()))
    }
}

/// A coordinator on a free port, for the life of the test's process; gives back its address.
fn coordinator(status: Status) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            tonic::transport::Server::builder()
                .add_service(Fixed(status))
                .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
    });
    format!("http://{address}")
}

fn logged_in(config: &Path, server: &str) {
    let session = serde_json::json!({
        "server": server,
        "ca": null,
        "token": "secret",
        "login": "ana",
        "person_id": "01976000-0000-7000-8000-000000000001",
        "expires_at_ms": 4_000_000_000_000_i64,
    });
    std::fs::write(config.join("session.json"), session.to_string()).unwrap();
}

fn show_ticket_against(answer: Status) -> (i32, serde_json::Value) {
    let config = tempfile::tempdir().unwrap();
    logged_in(config.path(), &coordinator(answer));
    error(config.path(), &["ticket", "show", "MA-2026-000001"])
}

#[test]
fn a_wrong_command_line_is_2() {
    let config = tempfile::tempdir().unwrap();
    for words in [
        &["tickets"][..],
        &["ticket", "classify", "x"],
        &["ticket", "classify", "x", "--kind", "wish"],
        &["token", "new", "--for", "soon"],
        &["--server", "ftp://x", "info"],
        &["--lang", "fr", "whoami"],
    ] {
        assert_eq!(run(config.path(), words).0, 2, "{words:?}");
    }
    let (_, error) = error(
        config.path(),
        &["ticket", "classify", "x", "--kind", "wish"],
    );
    assert_eq!(error["code"], "USAGE");
}

#[test]
fn a_wrong_command_line_is_told_in_spanish_too() {
    let config = tempfile::tempdir().unwrap();
    let (code, _, err) = run(config.path(), &["--lang", "es", "ticket", "show"]);
    assert_eq!(code, 2);
    assert!(err.contains("falta:"), "{err}");
}

#[test]
fn a_field_the_coordinator_refuses_is_2() {
    let (code, error) = show_ticket_against(bad_field("ticket", "too long"));
    assert_eq!((code, error["code"].as_str()), (2, Some("INVALID_FIELD")));
}

#[test]
fn a_missing_permission_and_a_forbidding_state_are_3() {
    let denied = status(Code::PermissionDenied, "ROLE_MISSING", "no", &[]);
    assert_eq!(show_ticket_against(denied).0, 3);
    let state = status(Code::FailedPrecondition, "TICKET_STATE", "closed", &[]);
    let (code, error) = show_ticket_against(state);
    assert_eq!((code, error["code"].as_str()), (3, Some("TICKET_STATE")));
}

#[test]
fn a_thing_that_is_not_there_is_4() {
    let missing = status(Code::NotFound, "TICKET_UNKNOWN", "none", &[("ticket", "x")]);
    let (code, error) = show_ticket_against(missing);
    assert_eq!((code, error["details"]["ticket"].as_str()), (4, Some("x")));
    let config = tempfile::tempdir().unwrap();
    let (code, _) = common::error(config.path(), &["evidence", "verify", "nowhere.json"]);
    assert_eq!(code, 4);
}

#[test]
fn a_coordinator_that_is_away_is_5() {
    let config = tempfile::tempdir().unwrap();
    // A port nobody listens on: taken and given back.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    logged_in(config.path(), &format!("http://{port}"));
    let (code, error) = error(config.path(), &["whoami"]);
    assert_eq!(code, 5);
    assert!(error["hint"].as_str().unwrap().contains("--server"));
    let later = retry_after(
        Code::Unavailable,
        "STORE_UNAVAILABLE",
        "the database is away",
        std::time::Duration::from_secs(60),
    );
    assert_eq!(show_ticket_against(later).0, 5);
}

#[test]
fn a_signature_that_does_not_hold_is_7() {
    let invalid = status(
        Code::FailedPrecondition,
        "ORDER_SIGNATURE_INVALID",
        "no key signed it",
        &[],
    );
    assert_eq!(show_ticket_against(invalid).0, 7);
}

#[test]
fn no_session_or_one_that_ended_is_8() {
    let config = tempfile::tempdir().unwrap();
    let (code, missing) = error(config.path(), &["whoami"]);
    assert_eq!(
        (code, missing["code"].as_str()),
        (8, Some("SESSION_MISSING"))
    );
    let ended = status(Code::Unauthenticated, "SESSION_INVALID", "log in", &[]);
    let (code, error) = show_ticket_against(ended);
    assert_eq!(code, 8);
    assert!(error["hint"].as_str().unwrap().contains("chasqui login"));
}

#[test]
fn what_the_coordinator_got_wrong_itself_is_1() {
    assert_eq!(show_ticket_against(Status::internal("oops")).0, 1);
}

#[test]
fn a_session_is_never_sent_to_another_coordinator() {
    let config = tempfile::tempdir().unwrap();
    logged_in(config.path(), "http://127.0.0.1:1");
    let (code, error) = error(config.path(), &["--server", "http://127.0.0.1:2", "whoami"]);
    assert_eq!(
        (code, error["code"].as_str()),
        (8, Some("SESSION_OTHER_SERVER"))
    );
}

#[test]
fn what_a_coordinator_says_cannot_move_the_cursor() {
    let config = tempfile::tempdir().unwrap();
    let evil = status(
        Code::FailedPrecondition,
        "NEW_RULE",
        "\u{1b}[2J\u{202e}done",
        &[],
    );
    logged_in(config.path(), &coordinator(evil));
    let (_, out, err) = run(config.path(), &["ticket", "show", "x"]);
    assert!(
        !out.contains('\u{1b}') && !err.contains('\u{1b}'),
        "{err:?}"
    );
    assert!(err.contains("[U+001B][2J[U+202E]done"), "{err}");
}

/// A TLS stream that tonic's server takes.
struct Tls(tokio_rustls::server::TlsStream<tokio::net::TcpStream>);

impl tonic::transport::server::Connected for Tls {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl tokio::io::AsyncRead for Tls {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl tokio::io::AsyncWrite for Tls {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// A coordinator behind TLS with a certificate of its own; gives back its address and the certificate, PEM.
fn tls_coordinator(answer: Status) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let (sender, streams) = tokio::sync::mpsc::channel(4);
            tokio::spawn(async move {
                while let Ok((tcp, _)) = listener.accept().await {
                    // A client that does not trust this certificate ends the handshake.
                    if let Ok(tls) = acceptor.accept(tcp).await {
                        let _ = sender.send(Ok::<_, std::io::Error>(Tls(tls))).await;
                    }
                }
            });
            tonic::transport::Server::builder()
                .add_service(Fixed(answer))
                .serve_with_incoming(tokio_stream::wrappers::ReceiverStream::new(streams))
                .await
                .unwrap();
        });
    });
    (format!("https://localhost:{port}"), pem)
}

#[test]
fn tls_is_believed_with_its_authority_and_not_without() {
    let config = tempfile::tempdir().unwrap();
    let missing = status(Code::NotFound, "TICKET_UNKNOWN", "none", &[]);
    let (server, pem) = tls_coordinator(missing);
    let ca = config.path().join("ca.pem");
    std::fs::write(&ca, pem).unwrap();
    let ca = ca.display().to_string();
    logged_in(config.path(), &server);
    let (code, found) = error(config.path(), &["--ca", &ca, "ticket", "show", "x"]);
    assert_eq!((code, found["code"].as_str()), (4, Some("TICKET_UNKNOWN")));
    let (code, found) = error(config.path(), &["ticket", "show", "x"]);
    assert_eq!(code, 5);
    assert!(found["hint"].as_str().unwrap().contains("--ca"), "{found}");
    // The same authority vouches for no other name.
    let by_address = server.replace("localhost", "127.0.0.1");
    logged_in(config.path(), &by_address);
    assert_eq!(
        error(config.path(), &["--ca", &ca, "ticket", "show", "x"]).0,
        5
    );
}
