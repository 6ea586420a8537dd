//! `rounds demo`: a neighbourhood with a year behind it.

use super::print::{announce, hint};
use super::{DATABASE_DEFAULT, moment, open_or_make, with_causes};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rounds_domain::{AreaId, Role};
use rounds_server::demo::{self, Progress, Settings, Summary};
use rounds_server::secret::code_hash;
use rounds_server::{Clock, Random};
use rounds_store::{NewCode, Store};
use std::io::IsTerminal as _;
use std::process::ExitCode;

/// Days between two lines that tell how far it is, where no bar can be drawn.
const DAYS_PER_LINE: u32 = 90;
/// How long the codes are good that it ends with, in ms.
const CODES_VALID_MS: i64 = 24 * 60 * 60 * 1_000;

/// Make a neighbourhood and a year of its history in an empty database: communities, buildings, elevators, partners,
/// volunteers with phones. They work with a server of their own, over gRPC, in a time that passes quickly.
#[derive(Args, Clone, Debug)]
pub(crate) struct Demo {
    #[command(flatten)]
    size: Size,
    /// The database: sqlite:PATH or postgres://USER@HOST/DATABASE. It has to be empty.
    #[arg(long, value_name = "URL", env = "ROUNDS_DATABASE", default_value = DATABASE_DEFAULT, hide_env_values = true)]
    database: String,
}

/// How large a demo is, and how long.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Size {
    /// The same seed gives the same neighbourhood.
    #[arg(long, default_value_t = Settings::default().seed)]
    seed: u64,
    /// Days of history; it ends now.
    #[arg(long, default_value_t = Settings::default().days, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// Phones of volunteers.
    #[arg(long, default_value_t = Settings::default().phones as u32, value_parser = clap::value_parser!(u32).range(1..=500))]
    phones: u32,
    /// Communities.
    #[arg(long, default_value_t = Settings::default().communities as u32, value_parser = clap::value_parser!(u32).range(1..=6))]
    communities: u32,
}

impl Demo {
    /// Makes the demo, and says how to look at it.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        let store = open_or_make(&self.database).await?;
        let made = make(&store, self.size).await;
        store.close().await;
        made?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Makes a demo as large as most will want it, unless something is there already.
pub(crate) async fn make_once(store: &Store) -> Result<(), String> {
    if store.areas().await.map_err(|error| with_causes(&error))?.is_empty() {
        let Settings { seed, days, phones, communities } = Settings::default();
        return make(store, Size { seed, days, phones: phones as u32, communities: communities as u32 })
            .await;
    }
    announce!("The database is not empty: no demo was made. Another --database gets one.");
    Ok(())
}

/// Makes a demo in an empty database, with progress shown.
async fn make(store: &Store, size: Size) -> Result<(), String> {
    let (clock, random) = (Clock::system(), Random::system());
    let settings = Settings {
        seed: size.seed,
        days: size.days,
        phones: size.phones as usize,
        communities: size.communities as usize,
    };
    let folder = tempfile::tempdir().map_err(|error| format!("no folder for the phones: {error}"))?;
    let mut display = Display::new(settings.days);
    let began_ms = clock.now_ms();
    let made =
        demo::make(store, &settings, folder.path(), &random, began_ms, |progress| display.show(progress))
            .await;
    display.end();
    let summary = made.map_err(|error| with_causes(&error))?;
    let seconds = (clock.now_ms() - began_ms) as f64 / 1_000.0;
    announce!(
        "{} days with {} devices: {} ops over gRPC in {seconds:.0} s",
        settings.days,
        summary.devices,
        summary.ops
    );
    tell_codes(store, &clock, &random, &summary).await
}

async fn tell_codes(store: &Store, clock: &Clock, random: &Random, summary: &Summary) -> Result<(), String> {
    let expires_ms = clock.now_ms() + CODES_VALID_MS;
    let mut holders: Vec<(&str, Role, Vec<AreaId>)> = vec![("an administrator", Role::Admin, Vec::new())];
    if let Some((name, area)) = summary.communities.first() {
        holders.push(("a coordinator", Role::Coordinator, vec![*area]));
        holders.push(("a volunteer", Role::Field, vec![*area]));
        announce!("Codes to take part, for {name}, good once, until {}:", moment(expires_ms));
    }
    for (who, role, areas) in holders {
        let code = random.code().map_err(|error| error.to_string())?;
        let new = NewCode {
            hash: code_hash(&code),
            role,
            areas,
            worker: None,
            organization: None,
            maker: None,
            expires_ms,
        };
        store.create_code(new).await.map_err(|error| with_causes(&error))?;
        announce!("  {code}  {who}");
    }
    Ok(())
}

/// A bar on a terminal, lines elsewhere.
enum Display {
    Bar(ProgressBar),
    Lines { next: u32 },
}

impl Display {
    fn new(days: u32) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { next: DAYS_PER_LINE };
        }
        let bar = ProgressBar::with_draw_target(Some(days.into()), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("a year passes {bar:40} {msg}") {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    fn show(&mut self, progress: Progress) {
        let message = format!("day {}, {} ops, {} calls", progress.day, progress.ops, progress.calls);
        match self {
            Self::Bar(bar) => {
                bar.set_position(progress.day.into());
                bar.set_message(message);
            }
            Self::Lines { next } => {
                if progress.day >= *next {
                    hint!("{message}");
                    *next += DAYS_PER_LINE;
                }
            }
        }
    }

    fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
