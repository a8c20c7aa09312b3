//! Two inventories of one machine in the protocol's form, held against each other item by item and field by field. Pure:
//! it starts no program and reads no file. Whoever explains a difference says for which values, and an explanation that
//! would cover anything is refused.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Fields of an item as text, in the form in which both are compared.
pub type Fields = BTreeMap<String, String>;

/// Items by section and by what tells them apart in it.
pub type Items = BTreeMap<(String, String), Fields>;

/// What tells the items of a section apart. Items of other sections are told apart by their place.
const KEYS: &[(&str, &[&str])] = &[
    ("antivirus", &["name"]),
    ("batteries", &["name", "serial"]),
    ("controllers", &["pcislot"]),
    ("cpus", &[]),
    ("drives", &["type"]),
    ("envs", &["key"]),
    ("firewalls", &[]),
    ("inputs", &["caption"]),
    ("local_groups", &["name"]),
    ("local_users", &["login"]),
    ("logical_volumes", &["lv_uuid"]),
    ("memories", &["caption"]),
    ("modems", &["name"]),
    ("monitors", &["base64"]),
    ("networks", &["description", "ipaddress", "ipaddress6"]),
    ("physical_volumes", &["pv_uuid"]),
    // In the order of the firmware's table: the names are of the board for some and of the panel for others.
    ("ports", &[]),
    ("printers", &["name"]),
    ("processes", &["pid", "cmd"]),
    ("remote_mgmt", &["type", "id"]),
    ("slots", &["name"]),
    ("softwares", &["name", "arch", "version"]),
    // One names the card, the other the device on the bus.
    ("sounds", &[]),
    ("storages", &["name"]),
    ("usbdevices", &["vendorid", "productid", "serial"]),
    ("users", &["login"]),
    ("videos", &["pcislot"]),
    ("virtualmachines", &["name"]),
    ("volume_groups", &["vg_uuid"]),
];

/// Fields whose values are words: upper case, blanks and signs between them say nothing.
const WORDS: &[(&str, &str)] = &[
    ("batteries", "chemistry"),
    ("hardware", "chassis_type"),
    ("memories", "formfactor"),
    ("memories", "memorycorrection"),
    ("memories", "type"),
    ("networks", "status"),
    ("ports", "caption"),
    ("ports", "description"),
    ("ports", "type"),
    ("slots", "description"),
    ("storages", "interface"),
];

/// The same fact under two names: section, the peer's name, ours.
pub type Alias = (&'static str, &'static str, &'static str);

/// The items of an inventory's content. Our own keys (`chasqui_`) are left out: they are read by nobody else.
pub fn items(content: &Map<String, Value>, aliases: &[Alias]) -> Items {
    let mut items = Items::new();
    for (section, value) in content {
        let list = match value {
            _ if section.starts_with("chasqui_") => continue,
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        let single = !value.is_array() && !KEYS.iter().any(|(name, _)| name == section);
        for (place, value) in list.iter().enumerate() {
            let mut fields = Fields::new();
            flatten(section, aliases, "", value, &mut fields);
            if fields.is_empty() {
                continue;
            }
            let key = if single {
                String::new()
            } else {
                key(section, place, &fields)
            };
            let mut name = (section.clone(), key.clone());
            let mut again = 2;
            while items.contains_key(&name) {
                name.1 = format!("{key} #{again}");
                again += 1;
            }
            items.insert(name, fields);
        }
    }
    items
}

fn key(section: &str, place: usize, fields: &Fields) -> String {
    let names = KEYS.iter().find(|(name, _)| *name == section);
    let parts: Vec<&str> = names
        .into_iter()
        .flat_map(|(_, names)| *names)
        .filter_map(|name| fields.get(*name))
        .map(String::as_str)
        .collect();
    if parts.is_empty() {
        format!("#{place}")
    } else {
        parts.join(" ")
    }
}

fn flatten(section: &str, aliases: &[Alias], name: &str, value: &Value, fields: &mut Fields) {
    let text = match value {
        Value::Object(object) => {
            for (inner, value) in object {
                let name = if name.is_empty() {
                    inner.clone()
                } else {
                    format!("{name}.{inner}")
                };
                flatten(section, aliases, &name, value, fields);
            }
            return;
        }
        Value::Array(list) => {
            let mut texts: Vec<String> = list.iter().map(plain).collect();
            texts.sort();
            texts.join(",")
        }
        one => plain(one),
    };
    let name = if name.is_empty() { "value" } else { name };
    let name = aliases
        .iter()
        .find(|(of, theirs, _)| *of == section && *theirs == name)
        .map_or(name, |(_, _, ours)| *ours);
    let text = canonical(section, name, text.trim());
    if !text.is_empty() {
        fields.insert(name.to_owned(), text);
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => u8::from(*flag).to_string(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The form in which a value is compared.
fn canonical(section: &str, field: &str, text: &str) -> String {
    if WORDS.contains(&(section, field)) {
        return text
            .chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect();
    }
    match field {
        // The domain of the first bus is left out by some.
        "pcislot" if text.matches(':').count() == 1 => format!("0000:{text}"),
        "mac" | "uuid" | "vendorid" | "productid" | "pciclass" | "pcisubsystemid" => {
            text.to_lowercase()
        }
        "base64" => text.split_whitespace().collect(),
        // A firmware's month comes first.
        "bdate" => match text.split('/').collect::<Vec<_>>().as_slice() {
            [month, day, year] => format!("{year}-{month}-{day}"),
            _ => text.to_owned(),
        },
        // The bank before the place says nothing of which place it is.
        "caption" if section == "memories" => {
            text.rsplit(" / ").next().unwrap_or_default().to_owned()
        }
        _ => text.to_owned(),
    }
}

/// Something that one of two inventories says and the other does not, or says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Section of the protocol.
    pub section: String,
    /// What tells the item apart in it.
    pub item: String,
    /// The field; nothing when the whole item is missing.
    pub field: Option<String>,
    /// The item as the one has it.
    pub theirs: Fields,
    /// The item as the other has it.
    pub ours: Option<Fields>,
}

impl Difference {
    /// The value that the one has; empty for a whole item.
    pub fn value(&self) -> &str {
        let field = self.field.as_deref().unwrap_or_default();
        self.theirs.get(field).map_or("", String::as_str)
    }

    /// The other's value of the same field.
    pub fn our_value(&self) -> Option<&str> {
        let field = self.field.as_deref()?;
        self.ours.as_ref()?.get(field).map(String::as_str)
    }

    /// Another field of the item as the one has it.
    pub fn their(&self, field: &str) -> &str {
        self.theirs.get(field).map_or("", String::as_str)
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cut = |text: &str| text.chars().take(120).collect::<String>();
        write!(f, "{} [{}]", self.section, cut(&self.item))?;
        match (&self.field, self.our_value()) {
            (Some(field), Some(ours)) => {
                write!(f, " {field}: {:?}, not {:?}", cut(self.value()), cut(ours))
            }
            (Some(field), None) => write!(f, " {field}: {:?}", cut(self.value())),
            (None, _) => Ok(()),
        }
    }
}

/// What `theirs` says and `ours` does not, or says otherwise.
pub fn differences(theirs: &Items, ours: &Items) -> Vec<Difference> {
    let mut found = Vec::new();
    for ((section, item), fields) in theirs {
        let other = ours.get(&(section.clone(), item.clone()));
        let difference = |field: Option<&String>| Difference {
            section: section.clone(),
            item: item.clone(),
            field: field.cloned(),
            theirs: fields.clone(),
            ours: other.cloned(),
        };
        match other {
            None => found.push(difference(None)),
            Some(other) => found.extend(
                fields
                    .iter()
                    .filter(|(field, value)| other.get(*field) != Some(*value))
                    .map(|(field, _)| difference(Some(field))),
            ),
        }
    }
    found
}

/// What a rule explains.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// All of a section of which the other has nothing.
    Section,
    /// A field that the other has in no item of the section.
    Field(&'static str),
    /// Items that are missing, by a test of the item.
    Item(fn(&Difference) -> bool),
    /// A value that is missing or another, by a test of both.
    Value(&'static str, fn(&Difference) -> bool),
    /// A value that both have, of which nobody expects that it is the same: it moves, or each means another thing.
    Both(&'static str),
}

/// Where a rule must find something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// On every machine of this kind: a rule that finds nothing is refused.
    Every,
    /// On these alone.
    Only(&'static str),
}

/// Why a difference is right as it is.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Section of the protocol.
    pub section: &'static str,
    /// Its part.
    pub what: What,
    /// Where.
    pub on: On,
    /// The reason.
    pub why: &'static str,
}

impl Rule {
    fn explains(&self, difference: &Difference) -> bool {
        if difference.section != self.section {
            return false;
        }
        let field = difference.field.as_deref();
        match self.what {
            What::Section => true,
            What::Field(name) => field == Some(name) && difference.our_value().is_none(),
            What::Item(test) => field.is_none() && test(difference),
            What::Value(name, test) => field == Some(name) && test(difference),
            What::Both(name) => field == Some(name) && difference.our_value().is_some(),
        }
    }

    /// Why it covers more than it may.
    fn too_wide(&self, theirs: &Items, ours: &Items) -> Option<String> {
        let all = |items: &Items| {
            let here = items
                .iter()
                .filter(|((section, _), _)| section == self.section);
            here.map(|(_, fields)| fields.clone()).collect::<Vec<_>>()
        };
        // An item whose fields all hold something that nobody ever wrote, each another.
        let nonsense = |field: Option<&str>, other: Option<&str>| {
            let names = all(theirs).into_iter().flat_map(Fields::into_keys);
            let mut fields: Fields = names
                .chain(field.map(str::to_owned))
                .map(|name| (name.clone(), format!("\u{2603} {name}")))
                .collect();
            let theirs = fields.clone();
            if let Some(field) = field {
                fields.remove(field);
                fields.extend(other.map(|other| (field.to_owned(), other.to_owned())));
            }
            Difference {
                section: self.section.to_owned(),
                item: "\u{2603}".to_owned(),
                field: field.map(str::to_owned),
                theirs,
                ours: field.map(|_| fields),
            }
        };
        let wide = match self.what {
            What::Section => !all(ours).is_empty(),
            What::Field(name) => all(ours).iter().any(|item| item.contains_key(name)),
            What::Item(test) => test(&nonsense(None, None)),
            What::Value(name, test) => {
                test(&nonsense(Some(name), None)) || test(&nonsense(Some(name), Some("other")))
            }
            What::Both(_) => false,
        };
        wide.then(|| {
            format!(
                "{}, {:?} ({}) would explain anything there",
                self.section, self.what, self.why
            )
        })
    }
}

/// Differences with what is known of them.
#[derive(Debug, Default)]
pub struct Judged<'a> {
    /// With their rules.
    pub explained: Vec<(Difference, &'a Rule)>,
    /// With none.
    pub unexplained: Vec<Difference>,
    /// Rules that must be changed: too wide, or for every machine and of no use on this one.
    pub refused: Vec<String>,
}

impl Judged<'_> {
    /// Everything by its reason, for people.
    pub fn report(&self, title: &str) -> String {
        let mut by: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
        for (difference, rule) in &self.explained {
            let list = by.entry((rule.section, rule.why)).or_default();
            list.push(difference.to_string());
        }
        let mut text = format!(
            "{title}: {} explained, {} not\n",
            self.explained.len(),
            self.unexplained.len()
        );
        for ((_, why), list) in by {
            text.push_str(&format!("  because {why} ({}):\n", list.len()));
            list.iter()
                .for_each(|line| text.push_str(&format!("    {line}\n")));
        }
        for difference in &self.unexplained {
            text.push_str(&format!("  NO REASON: {difference}\n"));
        }
        for refused in &self.refused {
            text.push_str(&format!("  RULE REFUSED: {refused}\n"));
        }
        text
    }

    /// Whether everything has its reason.
    pub fn holds(&self) -> bool {
        self.unexplained.is_empty() && self.refused.is_empty()
    }
}

/// Holds `theirs` against `ours` by the rules. `whole`: all of a machine is compared, so that a rule for every machine must
/// find something.
pub fn judge<'a>(theirs: &Items, ours: &Items, rules: &'a [Rule], whole: bool) -> Judged<'a> {
    judge_all(differences(theirs, ours), theirs, ours, rules, whole)
}

/// The same of what the other does not have at all: other values are told when it is looked at from there.
pub fn judge_missing<'a>(
    theirs: &Items,
    ours: &Items,
    rules: &'a [Rule],
    whole: bool,
) -> Judged<'a> {
    let mut missing = differences(theirs, ours);
    missing.retain(|difference| difference.our_value().is_none());
    judge_all(missing, theirs, ours, rules, whole)
}

fn judge_all<'a>(
    differences: Vec<Difference>,
    theirs: &Items,
    ours: &Items,
    rules: &'a [Rule],
    whole: bool,
) -> Judged<'a> {
    let mut judged = Judged::default();
    for difference in differences {
        match rules.iter().find(|rule| rule.explains(&difference)) {
            Some(rule) => judged.explained.push((difference, rule)),
            None => judged.unexplained.push(difference),
        }
    }
    judged.refused = rules
        .iter()
        .filter_map(|rule| rule.too_wide(theirs, ours))
        .collect();
    for rule in rules.iter().filter(|rule| whole && rule.on == On::Every) {
        let used = judged
            .explained
            .iter()
            .any(|(_, by)| std::ptr::eq(*by, rule));
        if !used {
            judged.refused.push(format!(
                "{}, {:?} ({}) explains nothing here",
                rule.section, rule.what, rule.why
            ));
        }
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn inventory(value: Value) -> Items {
        let content = value.as_object().cloned().unwrap_or_default();
        items(&content, &[("memories", "description", "formfactor")])
    }

    fn shown(found: &[Difference]) -> Vec<String> {
        found.iter().map(ToString::to_string).collect()
    }

    fn one() -> Value {
        json!({
            "hardware": {"name": "pc", "memory": 7800},
            "softwares": [
                {"name": "bash", "version": "5.2", "arch": "amd64"},
                {"name": "zlib1g", "version": "1.3", "arch": "amd64"},
            ],
            "controllers": [{"pcislot": "0000:00:02.0", "vendorid": "8086"}],
        })
    }

    const fn rule(section: &'static str, what: What) -> Rule {
        Rule {
            section,
            what,
            on: On::Only("these tests"),
            why: "so it is",
        }
    }

    #[test]
    fn the_same_twice_differs_in_nothing_and_written_forms_do_not_count() {
        assert!(differences(&inventory(one()), &inventory(one())).is_empty());
        let mut theirs = one();
        theirs["controllers"] = json!({"pcislot": "00:02.0", "vendorid": "8086"});
        theirs["hardware"]["memory"] = "7800".into();
        assert!(differences(&inventory(theirs), &inventory(one())).is_empty());
        let theirs = json!({"memories": [{"caption": "A", "description": "Row Of Chips"}]});
        let ours = json!({"memories": [{"caption": "A", "formfactor": "row_of_chips"}]});
        assert!(differences(&inventory(theirs), &inventory(ours)).is_empty());
    }

    #[test]
    fn a_missing_item_a_missing_field_and_another_value_are_found() {
        let mut ours = one();
        ours["softwares"].as_array_mut().unwrap().remove(1);
        ours["hardware"] = json!({"name": "pc-2"});
        let judged = judge(&inventory(one()), &inventory(ours), &[], true);
        assert_eq!(
            shown(&judged.unexplained),
            [
                "hardware [] memory: \"7800\"",
                "hardware [] name: \"pc\", not \"pc-2\"",
                "softwares [zlib1g amd64 1.3]",
            ]
        );
        assert!(!judged.holds());
    }

    #[test]
    fn another_version_of_a_program_is_another_program() {
        let mut ours = one();
        ours["softwares"][0]["version"] = "5.1".into();
        let found = differences(&inventory(one()), &inventory(ours));
        assert_eq!(shown(&found), ["softwares [bash amd64 5.2]"]);
    }

    #[test]
    fn of_two_alike_one_can_be_missing() {
        let twice = json!({"inputs": [{"caption": "Mouse"}, {"caption": "Mouse"}]});
        let once = json!({"inputs": [{"caption": "Mouse"}]});
        let found = differences(&inventory(twice), &inventory(once));
        assert_eq!(shown(&found), ["inputs [Mouse #2]"]);
    }

    #[test]
    fn a_rule_explains_what_it_names_and_nothing_else() {
        let mut ours = one();
        ours["softwares"] = json!([]);
        ours["hardware"]["memory"] = 7801.into();
        let rules = [
            rule("softwares", What::Item(|it| it.their("name") == "bash")),
            rule("hardware", What::Both("memory")),
        ];
        let judged = judge(&inventory(one()), &inventory(ours), &rules, true);
        assert_eq!(judged.explained.len(), 2);
        assert_eq!(shown(&judged.unexplained), ["softwares [zlib1g amd64 1.3]"]);
        assert!(judged.refused.is_empty());
        // What moves is there twice: a value that is missing is no movement.
        let mut ours = one();
        ours["hardware"] = json!({"name": "pc"});
        let judged = judge(&inventory(one()), &inventory(ours), &rules, true);
        assert_eq!(judged.unexplained.len(), 1);
    }

    #[test]
    fn a_rule_that_would_explain_anything_is_refused() {
        let (theirs, ours) = (inventory(one()), inventory(one()));
        for wide in [
            What::Section,
            What::Field("version"),
            What::Item(|_| true),
            What::Item(|it| !it.their("name").is_empty()),
            What::Value("version", |_| true),
            What::Value("version", |it| it.our_value().is_none()),
            What::Value("version", |it| it.our_value() != Some(it.value())),
        ] {
            let rules = [rule("softwares", wide)];
            let judged = judge(&theirs, &ours, &rules, true);
            assert_eq!(judged.refused.len(), 1, "{wide:?}");
        }
        for narrow in [
            What::Field("guid"),
            What::Item(|it| it.their("name") == "bash"),
            What::Item(|it| it.their("version").is_empty()),
            What::Value("version", |it| it.value() == "0"),
        ] {
            let rules = [rule("softwares", narrow)];
            assert!(judge(&theirs, &ours, &rules, true).holds(), "{narrow:?}");
        }
        assert!(judge(&theirs, &ours, &[rule("envs", What::Section)], true).holds());
    }

    #[test]
    fn a_rule_for_every_machine_must_find_something() {
        let rules = [Rule {
            on: On::Every,
            ..rule("envs", What::Section)
        }];
        let (theirs, ours) = (inventory(one()), inventory(one()));
        assert!(!judge(&theirs, &ours, &rules, true).holds());
        assert!(judge(&theirs, &ours, &rules, false).holds());
        let mut theirs = one();
        theirs["envs"] = json!([{"key": "PWD", "val": "/"}]);
        assert!(judge(&inventory(theirs), &ours, &rules, true).holds());
    }
}
