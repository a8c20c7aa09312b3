//! `key new|unlock|lock|show` and opening a key to sign with. The private half is an encrypted PKCS#8 file; beside it
//! lies the public half, so that showing it needs no passphrase. From risk 2 on the passphrase is asked every time.

use std::path::{Path, PathBuf};

use chasqui_base::clock;
use chasqui_trust::{PublicKey, SigningKey};
use serde_json::json;
use zeroize::Zeroizing;

use crate::args::{KeyCommand, SignArgs};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::Screen;
use crate::{input, unlock};

/// Highest risk an unlocked key signs for without asking.
pub const MAX_UNLOCKED_RISK: u8 = 1;

pub fn run(context: &Context, command: KeyCommand) -> Outcome {
    let screen = &context.screen;
    match command {
        KeyCommand::New {
            out,
            passphrase_file,
        } => {
            let path = out.unwrap_or_else(|| default_path(context));
            refuse_overwrite(&path)?;
            let passphrase = input::new_secret(
                screen,
                passphrase_file.as_ref(),
                "frase de paso nueva",
                "new passphrase",
            )?;
            let key = generate()?;
            write(&path, &key, &passphrase)?;
            show_public(screen, &path, &key.public_key());
        }
        KeyCommand::Unlock {
            key,
            passphrase_file,
            valid_for_ms,
        } => {
            let path = key.unwrap_or_else(|| default_path(context));
            // Before the passphrase is asked: a machine without a place for it says so first.
            unlock::folder()?;
            let key = open(screen, &path, passphrase_file.as_ref())?;
            let until = unlock::store(&key, clock::now_ms(), valid_for_ms)?;
            let value = json!({
                "key_id": key.key_id().to_string(),
                "expires_at_ms": until,
                "max_risk": MAX_UNLOCKED_RISK,
            });
            screen.show(&value, |s| {
                format!(
                    "{} {} ({} {MAX_UNLOCKED_RISK})",
                    s.say("clave abierta hasta", "key open until"),
                    s.time(until),
                    s.say("solo para riesgo 0 a", "for risk 0 to"),
                )
            });
        }
        KeyCommand::Lock => {
            let removed = unlock::lock()?;
            screen.show(&json!({ "locked": removed }), |s| {
                s.say("ninguna clave queda abierta", "no key is open any more")
                    .to_owned()
            });
        }
        KeyCommand::Show { key } => {
            let path = key.unwrap_or_else(|| default_path(context));
            show_public(screen, &path, &public_of(&path)?);
        }
    }
    Ok(())
}

/// The key people sign with when they name none.
pub fn default_path(context: &Context) -> PathBuf {
    context.setting("key.pem")
}

/// A fresh key.
pub fn generate() -> Outcome<SigningKey> {
    Ok(SigningKey::generate(input::random()?))
}

/// Writes an encrypted key file (0600) and its public half (`.pub`) beside it.
pub fn write(path: &Path, key: &SigningKey, passphrase: &str) -> Outcome {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        chasqui_base::durable::create_private_dir(folder)
            .map_err(|error| Failure::file(folder, &error))?;
    }
    let pem = key.to_encrypted_pem(passphrase.as_bytes(), input::random()?, input::random()?)?;
    input::write_file(path, pem.as_bytes(), 0o600)?;
    write_public(&public_path(path), &key.public_key())
}

/// Writes a public key file.
pub fn write_public(path: &Path, key: &PublicKey) -> Outcome {
    let mut json = serde_json::to_vec(key).map_err(|error| {
        Failure::new(
            Exit::Failed,
            "KEY_PUBLIC_INVALID",
            error.to_string(),
            error.to_string(),
        )
    })?;
    json.push(b'\n');
    input::write_file(path, &json, 0o644)
}

/// Never over a key that exists: it may be the only copy.
pub fn refuse_overwrite(path: &Path) -> Outcome {
    if !path.exists() {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::new(
        Exit::Refused,
        "FILE_EXISTS",
        format!("{path} ya existe y no se sobrescribe"),
        format!("{path} exists already and is not overwritten"),
    )
    .hint(
        "elija otro nombre con --out",
        "choose another name with --out",
    ))
}

/// Opens a key file, asking for its passphrase.
pub fn open(
    screen: &Screen,
    path: &Path,
    passphrase_file: Option<&PathBuf>,
) -> Outcome<SigningKey> {
    let pem = read_pem(path)?;
    let name = path.display();
    let passphrase = input::secret(
        screen,
        passphrase_file,
        &format!("frase de paso de {name}"),
        &format!("passphrase of {name}"),
    )?;
    Ok(SigningKey::from_encrypted_pem(&pem, passphrase.as_bytes())?)
}

/// The key to sign with at this risk: an unlocked one up to risk 1, else its file and passphrase.
pub fn for_signing(context: &Context, args: &SignArgs, risk: u8) -> Outcome<SigningKey> {
    let path = args.key.clone().unwrap_or_else(|| default_path(context));
    if risk <= MAX_UNLOCKED_RISK
        && args.passphrase_file.is_none()
        && let Ok(public) = public_of(&path)
        && let Some(key) = unlock::load(&public, clock::now_ms())
    {
        return Ok(key);
    }
    if !path.exists() {
        let shown = path.display();
        return Err(Failure::new(
            Exit::NotFound,
            "KEY_MISSING",
            format!("no hay archivo de clave en {shown}"),
            format!("there is no key file at {shown}"),
        )
        .hint(
            "haga una con: chasqui key new, y pida que la agreguen al documento de personas",
            "make one with: chasqui key new, and have it added to the people document",
        ));
    }
    open(&context.screen, &path, args.passphrase_file.as_ref())
}

/// A public key from a `.pub` file, a key file with one beside it, or `ed25519:HEX`.
pub fn public_from(text: &str) -> Outcome<PublicKey> {
    if let Some(hex_text) = text.strip_prefix("ed25519:") {
        let bytes = hex::decode(hex_text).unwrap_or_default();
        return Ok(PublicKey::from_slice(&bytes)?);
    }
    public_of(Path::new(text))
}

/// The public half of a key file.
pub fn public_of(path: &Path) -> Outcome<PublicKey> {
    let public = if path.extension().is_some_and(|ending| ending == "pub") {
        path.to_owned()
    } else {
        public_path(path)
    };
    let bytes = input::read_file(&public)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let public = public.display();
        Failure::new(
            Exit::Invalid,
            "KEY_PUBLIC_INVALID",
            format!("{public} no es una clave pública: {error}"),
            format!("{public} is no public key: {error}"),
        )
    })
}

/// `key.pem` has its public half in `key.pub`.
pub fn public_path(path: &Path) -> PathBuf {
    path.with_extension("pub")
}

fn read_pem(path: &Path) -> Outcome<Zeroizing<String>> {
    let bytes = Zeroizing::new(input::read_file(path)?);
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::from(chasqui_trust::key::KeyError::BadKeyFile))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn show_public(screen: &Screen, path: &Path, key: &PublicKey) {
    let public = format!("{}:{}", key.scheme(), hex::encode(key.as_bytes()));
    let value = json!({
        "file": path.display().to_string(),
        "public_file": public_path(path).display().to_string(),
        "key_id": key.id().to_string(),
        "public": public,
    });
    screen.show(&value, |s| {
        s.fields(&[
            (s.say("archivo", "file"), path.display().to_string()),
            (
                s.say("parte pública", "public half"),
                public_path(path).display().to_string(),
            ),
            (s.say("clave", "key"), key.id().to_string()),
            (s.say("pública", "public"), public.clone()),
        ])
    });
}
