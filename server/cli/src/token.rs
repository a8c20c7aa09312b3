//! `token new|list|revoke`: enrolment tokens.

use chasqui_proto::v1;
use serde_json::{Value, json};

use crate::args::TokenCommand;
use crate::client::{Client, call};
use crate::context::Context;
use crate::failure::Outcome;
use crate::input;
use crate::output::Screen;

pub async fn run(context: &Context, command: TokenCommand) -> Outcome {
    let (client, _) = Client::of_session(context)?;
    let screen = &context.screen;
    match command {
        TokenCommand::New {
            note,
            valid_for_ms,
            uses,
        } => {
            let (token, secret) = create(&client, &note, valid_for_ms, uses).await?;
            let mut value = token_json(&token);
            if let Some(object) = value.as_object_mut() {
                object.insert("secret".to_owned(), Value::String(secret.clone()));
            }
            screen.show(&value, |s| {
                format!(
                    "{secret}\n{}",
                    s.tone(
                        crate::output::Tone::Dim,
                        &format!(
                            "{} {}; {} {}",
                            s.say("sirve hasta", "works until"),
                            s.time(token.expires_at_ms),
                            s.say("equipos:", "machines:"),
                            token.max_uses
                        )
                    )
                )
            });
        }
        TokenCommand::List => {
            let tokens = list(&client).await?;
            let value = json!({ "tokens": tokens.iter().map(token_json).collect::<Vec<_>>() });
            screen.show(&value, |s| table(s, &tokens));
        }
        TokenCommand::Revoke { token } => {
            let request = v1::RevokeEnrolmentTokenRequest { token_id: token };
            let answer = call(|| {
                let (mut tokens, request) = (client.tokens(), request.clone());
                async move { tokens.revoke_enrolment_token(request).await }
            })
            .await?;
            let token = answer.token.unwrap_or_default();
            screen.show(&token_json(&token), |s| {
                format!("{} {}", s.say("revocado:", "revoked:"), token.id)
            });
        }
    }
    Ok(())
}

/// Makes a token; the second value is the secret, given this once.
pub async fn create(
    client: &Client,
    note: &str,
    valid_for_ms: i64,
    max_uses: u32,
) -> Outcome<(v1::EnrolmentToken, String)> {
    let request = v1::CreateEnrolmentTokenRequest {
        request_id: input::request_id(),
        note: note.to_owned(),
        valid_for_ms,
        max_uses,
    };
    let answer = call(|| {
        let (mut tokens, request) = (client.tokens(), request.clone());
        async move { tokens.create_enrolment_token(request).await }
    })
    .await?;
    Ok((answer.token.unwrap_or_default(), answer.secret))
}

async fn list(client: &Client) -> Outcome<Vec<v1::EnrolmentToken>> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    for _ in 0..200 {
        let request = v1::ListEnrolmentTokensRequest {
            page: Some(v1::PageRequest {
                page_size: 500,
                page_token,
            }),
        };
        let answer = call(|| {
            let (mut tokens, request) = (client.tokens(), request.clone());
            async move { tokens.list_enrolment_tokens(request).await }
        })
        .await?;
        found.extend(answer.tokens);
        page_token = answer.page.unwrap_or_default().next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(found)
}

fn token_json(token: &v1::EnrolmentToken) -> Value {
    json!({
        "id": token.id,
        "note": token.note,
        "created_by": token.created_by,
        "created_at_ms": token.created_at_ms,
        "expires_at_ms": token.expires_at_ms,
        "max_uses": token.max_uses,
        "uses": token.uses,
        "revoked": token.revoked,
    })
}

fn table(screen: &Screen, tokens: &[v1::EnrolmentToken]) -> String {
    let heading = [
        "ID",
        screen.say("NOTA", "NOTE"),
        screen.say("USOS", "USES"),
        screen.say("SIRVE HASTA", "WORKS UNTIL"),
        screen.say("REVOCADO", "REVOKED"),
    ];
    let rows = tokens
        .iter()
        .map(|t| {
            let revoked = if t.revoked {
                screen.say("sí", "yes")
            } else {
                screen.say("no", "no")
            };
            vec![
                t.id.clone(),
                t.note.clone(),
                format!("{}/{}", t.uses, t.max_uses),
                screen.time(t.expires_at_ms),
                revoked.to_owned(),
            ]
        })
        .collect();
    screen.table(&heading, rows)
}
