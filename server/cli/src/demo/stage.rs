//! The stage: which step is on, what is shown of it, and what happens at the end. The play itself is in `setup` and
//! `case`; this runs them, names the step that failed, and always takes the children down.

use std::io::{BufRead as _, Write as _};
use std::time::Instant;

use chasqui_base::clock;
use clap::ValueEnum as _;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{DemoArgs, Step};
use crate::context::Context;
use crate::demo::children::Running;
use crate::demo::{case, setup};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Screen, Tone};

/// Everything the play needs to show itself.
pub struct Stage {
    /// Where it is shown.
    pub screen: Screen,
    /// The step that is on, for failures.
    pub step: Step,
    /// Wait for Enter before it.
    pub pause_before: Option<Step>,
    began: Instant,
    step_began: Instant,
    paused_ms: u128,
    steps: Vec<Value>,
}

/// Children that run; taken down whatever happens.
#[derive(Default)]
pub struct Cast {
    /// `chasqui-server run`.
    pub server: Option<Running>,
    /// `chasqui-agent run`.
    pub agent: Option<Running>,
}

impl Cast {
    async fn stop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.stop().await;
        }
        if let Some(mut server) = self.server.take() {
            server.stop().await;
        }
    }
}

/// The stable name of a step.
pub fn step_id(step: Step) -> String {
    step.to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

pub async fn run(context: &Context, args: DemoArgs) -> Outcome {
    let mut stage = Stage {
        screen: context.screen.clone(),
        step: Step::Setup,
        pause_before: args.pause_before,
        began: clock::monotonic(),
        step_began: clock::monotonic(),
        paused_ms: 0,
        steps: Vec::new(),
    };
    let mut cast = Cast::default();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let played = tokio::select! {
        played = play(&mut stage, &mut cast, &args) => played,
        _ = interrupt.recv() => Err(interrupted()),
        _ = terminate.recv() => Err(interrupted()),
    };
    match played {
        Ok(play) => {
            stage.finish();
            if !args.once {
                play.say_how_to_go_on(&stage.screen);
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            cast.stop().await;
            play.folder.remove_work();
            Ok(())
        }
        Err(failure) => {
            cast.stop().await;
            Err(stage.failed(failure))
        }
    }
}

async fn play(stage: &mut Stage, cast: &mut Cast, args: &DemoArgs) -> Outcome<setup::Play> {
    let play = setup::run(stage, cast, args).await?;
    let case = case::run(stage, cast, &play).await;
    if case.is_err() {
        play.folder.remove_work();
    }
    case?;
    Ok(play)
}

/// Waits for a line or the end of standard input, on a thread of its own: Ctrl-C must work meanwhile, and a runtime
/// would wait for its own threads.
async fn enter() {
    let (sender, entered) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = std::io::stdin().lock().read_line(&mut line);
        let _ = sender.send(());
    });
    let _ = entered.await;
}

fn interrupted() -> Failure {
    Failure::new(
        Exit::Failed,
        "INTERRUPTED",
        "la demostración se interrumpió",
        "the demo was interrupted",
    )
}

impl Stage {
    /// A step begins; waits for Enter when asked to.
    pub async fn begin(&mut self, step: Step) -> Outcome {
        self.step = step;
        if self.pause_before == Some(step) {
            let paused = clock::monotonic();
            // One fixed line for programs that wait for it; the invitation is for people.
            self.screen.line(format!("paused before {}", step_id(step)));
            if self.screen.interactive {
                self.screen
                    .note(self.screen.say("(Intro para seguir)", "(Enter to go on)"));
            }
            enter().await;
            self.paused_ms += paused.elapsed().as_millis();
        }
        self.step_began = clock::monotonic();
        Ok(())
    }

    /// The step held. `title` says what happened, `lines` the values; `facts` are the same for programs.
    pub fn done(&mut self, title: &str, lines: &[String], facts: Value) {
        let ms = u64::try_from(self.step_began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let value = json!({ "step": step_id(self.step), "ok": true, "ms": ms, "facts": facts });
        if self.screen.json {
            self.screen.json_line(&value);
        } else {
            let number = Step::value_variants()
                .iter()
                .position(|step| *step == self.step)
                .map_or(0, |at| at + 1);
            self.screen.line(format!(
                "{} {number:>2}/{} {} {}",
                self.screen.tone(Tone::Good, "✔"),
                Step::value_variants().len(),
                self.screen.tone(Tone::Strong, title),
                self.screen.tone(Tone::Dim, &format!("({ms} ms)")),
            ));
            self.lines(lines);
        }
        self.steps.push(value);
    }

    /// Lines below a step.
    pub fn lines(&self, lines: &[String]) {
        if self.screen.json {
            return;
        }
        let mut out = std::io::stdout().lock();
        for line in lines.iter().flat_map(|line| line.lines()) {
            let _ = writeln!(out, "        {line}");
        }
        let _ = out.flush();
    }

    fn total_ms(&self) -> u64 {
        let total = self
            .began
            .elapsed()
            .as_millis()
            .saturating_sub(self.paused_ms);
        u64::try_from(total).unwrap_or(u64::MAX)
    }

    fn finish(&self) {
        let ms = self.total_ms();
        if self.screen.json {
            self.screen
                .json_line(&json!({ "demo": "ok", "ms": ms, "steps": self.steps.len() }));
            return;
        }
        let seconds = format!("{}.{:02} s", ms / 1000, ms % 1000 / 10);
        self.screen.line(format!(
            "\n{} {} {seconds}",
            self.screen.tone(Tone::Good, "✔"),
            self.screen.say(
                "Todo se cumplió: el caso completo tomó",
                "Everything held: the whole case took"
            )
        ));
    }

    /// Names the step in a failure and shows it.
    fn failed(&self, mut failure: Failure) -> Failure {
        let id = step_id(self.step);
        if self.screen.json {
            self.screen.json_line(&json!({
                "demo": "failed",
                "step": id,
                "code": failure.code,
                "message": failure.text.get(self.screen.lang),
            }));
        } else {
            self.screen.line(format!(
                "{} {}: {} [{}]",
                self.screen.tone(Tone::Bad, "✘"),
                id,
                crate::output::clean(failure.text.get(self.screen.lang)),
                failure.code
            ));
        }
        failure.text.es = format!("la demostración falló en el paso {id}: {}", failure.text.es);
        failure.text.en = format!("the demo failed at step {id}: {}", failure.text.en);
        failure.details.insert(0, ("step".to_owned(), id));
        failure
    }
}
