//! Bounds for text that machines and makers wrote: no control characters, no endless strings.

/// Longest fact, in characters.
pub const MAX_TEXT: usize = 256;

/// Text fit for a fact: control characters become spaces, the ends are trimmed, and at most [`MAX_TEXT`] characters stay.
pub fn clean(text: &str) -> String {
    clip(text, MAX_TEXT)
}

/// As [`clean`], with a bound of one's own.
pub fn clip(text: &str, max: usize) -> String {
    // Nearly every fact is short and plain.
    if text.len() <= max && text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return text.trim_matches(' ').to_owned();
    }
    let spaced: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let cut: String = spaced.trim().chars().take(max).collect();
    cut.trim_end().to_owned()
}

/// [`clean`]ed text of bytes; what is not UTF-8 becomes U+FFFD, so that a bad byte is seen and not lost.
pub fn clean_bytes(bytes: &[u8]) -> String {
    clean(&String::from_utf8_lossy(bytes))
}

/// The first words of a fact that may be missing: `None` when nothing is left after cleaning.
pub fn some_text(text: &str) -> Option<String> {
    let text = clean(text);
    (!text.is_empty()).then_some(text)
}

/// The lines of a file as `split` gives them: what follows the last line break is a line too, if an empty one.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let end = memchr::memchr(b'\n', bytes);
        let (line, after) = bytes.split_at(end.unwrap_or(bytes.len()));
        rest = end.and(after.get(1..));
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_split() {
        for text in [&b""[..], b"\n", b"a", b"a\n", b"a\nb", b"\n\na\n\n"] {
            let split: Vec<_> = text.split(|byte| *byte == b'\n').collect();
            assert_eq!(lines(text).collect::<Vec<_>>(), split);
        }
    }

    #[test]
    fn text_is_trimmed_bounded_and_free_of_control_characters() {
        assert_eq!(clean("  a\u{0}b\n"), "a b");
        assert_eq!(clean(&"ñ".repeat(1000)).chars().count(), MAX_TEXT);
        assert_eq!(clean_bytes(b"caf\xe9"), "caf\u{fffd}");
        assert_eq!(some_text(" \t"), None);
    }
}
