//! What can go wrong between a caller and the database, said the same way on both engines. Callers map these to their
//! own errors in one place; the message always names the thing and what to do.

/// An error of the store. Cheap to clone: one failed commit is told to every closure that shared it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room: disk, quota or file-size limit. The next write works once there is room again.
    #[error(
        "the database has no room to write ({0}): free disk space or raise the quota; nothing was changed"
    )]
    Full(String),
    /// The database cannot be reached or was lost on the way. For a write the caller cannot know whether it happened:
    /// repeat it with the same `request_id`.
    #[error("the database cannot be reached ({0}): try again with the same request_id")]
    Unavailable(String),
    /// Two transactions stood in each other's way more often than the bound on retries allows.
    #[error("too many changes to the same rows at once ({0}): try again")]
    Conflict(String),
    /// A UNIQUE or PRIMARY KEY constraint. Use `ON CONFLICT` where a duplicate is expected.
    #[error("already there: {0}")]
    Duplicate(String),
    /// A foreign key, CHECK or NOT NULL constraint.
    #[error("the database refuses the row: {0}")]
    Constraint(String),
    /// The file or its content is damaged, or a stored value is not what its column promises.
    #[error(
        "the database is damaged ({0}): stop the server, keep a copy of the data folder and restore the last backup"
    )]
    Corrupt(String),
    /// The schema was made by a newer program.
    #[error(
        "the database has schema version {found}, this program knows {known}: run a program at least as new as the one that migrated it, or restore a backup made before"
    )]
    TooNew {
        /// Version in the database or backup.
        found: i64,
        /// Newest version this program knows.
        known: i64,
    },
    /// A migration failed, or one that was applied is not the one in this program.
    #[error("migration {version} ({name}): {detail}")]
    Migration {
        /// Number of the migration.
        version: i64,
        /// Its name.
        name: String,
        /// What happened and what to do.
        detail: String,
    },
    /// A statement is wrong or was called wrongly: a defect of this program.
    #[error("statement {statement}: {detail}")]
    Statement {
        /// `module::NAME` or `module:line`.
        statement: String,
        /// What the engine says.
        detail: String,
    },
    /// `query_one` found no row.
    #[error("statement {0} found no row")]
    NoRow(String),
    /// More rows than the bound: page instead. Nothing is cut off in silence.
    #[error("statement {statement} returns more than {bound} rows: ask for pages")]
    TooMany {
        /// Name of the statement.
        statement: String,
        /// The bound.
        bound: usize,
    },
    /// An earlier statement of this transaction failed and the caller went on: both engines refuse alike.
    #[error("the transaction already failed: {0}")]
    Aborted(String),
    /// A value that cannot be stored on both engines (NUL in text), or an argument outside its bounds.
    #[error("cannot be stored: {0}")]
    Invalid(String),
    /// The address of the database or an option is wrong.
    #[error("{0}")]
    Config(String),
    /// The same `request_id` came with another method or body.
    #[error(
        "request_id {0} was already used for another request: make a fresh one for a new request"
    )]
    RequestIdReused(String),
    /// A closure panicked: a defect of this program. Its changes were rolled back, alone.
    #[error("a change failed inside ({0}) and was rolled back")]
    Panicked(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A backup file is damaged, incomplete or of another kind.
    #[error("backup file: {0}")]
    Backup(String),
    /// A sealed record or its log does not agree with itself.
    #[error("event log: {0}")]
    Log(String),
}

impl StoreError {
    /// Whether the same call may succeed later without anything being changed in it (same `request_id`).
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Full(_) | Self::Unavailable(_) | Self::Conflict(_)
        )
    }
}
