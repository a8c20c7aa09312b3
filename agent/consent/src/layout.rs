//! Where everything stands: pure, from the request, the font's measures and the room there is.

use crate::paint::Type;
use crate::request::{Answers, Lang, Request, Word};

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    /// Left.
    pub x: i32,
    /// Top.
    pub y: i32,
    /// Width.
    pub w: i32,
    /// Height.
    pub h: i32,
}

impl Rect {
    /// True if the point lies in it.
    pub fn holds(&self, x: i32, y: i32) -> bool {
        (self.x..self.x + self.w).contains(&x) && (self.y..self.y + self.h).contains(&y)
    }
}

/// A button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// Its words.
    pub label: &'static str,
    /// The letter that presses it together with Alt, lower case.
    pub key: char,
    /// What it says.
    pub word: Word,
    /// Where it is.
    pub rect: Rect,
}

/// A line of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The words.
    pub text: String,
    /// Of the headline, a label or the text.
    pub style: Style,
    /// Top, from the top of the text.
    pub y: i32,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Large.
    Title,
    /// Dimmed and small.
    Label,
    /// As people read.
    Text,
}

/// The whole window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Width and height of the window.
    pub size: (i32, i32),
    /// Distance of things.
    pub gap: i32,
    /// Where the text is seen.
    pub view: Rect,
    /// Its lines.
    pub lines: Vec<Line>,
    /// Height of all lines.
    pub text_height: i32,
    /// From left to right.
    pub buttons: Vec<Button>,
    /// Which holds the focus first: never one that says yes.
    pub first: usize,
}

impl Layout {
    /// For a screen of this size.
    pub fn of(request: &Request, fonts: &dyn Type, screen: (i32, i32)) -> Self {
        let em = fonts.line(Style::Text);
        let gap = em;
        let width = (em * 34).min(screen.0 * 9 / 10).max(200);
        let inner = width - 2 * gap;
        let mut lines = Vec::new();
        let mut y = 0;
        let mut add = |text: &str, style: Style, y: &mut i32| {
            for text in wrap(text, style, inner, fonts) {
                lines.push(Line { text, style, y: *y });
                *y += fonts.line(style);
            }
        };
        add(&request.title, Style::Title, &mut y);
        for row in &request.rows {
            y += gap / 2;
            if !row.label.is_empty() {
                add(&row.label, Style::Label, &mut y);
            }
            add(&row.text, Style::Text, &mut y);
        }
        let button_height = em * 2;
        let most = (screen.1 * 9 / 10 - button_height - 3 * gap).max(em * 3);
        let view = Rect {
            x: gap,
            y: gap,
            w: inner,
            h: y.min(most),
        };
        let mut buttons = buttons(request);
        let top = view.y + view.h + gap;
        let mut x = width - gap;
        for button in buttons.iter_mut().rev() {
            let w = fonts.width(button.label, Style::Text) + 2 * gap;
            x -= w;
            button.rect = Rect {
                x,
                y: top,
                w,
                h: button_height,
            };
            x -= gap / 2;
        }
        // A key that was meant for another program puts it off at most.
        let first = buttons
            .iter()
            .position(|button| button.word == Word::Later)
            .unwrap_or_else(|| buttons.len().saturating_sub(1));
        Self {
            size: (width, top + button_height + gap),
            gap,
            view,
            lines,
            text_height: y,
            buttons,
            first,
        }
    }

    /// How far the text can be moved up.
    pub fn most_scroll(&self) -> i32 {
        (self.text_height - self.view.h).max(0)
    }
}

fn buttons(request: &Request) -> Vec<Button> {
    let es = request.lang == Lang::Es;
    let button = |label, key, word| Button {
        label,
        key,
        word,
        rect: Rect {
            x: 0,
            y: 0,
            w: 0,
            h: 0,
        },
    };
    match (request.answers, es) {
        (Answers::Accept, es) => {
            let mut all = vec![if es {
                button("Aceptar", 'a', Word::Accepted)
            } else {
                button("Accept", 'a', Word::Accepted)
            }];
            if request.may_defer && request.defers_left > 0 {
                all.push(if es {
                    button("Ahora no", 'h', Word::Later)
                } else {
                    button("Not now", 't', Word::Later)
                });
            }
            all.push(button("No", 'n', Word::Denied));
            all
        }
        (Answers::Ok, true) => vec![button("Entendido", 'e', Word::Seen)],
        (Answers::Ok, false) => vec![button("OK", 'o', Word::Seen)],
        (Answers::YesNo, true) => vec![button("Sí", 's', Word::Yes), button("No", 'n', Word::No)],
        (Answers::YesNo, false) => vec![button("Yes", 'y', Word::Yes), button("No", 'n', Word::No)],
    }
}

/// Lines no wider than this; a word that is wider is cut.
fn wrap(text: &str, style: Style, width: i32, fonts: &dyn Type) -> Vec<String> {
    let mut out = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let longer = if line.is_empty() {
                word.to_owned()
            } else {
                format!("{line} {word}")
            };
            if fonts.width(&longer, style) <= width {
                line = longer;
                continue;
            }
            if !line.is_empty() {
                out.push(std::mem::take(&mut line));
            }
            for c in word.chars() {
                line.push(c);
                if fonts.width(&line, style) > width && line.chars().count() > 1 {
                    line.pop();
                    out.push(std::mem::take(&mut line));
                    line.push(c);
                }
            }
        }
        out.push(line);
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use crate::request::{Kind, Row};

    /// Every character is as wide as half a line is high.
    struct Even;

    impl Type for Even {
        fn width(&self, text: &str, _: Style) -> i32 {
            i32::try_from(text.chars().count()).unwrap() * 10
        }

        fn line(&self, _: Style) -> i32 {
            20
        }
    }

    fn request(text: &str, may_defer: bool) -> Request {
        Request {
            version: 1,
            lang: Lang::Es,
            kind: Kind::Ask,
            title: "Título".into(),
            rows: vec![Row {
                label: "Motivo".into(),
                text: text.into(),
            }],
            may_defer,
            defers_left: 3,
            wait_ms: 1,
            answers: Answers::Accept,
        }
    }

    #[test]
    fn the_focus_is_never_first_on_a_yes() {
        for answers in [Answers::Accept, Answers::Ok, Answers::YesNo] {
            let request = Request {
                answers,
                ..request("x", true)
            };
            let layout = Layout::of(&request, &Even, (1280, 800));
            assert!(!layout.buttons[layout.first].word.is_yes());
        }
    }

    #[test]
    fn everything_fits_the_screen_and_long_text_scrolls() {
        for screen in [(1280, 800), (640, 480), (3840, 2160)] {
            let layout = Layout::of(&request(&"palabra ".repeat(400), true), &Even, screen);
            assert!(
                layout.size.0 <= screen.0 && layout.size.1 <= screen.1,
                "{screen:?}"
            );
            for line in &layout.lines {
                assert!(Even.width(&line.text, line.style) <= layout.view.w);
            }
            for button in &layout.buttons {
                assert!(button.rect.y >= layout.view.y + layout.view.h);
                assert!(button.rect.x >= 0);
            }
            if screen.1 < 2000 {
                assert!(layout.most_scroll() > 0);
            }
        }
        let short = Layout::of(&request("una\ndos", false), &Even, (1280, 800));
        assert_eq!(short.most_scroll(), 0);
        assert_eq!(short.buttons.len(), 2, "nothing to put off");
    }

    #[test]
    fn a_word_wider_than_the_window_is_cut_and_nothing_is_lost() {
        let long = "x".repeat(200);
        let lines = wrap(&long, Style::Text, 300, &Even);
        assert_eq!(lines.concat(), long);
        assert!(lines.iter().all(|line| line.len() <= 30));
    }
}
