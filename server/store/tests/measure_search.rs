//! How long searches take over 100,000 devices that share software as real fleets do: four system images of 2,000
//! programs, twelve programs of each machine in another version. A measurement, not a test of time:
//! `cargo nextest run --cargo-profile release -p chasqui-store --run-ignored only --no-capture -E 'test(measure_search)'`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

mod common;

use chasqui_domain::device_search::{Column, Query, Set, evaluate, parse};
use chasqui_store::device::{self, NewDevice};
use chasqui_store::device_search::{self, SearchRow, Searcher};
use chasqui_store::{Store, StoreError};
use common::Db;

const DEVICES: i64 = 100_000;
const DAY_MS: i64 = 86_400_000;
const NOW_MS: i64 = 400 * DAY_MS;
/// Times each query is asked.
const TIMES: usize = 100;

/// What people type, and how many devices it finds.
const QUERIES: &[&str] = &[
    "",
    "ofi-00017",
    "cpu:i5",
    "ram<8G",
    "os:\"Windows 10\"",
    "kernel<6",
    "reboot:yes",
    "-cpu:i5",
    "plate:?",
    "dependency:Jurídica",
    "seen>30d",
    "serial:S3Z0000004d2",
    "cpu:i5 ram<8G",
    "software:\"office<2019\"",
    "software:office",
    "software:\"firefox<115.9\"",
    "-software:firefox",
    "software:lib-19",
    "software:\"lib-1234=1.5\"",
    "cpu:i5 ram<8G os:\"Windows 10\" software:\"office<2019\" seen>30d",
    "cpu:i5 ram<8G os:\"Windows 10\" software:\"office<2019\" seen>30d dependency:Jurídica",
    "(cpu:ryzen OR ram>8G) -software:\"office>=2019\" kernel>=6",
];

const CPUS: [&str; 6] = [
    "intel(r) core(tm) i5-7500 cpu @ 3.40ghz",
    "intel(r) core(tm) i5-9500 cpu @ 3.00ghz",
    "intel(r) core(tm) i5-3470 cpu @ 3.20ghz",
    "13th gen intel(r) core(tm) i5-1345u",
    "intel(r) core(tm) i3-8100 cpu @ 3.60ghz",
    "amd ryzen 5 pro 6650u with radeon graphics",
];
const SYSTEMS: [(&str, &str); 4] = [
    ("debian gnu/linux 12 (bookworm)", "6.1.0-18-amd64"),
    ("windows 10 pro 22h2", "10.0.19045"),
    ("ubuntu 22.04.5 lts", "5.15.0-91-generic"),
    ("windows 10 enterprise ltsc", "5.10.19044"),
];

fn row(number: i64) -> SearchRow {
    let at = usize::try_from(number).unwrap();
    let mut row = SearchRow::default();
    row.host_name = format!("ofi-{number:06}");
    row.host_key.clone_from(&row.host_name);
    let dependency = match number % 24 {
        0 => "oficina juridica".to_owned(),
        other => format!("dependencia {other:02}"),
    };
    let (system, kernel) = SYSTEMS[at % 4];
    row.words = format!("{} {dependency} hp prodesk 600 g3 {system}", row.host_name);
    // Every kind was read.
    row.sections = -1;
    row.text(Column::Dependency, Some(dependency));
    row.text(
        Column::Plate,
        (number % 2 == 0).then(|| format!("ma-{number:06}")),
    );
    row.text(Column::Cpu, Some(CPUS[at % 6].to_owned()));
    row.text(Column::Os, Some(system.to_owned()));
    row.text(Column::Kernel, Some(kernel.to_owned()));
    row.number(Column::Ram, Some([8, 16, 4, 16, 8, 16][at % 6] << 30));
    row.number(Column::Cores, Some([4, 6, 4, 10, 4, 6][at % 6]));
    row.number(Column::Reboot, Some(number / 2 % 2));
    row.number(Column::Programs, Some(2_000));
    row
}

fn fill(db: &Db, store: &Store) {
    for lot in 0..DEVICES / 1_000 {
        store
            .write_blocking(move |tx| {
                for number in lot * 1_000..(lot + 1) * 1_000 {
                    let id = format!("d{number:06}");
                    device::insert(
                        tx,
                        &NewDevice {
                            id: &id,
                            fingerprint: &id,
                            public_key: b"key",
                            host_name: &format!("ofi-{number:06}"),
                            token_id: "",
                            agent_version: "1",
                        },
                        1_000,
                    )?;
                    device_search::put(tx, &id, &row(number), 1)?;
                }
                Ok::<_, StoreError>(())
            })
            .unwrap();
    }
    programs(db);
    if db.is_postgres() {
        // As autovacuum leaves it: an index can answer alone where pages are known to be visible to all.
        db.raw("VACUUM ANALYZE");
    }
}

/// Program `40 n + v + 1` is version v of the n-th name. List `i` (1 to 4) is an image, whole; list `4 + d` is device d's.
fn programs(db: &Db) {
    let bytes = if db.is_postgres() { "BYTEA" } else { "BLOB" };
    db.raw(
        &"WITH RECURSIVE name(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM name WHERE n < 1999),
            version(v) AS (SELECT 0 UNION ALL SELECT v + 1 FROM version WHERE v < 39),
            named AS (SELECT n, CASE n WHEN 0 THEN 'microsoft office professional plus 2016'
                WHEN 1 THEN 'microsoft office standard 2019' WHEN 2 THEN 'openssl' WHEN 3 THEN 'firefox-esr'
                ELSE 'lib-' || CAST(n AS TEXT) END AS name FROM name)
         INSERT INTO programs (id, digest, name, name_key, version, architecture, source, publisher, facts)
         SELECT n * 40 + v + 1, 'p' || CAST(n * 40 + v AS TEXT), name, name,
            CASE n WHEN 3 THEN '115.' ELSE '1.' END || CAST(v AS TEXT) || '-1', 'amd64', 'dpkg', 'somebody',
            CAST('' AS BYTES)
         FROM named CROSS JOIN version;

         INSERT INTO software_lists (id, digest, base_id, item_count, shell)
         SELECT i, 'image ' || CAST(i AS TEXT), NULL, 2000, CAST('' AS BYTES)
         FROM (SELECT 1 AS i UNION SELECT 2 UNION SELECT 3 UNION SELECT 4) images;
         WITH RECURSIVE name(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM name WHERE n < 1999)
         INSERT INTO software_list_programs (program_id, list_id, added)
         SELECT n * 40 + (n * 7 + i * 11) % 40 + 1, i, 1
         FROM name CROSS JOIN (SELECT 1 AS i UNION SELECT 2 UNION SELECT 3 UNION SELECT 4) images
         WHERE n > 1 OR (n = 0 AND i <= 2) OR (n = 1 AND i > 2);

         INSERT INTO software_lists (id, digest, base_id, item_count, shell)
         SELECT 4 + ordinal, 'list ' || CAST(ordinal AS TEXT), ordinal % 4 + 1, 2000, CAST('' AS BYTES)
         FROM device_search;
         WITH RECURSIVE own(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM own WHERE k < 11),
            changed AS (SELECT ordinal AS d, k,
                CASE WHEN k < 11 THEN 4 + (ordinal * 131 + k * 167) % 1996 ELSE 3 END AS n
                FROM device_search CROSS JOIN own WHERE k < 11 OR ordinal % 3 = 0)
         INSERT INTO software_list_programs (program_id, list_id, added)
         SELECT n * 40 + (n * 7 + (d % 4 + 1) * 11) % 40 + 1, 4 + d, 0 FROM changed
         UNION ALL
         SELECT n * 40 + (n * 7 + (d % 4 + 1) * 11 + 1 + (d + k) % 8) % 40 + 1, 4 + d, 1 FROM changed;
         UPDATE device_search SET software_list = 4 + ordinal, software_base = ordinal % 4 + 1,
            software_left_out = (SELECT COUNT(*) FROM software_list_programs m
                WHERE m.list_id = 4 + ordinal AND m.added = 0);
         INSERT INTO device_terms (kind, term, device_id, section)
         SELECT 'disk_serial', 's3z0000' || CAST(ordinal AS TEXT), device_id, 'disks' FROM device_search;
         UPDATE devices SET last_seen_at_ms = NOW_MS - search_ordinal % 400 * 86400000;
         ANALYZE;"
            .replace("BYTES", bytes)
            .replace("NOW_MS", &NOW_MS.to_string()),
    );
}

fn find(store: &Store, query: &Query) -> (Set, usize) {
    store
        .read_blocking(|tx| {
            let set = evaluate(query, NOW_MS, &mut Searcher::new(tx, |_| 1))?;
            let page = device_search::page(tx, &set, ("", ""), 51)?;
            Ok::<_, StoreError>((set, page.len()))
        })
        .unwrap()
}

fn measure_search(db: &Db) {
    let store = db.open();
    let begun = chasqui_base::clock::monotonic();
    fill(db, &store);
    println!("filled in {:?}", begun.elapsed());
    println!("{:>9} {:>8} {:>8}  query", "found", "p50 ms", "p99 ms");
    for text in QUERIES {
        let query = parse(text).unwrap();
        let mut times = Vec::new();
        let (found, page) = find(&store, &query);
        assert_eq!(page, found.len().min(51), "{text}");
        for _ in 0..TIMES {
            let begun = chasqui_base::clock::monotonic();
            find(&store, &query);
            times.push(begun.elapsed());
        }
        times.sort();
        let ms = |part: usize| times[TIMES * part / 100].as_secs_f64() * 1_000.0;
        println!("{:>9} {:>8.1} {:>8.1}  {text}", found.len(), ms(50), ms(99));
    }
}

#[test]
#[ignore = "a measurement"]
fn measure_search_sqlite() {
    measure_search(&Db::sqlite());
}

#[test]
#[ignore = "a measurement"]
fn measure_search_postgres() {
    if let Some(db) = Db::postgres() {
        measure_search(&db);
    }
}
