//! Debian's paragraphs (deb822) out of a stream of any length: apt's lists are tens of megabytes, of which a few lines
//! matter. Nothing is kept of a paragraph that the reader does not take.

use std::io::Read;

use memchr::memmem;

/// Longest paragraph; a longer one is no list of packages.
const MAX_PARAGRAPH_BYTES: usize = 2 << 20;
const CHUNK_BYTES: usize = 256 << 10;

/// Why a stream was not read to its end.
#[derive(Debug)]
pub enum Stop {
    /// The system or the decompressor failed.
    Failed(std::io::Error),
    /// More bytes than allowed.
    TooLarge,
    /// A paragraph without an end.
    NoParagraphs,
}

/// Hands every paragraph to `take`, without the empty line after it. At most `max` bytes are read. A last paragraph without
/// its empty line is not handed over: it may be cut. The answer says whether there was one.
pub fn each(mut stream: impl Read, max: u64, mut take: impl FnMut(&[u8])) -> Result<bool, Stop> {
    let end = memmem::Finder::new(b"\n\n");
    let mut buffer: Vec<u8> = vec![0; CHUNK_BYTES];
    let (mut filled, mut total) = (0_usize, 0_u64);
    loop {
        if filled == buffer.len() {
            if filled >= MAX_PARAGRAPH_BYTES {
                return Err(Stop::NoParagraphs);
            }
            buffer.resize(filled.saturating_mul(2), 0);
        }
        let read = match stream.read(buffer.get_mut(filled..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Stop::Failed(error)),
        };
        total = total.saturating_add(read as u64);
        if total > max {
            return Err(Stop::TooLarge);
        }
        filled = filled.saturating_add(read);
        let mut rest = buffer.get(..filled).unwrap_or_default();
        while let Some(at) = end.find(rest) {
            let (paragraph, after) = rest.split_at(at);
            take(paragraph);
            rest = after.get(2..).unwrap_or_default();
        }
        let left = rest.len();
        buffer.copy_within(filled.saturating_sub(left)..filled, 0);
        filled = left;
    }
    let last = buffer.get(..filled).unwrap_or_default();
    Ok(last.iter().any(|b| !b.is_ascii_whitespace()))
}

/// A field's first line, trimmed; names are as the archives write them.
pub fn field<'a>(paragraph: &'a [u8], name: &str) -> Option<&'a str> {
    let mut rest = paragraph;
    loop {
        let line = match memchr::memchr(b'\n', rest) {
            Some(at) => rest.get(..at)?,
            None => rest,
        };
        if let Some(value) = line
            .strip_prefix(name.as_bytes())
            .and_then(|rest| rest.strip_prefix(b":"))
        {
            return std::str::from_utf8(value).ok().map(str::trim);
        }
        rest = rest.get(line.len().saturating_add(1)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, as pipes and decompressors do.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let some = self.0.len().min(3).min(into.len());
            into[..some].copy_from_slice(&self.0[..some]);
            self.0 = &self.0[some..];
            Ok(some)
        }
    }

    fn all(text: &[u8]) -> (Vec<String>, bool) {
        let mut found = Vec::new();
        let cut = each(Slow(text), 1 << 20, |paragraph| {
            found.push(String::from_utf8_lossy(paragraph).into_owned());
        });
        (found, cut.unwrap())
    }

    #[test]
    fn paragraphs_come_whole_wherever_the_text_is_cut() {
        let text = b"Package: a\nVersion: 1\n\nPackage: b\nVersion: 2\n\n";
        assert_eq!(all(text).0.len(), 2);
        for cut in 0..text.len() {
            let (found, open) = all(&text[..cut]);
            let whole = text[..cut].windows(2).filter(|w| w == b"\n\n").count();
            assert_eq!(found.len(), whole, "{cut}");
            assert_eq!(open, cut != 0 && cut != 23, "{cut}");
        }
    }

    #[test]
    fn a_stream_without_an_end_is_left() {
        let endless = || std::io::repeat(b'x');
        assert!(matches!(
            each(endless(), u64::MAX, |_| {}),
            Err(Stop::NoParagraphs)
        ));
        assert!(matches!(
            each(endless(), 1_000, |_| {}),
            Err(Stop::TooLarge)
        ));
    }

    #[test]
    fn fields_are_those_at_the_beginning_of_a_line() {
        let text = b"Package: a\nDescription: Version: 9\n Version: 8\nVersion: 1-2 \nBad: \xff";
        assert_eq!(field(text, "Version"), Some("1-2"));
        assert_eq!(field(text, "Package"), Some("a"));
        assert_eq!(field(text, "Bad"), None);
        assert_eq!(field(text, "Vers"), None);
        assert_eq!(field(b"", "Version"), None);
    }
}
