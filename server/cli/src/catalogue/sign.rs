//! `catalogue sign`: the next signed list of definitions. The first publisher makes it, another adds a signature with the
//! same command; both read what they sign from the bytes whose digests stand in it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chasqui_base::clock;
use chasqui_trust::verify::TWO_PUBLISHERS_FROM_RISK;
use chasqui_trust::{
    Catalogue, CatalogueEntry, Definition, Digest, Document as _, Envelope, Root, SigningKey, sign,
};

use crate::catalogue::args::SignArgs;
use crate::catalogue::{diff, facets, read};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Screen, Tone, clean};
use crate::trust::folder::{Folder, Kind, Standing, days_ms, settle};
use crate::trust::{self, show};
use crate::{input, key};

pub fn run(context: &Context, args: &SignArgs) -> Outcome {
    let screen = &context.screen;
    let folder = Folder::at(&args.folder.dir);
    let root = folder.root()?;
    let given = match args.paths.is_empty() {
        true => None,
        false => Some(
            read::files(&args.paths)?
                .iter()
                .map(|path| Ok(read::file(path)?.1))
                .collect::<Outcome<Vec<_>>>()?,
        ),
    };
    let mut envelope = prepare(&folder, given.as_deref(), args.replace, args.days)?;
    for other in &args.merge {
        trust::take_signatures(&mut envelope, other)?;
    }
    let text = shown(screen, &folder, &envelope)?;
    if screen.json {
        screen.note(text);
    } else {
        screen.line(text.trim_end());
    }
    // Signatures of copies alone need no word of whoever gathers them.
    if args.merge.is_empty() || !args.keys.is_empty() {
        screen.confirm("¿Firmar este catálogo?", "Sign this catalogue?", args.yes)?;
        for key in open(screen, &folder, &root, args)? {
            envelope.add_signature(&key);
        }
    }
    let path = folder.draft(Kind::Catalogue);
    let standing = settle(&path, &envelope, clock::now_ms())?;
    trust::show_standing(screen, &[standing]);
    Ok(())
}

/// The keys to sign with: those named, else the publishers' keys of the folder.
fn open(
    screen: &Screen,
    folder: &Folder,
    root: &Root,
    args: &SignArgs,
) -> Outcome<Vec<SigningKey>> {
    let files = if args.keys.is_empty() {
        folder.role_keys("publisher")
    } else {
        args.keys.clone()
    };
    let mut keys = Vec::new();
    for path in &files {
        // A key that counts for nothing would sign in vain: not even its passphrase is asked.
        if !root
            .publishers
            .key_ids
            .contains(&key::public_of(path)?.id())
        {
            if args.keys.is_empty() {
                continue;
            }
            let shown = path.display();
            return Err(Failure::new(
                Exit::Refused,
                "KEY_NOT_PUBLISHER",
                format!("{shown} no es la clave de un publicador de la raíz"),
                format!("{shown} is not the key of a publisher of the root"),
            )
            .hint(
                "agréguela a la próxima raíz con: chasqui trust add publisher-key",
                "add it to the next root with: chasqui trust add publisher-key",
            ));
        }
        keys.push(key::open(
            screen,
            path,
            args.passphrase.passphrase_file.as_ref(),
        )?);
    }
    if keys.is_empty() {
        return Err(Failure::new(
            Exit::NotFound,
            "KEY_MISSING",
            "no hay clave de publicador en la carpeta",
            "there is no publisher's key in the folder",
        )
        .hint("nómbrela con --key", "name it with --key"));
    }
    Ok(keys)
}

/// The draft to be signed next: the one that is there when it has the same list, with its signatures, else a new one. The
/// definitions given (canonical bytes) are kept in the folder; None takes those the catalogue has.
pub fn prepare(
    folder: &Folder,
    given: Option<&[Vec<u8>]>,
    replace: bool,
    days: u32,
) -> Outcome<Envelope> {
    let root = folder.root()?;
    let now = clock::now_ms();
    let last: Option<Catalogue> = folder.last(Kind::Catalogue)?;
    let draft = folder.envelope(&folder.draft(Kind::Catalogue))?;
    let drafted = draft.as_ref().map(Catalogue::decode).transpose()?;
    let mut wanted = match (replace, &drafted, &last) {
        (true, _, _) => Vec::new(),
        (false, Some(draft), _) => draft.definitions.clone(),
        (false, None, Some(last)) => last.definitions.clone(),
        (false, None, None) => Vec::new(),
    };
    if let Some(given) = given {
        let entries = entries(given)?;
        refuse_reuse(&entries, last.as_ref())?;
        for (entry, bytes) in &entries {
            folder.write_definition(entry, bytes)?;
            wanted.retain(|held| (&held.id, held.version) != (&entry.id, entry.version));
            wanted.push(entry.clone());
        }
    } else if last.is_none() && drafted.is_none() {
        return Err(Failure::usage(
            "todavía no hay catálogo: nombre la carpeta de definiciones",
            "there is no catalogue yet: name the folder of definitions",
        ));
    }
    wanted.sort_by(|a, b| (&a.id, a.version).cmp(&(&b.id, b.version)));
    let version = match &last {
        Some(last) => last.version.saturating_add(1),
        None => 1,
    };
    // Another publisher began it: the same list is the same document, and gets one more signature.
    if let (Some(envelope), Some(document)) = (draft, drafted)
        && document.definitions == wanted
        && document.version == version
        && document.expires_at_ms > now
    {
        return Ok(envelope);
    }
    let next = Catalogue {
        critical: Vec::new(),
        org: root.org,
        version,
        issued_at_ms: now,
        expires_at_ms: now + days_ms(days),
        definitions: wanted,
    };
    folder.create()?;
    Ok(sign(&next, &[])?)
}

/// The same with keys in memory, for a folder made in one go.
pub fn with_keys(
    folder: &Folder,
    definitions: &[Vec<u8>],
    keys: &[&SigningKey],
    days: u32,
) -> Outcome<Standing> {
    let mut envelope = prepare(folder, Some(definitions), true, days)?;
    for key in keys {
        envelope.add_signature(key);
    }
    settle(&folder.draft(Kind::Catalogue), &envelope, clock::now_ms())
}

fn entries(definitions: &[Vec<u8>]) -> Outcome<Vec<(CatalogueEntry, Vec<u8>)>> {
    let mut out: BTreeMap<(String, u32), (CatalogueEntry, Vec<u8>)> = BTreeMap::new();
    for bytes in definitions {
        let read = Definition::decode_payload(bytes)?;
        let entry = CatalogueEntry {
            id: read.id.clone(),
            version: read.version,
            digest: Digest::of(bytes),
        };
        let key = (read.id, read.version);
        if let Some((held, _)) = out.get(&key)
            && held.digest != entry.digest
        {
            return Err(Failure::new(
                Exit::Invalid,
                "DEFINITION_TWICE",
                format!("hay dos {:?} versión {} distintas", key.0, key.1),
                format!("there are two different {:?} version {}", key.0, key.1),
            )
            .hint(
                "cuente la versión de una, o quítela; véalo con: chasqui catalogue check",
                "count the version of one up, or remove it; see: chasqui catalogue check",
            ));
        }
        out.insert(key, (entry, bytes.clone()));
    }
    Ok(out.into_values().collect())
}

/// A version that was signed once means one content for ever: orders name it.
fn refuse_reuse(entries: &[(CatalogueEntry, Vec<u8>)], last: Option<&Catalogue>) -> Outcome {
    for (entry, _) in entries {
        let held = last.and_then(|last| last.entry(&entry.id, entry.version));
        if held.is_some_and(|held| held.digest != entry.digest) {
            return Err(Failure::new(
                Exit::Refused,
                "DEFINITION_VERSION_USED",
                format!(
                    "{:?} versión {} ya se firmó con otro contenido",
                    entry.id, entry.version
                ),
                format!(
                    "{:?} version {} was signed with other content",
                    entry.id, entry.version
                ),
            )
            .hint(
                "lo que cambia lleva la versión siguiente: cuéntela en el archivo",
                "what changes bears the next version: count it up in the file",
            ));
        }
    }
    Ok(())
}

/// What the publisher reads: the list, and of each definition that is new in it every member, or what differs from the
/// version before. All from the bytes whose digests are signed.
fn shown(screen: &Screen, folder: &Folder, envelope: &Envelope) -> Outcome<String> {
    let now = clock::now_ms();
    let root = folder.root_bytes()?;
    let catalogue = Catalogue::decode(envelope)?;
    let last: Option<Catalogue> = folder.last(Kind::Catalogue)?;
    let header = show::examine(&envelope.to_json(), Some(&root), now)?;
    let mut out = show::render(screen, &header, now);
    let known = |entry: &CatalogueEntry| {
        last.as_ref()
            .and_then(|last| last.entry(&entry.id, entry.version))
            .is_some()
    };
    for entry in &catalogue.definitions {
        // Also those signed before: their bytes must be there, or what is signed could never be ordered.
        let definition = folder.definition(entry)?;
        if known(entry) {
            continue;
        }
        let title = format!("{} v{}  {}", entry.id, entry.version, entry.digest);
        out.push_str(&format!(
            "\n{}\n",
            screen.tone(Tone::Strong, &clean(&title))
        ));
        if definition.risk >= TWO_PUBLISHERS_FROM_RISK {
            let text = format!(
                "  {} {}: {}",
                screen.say("riesgo", "risk"),
                definition.risk,
                screen.say("firman dos publicadores", "two publishers sign")
            );
            out.push_str(&format!("{}\n", screen.tone(Tone::Bad, &text)));
        }
        let before = last
            .as_ref()
            .and_then(|last| last.latest(&entry.id))
            .filter(|held| held.version < entry.version);
        match before {
            Some(held) => {
                let before = folder.definition(held)?;
                out.push_str(&format!(
                    "  {} v{}\n",
                    screen.say("cambios desde", "changes since"),
                    held.version
                ));
                out.push_str(&diff::render(screen, &diff::changes(&before, &definition)));
            }
            None => out.push_str(&facets::render(screen, &definition)),
        }
    }
    if let Some(last) = &last {
        for held in &last.definitions {
            if catalogue.entry(&held.id, held.version).is_none() {
                out.push_str(&format!(
                    "  {} {} v{}\n",
                    screen.say("sale del catálogo:", "leaves the catalogue:"),
                    clean(&held.id),
                    held.version
                ));
            }
        }
    }
    Ok(out)
}

/// Refuses a catalogue with a definition that one publisher alone may not vouch for.
pub fn enough_publishers(folder: &Folder, root: &Root, envelope: &Envelope) -> Outcome {
    let catalogue = Catalogue::decode(envelope)?;
    let signed = envelope.count_signers(root.role_keys(&root.publishers));
    if signed >= 2 {
        return Ok(());
    }
    for entry in &catalogue.definitions {
        let definition = folder.definition(entry)?;
        if definition.risk >= TWO_PUBLISHERS_FROM_RISK {
            let (id, risk) = (&entry.id, definition.risk);
            let few = root.publishers.key_ids.len() < 2;
            let (es, en) = if few {
                (
                    "la raíz nombra un solo publicador: agregue otro con: chasqui trust add publisher-key",
                    "the root names a single publisher: add another with: chasqui trust add publisher-key",
                )
            } else {
                (
                    "otro publicador agrega su firma con: chasqui catalogue sign --dir CARPETA --key SU_CLAVE",
                    "another publisher adds a signature with: chasqui catalogue sign --dir FOLDER --key THEIR_KEY",
                )
            };
            return Err(Failure::new(
                Exit::Refused,
                "DEFINITION_PUBLISHERS",
                format!("{id} tiene riesgo {risk}: el catálogo lo firman dos publicadores, y firmó {signed}"),
                format!("{id} has risk {risk}: two publishers sign the catalogue, and {signed} did"),
            )
            .hint(es, en));
        }
    }
    Ok(())
}

/// Where the definition of an entry lies in a trust folder.
pub fn file_name(entry: &CatalogueEntry) -> PathBuf {
    PathBuf::from(format!("{}-{}.json", entry.id, entry.version))
}

impl Folder {
    /// Keeps a definition's canonical bytes.
    pub fn write_definition(&self, entry: &CatalogueEntry, bytes: &[u8]) -> Outcome {
        let place = self.file("definitions");
        chasqui_base::durable::create_private_dir(&place)
            .map_err(|error| Failure::file(&place, &error))?;
        input::write_file(&place.join(file_name(entry)), bytes, 0o644)
    }

    /// The bytes an entry names, by digest.
    pub fn definition_bytes(&self, entry: &CatalogueEntry) -> Outcome<Vec<u8>> {
        let path = self.file("definitions").join(file_name(entry));
        let bytes = input::read_file(&path)?;
        if Digest::of(&bytes) == entry.digest {
            return Ok(bytes);
        }
        let shown = path.display();
        Err(Failure::new(
            Exit::Invalid,
            "DEFINITION_DIGEST",
            format!("{shown} no es el contenido que el catálogo firma"),
            format!("{shown} is not the content the catalogue signs"),
        )
        .hint(
            "traiga el archivo de quien comenzó el catálogo, o firme otro con: chasqui catalogue sign",
            "bring the file from whoever began the catalogue, or sign another with: chasqui catalogue sign",
        ))
    }

    /// The definition an entry names, by digest.
    pub fn definition(&self, entry: &CatalogueEntry) -> Outcome<Definition> {
        Ok(Definition::decode_payload(&self.definition_bytes(entry)?)?)
    }
}
