//! A fresh PostgreSQL database for one test, on the server that `CHASQUI_TEST_POSTGRES` names (an address of a user who
//! may create databases; `tests/postgres.sh` starts one).

use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};

/// A database that ends with the test.
#[derive(Debug)]
pub struct Database {
    /// Its address.
    pub url: String,
    name: String,
    server: String,
}

impl Database {
    /// A fresh one; none when PostgreSQL is to be skipped.
    ///
    /// # Errors
    /// When the variable is not set, or what the server says.
    pub fn fresh() -> Result<Option<Self>> {
        let server = match std::env::var("CHASQUI_TEST_POSTGRES") {
            Ok(url) if url == "skip" => return Ok(None),
            Ok(url) => url,
            Err(_) => bail!(
                "CHASQUI_TEST_POSTGRES is not set: start a server with `tests/postgres.sh start DIR` and set it to the \
                 address printed, or set it to skip"
            ),
        };
        let name = format!("chasqui_{}", chasqui_base::clock::new_id().simple());
        run(&server, &format!("CREATE DATABASE {name}"))?;
        let (start, _) = server
            .rsplit_once('/')
            .context("the address names no database")?;
        Ok(Some(Self {
            url: format!("{start}/{name}"),
            name,
            server,
        }))
    }
}

impl Database {
    /// Its size, in bytes.
    ///
    /// # Errors
    /// What the server says.
    pub fn bytes(&self) -> Result<u64> {
        let work = || -> Result<i64> {
            let mut client = postgres::Config::from_str(&self.url)?.connect(postgres::NoTls)?;
            Ok(client
                .query_one("SELECT pg_database_size(current_database())", &[])?
                .try_get(0)?)
        };
        let size = std::thread::scope(|scope| scope.spawn(work).join())
            .map_err(|_| anyhow!("the thread of PostgreSQL's client ended"))??;
        Ok(u64::try_from(size)?)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let dropped = run(
            &self.server,
            &format!("DROP DATABASE {} WITH (FORCE)", self.name),
        );
        if let Err(error) = dropped {
            eprintln!("database {} stays behind: {error:#}", self.name);
        }
    }
}

/// A server of the test's own, which it may end and start again. Ends with the test.
#[derive(Debug)]
pub struct PrivateServer {
    /// Its address.
    pub url: String,
    folder: tempfile::TempDir,
}

impl PrivateServer {
    /// A fresh one; none when PostgreSQL is to be skipped.
    ///
    /// # Errors
    /// What `tests/postgres.sh` says.
    pub fn start() -> Result<Option<Self>> {
        use std::os::unix::fs::PermissionsExt as _;
        if std::env::var("CHASQUI_TEST_POSTGRES").is_ok_and(|url| url == "skip") {
            return Ok(None);
        }
        let folder = tempfile::Builder::new()
            .prefix("chasqui-postgres-")
            .tempdir()?;
        // As root the server runs as another user, who must be able to walk here.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let mut server = Self {
            url: String::new(),
            folder,
        };
        server.url = server.script("start")?.trim().to_owned();
        Ok(Some(server))
    }

    /// Ends it as a fault would: connections are cut, everything stays.
    ///
    /// # Errors
    /// What the script says.
    pub fn pause(&self) -> Result<()> {
        self.script("pause").map(drop)
    }

    /// Starts it again at the same address.
    ///
    /// # Errors
    /// What the script says.
    pub fn resume(&self) -> Result<()> {
        self.script("resume").map(drop)
    }

    fn script(&self, what: &str) -> Result<String> {
        let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("postgres.sh");
        let done = std::process::Command::new(script)
            .arg(what)
            .arg(self.folder.path().join("server"))
            .output()?;
        if !done.status.success() {
            bail!("{}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(String::from_utf8(done.stdout)?)
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        if let Err(error) = self.script("stop") {
            eprintln!("a PostgreSQL stays behind: {error:#}");
        }
    }
}

/// The client is synchronous and must not run on a test's async thread.
fn run(url: &str, statement: &str) -> Result<()> {
    let work = || -> Result<()> {
        let mut client = postgres::Config::from_str(url)?.connect(postgres::NoTls)?;
        Ok(client.batch_execute(statement)?)
    };
    std::thread::scope(|scope| scope.spawn(work).join())
        .map_err(|_| anyhow!("the thread of PostgreSQL's client ended"))?
}
