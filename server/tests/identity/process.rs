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

#[tokio::test]
async fn health_and_readiness_are_told_to_anybody() {
    let coordinator = Coordinator::start().await;
    assert_eq!(
        get(&coordinator, "/healthz").await,
        (200, "ok\n".to_owned())
    );
    assert_eq!(get(&coordinator, "/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(&coordinator, "/etc/passwd").await.0, 404);
}

#[tokio::test]
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
