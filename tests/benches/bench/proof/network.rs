//! P12: how long those wait who mean well, while others send what is made to cost a server something.

use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line, median};
use crate::phone::{Chance, Phone};
use crate::site::{Ground, endpoint};
use crate::sync::program::{MIB, Program, phones};
use rounds_proto::v1::sync_service_client::SyncServiceClient;
use rounds_proto::v1::{SealedOp, SyncRequest};
use rounds_tests::hostile;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::codec::CompressionEncoding;

/// Phones that mean well, each of which sends an op so often.
const PHONES: usize = 32;
const EVERY: Duration = Duration::from_millis(50);
/// Hostile connections at a time, each from an address of its own, of those that keep the line busy,
const BUSY: u8 = 8;
/// and of those that only hold it.
const IDLE: u8 = 200;
/// What a message of a few KiB becomes when it is unpacked, in bytes.
const BOMB_BYTES: usize = 64 * 1024 * 1024;
/// More of the same than any connection stands, or than goes over the line while it is measured.
const MANY: usize = 1_000_000;

/// A way to harm.
#[derive(Clone, Copy, Debug)]
enum Attack {
    Resets,
    MalformedCalls,
    Pings,
    Settings,
    EmptyData,
    EndlessHeaders,
    Trickles,
    Silence,
    NeverReading,
    HalvesOfCalls,
    Bombs(CompressionEncoding),
}

const ATTACKS: [Attack; 12] = [
    Attack::Resets,
    Attack::MalformedCalls,
    Attack::Pings,
    Attack::Settings,
    Attack::EmptyData,
    Attack::EndlessHeaders,
    Attack::Trickles,
    Attack::Silence,
    Attack::NeverReading,
    Attack::HalvesOfCalls,
    Attack::Bombs(CompressionEncoding::Gzip),
    Attack::Bombs(CompressionEncoding::Zstd),
];

impl Attack {
    fn connections(self) -> u8 {
        match self {
            Attack::Trickles | Attack::Silence | Attack::HalvesOfCalls => IDLE,
            _ => BUSY,
        }
    }

    /// Goes on for ever from one address: a connection that is over is followed by the next. `token` is that of a
    /// device that turned bad.
    async fn run(self, source: [u8; 4], server: SocketAddr, token: String) {
        if let Attack::Bombs(encoding) = self {
            return bomb(server, encoding, &token).await;
        }
        loop {
            let Ok(mut stream) = hostile::connect_from(source, server).await else {
                tokio::time::sleep(EVERY).await; // refused: it comes back, as attackers do
                continue;
            };
            match self {
                Attack::Resets => drop(hostile::rapid_reset(stream, MANY).await),
                Attack::MalformedCalls => drop(hostile::malformed_calls(stream, MANY).await),
                Attack::Pings => drop(hostile::pings(stream, MANY).await),
                Attack::Settings => drop(hostile::settings(stream, MANY).await),
                Attack::EmptyData => drop(hostile::empty_data(stream, MANY).await),
                Attack::EndlessHeaders => drop(hostile::endless_headers(stream, MANY).await),
                Attack::Trickles => hostile::trickle(stream, 2 * EVERY).await,
                Attack::Silence => hostile::closed(stream).await,
                Attack::NeverReading => hostile::never_read(stream, "/dashboard.js").await,
                Attack::HalvesOfCalls => {
                    let headers = format!("authorization: Bearer {token}\r\n");
                    let path = "/rounds.v1.SyncService/Sync";
                    let half = hostile::half_a_call(stream, path, &headers, 4 << 20, 2 << 20).await;
                    stream = match half {
                        Ok(stream) => stream,
                        Err(_) => continue,
                    };
                    hostile::closed(stream).await;
                }
                Attack::Bombs(_) => {}
            }
        }
    }
}

async fn bomb(server: SocketAddr, encoding: CompressionEncoding, token: &str) {
    let mut client = SyncServiceClient::new(endpoint(server).connect_lazy())
        .send_compressed(encoding)
        .max_encoding_message_size(usize::MAX);
    let ops = vec![SealedOp { seq: 1, followed_by: 0, op: vec![0; BOMB_BYTES].into() }];
    loop {
        let mut request = tonic::Request::new(SyncRequest { ops: ops.clone(), ..SyncRequest::default() });
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a token"));
        let _ = client.sync(request).await; // it is refused
    }
}

/// Honest calls for so long: how long the slowest of a hundred took, in ms.
async fn p99(phones: &mut Vec<Phone>, time: Duration) -> f64 {
    let mut calling = JoinSet::new();
    for (mut phone, number) in phones.drain(..).zip(0..) {
        calling.spawn(async move {
            let mut chance = Chance(number);
            let mut took = Vec::new();
            let end = Instant::now() + time;
            let mut beat = interval(EVERY);
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while Instant::now() < end {
                beat.tick().await;
                let ops = phone.prepare(1, 1, &mut chance).remove(0);
                let start = Instant::now();
                phone.sync(ops).await; // it ends here if whoever means well is not served
                took.push(start.elapsed().as_secs_f64() * 1_000.0);
            }
            (phone, took)
        });
    }
    let mut all = Vec::new();
    while let Some(done) = calling.join_next().await {
        let (phone, took) = done.expect("calls that end");
        phones.push(phone);
        all.extend(took);
    }
    all.sort_by(f64::total_cmp);
    all[all.len() * 99 / 100]
}

/// One attack after the other, each beside a time of peace.
pub(crate) async fn p12(kind: Kind, asked: &Asked) -> Vec<Line> {
    let time = Duration::from_secs(asked.size(2, 10));
    let turns = asked.size(1, 3);
    let ground = Ground::lay(kind, PHONES).await;
    let program = Program::start_with_limits(&asked.rounds, ground.database.url());
    let mut honest = phones(&ground, PHONES, program.address).await;
    let (_, token) = ground.enrol(ground.areas[0]).await;
    p99(&mut honest, time).await;
    let (mut worst, mut figure, mut yardstick) = (0.0, String::new(), String::new());
    for attack in ATTACKS {
        let (mut ratios, mut under, mut peace) = (Vec::new(), 0.0, 0.0);
        for _ in 0..turns {
            peace = p99(&mut honest, time).await;
            let mut attackers = JoinSet::new();
            for number in 1..=attack.connections() {
                attackers.spawn(attack.run([127, 0, 1, number], program.address, token.clone()));
            }
            under = p99(&mut honest, time).await;
            attackers.shutdown().await;
            ratios.push(under / peace);
        }
        let ratio = median(ratios);
        eprintln!("P12: {attack:?}: p99 {under:.1} ms, {peace:.1} ms in peace, {ratio:.2} x");
        if ratio > worst {
            worst = ratio;
            figure = format!("p99 {under:.1} ms under {attack:?}, the worst of {}", ATTACKS.len());
            yardstick = format!("p99 {peace:.1} ms in peace");
        }
    }
    let memory = program.memory("VmHWM:") / MIB;
    drop(program);
    ground.store.close().await;
    let line = |figure, yardstick, value, bound| Line {
        id: "P12",
        database: kind.name(),
        figure,
        yardstick,
        value,
        floor: bound,
        goal: bound,
    };
    vec![
        line(figure, yardstick, worst, Bound::AtMost(2.0)),
        line(format!("{memory:.0} MiB at most"), "-".to_owned(), memory, Bound::AtMost(256.0)),
    ]
}
