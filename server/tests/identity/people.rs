//! Log-in, sessions and accounts.

use chasqui_base::clock;
use chasqui_proto::v1::person_service_client::PersonServiceClient;
use chasqui_proto::v1::session_service_client::SessionServiceClient;
use chasqui_proto::v1::{
    GetServerInfoRequest, ListPersonsRequest, LogoutRequest, Role, SetPasswordRequest,
    SetPersonDisabledRequest, WhoAmIRequest,
};
use chasqui_server::auth::Secret;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::rig::{Coordinator, PASSWORD, fresh, new_person, reason};

async fn who(coordinator: &Coordinator, token: &str) -> Result<String, Status> {
    let mut sessions = SessionServiceClient::new(coordinator.with_token(token).await);
    Ok(sessions
        .who_am_i(WhoAmIRequest {})
        .await?
        .into_inner()
        .person
        .unwrap()
        .login)
}

async fn a_session_begins_with_a_password_and_ends_with_a_log_out() {
    let coordinator = Coordinator::start().await;
    let session = coordinator.login("ADMIN", PASSWORD).await.unwrap();
    assert!(session.token.starts_with("chs_") && session.token.len() == 47);
    assert_eq!(who(&coordinator, &session.token).await.unwrap(), "admin");
    let other = coordinator.login("admin", PASSWORD).await.unwrap();
    let mut sessions = SessionServiceClient::new(coordinator.with_token(&session.token).await);
    sessions.logout(LogoutRequest {}).await.unwrap();
    assert_eq!(
        reason(&who(&coordinator, &session.token).await.unwrap_err()),
        "SESSION_UNKNOWN"
    );
    assert_eq!(who(&coordinator, &other.token).await.unwrap(), "admin");
    assert_eq!(
        reason(&who(&coordinator, "").await.unwrap_err()),
        "SESSION_REQUIRED"
    );
    assert_eq!(
        reason(&who(&coordinator, "chs_guess").await.unwrap_err()),
        "SESSION_UNKNOWN"
    );
}

async fn a_wrong_password_and_an_unknown_account_read_the_same() {
    let coordinator = Coordinator::start().await;
    let wrong = coordinator
        .login("admin", "not the password")
        .await
        .unwrap_err();
    let unknown = coordinator
        .login("nobody", "not the password")
        .await
        .unwrap_err();
    assert_eq!(
        (wrong.code(), wrong.message()),
        (unknown.code(), unknown.message())
    );
    assert_eq!(
        (wrong.code(), reason(&wrong).as_str()),
        (Code::Unauthenticated, "LOGIN_REFUSED")
    );
}

async fn who_guesses_waits_also_after_a_restart() {
    let coordinator =
        Coordinator::start_with(|config| config.sessions.failures_per_account = 3).await;
    let someone = coordinator.person("tomas", &[Role::Technician]).await;
    // A success in between begins the count anew.
    for _ in 0..2 {
        coordinator.login("tomas", "wrong").await.unwrap_err();
    }
    coordinator.login("tomas", PASSWORD).await.unwrap();
    for _ in 0..3 {
        assert_eq!(
            reason(&coordinator.login("tomas", "wrong").await.unwrap_err()),
            "LOGIN_REFUSED"
        );
    }
    let coordinator = coordinator.restart().await;
    for _ in 0..2 {
        // The right password too: otherwise the limit would tell when a guess was right.
        let refused = coordinator.login("Tomás", PASSWORD).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::ResourceExhausted, "TOO_MANY_TRIES")
        );
        assert!(
            refused
                .get_details_retry_info()
                .unwrap()
                .retry_delay
                .unwrap()
                .as_secs()
                > 60
        );
    }
    // Others, and sessions that are open, go on.
    coordinator.login("admin", PASSWORD).await.unwrap();
    assert_eq!(who(&coordinator, &someone.token).await.unwrap(), "tomas");
}

async fn a_session_ends_by_time_and_by_silence() {
    let coordinator = Coordinator::start_with(|config| config.sessions.idle_minutes = 30).await;
    let admin = coordinator
        .login("admin", PASSWORD)
        .await
        .unwrap()
        .person
        .unwrap()
        .id;
    let now_ms = clock::now_ms();
    for (began_ms, ends_ms, expected) in [
        (now_ms - 10_000, now_ms - 1, Some("SESSION_EXPIRED")),
        (
            now_ms - 31 * clock::MINUTE_MS,
            now_ms + clock::HOUR_MS,
            Some("SESSION_EXPIRED"),
        ),
        (
            now_ms - 29 * clock::MINUTE_MS,
            now_ms + clock::HOUR_MS,
            None,
        ),
    ] {
        let secret = Secret::fresh("chs").unwrap();
        let (digest, person, id) = (secret.digest.clone(), admin.clone(), fresh());
        coordinator
            .ctx
            .store
            .write(move |tx| {
                chasqui_store::session::begin(tx, &id, &digest, &person, "", began_ms, ends_ms)
            })
            .await
            .unwrap();
        let refused = who(&coordinator, &secret.text)
            .await
            .err()
            .map(|status| reason(&status));
        assert_eq!(refused.as_deref(), expected);
    }
}

async fn a_new_password_ends_the_sessions() {
    let coordinator = Coordinator::start().await;
    let session = coordinator.person("tomas", &[Role::Technician]).await;
    let person_id = session.person.clone().unwrap().id;
    let mut own = PersonServiceClient::new(coordinator.with_token(&session.token).await);
    let change = |old: &str, new: &str| SetPasswordRequest {
        person_id: person_id.clone(),
        old_password: old.to_owned(),
        new_password: new.to_owned(),
    };
    let refused = own
        .set_password(change("wrong", "another password"))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "OLD_PASSWORD_WRONG");
    let refused = own
        .set_password(change(PASSWORD, "short"))
        .await
        .unwrap_err();
    assert!(
        refused.message().contains("new_password"),
        "{}",
        refused.message()
    );
    let mut foreign = change(PASSWORD, "another password");
    foreign.person_id = coordinator
        .login("admin", PASSWORD)
        .await
        .unwrap()
        .person
        .unwrap()
        .id;
    assert_eq!(
        reason(&own.set_password(foreign).await.unwrap_err()),
        "PASSWORD_OF_ANOTHER"
    );
    // Nothing of that changed anything.
    assert_eq!(who(&coordinator, &session.token).await.unwrap(), "tomas");

    own.set_password(change(PASSWORD, "another password"))
        .await
        .unwrap();
    assert_eq!(
        reason(&who(&coordinator, &session.token).await.unwrap_err()),
        "SESSION_UNKNOWN"
    );
    assert_eq!(
        reason(&coordinator.login("tomas", PASSWORD).await.unwrap_err()),
        "LOGIN_REFUSED"
    );
    coordinator
        .login("tomas", "another password")
        .await
        .unwrap();
    // An administrator needs no old one.
    let mut admin = PersonServiceClient::new(coordinator.admin().await);
    admin
        .set_password(change("", "a third password"))
        .await
        .unwrap();
    coordinator
        .login("tomas", "a third password")
        .await
        .unwrap();
}

async fn a_closed_account_is_out_at_once_and_somebody_is_left() {
    let coordinator = Coordinator::start().await;
    let session = coordinator.person("tomas", &[Role::Technician]).await;
    let mut admin = PersonServiceClient::new(coordinator.admin().await);
    assert_eq!(who(&coordinator, &session.token).await.unwrap(), "tomas");
    let set = |person_id: String, disabled: bool| SetPersonDisabledRequest {
        person_id,
        disabled,
    };
    let tomas = session.person.unwrap().id;
    let answer = admin
        .set_person_disabled(set(tomas.clone(), true))
        .await
        .unwrap()
        .into_inner();
    assert!(answer.person.unwrap().disabled);
    assert_eq!(
        reason(&who(&coordinator, &session.token).await.unwrap_err()),
        "SESSION_UNKNOWN"
    );
    assert_eq!(
        reason(&coordinator.login("tomas", PASSWORD).await.unwrap_err()),
        "LOGIN_REFUSED"
    );
    admin.set_person_disabled(set(tomas, false)).await.unwrap();
    coordinator.login("tomas", PASSWORD).await.unwrap();

    let own = coordinator
        .login("admin", PASSWORD)
        .await
        .unwrap()
        .person
        .unwrap()
        .id;
    assert_eq!(
        reason(
            &admin
                .set_person_disabled(set(own.clone(), true))
                .await
                .unwrap_err()
        ),
        "LAST_ADMINISTRATOR"
    );
    coordinator.person("second", &[Role::Administrator]).await;
    admin.set_person_disabled(set(own, true)).await.unwrap();
}

async fn an_account_is_made_once() {
    let coordinator = Coordinator::start().await;
    let mut admin = PersonServiceClient::new(coordinator.admin().await);
    let request = new_person("ana", &[Role::Lead, Role::Technician]);
    let first = admin
        .create_person(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        admin
            .create_person(request.clone())
            .await
            .unwrap()
            .into_inner(),
        first
    );
    let mut other = request.clone();
    other.name = "Somebody else".to_owned();
    assert_eq!(
        reason(&admin.create_person(other).await.unwrap_err()),
        "REQUEST_ID_REUSED"
    );
    assert_eq!(
        reason(
            &admin
                .create_person(new_person("ANA", &[Role::Lead]))
                .await
                .unwrap_err()
        ),
        "LOGIN_TAKEN"
    );
    for (login, roles) in [
        ("", vec![Role::Lead]),
        ("a b", vec![Role::Lead]),
        ("x", vec![]),
        ("x", vec![Role::Unspecified]),
    ] {
        let refused = admin
            .create_person(new_person(login, &roles))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{login:?} {roles:?}");
    }
    let logins: Vec<_> = admin
        .list_persons(ListPersonsRequest::default())
        .await
        .unwrap()
        .into_inner()
        .persons
        .into_iter()
        .map(|person| person.login)
        .collect();
    assert_eq!(logins, ["admin", "ana"]);
}

async fn anybody_may_ask_what_this_is() {
    let coordinator = Coordinator::start().await;
    let info = SessionServiceClient::new(coordinator.people().await)
        .get_server_info(GetServerInfoRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(info.organisation, "example");
    assert_eq!(info.agents_url, coordinator.addresses.agents_url);
    assert_eq!(info.device_ca_sha256.as_ref(), coordinator.ctx.ca.sha256());
}

on_both!(
    a_session_begins_with_a_password_and_ends_with_a_log_out,
    a_wrong_password_and_an_unknown_account_read_the_same,
    who_guesses_waits_also_after_a_restart,
    a_session_ends_by_time_and_by_silence,
    a_new_password_ends_the_sessions,
    a_closed_account_is_out_at_once_and_somebody_is_left,
    an_account_is_made_once,
    anybody_may_ask_what_this_is,
);
