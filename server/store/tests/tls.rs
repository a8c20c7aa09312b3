//! TLS to a real PostgreSQL: only a certificate of the named authority, for the host of the address, is taken.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use chasqui_store::{Options, Store, StoreError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

struct Server {
    folder: PathBuf,
    url: String,
}

impl Server {
    fn start(cert: &Path, key: &Path) -> Self {
        // Reachable for the user the server runs as, which a private test folder is not.
        let folder = std::env::temp_dir().join(format!("chasqui-tls-{}", common::id()));
        let started = Command::new(script())
            .arg("start")
            .arg(&folder)
            .args([cert, key])
            .output()
            .unwrap();
        assert!(
            started.status.success(),
            "{}",
            String::from_utf8_lossy(&started.stderr)
        );
        Self {
            folder,
            url: String::from_utf8(started.stdout).unwrap().trim().to_owned(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new(script())
            .arg("stop")
            .arg(&self.folder)
            .output();
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/postgres.sh")
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[test]
fn only_the_named_authority_and_the_right_host_are_trusted() {
    if common::server_url().is_none() {
        return;
    }
    let folder = tempfile::TempDir::new().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ours = authority("ours");
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &ours)
        .unwrap();
    let server = Server::start(
        &file("s.crt", cert.pem()),
        &file("s.key", key.serialize_pem()),
    );
    let good = file("ours.pem", ours.pem());
    let other = file("other.pem", authority("other").pem());
    let named = server.url.replace("127.0.0.1", "localhost");
    let open = |url: &str, roots: Option<&Path>| {
        let url = match roots {
            Some(roots) => format!("{url}?sslmode=verify-full&sslrootcert={}", roots.display()),
            None => url.to_owned(),
        };
        Store::open(&url, &Options::default())
    };

    let store = open(&named, Some(&good)).unwrap();
    assert_eq!(common::count_tickets(&store), 0);
    let encrypted: i64 = store
        .read_blocking(|tx| {
            tx.query_one(
                chasqui_store::sql_engines!(
                    sqlite: "SELECT 0",
                    postgres: "SELECT COUNT(*) FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl"
                ),
                &[],
                |row| row.get(0),
            )
        })
        .map_err(|error: StoreError| error)
        .unwrap();
    assert_eq!(encrypted, 1);

    for (url, roots, why) in [
        (named.as_str(), Some(other.as_path()), "another authority"),
        (
            server.url.as_str(),
            Some(good.as_path()),
            "another host name",
        ),
        (
            &format!("{named}?sslmode=require"),
            None,
            "an authority the system does not know",
        ),
        (named.as_str(), None, "no TLS where the server wants it"),
    ] {
        let refused = open(url, roots).err();
        assert!(
            matches!(
                refused,
                Some(StoreError::Unavailable(_) | StoreError::Config(_))
            ),
            "{why}: {refused:?}"
        );
    }
}
