//! A phone as light as it can be, so that the server is what is measured, and what its user records.

use crate::site::clocks;
use rounds_domain::{Action, AreaId, Body, Change, Op, RecordId, body};
use rounds_proto::v1::sync_service_client::SyncServiceClient;
use rounds_proto::{clock_to_wire, encode_op, v1};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};
use uuid::Uuid;

/// Words of notes. What is written in the field repeats itself about as much.
const WORDS: &str = "the stairwell light on third floor is out again resident asked when it will be mended water \
    pressure low since Monday neighbour reports noise from lift shaft door does not close pots near entrance were \
    dry and watered now bicycle blocks corridor told to move by Friday heating cold in two rooms technician came \
    once part ordered nobody answered left card with number garden bench broken slat replaced graffiti on north \
    wall photographed cleaning agreed next week key handed back meter read cellar damp smell checked no leak found";
/// Length of a note, in bytes: with the visit's other fields about 400 bytes of content.
const NOTE_BYTES: usize = 320;

/// Small pseudo-random numbers (SplitMix64), the same in each run.
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// A text of [`NOTE_BYTES`] bytes.
pub(crate) fn note(chance: &mut Chance) -> String {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut note = String::with_capacity(NOTE_BYTES + 16);
    while note.len() < NOTE_BYTES {
        note.push_str(words[chance.below(words.len())]);
        note.push(' ');
    }
    note.truncate(NOTE_BYTES);
    note
}

/// Somebody called at one of the area's 200 dwellings.
pub(crate) fn visit(area: AreaId, chance: &mut Chance) -> Op {
    let body = body::Visit {
        subject: Some(dwelling(area, chance)),
        purpose: ["routine", "recheck", "persuasion"][chance.below(3)].to_owned(),
        outcome: ["met", "no_answer", "refused"][chance.below(3)].to_owned(),
        note: note(chance),
        ..body::Visit::default()
    };
    create(area, Body::Visit(body))
}

/// Somebody at one of the dwellings asks for something.
pub(crate) fn request(area: AreaId, chance: &mut Chance) -> Op {
    let body = body::Request {
        subject: Some(dwelling(area, chance)),
        category: ["water", "heating", "elevator"][chance.below(3)].to_owned(),
        channel: "visit".to_owned(),
        description: note(chance),
        ..body::Request::default()
    };
    create(area, Body::Request(body))
}

/// What is asked for is said in other words, and in as many, for the `round`th time.
pub(crate) fn reword(request: &Op, round: usize) -> Op {
    let Action::Create(body) = &request.action else { panic!("no request") };
    let first = body.fields()["description"].as_str().expect("a text").to_owned();
    let words = |round: usize| match round {
        0 => first.clone(),
        _ => format!("{round:04} {}", &first[5..]),
    };
    let change =
        Change { field: "description".to_owned(), base: words(round).into(), value: words(round + 1).into() };
    let action = Action::Edit { changes: vec![change], reason: String::new() };
    Op { action, clock: clocks(), ..request.clone() }
}

fn dwelling(area: AreaId, chance: &mut Chance) -> RecordId {
    RecordId::from(area).derived(&chance.below(200).to_string())
}

/// Somebody records something now.
pub(crate) fn create(area: AreaId, body: Body) -> Op {
    Op {
        record: RecordId(Uuid::now_v7()),
        area,
        kind: body.kind(),
        action: Action::Create(Box::new(body)),
        clock: clocks(),
        observed: 0,
        scope_version: 1,
    }
}

/// A phone that speaks `rounds.v1` and keeps nothing.
#[derive(Clone)]
pub(crate) struct Phone {
    pub(crate) area: AreaId,
    client: SyncServiceClient<Channel>,
    token: MetadataValue<Ascii>,
    seq: u64,
    cursor: Vec<u8>,
}

/// Calls that are ready to go out.
pub(crate) type Prepared = Vec<Vec<v1::SealedOp>>;

impl Phone {
    pub(crate) fn new(channel: Channel, token: &str, area: AreaId) -> Self {
        let token = format!("Bearer {token}").parse().expect("a token of letters and digits");
        Self { area, client: client(channel), token, seq: 0, cursor: Vec::new() }
    }

    /// Records visits: so many calls of so many ops.
    pub(crate) fn prepare(&mut self, calls: usize, ops: usize, chance: &mut Chance) -> Prepared {
        let mut seal = || {
            self.seq += 1;
            let op = encode_op(&visit(self.area, chance)).expect("an op").into();
            v1::SealedOp { seq: self.seq, followed_by: 0, op }
        };
        (0..calls).map(|_| (0..ops).map(|_| seal()).collect()).collect()
    }

    /// Goes on over another line, perhaps to another server.
    pub(crate) fn call(&mut self, channel: Channel) {
        self.client = client(channel);
    }

    /// One call. Every op must be applied. Answers how many records came back.
    pub(crate) async fn sync(&mut self, ops: Vec<v1::SealedOp>) -> usize {
        let sent = ops.len();
        let answer = self.ask(ops).await;
        assert_eq!(answer.verdicts.len(), sent);
        let applied = answer.verdicts.iter().filter(|it| it.outcome() == v1::Outcome::Applied).count();
        assert_eq!(applied, sent, "{:?}", answer.verdicts);
        self.cursor = answer.cursor;
        answer.feed.len()
    }

    /// One call, and what the server says.
    pub(crate) async fn ask(&mut self, ops: Vec<v1::SealedOp>) -> v1::SyncResponse {
        self.try_ask(ops).await.expect("an answer")
    }

    /// The same, where the server may be gone.
    pub(crate) async fn try_ask(&mut self, ops: Vec<v1::SealedOp>) -> Result<v1::SyncResponse, Status> {
        let mut request = Request::new(v1::SyncRequest {
            unsent_ops: ops.len() as u64,
            ops,
            cursor: self.cursor.clone(),
            clock: Some(clock_to_wire(clocks())),
            ..v1::SyncRequest::default()
        });
        request.metadata_mut().insert("authorization", self.token.clone());
        Ok(self.client.sync(request).await?.into_inner())
    }
}

fn client(channel: Channel) -> SyncServiceClient<Channel> {
    SyncServiceClient::new(channel).max_decoding_message_size(16 * 1024 * 1024)
}
