//! The XML of FusionInventory 2.x as the same values as JSON: names in lower case, an element that stands several times
//! becomes a list. No document type, no entities but XML's own, attributes ignored.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value};

use super::{MAX_DEPTH, MAX_VALUES, Refusal};

/// Most bytes of one tag: a name and a few attributes.
const MAX_TAG_BYTES: usize = 4_096;

/// The root element's children.
pub fn read(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let text = text_of(bytes)?;
    let mut reader = Reader::from_str(&text);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    let mut values = 0_usize;
    loop {
        match reader.read_event().map_err(wrong)? {
            Event::Start(tag) => {
                values += 1;
                let element = Element::new(&tag)?;
                if open.len() >= MAX_DEPTH || values > MAX_VALUES {
                    return Err(refuse("it is nested too deep or holds too many elements"));
                }
                if root.is_some() {
                    return Err(refuse("it has two roots"));
                }
                open.push(element);
            }
            Event::Empty(tag) => {
                values += 1;
                let element = Element::new(&tag)?;
                if values > MAX_VALUES {
                    return Err(refuse("it holds too many elements"));
                }
                if let Some(parent) = open.last_mut() {
                    parent.add(element.name, Value::String(String::new()));
                }
            }
            Event::End(_) => {
                let Some(element) = open.pop() else {
                    return Err(refuse("an element ends that never began"));
                };
                let (name, value) = element.end();
                match open.last_mut() {
                    Some(parent) => parent.add(name, value),
                    None => root = Some((name, value)),
                }
            }
            Event::Text(part) => {
                let part = part.xml10_content();
                push(&mut open, &part);
            }
            Event::CData(part) => {
                let part = part.xml10_content();
                push(&mut open, &part);
            }
            Event::GeneralRef(name) => {
                let number = name.resolve_char_ref().map_err(wrong)?;
                let name = name.xml10_content();
                let known = quick_xml::escape::resolve_predefined_entity(&name);
                match (number, known) {
                    (Some(number), _) => push(&mut open, number.encode_utf8(&mut [0; 4])),
                    (None, Some(known)) => push(&mut open, known),
                    (None, None) => return Err(refuse("it uses an entity of its own")),
                }
            }
            Event::DocType(_) => return Err(refuse("it has a document type")),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    if !open.is_empty() {
        return Err(refuse("it ends early"));
    }
    match root {
        Some((name, Value::Object(children))) if name == "request" => Ok(children),
        _ => Err(refuse("its root is not REQUEST")),
    }
}

/// The bytes as text, by the encoding that they declare.
fn text_of(bytes: &[u8]) -> Result<Cow<'_, str>, Refusal> {
    let head = bytes.get(..bytes.len().min(200)).unwrap_or_default();
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let declared = head
        .split_once("?>")
        .and_then(|(declaration, _)| declaration.split_once("encoding="))
        .and_then(|(_, after)| {
            after
                .trim_start_matches(['"', '\''])
                .split(['"', '\''])
                .next()
        });
    match declared {
        Some("iso-8859-1" | "latin1" | "iso8859-1") => {
            // Each byte is the code point of its character.
            Ok(bytes
                .iter()
                .map(|byte| char::from(*byte))
                .collect::<String>()
                .into())
        }
        None | Some("utf-8" | "utf8" | "us-ascii") => std::str::from_utf8(bytes)
            .map(Cow::Borrowed)
            .map_err(|error| {
                refuse(&format!(
                    "it is not the UTF-8 it declares, from byte {}",
                    error.valid_up_to()
                ))
            }),
        Some(_) => Err(refuse("its encoding is neither UTF-8 nor ISO-8859-1")),
    }
}

struct Element {
    name: String,
    children: Map<String, Value>,
    text: String,
}

impl Element {
    fn new(tag: &quick_xml::events::BytesStart<'_>) -> Result<Self, Refusal> {
        if tag.len() > MAX_TAG_BYTES {
            return Err(refuse("a tag is too long"));
        }
        let name = tag.name().as_ref().to_ascii_lowercase();
        Ok(Self {
            name,
            children: Map::new(),
            text: String::new(),
        })
    }

    fn add(&mut self, name: String, value: Value) {
        match self.children.get_mut(&name) {
            Some(Value::Array(list)) => list.push(value),
            Some(first) => {
                let first = first.take();
                self.children.insert(name, Value::Array(vec![first, value]));
            }
            None => {
                self.children.insert(name, value);
            }
        }
    }

    fn end(self) -> (String, Value) {
        if self.children.is_empty() {
            (self.name, Value::String(self.text))
        } else {
            (self.name, Value::Object(self.children))
        }
    }
}

fn push(open: &mut [Element], part: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(part);
    }
}

fn wrong(error: impl std::fmt::Display) -> Refusal {
    refuse(&error.to_string())
}

fn refuse(why: &str) -> Refusal {
    Refusal::Malformed(format!("the XML is wrong: {why}"))
}
