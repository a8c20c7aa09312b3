//! `chasqui-agent`: a thin shell over the library. Reads the command line and the configuration, starts logs and runtime,
//! prints, and chooses the exit code.

mod glpi_id;

use std::io::{self, Read as _, Write as _};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chasqui_agent::agent::{StateLock, host_name};
use chasqui_agent::config::{Config, LogFormat};
use chasqui_agent::failure::Failure;
use chasqui_agent::inventory::{self, Source, glpi};
use chasqui_agent::{consent, enrol, observe, run, status, text};
use chasqui_base::clock;
use chasqui_base::text::{Lang, Text};
use chasqui_proto::facts;
use chasqui_proto::v1::SectionKind;
use clap::{Parser, Subcommand};
use zeroize::Zeroizing;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Chasqui agent: facts of this machine to the help desk, and help back / Agente Chasqui: los datos de este equipo a la
/// mesa de ayuda, y la ayuda de vuelta.
#[derive(Parser)]
#[command(name = "chasqui-agent", version, after_help = text::EXIT_CODES)]
struct Cli {
    /// Configuration file / Archivo de configuración [default: /etc/chasqui/agent.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Language, es or en / Idioma, es o en [default: from the environment / del entorno]
    #[arg(long, global = true, value_name = "LANG")]
    lang: Option<Lang>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trade a token for an identity / Cambiar un token por una identidad
    Enrol {
        /// File with the token; - for the standard input / Archivo con el token; - para la entrada estándar
        #[arg(long, value_name = "FILE", conflicts_with = "token")]
        token_file: Option<PathBuf>,
        /// The token; other users of this machine may see it here / El token; otros usuarios del equipo pueden verlo aquí
        #[arg(long, env = "CHASQUI_AGENT_TOKEN", hide_env_values = true)]
        token: Option<String>,
        /// Put the present identity and key aside and enrol anew / Dejar la identidad y la clave actuales e inscribir de nuevo
        #[arg(long)]
        replace: bool,
    },
    /// Serve until stopped / Servir hasta que se detenga
    Run,
    /// Observe this machine and print / Observar este equipo e imprimir
    Inventory {
        /// JSON instead of text / JSON en vez de texto
        #[arg(long, conflicts_with = "format")]
        json: bool,
        /// How to write it / Cómo escribirlo
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        /// With glpi: these categories alone, for example software,network / Con glpi: solo estas categorías
        #[arg(long, value_name = "CATEGORY", value_delimiter = ',')]
        partial: Vec<String>,
        /// Leave out the names of people / Sin los nombres de las personas
        #[arg(long)]
        without_names: bool,
        /// Leave out these sections, for example updates,services / Sin estas secciones, por ejemplo updates,services
        #[arg(long, value_name = "SECTION", value_delimiter = ',')]
        without: Vec<String>,
        /// Read a captured tree instead of this machine / Leer un árbol capturado en vez de este equipo
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
    },
    /// How the agent stands / Cómo está el agente
    Status {
        /// JSON instead of text / JSON en vez de texto
        #[arg(long)]
        json: bool,
    },
    /// What was done on this machine / Qué se hizo en este equipo
    History {
        /// JSON instead of text / JSON en vez de texto
        #[arg(long)]
        json: bool,
    },
    /// Answer a question of technical support / Responder una pregunta de soporte técnico
    Answer {
        /// accept, later or no / accept (aceptar), later (ahora no) o no
        answer: String,
        /// Order id or its beginning, when several wait / Número de la orden o su comienzo, cuando esperan varias
        order: Option<String>,
    },
    #[command(hide = true)]
    CollectChild {
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
        #[arg(long)]
        without_names: bool,
        #[arg(long, value_name = "DIR")]
        memory: Option<PathBuf>,
    },
    #[command(hide = true)]
    FaultPoints,
}

/// How an inventory is written.
#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people / Para personas
    #[default]
    Text,
    /// The API's names / Los nombres de la API
    Json,
    /// GLPI's official JSON / El JSON oficial de GLPI
    Glpi,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let lang = cli.lang.unwrap_or_else(Lang::from_env);
    match execute(cli.command, cli.config.as_deref(), lang) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "chasqui-agent: {}", failure.line(lang));
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn execute(command: Command, config: Option<&Path>, lang: Lang) -> Result<(), Failure> {
    match command {
        Command::Enrol {
            token_file,
            token,
            replace,
        } => {
            let config = Config::load(config)?;
            start_logs(&config);
            let token = read_token(token_file.as_deref(), token)?;
            let _lock = StateLock::take(&config.state_dir)?;
            let identity =
                runtime()?.block_on(enrol::enrol(&config, &token, &host_name(), replace))?;
            print(&format!("{}\n", text::enrolled(&identity, lang)))
        }
        Command::Run => {
            let config = Config::load(config)?;
            start_logs(&config);
            runtime()?.block_on(run::run(config))
        }
        Command::Inventory {
            json,
            format,
            partial,
            without_names,
            without,
            root,
        } => {
            let categories = categories(format, &partial)?;
            let left_out = sections(&without)?;
            let source = match &root {
                Some(root) => Source::captured(root).map_err(|error| {
                    Failure::usage("ROOT_UNREADABLE", text::unreadable(root, &error))
                })?,
                None => Source::live(),
            };
            let source = if without_names {
                source.without_names()
            } else {
                source
            };
            let source = source.without_sections(&left_out);
            let now_ms = clock::now_ms();
            // Nothing is gained from giving back thousands of small pieces: the process ends with this.
            let inventory = ManuallyDrop::new(inventory::collect(&source, now_ms));
            let json_form = || ManuallyDrop::new(inventory::render_json(&inventory));
            match format {
                Format::Json => print_json(&json_form()),
                Format::Text if json => print_json(&json_form()),
                Format::Text => print(&inventory::render_text(&inventory, lang)),
                Format::Glpi => {
                    let id = glpi_id::device_id(config, root.is_some(), &inventory, now_ms, lang);
                    let message = glpi::render_glpi(&inventory, &id, &categories);
                    print_json(&ManuallyDrop::new(message))
                }
            }
        }
        Command::Status { json } => {
            let config = Config::load(config)?;
            let status = status::read_status(&config.state_dir)
                .map_err(|error| state_unreadable(&config.state_dir, "status.json", &error))?;
            let running = StateLock::is_held(&config.state_dir);
            if json {
                let mut value = serde_json::to_value(&status).map_err(|error| internal(&error))?;
                if let Some(object) = value.as_object_mut() {
                    object.insert("running_now".to_owned(), running.into());
                }
                print_json(&value)
            } else {
                print(&text::status(&status, running, lang))
            }
        }
        Command::History { json } => {
            let config = Config::load(config)?;
            let items = status::read_history(&config.state_dir)
                .map_err(|error| state_unreadable(&config.state_dir, "history.json", &error))?;
            if json {
                print_json(&serde_json::to_value(&items).map_err(|error| internal(&error))?)
            } else {
                print(&text::history(&items, lang))
            }
        }
        Command::Answer { answer, order } => {
            let state_dir = Config::load(config)?.state_dir;
            self::answer(&state_dir, &answer, order.as_deref(), lang)
        }
        Command::CollectChild {
            root,
            without_names,
            memory,
        } => observe::collect_child(root.as_deref(), !without_names, memory.as_deref())
            .map_err(|error| internal(&error)),
        Command::FaultPoints => {
            let mut out = String::new();
            for name in chasqui_base::fault::names() {
                out.push_str(name);
                out.push('\n');
            }
            print(&out)
        }
    }
}

/// Answers the question that waits for this account.
fn answer(state_dir: &Path, answer: &str, order: Option<&str>, lang: Lang) -> Result<(), Failure> {
    let word = consent::Answer::parse(answer).ok_or_else(|| {
        Failure::usage(
            "ANSWER_UNKNOWN",
            Text::new(
                "se responde accept (aceptar), later (ahora no) o no",
                "the answers are accept, later and no",
            ),
        )
    })?;
    let mut waiting = consent::questions(&state_dir.join("consent"));
    waiting.retain(|question| order.is_none_or(|order| question.order_id.starts_with(order)));
    let question = match waiting.as_slice() {
        [question] => question,
        [] => {
            return Err(Failure::failed(
                "NO_QUESTION",
                Text::new(
                    "no hay ninguna pregunta esperando su respuesta; puede que ya haya vencido",
                    "no question waits for your answer; it may have ended already",
                ),
            ));
        }
        several => {
            let ids: Vec<&str> = several.iter().map(|q| q.order_id.as_str()).collect();
            let ids = ids.join(", ");
            return Err(Failure::usage(
                "SEVERAL_QUESTIONS",
                Text::new(
                    format!("esperan varias preguntas; agregue el número de la orden: {ids}"),
                    format!("several questions wait; add the order's id: {ids}"),
                ),
            ));
        }
    };
    question.answer(word).map_err(|error| {
        Failure::failed(
            "ANSWER_NOT_KEPT",
            Text::new(
                format!("la respuesta no se pudo guardar: {error}"),
                format!("the answer could not be kept: {error}"),
            ),
        )
    })?;
    print(&format!(
        "{}\n\n{}\n",
        question.text,
        lang.pick("Su respuesta quedó dada.", "Your answer was given.")
    ))
}

/// The categories that `--partial` names.
fn categories(format: Format, names: &[String]) -> Result<Vec<&'static glpi::Category>, Failure> {
    if !names.is_empty() && format != Format::Glpi {
        return Err(Failure::usage(
            "PARTIAL_NEEDS_GLPI",
            Text::new(
                "--partial solo vale con --format glpi",
                "--partial works with --format glpi alone",
            ),
        ));
    }
    let known: Vec<_> = glpi::CATEGORIES.iter().map(|one| one.name).collect();
    let unknown = |name: &String| {
        Failure::usage(
            "CATEGORY_UNKNOWN",
            Text::new(
                format!("no hay categoría {name}; hay: {}", known.join(", ")),
                format!(
                    "there is no category {name}; there are: {}",
                    known.join(", ")
                ),
            ),
        )
    };
    names
        .iter()
        .map(|name| glpi::find(name).ok_or_else(|| unknown(name)))
        .collect()
}

/// The sections that `--without` names.
fn sections(names: &[String]) -> Result<Vec<SectionKind>, Failure> {
    let known = || facts::KINDS.map(facts::kind_name).join(", ");
    let unknown = |name: &String| {
        Failure::usage(
            "SECTION_UNKNOWN",
            Text::new(
                format!("no hay sección {name}; hay: {}", known()),
                format!("there is no section {name}; there are: {}", known()),
            ),
        )
    };
    names
        .iter()
        .map(|name| facts::kind_of_name(name).ok_or_else(|| unknown(name)))
        .collect()
}

/// One thread: an agent waits nearly always, and each thread costs every workstation memory.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| internal(&error))
}

fn start_logs(config: &Config) {
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let filter: Targets = config.log.parse().unwrap_or_default();
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    // A second start of logs (there is none) would only keep the first.
    let _ = match config.log_format {
        LogFormat::Text => registry
            .with(layer.with_ansi(io::IsTerminal::is_terminal(&io::stderr())))
            .try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
}

fn read_token(file: Option<&Path>, token: Option<String>) -> Result<Zeroizing<String>, Failure> {
    let from = |reader: &mut dyn io::Read| {
        let mut text = Zeroizing::new(String::new());
        reader.take(4096).read_to_string(&mut text)?;
        Ok::<_, io::Error>(text)
    };
    let read = match (file, token) {
        (Some(path), _) if path == Path::new("-") => from(&mut io::stdin().lock()),
        (Some(path), _) => std::fs::File::open(path).and_then(|mut file| from(&mut file)),
        (None, Some(token)) => Ok(Zeroizing::new(token)),
        (None, None) => {
            return Err(Failure::usage(
                "TOKEN_MISSING",
                Text::new(
                    "falta el token: use --token-file ARCHIVO, o --token-file - para la entrada estándar",
                    "the token is missing: use --token-file FILE, or --token-file - for the standard input",
                ),
            ));
        }
    };
    read.map_err(|error| {
        let path = file.unwrap_or(Path::new("-"));
        Failure::usage("TOKEN_UNREADABLE", text::unreadable(path, &error))
    })
}

fn print(out: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(out.as_bytes()) {
        // Whoever reads may stop early.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(internal(&error)),
        Ok(()) => Ok(()),
    }
}

/// Written as it is made: an inventory's text is larger than all that it is made of.
fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    let mut out = io::BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let written = serde_json::to_writer_pretty(&mut out, value)
        .map_err(io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    match written {
        // Whoever reads may stop early.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(internal(&error)),
        Ok(()) => Ok(()),
    }
}

fn state_unreadable(state_dir: &Path, file: &str, error: &io::Error) -> Failure {
    Failure::needs_action(
        "STATE_UNREADABLE",
        text::unreadable(&state_dir.join(file), error),
    )
}

fn internal(error: &dyn std::fmt::Display) -> Failure {
    Failure::failed("INTERNAL", Text::new(error.to_string(), error.to_string()))
}
