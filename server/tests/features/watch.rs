use chasqui_proto::v1::order_service_server::OrderService as _;
use chasqui_proto::v1::watch_order_response::Event;
use chasqui_proto::v1::{self, OrderState};
use chasqui_server::rpc::order;
use chasqui_trust::result::Outcome;
use tokio_stream::StreamExt as _;

use crate::papers::result;
use crate::world::{Machine, World, fresh, reason};

both_engines!(
    a_watcher_sees_states_and_output_without_gap_or_repetition,
    a_watcher_who_comes_late_sees_everything_and_the_end,
    output_is_kept_up_to_its_bound,
);

fn chunk(order: &v1::Order, offset: u64, data: &[u8]) -> v1::OutputChunk {
    v1::OutputChunk {
        order_id: order.id.clone(),
        offset,
        data: data.to_vec().into(),
        last: false,
    }
}

async fn print(
    world: &World,
    machine: &Machine,
    order: &v1::Order,
    offset: u64,
    data: &[u8],
) -> u64 {
    order::output(&world.ctx, &machine.caller(), chunk(order, offset, data))
        .await
        .unwrap()
}

/// Everything a watcher gets until the end: states and output, whose pieces must follow on each other.
async fn follow(world: &World, order: &v1::Order) -> (Vec<OrderState>, Vec<u8>) {
    let message = v1::WatchOrderRequest {
        order_id: order.id.clone(),
    };
    let mut stream = world
        .orders()
        .watch_order(world.by(&world.technician, message))
        .await
        .unwrap()
        .into_inner();
    let (mut states, mut output) = (Vec::new(), Vec::new());
    while let Some(message) = stream.next().await {
        match message.unwrap().event.unwrap() {
            Event::Order(order) => states.push(order.state()),
            Event::Output(piece) => {
                assert!(!states.is_empty(), "the order comes first");
                assert_eq!(piece.offset, output.len() as u64, "no gap, no repetition");
                assert!(!piece.truncated);
                output.extend_from_slice(&piece.data);
            }
        }
    }
    (states, output)
}

async fn a_watcher_sees_states_and_output_without_gap_or_repetition(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    let order = world.sent(&machine).await;
    print(&world, &machine, &order, 0, b"antes ").await;
    let watching = follow(&world, &order);
    let working = async {
        let mut offset = 6;
        for n in 0..200_u32 {
            let line = format!("linea {n}\n");
            // Every chunk is offered twice, as after a lost answer.
            print(&world, &machine, &order, offset, line.as_bytes()).await;
            let end = print(&world, &machine, &order, offset, line.as_bytes()).await;
            offset += line.len() as u64;
            assert_eq!(end, offset);
        }
        world
            .submit(
                &machine,
                &order,
                &result(&machine, &order, Outcome::Succeeded),
            )
            .await
            .unwrap();
    };
    let ((states, output), ()) = tokio::join!(watching, working);
    assert_eq!(
        (states.first(), states.last()),
        (Some(&OrderState::Sent), Some(&OrderState::Succeeded))
    );
    let expected: String = (0..200).map(|n| format!("linea {n}\n")).collect();
    assert_eq!(
        String::from_utf8(output).unwrap(),
        format!("antes {expected}")
    );
}

async fn a_watcher_who_comes_late_sees_everything_and_the_end(world: World) {
    world.publish_trust().await;
    let machine = world.machine("pc-1", 60).await;
    let order = world.sent(&machine).await;
    print(&world, &machine, &order, 0, b"uno ").await;
    print(&world, &machine, &order, 2, b"o dos").await;
    world
        .submit(&machine, &order, &result(&machine, &order, Outcome::Failed))
        .await
        .unwrap();
    assert_eq!(
        follow(&world, &order).await,
        (vec![OrderState::Failed], b"uno dos".to_vec())
    );
    let message = v1::WatchOrderRequest { order_id: fresh() };
    let answer = world
        .orders()
        .watch_order(world.by(&world.technician, message))
        .await;
    assert_eq!(reason(answer.map(|_| ())), "ORDER_UNKNOWN");
    // When the coordinator stops, watchers are let go.
    let waiting = world.sent(&machine).await;
    let message = v1::WatchOrderRequest {
        order_id: waiting.id.clone(),
    };
    let mut stream = world
        .orders()
        .watch_order(world.by(&world.technician, message))
        .await
        .unwrap()
        .into_inner();
    assert!(stream.next().await.is_some());
    world.ctx.stop.cancel();
    while stream.next().await.is_some() {}
}

async fn output_is_kept_up_to_its_bound(world: World) {
    world.publish_trust().await;
    let (machine, other) = (
        world.machine("pc-1", 60).await,
        world.machine("pc-2", 61).await,
    );
    let order = world.sent(&machine).await;
    let full = vec![b'x'; 256 * 1024];
    let mut end = 0;
    for n in 0..5 {
        end = print(&world, &machine, &order, n * 256 * 1024, &full).await;
    }
    assert_eq!(end, 1024 * 1024);
    let answer = order::output(&world.ctx, &other.caller(), chunk(&order, 0, b"no")).await;
    assert_eq!(reason(answer), "ORDER_OTHER_DEVICE");
}
