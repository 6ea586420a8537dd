//! Who gets what, about which area: every call of every service, by every role, with what is expected in one table.
//!
//! The calls are those of the descriptors, so one that is new has no row, and that is found. Whatever a call answers is
//! also searched for what its caller must not see, wherever it comes from.

mod ground;
mod pages;
mod table;

use crate::database::TestDatabase;
use crate::peer::Peer;
use crate::server::TestServer;
use ground::{Caller, Ground, Relation};
pub use pages::hold_pages_against_table;
use prost::Message as _;
use rounds_domain::Role;
use rounds_proto::prost_types::FileDescriptorSet;
use rounds_store::{ContactKeeping, Vault};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use table::{Row, TABLE};
use tempfile::TempDir;
use tonic::Status;

/// What came of holding a server against the table.
#[derive(Debug, Default)]
pub struct Rights {
    /// Calls of the services.
    pub calls: usize,
    /// Calls that were made: with each role, about each area.
    pub tried: usize,
    /// What is not as the table says, or was told to somebody who must not see it. Empty if all is well.
    pub faults: Vec<String>,
}

/// What a call came to.
pub(crate) enum Seen {
    /// It did what it was asked to.
    Done,
    /// It answered this.
    Told(String),
    /// It took an op in, or not.
    Verdict(rounds_proto::v1::Verdict),
}

/// A server that has everything to give, and counts no calls; it is one as long as the folder of its key file is there.
///
/// # Panics
/// When it does not start.
pub async fn serve(database: &TestDatabase) -> (TestServer, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let vault = Vault::open(folder.path().join("key"), [1; 32]).expect("a key file");
    let contacts = ContactKeeping { vault: Arc::new(vault), kept: Duration::from_secs(24 * 60 * 60) };
    let server = TestServer::start_with(database, |config| {
        config.rate_limits = false;
        config.contacts = Some(contacts);
    });
    (server.await, folder)
}

/// Makes every call of the table: as everybody, or only as devices with one role. The server must not limit how often.
pub async fn hold_against_table(server: &TestServer, only: Option<Role>) -> Rights {
    let ground = Ground::lay(server).await;
    let rows: Vec<Row> = TABLE.lines().filter_map(Row::read).collect();
    let (described, in_table) = (described(), rows.iter().map(|row| row.call.to_owned()).collect());
    let mut rights = Rights { calls: described.len(), ..Rights::default() };
    for call in described.symmetric_difference(&in_table) {
        rights.faults.push(format!("{call}: it is a call, or it has a row, but not both"));
    }
    for row in &rows {
        let expected = row.expected().into_iter();
        for (caller, expected) in expected.filter(|(caller, _)| only.is_none_or(|only| caller.has(only))) {
            hold(&ground, row, caller, expected, &mut rights).await;
        }
    }
    rights
}

/// One row and caller: about every area in turn.
async fn hold(ground: &Ground<'_>, row: &Row, caller: Caller, expected: [char; 6], rights: &mut Rights) {
    let mut answers = Vec::new();
    let mut peer = ground.caller(caller).await;
    for relation in Relation::ALL {
        let answer = row.make(ground, &mut peer, relation).await;
        rights.tried += 1;
        let letter = letter(&answer, ground.marks(relation));
        let at = relation as usize;
        let cell = format!("{} ({}) by {caller:?}, {relation:?}", row.call, row.with);
        if letter != expected[at] {
            let said = told(&answer);
            rights.faults.push(format!("{cell}: {letter} where the table says {}: {said}", expected[at]));
        }
        for leaked in ground.leaked(caller, &told(&answer)) {
            rights.faults.push(format!("{cell}: it tells {leaked}: {}", told(&answer)));
        }
        answers.push((relation, letter, answer));
    }
    // What is not the caller's is refused exactly as what is not there.
    let Some((_, absent, Err(nothing))) = answers.last() else { return };
    for (relation, letter, answer) in &answers {
        if let (true, Err(refused)) = (letter == absent, answer)
            && whole(refused) != whole(nothing)
        {
            let (one, other) = (whole(refused), whole(nothing));
            let cell = format!("{} ({}) by {caller:?}, {relation:?}", row.call, row.with);
            rights.faults.push(format!("{cell}: told apart from what is not there: {one} and {other}"));
        }
    }
}

/// What the table calls an answer.
fn letter(answer: &Result<Seen, Status>, (secret, shared): (&str, &str)) -> char {
    use rounds_proto::v1::Outcome;
    let reason = match answer {
        Ok(Seen::Done) => return '+',
        Ok(Seen::Told(text)) if text.contains(secret) => return '+',
        Ok(Seen::Told(text)) if text.contains(shared) => return '=',
        Ok(Seen::Told(_)) => return '.',
        Ok(Seen::Verdict(verdict)) if verdict.reason == "UNKNOWN_RECORD" => return '?',
        Ok(Seen::Verdict(verdict)) if verdict.outcome() != Outcome::Quarantined => return '+',
        Ok(Seen::Verdict(verdict)) => verdict.reason.clone(),
        Err(status) => crate::peer::reason(status),
    };
    match reason.as_str() {
        "TOKEN_MISSING" => 'm',
        "TOKEN_UNKNOWN" => 'u',
        "DEVICE_REVOKED" => 'r',
        "CODE_INVALID" => 'c',
        "NOT_FORKED" => 'k',
        "FORBIDDEN" => 'F',
        "NOT_IN_SCOPE" => 'S',
        "NOT_FOUND" => 'N',
        "INVALID" => 'x',
        _ => '!',
    }
}

fn told(answer: &Result<Seen, Status>) -> String {
    match answer {
        Ok(Seen::Done) => String::new(),
        Ok(Seen::Told(text)) => text.clone(),
        Ok(Seen::Verdict(verdict)) => format!("{verdict:?}"),
        Err(status) => whole(status),
    }
}

/// Everything that a refusal says, but for what differs between any two answers.
fn whole(status: &Status) -> String {
    let mut metadata = status.metadata().clone();
    metadata.remove("date");
    let details = String::from_utf8_lossy(status.details()).into_owned();
    format!("{:?} {:?} {details:?} {metadata:?}", status.code(), status.message())
}

/// The calls of all services of `rounds.v1`, such as `SyncService/Watch`.
fn described() -> BTreeSet<String> {
    let files = FileDescriptorSet::decode(rounds_proto::FILE_DESCRIPTOR_SET).expect("a descriptor set").file;
    let services = files.iter().filter(|file| file.package() == "rounds.v1").flat_map(|file| &file.service);
    let calls = services.flat_map(|service| {
        service.method.iter().map(move |call| format!("{}/{}", service.name(), call.name()))
    });
    calls.collect()
}

impl Row {
    async fn make(&self, ground: &Ground<'_>, peer: &mut Peer, relation: Relation) -> Result<Seen, Status> {
        table::call(ground, peer, &format!("{} {}", self.call, self.with), relation).await
    }
}
