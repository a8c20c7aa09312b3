use chasqui_base::clock::{DAY_MS, HOUR_MS, now_ms};
use chasqui_proto::v1::trust_service_server::TrustService as _;
use chasqui_proto::v1::{self, TrustDocumentKind};
use chasqui_server::rpc::trust;
use chasqui_trust::{Document, SigningKey, sign};
use tonic::Code;

use crate::papers::{definition, root, root_key};
use crate::world::{ORG, World, fresh, ok, reason, refused};

both_engines!(
    roots_follow_each_other_and_nothing_else_does,
    documents_never_go_back,
    definitions_are_stored_by_digest_and_listed_when_the_catalogue_names_them,
    agents_fetch_what_they_lack,
);

async fn roots_follow_each_other_and_nothing_else_does(world: World) {
    let events = world.events().await;
    let people = world.people(1);
    assert_eq!(
        reason(world.publish(TrustDocumentKind::People, people).await),
        "ROOT_MISSING"
    );
    let first = world.root(1);
    // The first root is pinned by an administrator.
    let answer = world
        .publish_as(
            &world.coordinator,
            TrustDocumentKind::Root,
            &first.to_json(),
        )
        .await;
    assert_eq!(
        refused(answer),
        (Code::PermissionDenied, "ROOT_NOT_PINNED".to_owned())
    );
    let mut foreign = root(1);
    foreign.org = "otra-entidad".to_owned();
    let foreign = sign(&foreign, &[&root_key()]).unwrap();
    assert_eq!(
        reason(world.publish(TrustDocumentKind::Root, foreign).await),
        "TRUST_ORG_MISMATCH"
    );
    let unsigned = sign(&root(1), &[]).unwrap();
    assert_eq!(
        reason(world.publish(TrustDocumentKind::Root, unsigned).await),
        "TRUST_SIGNATURES_MISSING"
    );
    assert_eq!(world.events().await, events);

    assert_eq!(
        world
            .publish(TrustDocumentKind::Root, first.clone())
            .await
            .unwrap(),
        1
    );
    // The same bytes again are no error.
    let events = world.events().await;
    assert_eq!(
        world.publish(TrustDocumentKind::Root, first).await.unwrap(),
        1
    );
    // A stranger's root, however well signed by itself, is no successor.
    let stranger = SigningKey::generate([99; 32]);
    let mut theirs = root(2);
    theirs.keys = vec![stranger.public_key()];
    let role = chasqui_trust::root::Role {
        key_ids: vec![stranger.key_id()],
        threshold: 1,
    };
    (theirs.root, theirs.trust_admins, theirs.publishers) = (role.clone(), role.clone(), role);
    let answer = world
        .publish(
            TrustDocumentKind::Root,
            sign(&theirs, &[&stranger]).unwrap(),
        )
        .await;
    assert_eq!(reason(answer), "TRUST_SIGNATURES_MISSING");
    assert_eq!(world.events().await, events);
    // Signed by both, it is one, and a coordinator may bring it.
    let both = sign(&theirs, &[&root_key(), &stranger]).unwrap();
    assert_eq!(
        world
            .publish_as(&world.coordinator, TrustDocumentKind::Root, &both.to_json())
            .await
            .unwrap(),
        2
    );
    let got = ok(world
        .trust()
        .get_trust_documents(world.by(&world.auditor, v1::GetTrustDocumentsRequest {}))
        .await);
    assert_eq!((got.roots.len(), got.people.len()), (2, 0));
    assert_eq!(got.roots[1], both.to_json());
}

async fn documents_never_go_back(world: World) {
    world
        .publish(TrustDocumentKind::Root, world.root(1))
        .await
        .unwrap();
    world
        .publish(TrustDocumentKind::People, world.people(5))
        .await
        .unwrap();
    let events = world.events().await;
    assert_eq!(
        reason(
            world
                .publish(TrustDocumentKind::People, world.people(4))
                .await
        ),
        "TRUST_ROLLBACK"
    );
    let mut other = chasqui_trust::People::decode(&world.people(5)).unwrap();
    other.persons.truncate(1);
    let other = sign(&other, &[&root_key()]).unwrap();
    assert_eq!(
        reason(
            world
                .publish(TrustDocumentKind::People, other.clone())
                .await
        ),
        "TRUST_FORK"
    );
    let mut expired = chasqui_trust::People::decode(&world.people(6)).unwrap();
    expired.issued_at_ms = now_ms() - 3 * DAY_MS;
    expired.expires_at_ms = now_ms() - HOUR_MS;
    assert_eq!(
        reason(
            world
                .publish(
                    TrustDocumentKind::People,
                    sign(&expired, &[&root_key()]).unwrap()
                )
                .await
        ),
        "TRUST_EXPIRED"
    );
    let mut bytes = world.people(6).to_json();
    bytes.push(b' ');
    let answer = world
        .publish_as(&world.administrator, TrustDocumentKind::People, &bytes)
        .await;
    assert_eq!(refused(answer).0, Code::InvalidArgument);
    // The kind said is not the kind signed.
    let answer = world
        .publish(TrustDocumentKind::Catalogue, world.people(6))
        .await;
    assert_eq!(reason(answer), "PAPER_WRONG_TYPE");
    assert_eq!(world.events().await, events);
    let versions = trust::versions(&world.ctx).await.unwrap();
    assert_eq!(
        (versions.root, versions.people, versions.catalogue),
        (1, 5, 0)
    );
    assert!(versions.people_expires_at_ms > now_ms());
}

async fn definitions_are_stored_by_digest_and_listed_when_the_catalogue_names_them(world: World) {
    let service = world.trust();
    let publish = |bytes: Vec<u8>| v1::PublishDefinitionRequest {
        request_id: fresh(),
        definition: bytes.into(),
    };
    let mut shell = definition();
    shell.steps[0].run = chasqui_trust::definition::Run::Program {
        path: "/bin/sh".to_owned(),
        args: vec![],
        success_codes: vec![0],
        script_digest: None,
    };
    let bytes = serde_json::to_vec(&shell).unwrap();
    let answer = service
        .publish_definition(world.by(&world.administrator, publish(bytes)))
        .await;
    assert_eq!(
        refused(answer),
        (Code::InvalidArgument, "PAPER_INVALID".to_owned())
    );
    let bytes = definition().encode().unwrap();
    let answer = ok(service
        .publish_definition(world.by(&world.administrator, publish(bytes.clone())))
        .await);
    assert_eq!(
        answer.digest,
        definition().digest().unwrap().as_bytes().to_vec()
    );
    let list = || v1::ListDefinitionsRequest { page: None };
    assert!(
        ok(service
            .list_definitions(world.by(&world.lead, list()))
            .await)
        .definitions
        .is_empty()
    );
    world.publish_trust().await;
    let listed = ok(service
        .list_definitions(world.by(&world.lead, list()))
        .await)
    .definitions;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].definition, bytes);
}

async fn agents_fetch_what_they_lack(world: World) {
    let machine = world.machine("pc-1", 60).await;
    world.publish_trust().await;
    let held = |root_version, people_version, catalogue_version| v1::FetchTrustDocumentsRequest {
        root_version,
        people_version,
        catalogue_version,
    };
    let all = trust::fetch(&world.ctx, &machine.caller(), held(0, 0, 0))
        .await
        .unwrap();
    assert_eq!(
        (
            all.roots.len(),
            all.people.is_empty(),
            all.catalogue.is_empty()
        ),
        (1, false, false)
    );
    let none = trust::fetch(&world.ctx, &machine.caller(), held(1, 1, 1))
        .await
        .unwrap();
    assert_eq!(
        (none.roots.len(), none.people.len(), none.catalogue.len()),
        (0, 0, 0)
    );
    world
        .publish(TrustDocumentKind::People, world.people(2))
        .await
        .unwrap();
    let some = trust::fetch(&world.ctx, &machine.caller(), held(1, 1, 1))
        .await
        .unwrap();
    assert_eq!(
        (
            some.roots.len(),
            some.people.is_empty(),
            some.catalogue.len()
        ),
        (0, false, 0)
    );
    assert_eq!(ORG, world.ctx.config.organisation);
}
