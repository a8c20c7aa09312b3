//! The coordinator is the enemy and holds all that the server holds. The real agent, linked to it, runs what people
//! signed and nothing else. The changed papers are generated from the papers themselves (`walker`), each is delivered
//! under every signature the coordinator can make (`stage`), and a good order runs before and after each group, so that
//! silence is never mistaken for safety.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "hostile_coordinator/draft.rs"]
mod draft;
#[path = "hostile_coordinator/flood.rs"]
mod flood;
#[path = "hostile_coordinator/orders.rs"]
mod orders;
#[path = "hostile_coordinator/papers.rs"]
mod papers;
#[path = "hostile_coordinator/stage.rs"]
mod stage;
#[path = "../../agent/tests/support/mod.rs"]
mod support;
#[path = "hostile_coordinator/walker.rs"]
mod walker;

use chasqui_trust::{Document, Envelope, sign};
use draft::Draft;
use stage::{Attack, FORGERIES, Forgery, Stage};
use walker::{Mutation, assert_all_visited, parse};

/// The mutations of a document, each with its name; those that change nothing are left out.
fn mutations(bytes: &[u8], at_least: usize) -> Vec<Mutation> {
    let json = parse(bytes);
    let found: Vec<_> = json
        .mutations()
        .into_iter()
        .filter(|mutation| json.with(mutation).is_some())
        .collect();
    assert_all_visited(bytes, &found);
    assert!(found.len() >= at_least, "only {} mutations", found.len());
    found
}

fn changed(bytes: &[u8], mutation: &Mutation) -> Option<Vec<u8>> {
    Some(parse(bytes).with(mutation)?.write())
}

#[test]
fn no_changed_order_runs() {
    let stage = Stage::new();
    stage.good("before");
    let shape = mutations(&Draft::new(&stage).order.encode().unwrap(), 150);
    let mut attacks = Vec::new();
    for how in FORGERIES {
        // Every paper is new, since the same bytes would get the same answer without being judged.
        for mutation in &shape {
            let draft = Draft::new(&stage);
            let original = draft.signed();
            let Some(payload) = changed(&original.payload, mutation) else {
                continue;
            };
            let forged = stage.forge(how, &original, &stage.stolen.ana, payload);
            // With the approval people gave to the real order, and with one for the changed order from a browser.
            let approval = if attacks.len() % 2 == 0 {
                draft.approval(&original)
            } else {
                sign(&draft.statement(&forged), &[&stage.stolen.beto]).unwrap()
            };
            let bundle = draft.bundle_of(forged, vec![approval]);
            attacks.push(Attack::of(format!("order{mutation}, {how:?}"), &bundle));
        }
        if matches!(how, Forgery::OriginalSignature) {
            continue;
        }
        let draft = Draft::new(&stage);
        let original = draft.signed();
        let forged = stage.forge(how, &original, &stage.stolen.ana, original.payload.clone());
        let approval = draft.approval(&forged);
        let bundle = draft.bundle_of(forged, vec![approval]);
        attacks.push(Attack::of(format!("order unchanged, {how:?}"), &bundle));
    }
    let count = attacks.len();
    assert!(count >= 1_000, "only {count} attacks");
    stage.attack(attacks);
    stage.good("after");
    stage.print_codes("orders", count);
}

#[test]
fn no_changed_statement_approves() {
    let stage = Stage::new();
    stage.good("before");
    let draft = Draft::new(&stage);
    let statement = draft.statement(&draft.signed()).encode().unwrap();
    let shape = mutations(&statement, 45);
    let mut attacks = Vec::new();
    for how in FORGERIES {
        for mutation in shape.iter().map(Some).chain([None]) {
            if mutation.is_none() && matches!(how, Forgery::OriginalSignature) {
                continue;
            }
            let draft = Draft::new(&stage);
            let order = draft.signed();
            let original = draft.approval(&order);
            let payload = match mutation {
                Some(mutation) => changed(&original.payload, mutation),
                None => Some(original.payload.clone()),
            };
            let Some(payload) = payload else { continue };
            let forged = stage.forge(how, &original, &stage.stolen.beto, payload);
            let name = mutation.map_or(" unchanged".to_owned(), ToString::to_string);
            attacks.push(Attack::of(
                format!("statement{name}, {how:?}"),
                &draft.bundle_of(order, vec![forged]),
            ));
        }
    }
    let count = attacks.len();
    assert!(count >= 340, "only {count} attacks");
    stage.attack(attacks);
    stage.good("after");
    stage.print_codes("statements", count);
}

/// Leaf and definition are not signed but bound by digests in the order; the rest of the bundle is mere transport.
#[test]
fn no_changed_bundle_runs() {
    let stage = Stage::new();
    stage.good("before");
    let bundle = Draft::new(&stage).bundle().encode().unwrap();
    let shape = mutations(&bundle, 120);
    let mut attacks = Vec::new();
    for mutation in &shape {
        // The same approval twice counts once: the order stays what people signed and approved.
        if mutation.to_string() == ".statements DuplicateLast" {
            continue;
        }
        let bundle = Draft::new(&stage).bundle().encode().unwrap();
        if let Some(bytes) = changed(&bundle, mutation) {
            attacks.push(Attack::new(format!("bundle{mutation}"), bytes));
        }
    }
    let definition = stage.definition.encode().unwrap();
    for mutation in mutations(&definition, 300) {
        let Some(other) = changed(&definition, &mutation) else {
            continue;
        };
        let draft = Draft::new(&stage);
        let mut bundle = draft.bundle();
        bundle.definition = other.clone();
        let label = format!("definition{mutation}, the order as it was");
        attacks.push(Attack::of(label, &bundle));
        // An order that asks for the changed definition, with what the coordinator can sign.
        let mut draft = Draft::new(&stage);
        draft.order.definition.digest = chasqui_trust::Digest::of(&other);
        draft.requester = &stage.stolen.ana;
        draft.approver = &stage.stolen.beto;
        let mut bundle = draft.bundle();
        bundle.definition = other.clone();
        let label = format!("definition{mutation}, an order from a browser");
        attacks.push(Attack::of(label, &bundle));
        // As if people could be led to sign for what no publisher released.
        let mut draft = Draft::new(&stage);
        draft.order.definition.digest = chasqui_trust::Digest::of(&other);
        let mut bundle = draft.bundle();
        bundle.definition = other;
        let label = format!("definition{mutation}, an order from people");
        attacks.push(Attack::of(label, &bundle));
    }
    let count = attacks.len();
    assert!(count >= 1_000, "only {count} attacks");
    stage.attack(attacks);
    stage.good("after");
    stage.print_codes("bundles", count);
    let peak = flood::peak_kib(&stage);
    assert!(peak < 60_000, "{peak} KiB after {count} refusals");
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Paper {
    Root,
    People,
    Catalogue,
}

fn no_changed_paper_is_accepted(paper: Paper, at_least: usize) {
    let stage = Stage::new();
    stage.good("before");
    let held = stage.papers_held();
    let organisation = stage.organisation();
    // Properly signed and newer than what the machine holds; offered at the end.
    let next: Envelope = match paper {
        Paper::Root => sign(&stage.root(2), &[&organisation.root_key]).unwrap(),
        Paper::People => sign(&stage.people(2), &[stage.admin()]).unwrap(),
        // By one publisher, whom the root asks for: of two signatures one could be taken away.
        Paper::Catalogue => sign(&stage.catalogue(2), &[&organisation.publisher_key]).unwrap(),
    };
    let answer = |envelope: &Envelope| {
        let bytes = envelope.to_json();
        let mut answer = chasqui_proto::v1::FetchTrustDocumentsResponse::default();
        match paper {
            Paper::Root => answer.roots.push(bytes.into()),
            Paper::People => answer.people = bytes.into(),
            Paper::Catalogue => answer.catalogue = bytes.into(),
        }
        answer
    };
    let shape = mutations(&next.payload, at_least);
    let mut labels = Vec::new();
    let mut offers = Vec::new();
    for how in FORGERIES {
        for mutation in &shape {
            let Some(payload) = changed(&next.payload, mutation) else {
                continue;
            };
            let forged = stage.forge(how, &next, &stage.stolen.ana, payload);
            labels.push((format!("{paper:?}{mutation}, {how:?}"), forged.to_json()));
            offers.push(answer(&forged));
        }
    }
    // And the envelope around it.
    let envelope = next.to_json();
    for mutation in mutations(&envelope, 20) {
        if let Some(bytes) = changed(&envelope, &mutation) {
            let mut offer = answer(&next);
            match paper {
                Paper::Root => offer.roots = vec![bytes.clone().into()],
                Paper::People => offer.people = bytes.clone().into(),
                Paper::Catalogue => offer.catalogue = bytes.clone().into(),
            }
            labels.push((format!("{paper:?} envelope{mutation}"), bytes));
            offers.push(offer);
        }
    }
    let count = offers.len();
    assert!(count >= at_least * 7, "only {count} attacks");
    let codes = stage.offer(offers);
    for (name, bytes) in stage.papers_held() {
        if held.get(&name) != Some(&bytes) {
            let label = labels.iter().find(|(_, forged)| *forged == bytes);
            panic!("{name} changed: {:?}", label.map(|(label, _)| label));
        }
    }
    assert_eq!(codes.values().sum::<usize>(), count, "{codes:?}");
    assert_eq!(stage.versions(), (1, 1, 1));
    stage.good("after");
    eprintln!("{paper:?}: {count} papers, {codes:?}");
    // Unchanged it is accepted: it was the change that was refused.
    assert!(stage.offer(vec![answer(&next)]).is_empty());
    let expected = match paper {
        Paper::Root => (2, 1, 1),
        Paper::People => (1, 2, 1),
        Paper::Catalogue => (1, 1, 2),
    };
    support::until("the real paper", || {
        (stage.versions() == expected).then_some(())
    });
    stage.good("under the new paper");
}

#[test]
fn no_changed_root_is_accepted() {
    no_changed_paper_is_accepted(Paper::Root, 200);
}

#[test]
fn no_changed_people_document_is_accepted() {
    no_changed_paper_is_accepted(Paper::People, 150);
}

#[test]
fn no_changed_catalogue_is_accepted() {
    no_changed_paper_is_accepted(Paper::Catalogue, 50);
}
