//! Q3: how long after a sync its number is on an open page, while others push.

use crate::asked::{Asked, Kind};
use crate::line::{Bound, Line, median};
use crate::phone::{Chance, create};
use crate::site::{Ground, Site};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, COOKIE, HOST, ORIGIN, SET_COOKIE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use prost::bytes::Bytes;
use rounds_domain::{AreaId, Body, RecordId, Role, body};
use rounds_proto::{encode_op, v1};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::watch;
use uuid::Uuid;

/// Phones that push all the time, and ops in each of their calls.
const PHONES: usize = 64;
const OPS: usize = 50;

/// A browser with the overview open. It does what the page's script does.
struct Browser {
    server: SocketAddr,
    line: SendRequest<Full<Bytes>>,
    cookie: String,
}

async fn line(server: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(server).await.expect("a server that answers");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    sender
}

impl Browser {
    async fn sign_in(site: &Site, area: AreaId) -> Self {
        let code = site.ground.code(Role::Supervisor, area).await;
        let form = format!("code={code}&label=bench&to=%2F");
        let request = Request::post("/sign-in")
            .header(HOST, "localhost")
            .header(ORIGIN, "http://localhost")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let mut line = line(site.address).await;
        let answer = line.send_request(request.body(Full::from(form)).expect("a request")).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let cookie = answer.headers()[SET_COOKIE].to_str().expect("a cookie");
        let cookie = cookie.split(';').next().expect("a cookie").to_owned();
        Self { server: site.address, line: self::line(site.address).await, cookie }
    }

    async fn get(&mut self, path: &str) -> Response<Incoming> {
        let request = Request::get(path)
            .header(HOST, "localhost")
            .header(ACCEPT_LANGUAGE, "en")
            .header(COOKIE, &self.cookie)
            .body(Full::default())
            .expect("a request");
        let answer = self.line.send_request(request).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer
    }

    /// Reads the overview. Answers how far the areas are, and the number of inspections.
    async fn overview(&mut self) -> (u64, u64) {
        let page = self.get("/?period=day").await.into_body().collect().await.expect("a page").to_bytes();
        let page = std::str::from_utf8(&page).expect("a page of text");
        let number = |before: &str| -> u64 {
            let (_, rest) = page.split_once(before).unwrap_or_else(|| panic!("no {before} in {page}"));
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().expect("a number")
        };
        (number("data-at=\""), number("aria-label=\"Inspections: "))
    }

    /// Keeps the page open: reads it again each time that something moved.
    async fn watch(mut self, shown: watch::Sender<u64>) {
        let (at, _) = self.overview().await;
        let mut events = Self { line: line(self.server).await, cookie: self.cookie.clone(), ..self };
        let mut stream = events.get(&format!("/live?at={at}")).await.into_body();
        let mut page = Self { server: self.server, line: line(self.server).await, cookie: self.cookie };
        while let Some(Ok(frame)) = stream.frame().await {
            if frame.data_ref().is_some_and(|data| data.starts_with(b"event: moved")) {
                let (_, inspections) = page.overview().await;
                if shown.send(inspections).is_err() {
                    return; // nobody looks any more
                }
            }
        }
    }
}

pub(crate) async fn q3(kind: Kind, asked: &Asked) -> Line {
    let samples = asked.size(5, 25);
    let city = Ground::lay_city(kind, PHONES + 1).await;
    let root = city.areas[0];
    let site = city.open().await;
    let browser = Browser::sign_in(&site, root).await;
    let (shown, mut seen) = watch::channel(0);
    let watching = tokio::spawn(browser.watch(shown));

    let stop = Arc::new(AtomicBool::new(false));
    let mut pushing = Vec::new();
    for area in &site.ground.areas[2..] {
        let mut phone = site.phone(*area).await;
        let (stop, mut chance) = (stop.clone(), Chance(3));
        pushing.push(tokio::spawn(async move {
            let mut ops = 0;
            while !stop.load(Ordering::Relaxed) {
                for call in phone.prepare(1, OPS, &mut chance) {
                    ops += call.len();
                    phone.sync(call).await;
                }
            }
            ops
        }));
    }
    let start = Instant::now();
    let area = site.ground.areas[1];
    let mut phone = site.phone(area).await;
    let mut times = Vec::new();
    for sample in 1..=samples {
        phone.sync(vec![inspection(sample, area)]).await;
        let acknowledged = Instant::now();
        seen.wait_for(|number| *number >= sample).await.expect("a page that stays open");
        times.push(acknowledged.elapsed().as_secs_f64());
    }
    let took = start.elapsed();
    stop.store(true, Ordering::Relaxed);
    let mut ops = 0;
    for push in pushing {
        ops += push.await.expect("a phone that ends");
    }
    watching.abort();
    site.close().await;
    let worst = times.iter().copied().fold(0.0, f64::max);
    let middle = median(times);
    Line {
        id: "Q3",
        database: kind.name(),
        figure: format!(
            "{middle:.2} s, at worst {worst:.2} s, {samples} times beside {:.0} ops/s",
            ops as f64 / took.as_secs_f64()
        ),
        yardstick: "-".to_owned(),
        value: middle,
        floor: Bound::AtMost(2.0),
        goal: Bound::AtMost(0.5),
    }
}

fn inspection(seq: u64, area: AreaId) -> v1::SealedOp {
    let body = body::Inspection {
        subject: Some(RecordId(Uuid::now_v7())),
        result: "pass".to_owned(),
        ..body::Inspection::default()
    };
    let op = encode_op(&create(area, Body::Inspection(body))).expect("an op").into();
    v1::SealedOp { seq, followed_by: 0, op }
}
