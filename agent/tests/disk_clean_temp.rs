//! Cleaning temporary folders under abuse: links, swaps, other file systems, odd names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use chasqui_agent::action::files_clean::{Cleaner, Pass, Tally};
use chasqui_agent::output::Output;
use chasqui_base::clock;

const OLD: Duration = Duration::from_secs(40 * 24 * 3600);

fn age(path: &Path) {
    let then = SystemTime::UNIX_EPOCH + clock::duration_ms(clock::now_ms()) - OLD;
    let file = File::open(path).unwrap();
    let times = fs::FileTimes::new().set_modified(then).set_accessed(then);
    file.set_times(times).unwrap();
}

fn old_file(path: &Path, size: usize) {
    fs::write(path, vec![b'x'; size]).unwrap();
    age(path);
}

/// A temporary folder; links in its own path (as on some systems) resolved.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = fs::canonicalize(folder.path()).unwrap();
    (folder, path)
}

fn cleaner(path: &Path) -> Cleaner {
    Cleaner::new(vec![path.to_owned()], 30, clock::now_ms(), false)
}

fn walk(cleaner: &Cleaner, pass: Pass) -> Tally {
    cleaner.walk(pass, &|| false, &Output::default())
}

#[test]
fn old_files_go_and_young_ones_stay() {
    let (_keep, top) = folder();
    fs::create_dir(top.join("deep")).unwrap();
    fs::create_dir(top.join("deep/er")).unwrap();
    old_file(&top.join("deep/er/old"), 100_000);
    old_file(&top.join("deep/old"), 10);
    fs::write(top.join("young"), "y").unwrap();
    fs::create_dir(top.join("young-folder")).unwrap();
    age(&top.join("deep/er"));
    age(&top.join("deep"));
    let cleaner = cleaner(&top);
    let before = walk(&cleaner, Pass::Look);
    assert_eq!((before.files, before.old_files), (3, 2));
    let removed = walk(&cleaner, Pass::Remove);
    let after = walk(&cleaner, Pass::Look);
    assert_eq!((removed.removed_files, removed.removed_folders), (2, 2));
    assert!(removed.removed_bytes >= 100_000);
    assert!(!top.join("deep").exists());
    assert!(top.join("young").exists() && top.join("young-folder").exists());
    let finding = cleaner.judge(&before, &removed, &after, (None, None), None);
    assert!(finding.holds, "{finding:?}");
    // The same check, altered to ask for more than was freed, does not hold.
    let finding = cleaner.judge(&before, &removed, &after, (None, None), Some(1 << 40));
    assert!(!finding.holds);
    assert!(finding.explanation.es.contains("se exigen al menos"));
}

#[test]
fn a_check_without_a_cleaning_does_not_hold() {
    let (_keep, top) = folder();
    old_file(&top.join("old"), 10);
    let cleaner = cleaner(&top);
    let before = walk(&cleaner, Pass::Look);
    let after = walk(&cleaner, Pass::Look);
    let finding = cleaner.judge(&before, &Tally::default(), &after, (None, None), None);
    assert!(!finding.holds);
}

#[test]
fn links_are_neither_followed_nor_removed() {
    let (_keep, top) = folder();
    let (_outside, outside) = folder();
    old_file(&outside.join("precious"), 10);
    symlink(&outside, top.join("folder-link")).unwrap();
    symlink(outside.join("precious"), top.join("file-link")).unwrap();
    symlink("/nowhere", top.join("broken-link")).unwrap();
    let removed = walk(&cleaner(&top), Pass::Remove);
    assert_eq!(removed.links, 3);
    assert_eq!(removed.removed_files, 0);
    assert!(outside.join("precious").exists());
    assert!(fs::symlink_metadata(top.join("broken-link")).is_ok());

    // A temporary folder that is itself a link, or lies behind one, is not observed at all.
    symlink(&top, outside.join("as-temp")).unwrap();
    old_file(&top.join("old"), 10);
    let linked = cleaner(&outside.join("as-temp"));
    let tally = walk(&linked, Pass::Remove);
    assert_eq!((tally.unreadable, tally.removed_files), (1, 0));
    assert!(top.join("old").exists());
    let finding = linked.judge(&tally, &tally, &tally, (None, None), None);
    assert!(
        !finding.holds,
        "what was not observed is not said to be clean"
    );
}

#[test]
fn files_with_other_names_and_special_files_stay() {
    let (_keep, top) = folder();
    let (_outside, outside) = folder();
    old_file(&outside.join("precious"), 10);
    fs::hard_link(outside.join("precious"), top.join("bait")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(top.join("socket")).unwrap();
    let removed = walk(&cleaner(&top), Pass::Remove);
    assert_eq!((removed.hard_linked, removed.special), (1, 1));
    assert_eq!(removed.removed_files, 0);
    assert!(top.join("bait").exists() && top.join("socket").exists());
}

#[test]
fn open_files_and_system_names_stay() {
    let (_keep, top) = folder();
    old_file(&top.join("open"), 10);
    // Another process holds it; our own handles do not count.
    let mut holder = std::process::Command::new("/usr/bin/sleep")
        .arg("60")
        .stdin(File::open(top.join("open")).unwrap())
        .spawn()
        .unwrap();
    for name in [".X11-unix", "systemd-private-1-x"] {
        fs::create_dir(top.join(name)).unwrap();
        old_file(&top.join(name).join("old"), 10);
    }
    fs::create_dir(top.join("agent-state")).unwrap();
    old_file(&top.join("agent-state/device.key"), 10);
    let mut cleaner = cleaner(&top);
    cleaner.protect(&top.join("agent-state"));
    let removed = walk(&cleaner, Pass::Remove);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(removed.in_use, 1, "{removed:?}");
    assert_eq!(removed.protected, 3);
    assert_eq!(removed.removed_files, 0);
    assert_eq!(walk(&cleaner, Pass::Remove).removed_files, 1);
    assert!(top.join("agent-state/device.key").exists());
}

#[test]
fn odd_names_are_names() {
    let (_keep, top) = folder();
    for name in [
        &b"line\nbreak"[..],
        b"not-\xff\xfe-utf8",
        b"-rf",
        b"* ; $(reboot)",
        "\u{202e}gpj.exe".as_bytes(),
        &[b'n'; 255],
    ] {
        old_file(&top.join(OsStr::from_bytes(name)), 1);
    }
    let removed = walk(&cleaner(&top), Pass::Remove);
    assert_eq!(removed.removed_files, 6, "{removed:?}");
    assert_eq!(fs::read_dir(&top).unwrap().count(), 0);
}

#[test]
fn other_file_systems_are_not_entered() {
    let (_keep, top) = folder();
    let mount = top.join("mount");
    fs::create_dir(&mount).unwrap();
    let mounted = std::process::Command::new("/usr/bin/mount")
        .args(["-t", "tmpfs", "tmpfs"])
        .arg(&mount)
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        eprintln!("not tested: this account may not mount");
        return;
    }
    old_file(&mount.join("old"), 10);
    // A bind mount has the same device number as the folder around it.
    let bound = top.join("bound");
    let (_outside, outside) = folder();
    old_file(&outside.join("precious"), 10);
    fs::create_dir(&bound).unwrap();
    let bind = std::process::Command::new("/usr/bin/mount")
        .arg("--bind")
        .args([&outside, &bound])
        .status()
        .unwrap();
    let removed = walk(&cleaner(&top), Pass::Remove);
    let left = (
        mount.join("old").exists(),
        outside.join("precious").exists(),
    );
    for point in [&mount, &bound] {
        let _ = std::process::Command::new("/usr/bin/umount")
            .arg(point)
            .status();
    }
    assert!(bind.success());
    assert_eq!(left, (true, true));
    assert_eq!(removed.other_file_systems, 2, "{removed:?}");
    assert_eq!(removed.removed_files, 0);
}

#[test]
fn a_folder_exchanged_for_a_link_leads_nowhere() {
    let (_keep, top) = folder();
    let (_outside, outside) = folder();
    for number in 0..200 {
        old_file(&outside.join(format!("precious-{number}")), 1);
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // A user who swaps a folder of old files for a link to somebody else's, over and over.
            let (folder, link, aside) = (top.join("f"), top.join("l"), top.join("a"));
            while !stop.load(Ordering::SeqCst) {
                let _ = fs::create_dir(&folder);
                let _ = fs::write(folder.join("precious-1"), "bait");
                if folder.join("precious-1").exists() {
                    age(&folder.join("precious-1"));
                }
                let _ = symlink(&outside, &link);
                let _ = fs::rename(&folder, &aside);
                let _ = fs::rename(&link, &folder);
                let _ = fs::remove_file(&folder);
                let _ = fs::remove_dir_all(&aside);
            }
        });
        let cleaner = cleaner(&top);
        for _ in 0..150 {
            walk(&cleaner, Pass::Remove);
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 200);
}

#[test]
fn a_huge_or_deep_tree_is_walked_within_bounds_and_can_be_called_off() {
    let (_keep, top) = folder();
    for number in 0..3_000 {
        old_file(&top.join(number.to_string()), 0);
    }
    let mut deep = top.clone();
    for _ in 0..300 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    let cleaner = cleaner(&top);
    let asked = std::cell::Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() > 1_000
    };
    let part = cleaner.walk(Pass::Remove, &stop, &Output::default());
    assert!(part.stopped && part.removed_files < 3_000);
    let rest = walk(&cleaner, Pass::Remove);
    assert_eq!(part.removed_files + rest.removed_files, 3_000);
    // Deeper than is walked counts as not observed.
    assert_eq!(rest.unreadable, 1);
}

#[test]
fn untouched_means_not_even_changed_otherwise() {
    let (_keep, top) = folder();
    old_file(&top.join("extracted-today"), 10);
    let strict = Cleaner::new(vec![top.clone()], 30, clock::now_ms(), true);
    assert_eq!(walk(&strict, Pass::Remove).removed_files, 0);
    assert!(fs::metadata(top.join("extracted-today")).unwrap().ctime() > 0);
    // Forty days later it is untouched.
    let later = clock::now_ms() + 40 * clock::DAY_MS;
    let later = Cleaner::new(vec![top.clone()], 30, later, true);
    assert_eq!(walk(&later, Pass::Remove).removed_files, 1);
}
