//! What the program says of itself, at its most talkative, holds no secret.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use rounds_domain::op::Step;
use rounds_domain::{Action, Body, Kind, RecordId, Role, body};
use rounds_proto::v1;
use rounds_store::{Link, Purpose};
use rounds_tests::{Act, Peer, TestClock, TestDatabase, new_id};
use std::net::SocketAddr;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tonic::transport::Endpoint;

const DATABASE_PASSWORD: &str = "canary-of-the-database";
const MAIL_PASSWORD: &str = "canary-of-the-mail-server";

/// A page asked for over a connection of its own: all that comes back.
async fn page(server: SocketAddr, method: &str, path: &str, headers: &str, form: &str) -> String {
    let ask = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n{headers}\r\n{form}",
        form.len()
    );
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn command(args: &[&str], database: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rounds"));
    // Not as options: whoever is on the machine can read those.
    command.args(args).env("ROUNDS_DATABASE", database);
    command
        .env("ROUNDS_SMTP_URL", format!("smtp://rounds:{MAIL_PASSWORD}@127.0.0.1:1"))
        .env("RUST_LOG", "trace")
        .kill_on_drop(true);
    command
}

/// A server that takes everything, and what it says until it is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_said_at_any_level() {
    let database = TestDatabase::postgres().await;
    let (user, host) = database.url().split_once('@').unwrap();
    let url = format!("{user}:{DATABASE_PASSWORD}@{host}");
    let mail = ["--mail-from", "rounds@example.org", "--public-url", "https://rounds.example.org"];
    let mut serving = command(&[&["serve", "--listen", "127.0.0.1:0"], &mail[..]].concat(), &url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(serving.stdout.take().unwrap());
    let mut logged = BufReader::new(serving.stderr.take().unwrap());
    let (mail_failed, mail_has_failed) = tokio::sync::oneshot::channel();
    let log = tokio::spawn(async move {
        let (mut log, mut line, mut mail_failed) = (String::new(), Vec::new(), Some(mail_failed));
        while logged.read_until(b'\n', &mut line).await.unwrap() > 0 {
            let text = String::from_utf8_lossy(&line);
            if text.contains("a message was not taken")
                && let Some(mail_failed) = mail_failed.take()
            {
                mail_failed.send(()).unwrap();
            }
            log.push_str(&text);
            line.clear();
        }
        log
    });
    let mut first = String::new();
    said.read_line(&mut first).await.unwrap();
    let server: SocketAddr = first.trim().rsplit(' ').next().unwrap().parse().unwrap();
    let mut secrets = vec![
        ("the password of the database", DATABASE_PASSWORD.to_owned()),
        ("the password of the mail server", MAIL_PASSWORD.to_owned()),
    ];

    let made = command(&["code", "--role", "admin"], &url).output().await.unwrap();
    let code = String::from_utf8(made.stdout).unwrap();
    let code = code.split_whitespace().find(|word| word.len() == 23).unwrap().to_owned();
    let channel = Endpoint::from_shared(format!("http://{server}")).unwrap().connect().await.unwrap();
    let mut admin = Peer::enrol(channel.clone(), TestClock::default(), &code).await.unwrap();
    secrets.push(("a code", code.clone()));
    secrets.push(("a token that was replaced", admin.token.clone()));
    admin.token = admin.devices().rotate(v1::RotateRequest {}).await.unwrap().into_inner().token;
    secrets.push(("a token", admin.token.clone()));
    let made_up = "MADEUP-CODE-OF-NOBODY";
    assert!(Peer::enrol(channel.clone(), TestClock::default(), made_up).await.is_err());
    secrets.push(("a code that is none", made_up.to_owned()));
    let stranger = Peer::known(channel, TestClock::default(), admin.id, "CANARYOFASTRANGER".to_owned());
    assert!(stranger.get(RecordId(new_id())).await.is_err());
    secrets.push(("a token that is none", stranger.token.clone()));

    // Something is referred to somebody who is told by mail, which does not work.
    let clock = TestClock::default();
    let area = rounds_domain::AreaId(new_id());
    let north = body::Area { name: "North".into(), time_zone: "Asia/Shanghai".into(), ..Default::default() };
    let water = body::Organization {
        name: "Water".into(),
        email: "desk@water.example.org".into(),
        ..Default::default()
    };
    let trouble = body::Request { category: "water".into(), channel: "phone".into(), ..Default::default() };
    let water = Act::create(area, Body::Organization(water));
    let trouble = Act::create(area, Body::Request(trouble));
    let (organization, request) = (water.record(), trouble.record());
    let step = |to: &str, organization: Option<RecordId>| {
        let due_at_ms = organization.map(|_| clock.now_ms());
        Action::Step(Step { to: to.into(), organization, due_at_ms, ..Default::default() })
    };
    let acts = [
        Act::create_with_id(area.into(), area, Body::Area(north)),
        water,
        trouble,
        Act::on(request, area, Kind::Request, step("triaged", None)),
        Act::on(request, area, Kind::Request, step("referred", Some(organization))),
    ];
    for act in acts {
        admin.change(vec![act.op(&clock)]).await;
    }
    let store = database.open().await;
    let key = store.link_key([7; 32]).await.unwrap();
    let referral = Link::referral(request, organization, 4_000_000_000_000);
    let token = store.link_token(&key, &referral).await.unwrap();
    let shown = page(server, "GET", &referral.path(&token), "", "").await;
    assert!(shown.starts_with("HTTP/1.1 200"), "{shown}");
    let answered = page(server, "POST", &referral.path(&token), "", "act=resolved&seen=0&text=x").await;
    assert!(answered.starts_with("HTTP/1.1 409"), "{answered}");
    secrets.push(("a partner's link", token));
    let calendar = Link::of(Purpose::Calendar, organization);
    let token = store.link_token(&key, &calendar).await.unwrap();
    let path = format!("/calendar/organization/{organization}/{token}.ics");
    assert!(page(server, "GET", &path, "", "").await.starts_with("HTTP/1.1 200"));
    secrets.push(("a calendar's link", token));

    let made = v1::CreateCodeRequest {
        role: rounds_proto::role_to_wire(Role::Coordinator).into(),
        areas: vec![area.to_string()],
        ..Default::default()
    };
    let code = admin.devices().create_code(made).await.unwrap().into_inner().code;
    let form = format!("code={code}&label=Browser&to=/");
    let signed_in = page(server, "POST", "/sign-in", "", &form).await;
    let cookie = signed_in.split("rounds_token=").nth(1).unwrap().split(';').next().unwrap().to_owned();
    let cookie_header = format!("cookie: rounds_token={cookie}\r\n");
    for path in ["/", "/devices", "/jobs", "/record/none"] {
        page(server, "GET", path, &cookie_header, "").await;
    }
    let area_form = format!("role=field&areas={area}");
    let shown = page(server, "POST", "/devices/enrol", &cookie_header, &area_form).await;
    let shown_code = shown.split("class=\"one-time\">").nth(1).unwrap().split('<').next().unwrap();
    secrets.push(("the code of a browser", code));
    secrets.push(("a code on a page", shown_code.to_owned()));
    secrets.push(("a cookie", cookie));
    mail_has_failed.await.unwrap(); // there is no mail server: it says so
    store.close().await;
    let id = serving.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    assert!(serving.wait().await.unwrap().success());
    let mut all = first;
    said.read_to_string(&mut all).await.unwrap();
    all.push_str(&log.await.unwrap());

    // Where there is no database, it says so without its password.
    let nowhere = format!("postgres://rounds:{DATABASE_PASSWORD}@127.0.0.1:1/rounds");
    let refused = command(&["serve", "--listen", "127.0.0.1:0"], &nowhere).output().await.unwrap();
    assert!(!refused.status.success());
    all.push_str(&String::from_utf8_lossy(&refused.stderr));
    let unread = command(&["serve"], &format!("postgres:/{DATABASE_PASSWORD}")).output().await.unwrap();
    all.push_str(&String::from_utf8_lossy(&unread.stderr));
    let help = command(&["serve", "--help"], &url).output().await.unwrap();
    all.push_str(&String::from_utf8_lossy(&help.stdout));

    assert!(all.contains("TRACE"), "it is as talkative as it can be");
    let told: Vec<String> = secrets
        .iter()
        .filter_map(|(what, secret)| {
            let line = all.lines().find(|line| line.contains(secret.as_str()))?;
            Some(format!("{what}: {}", line.chars().take(300).collect::<String>()))
        })
        .collect();
    assert!(told.is_empty(), "{told:#?}");
}
