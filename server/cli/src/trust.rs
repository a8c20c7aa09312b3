//! `trust …`: root and people document. Everything but `publish` works on files alone, so the ceremony's
//! machine needs no network; `publish` carries the signed files to the coordinator, which can only pass them on.

pub mod args;
pub mod edit;
pub mod folder;
pub mod init;
pub mod renew;
pub mod show;

use std::path::{Path, PathBuf};

use chasqui_base::clock;
use chasqui_base::text::Lang;
use chasqui_proto::v1;
use chasqui_trust::{Envelope, SigningKey, TrustState};
use serde_json::{Value, json};

use crate::client::{Client, call};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Screen, Tone};
use crate::{input, key};
use args::{PassphraseArgs, TrustCommand};
use folder::{Folder, Kind, Standing, settle};

pub async fn run(context: &Context, command: TrustCommand) -> Outcome {
    let screen = &context.screen;
    match command {
        TrustCommand::Init(args) => {
            let standing = init::run(context, &args)?;
            show_standing(screen, &[standing]);
        }
        TrustCommand::Sign {
            file,
            keys,
            merge,
            passphrase,
            yes,
        } => {
            let standing = sign(context, &file, &keys, &merge, &passphrase, yes)?;
            show_standing(screen, &[standing]);
        }
        TrustCommand::Renew(args) => {
            let standing = renew::run(context, &args)?;
            show_standing(screen, &[standing]);
        }
        TrustCommand::Add(command) => show_draft(screen, &edit::add(&command)?),
        TrustCommand::Revoke(command) => show_draft(screen, &edit::revoke(&command)?),
        TrustCommand::NewRoot {
            folder,
            days,
            root_threshold,
        } => show_draft(
            screen,
            &edit::new_root(&Folder::at(&folder.dir), days, root_threshold)?,
        ),
        TrustCommand::Show { file, root } => {
            let bytes = input::read_file(&file)?;
            let root = root_for(context, &file, root.as_ref())?;
            let now = clock::now_ms();
            let shown = show::examine(&bytes, root.as_deref(), now)?;
            screen.show(&show::to_json(&shown), |s| show::render(s, &shown, now));
        }
        TrustCommand::Pin { file, yes, replace } => pin(context, &file, yes, replace)?,
        TrustCommand::Publish { folder } => {
            let (client, _) = Client::of_session(context)?;
            let published = publish(&client, &Folder::at(&folder.dir)).await?;
            let value = json!({ "published": published.iter().map(|(what, version)| json!({
                "document": what,
                "version": version,
            })).collect::<Vec<_>>() });
            screen.show(&value, |s| {
                published
                    .iter()
                    .map(|(what, version)| {
                        format!("{} {what} v{version}", s.say("publicado:", "published:"))
                    })
                    .collect::<Vec<_>>()
                    .join("\n")
            });
        }
    }
    Ok(())
}

/// Carries every root and the people document of a folder to the coordinator.
pub async fn publish(client: &Client, folder: &Folder) -> Outcome<Vec<(String, u64)>> {
    let mut published = Vec::new();
    let mut roots = Vec::new();
    for file in input::json_files(&folder.file("roots"))? {
        let envelope = Envelope::from_json(&input::read_file(&file)?)?;
        roots.push((folder::version_of(&envelope)?, envelope));
    }
    roots.sort_by_key(|(version, _)| *version);
    for (_, envelope) in roots {
        let version = publish_one(client, &envelope).await?;
        published.push(("root".to_owned(), version));
    }
    if let Some(envelope) = folder.envelope(&folder.complete(Kind::People))? {
        let version = publish_one(client, &envelope).await?;
        published.push((Kind::People.name().to_owned(), version));
    }
    Ok(published)
}

/// Hands one signed document to the coordinator; gives back its version.
pub async fn publish_one(client: &Client, envelope: &Envelope) -> Outcome<u64> {
    let kind = match Kind::of(envelope)? {
        Kind::Root => v1::TrustDocumentKind::Root,
        Kind::People => v1::TrustDocumentKind::People,
        Kind::Catalogue => v1::TrustDocumentKind::Catalogue,
    };
    let request = v1::PublishTrustDocumentRequest {
        request_id: input::request_id(),
        kind: kind as i32,
        envelope: envelope.to_json().into(),
    };
    let answer = call(|| {
        let (mut trust, request) = (client.trust(), request.clone());
        async move { trust.publish_trust_document(request).await }
    })
    .await?;
    Ok(answer.version)
}

fn sign(
    context: &Context,
    file: &Path,
    key_files: &[PathBuf],
    merge: &[PathBuf],
    passphrase: &PassphraseArgs,
    yes: bool,
) -> Outcome<Standing> {
    let screen = &context.screen;
    let bytes = input::read_file(file)?;
    let mut envelope = Envelope::from_json(&bytes)?;
    if Kind::of(&envelope)? == Kind::Catalogue {
        // A publisher must see the definitions, not a list of digests.
        return Err(Failure::usage(
            "un catálogo no se firma aquí",
            "a catalogue is not signed here",
        )
        .hint(
            "fírmelo con: chasqui catalogue sign",
            "sign it with: chasqui catalogue sign",
        ));
    }
    for other in merge {
        take_signatures(&mut envelope, other)?;
    }
    if !key_files.is_empty() {
        let root = root_for(context, file, None)?;
        let now = clock::now_ms();
        let shown = show::examine(&bytes, root.as_deref(), now)?;
        let text = show::render(screen, &shown, now);
        if screen.json {
            screen.note(text);
        } else {
            screen.line(text.trim_end());
        }
        screen.confirm("¿Firmar esto?", "Sign this?", yes)?;
    }
    let mut keys: Vec<SigningKey> = Vec::new();
    for path in key_files {
        keys.push(key::open(
            screen,
            path,
            passphrase.passphrase_file.as_ref(),
        )?);
    }
    for key in &keys {
        envelope.add_signature(key);
    }
    settle(file, &envelope, clock::now_ms())
}

/// Takes over the signatures of a copy of the same draft.
pub fn take_signatures(envelope: &mut Envelope, other: &Path) -> Outcome {
    let copy = Envelope::from_json(&input::read_file(other)?)?;
    if copy.payload != envelope.payload || copy.payload_type != envelope.payload_type {
        let shown = other.display();
        return Err(Failure::new(
            Exit::Invalid,
            "DRAFT_DIFFERS",
            format!("{shown} no es una copia del mismo borrador"),
            format!("{shown} is no copy of the same draft"),
        ));
    }
    for signature in copy.signatures {
        envelope.signatures.retain(|s| s.key_id != signature.key_id);
        envelope.signatures.push(signature);
    }
    envelope
        .signatures
        .sort_by_key(|signature| signature.key_id);
    Ok(())
}

/// The root to check a file against: the one named, else a complete one beside it, else the pinned one.
fn root_for(context: &Context, file: &Path, named: Option<&PathBuf>) -> Outcome<Option<Vec<u8>>> {
    if let Some(path) = named {
        return Ok(Some(input::read_file(path)?));
    }
    let beside = Folder::at(file.parent().unwrap_or(Path::new("."))).complete(Kind::Root);
    for path in [beside, context.setting("root.json")] {
        if path.exists() {
            return Ok(Some(input::read_file(&path)?));
        }
    }
    Ok(None)
}

/// Installs a root in the settings folder. One that is there already is only followed by its own successor.
fn pin(context: &Context, file: &Path, yes: bool, replace: bool) -> Outcome {
    let screen = &context.screen;
    let bytes = input::read_file(file)?;
    let state = TrustState::from_root(&bytes)?;
    let target = context.setting("root.json");
    if target.exists() && !replace {
        let mut held = TrustState::from_root(&input::read_file(&target)?)?;
        held.accept_root(&bytes).map_err(|error| {
            Failure::from(error).hint(
                "si la raíz anterior ya no vale, repita con --replace",
                "if the earlier root no longer counts, repeat with --replace",
            )
        })?;
    }
    let now = clock::now_ms();
    let shown = show::examine(&bytes, None, now)?;
    let text = show::render(screen, &shown, now);
    if screen.json {
        screen.note(text);
    } else {
        screen.line(text.trim_end());
        screen.line(format!(
            "  {} {}",
            screen.say("huella:", "fingerprint:"),
            state.root_digest()
        ));
    }
    screen.confirm(
        "¿Instalar esta raíz? Compare la huella con la del acta.",
        "Install this root? Compare the fingerprint with the minutes.",
        yes,
    )?;
    chasqui_base::durable::create_private_dir(&context.config)
        .map_err(|error| Failure::file(&context.config, &error))?;
    input::write_file(&target, &bytes, 0o644)?;
    let value = json!({
        "file": target.display().to_string(),
        "version": state.root().version,
        "digest": state.root_digest().to_hex(),
    });
    screen.show(&value, |s| {
        format!(
            "{} {}",
            s.say("instalada en", "installed at"),
            target.display()
        )
    });
    Ok(())
}

fn draft_text(screen: &Screen, draft: &Path) -> String {
    format!(
        "{} {}\n  → {}",
        screen.say("borrador:", "draft:"),
        draft.display(),
        if draft.ends_with("root.draft.json") {
            screen.say(
                "fírmelo con: chasqui trust sign",
                "sign it with: chasqui trust sign",
            )
        } else {
            screen.say(
                "firme el documento de personas con: chasqui trust renew",
                "sign the people document with: chasqui trust renew",
            )
        }
    )
}

fn show_draft(screen: &Screen, draft: &Path) {
    screen.show(&json!({ "draft": draft.display().to_string() }), |s| {
        draft_text(s, draft)
    });
}

/// How drafts stand, and what is missing.
pub fn show_standing(screen: &Screen, standings: &[Standing]) {
    let one = |standing: &Standing| {
        json!({
            "document": standing.kind.name(),
            "version": standing.version,
            "file": standing.file.display().to_string(),
            "complete": standing.complete,
            "signatures": standing.signatures,
            "missing": standing.missing.as_ref().map(|f| f.text.get(screen.lang).to_owned()),
            "missing_code": standing.missing.as_ref().map(|f| f.code.clone()),
        })
    };
    let value: Value = json!({ "documents": standings.iter().map(one).collect::<Vec<_>>() });
    screen.show(&value, |s| {
        let mut out = String::new();
        for standing in standings {
            let file = standing.file.display();
            let name = standing.kind.name();
            let version = standing.version;
            if standing.complete {
                out.push_str(&format!(
                    "{} {name} v{version}: {} {file}\n",
                    s.tone(Tone::Good, "✔"),
                    s.say("completo,", "complete,")
                ));
            } else {
                out.push_str(&format!(
                    "{} {name} v{version}: {} {file}\n",
                    s.tone(Tone::Warn, "…"),
                    s.say("borrador,", "draft,")
                ));
                if let Some(missing) = &standing.missing {
                    out.push_str(&format!("  {}\n", missing.text.get(s.lang)));
                    let (es, en) = match (&missing.hint, standing.kind) {
                        (Some(hint), _) => (hint.get(Lang::Es), hint.get(Lang::En)),
                        (None, Kind::Catalogue) => (
                            "quien falte firma con: chasqui catalogue sign --key CLAVE",
                            "whoever is missing signs with: chasqui catalogue sign --key KEY",
                        ),
                        (None, _) => (
                            "quien falte firma con: chasqui trust sign ARCHIVO --key CLAVE",
                            "whoever is missing signs with: chasqui trust sign FILE --key KEY",
                        ),
                    };
                    out.push_str(&format!("  → {}\n", s.say(es, en)));
                }
            }
        }
        out
    });
}
