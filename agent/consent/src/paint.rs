//! Pixels: the font, the canvas, and how the window looks. High contrast, nothing told by colour alone.

use std::fs;
use std::path::{Path, PathBuf};

use fontdue::{Font, FontSettings};
use thiserror::Error;

use crate::layout::{Layout, Rect, Style};

/// Measures of text.
pub trait Type {
    /// Width in pixels.
    fn width(&self, text: &str, style: Style) -> i32;
    /// Height of a line in pixels.
    fn line(&self, style: Style) -> i32;
}

/// The font of the system, at the size of the screen.
#[derive(Debug)]
pub struct Face {
    font: Font,
    /// Pixels of ordinary text.
    size: f32,
}

/// No font could be used.
#[derive(Debug, Error)]
#[error("no TrueType font was found under /usr/share/fonts: install fonts-dejavu-core")]
pub struct NoFont;

const MAX_FONT: u64 = 32 * 1024 * 1024;
const MAX_FOLDERS: usize = 2_000;
/// Those with the letters of both languages, best first.
const KNOWN: [&str; 7] = [
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
    "/usr/share/fonts/truetype/ubuntu/Ubuntu-R.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/usr/share/fonts/liberation-sans/LiberationSans-Regular.ttf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
];

impl Face {
    /// For a screen of this many dots per inch.
    ///
    /// # Errors
    /// When no font is here.
    pub fn find(dpi: f32) -> Result<Self, NoFont> {
        let font = KNOWN
            .iter()
            .find_map(|path| load(Path::new(path)))
            .or_else(|| search(Path::new("/usr/share/fonts")))
            .ok_or(NoFont)?;
        Ok(Self {
            font,
            size: 15.0 * (dpi / 96.0).clamp(1.0, 4.0),
        })
    }

    fn size(&self, style: Style) -> f32 {
        match style {
            Style::Title => self.size * 1.3,
            Style::Label => self.size * 0.9,
            Style::Text => self.size,
        }
    }
}

fn load(path: &Path) -> Option<Font> {
    if fs::metadata(path).ok()?.len() > MAX_FONT {
        return None;
    }
    let font = Font::from_bytes(fs::read(path).ok()?, FontSettings::default()).ok()?;
    // A font of symbols is none for words.
    "aZñáé¿"
        .chars()
        .all(|c| font.lookup_glyph_index(c) != 0)
        .then_some(font)
}

fn search(folder: &Path) -> Option<Font> {
    let mut waiting: Vec<PathBuf> = vec![folder.to_owned()];
    let mut seen = 0;
    while let Some(folder) = waiting.pop() {
        seen += 1;
        if seen > MAX_FOLDERS {
            return None;
        }
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(path);
            } else if path.extension().is_some_and(|end| end == "ttf")
                && let Some(font) = load(&path)
            {
                return Some(font);
            }
        }
    }
    None
}

impl Type for Face {
    #[allow(clippy::cast_possible_truncation)]
    fn width(&self, text: &str, style: Style) -> i32 {
        let size = self.size(style);
        let width: f32 = text
            .chars()
            .map(|c| self.font.metrics(c, size).advance_width)
            .sum();
        width.ceil() as i32
    }

    #[allow(clippy::cast_possible_truncation)]
    fn line(&self, style: Style) -> i32 {
        (self.size(style) * 1.45).ceil() as i32
    }
}

/// 0xRRGGBB.
type Colour = u32;

const PAPER: Colour = 0xff_ff_ff;
const INK: Colour = 0x10_10_10;
const DIM: Colour = 0x50_50_50;
const EDGE: Colour = 0x60_60_60;
const FACE: Colour = 0xe8_e8_e8;
const FOCUS: Colour = 0x00_3a_8c;

/// What is seen, row by row, four bytes a pixel: blue, green, red, nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canvas {
    width: i32,
    height: i32,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Canvas {
    fn new(width: i32, height: i32) -> Self {
        let pixels = usize::try_from(width.max(0)).unwrap_or(0)
            * usize::try_from(height.max(0)).unwrap_or(0);
        let mut canvas = Self {
            width,
            height,
            bytes: vec![0; pixels * 4],
        };
        canvas.fill(
            Rect {
                x: 0,
                y: 0,
                w: width,
                h: height,
            },
            PAPER,
        );
        canvas
    }

    fn pixel(&mut self, x: i32, y: i32, colour: Colour, cover: u8) {
        if !(0..self.width).contains(&x) || !(0..self.height).contains(&y) {
            return;
        }
        let Ok(at) = usize::try_from((y * self.width + x) * 4) else {
            return;
        };
        let [_, red, green, blue] = colour.to_be_bytes();
        for (offset, part) in [blue, green, red].into_iter().enumerate() {
            if let Some(byte) = self.bytes.get_mut(at + offset) {
                let (new, old, cover) = (u32::from(part), u32::from(*byte), u32::from(cover));
                *byte = u8::try_from((new * cover + old * (255 - cover)) / 255).unwrap_or(255);
            }
        }
    }

    fn fill(&mut self, rect: Rect, colour: Colour) {
        for y in rect.y..rect.y + rect.h {
            for x in rect.x..rect.x + rect.w {
                self.pixel(x, y, colour, 255);
            }
        }
    }

    fn frame(&mut self, rect: Rect, thick: i32, colour: Colour) {
        let Rect { x, y, w, h } = rect;
        for edge in [
            Rect { x, y, w, h: thick },
            Rect {
                x,
                y: y + h - thick,
                w,
                h: thick,
            },
            Rect { x, y, w: thick, h },
            Rect {
                x: x + w - thick,
                y,
                w: thick,
                h,
            },
        ] {
            self.fill(edge, colour);
        }
    }

    /// Text with its top at `y`, seen only inside `clip`.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn text(
        &mut self,
        face: &Face,
        text: &str,
        style: Style,
        at: (i32, i32),
        clip: Rect,
        colour: Colour,
    ) {
        let size = face.size(style);
        let baseline = at.1 + (size * 1.1) as i32;
        let mut x = at.0 as f32;
        for c in text.chars() {
            let (metrics, cover) = face.font.rasterize(c, size);
            let left = x as i32 + metrics.xmin;
            let top = baseline - metrics.ymin - i32::try_from(metrics.height).unwrap_or(0);
            for (n, cover) in cover.iter().enumerate() {
                let (column, row) = (n % metrics.width.max(1), n / metrics.width.max(1));
                let px = left + i32::try_from(column).unwrap_or(0);
                let py = top + i32::try_from(row).unwrap_or(0);
                if clip.holds(px, py) {
                    self.pixel(px, py, colour, *cover);
                }
            }
            x += metrics.advance_width;
        }
    }
}

/// What of the window changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Which button holds the focus.
    pub focus: usize,
    /// Which is held down.
    pub pressed: Option<usize>,
    /// How far the text is moved up.
    pub scroll: i32,
    /// Whether answers count yet.
    pub ready: bool,
}

/// The window as it looks now.
pub fn paint(layout: &Layout, face: &Face, look: Look) -> Canvas {
    let (width, height) = layout.size;
    let mut canvas = Canvas::new(width, height);
    for line in &layout.lines {
        let y = layout.view.y + line.y - look.scroll;
        let colour = if line.style == Style::Label { DIM } else { INK };
        canvas.text(
            face,
            &line.text,
            line.style,
            (layout.view.x, y),
            layout.view,
            colour,
        );
    }
    if layout.most_scroll() > 0 {
        let track = Rect {
            x: width - layout.gap / 2,
            y: layout.view.y,
            w: layout.gap / 4,
            h: layout.view.h,
        };
        canvas.fill(track, FACE);
        let size = (track.h * layout.view.h / layout.text_height.max(1)).max(8);
        let moved = (track.h - size) * look.scroll / layout.most_scroll().max(1);
        canvas.fill(
            Rect {
                y: track.y + moved,
                h: size,
                ..track
            },
            EDGE,
        );
    }
    for (n, button) in layout.buttons.iter().enumerate() {
        let down = look.pressed == Some(n);
        canvas.fill(button.rect, if down { EDGE } else { FACE });
        let focused = n == look.focus;
        let (thick, edge) = if focused { (3, FOCUS) } else { (1, EDGE) };
        canvas.frame(button.rect, thick, edge);
        let ink = match (down, look.ready) {
            (true, _) => PAPER,
            (false, true) => INK,
            (false, false) => DIM,
        };
        let at = (
            button.rect.x + layout.gap,
            button.rect.y + (button.rect.h - face.line(Style::Text)) / 2,
        );
        canvas.text(face, button.label, Style::Text, at, button.rect, ink);
        underline(&mut canvas, face, button.label, button.key, at, ink);
    }
    canvas.frame(
        Rect {
            x: 0,
            y: 0,
            w: width,
            h: height,
        },
        2,
        FOCUS,
    );
    canvas
}

/// Below the letter that presses the button.
fn underline(
    canvas: &mut Canvas,
    face: &Face,
    label: &str,
    key: char,
    at: (i32, i32),
    ink: Colour,
) {
    let is_key = |c: char| c.to_lowercase().eq(key.to_lowercase());
    let Some(place) = label.find(is_key) else {
        return;
    };
    let before = label.get(..place).unwrap_or_default();
    let letter: String = label.chars().skip(before.chars().count()).take(1).collect();
    canvas.fill(
        Rect {
            x: at.0 + face.width(before, Style::Text),
            y: at.1 + face.line(Style::Text) - 3,
            w: face.width(&letter, Style::Text),
            h: 1,
        },
        ink,
    );
}
