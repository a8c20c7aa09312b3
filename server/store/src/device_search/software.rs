//! Devices that have a program. A device shows one list of programs; a list may be another one with some programs added
//! and some left out.

use chasqui_domain::device_search::{Set, program};

use super::{BATCH, add, filled};
use crate::{StoreError, Tx, params, sql, text};

/// Most programs (each version is one) that a name may mean.
const MOST: usize = 20_000;

sql!(
    PROGRAMS,
    "SELECT id, name_key, version, source FROM programs
     WHERE id IN (SELECT id FROM programs WHERE name_key LIKE $1 ESCAPE '!')"
);
// CROSS JOIN keeps SQLite in the order written, from the program on: without statistics it begins with the lists.
sql!(
    IN_LIST,
    "SELECT string_agg(CAST(s.ordinal AS TEXT), ',')
     FROM software_list_programs p CROSS JOIN software_lists l CROSS JOIN device_search s
     WHERE l.id = p.list_id AND s.software_digest = l.digest AND p.added = 1 AND p.program_id IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
        $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32,
        $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48,
        $49, $50, $51, $52, $53, $54, $55, $56, $57, $58, $59, $60, $61, $62, $63, $64)"
);
sql!(
    IN_BASE,
    "SELECT string_agg(CAST(s.ordinal AS TEXT), ',')
     FROM software_list_programs p CROSS JOIN software_lists l CROSS JOIN device_search s
     WHERE l.base_id = p.list_id AND s.software_digest = l.digest AND p.added = 1 AND p.program_id IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
        $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32,
        $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48,
        $49, $50, $51, $52, $53, $54, $55, $56, $57, $58, $59, $60, $61, $62, $63, $64)
        AND NOT EXISTS (SELECT 1 FROM software_list_programs q
            WHERE q.program_id = p.program_id AND q.list_id = l.id AND q.added = 0)"
);

/// Devices that have a wanted program.
pub(super) fn devices(tx: &mut Tx, wanted: &program::Wanted) -> Result<Set, StoreError> {
    let mut programs = Vec::new();
    tx.each(&PROGRAMS, params![text::contains(&wanted.name)], |row| {
        let (name, version, source): (String, String, String) =
            (row.get(1)?, row.get(2)?, row.get(3)?);
        if program::fits(wanted, &name, &version, &source) {
            programs.push(row.get::<i64>(0)?);
        }
        if programs.len() > MOST {
            return Err(StoreError::TooMany {
                statement: PROGRAMS.full_name(),
                bound: MOST,
            });
        }
        Ok(())
    })?;
    let mut set = Set::default();
    for batch in programs.chunks(BATCH) {
        for statement in [&IN_LIST, &IN_BASE] {
            tx.each(statement, &filled(batch), |row| {
                if let Some(numbers) = row.get::<Option<String>>(0)? {
                    add(&mut set, &numbers)?;
                }
                Ok(())
            })?;
        }
    }
    Ok(set)
}
