//! The window on the screen: an X11 client of its own, which listens to the person's devices alone.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use chasqui_base::clock;

use thiserror::Error;
use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ConnectionExt as _, CreateGCAux, CreateWindowAux, EventMask, ImageFormat, InputFocus,
    KeyButMask, PropMode, Screen, Visibility, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

use crate::MIN_SHOWN_MS;
use crate::layout::Layout;
use crate::paint::{Canvas, Face, Look, NoFont, Type as _, paint};
use crate::request::{Answer, Answers, Input, Request, VERSION, Word};

const TAB: u32 = 0xff09;
const BACK_TAB: u32 = 0xfe20;
const RETURN: u32 = 0xff0d;
const ENTER: u32 = 0xff8d;
const ESCAPE: u32 = 0xff1b;
const SPACE: u32 = 0x20;
const LEFT: u32 = 0xff51;
const UP: u32 = 0xff52;
const RIGHT: u32 = 0xff53;
const DOWN: u32 = 0xff54;
const PAGE_UP: u32 = 0xff55;
const PAGE_DOWN: u32 = 0xff56;
/// Bytes of a request to the server besides the pixels.
const HEADER: usize = 64;

/// Why nothing could be shown.
#[derive(Debug, Error)]
pub enum WindowError {
    /// There is no display, or it went away.
    #[error("the display cannot be used: {0}")]
    Display(String),
    /// A display without true colours.
    #[error("the display has no colours of 32 bits a pixel")]
    Colours,
    /// No letters.
    #[error(transparent)]
    Font(#[from] NoFont),
}

fn display(error: impl std::fmt::Display) -> WindowError {
    WindowError::Display(error.to_string())
}

struct Window {
    conn: Arc<RustConnection>,
    window: u32,
    gc: u32,
    depth: u8,
    layout: Layout,
    face: Face,
    look: Look,
    keys: Keys,
    delete: u32,
    /// Since when it is in sight.
    shown_at: Option<Instant>,
    answers: Answers,
    may_defer: bool,
    /// The last key that went up, and when: a key that comes down at that very time is held.
    last_up: (u8, u32),
}

/// What keys mean.
struct Keys {
    first: u8,
    per_key: usize,
    symbols: Vec<u32>,
}

impl Keys {
    fn symbol(&self, code: u8) -> u32 {
        let at = usize::from(code.saturating_sub(self.first)) * self.per_key;
        self.symbols.get(at).copied().unwrap_or(0)
    }
}

/// Shows the window until somebody answers or the time is over.
///
/// # Errors
/// When it cannot be shown.
pub fn show(request: &Request) -> Result<Answer, WindowError> {
    let (conn, number) = x11rb::connect(None).map_err(display)?;
    let conn = Arc::new(conn);
    let screen = conn
        .setup()
        .roots
        .get(number)
        .cloned()
        .ok_or_else(|| display("no such screen"))?;
    let formats = &conn.setup().pixmap_formats;
    let true_colour = formats
        .iter()
        .any(|format| format.depth == screen.root_depth && format.bits_per_pixel == 32);
    if !true_colour {
        return Err(WindowError::Colours);
    }
    let face = Face::find(dots_per_inch(&conn, &screen))?;
    let size = (
        i32::from(screen.width_in_pixels),
        i32::from(screen.height_in_pixels),
    );
    let layout = Layout::of(request, &face, size);
    let mut window = Window::open(conn, &screen, request, layout, face).map_err(display)?;
    window.serve(Duration::from_millis(request.wait_ms))
}

impl Window {
    fn open(
        conn: Arc<RustConnection>,
        screen: &Screen,
        request: &Request,
        layout: Layout,
        face: Face,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let window = conn.generate_id()?;
        let gc = conn.generate_id()?;
        let (width, height) = (u16::try_from(layout.size.0)?, u16::try_from(layout.size.1)?);
        let x = i16::try_from((i32::from(screen.width_in_pixels) - layout.size.0) / 2)?;
        let y = i16::try_from((i32::from(screen.height_in_pixels) - layout.size.1) / 2)?;
        let events = EventMask::EXPOSURE
            | EventMask::KEY_PRESS
            | EventMask::KEY_RELEASE
            | EventMask::BUTTON_PRESS
            | EventMask::BUTTON_RELEASE
            | EventMask::STRUCTURE_NOTIFY
            | EventMask::VISIBILITY_CHANGE;
        let aux = CreateWindowAux::new()
            .background_pixel(screen.white_pixel)
            .event_mask(events);
        conn.create_window(
            screen.root_depth,
            window,
            screen.root,
            x,
            y,
            width,
            height,
            0,
            WindowClass::INPUT_OUTPUT,
            screen.root_visual,
            &aux,
        )?;
        conn.create_gc(gc, window, &CreateGCAux::new())?;
        let atom = |name: &str| -> Result<u32, Box<dyn std::error::Error>> {
            Ok(conn.intern_atom(false, name.as_bytes())?.reply()?.atom)
        };
        let delete = atom("WM_DELETE_WINDOW")?;
        let utf8 = atom("UTF8_STRING")?;
        let title = request.title.as_bytes();
        let name = atom("_NET_WM_NAME")?;
        conn.change_property8(PropMode::REPLACE, window, name, utf8, title)?;
        conn.change_property8(
            PropMode::REPLACE,
            window,
            AtomEnum::WM_NAME,
            AtomEnum::STRING,
            b"Chasqui",
        )?;
        conn.change_property8(
            PropMode::REPLACE,
            window,
            AtomEnum::WM_CLASS,
            AtomEnum::STRING,
            b"chasqui-consent\0Chasqui\0",
        )?;
        for (property, value) in [
            ("WM_PROTOCOLS", "WM_DELETE_WINDOW"),
            ("_NET_WM_WINDOW_TYPE", "_NET_WM_WINDOW_TYPE_DIALOG"),
            ("_NET_WM_STATE", "_NET_WM_STATE_ABOVE"),
        ] {
            let (property, value) = (atom(property)?, atom(value)?);
            conn.change_property32(
                PropMode::REPLACE,
                window,
                property,
                AtomEnum::ATOM,
                &[value],
            )?;
        }
        let (first, last) = (conn.setup().min_keycode, conn.setup().max_keycode);
        let map = conn
            .get_keyboard_mapping(first, last.saturating_sub(first).saturating_add(1))?
            .reply()?;
        conn.map_window(window)?;
        conn.flush()?;
        let look = Look {
            focus: layout.first,
            pressed: None,
            scroll: 0,
            ready: false,
        };
        Ok(Self {
            window,
            gc,
            depth: screen.root_depth,
            layout,
            face,
            look,
            keys: Keys {
                first,
                per_key: usize::from(map.keysyms_per_keycode),
                symbols: map.keysyms,
            },
            delete,
            shown_at: None,
            answers: request.answers,
            may_defer: request.may_defer && request.defers_left > 0,
            last_up: (0, 0),
            conn,
        })
    }

    fn serve(&mut self, wait: Duration) -> Result<Answer, WindowError> {
        let began = clock::monotonic();
        let (sender, events) = sync_channel(64);
        let conn = self.conn.clone();
        std::thread::spawn(move || {
            while let Ok(event) = conn.wait_for_event() {
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        loop {
            let left = wait.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Ok(self.answer(Word::TimedOut, None));
            }
            // The buttons are drawn anew when they begin to count.
            let next = match self.shown_at {
                Some(at) if !self.look.ready => {
                    let due = Duration::from_millis(MIN_SHOWN_MS).saturating_sub(at.elapsed());
                    due.max(Duration::from_millis(1)).min(left)
                }
                _ => left,
            };
            match events.recv_timeout(next) {
                Ok(event) => {
                    if let Some((word, input)) = self.heard(&event)? {
                        return Ok(self.answer(word, input));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(display("it went away")),
            }
            if !self.look.ready && self.shown_ms() >= MIN_SHOWN_MS {
                self.look.ready = true;
                self.draw()?;
            }
        }
    }

    fn shown_ms(&self) -> u64 {
        self.shown_at.map_or(0, |at| {
            u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX)
        })
    }

    fn answer(&self, word: Word, input: Option<Input>) -> Answer {
        Answer {
            version: VERSION,
            answer: word,
            shown_ms: self.shown_ms(),
            input,
        }
    }

    fn heard(&mut self, event: &Event) -> Result<Option<(Word, Option<Input>)>, WindowError> {
        match event {
            Event::Expose(expose) if expose.count == 0 => {
                self.draw()?;
            }
            Event::MapNotify(_) => self.take_focus_without_manager()?,
            Event::VisibilityNotify(seen) => {
                if seen.state == Visibility::FULLY_OBSCURED {
                    self.shown_at = None;
                    self.look.ready = false;
                } else if self.shown_at.is_none() {
                    self.shown_at = Some(clock::monotonic());
                }
            }
            // A window manager asks for the window in the name of the person; it is never a yes.
            Event::ClientMessage(message)
                if message.data.as_data32().first() == Some(&self.delete) =>
            {
                return Ok(Some((Word::Closed, Some(Input::Pointer))));
            }
            Event::DestroyNotify(_) | Event::UnmapNotify(_) => {
                return Ok(Some((Word::Closed, None)));
            }
            // What another program made up is no person's.
            event if event.sent_event() => {}
            Event::ButtonPress(press) => {
                self.pressed(press.detail, (press.event_x, press.event_y))?;
            }
            Event::ButtonRelease(release) if release.detail == 1 => {
                return self.released((release.event_x, release.event_y));
            }
            Event::KeyRelease(key) => self.last_up = (key.detail, key.time),
            Event::KeyPress(key) if (key.detail, key.time) != self.last_up => {
                let alt = key.state.contains(KeyButMask::MOD1);
                let shift = key.state.contains(KeyButMask::SHIFT);
                return self.key(self.keys.symbol(key.detail), alt, shift);
            }
            _ => {}
        }
        Ok(None)
    }

    fn button_at(&self, (x, y): (i16, i16)) -> Option<usize> {
        self.layout
            .buttons
            .iter()
            .position(|button| button.rect.holds(i32::from(x), i32::from(y)))
    }

    fn pressed(&mut self, detail: u8, at: (i16, i16)) -> Result<(), WindowError> {
        match detail {
            1 if self.look.ready => {
                self.look.pressed = self.button_at(at);
                if let Some(button) = self.look.pressed {
                    self.look.focus = button;
                }
                self.draw()
            }
            4 => self.scroll(-self.face.line(crate::layout::Style::Text) * 2),
            5 => self.scroll(self.face.line(crate::layout::Style::Text) * 2),
            _ => Ok(()),
        }
    }

    fn released(&mut self, at: (i16, i16)) -> Result<Option<(Word, Option<Input>)>, WindowError> {
        let began_on = self.look.pressed.take();
        self.draw()?;
        let ended_on = self.button_at(at);
        match began_on.filter(|button| Some(*button) == ended_on) {
            Some(button) => Ok(self.press(button, Input::Pointer)),
            None => Ok(None),
        }
    }

    /// Presses a button, if presses count yet.
    fn press(&self, button: usize, input: Input) -> Option<(Word, Option<Input>)> {
        if !self.look.ready || self.shown_ms() < MIN_SHOWN_MS {
            return None;
        }
        let word = self.layout.buttons.get(button)?.word;
        Some((word, Some(input)))
    }

    fn key(
        &mut self,
        symbol: u32,
        alt: bool,
        shift: bool,
    ) -> Result<Option<(Word, Option<Input>)>, WindowError> {
        let count = self.layout.buttons.len().max(1);
        let page = self.layout.view.h * 9 / 10;
        match symbol {
            TAB | RIGHT if !shift => self.look.focus = (self.look.focus + 1) % count,
            TAB | BACK_TAB | LEFT => self.look.focus = (self.look.focus + count - 1) % count,
            UP => self.scroll(-self.face.line(crate::layout::Style::Text))?,
            DOWN => self.scroll(self.face.line(crate::layout::Style::Text))?,
            PAGE_UP => self.scroll(-page)?,
            PAGE_DOWN => self.scroll(page)?,
            RETURN | ENTER | SPACE => return Ok(self.press(self.look.focus, Input::Keyboard)),
            ESCAPE if self.look.ready => {
                let word = match (self.answers, self.may_defer) {
                    (Answers::Accept, true) => Word::Later,
                    (Answers::Accept, false) => Word::Denied,
                    (Answers::Ok, _) => Word::Seen,
                    (Answers::YesNo, _) => Word::Closed,
                };
                return Ok(Some((word, Some(Input::Keyboard))));
            }
            letter if alt => {
                let named = self
                    .layout
                    .buttons
                    .iter()
                    .position(|button| char::from_u32(letter) == Some(button.key));
                if let Some(button) = named {
                    return Ok(self.press(button, Input::Keyboard));
                }
            }
            _ => {}
        }
        self.draw()?;
        Ok(None)
    }

    fn scroll(&mut self, by: i32) -> Result<(), WindowError> {
        let most = self.layout.most_scroll();
        self.look.scroll = (self.look.scroll + by).clamp(0, most);
        self.draw()
    }

    /// Where nobody manages windows nobody gives them the keyboard either.
    fn take_focus_without_manager(&self) -> Result<(), WindowError> {
        let check = self
            .conn
            .intern_atom(false, b"_NET_SUPPORTING_WM_CHECK")
            .map_err(display)?
            .reply()
            .map_err(display)?
            .atom;
        let root = self
            .conn
            .query_tree(self.window)
            .map_err(display)?
            .reply()
            .map_err(display)?
            .root;
        let managed = self
            .conn
            .get_property(false, root, check, AtomEnum::WINDOW, 0, 1)
            .map_err(display)?
            .reply()
            .map_err(display)?
            .value_len
            > 0;
        if !managed {
            self.conn
                .set_input_focus(InputFocus::PARENT, self.window, x11rb::CURRENT_TIME)
                .map_err(display)?;
            self.conn.flush().map_err(display)?;
        }
        Ok(())
    }

    fn draw(&self) -> Result<(), WindowError> {
        let canvas: Canvas = paint(&self.layout, &self.face, self.look);
        let row = usize::try_from(self.layout.size.0).unwrap_or(0) * 4;
        if row == 0 {
            return Ok(());
        }
        let most = self.conn.maximum_request_bytes().saturating_sub(HEADER);
        let rows = (most / row).max(1);
        let width = u16::try_from(self.layout.size.0).map_err(display)?;
        let mut y = 0;
        for piece in canvas.bytes.chunks(rows * row) {
            let height = u16::try_from(piece.len() / row).map_err(display)?;
            let top = i16::try_from(y).map_err(display)?;
            self.conn
                .put_image(
                    ImageFormat::Z_PIXMAP,
                    self.window,
                    self.gc,
                    width,
                    height,
                    0,
                    top,
                    0,
                    self.depth,
                    piece,
                )
                .map_err(display)?;
            y += usize::from(height);
        }
        self.conn.flush().map_err(display)
    }
}

/// As the person set it; 96 where nothing is set.
fn dots_per_inch(conn: &RustConnection, screen: &Screen) -> f32 {
    let read = || -> Option<f32> {
        let reply = conn
            .get_property(
                false,
                screen.root,
                AtomEnum::RESOURCE_MANAGER,
                AtomEnum::STRING,
                0,
                16 * 1024,
            )
            .ok()?
            .reply()
            .ok()?;
        let text = String::from_utf8_lossy(&reply.value).into_owned();
        text.lines()
            .find_map(|line| line.strip_prefix("Xft.dpi:"))?
            .trim()
            .parse()
            .ok()
    };
    read().unwrap_or(96.0)
}
