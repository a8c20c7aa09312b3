//! `trust init`: the first root, made on a machine without network. Keys are made here or brought as public halves; the
//! root is signed at once when every key it needs was made here, else it stays a draft for `trust sign`.

use std::path::Path;

use chasqui_base::clock;
use chasqui_trust::key::KeyId;
use chasqui_trust::root::{Coordinator, Role, Threshold};
use chasqui_trust::{Digest, PublicKey, Root, SigningKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::trust::args::{InitArgs, PassphraseArgs};
use crate::trust::folder::{Folder, Kind, Standing, days_ms, sign_draft};
use crate::{input, key};

/// Most keys of one role.
const MAX_ROLE_KEYS: u32 = 8;

/// What a root is made of, besides time.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Organisation.
    pub org: String,
    /// Root keys and how many must sign.
    pub root: (Vec<PublicKey>, u32),
    /// Trust administrators.
    pub admins: (Vec<PublicKey>, u32),
    /// Publishers.
    pub publishers: (Vec<PublicKey>, u32),
    /// The first coordinator.
    pub coordinator: Coordinator,
    /// Approvals by risk and machines; empty for the usual ones.
    pub thresholds: Vec<Threshold>,
    pub break_glass: Option<Threshold>,
    /// Validity.
    pub days: u32,
}

pub fn run(context: &Context, args: &InitArgs) -> Outcome<Standing> {
    let folder = Folder::at(&args.folder.dir);
    for kind in [folder.complete(Kind::Root), folder.draft(Kind::Root)] {
        if kind.exists() {
            let shown = kind.display();
            return Err(Failure::new(
                Exit::Refused,
                "FILE_EXISTS",
                format!("{shown} ya existe: esta carpeta ya tiene una raíz"),
                format!("{shown} exists: this folder has a root already"),
            )
            .hint(
                "para cambiarla: chasqui trust new-root; para otra raíz: --dir OTRA",
                "to change it: chasqui trust new-root; for another root: --dir OTHER",
            ));
        }
    }
    let coordinator = coordinator(None, &args.agents_url, &args.people_url, &args.ca_files)?;
    folder.create()?;
    let mut maker = Maker {
        context,
        folder: &folder,
        passphrase: &args.passphrase,
        made: Vec::new(),
    };
    let root = maker.role("root", args.root_keys, &args.given_root_keys)?;
    let admins = maker.role("admin", args.admin_keys, &args.given_admin_keys)?;
    let publishers = maker.role("publisher", args.publisher_keys, &args.given_publisher_keys)?;
    let made = maker.made;
    let plan = Plan {
        org: args.org.clone(),
        root: (root, args.root_threshold),
        admins: (admins, args.admin_threshold),
        publishers: (publishers, args.publisher_threshold),
        coordinator,
        thresholds: args.thresholds.clone(),
        break_glass: args.break_glass,
        days: args.days,
    };
    let document = plan.root(clock::now_ms());
    let path = folder.write_draft(Kind::Root, &document)?;
    let signers: Vec<&SigningKey> = if args.draft {
        Vec::new()
    } else {
        made.iter()
            .filter(|key| document.root.key_ids.contains(&key.key_id()))
            .collect()
    };
    sign_draft(&path, &signers, clock::now_ms())
}

impl Plan {
    /// Version 1 of the root.
    pub fn root(&self, now_ms: i64) -> Root {
        let role = |(keys, threshold): &(Vec<PublicKey>, u32)| Role {
            key_ids: keys.iter().map(PublicKey::id).collect(),
            threshold: *threshold,
        };
        let mut keys: Vec<PublicKey> = Vec::new();
        for key in self
            .root
            .0
            .iter()
            .chain(&self.admins.0)
            .chain(&self.publishers.0)
        {
            if !keys.contains(key) {
                keys.push(*key);
            }
        }
        Root {
            critical: Vec::new(),
            org: self.org.clone(),
            version: 1,
            issued_at_ms: now_ms,
            expires_at_ms: now_ms + days_ms(self.days),
            keys,
            root: role(&self.root),
            trust_admins: role(&self.admins),
            publishers: role(&self.publishers),
            release: None,
            coordinators: vec![self.coordinator.clone()],
            thresholds: if self.thresholds.is_empty() {
                usual_thresholds()
            } else {
                self.thresholds.clone()
            },
            break_glass: self.break_glass,
        }
    }
}

/// Read from top to bottom, the first row that fits applies; what fits none is refused. A harmless fix of one machine
/// needs nobody else; more risk or more machines need one other person, then two.
pub fn usual_thresholds() -> Vec<Threshold> {
    [
        (1, 1, 0),
        (2, 10, 1),
        (3, 1, 1),
        (2, 500, 2),
        (3, 100, 2),
        (4, 10, 2),
    ]
    .into_iter()
    .map(|(max_risk, max_targets, approvals)| Threshold {
        max_risk,
        max_targets,
        approvals,
    })
    .collect()
}

/// A coordinator with the digests of its authorities, read from PEM files.
pub fn coordinator(
    name: Option<&str>,
    agents_url: &str,
    people_url: &str,
    ca_files: &[std::path::PathBuf],
) -> Outcome<Coordinator> {
    let mut ca_sha256 = Vec::new();
    for file in ca_files {
        ca_sha256.extend(ca_digests(file)?);
    }
    let host = agents_url
        .parse::<http::Uri>()
        .ok()
        .and_then(|uri| uri.host().map(str::to_owned))
        .ok_or_else(|| {
            Failure::usage(
                format!("{agents_url:?} no es una dirección https://anfitrión:puerto"),
                format!("{agents_url:?} is no address https://host:port"),
            )
        })?;
    let name = name.map_or_else(|| host.trim_matches(['[', ']']).to_owned(), str::to_owned);
    Ok(Coordinator {
        name,
        agents_url: agents_url.to_owned(),
        people_url: people_url.to_owned(),
        ca_sha256,
    })
}

fn ca_digests(file: &Path) -> Outcome<Vec<Digest>> {
    let bytes = input::read_file(file)?;
    let digests: Vec<Digest> = CertificateDer::pem_slice_iter(&bytes)
        .filter_map(Result::ok)
        .map(|der| Digest::of(&der))
        .collect();
    if digests.is_empty() {
        let shown = file.display();
        return Err(Failure::usage(
            format!("{shown} no contiene un certificado PEM"),
            format!("{shown} holds no PEM certificate"),
        ));
    }
    Ok(digests)
}

struct Maker<'a> {
    context: &'a Context,
    folder: &'a Folder,
    passphrase: &'a PassphraseArgs,
    made: Vec<SigningKey>,
}

impl Maker<'_> {
    /// The public keys of a role: those given, else as many as asked, made here.
    fn role(&mut self, role: &str, count: u32, given: &[String]) -> Outcome<Vec<PublicKey>> {
        if !given.is_empty() {
            return given.iter().map(|text| key::public_from(text)).collect();
        }
        if count == 0 || count > MAX_ROLE_KEYS {
            return Err(Failure::usage(
                format!("de {role} se hacen de 1 a {MAX_ROLE_KEYS} claves"),
                format!("1 to {MAX_ROLE_KEYS} keys are made for {role}"),
            ));
        }
        let mut public = Vec::new();
        for n in 1..=count {
            let path = self.folder.file("keys").join(format!("{role}-{n}.pem"));
            key::refuse_overwrite(&path)?;
            let passphrase = self.new_passphrase(role, n)?;
            let key = key::generate()?;
            key::write(&path, &key, &passphrase)?;
            public.push(key.public_key());
            self.made.push(key);
        }
        Ok(public)
    }

    fn new_passphrase(&self, role: &str, n: u32) -> Outcome<Zeroizing<String>> {
        input::new_secret(
            &self.context.screen,
            self.passphrase.passphrase_file.as_ref(),
            &format!("frase de paso nueva de {role}-{n}"),
            &format!("new passphrase of {role}-{n}"),
        )
    }
}

/// Ids of keys in short, for messages.
pub fn short(id: &KeyId) -> String {
    id.to_string().chars().take(12).collect()
}
