//! The window under a real X server, answered by real clicks and keys (XTest), in both languages.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chasqui_base::clock;
use chasqui_consent::layout::{Layout, Rect};
use chasqui_consent::paint::Face;
use chasqui_consent::request::{Request, Word};
use serde_json::{Value, json};
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ButtonPressEvent, ClientMessageEvent,
    ConnectionExt as _, EventMask, ImageFormat, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, KeyButMask,
    MOTION_NOTIFY_EVENT, MapState,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

const SCREEN: (i32, i32) = (1280, 800);
const ALT: u32 = 0xffe9;
const TAB: u32 = 0xff09;
const RETURN: u32 = 0xff0d;
const ESCAPE: u32 = 0xff1b;
const PAGE_DOWN: u32 = 0xff56;

/// A display of its own, ended with the test.
struct Display {
    server: Child,
    name: String,
    conn: RustConnection,
    root: u32,
}

impl Display {
    fn new() -> Self {
        let screen = format!("{}x{}x24", SCREEN.0, SCREEN.1);
        let mut server = Command::new("Xvfb")
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                &screen,
                "-nolisten",
                "tcp",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb is missing: install the package xvfb");
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut number)
            .unwrap();
        let name = format!(":{}", number.trim());
        let (conn, screen) = x11rb::connect(Some(&name)).unwrap();
        let root = conn.setup().roots[screen].root;
        Self {
            server,
            name,
            conn,
            root,
        }
    }

    fn ask(&self, request: &Value) -> Asked<'_> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chasqui-consent"))
            .env("DISPLAY", &self.name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(request.to_string().as_bytes()).unwrap();
        drop(input);
        let request = Request::read(request.to_string().as_bytes()).unwrap();
        let layout = Layout::of(&request, &Face::find(96.0).unwrap(), SCREEN);
        let window = until("the window", || {
            let children = self
                .conn
                .query_tree(self.root)
                .unwrap()
                .reply()
                .unwrap()
                .children;
            children.into_iter().find(|window| {
                let seen = self.conn.get_window_attributes(*window).unwrap().reply();
                seen.is_ok_and(|seen| seen.map_state == MapState::VIEWABLE)
            })
        });
        Asked {
            display: self,
            child,
            layout,
            window,
            since: clock::monotonic(),
        }
    }

    fn fake(&self, kind: u8, detail: u8, (x, y): (i32, i32)) {
        let (x, y) = (i16::try_from(x).unwrap(), i16::try_from(y).unwrap());
        self.conn
            .xtest_fake_input(kind, detail, 0, self.root, x, y, 0)
            .unwrap()
            .check()
            .unwrap();
    }

    fn code(&self, symbol: u32) -> u8 {
        let (first, last) = (self.conn.setup().min_keycode, self.conn.setup().max_keycode);
        let map = self
            .conn
            .get_keyboard_mapping(first, last - first + 1)
            .unwrap()
            .reply()
            .unwrap();
        let per_key = usize::from(map.keysyms_per_keycode);
        let at = map
            .keysyms
            .chunks(per_key)
            .position(|symbols| symbols[0] == symbol)
            .unwrap();
        first + u8::try_from(at).unwrap()
    }

    fn key(&self, symbol: u32) {
        self.fake(KEY_PRESS_EVENT, self.code(symbol), (0, 0));
        self.fake(KEY_RELEASE_EVENT, self.code(symbol), (0, 0));
        // A key that comes down in the millisecond in which it went up is one that is held.
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

struct Asked<'a> {
    display: &'a Display,
    child: Child,
    layout: Layout,
    window: u32,
    since: Instant,
}

impl Asked<'_> {
    /// Until answers count.
    fn read(&self) -> &Self {
        let least = Duration::from_millis(900);
        std::thread::sleep(least.saturating_sub(self.since.elapsed()));
        self
    }

    fn place(&self, word: Word) -> Rect {
        let button = self
            .layout
            .buttons
            .iter()
            .find(|button| button.word == word);
        let rect = button.unwrap().rect;
        Rect {
            x: rect.x + (SCREEN.0 - self.layout.size.0) / 2,
            y: rect.y + (SCREEN.1 - self.layout.size.1) / 2,
            ..rect
        }
    }

    fn middle(&self, word: Word) -> (i32, i32) {
        let place = self.place(word);
        (place.x + place.w / 2, place.y + place.h / 2)
    }

    fn click(&self, down: (i32, i32), up: (i32, i32)) {
        self.display.fake(MOTION_NOTIFY_EVENT, 0, down);
        self.display.fake(BUTTON_PRESS_EVENT, 1, down);
        self.display.fake(MOTION_NOTIFY_EVENT, 0, up);
        self.display.fake(BUTTON_RELEASE_EVENT, 1, up);
    }

    fn no_answer_yet(&mut self) {
        std::thread::sleep(Duration::from_millis(150));
        assert!(self.child.try_wait().unwrap().is_none(), "it answered");
    }

    fn answer(mut self) -> Value {
        let mut words = String::new();
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut words)
            .unwrap();
        assert!(self.child.wait().unwrap().success());
        serde_json::from_str(&words).unwrap()
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..400 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("waited in vain: {what}");
}

fn question(lang: &str) -> Value {
    json!({
        "version": 1, "lang": lang, "kind": "ask",
        "title": "Soporte técnico trabajará en este equipo",
        "rows": [
            {"label": "", "text": "El equipo se reiniciará 300 segundos después de que la persona acepte."},
            {"label": "Solicita", "text": "Íngrid Muñoz"},
            {"label": "Tiquete", "text": "MA-2026-000123"},
            {"label": "Motivo", "text": "¿Actualización pendiente? Sí: el núcleo."},
            {"label": "Si sale mal", "text": "El equipo puede no volver: alguien debe ir a verlo."},
        ],
        "may_defer": true, "defers_left": 3, "wait_ms": 60_000, "answers": "accept",
    })
}

fn answered(answer: &Value) -> (&str, Option<&str>) {
    (answer["answer"].as_str().unwrap(), answer["input"].as_str())
}

#[test]
fn each_button_says_its_word_by_a_click_in_both_languages() {
    let display = Display::new();
    for lang in ["es", "en"] {
        for (word, said) in [
            (Word::Accepted, "accepted"),
            (Word::Later, "later"),
            (Word::Denied, "denied"),
        ] {
            let asked = display.ask(&question(lang));
            let at = asked.read().middle(word);
            asked.click(at, at);
            let answer = asked.answer();
            assert_eq!(answered(&answer), (said, Some("pointer")), "{lang}");
            assert!(answer["shown_ms"].as_u64().unwrap() >= 700);
        }
    }
}

#[test]
fn keys_alone_are_enough_and_the_first_focus_is_no_yes() {
    let display = Display::new();
    let asked = display.ask(&question("es"));
    asked.read();
    display.key(RETURN);
    assert_eq!(answered(&asked.answer()), ("later", Some("keyboard")));
    // Not now, no, accept: the focus goes round.
    let asked = display.ask(&question("es"));
    asked.read();
    display.key(TAB);
    display.key(TAB);
    display.key(RETURN);
    assert_eq!(answered(&asked.answer()), ("accepted", Some("keyboard")));
    let asked = display.ask(&question("en"));
    asked.read();
    display.fake(KEY_PRESS_EVENT, display.code(ALT), (0, 0));
    display.key(u32::from('a'));
    display.fake(KEY_RELEASE_EVENT, display.code(ALT), (0, 0));
    assert_eq!(answered(&asked.answer()), ("accepted", Some("keyboard")));
    let asked = display.ask(&question("es"));
    asked.read();
    // The letter alone is a letter.
    display.key(u32::from('a'));
    display.key(ESCAPE);
    assert_eq!(answered(&asked.answer()), ("later", Some("keyboard")));
    let mut last = question("es");
    last["may_defer"] = false.into();
    last["defers_left"] = 0.into();
    let asked = display.ask(&last);
    asked.read();
    display.key(ESCAPE);
    assert_eq!(answered(&asked.answer()), ("denied", Some("keyboard")));
}

#[test]
fn a_click_that_came_too_early_or_left_the_button_is_none() {
    let display = Display::new();
    let mut asked = display.ask(&question("es"));
    let at = asked.middle(Word::Accepted);
    if asked.since.elapsed() < Duration::from_millis(400) {
        asked.click(at, at);
        asked.no_answer_yet();
    }
    asked.read();
    asked.click(at, (10, 10));
    asked.no_answer_yet();
    let no = asked.middle(Word::Denied);
    asked.click(no, at);
    asked.no_answer_yet();
    asked.click(at, at);
    assert_eq!(answered(&asked.answer()).0, "accepted");
}

#[test]
fn what_another_program_makes_up_is_no_persons() {
    let display = Display::new();
    let mut asked = display.ask(&question("es"));
    asked.read();
    let at = asked.layout.buttons[0].rect;
    let (x, y) = (
        i16::try_from(at.x + at.w / 2).unwrap(),
        i16::try_from(at.y + at.h / 2).unwrap(),
    );
    for kind in [BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT] {
        let event = ButtonPressEvent {
            response_type: kind,
            detail: 1,
            sequence: 0,
            time: 0,
            root: display.root,
            event: asked.window,
            child: 0,
            root_x: x,
            root_y: y,
            event_x: x,
            event_y: y,
            state: KeyButMask::default(),
            same_screen: true,
        };
        display
            .conn
            .send_event(false, asked.window, EventMask::NO_EVENT, event)
            .unwrap()
            .check()
            .unwrap();
    }
    asked.no_answer_yet();
    // Closing is asked for by the window manager, and is no yes.
    let atom = |name: &str| {
        let atom = display.conn.intern_atom(false, name.as_bytes());
        atom.unwrap().reply().unwrap().atom
    };
    let close = ClientMessageEvent::new(
        32,
        asked.window,
        atom("WM_PROTOCOLS"),
        [atom("WM_DELETE_WINDOW"), 0, 0, 0, 0],
    );
    display
        .conn
        .send_event(false, asked.window, EventMask::NO_EVENT, close)
        .unwrap()
        .check()
        .unwrap();
    assert_eq!(answered(&asked.answer()).0, "closed");
}

#[test]
fn no_answer_in_time_is_said_so() {
    let display = Display::new();
    let mut short = question("es");
    short["wait_ms"] = 1_000.into();
    let asked = display.ask(&short);
    assert_eq!(answered(&asked.answer()), ("timed_out", None));
}

#[test]
fn a_message_is_understood_or_answered() {
    let display = Display::new();
    for (answers, word, said) in [
        ("ok", Word::Seen, "seen"),
        ("yes_no", Word::Yes, "yes"),
        ("yes_no", Word::No, "no"),
    ] {
        let mut message = question("es");
        message["kind"] = "message".into();
        message["answers"] = answers.into();
        let asked = display.ask(&message);
        let at = asked.read().middle(word);
        asked.click(at, at);
        assert_eq!(answered(&asked.answer()).0, said);
    }
}

fn pixels(display: &Display, window: u32, layout: &Layout) -> Vec<u8> {
    let size = (
        u16::try_from(layout.size.0).unwrap(),
        u16::try_from(layout.size.1).unwrap(),
    );
    display
        .conn
        .get_image(ImageFormat::Z_PIXMAP, window, 0, 0, size.0, size.1, !0)
        .unwrap()
        .reply()
        .unwrap()
        .data
}

#[test]
fn long_words_scroll() {
    let display = Display::new();
    let mut long = question("es");
    long["rows"][0]["text"] = "Una línea larga de verdad. ".repeat(140).into();
    let asked = display.ask(&long);
    asked.read();
    assert!(asked.layout.most_scroll() > 0);
    // The headline alone: nothing but scrolling takes it away.
    let headline = || {
        let row = usize::try_from(asked.layout.size.0).unwrap() * 4;
        let mut seen = pixels(&display, asked.window, &asked.layout);
        seen.truncate(row * 60);
        seen
    };
    let before = headline();
    display.key(PAGE_DOWN);
    until("the text moved", || (headline() != before).then_some(()));
    if let Ok(path) = std::env::var("CHASQUI_CONSENT_PICTURE") {
        picture(&display, &asked, &format!("{path}-long.ppm"));
        drop(asked);
        let display = Display::new();
        let plain = display.ask(&question("es"));
        plain.read();
        picture(&display, &plain, &format!("{path}-es.ppm"));
    }
}

/// For people who want to see it.
fn picture(display: &Display, asked: &Asked<'_>, path: &str) {
    let mut out = format!("P6 {} {} 255\n", asked.layout.size.0, asked.layout.size.1).into_bytes();
    for pixel in pixels(display, asked.window, &asked.layout).chunks(4) {
        out.extend_from_slice(&[pixel[2], pixel[1], pixel[0]]);
    }
    std::fs::write(path, out).unwrap();
}

#[test]
fn what_is_no_request_or_has_no_display_is_said() {
    let run = |request: &str, display: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chasqui-consent"))
            .env("DISPLAY", display)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(request.as_bytes()).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        assert!(output.stdout.is_empty());
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert_eq!(run("{}", ":0").0, Some(2));
    let (code, said) = run(&question("es").to_string(), ":987");
    assert_eq!(code, Some(3));
    assert!(said.contains("display"), "{said}");
}
