//! As much of XML as the settings of virtual machines need: elements with their attributes and first text, entities of the
//! five kinds alone, no declarations followed, nothing kept beyond the text itself.

/// One start tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Name with its prefix.
    pub name: &'a str,
    /// Depth, 0 for the outermost.
    pub depth: usize,
    attributes: &'a str,
    /// What follows the tag up to the next one, as written.
    text: &'a str,
}

impl Element<'_> {
    /// An attribute's value.
    pub fn attribute(&self, name: &str) -> Option<String> {
        let mut rest = self.attributes;
        while let Some((before, after)) = rest.split_once('=') {
            let quote = after.trim_start().chars().next()?;
            let (value, tail) = after
                .trim_start()
                .strip_prefix(['"', '\''])?
                .split_once(quote)?;
            if before.trim() == name {
                return Some(plain(value));
            }
            rest = tail;
        }
        None
    }

    /// The text, with entities resolved.
    pub fn text(&self) -> String {
        plain(self.text.trim())
    }
}

/// Start tags in the text's order, at most `max` of them. What makes no sense ends the walk.
pub fn elements(xml: &str, max: usize) -> Vec<Element<'_>> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut rest = xml;
    while let Some((_, after)) = rest.split_once('<') {
        if found.len() >= max {
            break;
        }
        if let Some(comment) = after.strip_prefix("!--") {
            let Some((_, tail)) = comment.split_once("-->") else {
                break;
            };
            rest = tail;
            continue;
        }
        let Some((tag, tail)) = after.split_once('>') else {
            break;
        };
        rest = tail;
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if tag.starts_with('/') {
            depth = depth.saturating_sub(1);
            continue;
        }
        let (tag, closed) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        let (name, attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
        let text = if closed {
            ""
        } else {
            tail.split('<').next().unwrap_or_default()
        };
        found.push(Element {
            name,
            depth,
            attributes,
            text,
        });
        if !closed {
            depth = depth.saturating_add(1);
        }
    }
    found
}

fn plain(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_texts_and_attributes() {
        let xml = "<?xml version='1.0'?><!-- <no/> --><domain type='kvm'>\n<name>a &amp; b</name><vcpu  placement=\"static\">2</vcpu><x/></domain>";
        let found = elements(xml, 100);
        let shown: Vec<_> = found.iter().map(|e| (e.name, e.depth)).collect();
        assert_eq!(shown, [("domain", 0), ("name", 1), ("vcpu", 1), ("x", 1)]);
        assert_eq!(found[0].attribute("type").as_deref(), Some("kvm"));
        assert_eq!(found[1].text(), "a & b");
        assert_eq!(found[2].attribute("placement").as_deref(), Some("static"));
        assert_eq!(found[2].attribute("none"), None);
        for cut in (0..xml.len()).filter(|cut| xml.is_char_boundary(*cut)) {
            for element in elements(&xml[..cut], 100) {
                let _ = (element.text(), element.attribute("type"));
            }
        }
        assert_eq!(elements(&"<a>".repeat(10_000), 50).len(), 50);
        assert_eq!(elements("<a b=c><d e='>", 9)[0].attribute("b"), None);
    }
}
