//! Priority from urgency and impact, by the matrix help desks of public entities know from GLPI.

use serde::{Deserialize, Serialize};

use crate::{Invalid, Text};

/// 1 very low to 5 very high: urgency (the requester's word), impact (the technician's) and priority (the matrix).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Level(u8);

impl Level {
    /// 3, what nobody said anything about.
    pub const MEDIUM: Self = Self(3);

    /// Every level, from very low to very high.
    pub const ALL: [Self; 5] = [Self(1), Self(2), Self(3), Self(4), Self(5)];

    /// 1 to 5.
    pub fn new(level: u8) -> Result<Self, Invalid> {
        Self::try_from(level)
    }

    /// 1 to 5.
    pub fn get(self) -> u8 {
        self.0
    }

    /// The name people read.
    pub fn name(self) -> Text {
        match self.0 {
            1 => Text::new("muy baja", "very low"),
            2 => Text::new("baja", "low"),
            3 => Text::new("media", "medium"),
            4 => Text::new("alta", "high"),
            _ => Text::new("muy alta", "very high"),
        }
    }
}

impl TryFrom<u8> for Level {
    type Error = Invalid;

    fn try_from(level: u8) -> Result<Self, Invalid> {
        if (1..=5).contains(&level) {
            Ok(Self(level))
        } else {
            Err(Invalid::new(
                "level",
                "use 1 (muy baja) a 5 (muy alta)",
                "use 1 (very low) to 5 (very high)",
            ))
        }
    }
}

impl From<Level> for u8 {
    fn from(level: Level) -> Self {
        level.0
    }
}

/// The matrix.
pub fn priority(urgency: Level, impact: Level) -> Level {
    Level(match (urgency.0, impact.0) {
        (1, 1 | 2) | (2, 1) => 1,
        (1, _) | (2, 2 | 3) | (3, 1 | 2) | (4 | 5, 1) => 2,
        (2, _) | (3, 3) | (4 | 5, 2) => 3,
        (3, _) | (4, 3 | 4) | (5, 3) => 4,
        _ => 5,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_is_the_published_one() {
        // Rows: urgency 1 to 5; columns: impact 1 to 5. GLPI's default data.
        let rows = [
            [1, 1, 2, 2, 2],
            [1, 2, 2, 3, 3],
            [2, 2, 3, 4, 4],
            [2, 3, 4, 4, 5],
            [2, 3, 4, 5, 5],
        ];
        for (urgency, row) in Level::ALL.into_iter().zip(rows) {
            for (impact, expected) in Level::ALL.into_iter().zip(row) {
                assert_eq!(
                    priority(urgency, impact).get(),
                    expected,
                    "urgency {urgency:?}, impact {impact:?}"
                );
            }
        }
        assert!(Level::new(0).is_err() && Level::new(6).is_err());
    }
}
