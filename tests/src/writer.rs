//! Somebody who hands ops to a store past the wire.

use crate::server::TestClock;
use crate::{Act, new_id};
use rounds_domain::{AreaId, Body, ClockReading, DeviceId, Op, Outcome, Role, body};
use rounds_store::{Arrival, Batch, Content, Store, content_hash};

/// A device of the server itself, with a clock that stands still.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) device: DeviceId,
    clock: TestClock,
}

impl Writer {
    pub(crate) async fn enrol(store: &Store) -> Self {
        let (device, clock) = (DeviceId(new_id()), TestClock::default());
        store
            .internal_device(device, "writer", Role::Admin, clock.now_ms())
            .await
            .expect("a database that answers");
        Self { device, clock }
    }

    /// A batch that may be handed over as often as one likes.
    pub(crate) fn batch(&self, acts: impl IntoIterator<Item = Act>, first_seq: Option<u64>) -> Batch {
        let ops = acts.into_iter().map(|act| act.op(&self.clock));
        let arrival = |(at, op): (u64, Op)| {
            let hash = content_hash(0, &serde_json::to_vec(&op).expect("an op is JSON"));
            Arrival {
                seq: first_seq.map(|first| first + at),
                followed_by: 0,
                hash,
                content: Content::Admitted(op),
            }
        };
        let now_ms = self.clock.now_ms();
        Batch {
            device: self.device,
            arrivals: (0..).zip(ops).map(arrival).collect(),
            clock: ClockReading { wall_ms: now_ms, boot: 0, monotonic_ms: 0 },
            received_ms: now_ms,
            holds_from: 0,
            settled: None,
        }
    }

    /// Hands over what must take effect.
    pub(crate) async fn commit(&self, store: &Store, acts: impl IntoIterator<Item = Act>) {
        let receipt = store.submit(self.batch(acts, None)).await.expect("a commit");
        assert!(receipt.verdicts.iter().all(|(_, it)| it.outcome == Outcome::Applied), "{receipt:?}");
    }

    /// Adds an area to the tree.
    pub(crate) async fn area(&self, store: &Store) -> AreaId {
        let area = AreaId(new_id());
        let (name, time_zone) = (area.to_string(), "Asia/Shanghai".to_owned());
        let body = body::Area { name, time_zone, ..body::Area::default() };
        self.commit(store, [Act::create_with_id(area.into(), area, Body::Area(body))]).await;
        area
    }
}
