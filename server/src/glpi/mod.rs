//! Messages of the GLPI native inventory protocol, JSON and the older XML, turned into v1 sections. Pure: bytes in,
//! values out. It knows no HTTP, no store and no clock; whoever sends is a program that may lie, so everything is bounded.

mod json;
mod map;
mod values;
mod xml;

use serde_json::{Map, Value};

pub use map::{Before, Report, report, still};
pub use values::{client, origin};

/// Most bytes of a message after inflating.
pub const MAX_MESSAGE_BYTES: usize = 48 << 20;
/// Deepest nesting of a message, JSON or XML.
pub const MAX_DEPTH: usize = 32;
/// Most values of a message.
pub const MAX_VALUES: usize = 1_500_000;

/// Why a message is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// It asks for what this coordinator does not do.
    #[error("{0}")]
    Unsupported(String),
}

/// How a message is written; the answer is written alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// GLPI Agent.
    Json,
    /// FusionInventory 2.x.
    Xml,
}

/// What a message asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// What shall I do? With the tasks the agent has on.
    Contact {
        /// Names of tasks.
        tasks: Vec<String>,
    },
    /// The same in XML.
    Prolog,
    /// Facts of a machine.
    Inventory(Inventory),
}

/// An inventory before it is mapped.
#[derive(Clone, Debug, PartialEq)]
pub struct Inventory {
    /// Sections by their names in the protocol.
    pub content: Map<String, Value>,
    /// What is absent is unchanged.
    pub partial: bool,
    /// Tag that its administrator gave the agent.
    pub tag: String,
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// How it was written.
    pub form: Form,
    /// The agent's own name of its machine.
    pub device_id: String,
    /// What it asks.
    pub action: Action,
}

/// The form that the first byte tells.
pub fn form_of(bytes: &[u8]) -> Form {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Form::Json,
        _ => Form::Xml,
    }
}

/// Reads a message.
///
/// # Errors
/// [`Refusal`], saying what is wrong.
pub fn decode(bytes: &[u8]) -> Result<Message, Refusal> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(Refusal::Malformed("the message is too long".to_owned()));
    }
    let form = form_of(bytes);
    let mut root = match form {
        Form::Json => json::read(bytes)?,
        Form::Xml => xml::read(bytes)?,
    };
    let text = |root: &Map<String, Value>, key: &str| {
        values::Item(root)
            .text(key)
            .filter(|text| text.len() <= 255)
    };
    let device_id = text(&root, "deviceid")
        .ok_or_else(|| Refusal::Malformed("deviceid is missing or too long".to_owned()))?;
    let action = text(&root, "action")
        .or_else(|| text(&root, "query"))
        .unwrap_or_else(|| "inventory".to_owned())
        .to_ascii_lowercase();
    let action = match action.as_str() {
        "contact" => Action::Contact {
            tasks: tasks(&root),
        },
        "prolog" => Action::Prolog,
        "inventory" => {
            let kind = text(&root, "itemtype").unwrap_or_else(|| "Computer".to_owned());
            if kind != "Computer" {
                return Err(Refusal::Unsupported(format!(
                    "item type {kind} is not kept here, computers alone"
                )));
            }
            let partial = values::Item(&root).flag("partial").unwrap_or(false);
            let tag = text(&root, "tag");
            let Some(Value::Object(mut content)) = root.remove("content") else {
                return Err(Refusal::Malformed("content is missing".to_owned()));
            };
            values::normalise(&mut content);
            let tag = tag
                .or_else(|| values::account_tag(&content))
                .unwrap_or_default();
            Action::Inventory(Inventory {
                content,
                partial,
                tag,
            })
        }
        other => {
            return Err(Refusal::Unsupported(format!(
                "action {other} is not supported"
            )));
        }
    };
    Ok(Message {
        form,
        device_id,
        action,
    })
}

fn tasks(root: &Map<String, Value>) -> Vec<String> {
    let key = ["enabled-tasks", "installed-tasks"]
        .into_iter()
        .find(|key| root.contains_key(*key));
    let listed = key.and_then(|key| root.get(key)).and_then(Value::as_array);
    listed
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|name| values::clip(name, 40))
        .take(50)
        .collect()
}
