//! The `rounds` program as it is installed: S8, S10 and S11.

use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line, median, rate, timed};
use crate::phone::{Chance, Phone};
use crate::site::{Ground, endpoint};
use crate::sync::push::push;
use futures_util::future::join_all;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;
use tokio::sync::mpsc;

pub(crate) const MIB: f64 = 1024.0 * 1024.0;

/// A running `rounds serve`.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    child: Child,
    /// It may say more.
    _output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts it on a free port, for phones that call as fast as they can. It is ready when this returns: it says so
    /// itself.
    pub(crate) fn start(file: &Path, database: &str) -> Self {
        Self::start_as(file, &["--no-rate-limits", "--database", database])
    }

    /// The same, as it is for everybody.
    pub(crate) fn start_with_limits(file: &Path, database: &str) -> Self {
        Self::start_as(file, &["--database", database])
    }

    fn start_as(file: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(file)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(args)
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let mut first = String::new();
        output.read_line(&mut first).expect("a line");
        let address = first.trim().rsplit(' ').next().and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("it said {first:?}"));
        Self { address, child, _output: output }
    }

    /// Its number among the processes.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// As [`memory_of`].
    pub(crate) fn memory(&self, what: &str) -> f64 {
        memory_of(self.id(), what)
    }

    /// Kills it with SIGKILL, and waits until it is gone.
    fn kill(&mut self) {
        let _ = self.child.kill(); // it may have been killed before
        let _ = self.child.wait();
    }
}

/// A line of `/proc/PID/status`, in bytes.
pub(crate) fn memory_of(process: u32, what: &str) -> f64 {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(path).expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("a line");
    let kib: f64 = line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number");
    kib * 1024.0
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A phone for each of the ground's areas in turn, at a server that runs elsewhere. They connect when they first call.
pub(crate) async fn phones(ground: &Ground, count: usize, server: SocketAddr) -> Vec<Phone> {
    let mut phones = Vec::with_capacity(count);
    for area in ground.areas.iter().cycle().take(count) {
        let (_, token) = ground.enrol(*area).await;
        phones.push(Phone::new(endpoint(server).connect_lazy(), &token, *area));
    }
    phones
}

/// Every phone comes back after a day offline, all at once, beside 64 phones that push all the time.
pub(crate) async fn s8(kind: Kind, asked: &Asked) -> Vec<Line> {
    const OPS: usize = 50;
    const STEADY: usize = 64;
    let count = asked.size(200, 2_000);
    let calls = count / STEADY;
    let ground = Ground::lay(kind, count).await;
    let program = Program::start(&asked.rounds, ground.database.url());
    let mut many = phones(&ground, count, program.address).await;
    let mut few = phones(&ground, STEADY, program.address).await;
    let mut chance = Chance(8);
    let (mut figures, mut yardsticks, mut sent) = (Vec::new(), Vec::new(), 0);
    for turn in 0..=asked.turns() {
        many.iter_mut().for_each(|phone| phone.call(endpoint(program.address).connect_lazy()));
        let burst = many.iter_mut().map(|phone| phone.prepare(1, OPS, &mut chance)).collect();
        let (_, took) = timed(push(&mut many, burst)).await;
        let steady = few.iter_mut().map(|phone| phone.prepare(calls, OPS, &mut chance)).collect();
        let (_, steady_took) = timed(push(&mut few, steady)).await;
        sent += count * OPS + STEADY * calls * OPS;
        let kept = ground.number("SELECT count(*) FROM records WHERE kind = 9").await;
        assert_eq!(kept, sent, "acknowledged ops are there");
        if turn > 0 {
            figures.push(rate(count * OPS, took));
            yardsticks.push(rate(STEADY * calls * OPS, steady_took));
        }
    }
    let memory = program.memory("VmHWM:") / MIB;
    drop(program);
    ground.store.close().await;
    let (figure, yardstick) = (median(figures), median(yardsticks));
    let speed = Line {
        id: "S8",
        database: kind.name(),
        figure: format!("{figure:.0} ops/s of {count} devices"),
        yardstick: format!("{yardstick:.0} ops/s of {STEADY} devices"),
        value: yardstick / figure,
        floor: Bound::AtMost(2.0),
        goal: Bound::AtMost(1.3),
    };
    let memory = Line {
        id: "S8",
        database: kind.name(),
        figure: format!("{memory:.0} MiB at most"),
        yardstick: "-".to_owned(),
        value: memory,
        floor: Bound::AtMost(256.0),
        goal: Bound::AtMost(256.0),
    };
    vec![speed, memory]
}

/// From the start of the program, after it was killed while phones pushed, until it has answered a call.
pub(crate) async fn s10(kind: Kind, asked: &Asked) -> Line {
    const PHONES: usize = 16;
    const CALLS_BEFORE_KILL: usize = 100;
    let ground = Ground::lay(kind, 64).await;
    let stored = ground.fill(asked.size(100_000, 1_000_000)).await;
    let mut program = Program::start(&asked.rounds, ground.database.url());
    let mut chance = Chance(10);
    let mut figures = Vec::new();
    for _ in 0..asked.turns() {
        let (answered, mut answers) = mpsc::channel(1);
        let mut pushing = Vec::new();
        for mut phone in phones(&ground, PHONES, program.address).await {
            let calls = phone.prepare(CALLS_BEFORE_KILL, 10, &mut chance);
            let answered = answered.clone();
            pushing.push(tokio::spawn(async move {
                for ops in calls {
                    if phone.try_ask(ops).await.is_err() || answered.send(()).await.is_err() {
                        break;
                    }
                }
            }));
        }
        for _ in 0..CALLS_BEFORE_KILL {
            answers.recv().await.expect("phones that push");
        }
        program.kill();
        drop(answers);
        join_all(pushing).await;

        let mut phone = phones(&ground, 1, program.address).await.remove(0);
        let start = Instant::now();
        program = Program::start(&asked.rounds, ground.database.url());
        phone.call(endpoint(program.address).connect_lazy());
        assert!(phone.sync(Vec::new()).await > 0, "the records of its area");
        figures.push(start.elapsed().as_secs_f64());
    }
    drop(program);
    ground.store.close().await;
    let figure = median(figures);
    Line {
        id: "S10",
        database: kind.name(),
        figure: format!("{figure:.3} s with {stored} ops"),
        yardstick: "-".to_owned(),
        value: figure,
        floor: Bound::AtMost(1.0),
        goal: Bound::AtMost(0.3),
    }
}

/// What the program takes when it has answered one call and has nothing to do.
pub(crate) async fn s11(kind: Kind, asked: &Asked) -> Line {
    let ground = Ground::lay(kind, 1).await;
    let program = Program::start(&asked.rounds, ground.database.url());
    let mut phone = phones(&ground, 1, program.address).await.remove(0);
    assert_eq!(phone.sync(Vec::new()).await, 1, "the area itself");
    let memory = program.memory("VmRSS:") / MIB;
    drop(program);
    ground.store.close().await;
    Line {
        id: "S11",
        database: kind.name(),
        figure: format!("{memory:.1} MiB of memory"),
        yardstick: "-".to_owned(),
        value: memory,
        floor: Bound::AtMost(50.0),
        goal: Bound::AtMost(25.0),
    }
}

/// The size of the program's file. A release build strips it.
pub(crate) fn s11_size(asked: &Asked) -> Line {
    let size = std::fs::metadata(&asked.rounds).expect("the program").len() as f64 / MIB;
    Line {
        id: "S11",
        database: "-",
        figure: format!("{size:.1} MiB on disk"),
        yardstick: "-".to_owned(),
        value: size,
        floor: Bound::AtMost(40.0),
        goal: Bound::AtMost(25.0),
    }
}
