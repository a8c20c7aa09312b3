//! How a command ends when it does not succeed: an exit code for scripts, a stable code, a text in both languages and
//! what to do next. The mapping from gRPC statuses stands here and nowhere else.

use std::fmt;

use chasqui_base::text::{Lang, Text};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::reasons;

/// Exit codes, as `docs/cli.md` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Something failed that is neither of the others: a file, the coordinator itself.
    Failed = 1,
    /// The command line or a value is wrong.
    Usage = 2,
    /// A rule or a permission forbids it.
    Refused = 3,
    /// There is no such thing.
    NotFound = 4,
    /// The coordinator cannot be reached.
    Unreachable = 5,
    /// The action did not succeed on the machine, or was refused, rejected or called off.
    ActionFailed = 6,
    /// A signature, a signed document or an evidence file does not hold.
    Invalid = 7,
    /// Nobody is logged in, or the session is over.
    LoginNeeded = 8,
}

/// Why a command did not succeed. Boxed, so that an answer stays small where all goes well.
#[derive(Clone, Debug)]
pub struct Failure(Box<Report>);

impl std::ops::Deref for Failure {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.0
    }
}

impl std::ops::DerefMut for Failure {
    fn deref_mut(&mut self) -> &mut Report {
        &mut self.0
    }
}

/// What a failure says.
#[derive(Clone, Debug)]
pub struct Report {
    /// For scripts.
    pub exit: Exit,
    /// SCREAMING_SNAKE, stable.
    pub code: String,
    /// What happened.
    pub text: Text,
    /// What to do next.
    pub hint: Option<Text>,
    /// Names of the things concerned, as the coordinator or the check gave them.
    pub details: Vec<(String, String)>,
}

/// What a command gives back.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with its text in Spanish and English.
    pub fn new(exit: Exit, code: &str, es: impl Into<String>, en: impl Into<String>) -> Self {
        Self(Box::new(Report {
            exit,
            code: code.to_owned(),
            text: Text::new(es, en),
            hint: None,
            details: Vec::new(),
        }))
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, es: impl Into<String>, en: impl Into<String>) -> Self {
        self.hint = Some(Text::new(es, en));
        self
    }

    /// A value on the command line is wrong.
    pub fn usage(es: impl Into<String>, en: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "USAGE", es, en)
    }

    /// A file could not be read or written.
    pub fn file(path: &std::path::Path, error: &std::io::Error) -> Self {
        let exit = if error.kind() == std::io::ErrorKind::NotFound {
            Exit::NotFound
        } else {
            Exit::Failed
        };
        let path = path.display();
        Self::new(
            exit,
            "FILE",
            format!("no se pudo usar el archivo {path}: {error}"),
            format!("the file {path} could not be used: {error}"),
        )
    }

    /// The object printed with `--json`.
    pub fn to_json(&self, lang: Lang) -> Value {
        let details: serde_json::Map<String, Value> = self
            .details
            .iter()
            .map(|(name, value)| (name.clone(), Value::String(value.clone())))
            .collect();
        json!({ "error": {
            "code": self.code,
            "exit": self.exit as u8,
            "message": self.text.get(lang),
            "hint": self.hint.as_ref().map(|hint| hint.get(lang)),
            "details": details,
        }})
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text.en)
    }
}

impl From<chasqui_trust::FormatError> for Failure {
    fn from(error: chasqui_trust::FormatError) -> Self {
        let text = error.text();
        Self::new(Exit::Invalid, error.code(), text.es, text.en)
    }
}

impl From<chasqui_trust::key::KeyError> for Failure {
    fn from(error: chasqui_trust::key::KeyError) -> Self {
        let text = error.text();
        Self::new(Exit::Invalid, error.code(), text.es, text.en)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(
            Exit::Failed,
            "IO",
            format!("error de entrada o salida: {error}"),
            format!("input or output failed: {error}"),
        )
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let reason = chasqui_proto::error::reason_of(&status);
        let mut metadata: Vec<(String, String)> = status
            .get_details_error_info()
            .map(|info| info.metadata.into_iter().collect())
            .unwrap_or_default();
        metadata.sort();
        // Rules explain themselves in both languages: English in the message, Spanish beside it.
        let spanish = metadata
            .iter()
            .position(|(name, _)| name == "es")
            .map(|at| metadata.remove(at).1);
        let exit = exit_of(&status, reason.as_deref());
        let known = reason.as_deref().and_then(reasons::find);
        let mut failure = match (spanish, known) {
            (Some(es), _) => Self::new(exit, "", es, status.message()),
            (None, Some(known)) => {
                let failure = Self::new(exit, "", known.es, known.en);
                // The coordinator names the thing in its own words: shown when it says more.
                if !status.message().is_empty() && status.message() != known.en {
                    metadata.push(("coordinator".to_owned(), status.message().to_owned()));
                }
                failure
            }
            (None, None) => unknown(&status, exit),
        };
        failure.details = metadata;
        failure.code = reason.unwrap_or_else(|| format!("{:?}", status.code()).to_uppercase());
        if let Some((es, en)) = known.and_then(|known| known.hint) {
            failure.hint = Some(Text::new(es, en));
        }
        if let Some(retry) = status.get_details_retry_info().and_then(|r| r.retry_delay) {
            let seconds = retry.as_secs().max(1);
            failure.hint = Some(Text::new(
                format!("intente de nuevo en {seconds} s"),
                format!("try again in {seconds} s"),
            ));
        }
        failure
    }
}

fn exit_of(status: &Status, reason: Option<&str>) -> Exit {
    let reason = reason.unwrap_or_default();
    if reason.contains("SIGNATURE") || reason.starts_with("PAPER_") || reason == "UNKNOWN_CRITICAL"
    {
        return Exit::Invalid;
    }
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange => Exit::Usage,
        Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::AlreadyExists
        | Code::ResourceExhausted => Exit::Refused,
        Code::NotFound => Exit::NotFound,
        Code::Unavailable | Code::DeadlineExceeded => Exit::Unreachable,
        Code::Unauthenticated => Exit::LoginNeeded,
        _ => Exit::Failed,
    }
}

/// A status whose reason this program does not know: what its gRPC code means, then the coordinator's own words.
fn unknown(status: &Status, exit: Exit) -> Failure {
    let said = deepest(status);
    let (es, en) = match status.code() {
        Code::InvalidArgument => (
            "el coordinador no acepta un valor",
            "a value is not accepted",
        ),
        Code::PermissionDenied => ("su rol no permite esto", "your role does not allow this"),
        Code::FailedPrecondition => (
            "el estado actual no lo permite",
            "the present state forbids it",
        ),
        Code::Aborted => (
            "alguien lo cambió al mismo tiempo",
            "somebody changed it at the same time",
        ),
        Code::AlreadyExists => ("ya existe", "it exists already"),
        Code::NotFound => ("no existe", "there is no such thing"),
        Code::ResourceExhausted => ("demasiado a la vez", "too much at once"),
        Code::Unavailable => (
            "no se pudo hablar con el coordinador",
            "the coordinator could not be reached",
        ),
        Code::DeadlineExceeded => (
            "el coordinador no respondió a tiempo",
            "the coordinator did not answer in time",
        ),
        Code::Unauthenticated => ("hay que iniciar sesión", "please log in"),
        _ => ("el coordinador falló", "the coordinator failed"),
    };
    let joined = |text: &str| {
        if said.is_empty() {
            text.to_owned()
        } else {
            format!("{text}: {said}")
        }
    };
    let mut failure = Failure::new(exit, "", joined(es), joined(en));
    failure.hint = match exit {
        Exit::LoginNeeded => Some(Text::new(
            "inicie sesión con: chasqui login",
            "log in with: chasqui login",
        )),
        Exit::Unreachable if deepest(status).contains("certificate") => Some(Text::new(
            "el certificado no es de confianza aquí: dé su autoridad con --ca ARCHIVO y use el nombre que lleva",
            "the certificate is not trusted here: give its authority with --ca FILE and use the name it bears",
        )),
        Exit::Unreachable => Some(Text::new(
            "compruebe la dirección (--server) y la red",
            "check the address (--server) and the network",
        )),
        _ => None,
    };
    failure
}

/// What went wrong at the bottom: a transport error says little by itself.
fn deepest(status: &Status) -> String {
    let mut cause: &dyn std::error::Error = status;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if std::ptr::addr_eq(cause, status) {
        status.message().to_owned()
    } else {
        cause.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_grpc_code_has_its_exit_code() {
        let exit = |code| Failure::from(Status::new(code, "x")).exit;
        assert_eq!(exit(Code::InvalidArgument), Exit::Usage);
        assert_eq!(exit(Code::PermissionDenied), Exit::Refused);
        assert_eq!(exit(Code::FailedPrecondition), Exit::Refused);
        assert_eq!(exit(Code::NotFound), Exit::NotFound);
        assert_eq!(exit(Code::Unavailable), Exit::Unreachable);
        assert_eq!(exit(Code::Unauthenticated), Exit::LoginNeeded);
        assert_eq!(exit(Code::Internal), Exit::Failed);
    }

    #[test]
    fn a_reason_about_a_signature_is_exit_7_whatever_its_grpc_code() {
        let status = chasqui_proto::error::status(
            Code::FailedPrecondition,
            "ORDER_SIGNATURE_INVALID",
            "no key signed it",
            &[("order", "x")],
        );
        let failure = Failure::from(status);
        assert_eq!(failure.exit, Exit::Invalid);
        assert_eq!(failure.code, "ORDER_SIGNATURE_INVALID");
        assert!(failure.details.contains(&("order".into(), "x".into())));
    }

    #[test]
    fn a_rule_that_explains_itself_is_shown_in_its_own_words() {
        let status = chasqui_proto::error::status(
            Code::FailedPrecondition,
            "TICKET_STATE",
            "a closed ticket cannot be started",
            &[("es", "un tiquete cerrado no se puede comenzar")],
        );
        let failure = Failure::from(status);
        assert_eq!(failure.text.es, "un tiquete cerrado no se puede comenzar");
        assert_eq!(failure.text.en, "a closed ticket cannot be started");
        assert!(failure.details.is_empty());
    }
}
