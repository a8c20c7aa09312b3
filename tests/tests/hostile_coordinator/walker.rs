//! Every change of one field that a signed document can suffer, found by walking its canonical JSON: no list of fields
//! is written down anywhere, so a field that is added to a document is attacked from that day on. A changed document
//! keeps the canonical spelling, so that it is not refused for its spelling alone.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// JSON whose members keep their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Integer(i128),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// A way to one value: member names and places in lists.
pub type Path = Vec<Part>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Member(String),
    Place(usize),
}

/// One change at one place. Numbers of a path stay valid for every document of the same shape.
#[derive(Clone, Debug)]
pub struct Mutation {
    pub path: Path,
    pub change: Change,
}

#[derive(Clone, Debug)]
pub enum Change {
    /// The value becomes another one.
    Becomes(&'static str, Replacement),
    DropMember(String),
    AddMember,
    SwapMembers,
    DropFirst,
    DuplicateLast,
    SwapFirstTwo,
    Empty,
}

#[derive(Clone, Debug)]
pub enum Replacement {
    Plus(i128),
    Flip,
    /// One character becomes its neighbour of the same kind, at the first, the middle or the last place.
    Character(usize),
    Value(Json),
}

/// Words that stand for each other: a change of one letter of them would only be a misspelling.
const WORDS: [&[&str]; 10] = [
    &["none", "notify", "ask", "ask_always"],
    &["proceed", "wait", "refuse"],
    &["now", "next_boot"],
    &["approve", "reject", "withdraw"],
    &["request", "approve"],
    &["linux", "windows"],
    &["file", "hardware", "browser"],
    &["low", "normal"],
    &["network", "reboot"],
    &["number", "flag", "text", "time", "digest"],
];

pub fn parse(bytes: &[u8]) -> Json {
    let json: Json = serde_json::from_slice(bytes).unwrap();
    assert_eq!(json.write(), bytes, "the walker writes what it read");
    json
}

impl Json {
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap()
    }

    /// All changes, in a fixed order.
    pub fn mutations(&self) -> Vec<Mutation> {
        let mut found = Vec::new();
        self.collect(&mut Vec::new(), &mut found);
        found
    }

    fn collect(&self, path: &mut Path, found: &mut Vec<Mutation>) {
        let mut add = |change| {
            found.push(Mutation {
                path: path.clone(),
                change,
            });
        };
        let value = |name, value| Change::Becomes(name, Replacement::Value(value));
        match self {
            Self::Null => {
                add(value("a text", Self::Text("x".into())));
                add(value("a number", Self::Integer(1)));
                add(value("a list", Self::List(vec![])));
                add(value("an object", Self::Object(vec![])));
            }
            Self::Bool(_) => {
                add(Change::Becomes("flipped", Replacement::Flip));
                add(value("null", Self::Null));
            }
            Self::Integer(_) => {
                add(Change::Becomes("one more", Replacement::Plus(1)));
                add(Change::Becomes("one less", Replacement::Plus(-1)));
                add(value("zero", Self::Integer(0)));
                add(value("the most", Self::Integer(i128::from(i64::MAX))));
                add(value("null", Self::Null));
            }
            Self::Text(text) => {
                for place in [0, text.chars().count() / 2, usize::MAX] {
                    add(Change::Becomes(
                        "one character changed",
                        Replacement::Character(place),
                    ));
                }
                for words in WORDS.iter().filter(|words| words.contains(&text.as_str())) {
                    for word in words.iter().filter(|word| *word != text) {
                        add(value("another word", Self::Text((*word).to_owned())));
                    }
                }
                add(value("empty", Self::Text(String::new())));
                add(value("null", Self::Null));
            }
            Self::List(items) => {
                if !items.is_empty() {
                    add(Change::DropFirst);
                    add(Change::DuplicateLast);
                    add(Change::Empty);
                }
                if items.len() > 1 {
                    add(Change::SwapFirstTwo);
                }
                add(value("null", Self::Null));
            }
            Self::Object(members) => {
                for (name, _) in members {
                    add(Change::DropMember(name.clone()));
                }
                if members.len() > 1 {
                    add(Change::SwapMembers);
                }
                add(Change::AddMember);
                if !path.is_empty() {
                    add(value("null", Self::Null));
                }
            }
        }
        match self {
            Self::List(items) => {
                for (place, item) in items.iter().enumerate() {
                    path.push(Part::Place(place));
                    item.collect(path, found);
                    path.pop();
                }
            }
            Self::Object(members) => {
                for (name, member) in members {
                    path.push(Part::Member(name.clone()));
                    member.collect(path, found);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    /// The document with this change; `None` where it changes nothing (zero that was zero).
    pub fn with(&self, mutation: &Mutation) -> Option<Self> {
        let mut changed = self.clone();
        mutation.change.apply(changed.at(&mutation.path));
        (changed != *self).then_some(changed)
    }

    fn at(&mut self, path: &[Part]) -> &mut Self {
        let mut here = self;
        for part in path {
            here = match (part, here) {
                (Part::Member(name), Self::Object(members)) => {
                    &mut members.iter_mut().find(|(n, _)| n == name).unwrap().1
                }
                (Part::Place(place), Self::List(items)) => &mut items[*place],
                (part, here) => panic!("no {part:?} in {here:?}"),
            };
        }
        here
    }
}

impl Change {
    fn apply(&self, here: &mut Json) {
        match (self, here) {
            (Self::Becomes(_, Replacement::Value(value)), here) => *here = value.clone(),
            (Self::Becomes(_, Replacement::Plus(n)), Json::Integer(old)) => *old += n,
            (Self::Becomes(_, Replacement::Flip), Json::Bool(old)) => *old = !*old,
            (Self::Becomes(_, Replacement::Character(place)), Json::Text(text)) => {
                *text = with_a_neighbour(text, *place);
            }
            (Self::DropMember(name), Json::Object(members)) => members.retain(|(n, _)| n != name),
            (Self::AddMember, Json::Object(members)) => {
                members.push(("zz_unknown".into(), Json::Integer(1)));
            }
            (Self::SwapMembers, Json::Object(members)) => members.swap(0, 1),
            (Self::DropFirst, Json::List(items)) => drop(items.remove(0)),
            (Self::DuplicateLast, Json::List(items)) => items.push(items.last().unwrap().clone()),
            (Self::SwapFirstTwo, Json::List(items)) => items.swap(0, 1),
            (Self::Empty, Json::List(items)) => items.clear(),
            (change, here) => panic!("{change:?} does not fit {here:?}"),
        }
    }
}

/// Digits stay digits, hex stays hex, letters stay letters: what is refused is the meaning, not the form.
fn with_a_neighbour(text: &str, place: usize) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let alike = |c: char| match c {
        '0'..='8' | 'a'..='e' | 'g'..='y' | 'A'..='E' | 'G'..='Y' => {
            char::from_u32(u32::from(c) + 1)
        }
        '9' => Some('0'),
        'f' => Some('a'),
        'z' => Some('g'),
        'F' => Some('A'),
        'Z' => Some('G'),
        _ => None,
    };
    let from = place.min(chars.len().saturating_sub(1));
    let places: Vec<usize> = (from..chars.len()).chain((0..from).rev()).collect();
    for at in places {
        if let Some(other) = alike(chars[at]) {
            chars[at] = other;
            return chars.into_iter().collect();
        }
    }
    format!("{text}x")
}

/// Every member and place of a document, read by another reader than the walker.
pub fn paths_of(bytes: &[u8]) -> BTreeSet<String> {
    fn walk(value: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Array(items) => {
                for (place, item) in items.iter().enumerate() {
                    let path = format!("{path}[{place}]");
                    walk(item, &path, found);
                    found.insert(path);
                }
            }
            serde_json::Value::Object(members) => {
                for (name, member) in members {
                    let path = format!("{path}.{name}");
                    walk(member, &path, found);
                    found.insert(path);
                }
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(&serde_json::from_slice(bytes).unwrap(), "", &mut found);
    found
}

/// Holds the changes tried against the document itself: a member nobody changed is a hole in the suite.
pub fn assert_all_visited<'a>(bytes: &[u8], tried: impl IntoIterator<Item = &'a Mutation>) {
    let tried: BTreeSet<String> = tried.into_iter().map(|m| name_of(&m.path)).collect();
    let missed: Vec<_> = paths_of(bytes)
        .into_iter()
        .filter(|path| !tried.contains(path))
        .collect();
    assert!(missed.is_empty(), "never changed: {missed:?}");
}

fn name_of(path: &Path) -> String {
    path.iter()
        .map(|part| match part {
            Part::Member(name) => format!(".{name}"),
            Part::Place(place) => format!("[{place}]"),
        })
        .collect()
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = name_of(&self.path);
        match &self.change {
            Change::Becomes(name, Replacement::Character(place)) => {
                write!(f, "{path} {name} at {place}")
            }
            Change::Becomes(name, Replacement::Flip | Replacement::Plus(_)) => {
                write!(f, "{path} {name}")
            }
            Change::Becomes(name, Replacement::Value(_)) => write!(f, "{path} becomes {name}"),
            Change::DropMember(name) => write!(f, "{path} without {name}"),
            other => write!(f, "{path} {other:?}"),
        }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(b) => serializer.serialize_bool(*b),
            Self::Integer(n) => serializer.serialize_i128(*n),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => items.serialize(serializer),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, member) in members {
                    map.serialize_entry(name, member)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Json;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON of whole numbers")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, b: bool) -> Result<Json, E> {
                Ok(Json::Bool(b))
            }
            fn visit_i64<E>(self, n: i64) -> Result<Json, E> {
                Ok(Json::Integer(n.into()))
            }
            fn visit_u64<E>(self, n: u64) -> Result<Json, E> {
                Ok(Json::Integer(n.into()))
            }
            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Json::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Json::Object(members))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
