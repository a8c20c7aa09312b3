//! Steps `setup` and `enrol`: an organisation from nothing. Coordinator and keys are made at the same time, since both
//! stretch passwords; the root waits for the coordinator's address and authority, which are copied by hand as people do.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chasqui_base::{clock, durable};
use chasqui_proto::v1;
use serde_json::json;
use zeroize::Zeroizing;

use crate::args::{DemoArgs, Step};
use crate::client::Client;
use crate::demo::cast::{self, Actor, PARTS};
use crate::demo::ceremony;
use crate::demo::children::{Programs, Running};
use crate::demo::confine;
use crate::demo::folder::DataFolder;
use crate::demo::stage::{Cast, Stage};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Screen, Tone};
use crate::trust::folder::Folder;
use crate::{catalogue, device, input, key, session, token, trust};

/// The organisation of the demo.
const ORG: &str = "demo.chasqui.test";
/// How long a program may take to start.
const STARTING: Duration = Duration::from_secs(20);
/// How often the demo looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The device authority's certificate in the coordinator's data folder.
const CA_FILE: &str = "device-ca.pem";

/// What the case is played with.
pub struct Play {
    /// The demo's folder.
    pub folder: DataFolder,
    /// How programs are started.
    pub programs: Programs,
    /// The administrator's API.
    pub admin: Client,
    admin_password: Zeroizing<String>,
    /// Everybody of the case.
    pub actors: Vec<Actor>,
    /// The machine.
    pub device: v1::Device,
    /// The pinned root's file.
    pub root: PathBuf,
    /// Old files and their bytes in the work folder.
    pub old_files: (usize, u64),
    agents_url: String,
    ceremony_passphrase: Zeroizing<String>,
    people_passphrase: Zeroizing<String>,
}

impl Play {
    /// A person of the case.
    pub fn actor(&self, part: cast::Part) -> Outcome<&Actor> {
        self.actors
            .iter()
            .find(|actor| actor.part.login == part.login)
            .ok_or_else(|| Failure::usage(part.login, part.login))
    }

    /// Starts the agent's service.
    pub fn start_agent(&self) -> Outcome<Running> {
        start_agent(&self.programs, &self.folder)
    }

    /// Addresses and log-ins, for whoever goes on.
    pub fn say_how_to_go_on(&self, screen: &Screen) {
        if screen.json {
            screen.json_line(&json!({
                "people_url": self.admin.server,
                "agents_url": self.agents_url,
                "logins": self.actors.iter().map(|a| json!({
                    "login": a.part.login,
                    "password": a.password.as_str(),
                    "config_dir": a.config.display().to_string(),
                })).collect::<Vec<_>>(),
                "admin_password": self.admin_password.as_str(),
                "key_passphrase": self.people_passphrase.as_str(),
                "ceremony_passphrase": self.ceremony_passphrase.as_str(),
            }));
            return;
        }
        screen.line(format!(
            "\n{}",
            screen.tone(
                Tone::Strong,
                screen.say(
                    "Sigue en pie. Direcciones y usuarios:",
                    "It stays up. Addresses and log-ins:"
                )
            )
        ));
        screen.line(screen.fields(&[
            (
                screen.say("para personas", "for people"),
                self.admin.server.clone(),
            ),
            (
                screen.say("para agentes", "for agents"),
                self.agents_url.clone(),
            ),
        ]));
        let mut rows: Vec<Vec<String>> = self
            .actors
            .iter()
            .map(|actor| {
                vec![
                    actor.part.login.to_owned(),
                    actor.password.to_string(),
                    screen
                        .lang
                        .pick(actor.part.title.0, actor.part.title.1)
                        .to_owned(),
                    actor.config.display().to_string(),
                ]
            })
            .collect();
        rows.push(vec![
            "admin".to_owned(),
            self.admin_password.to_string(),
            screen.say("administración", "administrator").to_owned(),
            String::new(),
        ]);
        screen.line(screen.table(
            &[
                screen.say("USUARIO", "LOG-IN"),
                screen.say("CONTRASEÑA", "PASSWORD"),
                screen.say("PAPEL", "PART"),
                "CHASQUI_CONFIG_DIR",
            ],
            rows,
        ));
        screen.line(screen.fields(&[
            (
                screen.say("frase de paso de las personas", "people's passphrase"),
                self.people_passphrase.to_string(),
            ),
            (
                screen.say("frase de paso de la ceremonia", "ceremony's passphrase"),
                self.ceremony_passphrase.to_string(),
            ),
        ]));
        let folder = self
            .actors
            .iter()
            .find(|actor| actor.part.login == cast::TECHNICIAN.login)
            .map(|actor| actor.config.display().to_string())
            .unwrap_or_default();
        screen.line(format!(
            "{}\n  CHASQUI_CONFIG_DIR={folder} chasqui ticket list\n{}",
            screen.say("Por ejemplo:", "For example:"),
            screen.say("Ctrl-C para terminar.", "Ctrl-C ends it.")
        ));
    }
}

pub async fn run(stage: &mut Stage, cast: &mut Cast, args: &DemoArgs) -> Outcome<Play> {
    stage.begin(Step::Setup).await?;
    let screen = stage.screen.clone();
    let folder = DataFolder::open(&args.data)?;
    for name in ["ceremony", "server", "agent", "people", "logs"] {
        let path = folder.join(name);
        durable::create_private_dir(&path).map_err(|error| Failure::file(&path, &error))?;
    }
    let programs = Programs::find(folder.join("logs"), screen.lang.pick("es", "en"))?;
    let keys = ceremony::keys()?;
    let people_passphrase = ceremony::passphrase()?;
    let admin_password = ceremony::passphrase()?;

    let confined = confine::is_possible();
    let server_folder = folder.join("server");
    let starting =
        async { start_server(&programs, &server_folder, &admin_password, confined, cast).await };
    let ceremony_locked = lock_away(keys.files(&folder.join("ceremony")), &keys.passphrase)?;
    // While the coordinator starts, the ceremony's keys are put behind their passphrase.
    let addresses = starting.await?;
    let admin = {
        let anonymous = Client::connect(&addresses.people_url, None, None)?;
        let answer = session::sign_in(&anonymous, "admin", &admin_password).await?;
        Client::connect(&addresses.people_url, None, Some(&answer.token))?
    };

    // The authority's certificate is carried to the ceremony by hand; the coordinator has no say in it.
    let ceremony = folder.join("ceremony");
    let ca = ceremony.join(CA_FILE);
    copy(&server_folder.join(CA_FILE), &ca)?;
    let root = keys.sign_root(
        &ceremony,
        ORG,
        &addresses.agents_url,
        &addresses.people_url,
        &ca,
    )?;
    let people = folder.join("people");
    let (ana, luis, marta, jorge) = {
        let [a, b, c, d] = PARTS;
        tokio::try_join!(
            cast::engage(&admin, a, &people),
            cast::engage(&admin, b, &people),
            cast::engage(&admin, c, &people),
            cast::engage(&admin, d, &people),
        )?
    };
    let actors = vec![ana, luis, marta, jorge];
    let mut key_files = Vec::new();
    for actor in &actors {
        copy(&root, &actor.config.join("root.json"))?;
        key_files.extend(actor.key.as_ref().map(|key| (actor.key_file(), key)));
    }
    let people_locked = lock_away(key_files, &people_passphrase)?;
    let signers: Vec<ceremony::Signer> = actors.iter().filter_map(Actor::signer).collect();
    let definitions = keys.sign_documents(&ceremony, &signers, args.catalogue.as_deref())?;
    trust::publish(&admin, &Folder::at(&ceremony)).await?;
    catalogue::publish::publish(&admin, &Folder::at(&ceremony)).await?;
    let old_files = folder.fill_work()?;
    stage.done(
        screen.say(
            "Organización nueva: coordinador, personas, claves y catálogo",
            "A new organisation: coordinator, people, keys and catalogue",
        ),
        &[
            format!(
                "{} {}",
                screen.say("carpeta:", "folder:"),
                folder.path.display()
            ),
            format!(
                "{} {} · {} {}",
                screen.say("personas:", "people:"),
                addresses.people_url,
                screen.say("agentes:", "agents:"),
                addresses.agents_url
            ),
            protection(&screen, confined),
            format!(
                "{} {definitions} · {}",
                screen.say("acciones del catálogo:", "actions in the catalogue:"),
                PARTS
                    .map(|part| format!(
                        "{} ({})",
                        part.name,
                        screen.lang.pick(part.title.0, part.title.1)
                    ))
                    .join(", ")
            ),
        ],
        json!({
            "folder": folder.path.display().to_string(),
            "people_url": addresses.people_url,
            "agents_url": addresses.agents_url,
            "root": root.display().to_string(),
            "server_confined": confined,
            "replaced_older_demo": folder.replaced,
            "definitions": definitions,
        }),
    );

    stage.begin(Step::Enrol).await?;
    let device = enrol(&programs, &folder, &admin, &addresses, &root, cast).await?;
    stage.done(
        screen.say(
            "Este equipo se inscribió con una ficha",
            "This machine enrolled with a token",
        ),
        &[
            format!(
                "{} · {} {}",
                crate::output::clean(&device.host_name),
                screen.say("clave", "key"),
                hex::encode(&device.fingerprint)
                    .chars()
                    .take(16)
                    .collect::<String>()
            ),
            format!(
                "{} {}",
                screen.say(
                    "la política del equipo limita la limpieza a la carpeta de ensayo",
                    "the machine's policy narrows the cleaning to the rehearsal folder"
                ),
                folder.work.display()
            ),
        ],
        json!({
            "device_id": device.id,
            "host_name": device.host_name,
            "fingerprint": hex::encode(&device.fingerprint),
            "work_folder": folder.work.display().to_string(),
        }),
    );
    // Every key file is behind its passphrase before the case begins.
    for task in [ceremony_locked, people_locked] {
        task.await.map_err(|_| join_failed())??;
    }
    Ok(Play {
        folder,
        programs,
        admin,
        admin_password,
        actors,
        device,
        root,
        old_files,
        agents_url: addresses.agents_url,
        ceremony_passphrase: keys.passphrase,
        people_passphrase,
    })
}

fn protection(screen: &Screen, confined: bool) -> String {
    if confined {
        screen.say(
            "ceremonia: 2 de 3 claves raíz, cifradas; el núcleo (Landlock) impide al coordinador ver esa carpeta",
            "ceremony: 2 of 3 root keys, encrypted; the kernel (Landlock) keeps the coordinator out of that folder",
        )
    } else {
        screen.say(
            "ceremonia: 2 de 3 claves raíz, cifradas con una frase que el coordinador nunca ve (este núcleo no tiene Landlock)",
            "ceremony: 2 of 3 root keys, encrypted with a phrase the coordinator never sees (this kernel has no Landlock)",
        )
    }
    .to_owned()
}

#[derive(serde::Deserialize)]
struct Addresses {
    agents_url: String,
    people_url: String,
}

async fn start_server(
    programs: &Programs,
    folder: &Path,
    password: &str,
    confined: bool,
    cast: &mut Cast,
) -> Outcome<Addresses> {
    let only = confined.then_some(folder);
    let password_file = folder.join("admin-password");
    input::write_file(&password_file, format!("{password}\n").as_bytes(), 0o600)?;
    let data = folder.as_os_str();
    programs
        .finish(
            "server-init",
            &programs.server,
            &[
                OsStr::new("init"),
                OsStr::new("--data"),
                data,
                OsStr::new("--org"),
                OsStr::new(ORG),
                OsStr::new("--agents-listen"),
                OsStr::new("127.0.0.1:0"),
                OsStr::new("--agents-name"),
                OsStr::new("127.0.0.1"),
                OsStr::new("--people-listen"),
                OsStr::new("127.0.0.1:0"),
                OsStr::new("--admin-password-file"),
                password_file.as_os_str(),
            ],
            only,
        )
        .await?;
    durable::remove(&password_file).map_err(|error| Failure::file(&password_file, &error))?;
    let mut server = programs.start(
        "server",
        &programs.server,
        &[OsStr::new("run"), OsStr::new("--data"), data],
        only,
    )?;
    let file = folder.join("addresses.json");
    let deadline = clock::monotonic() + STARTING;
    let addresses = loop {
        server.check()?;
        if let Ok(bytes) = std::fs::read(&file)
            && let Ok(addresses) = serde_json::from_slice(&bytes)
        {
            break addresses;
        }
        if clock::monotonic() > deadline {
            return Err(too_slow("chasqui-server", &server));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    cast.server = Some(server);
    Ok(addresses)
}

async fn enrol(
    programs: &Programs,
    folder: &DataFolder,
    admin: &Client,
    addresses: &Addresses,
    root: &Path,
    cast: &mut Cast,
) -> Outcome<v1::Device> {
    let agent = folder.join("agent");
    let (_, secret) = token::create(admin, "demo", 15 * 60_000, 1).await?;
    let token_file = agent.join("token");
    input::write_file(&token_file, secret.as_bytes(), 0o600)?;
    // The root reaches the machine by hand, never from the coordinator.
    copy(root, &agent.join("root.json"))?;
    let policy = format!(
        "# Of the demo: the cleaning works in this folder alone. A policy can only narrow.\ntemp_folders = [{:?}]\n",
        folder.work.display().to_string()
    );
    input::write_file(&agent.join("policy.toml"), policy.as_bytes(), 0o600)?;
    let config = format!(
        "server = {:?}\nstate_dir = {:?}\nroot = {:?}\npolicy = {:?}\norganisation = {ORG:?}\nproxy = \"none\"\n",
        addresses.agents_url,
        agent.join("state").display().to_string(),
        agent.join("root.json").display().to_string(),
        agent.join("policy.toml").display().to_string(),
    );
    let config_file = agent_config(folder);
    input::write_file(&config_file, config.as_bytes(), 0o600)?;
    programs
        .finish(
            "agent-enrol",
            &programs.agent,
            &[
                OsStr::new("enrol"),
                OsStr::new("--config"),
                config_file.as_os_str(),
                OsStr::new("--token-file"),
                token_file.as_os_str(),
            ],
            None,
        )
        .await?;
    durable::remove(&token_file).map_err(|error| Failure::file(&token_file, &error))?;
    cast.agent = Some(start_agent(programs, folder)?);
    let request = v1::ListDevicesRequest::default();
    let listed = crate::client::call(|| {
        let (mut devices, request) = (admin.devices(), request.clone());
        async move { devices.list_devices(request).await }
    })
    .await?;
    let device = listed.devices.into_iter().next().ok_or_else(|| {
        Failure::new(
            Exit::NotFound,
            "DEVICE_NOT_FOUND",
            "el equipo inscrito no aparece en la lista",
            "the enrolled machine is not in the list",
        )
    })?;
    // A plate, as an inventory officer would type it: it stands in what people sign.
    let facts = v1::AdministrativeFacts {
        plate: "DEMO-0001".to_owned(),
        ..Default::default()
    };
    device::set_facts(admin, &device.id, facts, &["plate"], None).await
}

fn agent_config(folder: &DataFolder) -> PathBuf {
    folder.join("agent").join("agent.toml")
}

fn start_agent(programs: &Programs, folder: &DataFolder) -> Outcome<Running> {
    let config = agent_config(folder);
    programs.start(
        "agent",
        &programs.agent,
        &[
            OsStr::new("run"),
            OsStr::new("--config"),
            config.as_os_str(),
        ],
        None,
    )
}

type Task = tokio::task::JoinHandle<Outcome>;

/// Writes encrypted key files one after the other on one other thread: the coordinator starts beside it.
fn lock_away(files: Vec<(PathBuf, &chasqui_trust::SigningKey)>, passphrase: &str) -> Outcome<Task> {
    // Keys are not copied in memory by accident: through their own wiped form.
    let mut wiped = Vec::new();
    for (path, key) in files {
        wiped.push((path, key.to_pkcs8_der()?));
    }
    let passphrase = Zeroizing::new(passphrase.to_owned());
    Ok(tokio::task::spawn_blocking(move || {
        for (path, der) in wiped {
            let key = chasqui_trust::SigningKey::from_pkcs8_der(&der)?;
            key::write(&path, &key, &passphrase)?;
        }
        Ok(())
    }))
}

fn copy(from: &Path, to: &Path) -> Outcome {
    input::write_file(to, &input::read_file(from)?, 0o644)
}

fn join_failed() -> Failure {
    Failure::new(
        Exit::Failed,
        "IO",
        "no se pudieron guardar las claves",
        "the keys could not be stored",
    )
}

fn too_slow(name: &str, running: &Running) -> Failure {
    let mut failure = Failure::new(
        Exit::Failed,
        "DEMO_TOO_SLOW",
        format!("{name} no arrancó a tiempo"),
        format!("{name} did not start in time"),
    );
    failure.details = running.last_lines();
    failure
}
