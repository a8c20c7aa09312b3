use chasqui_proto::v1;
use chasqui_proto::v1::log_service_server::LogService as _;
use chasqui_server::{backup, rpc};
use chasqui_store::{Options, Store};
use chasqui_trust::evidence::Checkpoint;
use chasqui_trust::{Digest, Document, Envelope, merkle};

use crate::world::{ORG, World, fresh, ok, reason};

both_engines!(
    an_event_is_proved_under_a_signed_checkpoint,
    a_changed_row_or_event_is_found,
    a_backup_restores_what_was_answered,
);

async fn an_event_is_proved_under_a_signed_checkpoint(world: World) {
    let service = rpc::log::Service(world.ctx.clone());
    let none = ok(service
        .get_checkpoint(world.by(&world.auditor, v1::GetCheckpointRequest {}))
        .await);
    assert_eq!(none.checkpoint, None);
    let ticket = world.ticket(&world.requester, "Mi salario", None).await;
    let event_id = world.timeline(&world.lead, &ticket.id).await.remove(0).id;
    let ask = |event_id: &str| v1::GetEventProofRequest {
        event_id: event_id.to_owned(),
    };
    assert_eq!(
        reason(
            service
                .get_event_proof(world.by(&world.auditor, ask(&event_id)))
                .await
        ),
        "EVENT_NOT_SEALED"
    );
    for n in 0..5 {
        world
            .ticket(&world.requester, &format!("Otro {n}"), None)
            .await;
    }
    chasqui_server::jobs::once(&world.ctx)
        .await
        .map_err(tonic::Status::from)
        .unwrap();
    let proof = ok(service
        .get_event_proof(world.by(&world.auditor, ask(&event_id)))
        .await);
    let checkpoint = proof.checkpoint.unwrap();
    let envelope = Envelope::from_json(&checkpoint.envelope).unwrap();
    assert!(envelope.is_signed_by(&world.ctx.log_key.public_key()));
    let paper = Checkpoint::decode(&envelope).unwrap();
    assert_eq!((paper.org.as_str(), paper.size), (ORG, checkpoint.size));
    let path: Vec<Digest> = proof
        .proof
        .iter()
        .map(|hash| Digest::from_slice(hash).unwrap())
        .collect();
    let leaf = merkle::leaf_hash(&proof.leaf);
    assert!(merkle::verify(
        &leaf,
        proof.leaf_index,
        paper.size,
        &path,
        &paper.root
    ));
    assert!(
        !String::from_utf8_lossy(&proof.leaf).contains("salario"),
        "no personal text in the leaf"
    );
    assert_eq!(
        reason(
            service
                .get_event_proof(world.by(&world.auditor, ask(&fresh())))
                .await
        ),
        "EVENT_UNKNOWN"
    );
}

async fn a_changed_row_or_event_is_found(world: World) {
    let ticket = world.ticket(&world.requester, "No imprime", None).await;
    world.check().await;
    let holds = async || {
        let (store, key) = (world.ctx.store.clone(), world.ctx.log_key.public_key());
        let check = move || chasqui_server::check::check_store(&store, ORG, &key);
        tokio::task::spawn_blocking(check)
            .await
            .unwrap()
            .unwrap()
            .holds()
    };
    world
        .raw(&format!(
            "UPDATE tickets SET title = 'Otra cosa' WHERE id = '{}'",
            ticket.id
        ))
        .await;
    assert!(!holds().await, "the title is not the registered one");
    world
        .raw(&format!(
            "UPDATE tickets SET title = 'No imprime' WHERE id = '{}'",
            ticket.id
        ))
        .await;
    assert!(holds().await);
    world
        .raw(&format!(
            "UPDATE events SET at_ms = at_ms + 1 WHERE subject_id = '{}'",
            ticket.id
        ))
        .await;
    assert!(!holds().await, "the leaf is not the sealed one");
}

async fn a_backup_restores_what_was_answered(world: World) {
    let ticket = world.ticket(&world.requester, "No imprime", None).await;
    world.check().await;
    let file = world.folder.path().join("copy.chasqui");
    let config = world.ctx.config.clone();
    let url = format!(
        "sqlite:{}",
        world.folder.path().join("restored.db").display()
    );
    let (path, into) = (file.clone(), url.clone());
    tokio::task::spawn_blocking(move || {
        backup::backup(&config, &path, chasqui_base::text::Lang::En).unwrap();
        assert!(
            backup::backup(&config, &path, chasqui_base::text::Lang::En).is_err(),
            "never written over"
        );
        backup::restore(&path, &into, chasqui_base::text::Lang::En).unwrap();
        assert!(
            backup::restore(&path, &into, chasqui_base::text::Lang::En).is_err(),
            "never into what is used"
        );
    })
    .await
    .unwrap();
    let restored = Store::open(&url, &Options::existing()).unwrap();
    let id = ticket.id.clone();
    let found = restored
        .read(move |tx| chasqui_store::ticket::by_id(tx, &id))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.number, ticket.number);
    let (store, key) = (restored.clone(), world.ctx.log_key.public_key());
    let check = move || chasqui_server::check::check_store(&store, ORG, &key);
    assert!(
        tokio::task::spawn_blocking(check)
            .await
            .unwrap()
            .unwrap()
            .holds()
    );
}
