//! Texts that stand in firmware where an identity should be. Agents leave them out where they know them; older agents and
//! other makers' do not.

use crate::search::fold;

/// Serial numbers that makers never filled in, folded.
const SERIALS: &[&str] = &[
    "to be filled by o.e.m.",
    "to be filled by o.e.m",
    "to be filled by oem",
    "tobefilledbyo.e.m.",
    "default string",
    "default",
    "system serial number",
    "base board serial number",
    "board serial number",
    "chassis serial number",
    "serial number",
    "sys-1234567890",
    "mb-1234567890",
    "chassis-1234567890",
    "none",
    "null",
    "n/a",
    "na",
    "not specified",
    "not applicable",
    "not available",
    "not present",
    "no asset information",
    "empty",
    "unknown",
    "invalid",
    "oem",
    "o.e.m.",
    "xxxxxxxxxx",
    "123456789",
    "1234567890",
    "0123456789",
    "12345678",
    "123456",
    "abcdefghij",
];

/// UUIDs that boards carry by the thousand.
const UUIDS: &[&str] = &[
    "03000200-0400-0500-0006-000700080009",
    "00020003-0004-0005-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "fefefefe-fefe-fefe-fefe-fefefefefefe",
];

/// A serial number as it is compared, or nothing for a placeholder: folded, at least four characters, not all alike.
pub fn serial(text: &str) -> Option<String> {
    let text = fold(text);
    let plain: String = text.chars().filter(|ch| ch.is_alphanumeric()).collect();
    let mut chars = plain.chars();
    let first = chars.next()?;
    if plain.chars().count() < 4 || chars.all(|ch| ch == first) || SERIALS.contains(&text.as_str())
    {
        return None;
    }
    if text.contains("to be filled") || text.contains("default string") {
        return None;
    }
    Some(text)
}

/// A UUID as it is compared, or nothing for a placeholder or no UUID at all.
pub fn uuid(text: &str) -> Option<String> {
    let id = uuid::Uuid::try_parse(text.trim()).ok()?;
    let canonical = id.hyphenated().to_string();
    let bytes = id.as_bytes();
    // All alike, or all but the last few: zeros with a counter.
    let first = bytes.first()?;
    let alike = bytes.iter().filter(|byte| *byte == first).count();
    (alike < 13 && !UUIDS.contains(&canonical.as_str())).then_some(canonical)
}

/// The same UUID with its first three fields in the other byte order: SMBIOS before 2.6 left the order open, and a
/// firmware update may turn it round.
pub fn swapped(canonical: &str) -> Option<String> {
    let id = uuid::Uuid::try_parse(canonical).ok()?;
    Some(
        uuid::Uuid::from_bytes(id.to_bytes_le())
            .hyphenated()
            .to_string(),
    )
}
