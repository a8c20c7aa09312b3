//! Enrolment, renewal, proxy, inventory and trust documents of the real agent process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chasqui_agent::status::Link;
use chasqui_base::clock::DAY_MS;
use chasqui_proto::v1::SectionKind;
use chasqui_trust::sign;
use support::*;

fn connected(machine: &Machine) {
    until("a link", || {
        (machine.status().link == Link::Connected).then_some(())
    });
}

#[test]
fn a_machine_enrols_once_and_a_lost_answer_makes_no_second_device() {
    let coordinator = Coordinator::start(Organisation::new());
    let machine = Machine::new(&coordinator);
    for fault in [
        "agent.enrol.key.written",
        "agent.enrol.request.written",
        "agent.enrol.answered",
        "agent.enrol.stored",
    ] {
        let aborted = machine
            .command(&["enrol", "--token", TOKEN])
            .env("CHASQUI_FAULT", fault)
            .output()
            .unwrap();
        assert!(!aborted.status.success(), "{fault}");
    }
    // The last abort came after the identity was stored.
    let again = machine
        .command(&["enrol", "--token", TOKEN])
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&again.stderr).contains("ALREADY_ENROLLED"));
    assert_eq!(coordinator.book().enrolments.len(), 1);
    let keys = coordinator.book().device_keys.clone();
    assert!(keys.iter().all(|key| *key == keys[0]));

    let replaced = machine
        .command(&["enrol", "--token", TOKEN, "--replace"])
        .output()
        .unwrap();
    assert!(replaced.status.success());
    assert_eq!(coordinator.book().enrolments.len(), 2);
    assert_ne!(coordinator.book().device_keys.last(), Some(&keys[0]));
}

#[test]
fn what_keeps_a_machine_from_enrolling_is_named() {
    let coordinator = Coordinator::start(Organisation::new());
    let machine = Machine::new(&coordinator);
    let enrol = |machine: &Machine, token: &str, lang: &str| {
        let output = machine
            .command(&["enrol", "--token", token, "--lang", lang])
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, text) = enrol(&machine, "wrong", "es");
    assert_eq!(code, 3);
    assert!(
        text.contains("TOKEN_UNKNOWN") && text.contains("pida uno nuevo"),
        "{text}"
    );

    // A coordinator of another authority, at the same place.
    let other = Coordinator::start(Organisation::new());
    let mut stranger = Machine::new(&coordinator);
    stranger.server = format!("https://127.0.0.1:{}", other.address.port());
    let (code, text) = enrol(&stranger, TOKEN, "en");
    assert_eq!(code, 3);
    assert!(text.contains("COORDINATOR_NOT_IN_ROOT"), "{text}");
    assert!(other.book().enrolments.is_empty());

    std::fs::remove_file(machine.folder.path().join("root.json")).unwrap();
    let (code, text) = enrol(&machine, TOKEN, "en");
    assert_eq!(code, 3);
    assert!(
        text.contains("root.json") && text.contains("TRUST_DOCUMENTS"),
        "{text}"
    );

    let not_enrolled = stranger.command(&["run"]).output().unwrap();
    assert_eq!(not_enrolled.status.code(), Some(3));
}

#[test]
fn a_certificate_past_two_thirds_of_its_life_is_renewed() {
    for (before, after) in [(20 * DAY_MS, 5 * DAY_MS), (30 * DAY_MS, -DAY_MS)] {
        let coordinator = Coordinator::start(Organisation::new());
        coordinator.book().certificate = (before, after);
        let machine = Machine::new(&coordinator);
        machine.enrol();
        let _agent = machine.run();
        connected(&machine);
        assert_eq!(coordinator.book().renewals, 1);
        assert!(
            machine.status().certificate_not_after_ms > chasqui_base::clock::now_ms() + 20 * DAY_MS
        );
    }
}

#[test]
fn a_revoked_machine_says_so_and_goes_quiet() {
    let coordinator = Coordinator::start(Organisation::new());
    let machine = Machine::new(&coordinator);
    machine.enrol();
    coordinator.book().revoked = true;
    let _agent = machine.run();
    until("revoked", || {
        (machine.status().link == Link::Revoked).then_some(())
    });
    let shown = machine
        .command(&["status", "--lang", "es"])
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("dado de baja") && shown.contains("DEVICE_REVOKED"),
        "{shown}"
    );
}

#[test]
fn one_state_folder_has_one_agent() {
    let coordinator = Coordinator::start(Organisation::new());
    let machine = Machine::new(&coordinator);
    machine.enrol();
    let agent = machine.run();
    connected(&machine);
    let second = machine.command(&["run"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("AGENT_RUNNING"));
    assert!(agent.stop().success());
    assert_eq!(machine.status().link, Link::Stopped);
}

#[test]
fn the_link_goes_through_a_proxy() {
    let coordinator = Coordinator::start(Organisation::new());
    let (port, tunnels) = proxy(coordinator.address.port(), "Basic YW5hOmNsYXZl");
    let mut machine = Machine::new(&coordinator);
    // A name that only the proxy can resolve would fail the certificate; the port alone tells the way apart.
    machine.server = "https://127.0.0.1:1".into();
    machine.env.push((
        "CHASQUI_AGENT_PROXY".into(),
        format!("http://ana:wrong@127.0.0.1:{port}"),
    ));
    let refused = machine
        .command(&["enrol", "--token", TOKEN])
        .output()
        .unwrap();
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.contains("407") && !refused.contains("wrong"),
        "{refused}"
    );
    machine.env[0].1 = format!("http://ana:clave@127.0.0.1:{port}");
    machine.enrol();
    let agent = machine.run();
    connected(&machine);
    assert!(tunnels.load(Ordering::SeqCst) >= 2);
    assert!(!agent.log().contains("clave"));
}

/// A proxy that leads every tunnel to one port, for those who know the password.
fn proxy(to: u16, authorization: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tunnels = Arc::new(AtomicUsize::new(0));
    let counted = tunnels.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let counted = counted.clone();
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0u8; 1];
                while !head.ends_with(b"\r\n\r\n") && client.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                assert!(
                    head.starts_with("CONNECT 127.0.0.1:1 HTTP/1.1\r\n"),
                    "{head}"
                );
                if !head.contains(authorization) {
                    let _ = client.write_all(
                        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
                    );
                    return;
                }
                counted.fetch_add(1, Ordering::SeqCst);
                client
                    .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    .unwrap();
                let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
                let (mut from, mut into) =
                    (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from, &mut into));
                let (mut from, mut into) = (server, client);
                let _ = std::io::copy(&mut from, &mut into);
            });
        }
    });
    (port, tunnels)
}

#[test]
fn inventory_is_offered_and_only_what_is_wanted_is_sent() {
    let coordinator = Coordinator::start(Organisation::new());
    coordinator.book().wants = vec![SectionKind::Cpu.into()];
    let mut machine = Machine::new(&coordinator);
    machine
        .env
        .push(("CHASQUI_AGENT_INVENTORY_EVERY_MS".into(), "300".into()));
    machine.enrol();
    let _agent = machine.run();
    until("an inventory", || {
        (coordinator.book().offers >= 1 && !coordinator.book().sections.is_empty()).then_some(())
    });
    coordinator.book().wants.clear();
    let offers = coordinator.book().offers;
    until("more offers", || {
        (coordinator.book().offers >= offers + 2).then_some(())
    });
    let book = coordinator.book();
    assert!(
        book.sections
            .iter()
            .all(|section| section.kind() == SectionKind::Cpu)
    );
    assert!(
        book.sections.len() <= offers,
        "an unchanged machine sends no section"
    );
}

fn installed(root: &std::path::Path, count: usize, newer: usize) {
    let status: String = (0..count)
        .map(|n| {
            let version = if n < newer { 2 } else { 1 };
            format!(
                "Package: program-{n:04}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}.0\n\n"
            )
        })
        .collect();
    let folder = root.join("var/lib/dpkg");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("status"), status).unwrap();
}

#[test]
fn a_list_that_changed_a_little_travels_as_a_difference_and_whole_when_that_is_refused() {
    let root = tempfile::TempDir::new().unwrap();
    installed(root.path(), 500, 0);
    let coordinator = Coordinator::start(Organisation::new());
    coordinator.book().wants = vec![SectionKind::Software.into()];
    let mut machine = Machine::new(&coordinator);
    for (name, value) in [
        ("CHASQUI_AGENT_INVENTORY_EVERY_MS", "300"),
        ("CHASQUI_AGENT_FACTS_ROOT", root.path().to_str().unwrap()),
    ] {
        machine.env.push((name.into(), value.into()));
    }
    machine.enrol();
    let _agent = machine.run();
    // A coordinator that names no base gets the list whole.
    let whole = until("the whole list", || coordinator.book().sections.pop());
    assert!(coordinator.book().differences.is_empty());
    let held = |section: &chasqui_proto::v1::Section| chasqui_proto::v1::SectionBase {
        kind: SectionKind::Software.into(),
        digest: section.digest.clone(),
    };
    coordinator.book().bases = vec![held(&whole)];
    installed(root.path(), 500, 5);
    let difference = until("a difference", || {
        let found = coordinator.book().differences.pop();
        found.filter(|found| found.added.len() == 5)
    });
    assert_eq!(difference.base_digest, whole.digest);
    let old = chasqui_base::item_list::split(&whole.facts, 8).unwrap();
    let items = chasqui_base::item_list::apply(
        &old.items,
        &difference.removed,
        &difference.added_at,
        &difference.added,
    )
    .unwrap();
    let new = chasqui_base::item_list::join(&difference.shell, &items).unwrap();
    let section = difference.section.unwrap();
    assert!(section.facts.is_empty());
    assert_eq!(
        <sha2::Sha256 as sha2::Digest>::digest(&new).as_slice(),
        &section.digest[..]
    );
    // Refused: it goes whole in the same report, and the agent does not insist.
    {
        let mut book = coordinator.book();
        book.bases = vec![held(&section)];
        book.refuse_differences = Some("SECTION_BASE_UNKNOWN");
        book.sections.clear();
        book.differences.clear();
    }
    installed(root.path(), 500, 7);
    let sent = until("the whole list again", || {
        let found = coordinator.book().sections.pop();
        found.filter(|found| found.digest != section.digest)
    });
    assert!(!sent.facts.is_empty());
    assert_eq!(coordinator.book().differences.len(), 1);
}

#[test]
fn roots_follow_each_other_and_nothing_goes_back() {
    let coordinator = Coordinator::start(Organisation::new());
    let machine = Machine::new(&coordinator);
    machine.enrol();
    let organisation = &coordinator.organisation;
    let mut second = organisation.root_document();
    second.version = 2;
    let second = sign(&second, &[&organisation.root_key]).unwrap().to_json();
    let mut third = organisation.root_document();
    third.version = 3;
    let forged = sign(&third, &[&organisation.admin_key]).unwrap().to_json();
    let third = sign(&third, &[&organisation.root_key]).unwrap().to_json();
    coordinator.book().people = organisation.people(5).to_json();
    coordinator.publish(&[]);
    coordinator.book().roots = vec![second.clone(), forged];

    let agent = machine.run();
    until("a refused root", || {
        machine
            .status()
            .trust_problem
            .filter(|problem| problem.code == "TRUST_SIGNATURES_MISSING")
    });
    assert_eq!(machine.status().root_version, 2);

    coordinator.book().roots = vec![second, third];
    coordinator.hang_up();
    until("the third root", || {
        (machine.status().root_version == 3 && machine.status().people_version == 5).then_some(())
    });
    coordinator.book().people = organisation.people(4).to_json();
    coordinator.hang_up();
    until("a refused people document", || {
        machine
            .status()
            .trust_problem
            .filter(|problem| problem.code == "TRUST_ROLLBACK")
    });
    agent.stop();

    // Loaded again from disk, still not going back.
    let agent = machine.run();
    connected(&machine);
    assert_eq!(machine.status().people_version, 5);
    assert_eq!(machine.status().root_version, 3);
    agent.stop();

    // A root in the state folder that nobody signed is noticed at the next start.
    let path = machine.state().join("trust/root.3.json");
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replace("sig\":\"", "sig\":\"AAAA");
    std::fs::write(&path, text).unwrap();
    let refused = machine.command(&["run"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("root.3.json"));
}
