//! The running machine, whatever it is: what must hold on any.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod inventory_support;

use chasqui_agent::inventory::{self, Inventory, Source};
use chasqui_base::text::Lang;
use inventory_support as support;

/// Collects on a thread that has no more rights than any account.
fn collect_as_nobody(now_ms: i64) -> Inventory {
    std::thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            let nobody = rustix::process::Uid::from_raw(65_534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        inventory::collect(&Source::live(), now_ms)
    })
    .join()
    .unwrap()
}

#[test]
fn an_unchanged_machine_has_unchanged_digests() {
    for collect in [collect_as_nobody, |now_ms| {
        inventory::collect(&Source::live(), now_ms)
    }] {
        let (first, later) = (collect(1), collect(3_600_001));
        assert_eq!(first.sections.len(), inventory::linux::COLLECTORS.len());
        for (a, b) in first.sections.iter().zip(&later.sections) {
            assert_eq!(a.facts, b.facts, "{:?} changed", a.kind());
            assert_eq!(a.digest, b.digest);
            assert_eq!(b.observed_at_ms, 3_600_001);
        }
    }
}

#[test]
fn the_kernels_own_words_come_back() {
    let inventory = inventory::collect(&Source::live(), 1);
    let name = rustix::system::uname();
    let system = support::operating_system(&inventory);
    assert_eq!(system.kernel.as_deref(), name.release().to_str().ok());
    assert_eq!(system.architecture.as_deref(), name.machine().to_str().ok());
    let memory = rustix::system::sysinfo();
    let total = memory.totalram as u64 * u64::from(memory.mem_unit);
    let visible = support::memory(&inventory).visible_bytes.unwrap();
    assert_eq!(visible, total >> 20 << 20);
    assert_ne!(inventory.volatile.boot_id, None);
}

#[test]
fn the_machine_id_itself_is_nowhere() {
    let Ok(id) = std::fs::read_to_string("/etc/machine-id") else {
        return;
    };
    let id = id.trim();
    let inventory = inventory::collect(&Source::live(), 1);
    let json = inventory::render_json(&inventory).to_string();
    assert!(id.len() != 32 || !json.contains(id));
    let text = inventory::render_text(&inventory, Lang::En);
    assert!(id.len() != 32 || !text.contains(id));
}

#[test]
fn nobody_reads_the_same_programs() {
    let all = inventory::collect(&Source::live(), 1);
    let own = collect_as_nobody(1);
    assert_eq!(support::software(&all), support::software(&own));
    assert_eq!(support::cpu(&all), support::cpu(&own));
}

/// The two ways to IPv4 addresses must agree where both can be asked. Point-to-point addresses have no route of their own
/// and are left out of the comparison.
#[test]
fn the_route_tables_tell_the_addresses_the_system_tells() {
    let told = inventory::linux::network::ipv4_of_tables(&Source::live());
    let Ok(told) = told else { return };
    let facts = support::network(&inventory::collect(&Source::live(), 1));
    for interface in facts.interfaces {
        let from_tables: Vec<String> = told
            .get(&interface.name)
            .into_iter()
            .flatten()
            .map(|(address, prefix)| format!("{address}/{prefix}"))
            .collect();
        for address in interface.addresses {
            if !address.contains(':') && !address.ends_with("/32") {
                assert!(
                    from_tables.contains(&address),
                    "{} {address}",
                    interface.name
                );
            }
        }
    }
}

#[test]
#[ignore = "prints this machine's inventory and the processor time it took, for people"]
fn show() {
    // Processor time of this thread: what the machine pays, whatever else it does meanwhile.
    let spent = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
    };
    let inventory = inventory::collect(&Source::live(), 1);
    println!("{}", inventory::render_text(&inventory, Lang::Es));
    println!("encoded: {} bytes", inventory::encode(&inventory).len());
    for collector in inventory::linux::COLLECTORS {
        let start = spent();
        for _ in 0..50 {
            collector.collect(&Source::live());
        }
        println!("{:?}: {} us", collector.kind(), (spent() - start) / 50);
    }
    let start = spent();
    for _ in 0..50 {
        inventory::collect(&Source::live(), 1);
    }
    println!("all: {} us", (spent() - start) / 50);
}
