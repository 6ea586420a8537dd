//! A neighbourhood with a year behind it: `rounds demo`, `rounds serve --demo`.
//!
//! Nothing in it is made up in the database. A server on a port of its own and a worker go by a clock that runs
//! through the year in no time, and everybody works with them as they would: volunteers and coordinators with phones
//! over gRPC, partners with calls to the directory. So the history has the right times without any way to
//! forge times, which the server does not have: nothing that a device brings is older than its enrolment.

mod calendar;
mod coordinator;
mod mishap;
mod neighbourhood;
mod partner;
mod phone;
mod volunteer;
mod word;

use crate::chance::Chance;
use crate::{Config, Random, ServeError, serve};
use calendar::{Calendar, Day, Hands};
use coordinator::Coordinator;
use futures_util::future::try_join_all;
use neighbourhood::Neighbourhood;
use partner::Partner;
use phone::{Holder, Phone, enrol};
use rounds_device::CallError;
use rounds_domain::{AreaId, Role};
use rounds_store::Store;
use rounds_worker::{Options, Worker};
use std::path::Path;
use std::sync::Arc;
use tonic::transport::Endpoint;
use volunteer::Volunteer;
use word::PARTNERS;

/// Partners look at what was referred to them every so many days.
const PARTNER_DAYS: i64 = 3;
/// The worker works every so many nights: each costs time in which nothing is seen to happen.
const NIGHT_DAYS: i64 = 3;

/// How large, and how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The same seed, size and day give the same neighbourhood.
    pub seed: u64,
    /// Days of history; it ends now.
    pub days: u32,
    /// Phones of volunteers. Beside them each community has a coordinator.
    pub phones: usize,
    /// Communities, from 1 to 6.
    pub communities: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { seed: 1, days: 365, phones: 10, communities: 3 }
    }
}

/// How far the history is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Days that have passed.
    pub day: u32,
    /// Of so many.
    pub days: u32,
    /// Ops that were recorded.
    pub ops: u64,
    /// Calls to the server.
    pub calls: u64,
}

/// What is there now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// The top of the tree.
    pub district: AreaId,
    /// The communities and their areas.
    pub communities: Vec<(String, AreaId)>,
    /// Ops that were recorded.
    pub ops: u64,
    /// Calls to the server.
    pub calls: u64,
    /// Phones, laptops and partners.
    pub devices: usize,
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Areas are kept for ever: a demo among real ones could not be taken out again.
    #[error("the database has areas already: a demo needs an empty one")]
    NotEmpty,
    /// The database failed.
    #[error("{0}")]
    Store(#[from] rounds_store::Error),
    /// The server did not start.
    #[error("{0}")]
    Serve(#[from] ServeError),
    /// The server failed.
    #[error("{0}")]
    Server(String),
    /// The worker failed.
    #[error("{0}")]
    Worker(#[from] rounds_worker::Error),
    /// The worker gave jobs up.
    #[error("the worker gave up {0} jobs")]
    JobsGivenUp(u64),
    /// A phone could not.
    #[error("a phone: {0}")]
    Phone(#[from] rounds_device::Error),
    /// A phone's call came to nothing.
    #[error("a phone: {0}")]
    Call(#[from] CallError),
    /// A partner's call came to nothing.
    #[error("a partner: {0}")]
    Partner(#[from] tonic::Status),
    /// The server cannot be reached.
    #[error("a partner: {0}")]
    Line(#[from] tonic::transport::Error),
    /// A token that cannot be sent: a fault in this program.
    #[error("a token that cannot be sent")]
    Token,
    /// No randomness.
    #[error("{0}")]
    Random(#[from] crate::error::Error),
}

/// Makes the neighbourhood and its history in an empty database. Phones keep their files in `folder`, which may go
/// afterwards. `now_ms` is when the history ends, in ms since 1970 UTC.
///
/// # Errors
/// [`Error::NotEmpty`], or what went wrong on the way: what was made until then stays.
pub async fn make(
    store: &Store,
    settings: &Settings,
    folder: &Path,
    random: &Random,
    now_ms: i64,
    progress: impl FnMut(Progress),
) -> Result<Summary, Error> {
    if !store.areas().await?.is_empty() {
        return Err(Error::NotEmpty);
    }
    let calendar = Calendar::until(now_ms, settings.days);
    let hands = Hands::at(calendar.start_ms());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let until = async {
        let _ = stopped.await; // an error here drops the sender
    };
    let config = Config { rate_limits: false, ..Config::local(0) };
    let serving = serve(config, store.clone(), hands.clock(), random.clone(), until).await?;
    let url = format!("http://{}", serving.address);
    let shift = NightShift { store, random, hands: &hands };
    let result = play(store, settings, folder, random, &calendar, &hands, &url, &shift, progress).await;
    drop(stop);
    serving.stopped().await.map_err(Error::Server)?;
    result
}

#[allow(clippy::too_many_arguments)] // all that a year takes
async fn play(
    store: &Store,
    settings: &Settings,
    folder: &Path,
    random: &Random,
    calendar: &Calendar,
    hands: &Hands,
    url: &str,
    shift: &NightShift<'_>,
    mut progress: impl FnMut(Progress),
) -> Result<Summary, Error> {
    let mut town = Town { seed: settings.seed, store, folder, random, hands, url };
    let mut chance = Chance::of(settings.seed, "neighbourhood");
    let mut all = Neighbourhood::plan(&mut chance, calendar, settings.communities, settings.phones);
    let admin_ops = town.set_up(&mut all, calendar).await?;
    let mut people = town.people(&all).await?;
    shift.work().await?;
    for number in 0..calendar.days {
        let day = calendar.day(number);
        people.live(&all, day, hands).await?;
        if number % NIGHT_DAYS == 0 || number + 1 == calendar.days {
            shift.work().await?;
        }
        let (ops, calls) = people.counts();
        let (day, days) = (number as u32 + 1, calendar.days as u32);
        progress(Progress { day, days, ops: ops + admin_ops, calls });
    }
    let (ops, calls) = people.counts();
    Ok(Summary {
        district: all.district,
        communities: all.communities.iter().map(|one| (one.name.to_owned(), one.area)).collect(),
        ops: ops + admin_ops,
        calls,
        devices: people.devices() + 1,
    })
}

/// What it takes to give people phones.
struct Town<'a> {
    seed: u64,
    store: &'a Store,
    folder: &'a Path,
    random: &'a Random,
    hands: &'a Hands,
    url: &'a str,
}

impl Town<'_> {
    /// The administrator records what is there. Answers how many ops that took.
    async fn set_up(&mut self, all: &mut Neighbourhood, calendar: &Calendar) -> Result<u64, Error> {
        let holder = Holder {
            label: "Administrator's laptop",
            role: Role::Admin,
            areas: Vec::new(),
            worker: None,
            organization: None,
        };
        let mut laptop = self.phone(&holder).await?.0;
        for group in all.take_groups() {
            laptop.record(calendar.start_ms(), group)?;
        }
        self.hands.advance_to(calendar.start_ms() + 60_000);
        laptop.sync().await?;
        Ok(laptop.ops)
    }

    async fn people(&mut self, all: &Neighbourhood) -> Result<People, Error> {
        let mut people = People { teams: Vec::new(), partners: Vec::new() };
        for (at, community) in all.communities.iter().enumerate() {
            let label = format!("{}'s laptop, {}", community.coordinator_name, community.name);
            let holder = Holder {
                label: &label,
                role: Role::Coordinator,
                areas: vec![community.area],
                worker: Some(community.coordinator),
                organization: None,
            };
            let (phone, chance) = self.phone(&holder).await?;
            let coordinator = Coordinator { phone, community: at, chance };
            let mut volunteers = Vec::new();
            for (cell_at, cell) in community.cells.iter().enumerate() {
                for (worker, name) in &cell.volunteers {
                    let label = format!("{name}'s phone, {} {}", community.name, cell_at + 1);
                    let holder = Holder {
                        label: &label,
                        role: Role::Field,
                        areas: vec![cell.area],
                        worker: Some(*worker),
                        organization: None,
                    };
                    let (phone, chance) = self.phone(&holder).await?;
                    volunteers.push(Volunteer::new(phone, at, cell_at, cell, chance));
                }
            }
            people.teams.push(Team { coordinator, volunteers });
        }
        let line = Endpoint::from_shared(self.url.to_owned())?.connect().await?;
        for (partner, id) in
            PARTNERS.iter().zip(&all.partners).filter(|(partner, _)| !partner.categories.is_empty())
        {
            let holder = Holder {
                label: partner.name,
                role: Role::Partner,
                areas: vec![all.district],
                worker: None,
                organization: Some(*id),
            };
            let mut chance = Chance::of(self.seed, partner.name);
            let (_, token) = self.enrol(&holder, &mut chance).await?;
            people.partners.push(Partner::new(line.clone(), &token, chance)?);
        }
        Ok(people)
    }

    async fn phone(&self, holder: &Holder<'_>) -> Result<(Phone, Chance), Error> {
        let mut chance = Chance::of(self.seed, holder.label);
        let enrolled = self.enrol(holder, &mut chance).await?;
        let phone = Phone::new(self.folder, self.url, self.hands, &mut chance, holder, enrolled)?;
        Ok((phone, chance))
    }

    async fn enrol(
        &self,
        holder: &Holder<'_>,
        chance: &mut Chance,
    ) -> Result<(rounds_domain::DeviceId, String), Error> {
        enrol(self.store, self.random, chance, holder, self.hands.now_ms()).await
    }
}

/// The worker works overnight: what people find does not depend on how fast it is by day.
struct NightShift<'a> {
    store: &'a Store,
    random: &'a Random,
    hands: &'a Hands,
}

impl NightShift<'_> {
    /// All that is to be done now.
    async fn work(&self) -> Result<(), Error> {
        let clock = self.hands.clock();
        let options = Options::new(self.random.id(clock.now_ms())?);
        let worker = Worker::start(self.store.clone(), Arc::new(move || clock.now_ms()), options).await?;
        let given_up = worker.drained().await;
        worker.stop().await;
        match given_up? {
            0 => Ok(()),
            given_up => Err(Error::JobsGivenUp(given_up)),
        }
    }
}

/// Everybody.
struct People {
    teams: Vec<Team>,
    partners: Vec<Partner>,
}

/// Who looks after a community.
struct Team {
    coordinator: Coordinator,
    volunteers: Vec<Volunteer>,
}

impl People {
    /// A day: what is recorded, and who meets the server when. Communities have nothing to do with each other, and
    /// neither have partners, so they go at the same time; within one it is one after the other, as what the next one
    /// sees depends on it.
    async fn live(&mut self, all: &Neighbourhood, day: Day, hands: &Hands) -> Result<(), Error> {
        if day.number % PARTNER_DAYS == 0 && hands.reach(day, 16, 0) {
            try_join_all(self.partners.iter_mut().map(Partner::look)).await?;
        }
        let has_signal = hands.reach(day, 17, 30);
        try_join_all(self.teams.iter_mut().map(async |team| {
            mishap::happen(all, &mut team.coordinator, &mut team.volunteers, day)?;
            team.coordinator.morning(all, day)?;
            for volunteer in &mut team.volunteers {
                volunteer.round(all, day, has_signal).await?;
            }
            Ok::<_, Error>(())
        }))
        .await?;
        if hands.reach(day, 18, 30) {
            try_join_all(self.teams.iter_mut().map(|team| team.coordinator.phone.sync())).await?;
        }
        Ok(())
    }

    /// Ops and calls.
    fn counts(&self) -> (u64, u64) {
        let phones = self.teams.iter().flat_map(|team| {
            team.volunteers.iter().map(|volunteer| &volunteer.phone).chain([&team.coordinator.phone])
        });
        let of_phones = phones.map(|phone| (phone.ops, phone.calls));
        let of_partners = self.partners.iter().map(|partner| (partner.ops, partner.calls));
        of_phones.chain(of_partners).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    fn devices(&self) -> usize {
        self.partners.len() + self.teams.iter().map(|team| team.volunteers.len() + 1).sum::<usize>()
    }
}
