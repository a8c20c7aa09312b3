//! Configuration in sections, as systemd units, desktop entries, NetworkManager's keyfiles and many daemons write it; and
//! the plain assignments of shell-like files.

/// One assignment with the section it stands in; the section is empty before the first heading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Name between the brackets.
    pub section: &'a str,
    /// Name before the first `=`, trimmed.
    pub key: &'a str,
    /// Text after it, trimmed, as written.
    pub value: &'a str,
}

/// Every assignment in the text's order. Lines that are none are passed over; continuation lines are not joined.
pub fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    let mut section = "";
    text.lines().filter_map(move |line| {
        let line = line.trim();
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name.trim();
            return None;
        }
        if line.starts_with(['#', ';']) {
            return None;
        }
        let (key, value) = line.split_once('=')?;
        Some(Entry {
            section,
            key: key.trim(),
            value: value.trim(),
        })
    })
}

/// The last assignment of a key in a section; names are compared without regard to case.
pub fn value<'a>(text: &'a str, section: &str, key: &str) -> Option<&'a str> {
    entries(text)
        .filter(|entry| {
            entry.section.eq_ignore_ascii_case(section) && entry.key.eq_ignore_ascii_case(key)
        })
        .last()
        .map(|entry| entry.value)
        .filter(|value| !value.is_empty())
}

/// A value without the quotes around it.
pub fn bare(value: &str) -> &str {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            return inner;
        }
    }
    value
}

/// What "yes" is called in configurations; `None` for anything that is neither.
pub fn truth(value: &str) -> Option<bool> {
    match bare(value).to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" | "on" => Some(true),
        "no" | "false" | "0" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_assignments() {
        let text = "a = 1\n[One]\n# a=2\nb=x=y\n;c=3\n[ Two ]\nB=\nb = z\nnoise\n[broken\n";
        let all: Vec<_> = entries(text)
            .map(|entry| (entry.section, entry.key, entry.value))
            .collect();
        assert_eq!(
            all,
            [
                ("", "a", "1"),
                ("One", "b", "x=y"),
                ("Two", "B", ""),
                ("Two", "b", "z")
            ]
        );
        assert_eq!(value(text, "one", "B"), Some("x=y"));
        assert_eq!(value(text, "", "b"), None);
        for cut in 0..text.len() {
            assert!(entries(&text[..cut]).count() <= 4);
        }
    }

    #[test]
    fn quotes_and_truth() {
        assert_eq!(bare(" \"a b\" "), "a b");
        assert_eq!(bare("'"), "'");
        assert_eq!(truth("\"Yes\""), Some(true));
        assert_eq!(truth("off"), Some(false));
        assert_eq!(truth("maybe"), None);
    }
}
