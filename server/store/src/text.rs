//! Texts that go into conditions: a choice among names, and a part of a folded search key.

/// A list of names as one parameter: `,a,b,`, so that `$1 LIKE '%,' || column || ',%'` asks whether the column is among
/// them. Empty when there are none, which chooses everything. Names hold no comma.
pub(crate) fn choice<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut list = String::new();
    for name in names {
        if list.is_empty() {
            list.push(',');
        }
        list.push_str(name);
        list.push(',');
    }
    list
}

/// A LIKE pattern (`ESCAPE '!'`) for search keys that contain a folded text; empty for an empty text.
pub(crate) fn contains(folded: &str) -> String {
    if folded.is_empty() {
        return String::new();
    }
    format!("%{}%", exactly(folded))
}

/// A LIKE pattern (`ESCAPE '!'`) for keys that are this text.
pub(crate) fn exactly(folded: &str) -> String {
    let mut pattern = String::with_capacity(folded.len() + 2);
    for ch in folded.chars() {
        if matches!(ch, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(ch);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_no_pattern() {
        assert_eq!(contains("50%_x!"), "%50!%!_x!!%");
        assert_eq!(contains(""), "");
        assert_eq!(exactly("a_b"), "a!_b");
        assert_eq!(choice(["a", "b"].into_iter()), ",a,b,");
        assert_eq!(choice([].into_iter()), "");
    }
}
