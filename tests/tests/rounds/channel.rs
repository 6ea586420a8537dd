//! What is promised to people outside: web hooks that can be checked, mail, each message once, none lost.

mod delivery;
mod digest;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rounds_domain::op::Step;
use rounds_domain::{AreaId, Body, ClockReading, DeviceId, Kind, Language, Outcome, RecordId, Role, body};
use rounds_store::{
    Arrival, Batch, Channel, Content, Delivery, DeliveryState, Link, LinkKey, Purpose, Settled, Store, Timer,
    content_hash,
};
use rounds_tests::{Act, MailServer, TestClock, TestDatabase, foreign_python, new_id, on_both_databases};
use rounds_worker::{ANSWER_TIME_MAX, ChannelOptions, Channels, MailOptions, Options, Worker};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const NEW_KEY: [u8; 32] = [7; 32];

/// What came to a web hook.
pub(super) struct Posted {
    headers: HeaderMap,
    body: String,
}

impl Posted {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The receiver of a web hook, who answers what the test says.
pub(super) struct Receiver {
    pub(super) url: String,
    answer: Arc<AtomicU16>,
    posted: mpsc::UnboundedReceiver<Posted>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let answer = Arc::new(AtomicU16::new(204));
        let (sender, posted) = mpsc::unbounded_channel();
        let take = async |State((answer, sender)): State<(Arc<AtomicU16>, mpsc::UnboundedSender<Posted>)>,
                          headers: HeaderMap,
                          body: String| {
            sender.send(Posted { headers, body }).unwrap();
            StatusCode::from_u16(answer.load(Ordering::SeqCst)).unwrap()
        };
        let app = axum::Router::new()
            .route("/hook", axum::routing::post(take))
            .with_state((answer.clone(), sender));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, answer, posted, task }
    }

    fn answer(&self, status: u16) {
        self.answer.store(status, Ordering::SeqCst);
    }

    pub(super) fn posted(&mut self) -> Vec<Posted> {
        std::iter::from_fn(|| self.posted.try_recv().ok()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A district and a community in it, with a partner.
pub(super) struct Site {
    pub(super) store: Store,
    pub(super) clock: TestClock,
    key: LinkKey,
    device: DeviceId,
    pub(super) district: AreaId,
    pub(super) community: AreaId,
    organization: RecordId,
}

impl Site {
    pub(super) async fn on(database: &TestDatabase, web_hook: &str, email: &str) -> Self {
        let store = database.open().await;
        let clock = TestClock::default();
        let key = store.link_key(NEW_KEY).await.unwrap();
        let device = DeviceId(new_id());
        store.internal_device(device, "a coordinator", Role::Admin, clock.now_ms()).await.unwrap();
        let [district, community] = [AreaId(new_id()), AreaId(new_id())];
        let organization = RecordId(new_id());
        let site = Self { store, clock, key, device, district, community, organization };
        let area = |name: &str, parent: Option<AreaId>| {
            Body::Area(body::Area {
                name: name.to_owned(),
                parent: parent.map(RecordId::from),
                time_zone: "Asia/Shanghai".to_owned(),
                ..body::Area::default()
            })
        };
        site.act(vec![
            Act::create_with_id(district.into(), district, area("North", None)),
            Act::create_with_id(community.into(), community, area("Riverside", Some(district))),
            Act::create_with_id(
                organization,
                district,
                Body::Organization(body::Organization {
                    name: "Water Company".to_owned(),
                    web_hook: web_hook.to_owned(),
                    email: email.to_owned(),
                    ..body::Organization::default()
                }),
            ),
        ])
        .await;
        site
    }

    pub(super) async fn act(&self, acts: Vec<Act>) {
        self.act_with(acts, None).await;
    }

    async fn act_with(&self, acts: Vec<Act>, timers: Option<Vec<Timer>>) {
        let now_ms = self.clock.now_ms();
        let arrivals = acts.into_iter().map(|act| {
            let op = act.op(&self.clock);
            let hash = content_hash(0, &serde_json::to_vec(&op).unwrap());
            Arrival { seq: None, followed_by: 0, hash, content: Content::Admitted(op) }
        });
        let batch = Batch {
            device: self.device,
            arrivals: arrivals.collect(),
            clock: ClockReading { wall_ms: now_ms, boot: 0, monotonic_ms: 0 },
            received_ms: now_ms,
            holds_from: 0,
            settled: timers.map(Settled::from),
        };
        let receipt = self.store.submit(batch).await.unwrap();
        assert!(receipt.verdicts.iter().all(|(_, it)| it.outcome == Outcome::Applied), "{receipt:?}");
    }

    pub(super) async fn add(&self, area: AreaId, body: Body) -> RecordId {
        let act = Act::create(area, body);
        let id = act.record();
        self.act_with(vec![act], Some(Vec::new())).await; // nothing follows but what the test raises
        id
    }

    /// A request about water at a building, referred to the partner and due in a day.
    pub(super) async fn referred_request(&self) -> RecordId {
        let building =
            body::Place { name: "Building 4".to_owned(), sort: "building".to_owned(), ..Default::default() };
        let building = self.add(self.community, Body::Place(building)).await;
        let request = body::Request {
            subject: Some(building),
            category: "water".to_owned(),
            channel: "phone".to_owned(),
            description: "No water since this morning.".to_owned(),
            ..body::Request::default()
        };
        let request = self.add(self.community, Body::Request(request)).await;
        let step = |to: &str| Step { to: to.to_owned(), ..Step::default() };
        let referred = Step {
            organization: Some(self.organization),
            due_at_ms: Some(self.clock.now_ms() + DAY_MS),
            ..step("referred")
        };
        for step in [step("triaged"), referred] {
            let act = Act::step(request, self.community, Kind::Request, step);
            self.act_with(vec![act], Some(Vec::new())).await;
        }
        request
    }

    /// Raises a notice, as the worker does: with a timer for it.
    pub(super) async fn raise(&self, notice: body::Notice) -> RecordId {
        let notice = body::Notice { at_ms: Some(self.clock.now_ms()), ..notice };
        let act = Act::create(self.community, Body::Notice(notice));
        let id = act.record();
        self.act_with(vec![act], Some(vec![self.timer(id)])).await;
        id
    }

    async fn step_notice(&self, notice: RecordId, to: &str) {
        let step = Step { to: to.to_owned(), ..Step::default() };
        let act = Act::step(notice, self.community, Kind::Notice, step);
        self.act_with(vec![act], Some(vec![self.timer(notice)])).await;
    }

    fn timer(&self, record: RecordId) -> Timer {
        Timer { record, area: self.community, at_ms: self.clock.now_ms() }
    }

    /// Tells the partner of a request.
    pub(super) async fn refer(&self, request: RecordId) -> RecordId {
        self.raise(body::Notice {
            subject: Some(request),
            sort: "referral".to_owned(),
            due_at_ms: Some(self.clock.now_ms() + DAY_MS),
            organization: Some(self.organization),
            ..body::Notice::default()
        })
        .await
    }

    pub(super) async fn worker(&self, mail: Option<&MailServer>) -> Worker {
        self.worker_with(mail, ANSWER_TIME_MAX, Language::English).await
    }

    async fn worker_with(
        &self,
        mail: Option<&MailServer>,
        answer_time: Duration,
        language: Language,
    ) -> Worker {
        let mail = mail.map(|server| mail_options(server.url()));
        self.worker_telling(ChannelOptions { mail, language, answer_time, ..self.telling() }).await
    }

    /// How the worker tells people outside, in most tests.
    pub(super) fn telling(&self) -> ChannelOptions {
        ChannelOptions {
            link_key: self.key.clone(),
            public_url: Some("https://rounds.example.org/".to_owned()),
            mail: None,
            language: Language::English,
            allow_private_hooks: true,
            trusted_certificates: None,
            answer_time: ANSWER_TIME_MAX,
        }
    }

    pub(super) async fn worker_telling(&self, telling: ChannelOptions) -> Worker {
        let channels = Channels::new(telling);
        let options = Options {
            retry_after: Duration::ZERO,
            look_every: Duration::from_millis(20),
            channels: Some(Arc::new(channels.unwrap())),
            ..Options::new(new_id())
        };
        let clock = self.clock.clone();
        Worker::start(self.store.clone(), Arc::new(move || clock.now_ms()), options).await.unwrap()
    }

    async fn deliveries(&self) -> Vec<Delivery> {
        self.store.deliveries(None, 100).await.unwrap()
    }

    pub(super) async fn only_delivery(&self) -> Delivery {
        let mut deliveries = self.deliveries().await;
        assert_eq!(deliveries.len(), 1, "{deliveries:?}");
        deliveries.remove(0)
    }

    pub(super) async fn close(self, worker: Worker) {
        assert_eq!(worker.drained().await.unwrap(), 0, "jobs were given up");
        worker.stop().await;
        self.store.close().await;
    }
}

pub(super) fn mail_options(smtp_url: String) -> MailOptions {
    MailOptions { from: "Rounds <rounds@example.org>".to_owned(), smtp_url }
}

/// HMAC-SHA256 as RFC 2104 has it, written out.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64);
    let pad =
        |byte: u8| (0..64).map(|at| key.get(at).copied().unwrap_or_default() ^ byte).collect::<Vec<u8>>();
    let inner = Sha256::digest([pad(0x36), message.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

/// A partner that was told of a referral by a hook that failed.
async fn failing(database: &TestDatabase) -> (Receiver, Site, Worker) {
    let hook = Receiver::start().await;
    let site = Site::on(database, &hook.url, "").await;
    let worker = site.worker(None).await;
    hook.answer(500);
    site.refer(site.referred_request().await).await;
    worker.drained().await.unwrap();
    (hook, site, worker)
}

on_both_databases! {
    async fn a_link_holds_for_what_it_is_about_until_it_is_revoked(database: &TestDatabase) {
        let store = database.open().await;
        let key = store.link_key(NEW_KEY).await.unwrap();
        let [one, other, request] = [(); 3].map(|()| RecordId(new_id()));
        let calendar = Link::of(Purpose::Calendar, one);
        let token = store.link_token(&key, &calendar).await.unwrap();
        assert!(store.is_link_token(&key, &calendar, &token).await.unwrap());
        let referral = Link::referral(request, one, 1_000_000);
        let near = [
            Link::of(Purpose::Calendar, other),
            Link::of(Purpose::WebHook, one),
            Link { expires_ms: Some(1), ..calendar },
            Link { scope: Some(request), ..calendar },
            referral,
            Link::referral(request, one, 2_000_000),
        ];
        for link in near {
            assert!(!store.is_link_token(&key, &link, &token).await.unwrap(), "{link:?}");
        }
        for wrong in ["", "x", &token[1..], &format!("{token}A"), &token.to_lowercase()] {
            assert!(!store.is_link_token(&key, &calendar, wrong).await.unwrap(), "{wrong}");
        }

        // Another process brings another key: the first is kept.
        let again = database.open().await;
        let same = again.link_key([8; 32]).await.unwrap();
        assert!(again.is_link_token(&same, &calendar, &token).await.unwrap());

        let kept = store.link_token(&key, &Link::of(Purpose::Calendar, other)).await.unwrap();
        store.revoke_links(Purpose::Calendar, one).await.unwrap();
        assert!(!store.is_link_token(&key, &calendar, &token).await.unwrap());
        let next = store.link_token(&key, &calendar).await.unwrap();
        assert!(store.is_link_token(&key, &calendar, &next).await.unwrap());
        store.revoke_links(Purpose::Calendar, one).await.unwrap();
        assert!(!store.is_link_token(&key, &calendar, &next).await.unwrap());
        assert!(store.is_link_token(&key, &Link::of(Purpose::Calendar, other), &kept).await.unwrap());
        again.close().await;
        store.close().await;
    }

    async fn a_partner_is_told_of_a_referral_by_web_hook_and_mail_once(database: &TestDatabase) {
        let (mut hook, mut mail) = (Receiver::start().await, MailServer::start().await);
        let site = Site::on(database, &hook.url, "desk@water.example.org").await;
        let worker = site.worker(Some(&mail)).await;
        let request = site.referred_request().await;
        let notice = site.refer(request).await;
        worker.drained().await.unwrap();

        let posted = hook.posted.recv().await.unwrap();
        let message = posted.json();
        assert_eq!(message["notice"], notice.to_string());
        assert_eq!(message["sort"], "referral");
        assert_eq!(message["at"], "2026-11-22T08:00:00Z");
        assert_eq!(message["due"], "2026-11-23T08:00:00Z");
        assert_eq!(message["area"]["name"], "Riverside");
        assert_eq!(message["subject"]["id"], request.to_string());
        assert_eq!(message["subject"]["category"], "water");
        assert_eq!(message["subject"]["place"], "Building 4");
        assert_eq!(message["subject"]["description"], "No water since this morning.");
        let link = message["link"].as_str().unwrap();
        assert!(link.starts_with("https://rounds.example.org/r/"), "{link}");
        let delivery = message["id"].as_str().unwrap();
        assert_eq!(posted.header("webhook-id"), delivery);
        assert_eq!(posted.header("idempotency-key"), delivery);

        // Whoever has the key can tell that it is ours, and when it was sent.
        let timestamp = posted.header("webhook-timestamp");
        assert_eq!(timestamp.parse::<i64>().unwrap(), site.clock.now_ms() / 1_000);
        let hook_key = Link::of(Purpose::WebHook, site.organization);
        let secret = site.store.link_secret(&site.key, &hook_key).await.unwrap();
        let signed = format!("{delivery}.{timestamp}.{}", posted.body);
        let expected = format!("v1,{}", BASE64_STANDARD.encode(hmac(&secret, signed.as_bytes())));
        assert_eq!(posted.header("webhook-signature"), expected);

        let sent = mail.next().await;
        assert_eq!(sent["to"], serde_json::json!(["desk@water.example.org"]));
        assert_eq!(sent["subject"], "Referred to you · Water · Building 4");
        assert_eq!(sent["auto_submitted"], "auto-generated");
        let text = sent["text"].as_str().unwrap();
        for part in ["No water since this morning.", "Due: 2026-11-23 16:00", link] {
            assert!(text.contains(part), "{part} is not in {text}");
        }

        // Told again, it is not sent again.
        let timer = vec![site.timer(notice)];
        site.act_with(vec![], Some(timer)).await;
        site.refer(RecordId(new_id())).await; // something else, to see that the worker went on
        worker.drained().await.unwrap();
        assert_eq!(hook.posted().len(), 1);
        assert_eq!(mail.rest().await.len(), 1);
        let states: Vec<_> = site.deliveries().await.iter().map(|it| (it.state, it.attempts)).collect();
        assert_eq!(states, [(DeliveryState::Sent, 1); 4]);
        site.close(worker).await;
    }

    async fn a_hook_that_fails_is_tried_again_later_and_seen_to_fail(database: &TestDatabase) {
        let (mut hook, site, worker) = failing(database).await;
        let first = hook.posted();
        assert_eq!(first.len(), 1);
        let failing = site.only_delivery().await;
        assert_eq!(failing.state, DeliveryState::Failing);
        assert!(failing.last_error.contains("500"), "{}", failing.last_error);
        let listed = site.store.deliveries(Some(DeliveryState::Failing), 10).await.unwrap();
        assert_eq!(listed, std::slice::from_ref(&failing));

        // Each pause is about four times the one before.
        let mut pauses = vec![failing.next_ms.unwrap() - site.clock.now_ms()];
        for _ in 0..3 {
            let next_ms = site.only_delivery().await.next_ms.unwrap();
            site.clock.advance(Duration::from_millis((next_ms - site.clock.now_ms()) as u64));
            worker.drained().await.unwrap();
            pauses.push(site.only_delivery().await.next_ms.unwrap() - site.clock.now_ms());
        }
        for (at, pause) in pauses.iter().enumerate() {
            let middle = 30_000 * 4_i64.pow(at as u32);
            assert!((middle / 2..middle * 3 / 2).contains(pause), "{pauses:?}");
        }
        hook.answer(200);
        site.clock.advance(HOUR * 24);
        worker.drained().await.unwrap();
        let all = hook.posted();
        assert_eq!(all.len(), 4);
        assert!(all.iter().all(|posted| posted.header("webhook-id") == first[0].header("webhook-id")));
        assert!(all.iter().all(|posted| posted.body == first[0].body), "the same message");
        let sent = site.only_delivery().await;
        assert_eq!((sent.state, sent.attempts, sent.next_ms), (DeliveryState::Sent, 5, None));
        site.close(worker).await;
    }

    async fn an_address_that_takes_too_long_is_tried_again(database: &TestDatabase) {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap(); // it takes connections, and no more
        let url = format!("http://{}/hook", silent.local_addr().unwrap());
        let site = Site::on(database, &url, "").await;
        let worker = site.worker_with(None, Duration::from_millis(50), Language::English).await;
        site.refer(site.referred_request().await).await;
        worker.drained().await.unwrap();
        let failing = site.only_delivery().await;
        assert_eq!(failing.state, DeliveryState::Failing);
        assert!(failing.last_error.contains("timed out"), "{}", failing.last_error);
        assert!(!failing.last_error.contains("/hook"), "the address may hold a secret");
        site.close(worker).await;
    }

    async fn what_is_given_up_after_days_can_be_put_back_by_hand(database: &TestDatabase) {
        let mut hook = Receiver::start().await;
        let site = Site::on(database, &hook.url, "").await;
        let worker = site.worker(None).await;
        hook.answer(503);
        site.refer(site.referred_request().await).await;
        let began_ms = site.clock.now_ms();
        worker.drained().await.unwrap();
        while let Some(next_ms) = site.only_delivery().await.next_ms {
            site.clock.advance(Duration::from_millis((next_ms - site.clock.now_ms()) as u64));
            worker.drained().await.unwrap();
        }
        let failed = site.only_delivery().await;
        assert_eq!(failed.state, DeliveryState::Failed);
        let days = (site.clock.now_ms() - began_ms) / DAY_MS;
        assert!((1..=3).contains(&days), "given up after {days} days");
        hook.answer(200);
        site.clock.advance(HOUR * 24 * 7);
        worker.drained().await.unwrap();
        let tries = hook.posted().len();
        assert_eq!(tries, failed.attempts as usize, "it is not tried any more");

        assert!(site.store.retry_delivery(failed.id, site.clock.now_ms()).await.unwrap());
        worker.drained().await.unwrap();
        assert_eq!(hook.posted().len(), 1);
        let sent = site.only_delivery().await;
        assert_eq!((sent.state, sent.attempts), (DeliveryState::Sent, 1), "it had all its tries again");
        assert!(!site.store.retry_delivery(failed.id, site.clock.now_ms()).await.unwrap(), "it was sent");
        site.close(worker).await;
    }

    async fn what_became_of_a_message_is_kept_for_a_year_and_not_for_ever(database: &TestDatabase) {
        let hook = Receiver::start().await;
        let site = Site::on(database, &hook.url, "").await;
        let worker = site.worker(None).await;
        site.refer(site.referred_request().await).await;
        worker.drained().await.unwrap();
        worker.stop().await;
        for (days, kept) in [(366, 1), (40, 0)] {
            site.clock.advance(HOUR * 24 * days);
            let worker = site.worker(None).await; // it looks at its start
            worker.stop().await;
            assert_eq!(site.deliveries().await.len(), kept);
        }
        site.store.close().await;
    }

    async fn a_referral_that_is_due_at_the_end_of_time_has_a_link_that_is_good(database: &TestDatabase) {
        let mut hook = Receiver::start().await;
        let site = Site::on(database, &hook.url, "").await;
        let worker = site.worker(None).await;
        let request = site.referred_request().await;
        site.raise(body::Notice {
            subject: Some(request),
            sort: "referral".to_owned(),
            due_at_ms: Some(i64::MAX),
            organization: Some(site.organization),
            ..body::Notice::default()
        })
        .await;
        worker.drained().await.unwrap();
        let message = hook.posted().remove(0).json();
        let parts: Vec<&str> = message["link"].as_str().unwrap().rsplit('/').collect();
        let expires_ms = parts[1].parse::<i64>().unwrap() * 1_000;
        assert!(expires_ms > site.clock.now_ms(), "it expired at {expires_ms}");
        let link = Link::referral(request, site.organization, expires_ms);
        assert!(site.store.is_link_token(&site.key, &link, parts[0]).await.unwrap());
        site.close(worker).await;
    }

    async fn a_notice_that_was_withdrawn_or_seen_is_not_sent(database: &TestDatabase) {
        let (mut hook, site, worker) = failing(database).await;
        let notice = site.only_delivery().await.notice;
        hook.answer(200);
        hook.posted();
        site.step_notice(notice, "withdrawn").await;
        site.clock.advance(HOUR);
        worker.drained().await.unwrap();
        assert_eq!(hook.posted().len(), 0);
        assert_eq!(site.only_delivery().await.state, DeliveryState::Withdrawn);

        // Its cause is back.
        site.step_notice(notice, "raised").await;
        worker.drained().await.unwrap();
        assert_eq!(hook.posted().len(), 1);
        assert_eq!(site.only_delivery().await.state, DeliveryState::Sent);

        hook.answer(500);
        let seen = site.refer(site.referred_request().await).await;
        worker.drained().await.unwrap();
        hook.posted();
        site.step_notice(seen, "seen").await;
        site.clock.advance(HOUR);
        worker.drained().await.unwrap();
        assert_eq!(hook.posted().len(), 0);
        site.close(worker).await;
    }

    async fn mail_waits_while_the_server_is_busy_and_is_given_up_when_there_is_no_such_box(database: &TestDatabase) {
        let mut mail = MailServer::start().await;
        let site = Site::on(database, "", "desk@water.example.org").await;
        let worker = site.worker(Some(&mail)).await;
        mail.refuse("451 busy").await;
        site.refer(site.referred_request().await).await;
        worker.drained().await.unwrap();
        assert!(mail.next().await["refused"].is_array());
        let failing = site.only_delivery().await;
        assert_eq!((failing.channel, failing.state), (Channel::Email, DeliveryState::Failing));
        assert!(failing.last_error.contains("451"), "{}", failing.last_error);

        mail.accept().await;
        site.clock.advance(MINUTE);
        worker.drained().await.unwrap();
        let sent = mail.next().await;
        assert_eq!(sent["message_id"], format!("<{}@example.org>", failing.id));
        assert_eq!(site.only_delivery().await.state, DeliveryState::Sent);

        mail.refuse("550 no such box").await;
        site.clock.advance(MINUTE);
        site.refer(site.referred_request().await).await;
        worker.drained().await.unwrap();
        let failed = site.store.deliveries(Some(DeliveryState::Failed), 10).await.unwrap();
        assert_eq!((failed.len(), failed[0].attempts), (1, 1));
        site.close(worker).await;
    }

    async fn what_is_wrong_between_us_and_the_mail_server_gives_up_no_mail(database: &TestDatabase) {
        let mut mail = MailServer::start().await;
        let site = Site::on(database, "", "desk@water.example.org").await;
        let worker = site.worker(Some(&mail)).await;
        mail.refuse("535 the password was changed").await;
        site.refer(site.referred_request().await).await;
        worker.drained().await.unwrap();
        assert!(mail.next().await["refused"].is_array());
        assert_eq!(site.only_delivery().await.state, DeliveryState::Failing);
        mail.accept().await;
        site.clock.advance(MINUTE);
        worker.drained().await.unwrap();
        assert!(mail.next().await["message_id"].is_string());
        assert_eq!(site.only_delivery().await.state, DeliveryState::Sent);
        site.close(worker).await;
    }

    async fn a_message_goes_to_the_address_that_its_addressee_has_by_now(database: &TestDatabase) {
        let (mut wrong, mut right) = (Receiver::start().await, Receiver::start().await);
        let site = Site::on(database, &wrong.url, "").await;
        let worker = site.worker(None).await;
        wrong.answer(500);
        site.refer(site.referred_request().await).await;
        worker.drained().await.unwrap();
        assert_eq!(wrong.posted().len(), 1);
        let (was, is) = (wrong.url.clone().into(), right.url.clone().into());
        site.act(vec![Act::edit(site.organization, site.district, Kind::Organization, "web_hook", was, is)]).await;
        site.clock.advance(HOUR);
        worker.drained().await.unwrap();
        assert_eq!((wrong.posted().len(), right.posted().len()), (0, 1));
        let states: Vec<_> = site.deliveries().await.into_iter().map(|it| (it.address == right.url, it.state)).collect();
        assert!(states.contains(&(true, DeliveryState::Sent)) && states.contains(&(false, DeliveryState::Withdrawn)));
        site.close(worker).await;
    }

    async fn mail_is_written_in_the_language_that_was_chosen(database: &TestDatabase) {
        let mut mail = MailServer::start().await;
        let site = Site::on(database, "", "desk@water.example.org").await;
        let worker = site.worker_with(Some(&mail), ANSWER_TIME_MAX, Language::TraditionalChinese).await;
        site.refer(site.referred_request().await).await;
        worker.drained().await.unwrap();
        let sent = mail.next().await;
        assert_eq!(sent["subject"], "轉辦 · 供水 · Building 4");
        let text = sent["text"].as_str().unwrap();
        for part in ["截止: 2026-11-23 16:00", "類別: 供水", "訴求內容: No water since this morning."] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        // The city calls it otherwise, and this community otherwise again.
        for (area, label) in [(site.community, "自來水"), (site.district, "用水")] {
            let term = body::Term {
                vocabulary: "request_category".to_owned(),
                word: "water".to_owned(),
                label_zh_hant: label.to_owned(),
                ..body::Term::default()
            };
            site.add(area, Body::Term(term)).await;
        }
        site.refer(site.referred_request().await).await;
        worker.drained().await.unwrap();
        let sent = mail.next().await;
        assert_eq!(sent["subject"], "轉辦 · 自來水 · Building 4");
        assert!(sent["text"].as_str().unwrap().contains("類別: 自來水"), "{sent}");
        site.close(worker).await;
    }

    async fn a_role_is_reached_at_the_box_of_the_nearest_policy_for_the_sort(database: &TestDatabase) {
        let mut mail = MailServer::start().await;
        let site = Site::on(database, "", "").await;
        let worker = site.worker(Some(&mail)).await;
        let policy = |area: AreaId, sort: &str, coordinator: &str, supervisor: &str| {
            Act::create(area, Body::Policy(body::Policy {
                sort: sort.to_owned(),
                coordinator_email: coordinator.to_owned(),
                supervisor_email: supervisor.to_owned(),
                ..body::Policy::default()
            }))
        };
        site.act(vec![
            policy(site.district, "", "district@example.org", "head@example.org"),
            policy(site.community, "", "community@example.org", ""),
            policy(site.district, "watering", "garden@example.org", ""),
        ]).await;
        let follow_up = |sort: &str| body::FollowUp {
            source: Some(RecordId(new_id())),
            sort: sort.to_owned(),
            due_at_ms: Some(site.clock.now_ms()),
            ..body::FollowUp::default()
        };
        let maintenance = site.add(site.community, Body::FollowUp(follow_up("maintenance"))).await;
        let watering = site.add(site.community, Body::FollowUp(follow_up("watering"))).await;
        let told = [
            (maintenance, "coordinator", "community@example.org"),
            (maintenance, "supervisor", "head@example.org"),
            (watering, "coordinator", "garden@example.org"),
        ];
        for (subject, role, address) in told {
            site.raise(body::Notice {
                subject: Some(subject),
                sort: "overdue".to_owned(),
                role: role.to_owned(),
                ..body::Notice::default()
            }).await;
            worker.drained().await.unwrap();
            let sent = mail.next().await;
            assert_eq!(sent["to"], serde_json::json!([address]));
            assert!(!sent["text"].as_str().unwrap().contains("/r/"), "the link is the partner's");
        }
        // The phone's own inbox is all that workers and groups have.
        site.raise(body::Notice {
            subject: Some(watering),
            sort: "overdue".to_owned(),
            worker: Some(RecordId(new_id())),
            ..body::Notice::default()
        }).await;
        worker.drained().await.unwrap();
        assert_eq!(mail.rest().await.len(), 0);
        site.close(worker).await;
    }

}

#[tokio::test]
async fn the_protocols_example_tells_our_messages_from_others() {
    let database = TestDatabase::sqlite().await;
    let mut hook = Receiver::start().await;
    let site = Site::on(&database, &hook.url, "").await;
    let worker = site.worker(None).await;
    site.refer(site.referred_request().await).await;
    let posted = hook.posted.recv().await.unwrap();
    let hook_key = Link::of(Purpose::WebHook, site.organization);
    let secret = site.store.link_secret(&site.key, &hook_key).await.unwrap();

    let protocol = include_str!("../../../PROTOCOL.md");
    let (_, example) = protocol.split_once("```python\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let told = serde_json::json!({
        "key": format!("whsec_{}", BASE64_STANDARD.encode(secret)),
        "headers": {
            "webhook-id": posted.header("webhook-id"),
            "webhook-timestamp": posted.header("webhook-timestamp"),
            "webhook-signature": posted.header("webhook-signature"),
        },
        "body": posted.body,
        "now": site.clock.now_ms() / 1_000,
    });
    let script = format!(
        "import json, sys\n{example}
told = json.loads(sys.argv[1])
key, headers, body, now = told['key'], told['headers'], told['body'].encode(), told['now']
print(is_ours(key, headers, body, now), is_ours(key, headers, body + b' ', now), is_ours(key, headers, body, now + 301))"
    );
    let ran =
        tokio::process::Command::new(foreign_python()).args(["-c", &script, &told.to_string()]).output();
    let ran = ran.await.unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout).trim(), "True False False", "{ran:?}");
    site.close(worker).await;
}

on_both_databases! {
    async fn referring_a_request_is_all_that_it_takes_to_tell_the_partner(database: &TestDatabase) {
        let mut hook = Receiver::start().await;
        let site = Site::on(database, &hook.url, "").await;
        let worker = site.worker(None).await;
        let request = body::Request {
            category: "water".to_owned(),
            channel: "phone".to_owned(),
            ..body::Request::default()
        };
        let create = Act::create(site.community, Body::Request(request));
        let request = create.record();
        let step = |step: Step| Act::step(request, site.community, Kind::Request, step);
        let due_at_ms = Some(site.clock.now_ms() + DAY_MS);
        let triaged = Step { to: "triaged".to_owned(), ..Step::default() };
        let referred = Step {
            to: "referred".to_owned(),
            organization: Some(site.organization),
            due_at_ms,
            ..Step::default()
        };
        site.act(vec![create, step(triaged.clone()), step(referred.clone())]).await;
        worker.drained().await.unwrap();
        let posted = hook.posted();
        assert_eq!(posted.len(), 1);
        assert_eq!(posted[0].json()["subject"]["id"], request.to_string());

        // Sent back before it was told, then referred anew: told of that only.
        hook.answer(500);
        site.clock.advance(MINUTE);
        site.act(vec![step(triaged.clone())]).await;
        site.clock.advance(MINUTE);
        site.act(vec![step(referred.clone())]).await;
        worker.drained().await.unwrap();
        let failed = hook.posted();
        assert_eq!(failed.len(), 1);
        assert_ne!(failed[0].header("webhook-id"), posted[0].header("webhook-id"));
        hook.answer(200);
        site.clock.advance(Duration::from_secs(10));
        site.act(vec![step(triaged)]).await;
        worker.drained().await.unwrap();
        site.clock.advance(HOUR);
        worker.drained().await.unwrap();
        assert_eq!(hook.posted().len(), 0, "it was sent back meanwhile");
        site.close(worker).await;
    }
}
