//! Search keys. Databases fold case for ASCII only and disagree on accents, so the key is made here, stored beside the
//! text, and made again from what a person types.
//!
//! Accents, case and typographic variants vanish. **`ñ` becomes `n`**: it is a letter of its own in Spanish, but names
//! arrive from systems that lost it ("MUNOZ") and from keyboards that lack it, and a false match costs a glance while a
//! missed one costs the search.

/// The search key of a text: lower case, Latin letters without diacritics, runs of white space as one space, trimmed.
/// Characters of other scripts stay as they are, in lower case; control characters count as white space.
/// Folding a key again changes nothing. The key has at most three times the bytes of the text.
pub fn fold(text: &str) -> String {
    let mut key = String::with_capacity(text.len());
    for ch in text.chars().flat_map(char::to_lowercase) {
        if ch.is_whitespace() || ch.is_control() {
            if !key.is_empty() && !key.ends_with(' ') {
                key.push(' ');
            }
        } else if !is_mark(ch) {
            match base(ch) {
                Some(letters) => key.push_str(letters),
                None => key.push(ch),
            }
        }
    }
    key.truncate(key.trim_end().len());
    key
}

/// Combining marks (a decomposed "é" is "e" and one of these) and characters that show nothing.
fn is_mark(ch: char) -> bool {
    matches!(ch, '\u{300}'..='\u{36f}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn base(ch: char) -> Option<&'static str> {
    Some(match ch {
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'ǎ' | 'ª' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' | 'ẽ' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ĥ' | 'ħ' => "h",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' | 'ǐ' => "i",
        'ĵ' => "j",
        'ķ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ŀ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' | 'ŉ' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' | 'ǒ' | 'º' => "o",
        'œ' => "oe",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ŧ' | 'ț' => "t",
        'þ' => "th",
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' | 'ǔ' => "u",
        'ŵ' => "w",
        'ý' | 'ÿ' | 'ŷ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        '‘' | '’' | '´' => "'",
        '“' | '”' => "\"",
        '‐'..='―' => "-",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spanish_text() {
        assert_eq!(
            fold("  La IMPRESORA del 3.º   piso\nno responde "),
            "la impresora del 3.o piso no responde"
        );
        assert_eq!(fold("Muñoz, Ángela · Güepsa"), "munoz, angela · guepsa");
        assert_eq!(fold("MUNOZ"), fold("Muñoz"));
        assert_eq!(fold("ÑANDÚ"), "nandu");
    }

    #[test]
    fn composed_and_decomposed_are_one() {
        assert_eq!(fold("cafe\u{301} nin\u{303}o"), fold("café niño"));
        assert_eq!(fold("\u{feff}ni\u{200b}ño"), "nino");
        assert_eq!(fold("Straße Łódź İstanbul"), "strasse lodz istanbul");
    }

    #[test]
    fn other_scripts_stay() {
        assert_eq!(fold("Мир 日本"), "мир 日本");
        assert_eq!(fold("a\0b\u{7}c"), "a b c");
        assert_eq!(fold(" \t "), "");
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(text in "\\PC{0,60}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once.clone());
            prop_assert!(once.len() <= text.len() * 3);
        }

        #[test]
        fn case_never_matters(text in "[a-zA-Z0-9áéíóúüñÁÉÍÓÚÜÑ ]{0,40}") {
            prop_assert_eq!(fold(&text.to_uppercase()), fold(&text.to_lowercase()));
        }
    }
}
