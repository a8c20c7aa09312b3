//! Who people are at the help desk. Which role may call what is decided by the rules that use it; here are only the
//! names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Invalid, Text};

/// One role of a person. A person may hold several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Asks for help and approves the solution of their own tickets.
    Requester,
    /// Attends tickets; a specialist is a technician of a second-level group.
    Technician,
    /// Classifies, assigns, authorises and closes: the service lead.
    Lead,
    /// Coordinates the systems group: plans, evaluates, authorises what leads may not.
    Coordinator,
    /// Runs the system: people, tokens, configuration.
    Administrator,
    /// Reads everything, changes nothing.
    Auditor,
}

impl Role {
    /// Every role, in the order of the enum.
    pub const ALL: [Self; 6] = [
        Self::Requester,
        Self::Technician,
        Self::Lead,
        Self::Coordinator,
        Self::Administrator,
        Self::Auditor,
    ];

    /// The name in the API, in the database and in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requester => "requester",
            Self::Technician => "technician",
            Self::Lead => "lead",
            Self::Coordinator => "coordinator",
            Self::Administrator => "administrator",
            Self::Auditor => "auditor",
        }
    }

    /// The name people read.
    pub fn name(self) -> Text {
        match self {
            Self::Requester => Text::new("solicitante", "requester"),
            Self::Technician => Text::new("técnico", "technician"),
            Self::Lead => Text::new("líder", "lead"),
            Self::Coordinator => Text::new("coordinador", "coordinator"),
            Self::Administrator => Text::new("administrador", "administrator"),
            Self::Auditor => Text::new("auditor", "auditor"),
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| {
                let all = Self::ALL.map(Self::as_str).join(", ");
                Invalid::new(
                    "role",
                    format!("rol desconocido: use uno de {all}"),
                    format!("unknown role: use one of {all}"),
                )
            })
    }
}

/// The roles of one person. In JSON a list of names in the order of [`Role`]; in a column the same joined by commas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Role>", into = "Vec<Role>")]
pub struct Roles(u8);

impl Roles {
    /// Nobody in particular.
    pub const NONE: Self = Self(0);

    /// Whether this role is held.
    pub fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether at least one of these roles is held.
    pub fn has_any(self, roles: &[Role]) -> bool {
        roles.iter().any(|&role| self.has(role))
    }

    /// These roles and one more.
    #[must_use]
    pub fn with(self, role: Role) -> Self {
        Self(self.0 | role.bit())
    }

    /// Whether no role is held.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The held roles in the order of [`Role`].
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |&role| self.has(role))
    }
}

impl From<Vec<Role>> for Roles {
    fn from(roles: Vec<Role>) -> Self {
        roles.into_iter().collect()
    }
}

impl From<Roles> for Vec<Role> {
    fn from(roles: Roles) -> Self {
        roles.iter().collect()
    }
}

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        Self(role.bit())
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        roles.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, role) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            f.write_str(role.as_str())?;
        }
        Ok(())
    }
}

impl FromStr for Roles {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::parse)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_survives_text_and_json() {
        for bits in 0..64u8 {
            let roles: Roles = Role::ALL
                .into_iter()
                .filter(|role| bits & role.bit() != 0)
                .collect();
            assert_eq!(roles.to_string().parse::<Roles>().unwrap(), roles);
            let json = serde_json::to_string(&roles).unwrap();
            assert_eq!(serde_json::from_str::<Roles>(&json).unwrap(), roles);
        }
        assert_eq!(
            "lead, technician".parse::<Roles>().unwrap().to_string(),
            "technician,lead"
        );
        assert!("lead,root".parse::<Roles>().is_err());
    }
}
