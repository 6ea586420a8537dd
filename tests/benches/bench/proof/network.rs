//! P12: how long those wait who mean well, while others send what is made to cost a server something.

use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line, median};
use crate::phone::{Chance, Phone};
use crate::site::Ground;
use crate::sync::program::{MIB, Program, memory_of, phones};
use prost::Message as _;
use rounds_proto::v1::{SealedOp, SyncRequest};
use rounds_tests::hostile;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Phones that mean well, each of which sends an op so often: all of them less often than one address may call.
const PHONES: usize = 32;
const EVERY: Duration = Duration::from_millis(250);
/// Hostile connections at a time, each from an address of its own, of those that keep the line busy,
const BUSY: u8 = 8;
/// and of those that only hold it.
const IDLE: u8 = 200;
/// Each attack is measured so often, beside as many times of peace; the one in the middle counts.
const TURNS: usize = 3;
/// How often it is looked at how much memory the server has.
const MEMORY_EVERY: Duration = Duration::from_millis(20);
/// What a message of a few KiB becomes when it is unpacked, in bytes.
const BOMB_BYTES: usize = 64 * 1024 * 1024;
/// More of the same than any connection stands, or than goes over the line while it is measured.
const MANY: usize = 1_000_000;

/// Where most can be sent to.
const SYNC: &str = "/rounds.v1.SyncService/Sync";

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
    Bombs(Packer),
}

/// How a bomb is packed.
#[derive(Clone, Copy, Debug)]
enum Packer {
    Gzip,
    Zstd,
}

/// Bombs as they go over the line, made once: to make one costs more than to be hit by it.
static GZIP_BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| framed(&gzip(&bomb())));
static ZSTD_BOMB: LazyLock<Vec<u8>> =
    LazyLock::new(|| framed(&zstd::encode_all(&*bomb(), 0).expect("packed in memory")));

fn bomb() -> Vec<u8> {
    let ops = vec![SealedOp { seq: 1, followed_by: 0, op: vec![0; BOMB_BYTES].into() }];
    SyncRequest { ops, ..SyncRequest::default() }.encode_to_vec()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(bytes).and_then(|()| packed.finish()).expect("packed in memory")
}

/// A packed message as gRPC frames it.
fn framed(packed: &[u8]) -> Vec<u8> {
    let length = u32::try_from(packed.len()).expect("a bomb is small").to_be_bytes();
    [&[1][..], &length, packed].concat()
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
    Attack::Bombs(Packer::Gzip),
    Attack::Bombs(Packer::Zstd),
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
        let headers = format!("authorization: Bearer {token}\r\n");
        loop {
            let Ok(stream) = hostile::connect_from(source, server).await else {
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
                    if let Ok(mut held) = hostile::half_a_call(stream, SYNC, &headers, 4 << 20, 0).await
                        && hostile::flow(&mut held, 2 << 20).await.is_ok()
                    {
                        hostile::closed(held).await;
                    }
                    tokio::time::sleep(EVERY).await; // it is out to hold a place, not to knock
                }
                Attack::Bombs(Packer::Gzip) => {
                    hostile::calls(stream, SYNC, &headers, "gzip", &GZIP_BOMB).await;
                }
                Attack::Bombs(Packer::Zstd) => {
                    hostile::calls(stream, SYNC, &headers, "zstd", &ZSTD_BOMB).await;
                }
            }
        }
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

/// The most memory that a process has of its own, looked at all the time. What is mapped of the database's file is not
/// counted: it is the system's cache, which takes it back when it needs it.
struct MostMemory {
    bytes: Arc<AtomicU64>,
    /// Ends with this.
    _looking: JoinSet<()>,
}

impl MostMemory {
    fn of(process: u32) -> Self {
        let bytes = Arc::new(AtomicU64::new(0));
        let (mut looking, most) = (JoinSet::new(), bytes.clone());
        looking.spawn(async move {
            let mut beat = interval(MEMORY_EVERY);
            loop {
                beat.tick().await;
                most.fetch_max(memory_of(process, "RssAnon:") as u64, Ordering::Relaxed);
            }
        });
        Self { bytes, _looking: looking }
    }

    /// The most since this was asked for last, in MiB.
    fn mib(&self) -> f64 {
        self.bytes.swap(0, Ordering::Relaxed) as f64 / MIB
    }
}

/// One attack after the other, each beside a time of peace.
pub(crate) async fn p12(kind: Kind, asked: &Asked) -> Vec<Line> {
    let time = Duration::from_secs(asked.size(2, 10));
    let ground = Ground::lay(kind, PHONES).await;
    let program = Program::start_with_limits(&asked.rounds, ground.database.url());
    let mut honest = phones(&ground, PHONES, program.address).await;
    let (_, token) = ground.enrol(ground.areas[0]).await;
    LazyLock::force(&GZIP_BOMB);
    LazyLock::force(&ZSTD_BOMB);
    p99(&mut honest, time).await;
    let memory = MostMemory::of(program.id());
    let (mut worst, mut figure, mut yardstick) = (0.0, String::new(), String::new());
    let (mut most_mib, mut most_under) = (0.0, Attack::Resets);
    for attack in ATTACKS {
        let (mut ratios, mut under, mut peace) = (Vec::new(), 0.0, 0.0);
        for _ in 0..TURNS {
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
        let mib = memory.mib();
        eprintln!("P12: {attack:?}: p99 {under:.1} ms, {peace:.1} ms in peace, {ratio:.2} x; {mib:.0} MiB");
        if mib > most_mib {
            (most_mib, most_under) = (mib, attack);
        }
        if ratio > worst {
            worst = ratio;
            figure = format!("p99 {under:.1} ms under {attack:?}, the worst of {}", ATTACKS.len());
            yardstick = format!("p99 {peace:.1} ms in peace");
        }
    }
    drop((memory, program));
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
        line(
            format!("{most_mib:.0} MiB at most, under {most_under:?}"),
            "-".to_owned(),
            most_mib,
            Bound::AtMost(256.0),
        ),
    ]
}
