//! Accounts of people as rows.

use chasqui_domain::role::Roles;
use chasqui_domain::search;

use crate::{Row, StoreError, Tx, params, sql};

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// UUIDv7.
    pub id: String,
    /// As typed when the account was made.
    pub login: String,
    /// Full name.
    pub name: String,
    /// What they may call.
    pub roles: Roles,
    /// PHC text.
    pub password_hash: String,
    /// The account is closed.
    pub disabled: bool,
    /// UTC milliseconds.
    pub created_at_ms: i64,
}

sql!(
    PERSON_INSERT,
    "INSERT INTO persons (id, login, login_key, name, roles, password_hash, created_at_ms, updated_at_ms, search_key)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8) ON CONFLICT (login_key) DO NOTHING"
);
sql!(
    PERSON_GET,
    "SELECT id, login, name, roles, password_hash, disabled, created_at_ms FROM persons WHERE id = $1"
);
sql!(
    PERSON_BY_LOGIN,
    "SELECT id, login, name, roles, password_hash, disabled, created_at_ms FROM persons WHERE login_key = $1"
);
sql!(
    PERSON_LIST,
    "SELECT id, login, name, roles, password_hash, disabled, created_at_ms FROM persons
     WHERE login_key > $1 ORDER BY login_key LIMIT $2"
);
sql!(
    PERSON_SET_PASSWORD,
    "UPDATE persons SET password_hash = $2, version = version + 1, updated_at_ms = $3 WHERE id = $1"
);
sql!(
    PERSON_SET_DISABLED,
    "UPDATE persons SET disabled = $2, version = version + 1, updated_at_ms = $3 WHERE id = $1"
);
sql!(
    PERSON_OTHER_ADMINISTRATORS,
    "SELECT roles FROM persons WHERE id <> $1 AND disabled = 0"
);

/// How log-in names are compared: without case and accents.
pub fn login_key(login: &str) -> String {
    search::fold(login)
}

/// Makes an account.
///
/// # Returns
/// False when the log-in name is taken; then nothing was written.
///
/// # Errors
/// As [`Tx::execute`].
pub fn insert(tx: &mut Tx, person: &Person) -> Result<bool, StoreError> {
    let inserted = tx.execute(
        &PERSON_INSERT,
        params![
            &person.id,
            &person.login,
            login_key(&person.login),
            &person.name,
            person.roles.to_string(),
            &person.password_hash,
            person.created_at_ms,
            search::fold(&format!("{} {}", person.name, person.login))
        ],
    )?;
    Ok(inserted > 0)
}

/// An account by id.
///
/// # Errors
/// As [`Tx::query`].
pub fn get(tx: &mut Tx, id: &str) -> Result<Option<Person>, StoreError> {
    tx.query_opt(&PERSON_GET, params![id], read)
}

/// An account by log-in name.
///
/// # Errors
/// As [`Tx::query`].
pub fn by_login(tx: &mut Tx, login: &str) -> Result<Option<Person>, StoreError> {
    tx.query_opt(&PERSON_BY_LOGIN, params![login_key(login)], read)
}

/// Accounts in the order of their log-in keys, after one of these (empty: from the first), at most `limit`.
///
/// # Errors
/// As [`Tx::query`].
pub fn list(tx: &mut Tx, after_login_key: &str, limit: i64) -> Result<Vec<Person>, StoreError> {
    tx.query(&PERSON_LIST, params![after_login_key, limit], read)
}

/// Sets the password's hash.
///
/// # Errors
/// As [`Tx::execute`].
pub fn set_password(tx: &mut Tx, id: &str, hash: &str, now_ms: i64) -> Result<(), StoreError> {
    tx.execute(&PERSON_SET_PASSWORD, params![id, hash, now_ms])
        .map(|_| ())
}

/// Closes or reopens an account.
///
/// # Errors
/// As [`Tx::execute`].
pub fn set_disabled(tx: &mut Tx, id: &str, disabled: bool, now_ms: i64) -> Result<(), StoreError> {
    tx.execute(&PERSON_SET_DISABLED, params![id, disabled, now_ms])
        .map(|_| ())
}

/// The roles of every other open account: whether somebody would be left to administrate.
///
/// # Errors
/// As [`Tx::query`].
pub fn roles_of_others(tx: &mut Tx, id: &str) -> Result<Vec<Roles>, StoreError> {
    tx.query(&PERSON_OTHER_ADMINISTRATORS, params![id], |row| {
        roles(&row.get::<String>(0)?)
    })
}

/// The roles column.
pub(crate) fn roles(text: &str) -> Result<Roles, StoreError> {
    text.parse()
        .map_err(|_| StoreError::Corrupt(format!("persons.roles {text:?} is no list of roles")))
}

fn read(row: &Row<'_>) -> Result<Person, StoreError> {
    Ok(Person {
        id: row.get(0)?,
        login: row.get(1)?,
        name: row.get(2)?,
        roles: roles(&row.get::<String>(3)?)?,
        password_hash: row.get(4)?,
        disabled: row.get(5)?,
        created_at_ms: row.get(6)?,
    })
}
