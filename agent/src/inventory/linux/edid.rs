//! What a monitor says of itself: the base block of its EDID (VESA E-EDID 1.4). Extension blocks (CTA-861, DisplayID)
//! are checked for their sums alone.

/// Length of a block.
pub const BLOCK: usize = 128;

const HEADER: [u8; 8] = [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
/// Where the four descriptors begin.
const DESCRIPTORS: [usize; 4] = [54, 72, 90, 108];

/// A monitor's own words. Absent fields are those that it leaves open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edid {
    /// Three capital letters, as Microsoft's list of makers has them.
    pub maker: Option<String>,
    /// Number of the model, the maker's own.
    pub product_code: u16,
    /// Number in the header.
    pub serial_number: Option<u32>,
    /// Week of manufacture, 1 to 54.
    pub week: Option<u32>,
    /// Year of manufacture, or of the model.
    pub year: Option<u32>,
    /// Width and height of the picture, in millimetres.
    pub size_mm: Option<(u32, u32)>,
    /// Preferred mode.
    pub mode: Option<(u32, u32)>,
    /// Descriptor of the name.
    pub name: Option<String>,
    /// Descriptor of the serial number.
    pub serial: Option<String>,
    /// Descriptors of free text, in their order. Built-in panels name their model in them.
    pub texts: Vec<String>,
    /// What is wrong with the bytes, though the base block makes sense.
    pub faults: Vec<String>,
}

/// Reads the bytes; an error says why they are no EDID.
pub fn parse(bytes: &[u8]) -> Result<Edid, String> {
    let base = bytes
        .get(..BLOCK)
        .ok_or_else(|| format!("{} bytes, a block has {BLOCK}", bytes.len()))?;
    if !base.starts_with(&HEADER) {
        return Err("no EDID header".to_owned());
    }
    let byte = |at: usize| base.get(at).copied().unwrap_or_default();
    let word = |at: usize| u16::from_le_bytes([byte(at), byte(at + 1)]);
    if byte(18) != 1 {
        return Err(format!("EDID version {}", byte(18)));
    }
    let mut edid = Edid {
        maker: maker(byte(8), byte(9)),
        product_code: word(10),
        serial_number: number(u32::from(word(14)) << 16 | u32::from(word(12))),
        week: Some(u32::from(byte(16))).filter(|week| (1..=54).contains(week)),
        // The format is of 1994.
        year: (byte(17) >= 3).then(|| 1_990 + u32::from(byte(17))),
        faults: faults(bytes),
        ..Edid::default()
    };
    let mut detailed_mm = None;
    for at in DESCRIPTORS {
        let Some(descriptor) = base.get(at..at + 18) else {
            continue;
        };
        match descriptor {
            [0, 0, 0, tag, _, text @ ..] => match (tag, text_of(text)) {
                (0xfc, Some(text)) => {
                    // A long name goes on in the next descriptor.
                    edid.name = Some(edid.name.map_or(text.clone(), |name| name + &text));
                }
                (0xff, Some(text)) => edid.serial = edid.serial.or(Some(text)),
                (0xfe, Some(text)) => edid.texts.push(text),
                _ => {}
            },
            timing => {
                // The first one is the preferred mode.
                if edid.mode.is_none() {
                    edid.mode = mode(timing);
                    detailed_mm = size(timing);
                }
            }
        }
    }
    edid.size_mm = picture((byte(21), byte(22)), detailed_mm);
    Ok(edid)
}

/// Three letters of five bits each, A to Z.
fn maker(high: u8, low: u8) -> Option<String> {
    let packed = u16::from_be_bytes([high, low]);
    [10, 5, 0]
        .into_iter()
        .map(|shift| match u8::try_from(packed >> shift & 0x1f) {
            Ok(letter @ 1..=26) => Some(char::from(b'@' + letter)),
            _ => None,
        })
        .collect()
}

/// Zero says nothing, and makers who do not number fill it with ones.
fn number(number: u32) -> Option<u32> {
    (!matches!(number, 0 | 0x0101_0101 | u32::MAX)).then_some(number)
}

/// Up to a line feed; what is not ASCII is shown as unknown.
fn text_of(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|byte| matches!(byte, 0x0a | 0)).next()?;
    let text: String = text
        .iter()
        .map(|byte| match byte {
            0x20..=0x7e => char::from(*byte),
            _ => '\u{fffd}',
        })
        .collect();
    super::super::bounds::some_text(&text)
}

fn mode(timing: &[u8]) -> Option<(u32, u32)> {
    let byte = |at: usize| timing.get(at).copied().map(u32::from);
    let width = byte(2)? | (byte(4)? & 0xf0) << 4;
    let height = byte(5)? | (byte(7)? & 0xf0) << 4;
    // An interlaced picture has two fields of that height.
    let height = if byte(17)? & 0x80 != 0 {
        height * 2
    } else {
        height
    };
    (width > 0 && height > 0).then_some((width, height))
}

fn size(timing: &[u8]) -> Option<(u32, u32)> {
    let byte = |at: usize| timing.get(at).copied().map(u32::from);
    let upper = byte(14)?;
    let (width, height) = (
        byte(12)? | (upper & 0xf0) << 4,
        byte(13)? | (upper & 0x0f) << 8,
    );
    (width > 0 && height > 0).then_some((width, height))
}

/// The finer size of the mode where it agrees with the size in centimetres: some write the shape in its place.
fn picture(cm: (u8, u8), detailed: Option<(u32, u32)>) -> Option<(u32, u32)> {
    let rough = (u32::from(cm.0) * 10, u32::from(cm.1) * 10);
    // One of them alone is the shape of a projector's picture.
    if rough.0 == 0 || rough.1 == 0 {
        return detailed.filter(|size| size.0 > 20 && *size != (160, 90) && *size != (160, 100));
    }
    let near = |(width, height): &(u32, u32)| {
        width.abs_diff(rough.0) <= 10 && height.abs_diff(rough.1) <= 10
    };
    Some(detailed.filter(near).unwrap_or(rough))
}

fn faults(bytes: &[u8]) -> Vec<String> {
    let mut faults = Vec::new();
    let blocks = bytes.chunks_exact(BLOCK);
    let rest = blocks.remainder().len();
    for (number, block) in blocks.enumerate() {
        let sum = block.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        if sum != 0 {
            faults.push(format!("checksum of block {number} is off by {sum}"));
        }
    }
    let promised = bytes.get(126).copied().map_or(0, usize::from) + 1;
    let whole = bytes.len() / BLOCK;
    if whole < promised || rest != 0 {
        let length = bytes.len();
        faults.push(format!("{length} bytes for {promised} blocks"));
    }
    faults
}
