//! Telling and asking the person at the machine: in a window of the session on the seat, else on terminals. No answer, a
//! locked screen and an empty chair are never a yes for an action that must ask, and the signed receipt says what was shown,
//! to whom, and what came of it.

mod dialog;
mod presence;
mod seat;
mod terminal;

use std::path::Path;
use std::time::Duration;

use chasqui_base::fault::test_value;
use chasqui_base::text::Lang;
use chasqui_base::{clock, durable};
use chasqui_trust::definition::{Consent, WhenAbsent};
use chasqui_trust::render::describe_for_person;
use chasqui_trust::result::{AnsweredBy, ConsentAnswer, MAX_DEFERRALS};
use chasqui_trust::{Authorised, ConsentReceipt, Digest, Envelope, SigningKey};
use tokio_util::sync::CancellationToken;

use crate::policy::Refused;
use presence::{Places, Presence};
use seat::Session;
pub use terminal::{Question, Word as Answer, questions};

const MAX_SHOWN: usize = 4_000;
/// How long a question waits for its answer.
const WAIT: Duration = Duration::from_secs(5 * 60);
/// How long "not now" holds.
const DEFER: Duration = Duration::from_secs(15 * 60);
/// How long a notice stays on the screen.
const NOTICE: Duration = Duration::from_secs(60);
/// Between two looks whether somebody came.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Held while the person is being asked.
static ASKING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What is to be asked, and of whom.
#[derive(Debug)]
pub struct Ask<'a> {
    /// What people signed.
    pub authorised: &'a Authorised,
    /// The order's consent, or stronger where the local policy says so.
    pub consent: Consent,
    /// What to do when nobody is there or the screen is locked.
    pub when_absent: WhenAbsent,
    /// This machine.
    pub device_fingerprint: Digest,
    /// Signs the receipt.
    pub key: &'a SigningKey,
    /// Folder for answers and counts of deferrals, inside the agent's state folder.
    pub folder: &'a Path,
    /// The order cannot begin from here on, UTC milliseconds.
    pub not_after_ms: i64,
    /// Called off by a person, or the agent stops.
    pub cancel: &'a CancellationToken,
}

/// What came of it.
#[derive(Debug)]
pub enum Obtained {
    /// May begin; the signed receipt where somebody was told or asked.
    Yes(Option<Envelope>),
    /// May not begin; the receipt of what was answered, where somebody was asked.
    No(Refused, Option<Envelope>),
    /// Called off before an answer.
    CalledOff,
}

/// What one asking came to.
struct Heard {
    answer: ConsentAnswer,
    user: Option<String>,
    by: Option<AnsweredBy>,
    asked_at_ms: i64,
}

enum Round {
    Heard(Heard),
    Later,
    /// Nobody could be asked; in words for the log.
    NotPossible(String),
}

/// True when somebody has a session here, or when that cannot be excluded.
pub fn somebody_present() -> bool {
    Presence::find(&Places::of_this_machine()).somebody()
}

/// Tells or asks as the order wants.
pub async fn obtain(ask: &Ask<'_>) -> Obtained {
    if ask.consent == Consent::None {
        return Obtained::Yes(None);
    }
    let work = async {
        match ask.consent {
            Consent::Ask | Consent::AskAlways => question(ask).await,
            Consent::None | Consent::Notify => notify(ask).await,
        }
    };
    tokio::select! {
        obtained = work => obtained,
        () = ask.cancel.cancelled() => Obtained::CalledOff,
    }
}

async fn notify(ask: &Ask<'_>) -> Obtained {
    let shown = words(ask.authorised);
    loop {
        let places = Places::of_this_machine();
        let (presence, session) = (Presence::find(&places), seat::active(&places.sessions));
        let absent = match &session {
            _ if !presence.somebody() => Some(ConsentAnswer::NobodyPresent),
            Some(session) if session.locked().await => Some(ConsentAnswer::Locked),
            _ => None,
        };
        match (absent, ask.when_absent) {
            (Some(answer), WhenAbsent::Proceed) => {
                return signed(ask, &shown, &Heard::nobody(answer), 0);
            }
            (Some(answer), WhenAbsent::Refuse) => return absent_refused(ask, &shown, answer, 0),
            (Some(_), WhenAbsent::Wait) => match wait(ask, LOOK_AGAIN).await {
                Some(expired) => return expired,
                None => continue,
            },
            (None, _) => {}
        }
        let spanish = spanish();
        let heading = heading(spanish);
        let mut told = presence.tell(&format!(
            "\r\n{heading}\r\n{}\r\n",
            shown.replace('\n', "\r\n")
        ));
        if let Some(session) = session.filter(|session| session.graphical) {
            let request = dialog::Request::new(spanish, "notify", heading, &shown).waiting(NOTICE);
            told += usize::from(dialog::tell(&session, &request).await);
        }
        tracing::info!(told, "person told");
        if told == 0 {
            return Obtained::No(not_told(), None);
        }
        return signed(ask, &shown, &Heard::nobody(ConsentAnswer::Notified), 0);
    }
}

async fn question(ask: &Ask<'_>) -> Obtained {
    let shown = words(ask.authorised);
    let digest = ask.authorised.digest();
    let mut deferred = deferred(ask.folder, &digest);
    loop {
        let places = Places::of_this_machine();
        let (presence, session) = (Presence::find(&places), seat::active(&places.sessions));
        let absent = match &session {
            _ if !presence.somebody() => Some(ConsentAnswer::NobodyPresent),
            Some(session) if session.locked().await => Some(ConsentAnswer::Locked),
            _ => None,
        };
        if let Some(answer) = absent {
            if ask.when_absent == WhenAbsent::Refuse {
                return absent_refused(ask, &shown, answer, deferred);
            }
            // An empty chair is waited for, whatever the definition says of those who need not be asked.
            match wait(ask, LOOK_AGAIN).await {
                Some(expired) => return expired,
                None => continue,
            }
        }
        let left = MAX_DEFERRALS.saturating_sub(deferred);
        // One question at a time: two windows are read by nobody.
        let turn = ASKING.lock().await;
        let answered = round(ask, &shown, &presence, session.as_ref(), left).await;
        drop(turn);
        match answered {
            Round::Heard(heard) => {
                forget(ask.folder, &digest);
                return match heard.answer {
                    ConsentAnswer::Granted => signed(ask, &shown, &heard, deferred),
                    answer => refused(ask, &shown, &heard, deferred, answer),
                };
            }
            Round::Later => {
                deferred += 1;
                keep(ask.folder, &digest, deferred);
                tracing::info!(deferred, "the person puts it off");
                if let Some(expired) = wait(ask, pause("CHASQUI_CONSENT_DEFER_MS", DEFER)).await {
                    return expired;
                }
            }
            Round::NotPossible(why) => {
                tracing::warn!(why, "the person cannot be asked");
                return Obtained::No(
                    Refused::new(
                        "CONSENT_NOT_POSSIBLE",
                        "la acción exige preguntar a la persona del equipo y no se pudo: ni su sesión muestra ventanas (¿está instalado chasqui-consent?) ni hay terminal que reciba mensajes",
                        "the action must ask the person at the machine and that was not possible: neither does their session show windows (is chasqui-consent installed?) nor is there a terminal that takes messages",
                    ),
                    None,
                );
            }
        }
    }
}

/// Asks once.
async fn round(
    ask: &Ask<'_>,
    shown: &str,
    presence: &Presence,
    session: Option<&Session>,
    left: u32,
) -> Round {
    let limit = pause("CHASQUI_CONSENT_WAIT_MS", WAIT);
    let asked_at_ms = clock::now_ms();
    let spanish = spanish();
    let heard = |answer, user: Option<String>, by| {
        Round::Heard(Heard {
            answer,
            user,
            by,
            asked_at_ms,
        })
    };
    let mut why = "nobody has a session on the seat".to_owned();
    if let Some(session) = session.filter(|session| session.graphical) {
        let request =
            dialog::Request::new(spanish, "ask", heading(spanish), shown).asking(left, limit);
        match dialog::ask(session, &request).await {
            Ok((word, input)) => {
                let by = input.map(|input| match input {
                    dialog::Input::Pointer => AnsweredBy::Pointer,
                    dialog::Input::Keyboard => AnsweredBy::Keyboard,
                });
                let user = Some(session.user.clone()).filter(|user| !user.is_empty());
                return match word {
                    dialog::Word::Accepted => heard(ConsentAnswer::Granted, user, by),
                    dialog::Word::Later | dialog::Word::Closed if left > 0 => Round::Later,
                    dialog::Word::TimedOut => heard(ConsentAnswer::TimedOut, None, None),
                    _ => heard(ConsentAnswer::Denied, user, by),
                };
            }
            Err(error) => why = error,
        }
    }
    // A terminal may be anywhere; this must be answered where the person sees what it touches.
    if ask.consent == Consent::AskAlways {
        return Round::NotPossible(why);
    }
    let how = how_to_answer(spanish, left);
    let text = format!("{}\n{shown}", heading(spanish));
    let order_id = &ask.authorised.order().id;
    let asked = terminal::ask(presence, ask.folder, order_id, &text, how, limit);
    match asked.await {
        Ok(Some((terminal::Word::Later, _))) if left > 0 => Round::Later,
        Ok(Some((word, uid))) => {
            let answer = if word == terminal::Word::Accept {
                ConsentAnswer::Granted
            } else {
                ConsentAnswer::Denied
            };
            heard(answer, Some(seat::name_of(uid)), Some(AnsweredBy::Terminal))
        }
        Ok(None) => heard(ConsentAnswer::TimedOut, None, None),
        Err(error) => Round::NotPossible(format!("{why}; terminals: {error}")),
    }
}

/// Waits. The refusal, when the order ends before.
async fn wait(ask: &Ask<'_>, time: Duration) -> Option<Obtained> {
    let left = ask.not_after_ms.saturating_sub(clock::now_ms());
    if left <= 0 {
        return Some(Obtained::No(
            Refused::new(
                "CONSENT_TIMED_OUT",
                "la orden venció sin que nadie en el equipo respondiera; sin respuesta no se ejecuta",
                "the order ended before anybody at the machine answered; without an answer it does not run",
            ),
            None,
        ));
    }
    tokio::time::sleep(time.min(clock::duration_ms(left))).await;
    None
}

impl Heard {
    fn nobody(answer: ConsentAnswer) -> Self {
        Self {
            answer,
            user: None,
            by: None,
            asked_at_ms: clock::now_ms(),
        }
    }
}

fn signed(ask: &Ask<'_>, shown: &str, heard: &Heard, deferred: u32) -> Obtained {
    match receipt(ask, shown, heard, deferred) {
        Ok(receipt) => Obtained::Yes(Some(receipt)),
        Err(refused) => Obtained::No(refused, None),
    }
}

fn refused(
    ask: &Ask<'_>,
    shown: &str,
    heard: &Heard,
    deferred: u32,
    answer: ConsentAnswer,
) -> Obtained {
    let refused = match answer {
        ConsentAnswer::TimedOut => Refused::new(
            "CONSENT_TIMED_OUT",
            "la persona del equipo no respondió a tiempo; sin respuesta no se ejecuta: hable con ella y solicítela de nuevo",
            "the person at the machine did not answer in time; without an answer it does not run: talk to them and request it again",
        ),
        _ => Refused::new(
            "CONSENT_DENIED",
            "la persona del equipo dijo que no: hable con ella antes de solicitarla de nuevo",
            "the person at the machine said no: talk to them before requesting it again",
        ),
    };
    let receipt = receipt(ask, shown, heard, deferred).ok();
    Obtained::No(refused, receipt)
}

fn absent_refused(ask: &Ask<'_>, shown: &str, answer: ConsentAnswer, deferred: u32) -> Obtained {
    let refused = if answer == ConsentAnswer::Locked {
        Refused::new(
            "SCREEN_LOCKED",
            "la pantalla del equipo está bloqueada y la acción exige que haya alguien: pídale a la persona que la desbloquee y solicítela de nuevo",
            "the machine's screen is locked and the action needs somebody there: ask the person to unlock it and request it again",
        )
    } else {
        Refused::new(
            "NOBODY_PRESENT",
            "no hay nadie en el equipo y la acción exige que lo haya: solicítela cuando la persona esté",
            "nobody is at the machine and the action needs somebody there: request it when the person is",
        )
    };
    let receipt = receipt(ask, shown, &Heard::nobody(answer), deferred).ok();
    Obtained::No(refused, receipt)
}

fn receipt(ask: &Ask<'_>, shown: &str, heard: &Heard, deferred: u32) -> Result<Envelope, Refused> {
    let receipt = ConsentReceipt {
        critical: Vec::new(),
        org: ask.authorised.order().org.clone(),
        order_digest: ask.authorised.digest(),
        device_fingerprint: ask.device_fingerprint,
        answer: heard.answer,
        user: heard.user.clone(),
        by: heard.by,
        deferred,
        shown: shown.to_owned(),
        asked_at_ms: heard.asked_at_ms,
        answered_at_ms: clock::now_ms().max(heard.asked_at_ms),
    };
    chasqui_trust::sign(&receipt, &[ask.key]).map_err(|error| {
        let text = error.text();
        Refused::new("CONSENT_NOT_POSSIBLE", text.es, text.en)
    })
}

fn not_told() -> Refused {
    Refused::new(
        "CONSENT_NOT_POSSIBLE",
        "la acción exige avisar a la persona del equipo y no se pudo avisar a nadie: ni ventana ni terminal reciben mensajes; abra una terminal en el equipo o cierre la sesión y vuelva a pedir la acción",
        "the action must tell the person at the machine and nobody could be told: neither window nor terminal takes messages; open a terminal on the machine or log out, and order the action again",
    )
}

fn words(authorised: &Authorised) -> String {
    describe_for_person(authorised)
        .pick(spanish())
        .chars()
        .take(MAX_SHOWN)
        .collect()
}

fn spanish() -> bool {
    Lang::from_env() == Lang::Es
}

fn heading(spanish: bool) -> &'static str {
    if spanish {
        "Soporte técnico trabajará en este equipo"
    } else {
        "Technical support is about to work on this machine"
    }
}

fn how_to_answer(spanish: bool, left: u32) -> &'static str {
    match (spanish, left > 0) {
        (true, true) => {
            "Responda aquí con: chasqui-agent answer accept | later | no   (aceptar, ahora no, no)"
        }
        (true, false) => "Responda aquí con: chasqui-agent answer accept | no   (aceptar, no)",
        (false, true) => "Answer here with: chasqui-agent answer accept | later | no",
        (false, false) => "Answer here with: chasqui-agent answer accept | no",
    }
}

/// A time that a test may shorten.
fn pause(name: &str, usual: Duration) -> Duration {
    test_value(name)
        .and_then(|value| value.to_str()?.parse().ok())
        .map_or(usual, Duration::from_millis)
}

/// How often this order was put off, also before a restart.
fn deferred(folder: &Path, digest: &Digest) -> u32 {
    std::fs::read_to_string(folder.join(digest.to_hex()))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
        .min(MAX_DEFERRALS)
}

fn keep(folder: &Path, digest: &Digest, deferred: u32) {
    let kept = std::fs::create_dir_all(folder).and_then(|()| {
        durable::write(
            &folder.join(digest.to_hex()),
            deferred.to_string().as_bytes(),
            0o600,
        )
    });
    if let Err(error) = kept {
        // A restart would then let the person put it off more often: theirs to gain.
        tracing::warn!(%error, "a deferral could not be kept");
    }
}

fn forget(folder: &Path, digest: &Digest) {
    let _ = std::fs::remove_file(folder.join(digest.to_hex()));
}

/// A message for whoever is here.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its headline.
    pub title: String,
    /// The words.
    pub body: String,
    /// Yes and no instead of a mere "understood".
    pub yes_no: bool,
    /// How long it waits.
    pub wait: Duration,
}

/// What became of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Windows and terminals that took it.
    pub delivered: usize,
    /// `seen`, `yes`, `no`; None when nobody answered.
    pub answer: Option<&'static str>,
}

/// Shows a message in the session on the seat, else on terminals.
pub async fn show(message: &Message) -> Shown {
    let places = Places::of_this_machine();
    let spanish = spanish();
    if let Some(session) = seat::active(&places.sessions).filter(|session| session.graphical)
        && !session.locked().await
    {
        let answers = if message.yes_no { "yes_no" } else { "ok" };
        let request = dialog::Request::new(spanish, "message", &message.title, &message.body)
            .answers(answers)
            .waiting(message.wait);
        match dialog::ask(&session, &request).await {
            Ok((word, _)) => {
                return Shown {
                    delivered: 1,
                    answer: match word {
                        dialog::Word::Yes => Some("yes"),
                        dialog::Word::No => Some("no"),
                        dialog::Word::Seen => Some("seen"),
                        _ => None,
                    },
                };
            }
            Err(why) => tracing::info!(why, "no window could be shown"),
        }
    }
    let text = format!(
        "\r\n{}\r\n{}\r\n",
        message.title,
        message.body.replace('\n', "\r\n")
    );
    Shown {
        delivered: Presence::find(&places).tell(&text),
        answer: None,
    }
}
