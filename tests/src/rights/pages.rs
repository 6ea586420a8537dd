//! The same for pages: every path of the server, read and written, by everybody.

use super::Rights;
use super::ground::{Ground, Relation};
use super::table::columns;
use crate::http;
use crate::peer::Peer;
use crate::server::TestServer;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use prost::bytes::Bytes;
use rounds_store::{Link, Purpose};
use std::collections::BTreeSet;

/// Columns: method; path as the server has it; with or about what; then as in the table of calls. Where a path names
/// nothing, each caller asks once.
///
/// ```text
/// +  told what only those of the area may read      i  asked to sign in     F  403    N  404    G  410
/// =  told what those of the areas below may read    >  led on (303)         x  422
/// .  told nothing of it (200)
/// ```
///
/// What has no row is answered with 405, or there is no such path.
const TABLE: &str = "
GET   /                                          there                   iii     ==NNNN  ==NNNN  ==NNNN  i  =====N
GET   /behind                                    visits there            iii     ++NNNN  ++NNNN  ++NNNN  i  +++++N
GET   /download                                  visits there            iii     FFNNNN  ++NNNN  ++NNNN  i  +++++N
GET   /follow-ups                                there                   iii     ==NNNN  ==NNNN  ==NNNN  i  =====N
GET   /referrals                                 there                   iii     ++NNNN  ++NNNN  ++NNNN  i  +++++N
GET   /record/{id}                               a visit                 iii     ++NNNN  ++NNNN  ++NNNN  i  +++++N
GET   /record/{id}                               a checklist             iii     ===NNN  ===NNN  ===NNN  i  =====N
POST  /record/{id}/contact                       of a request there      iii     FFNNNN  ++NNNN  FFNNNN  i  +++++N
GET   /conflicts                                 there                   iii     FFNNNN  ++NNNN  FFNNNN  i  +++++N
POST  /conflicts                                 of a visit              iii     F       >>NNNN  F       i  >>>>>N
GET   /quarantine                                there                   iii     FFNNNN  ++NNNN  FFNNNN  i  +++++N
GET   /quarantine/{device}/{seq}                 an op there             iii     F       ++NNNN  F       i  +++++N
POST  /quarantine/{device}/{seq}                 an op there, dismissed  iii     F       >>NNNN  F       i  >>>>>N
GET   /devices                                   there                   iii     FFNNNN  ++NNNN  FFNNNN  i  +++++N
GET   /devices/enrol                             there                   iii     FFNNNN  ++NNNN  FFNNNN  i  +++++N
POST  /devices/enrol                             for a phone there       iii     F       ==NNNN  F       i  =====N
POST  /devices/{device}/revoke                   a phone there           iii     F       >>NNNN  F       i  >>>>>N
GET   /jobs                                      all                     iii     F       F       F       i  .
POST  /jobs                                      none that there is      iii     F       F       F       i  >
POST  /sign-in                                   a made-up code          iii     i       i       i       i  i
POST  /sign-out                                  itself                  iii     i       i       i       i  i
POST  /language                                  English                 >>>     >       >       >       >  >
GET   /live                                      itself                  iii     .       .       .       i  .
GET   /calendar/{kind}/{id}/{token}              by link, of a worker    +NNNNN  +NNNNN  +NNNNN  +NNNNN  +NNNNN  +NNNNN
GET   /r/{request}/{organization}/{expires}/{token}  by link, a request  +NNNNN  +NNNNN  +NNNNN  +NNNNN  +NNNNN  +NNNNN
POST  /r/{request}/{organization}/{expires}/{token}  by link, progress   xNNNNN  xNNNNN  xNNNNN  xNNNNN  xNNNNN  xNNNNN
GET   /page.css                                  itself                  ...     .       .       .       .  .
GET   /dashboard.css                             itself                  ...     .       .       .       .  .
GET   /dashboard.js                              itself                  ...     .       .       .       .  .
GET   /icon.svg                                  itself                  ...     .       .       .       .  .
GET   /healthz                                   itself                  ...     .       .       .       .  .
";

/// What is asked for.
struct Row {
    method: &'static str,
    path: &'static str,
    with: &'static str,
    columns: [&'static str; 6],
}

impl Row {
    fn read(line: &'static str) -> Option<Self> {
        let (method, rest) = line.split_once("  ")?;
        let (path, rest) = rest.trim_start().split_once("  ")?;
        let (with, rest) = rest.trim_start().split_once("  ")?;
        let columns: Vec<&str> = rest.split_whitespace().collect();
        let columns = columns.try_into().unwrap_or_else(|_| panic!("six columns: {line}"));
        Some(Self { method, path, with, columns })
    }

    /// It is about no area: asking once is enough.
    fn is_of_nothing(&self) -> bool {
        matches!(self.with, "all" | "itself" | "none that there is" | "a made-up code" | "English")
    }
}

/// Asks for every page of the table as everybody. The server must not limit how often.
pub async fn hold_pages_against_table(server: &TestServer) -> Rights {
    let ground = Ground::lay(server).await;
    let rows: Vec<Row> = TABLE.lines().filter_map(Row::read).collect();
    let served: BTreeSet<&str> = rounds_server::page_paths().into_iter().collect();
    let in_table: BTreeSet<&str> = rows.iter().map(|row| row.path).collect();
    let mut rights = Rights { calls: served.len(), ..Rights::default() };
    for path in served.symmetric_difference(&in_table) {
        rights.faults.push(format!("{path}: it is served, or it has a row, but not both"));
    }
    for path in served {
        for method in ["GET", "POST"] {
            if !rows.iter().any(|row| (row.method, row.path) == (method, path)) {
                let answer = http(server, request(method, path, "", "")).await;
                if answer.status() != StatusCode::METHOD_NOT_ALLOWED {
                    rights.faults.push(format!("{method} {path}: {} without a row", answer.status()));
                }
            }
        }
    }
    for row in &rows {
        for (caller, expected) in columns(row.columns) {
            let peer = ground.caller(caller).await;
            let relations = if row.is_of_nothing() { &Relation::ALL[..1] } else { &Relation::ALL };
            let mut answers = Vec::new();
            for relation in relations {
                let (status, text) = row.ask(&ground, &peer, *relation).await;
                rights.tried += 1;
                let letter = letter(status, &text, ground.marks(*relation));
                let cell = format!("{} {} ({}) by {caller:?}, {relation:?}", row.method, row.path, row.with);
                if letter != expected[*relation as usize] {
                    let expected = expected[*relation as usize];
                    rights.faults.push(format!("{cell}: {letter} where the table says {expected}: {text}"));
                }
                if !row.with.starts_with("by link") {
                    for leaked in ground.leaked(caller, &text) {
                        rights.faults.push(format!("{cell}: it tells {leaked}"));
                    }
                }
                answers.push((letter, text, cell));
            }
            // What is not the caller's is refused exactly as what is not there.
            let Some(('N', nothing, _)) = answers.last() else { continue };
            for (_, text, cell) in answers.iter().filter(|(letter, ..)| *letter == 'N') {
                if text != nothing {
                    rights.faults.push(format!("{cell}: told apart from what is not there: {text}"));
                }
            }
        }
    }
    rights
}

fn letter(status: StatusCode, text: &str, (secret, shared): (&str, &str)) -> char {
    match status.as_u16() {
        200 | 401 | 422 if text.contains("name=\"code\"") => 'i',
        200 if text.contains(secret) => '+',
        200 if text.contains(shared) => '=',
        200 => '.',
        303 => '>',
        403 => 'F',
        404 => 'N',
        410 => 'G',
        422 => 'x',
        _ => '!',
    }
}

fn request(method: &str, path: &str, cookie: &str, form: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("origin", "http://localhost")
        .header("accept-language", "en")
        .header("cookie", cookie)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from(form.to_owned()))
        .expect("a request")
}

impl Row {
    async fn ask(&self, ground: &Ground<'_>, peer: &Peer, relation: Relation) -> (StatusCode, String) {
        let (place, own) = (ground.place(relation), ground.own());
        let (server, area) = (ground.server, place.area);
        let (path, form) = match (self.path, self.with) {
            ("/behind", _) => (format!("/behind?figure=visit&area={area}"), String::new()),
            ("/download", _) => (format!("/download?what=visits&format=csv&area={area}"), String::new()),
            ("/record/{id}/contact", _) => (format!("/record/{}/contact", place.referred), String::new()),
            ("/devices", "there") => {
                // The page that begins with it: there are many.
                let phone = ground.phone_of(&[relation]).await.0.as_u128();
                let after = uuid::Uuid::from_u128(phone - 1).simple();
                (format!("/devices?area={area}&after={after}"), String::new())
            }
            (path, "there") => {
                if path == "/quarantine" {
                    ground.quarantined(relation).await;
                }
                (format!("{path}?area={area}"), String::new())
            }
            (_, "a visit") => (format!("/record/{}", place.visit), String::new()),
            (_, "a checklist") => (format!("/record/{}", place.checklist), String::new()),
            ("/conflicts", _) => {
                let device = peer.id;
                (self.path.to_owned(), format!("record={}&device={device}&seq=1&choice=keep", place.visit))
            }
            (_, "an op there" | "an op there, dismissed") => {
                let op = ground.quarantined(relation).await;
                (format!("/quarantine/{}/{}", op.device, op.seq), "act=dismiss".to_owned())
            }
            (_, "for a phone there") => (self.path.to_owned(), format!("role=field&areas={area}")),
            (_, "a phone there") => {
                let device = ground.phone_of(&[relation]).await;
                (format!("/devices/{device}/revoke"), String::new())
            }
            ("/jobs", _) => (self.path.to_owned(), "act=retry&on=none".to_owned()),
            ("/sign-in", _) => (self.path.to_owned(), "code=7K2MX&label=Browser".to_owned()),
            ("/language", _) => (self.path.to_owned(), "language=en".to_owned()),
            (_, "by link, of a worker") => {
                let token = self.token(ground, &Link::of(Purpose::Calendar, own.worker)).await;
                (format!("/calendar/worker/{}/{token}.ics", place.worker), String::new())
            }
            (_, "by link, a request" | "by link, progress") => {
                let expires_ms = server.clock.now_ms() + 1_000_000;
                let token = self.token(ground, &ground.link(own, expires_ms)).await;
                (ground.link(place, expires_ms).path(&token), "act=progress&seen=1".to_owned())
            }
            (path, _) => (path.to_owned(), String::new()),
        };
        let cookie = format!("rounds_token={}", peer.token);
        let form = if self.method == "GET" { String::new() } else { form };
        let answer = http(server, request(self.method, &path, &cookie, &form)).await;
        // A page says where it is.
        (answer.status(), String::from_utf8_lossy(answer.body()).replace(&path, "this page"))
    }

    /// What makes a link good.
    async fn token(&self, ground: &Ground<'_>, link: &Link) -> String {
        let store = &ground.server.store;
        let key = store.link_key([7; 32]).await.expect("a database that answers");
        store.link_token(&key, link).await.expect("a database that answers")
    }
}
