//! Whatever is lost, late, doubled or restored in between: when all is quiet, every device shows what the server
//! has, and the server has everything that was recorded.

#![allow(clippy::unwrap_used)] // a helper that fails is a test that fails

mod pretend;

use pretend::{Server, area, clock, enrolled, fields, id, path, request, shown, step, sync, wanted};
use proptest::collection::vec;
use proptest::prelude::*;
use rounds_device::{Asked, Device, Draft, Next, Size};
use rounds_domain::{Action, Kind};
use rounds_proto::v1::SyncResponse;
use serde_json::json;
use std::collections::BTreeSet;
use tempfile::TempDir;

#[derive(Clone, Debug)]
enum Event {
    /// Somebody records requests in an area, as a group.
    Create { phone: usize, area: u128, count: u128 },
    /// Somebody does something to one of the records that the phone shows.
    Touch { phone: usize, which: usize, how: usize },
    /// A question reaches the server; the answer is under way.
    Ask { phone: usize, ops_max: usize },
    /// An answer arrives, perhaps an old one, perhaps once more.
    Hear { phone: usize, which: usize },
    /// The phone's program dies and starts again.
    Restart { phone: usize },
    /// The phone gets other areas.
    Assign { phone: usize, areas: u128 },
    /// The server's backup is made,
    BackUp,
    /// and used.
    Restore,
}

fn event() -> impl Strategy<Value = Event> {
    let phone = || 0..2_usize;
    prop_oneof![
        3 => (phone(), 1..=3_u128, 1..=3_u128).prop_map(|(phone, area, count)| Event::Create { phone, area, count }),
        6 => (phone(), any::<usize>(), 0..6_usize).prop_map(|(phone, which, how)| Event::Touch { phone, which, how }),
        6 => (phone(), 1..5_usize).prop_map(|(phone, ops_max)| Event::Ask { phone, ops_max }),
        6 => (phone(), any::<usize>()).prop_map(|(phone, which)| Event::Hear { phone, which }),
        1 => phone().prop_map(|phone| Event::Restart { phone }),
        1 => (phone(), 1..8_u128).prop_map(|(phone, areas)| Event::Assign { phone, areas }),
        1 => Just(Event::BackUp),
        1 => Just(Event::Restore),
    ]
}

struct Phone {
    number: u128,
    dir: TempDir,
    device: Device,
    under_way: Vec<(Asked, SyncResponse)>,
    recorded: BTreeSet<Vec<u8>>,
}

impl Phone {
    fn new(number: u128) -> Self {
        let (dir, device) = enrolled(number);
        Self { number, dir, device, under_way: Vec::new(), recorded: BTreeSet::new() }
    }

    fn record(&mut self, now_ms: i64, group: Vec<Draft>) {
        let seqs = self.device.record(clock(now_ms), group).unwrap();
        let unsent = self.device.request(clock(now_ms), Size::default()).unwrap().request.ops;
        let new = unsent.iter().filter(|sealed| seqs.contains(&sealed.seq));
        self.recorded.extend(new.map(|sealed| sealed.op.to_vec()));
        assert!(self.recorded.len() >= seqs.len());
    }

    fn touch(&mut self, now_ms: i64, which: usize, how: usize) {
        let views = self.device.list(Kind::Request).unwrap();
        if views.is_empty() {
            return;
        }
        let seen = &views[which % views.len()].record;
        let edit = |field: &str| Draft::edit(seen, fields([(field, json!(format!("at {now_ms}")))]), "");
        let draft = match how {
            0 => edit("description"),
            1 => edit("category"),
            2 => step(seen, "triaged"),
            3 => step(seen, "in_progress"),
            4 => {
                let to = area(1 + (seen.area.0.as_u128() + 1) % 3);
                if to == seen.area {
                    return;
                }
                Draft::on(seen, Action::Move { to })
            }
            _ => Draft::on(seen, Action::Delete { reason: "a mistake".to_owned() }),
        };
        self.record(now_ms, vec![draft]);
    }
}

fn happen(event: Event, phones: &mut [Phone], server: &mut Server, backup: &mut Option<Server>, now_ms: i64) {
    match event {
        Event::Create { phone, area: number, count } => {
            let first = now_ms as u128 * 10;
            let new = |n| Draft::create(id(first + n), area(number), request("water"));
            phones[phone].record(now_ms, (0..count).map(new).collect());
        }
        Event::Touch { phone, which, how } => phones[phone].touch(now_ms, which, how),
        Event::Ask { phone, ops_max } => {
            let phone = &mut phones[phone];
            let size = Size { ops_max, records_max: 0 };
            let asked = phone.device.request(clock(now_ms), size).unwrap();
            let answer = server.answer(&asked, &phone.device);
            phone.under_way.push((asked, answer));
        }
        Event::Hear { phone, which } => {
            let Phone { device, under_way, .. } = &mut phones[phone];
            if !under_way.is_empty() {
                let (asked, answer) = under_way[under_way.len() - 1 - which % under_way.len()].clone();
                device.take(&asked, answer).unwrap();
            }
        }
        Event::Restart { phone } => {
            let phone = &mut phones[phone];
            phone.device = Device::open(path(&phone.dir)).unwrap();
        }
        Event::Assign { phone, areas } => {
            let areas: Vec<u128> = (1..=3).filter(|n| areas & (1 << (n - 1)) != 0).collect();
            server.assign(phones[phone].number, &areas);
        }
        Event::BackUp => *backup = Some(server.clone()),
        Event::Restore => {
            if let Some(backup) = backup.take() {
                let epoch = server.epoch;
                *server = Server { epoch, ..backup }.restored();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn all_devices_end_where_the_server_is(events in vec(event(), 1..80), page_records in 1..20_usize) {
        let mut server = Server::with(&[1, 2]);
        server.page_records = page_records;
        let mut backup = None;
        let mut phones = [Phone::new(1), Phone::new(2)];
        for (at, event) in events.into_iter().enumerate() {
            happen(event, &mut phones, &mut server, &mut backup, at as i64 + 1);
        }
        for phone in [0, 1, 0, 1] {
            prop_assert_eq!(sync(&mut phones[phone].device, &mut server), Next::Rest);
        }
        for Phone { number, device, recorded, .. } in &phones {
            prop_assert_eq!(shown(device), wanted(&server, device));
            prop_assert_eq!(device.status().unwrap().unsent_ops, 0);
            let known: BTreeSet<_> = server.op_bytes(pretend::device_id(*number)).into_iter().collect();
            prop_assert_eq!(&known, recorded, "nothing is lost, nothing is made up");
        }
    }
}
