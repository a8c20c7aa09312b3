//! Typed ids: a ticket's id cannot be passed where a device's is meant. All are UUIDs in text form, lower case with
//! dashes; making fresh ones needs a clock and therefore happens elsewhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Invalid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $field:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        /// Only the one form is read, lower case with dashes, so that equal ids are equal texts everywhere.
        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                match Uuid::try_parse(text) {
                    Ok(id) if id.hyphenated().to_string() == text => Ok(Self(id)),
                    _ => Err(Invalid::new(
                        $field,
                        "no es un identificador: se espera un UUID en minúsculas con guiones",
                        "not an id: expected a UUID in lower case with dashes",
                    )),
                }
            }
        }
    )*};
}

ids! {
    /// A request for help.
    TicketId, "ticket_id";
    /// A workstation or server that has an agent, or that people registered by hand.
    DeviceId, "device_id";
    /// An action ordered for one or more devices.
    OrderId, "order_id";
    /// A person with a log-in.
    PersonId, "person_id";
    /// A support group (first level, second level).
    GroupId, "group_id";
    /// An entry of the service catalogue.
    CategoryId, "category_id";
    /// An entry of a timeline.
    EventId, "event_id";
    /// An enrolment token.
    TokenId, "token_id";
    /// A log-in session.
    SessionId, "session_id";
    /// The client's id of one create.
    RequestId, "request_id";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_form_is_read() {
        let text = "01922e5c-7c3a-7d52-8a56-0242ac120002";
        assert_eq!(text.parse::<TicketId>().unwrap().to_string(), text);
        for bad in [
            "",
            "x",
            "01922E5C-7C3A-7D52-8A56-0242AC120002",
            "01922e5c7c3a7d528a560242ac120002",
            "{01922e5c-7c3a-7d52-8a56-0242ac120002}",
        ] {
            assert_eq!(
                bad.parse::<TicketId>().unwrap_err().field,
                "ticket_id",
                "{bad}"
            );
        }
    }

    #[test]
    fn json_is_the_plain_text() {
        let id: DeviceId = "01922e5c-7c3a-7d52-8a56-0242ac120002".parse().unwrap();
        assert_eq!(
            serde_json::to_string(&id).unwrap(),
            "\"01922e5c-7c3a-7d52-8a56-0242ac120002\""
        );
    }
}
