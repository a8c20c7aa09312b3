//! The NVMe SMART / Health Information log (page 02h, NVM Express base specification).

use super::super::super::Unreadable;

/// Bytes of the page.
pub const PAGE: usize = 512;

/// What the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Bits: spare, temperature, reliability, read only, backup, persistent memory.
    pub critical_warning: u8,
    /// `None` where the disk gives 0 kelvin.
    pub temperature_celsius: Option<i32>,
    /// Percent.
    pub available_spare: u8,
    /// Percent.
    pub available_spare_threshold: u8,
    /// May pass 100; stays at 255.
    pub percentage_used: u8,
    /// Bytes, a unit being 512,000.
    pub bytes_read: u64,
    /// Bytes.
    pub bytes_written: u64,
    /// Starts.
    pub power_cycles: u64,
    /// Hours.
    pub power_on_hours: u64,
    /// Stops without notice.
    pub unsafe_shutdowns: u64,
    /// Errors that could not be corrected.
    pub media_errors: u64,
    /// Rows the error log ever had.
    pub error_log_entries: u64,
}

impl Health {
    /// Reads the 512 bytes of the log.
    pub fn parse(page: &[u8]) -> Result<Self, Unreadable> {
        let page = page.get(..PAGE).ok_or_else(|| {
            Unreadable::malformed(format!("NVMe health log: {} bytes of 512", page.len()))
        })?;
        let byte = |at: usize| page.get(at).copied().unwrap_or(0);
        // The counters have 128 bits; more than 64 of them is no count of anything.
        let count = |at: usize| {
            page.get(at..at + 16)
                .and_then(|bytes| bytes.try_into().ok())
                .map(u128::from_le_bytes)
                .and_then(|wide| u64::try_from(wide).ok())
                .ok_or_else(|| Unreadable::malformed(format!("NVMe health log: count at {at}")))
        };
        if page.iter().all(|byte| *byte == 0) {
            return Err(Unreadable::malformed("NVMe health log: an empty page"));
        }
        if byte(3) > 100 || byte(4) > 100 {
            return Err(Unreadable::malformed(format!(
                "NVMe health log: {} % spare, threshold {} %",
                byte(3),
                byte(4)
            )));
        }
        let kelvin = u16::from_le_bytes([byte(1), byte(2)]);
        let units = |at| count(at).map(|units| units.saturating_mul(512_000));
        Ok(Self {
            critical_warning: byte(0),
            temperature_celsius: (kelvin != 0).then(|| i32::from(kelvin) - 273),
            available_spare: byte(3),
            available_spare_threshold: byte(4),
            percentage_used: byte(5),
            bytes_read: units(32)?,
            bytes_written: units(48)?,
            power_cycles: count(112)?,
            power_on_hours: count(128)?,
            unsafe_shutdowns: count(144)?,
            media_errors: count(160)?,
            error_log_entries: count(176)?,
        })
    }
}
