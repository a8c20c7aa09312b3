//! What differs between two observations of one section, as people would say it: items of lists are matched by what they
//! go by (name, slot, serial), never by position, and a fact that could not be read is told apart from one that is gone.
//! A field that one side has and the other neither has nor explains was not looked for there: agents say why a field is
//! absent, so this is an older one that did not know it. A newer collector makes no changes of the machine.
//! It knows JSON trees and names of groups that were not read, nothing of the API's messages.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

/// One section as it was observed.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Its facts; null when none could be read.
    pub facts: &'a Value,
    /// Names of groups that could not be read: `memory.modules`, `disks.disks.sda.serial`.
    pub unread: &'a [String],
}

/// How something differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It was not there and is.
    Added,
    /// It was there and is known to be gone.
    Removed,
    /// It is another value.
    Changed,
    /// It was observed and could not be read now.
    Unreadable,
    /// It could not be read and was observed now.
    ReadableAgain,
}

/// One difference.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// How.
    pub kind: Kind,
    /// Names of fields from the section on, `modules.serial`; empty for the whole section.
    pub path: String,
    /// The item of a list, by what it goes by; empty outside lists.
    pub item: String,
    /// What was.
    pub before: Option<Value>,
    /// What is.
    pub after: Option<Value>,
}

/// By which fields items of a list are matched: the first set of which an item has all, then the next for those left.
/// Lists that are not named are matched by [`ANY`].
const KEYS: &[(&str, &[&[&str]])] = &[
    (
        "items",
        &[
            &["source", "name", "architecture", "version"],
            &["source", "name", "architecture"],
            &["source", "name"],
        ],
    ),
    ("modules", &[&["slot"], &["serial"]]),
    ("disks", &[&["serial"], &["wwn"], &["name"]]),
    ("file_systems", &[&["mount_point"]]),
    ("interfaces", &[&["name"], &["mac"]]),
    ("displays", &[&["serial"], &["connector"]]),
    ("accounts", &[&["login", "uid"], &["uid"]]),
    ("groups", &[&["name"], &["gid"]]),
    ("certificates", &[&["fingerprint"], &["path"]]),
    ("cpus", &[&["socket"], &["model_name"]]),
    ("pci", &[&["slot"], &["address"]]),
    ("usb", &[&["serial"], &["port"], &["address"], &["path"]]),
    ("guests", &[&["uuid"], &["type", "name"]]),
    ("timers", &[&["name", "path"], &["name"]]),
    ("startup", &[&["path"], &["name"]]),
];
const ANY: &[&[&str]] = &[
    &["name", "architecture"],
    &["name", "path"],
    &["name"],
    &["serial"],
    &["slot"],
    &["mount_point"],
    &["connector"],
    &["destination"],
    &["path"],
    &["id"],
    &["uuid"],
    &["address"],
    &["device"],
    &["day"],
];
/// What people call an item: the first of these that it has.
const LABELS: &[&str] = &[
    "name",
    "slot",
    "mount_point",
    "connector",
    "login",
    "path",
    "destination",
    "socket",
    "model_name",
    "serial",
    "id",
    "uuid",
    "address",
    "device",
    "group",
];
/// Groups of this ending stand for many fields of a section at once, which came from one source.
const COMMON: &[&str] = &[".smbios", ".release"];
/// Deeper trees than any section has are compared as they stand.
const MAX_DEPTH: usize = 16;

/// What differs, in the order of paths, then items.
pub fn differences(section: &str, before: View<'_>, after: View<'_>) -> Vec<Change> {
    let mut walk = Walk {
        section,
        before: before.unread,
        after: after.unread,
        found: Vec::new(),
    };
    let at = Place::default();
    walk.values(&at, observed(before.facts), observed(after.facts));
    walk.found
        .sort_by(|a, b| (&a.path, &a.item, a.kind).cmp(&(&b.path, &b.item, b.kind)));
    walk.found
}

/// Where in the tree: names of fields, names of fields and items as groups say them, and the items.
#[derive(Clone, Debug, Default)]
struct Place {
    path: String,
    group: String,
    item: String,
    depth: usize,
}

impl Place {
    fn field(&self, name: &str) -> Self {
        Self {
            path: dotted(&self.path, name),
            group: dotted(&self.group, name),
            item: self.item.clone(),
            depth: self.depth + 1,
        }
    }

    fn item(&self, label: &str) -> Self {
        let item = if self.item.is_empty() {
            label.to_owned()
        } else {
            format!("{} / {label}", self.item)
        };
        Self {
            path: self.path.clone(),
            group: dotted(&self.group, label),
            item,
            depth: self.depth + 1,
        }
    }
}

fn dotted(start: &str, name: &str) -> String {
    if start.is_empty() {
        name.to_owned()
    } else {
        format!("{start}.{name}")
    }
}

/// A value that says something: an enumeration's `unspecified` is one that was not observed.
fn observed(value: &Value) -> Option<&Value> {
    match value {
        Value::Null => None,
        Value::String(text) if text == "unspecified" => None,
        value => Some(value),
    }
}

struct Walk<'a> {
    section: &'a str,
    before: &'a [String],
    after: &'a [String],
    found: Vec<Change>,
}

impl Walk<'_> {
    fn values(&mut self, at: &Place, before: Option<&Value>, after: Option<&Value>) {
        match (before, after) {
            (None, None) => {}
            (Some(one), Some(two)) if one == two => {}
            (Some(Value::Object(one)), Some(Value::Object(two))) if at.depth < MAX_DEPTH => {
                self.objects(at, one, two);
            }
            (Some(Value::Array(one)), Some(Value::Array(two)))
                if at.depth < MAX_DEPTH && one.iter().chain(two).all(Value::is_object) =>
            {
                self.lists(at, one, two);
            }
            (Some(one), None) => {
                // A list or message that is empty said nothing: its end is none.
                let kind = if is_field(at, one) {
                    Kind::Unreadable
                } else {
                    self.lost(at)
                };
                self.note(kind, at, Some(one), None);
            }
            (None, Some(two)) => {
                let kind = if is_field(at, two) {
                    Kind::ReadableAgain
                } else {
                    self.won(at)
                };
                self.note(kind, at, None, Some(two));
            }
            (Some(one), Some(two)) => {
                // A list of texts that became empty because it could not be read.
                let kind = if empty(two) && !empty(one) && covered(self.section, at, self.after) {
                    Kind::Unreadable
                } else if empty(one) && !empty(two) && covered(self.section, at, self.before) {
                    Kind::ReadableAgain
                } else {
                    Kind::Changed
                };
                self.note(kind, at, Some(one), Some(two));
            }
        }
    }

    fn objects(&mut self, at: &Place, one: &Map<String, Value>, two: &Map<String, Value>) {
        let names: BTreeSet<&String> = one.keys().chain(two.keys()).collect();
        for name in names {
            let (before, after) = (one.get(name), two.get(name));
            self.values(
                &at.field(name),
                before.and_then(observed),
                after.and_then(observed),
            );
        }
    }

    fn lists(&mut self, at: &Place, one: &[Value], two: &[Value]) {
        let name = at.path.rsplit('.').next().unwrap_or_default();
        let keys = KEYS
            .iter()
            .find(|(list, _)| *list == name)
            .map_or(ANY, |(_, keys)| keys);
        let (mut before, mut after): (Vec<&Value>, Vec<&Value>) =
            (one.iter().collect(), two.iter().collect());
        // What both have alike is no difference, whatever it goes by.
        pair(&mut before, &mut after, |value| Some(value.to_string()));
        for fields in keys {
            let pairs = pair(&mut before, &mut after, |value| key(value, fields));
            for (old, new) in pairs {
                self.values(&at.item(&label(new)), Some(old), Some(new));
            }
        }
        for old in before {
            let place = at.item(&label(old));
            let kind = self.lost(&place);
            self.note(kind, &place, Some(old), None);
        }
        for new in after {
            let place = at.item(&label(new));
            let kind = self.won(&place);
            self.note(kind, &place, None, Some(new));
        }
    }

    fn lost(&self, at: &Place) -> Kind {
        if covered(self.section, at, self.after) {
            Kind::Unreadable
        } else {
            Kind::Removed
        }
    }

    fn won(&self, at: &Place) -> Kind {
        if covered(self.section, at, self.before) {
            Kind::ReadableAgain
        } else {
            Kind::Added
        }
    }

    fn note(&mut self, kind: Kind, at: &Place, before: Option<&Value>, after: Option<&Value>) {
        self.found.push(Change {
            kind,
            path: at.path.clone(),
            item: at.item.clone(),
            before: before.cloned(),
            after: after.cloned(),
        });
    }
}

/// One value of a section or an item, which is there or was not observed; a list may also be known to be empty.
fn is_field(at: &Place, value: &Value) -> bool {
    !at.path.is_empty() && !value.is_array()
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Whether a place lies in a group that was not read.
fn covered(section: &str, at: &Place, unread: &[String]) -> bool {
    let (path, group) = (dotted(section, &at.path), dotted(section, &at.group));
    let (path, group) = if at.path.is_empty() {
        (section.to_owned(), section.to_owned())
    } else {
        (path, group)
    };
    unread.iter().any(|name| {
        let within = |place: &str| {
            place == name
                || place
                    .strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.starts_with('.'))
        };
        within(&path) || within(&group) || COMMON.iter().any(|ending| name.ends_with(ending))
            // Nothing of a section was read when any of it is said to be unread and no fact is there.
            || (at.path.is_empty() && name.starts_with(section))
    })
}

/// Takes pairs with one key off both lists.
fn pair<'v>(
    before: &mut Vec<&'v Value>,
    after: &mut Vec<&'v Value>,
    key: impl Fn(&Value) -> Option<String>,
) -> Vec<(&'v Value, &'v Value)> {
    let mut waiting: BTreeMap<String, VecDeque<&'v Value>> = BTreeMap::new();
    let mut old_left = Vec::new();
    for value in before.drain(..) {
        match key(value) {
            Some(key) => waiting.entry(key).or_default().push_back(value),
            None => old_left.push(value),
        }
    }
    let (mut pairs, mut new_left) = (Vec::new(), Vec::new());
    for value in after.drain(..) {
        let old = key(value)
            .and_then(|key| waiting.get_mut(&key))
            .and_then(VecDeque::pop_front);
        match old {
            Some(old) => pairs.push((old, value)),
            None => new_left.push(value),
        }
    }
    old_left.extend(waiting.into_values().flatten());
    *before = old_left;
    *after = new_left;
    pairs
}

fn key(value: &Value, fields: &[&str]) -> Option<String> {
    let mut parts = Vec::with_capacity(fields.len());
    for field in fields {
        parts.push(value.get(field).and_then(observed)?.to_string());
    }
    Some(parts.join("\u{1f}"))
}

fn label(value: &Value) -> String {
    let found = LABELS
        .iter()
        .filter_map(|field| value.get(field))
        .find_map(|value| match value {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn diff(section: &str, a: &Value, ua: &[&str], b: &Value, ub: &[&str]) -> Vec<Change> {
        let names = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let (ua, ub) = (names(ua), names(ub));
        differences(
            section,
            View {
                facts: a,
                unread: &ua,
            },
            View {
                facts: b,
                unread: &ub,
            },
        )
    }

    fn told(changes: &[Change]) -> Vec<(Kind, &str, &str)> {
        changes
            .iter()
            .map(|c| (c.kind, c.path.as_str(), c.item.as_str()))
            .collect()
    }

    #[test]
    fn cases() {
        let module =
            |slot: &str, serial: &str| json!({"slot": slot, "serial": serial, "size_bytes": 8});
        let memory = |modules: Vec<Value>| json!({"modules": modules, "slots": 2});
        // Another module in the slot: the serial changed, nothing was added or removed.
        let one = memory(vec![module("A1", "111"), module("A2", "222")]);
        let two = memory(vec![module("A2", "222"), module("A1", "333")]);
        let found = diff("memory", &one, &[], &two, &[]);
        assert_eq!(told(&found), [(Kind::Changed, "modules.serial", "A1")]);
        assert_eq!(
            (found[0].before.clone(), found[0].after.clone()),
            (Some(json!("111")), Some(json!("333")))
        );
        // One left for good.
        let less = memory(vec![module("A1", "111")]);
        assert_eq!(
            told(&diff("memory", &one, &[], &less, &[])),
            [(Kind::Removed, "modules", "A2")]
        );
        // The list could not be read: nothing left.
        let none = json!({"modules": [], "slots": 2});
        let gone = diff("memory", &one, &[], &none, &["memory.modules"]);
        assert!(gone.iter().all(|c| c.kind == Kind::Unreadable), "{gone:?}");
        let back = diff("memory", &none, &["memory.modules"], &one, &[]);
        assert!(
            back.iter().all(|c| c.kind == Kind::ReadableAgain),
            "{back:?}"
        );
        // The same by the table all of it comes from.
        let gone = diff("memory", &one, &[], &none, &["memory.smbios"]);
        assert!(gone.iter().all(|c| c.kind == Kind::Unreadable), "{gone:?}");
        // Nothing of the section could be read.
        assert_eq!(
            told(&diff(
                "memory",
                &one,
                &[],
                &Value::Null,
                &["memory.meminfo"]
            )),
            [(Kind::Unreadable, "", "")]
        );
        // One field of one item, said by the item's name, and by the field over all items.
        let disks = |serial: Option<&str>| match serial {
            Some(serial) => json!({"disks": [{"name": "sda", "serial": serial, "kind": "ssd"}]}),
            None => json!({"disks": [{"name": "sda", "kind": "unspecified"}]}),
        };
        for group in ["disks.disks.sda", "disks.disks"] {
            assert_eq!(
                told(&diff(
                    "disks",
                    &disks(Some("x")),
                    &[],
                    &disks(None),
                    &[group]
                )),
                [
                    (Kind::Unreadable, "disks.kind", "sda"),
                    (Kind::Unreadable, "disks.serial", "sda")
                ]
            );
        }
        // Kernel names that changed places are two changes of name, not two new disks.
        let a = json!({"disks": [{"name": "sda", "serial": "1"}, {"name": "sdb", "serial": "2"}]});
        let b = json!({"disks": [{"name": "sda", "serial": "2"}, {"name": "sdb", "serial": "1"}]});
        assert_eq!(
            told(&diff("disks", &a, &[], &b, &[])),
            [
                (Kind::Changed, "disks.name", "sda"),
                (Kind::Changed, "disks.name", "sdb")
            ]
        );
        // Programs: a new version is one change; two versions side by side stay apart.
        let program = |name: &str, version: &str| json!({"source": "dpkg", "name": name, "architecture": "amd64", "version": version});
        let old = json!({"items": [program("kernel", "1"), program("kernel", "2"), program("vim", "9.0")]});
        let new = json!({"items": [program("kernel", "2"), program("kernel", "3"), program("vim", "9.0"), program("zsh", "5")]});
        let found = diff("software", &old, &[], &new, &[]);
        assert_eq!(
            told(&found),
            [
                (Kind::Added, "items", "zsh"),
                (Kind::Changed, "items.version", "kernel")
            ]
        );
        assert_eq!(
            (found[1].before.clone(), found[1].after.clone()),
            (Some(json!("1")), Some(json!("3")))
        );
    }

    #[test]
    fn what_an_older_agent_did_not_look_for_is_no_change_of_the_machine() {
        let module = json!({"slot": "A1", "serial": "111"});
        let old = json!({"visible_bytes": 8, "modules": [module]});
        let module = json!({"slot": "A1", "serial": "111", "rank": 2});
        let new =
            json!({"visible_bytes": 8, "modules": [module], "ecc": "none", "array": {"slots": 2}});
        let found = diff("memory", &old, &[], &new, &[]);
        assert_eq!(
            told(&found),
            [
                (Kind::ReadableAgain, "array", ""),
                (Kind::ReadableAgain, "ecc", ""),
                (Kind::ReadableAgain, "modules.rank", "A1"),
            ]
        );
        // And back, when an older agent is installed again.
        let found = diff("memory", &new, &[], &old, &[]);
        assert!(
            found.iter().all(|c| c.kind == Kind::Unreadable),
            "{found:?}"
        );
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            (0u8..4).prop_map(|n| json!(n)),
            "[abc]{0,2}".prop_map(|s| json!(s)),
            any::<bool>().prop_map(|b| json!(b)),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::btree_map("[a-c]|name|slot|serial", inner.clone(), 0..4)
                    .prop_map(|map| json!(map)),
                prop::collection::vec(inner, 0..4).prop_map(|list| json!(list)),
            ]
        })
    }

    /// Lists of items in one order, since order says nothing there.
    fn normal(value: &Value) -> Value {
        match value {
            Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), normal(v))).collect(),
            Value::Array(items) => {
                let mut items: Vec<Value> = items.iter().map(normal).collect();
                if items.iter().all(Value::is_object) {
                    items.sort_by_key(Value::to_string);
                }
                Value::Array(items)
            }
            other => other.clone(),
        }
    }

    fn mirrored(kind: Kind) -> Kind {
        match kind {
            Kind::Added => Kind::Removed,
            Kind::Removed => Kind::Added,
            Kind::Changed => Kind::Changed,
            Kind::Unreadable => Kind::ReadableAgain,
            Kind::ReadableAgain => Kind::Unreadable,
        }
    }

    proptest! {
        #[test]
        fn a_section_differs_from_another_exactly_when_it_says_something_else(a in tree(), b in tree()) {
            prop_assert_eq!(diff("x", &a, &[], &a, &[]), vec![]);
            let (a, b) = (normal(&a), normal(&b));
            prop_assert_eq!(diff("x", &a, &[], &b, &[]).is_empty(), a == b);
        }

        #[test]
        fn back_is_the_mirror_of_there(a in tree(), b in tree()) {
            let count = |changes: Vec<Change>, mirror: bool| {
                let mut counts: BTreeMap<(String, Kind), usize> = BTreeMap::new();
                for change in changes {
                    let kind = if mirror { mirrored(change.kind) } else { change.kind };
                    *counts.entry((change.path, kind)).or_default() += 1;
                }
                counts
            };
            let there = diff("x", &a, &["x.a"], &b, &["x.b"]);
            let back = diff("x", &b, &["x.b"], &a, &["x.a"]);
            prop_assert_eq!(count(there, false), count(back, true));
        }
    }
}
