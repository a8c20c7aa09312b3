//! What changes by itself: the boot, uptime, free memory and free space. Never part of a section.

use chasqui_proto::v1;

use super::super::Source;
use super::{filesystems, memory};

/// Reads what can be read; a missing value stays missing.
pub fn read(source: &Source, now_ms: i64) -> v1::VolatileFacts {
    let free_space = filesystems::local(source)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|mount| {
            let space = source.space(&mount.mount_point).ok()?;
            Some(v1::FreeSpace {
                mount_point: mount.mount_point,
                free_bytes: space.free_bytes,
            })
        })
        .collect();
    v1::VolatileFacts {
        observed_at_ms: now_ms,
        boot_id: source.line("/proc/sys/kernel/random/boot_id").ok(),
        uptime_s: uptime(source),
        memory_available_bytes: source
            .text("/proc/meminfo", 1 << 16)
            .ok()
            .and_then(|text| memory::meminfo_bytes(&text, "MemAvailable").ok()),
        free_space,
        booted_at_ms: booted_at_ms(source),
        ..v1::VolatileFacts::default()
    }
}

/// When the kernel started, to the second; `btime` is corrected with the clock, unlike now minus uptime.
fn booted_at_ms(source: &Source) -> Option<i64> {
    let text = source.text("/proc/stat", 1 << 20).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse::<i64>().ok()?.checked_mul(1_000)
}

fn uptime(source: &Source) -> Option<u64> {
    let line = source.line("/proc/uptime").ok()?;
    line.split(['.', ' ']).next()?.parse().ok()
}
