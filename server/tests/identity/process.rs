//! Beginning and end: init, health, stopping.

use chasqui_proto::v1::{GoodbyeReason, server_message};
use chasqui_server::config::Config;
use chasqui_server::init;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::rig::{Coordinator, PASSWORD};

fn plan(data: &std::path::Path) -> init::Plan {
    init::Plan {
        data: data.to_owned(),
        config: None,
        organisation: "example".to_owned(),
        store_url: None,
        agents_listen: "0.0.0.0:7443".parse().unwrap(),
        agents_names: vec!["chasqui.example.org".to_owned()],
        people_listen: "127.0.0.1:7080".parse().unwrap(),
        people_tls: None,
        admin: "admin".to_owned(),
        password: PASSWORD.to_owned().into(),
    }
}

#[test]
fn init_overwrites_nothing_and_makes_no_root_key() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let made = init::init(plan(&data)).unwrap();
    let names = |data: &std::path::Path| -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(data)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("chasqui.db"))
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        names(&data),
        [
            "device-ca.key",
            "device-ca.pem",
            "log.key",
            "log.pub.json",
            "server.toml"
        ]
    );
    for private in ["device-ca.key", "log.key", "server.toml"] {
        let mode = std::fs::metadata(data.join(private))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{private}");
    }
    let config = Config::load(&made.config).unwrap();
    assert_eq!(config.devices.certificate_days, 30);
    let before = std::fs::read(data.join("device-ca.key")).unwrap();
    let error = init::init(plan(&data)).unwrap_err().to_string();
    assert!(error.contains("is there already"), "{error}");
    assert_eq!(std::fs::read(data.join("device-ca.key")).unwrap(), before);
}

#[test]
fn init_refuses_before_it_makes_anything() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut public = plan(&data);
    public.people_listen = "0.0.0.0:7080".parse().unwrap();
    let mut named = plan(&data);
    named.organisation = "Alcaldía".to_owned();
    let mut short = plan(&data);
    short.password = "short".to_owned().into();
    for (plan, word) in [(public, "people.listen"), (named, "--org"), (short, "12")] {
        let error = format!("{:#}", init::init(plan).unwrap_err());
        assert!(error.contains(word), "{error}");
        assert!(!data.exists());
    }
}

async fn health_and_readiness_are_told_to_anybody() {
    let coordinator = Coordinator::start().await;
    assert_eq!(
        get(&coordinator, "/healthz").await,
        (200, "ok\n".to_owned())
    );
    assert_eq!(get(&coordinator, "/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(&coordinator, "/etc/passwd").await.0, 404);
}

async fn stopping_says_when_to_come_back() {
    let mut coordinator = Coordinator::start().await;
    let mut stream = {
        let device = coordinator.device().await;
        device.welcomed("boot-1").await
    };
    let read = tokio::spawn(async move {
        let goodbye = stream.next().await.unwrap();
        let end = stream.next().await;
        (goodbye, end)
    });
    coordinator.stop().await;
    let (goodbye, end) = read.await.unwrap();
    let Some(server_message::Message::Goodbye(goodbye)) = goodbye else {
        panic!("{goodbye:?}");
    };
    assert_eq!(goodbye.reason(), GoodbyeReason::Shutdown);
    assert!(goodbye.retry_after_ms >= 1_000);
    assert!(end.unwrap().is_none());
    assert!(
        tokio::net::TcpStream::connect(
            coordinator
                .addresses
                .people_url
                .trim_start_matches("http://")
        )
        .await
        .is_err()
    );
}

#[tokio::test]
async fn stopping_waits_for_nobody_beyond_its_time() {
    let mut coordinator = Coordinator::start_with(|config| config.stop_seconds = 1).await;
    let agents = coordinator
        .addresses
        .agents_url
        .trim_start_matches("https://")
        .to_owned();
    let people = coordinator
        .addresses
        .people_url
        .trim_start_matches("http://")
        .to_owned();
    // Connections that say nothing, and a machine that never reads its Goodbye.
    let silent = [
        tokio::net::TcpStream::connect(agents).await.unwrap(),
        tokio::net::TcpStream::connect(people).await.unwrap(),
    ];
    let stream = {
        let device = coordinator.device().await;
        device.welcomed("boot-1").await
    };
    coordinator.stop().await;
    drop((silent, stream));
}

#[tokio::test]
async fn one_address_takes_so_many_connections_and_no_more() {
    let coordinator =
        Coordinator::start_with(|config| config.agents.max_connections_per_source = 2).await;
    let address = coordinator
        .addresses
        .agents_url
        .trim_start_matches("https://")
        .to_owned();
    let first = tokio::net::TcpStream::connect(&address).await.unwrap();
    let second = tokio::net::TcpStream::connect(&address).await.unwrap();
    let mut third = tokio::net::TcpStream::connect(&address).await.unwrap();
    // Closed, or reset where the system is quicker.
    let mut byte = [0];
    assert!(matches!(third.read(&mut byte).await, Ok(0) | Err(_)));
    drop((first, second));
    // Their places come free: somebody gets in again.
    for attempt in 0.. {
        assert!(attempt < 100, "the places never came free");
        if coordinator.agents(None).await.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn people_come_over_the_organisations_certificate() {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (
        folder.path().join("people.pem"),
        folder.path().join("people.key"),
    );
    std::fs::write(&certificate, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let (set_certificate, set_key) = (certificate.clone(), key.clone());
    let coordinator = Coordinator::start_with(move |config| {
        config.people.certificate = Some(set_certificate);
        config.people.key = Some(set_key);
    })
    .await;
    let address = coordinator
        .addresses
        .people_url
        .strip_prefix("https://")
        .unwrap()
        .to_owned();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::ring::default_provider().into(),
    )
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let tcp = tokio::net::TcpStream::connect(&address).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let mut tls = connector.connect(name, tcp).await.unwrap();
    tls.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    tls.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    for (path, bytes) in [(&certificate, "no certificate"), (&key, "no key")] {
        let kept = std::fs::read(path).unwrap();
        std::fs::write(path, bytes).unwrap();
        let error = chasqui_server::tls::people(&certificate, &key)
            .unwrap_err()
            .to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        std::fs::write(path, kept).unwrap();
    }
}

async fn get(coordinator: &Coordinator, path: &str) -> (u16, String) {
    let address = coordinator
        .addresses
        .people_url
        .trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

on_both!(
    health_and_readiness_are_told_to_anybody,
    stopping_says_when_to_come_back,
);
