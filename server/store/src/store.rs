//! The store: one address, two engines, and the two ways in: `write` and `read`.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::engine::postgres::{Isolation, Pool};
use crate::engine::sqlite::{Readers, open_writer};
use crate::engine::tls::Tls;
use crate::engine::writer::{Counters, Job, Task, Writer};
use crate::software::Bases;
use crate::tx::{Conn, Tx};
use crate::{Engine, Statement, StoreError, migrate};

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Reads at once; further readers wait for a place without blocking a thread.
    pub readers: usize,
    /// Writes at once on PostgreSQL. SQLite has one writer.
    pub writers: usize,
    /// Whether missing migrations are applied (the server) or refused (tools that only look).
    pub migrate: bool,
    /// Whether a missing SQLite file is made.
    pub create: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: 8,
            writers: 16,
            migrate: true,
            create: true,
        }
    }
}

impl Options {
    /// For tools that look at an existing store without changing its schema: backup, check.
    pub fn existing() -> Self {
        Self {
            migrate: false,
            create: false,
            ..Self::default()
        }
    }
}

/// What the store did since it was opened, for metrics and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Transactions committed.
    pub commits: u64,
    /// Closures run, repeats included.
    pub closures: u64,
    /// Closures repeated because of a conflict.
    pub retries: u64,
}

/// A database with the schema of this program. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    engine: EngineState,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

enum EngineState {
    Sqlite { writer: Writer, readers: Readers },
    Postgres(Box<Pool>),
}

/// An address taken apart.
pub(crate) enum Address {
    Sqlite(PathBuf),
    Postgres {
        config: Box<postgres::Config>,
        roots: Option<PathBuf>,
    },
}

/// What the driver takes when the address does not say after how much silence a connection is tried.
const KEEPALIVES_IDLE_UNSAID: Duration = Duration::from_secs(2 * 60 * 60);

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.contains('?') || path == ":memory:" {
                return Err(StoreError::Config(
                    "the database address sqlite: wants a file path, for example sqlite:/var/lib/chasqui/chasqui.db"
                        .to_owned(),
                ));
            }
            return Ok(Self::Sqlite(PathBuf::from(path)));
        }
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            // The text of the address is never repeated: it may hold a password.
            let (url, roots) = crate::engine::tls::split_address(url);
            let mut config = postgres::Config::from_str(&url).map_err(|error| {
                StoreError::Config(format!(
                    "the database address is not understood ({}); write postgresql://user@host:5432/database",
                    crate::engine::postgres::with_source(&error)
                ))
            })?;
            if config.get_connect_timeout().is_none() {
                config.connect_timeout(Duration::from_secs(10));
            }
            // A server that vanished without a word (a pulled cable, a stopped machine) is noticed in about half a minute.
            if config.get_tcp_user_timeout().is_none() {
                config.tcp_user_timeout(Duration::from_secs(30));
            }
            if config.get_keepalives_idle() == KEEPALIVES_IDLE_UNSAID {
                config.keepalives_idle(Duration::from_secs(15));
            }
            if config.get_keepalives_interval().is_none() {
                config.keepalives_interval(Duration::from_secs(5));
            }
            if config.get_keepalives_retries().is_none() {
                config.keepalives_retries(3);
            }
            if config.get_application_name().is_none() {
                config.application_name("chasqui");
            }
            return Ok(Self::Postgres {
                config: Box::new(config),
                roots,
            });
        }
        Err(StoreError::Config(
            "the database address must begin with sqlite: or postgresql:".to_owned(),
        ))
    }
}

impl Store {
    /// Opens a database, makes it when it is new, and brings its schema up to this program.
    ///
    /// `url` is `sqlite:PATH` or a PostgreSQL address `postgresql://user:password@host:port/database`. May be called on
    /// an async thread; it holds that thread until the schema stands.
    ///
    /// # Errors
    /// [`StoreError::Config`] for the address, [`StoreError::Unavailable`] when the server cannot be reached,
    /// [`StoreError::TooNew`] and [`StoreError::Migration`] for the schema, [`StoreError::Corrupt`] for a damaged file.
    pub fn open(url: &str, options: &Options) -> Result<Self, StoreError> {
        let address = Address::parse(url)?;
        on_own_thread(|| Self::open_here(address, options))
    }

    fn open_here(address: Address, options: &Options) -> Result<Self, StoreError> {
        let bases = Arc::<Bases>::default();
        let engine = match address {
            Address::Sqlite(path) => {
                let conn = open_writer(&path, options.create)?;
                let mut tx = Tx::new(Conn::Sqlite(conn), &bases);
                migrate::bring_up(&mut tx, migrate::target(options.migrate))?;
                let Conn::Sqlite(conn) = tx.conn else {
                    return Err(StoreError::Closed);
                };
                EngineState::Sqlite {
                    writer: Writer::start(conn, &bases)?,
                    readers: Readers::new(path, options.readers, &bases),
                }
            }
            Address::Postgres { mut config, roots } => {
                let tls = Tls::choose(&mut config, roots.as_deref())?;
                let pool = Pool::new(*config, tls, options.readers + options.writers, &bases);
                let mut tx = pool.connect()?;
                migrate::bring_up(&mut tx, migrate::target(options.migrate))?;
                EngineState::Postgres(Box::new(pool))
            }
        };
        Ok(Self {
            inner: Arc::new(Inner {
                engine,
                reads: Arc::new(Semaphore::new(options.readers.max(1))),
                writes: Arc::new(Semaphore::new(options.writers.max(1))),
            }),
        })
    }

    /// Which engine serves this store.
    pub fn engine(&self) -> Engine {
        match self.inner.engine {
            EngineState::Sqlite { .. } => Engine::Sqlite,
            EngineState::Postgres(_) => Engine::Postgres,
        }
    }

    /// Runs a closure that may change rows, in one transaction, off the async threads. When this returns `Ok`, the
    /// change is durable. The closure may run more than once (a conflict, a shared commit that failed), so it must
    /// have no effect but through `tx`; ids and times are made before it and moved in.
    ///
    /// # Errors
    /// The closure's own error, after its changes, and only its, were rolled back; or a [`StoreError`].
    pub async fn write<F, T, E>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.inner.engine {
            EngineState::Sqlite { writer, .. } => {
                let sender = writer.sender()?;
                let (task, answer) = Task::new(work);
                let job: Box<dyn Job> = Box::new(task);
                sender.send(job).await.map_err(|_| StoreError::Closed)?;
                answer.await.map_err(|_| StoreError::Closed)?
            }
            EngineState::Postgres(_) => self.write_pooled(Isolation::Serializable, work).await,
        }
    }

    /// [`write`](Self::write) for bulk work that never decides by rows another writer may change at that moment (the
    /// sealer, inventories): correctness must rest on keys and on the rows it updates itself. On PostgreSQL it sees one
    /// snapshot and is not starved by the serializable writers around it; on SQLite it is `write`.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_snapshot<F, T, E>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.inner.engine {
            EngineState::Sqlite { .. } => self.write(work).await,
            EngineState::Postgres(_) => self.write_pooled(Isolation::Snapshot, work).await,
        }
    }

    async fn write_pooled<F, T, E>(&self, isolation: Isolation, work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.blocking(&self.inner.writes, move |inner| match &inner.engine {
            EngineState::Postgres(pool) => pool.write(isolation, &work),
            EngineState::Sqlite { .. } => Err(E::from(StoreError::Closed)),
        })
        .await
    }

    /// Runs a closure that only reads, in one consistent snapshot, off the async threads. It never waits for writers.
    ///
    /// # Errors
    /// The closure's own error or a [`StoreError`]; writing is refused by both engines.
    pub async fn read<F, T, E>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.blocking(&self.inner.reads, move |inner| match &inner.engine {
            EngineState::Sqlite { readers, .. } => readers.read(&work),
            EngineState::Postgres(pool) => pool.read(&work),
        })
        .await
    }

    /// [`write`](Self::write) for programs without a runtime. Never call it on an async thread: it would panic there.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_blocking<F, T, E>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.inner.engine {
            EngineState::Sqlite { writer, .. } => {
                let (task, answer) = Task::new(work);
                let job: Box<dyn Job> = Box::new(task);
                writer
                    .sender()?
                    .blocking_send(job)
                    .map_err(|_| StoreError::Closed)?;
                answer.blocking_recv().map_err(|_| StoreError::Closed)?
            }
            EngineState::Postgres(pool) => pool.write(Isolation::Serializable, &work),
        }
    }

    /// [`write_snapshot`](Self::write_snapshot) for programs without a runtime. Never call it on an async thread: it
    /// would panic there.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_snapshot_blocking<F, T, E>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.inner.engine {
            EngineState::Sqlite { .. } => self.write_blocking(work),
            EngineState::Postgres(pool) => pool.write(Isolation::Snapshot, &work),
        }
    }

    /// [`read`](Self::read) for programs without a runtime. Never call it on an async thread: it would panic there.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_blocking<F, T, E>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx) -> Result<T, E>,
        E: From<StoreError>,
    {
        match &self.inner.engine {
            EngineState::Sqlite { readers, .. } => readers.read(&work),
            EngineState::Postgres(pool) => pool.read(&work),
        }
    }

    /// What the store did since it was opened.
    pub fn stats(&self) -> Stats {
        let counters: &Counters = match &self.inner.engine {
            EngineState::Sqlite { writer, .. } => &writer.counters,
            EngineState::Postgres(pool) => &pool.counters,
        };
        Stats {
            commits: counters.commits.load(Ordering::Relaxed),
            closures: counters.closures.load(Ordering::Relaxed),
            retries: counters.retries.load(Ordering::Relaxed),
        }
    }

    /// Prepares a statement on this engine without running it and answers its number of parameters. For the test over
    /// the registry.
    ///
    /// # Errors
    /// [`StoreError::Statement`] with what the engine says.
    pub fn prepare_check(&self, statement: &'static Statement) -> Result<usize, StoreError> {
        self.read_blocking(|tx| match &mut tx.conn {
            Conn::Sqlite(conn) => crate::engine::sqlite::check(conn, statement),
            Conn::Postgres(conn) => conn.check(statement),
        })
    }

    async fn blocking<T, E>(
        &self,
        places: &Arc<Semaphore>,
        run: impl FnOnce(&Inner) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let place = Arc::clone(places)
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Closed)?;
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || {
            let outcome = run(&inner);
            drop(place);
            outcome
        })
        .await;
        match done {
            Ok(outcome) => outcome,
            Err(error) => Err(E::from(StoreError::Panicked(error.to_string()))),
        }
    }
}

/// Runs on a fresh thread: PostgreSQL's client brings its own small runtime, which may not start or end on an async one.
pub(crate) fn on_own_thread<T: Send>(
    work: impl FnOnce() -> Result<T, StoreError> + Send,
) -> Result<T, StoreError> {
    std::thread::scope(|scope| {
        scope
            .spawn(work)
            .join()
            .unwrap_or_else(|panic| Err(crate::engine::panic_text(panic.as_ref())))
    })
}

/// The file behind a SQLite address, for messages and permissions; nothing for PostgreSQL.
pub fn sqlite_path(url: &str) -> Option<&Path> {
    let path = url.strip_prefix("sqlite:")?;
    Some(Path::new(path.strip_prefix("//").unwrap_or(path)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use std::time::Duration;

    use super::Address;

    /// Silence before a connection is tried, between tries, number of tries, and wait for what was sent.
    fn patience(url: &str) -> (Duration, Option<Duration>, Option<u32>, Option<Duration>) {
        let Ok(Address::Postgres { config, .. }) = Address::parse(url) else {
            panic!("{url} is an address of PostgreSQL");
        };
        (
            config.get_keepalives_idle(),
            config.get_keepalives_interval(),
            config.get_keepalives_retries(),
            config.get_tcp_user_timeout().copied(),
        )
    }

    #[test]
    fn a_server_that_vanished_is_noticed_unless_the_address_says_when() {
        let seconds = Duration::from_secs;
        assert_eq!(
            patience("postgresql://user@host/database"),
            (seconds(15), Some(seconds(5)), Some(3), Some(seconds(30)))
        );
        assert_eq!(
            patience(
                "postgresql://user@host/database?keepalives_idle=60&keepalives_interval=7&keepalives_retries=9&tcp_user_timeout=8"
            ),
            (seconds(60), Some(seconds(7)), Some(9), Some(seconds(8)))
        );
    }
}
