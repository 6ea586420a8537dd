//! `rounds plan`: what plans would call for, and plans for many things at once.

use super::print::say;
use super::{DATABASE_DEFAULT, find_area, open, with_causes};
use clap::{Args, Subcommand};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rounds_domain::body::Plan;
use rounds_domain::follow_up::preview;
use rounds_domain::recurrence::{days_later, local_day};
use rounds_domain::template::{TEMPLATES, Template};
use rounds_domain::{Body, Kind, RecordId};
use rounds_server::Clock;
use rounds_server::planning::{self, Planning};
use std::process::ExitCode;

/// Days that a preview shows if nothing else is said.
const PREVIEW_DAYS: i64 = 90;

/// See what a plan would call for before it is there, and make plans for many things at once.
#[derive(Args, Debug)]
pub(crate) struct PlanCommand {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand, Debug)]
enum Act {
    /// List the templates.
    Templates,
    /// Show what a new or changed plan would call for over a period, if each is done on the day on which it is due.
    Preview {
        #[command(flatten)]
        said: Said,
        /// The id of a plan that is there, which the other options change.
        #[arg(long, value_name = "ID", conflicts_with = "template")]
        plan: Option<RecordId>,
        /// The first day that is shown. Today if not given.
        #[arg(long, value_name = "DATE")]
        since: Option<Date>,
        /// The last day that is shown. 90 days later if not given.
        #[arg(long, value_name = "DATE")]
        through: Option<Date>,
        /// The time zone, if the area is not given.
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        /// The area, for its time zone: its name or id.
        #[arg(long)]
        area: Option<String>,
        #[command(flatten)]
        database: Database,
    },
    /// Make a plan for each thing of a template's sorts in an area and below that has none from it yet, and no other of
    /// the same sort.
    Apply {
        #[command(flatten)]
        said: Said,
        /// The area: its name or id.
        #[arg(long)]
        area: String,
        /// Also for things that have another plan of the same sort: each time they are due twice then.
        #[arg(long)]
        beside_others: bool,
        /// Begin on so many different days, so that not everything is due at once.
        #[arg(long, value_name = "DAYS", default_value_t = 1)]
        spread: u32,
        /// Count, and change nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Args, Debug)]
struct Database {
    /// The database: sqlite:PATH or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", env = "ROUNDS_DATABASE", default_value = DATABASE_DEFAULT, hide_env_values = true)]
    database: String,
}

/// What a plan says.
#[derive(Args, Debug)]
struct Said {
    /// The template to begin with, see `rounds plan templates`.
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// What is due: maintenance, watering, ...
    #[arg(long, value_name = "WORD")]
    sort: Option<String>,
    /// The rule of RFC 5545, such as FREQ=WEEKLY;BYDAY=MO
    #[arg(long, value_name = "RRULE")]
    rule: Option<String>,
    /// The first day. Today if not given.
    #[arg(long, value_name = "DATE")]
    from: Option<Date>,
    /// The last day.
    #[arg(long, value_name = "DATE")]
    until: Option<Date>,
    /// Whether the next one counts from the last completion.
    #[arg(long, value_name = "true|false")]
    after_completion: Option<bool>,
    /// The longest time between two that the law allows, in days.
    #[arg(long, value_name = "DAYS")]
    gap: Option<u32>,
    /// How many days before it is due it may be done.
    #[arg(long, value_name = "DAYS")]
    opens: Option<u32>,
    /// How many days after it was due it counts as missed.
    #[arg(long, value_name = "DAYS")]
    expires: Option<u32>,
    /// Months (1 to 12) in which it rests, with commas.
    #[arg(long, value_name = "MONTHS", value_delimiter = ',')]
    resting: Option<Vec<u32>>,
    /// The worker who does it.
    #[arg(long, value_name = "ID")]
    worker: Option<RecordId>,
    /// The group that does it.
    #[arg(long, value_name = "ID")]
    group: Option<RecordId>,
    /// The partner who does it.
    #[arg(long, value_name = "ID")]
    organization: Option<RecordId>,
}

impl Said {
    fn template(&self) -> Result<Option<&'static Template>, String> {
        let Some(name) = &self.template else { return Ok(None) };
        let known = || TEMPLATES.iter().map(|template| template.name).collect::<Vec<_>>().join(", ");
        Template::named(name)
            .map(Some)
            .ok_or_else(|| format!("there is no template {name}; there are: {}", known()))
    }

    /// The plan that it makes of another.
    fn over(&self, base: Plan, today: Date) -> Plan {
        let mut plan = base;
        if let Some(sort) = &self.sort {
            plan.sort.clone_from(sort);
        }
        if let Some(rule) = &self.rule {
            plan.rule.clone_from(rule);
            plan.phases.clear();
        }
        if let Some(from) = self.from {
            plan.from = from.to_string();
        } else if plan.from.is_empty() {
            plan.from = today.to_string();
        }
        if let Some(until) = self.until {
            plan.until = until.to_string();
        }
        if let Some(months) = &self.resting {
            plan.resting_months.clone_from(months);
        }
        plan.after_completion = self.after_completion.unwrap_or(plan.after_completion);
        plan.gap_days_max = self.gap.or(plan.gap_days_max);
        plan.opens_days = self.opens.or(plan.opens_days);
        plan.expires_days = self.expires.or(plan.expires_days);
        plan.worker = self.worker.or(plan.worker);
        plan.group = self.group.or(plan.group);
        plan.organization = self.organization.or(plan.organization);
        plan
    }
}

impl PlanCommand {
    /// Does it.
    pub(crate) async fn run(self) -> Result<ExitCode, String> {
        match self.act {
            Act::Templates => {
                for template in TEMPLATES {
                    say!("{:22} {}", template.name, template.about);
                }
            }
            Act::Preview { said, plan, since, through, time_zone, area, database } => {
                let (base, zone) = base(&said, plan, time_zone, area, &database.database).await?;
                let today = local_day(Clock::system().now_ms(), &zone);
                let since = since.or(said.from).unwrap_or(today);
                let through = through.unwrap_or_else(|| days_later(since, PREVIEW_DAYS));
                show(&said.over(base, today), since, through, &zone)?;
            }
            Act::Apply { said, area, beside_others, spread, dry_run, database } => {
                let template = said.template()?.ok_or("say which --template, see `rounds plan templates`")?;
                apply(&said, template, &area, beside_others, spread, dry_run, &database.database).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The plan to begin with, and the zone that it is counted in.
async fn base(
    said: &Said,
    plan: Option<RecordId>,
    time_zone: Option<String>,
    area: Option<String>,
    database: &str,
) -> Result<(Plan, TimeZone), String> {
    let mut base = said.template()?.map(Template::plan).unwrap_or_default();
    let mut zone_name = time_zone;
    if plan.is_some() || area.is_some() {
        let store = open(database).await?;
        let mut in_area = None;
        if let Some(id) = plan {
            let found = store.record(id).await.map_err(|error| with_causes(&error))?;
            let body = found.as_ref().and_then(|numbered| numbered.record.body().ok());
            let Some(Body::Plan(found_plan)) = body else { return Err(format!("there is no plan {id}")) };
            base = found_plan;
            in_area = found.map(|numbered| numbered.record.area);
        }
        if let Some(area) = area {
            in_area = Some(find_area(&store, &area).await?);
        }
        if let (Some(area), None) = (in_area, &zone_name) {
            let policies = store.policies(area).await.map_err(|error| with_causes(&error))?;
            zone_name = policies.map(|(zone, _)| zone);
        }
        store.close().await;
    }
    let name = zone_name.ok_or("say in which --area or --time-zone, such as Asia/Shanghai")?;
    let zone = TimeZone::get(&name)
        .map_err(|_| format!("{name} is no IANA time zone; write it as Asia/Shanghai"))?;
    Ok((base, zone))
}

fn show(plan: &Plan, since: Date, through: Date, zone: &TimeZone) -> Result<(), String> {
    let checked = Plan { subject: plan.subject.or(Some(RecordId(uuid::Uuid::nil()))), ..plan.clone() };
    Body::Plan(checked).check().map_err(|refusal| refusal.to_string())?;
    if through < since {
        return Err(format!("{through} is before {since}: give --through a later day"));
    }
    let day = |ms: i64| local_day(ms, zone).to_string();
    say!("due          may be done from  missed after  rule");
    let shown = preview(plan, since, through, zone);
    for due in &shown {
        let missed = due.expires_ms.map_or("-".to_owned(), day);
        say!("{:12} {:17} {:13} {}", day(due.due_ms), day(due.opens_ms), missed, due.rule);
    }
    say!("{} from {since} through {through}", shown.len());
    if let Some(gap_days) = plan.gap_days_max {
        let late = shown.windows(2).find(|pair| {
            days_later(local_day(pair[0].due_ms, zone), i64::from(gap_days)) < local_day(pair[1].due_ms, zone)
        });
        if let Some([before, after]) = late {
            say!("beware: from {} to {} is more than {gap_days} days", day(before.due_ms), day(after.due_ms));
        }
    }
    Ok(())
}

async fn apply(
    said: &Said,
    template: &'static Template,
    area: &str,
    beside_others: bool,
    spread_days: u32,
    dry_run: bool,
    database: &str,
) -> Result<(), String> {
    let store = open(database).await?;
    let clock = Clock::system();
    let area = find_area(&store, area).await?;
    let policies = store.policies(area).await.map_err(|error| with_causes(&error))?;
    let zone = policies.and_then(|(zone, _)| TimeZone::get(&zone).ok()).unwrap_or(TimeZone::UTC);
    let plan = said.over(template.plan(), local_day(clock.now_ms(), &zone));
    let areas = store.subtree(area).await.map_err(|error| with_causes(&error))?;
    let bar = indicatif::ProgressBar::new_spinner();
    let planning = Planning { template, plan, spread_days, areas, beside_others, dry_run };
    let done = planning::apply(&store, &clock, &planning, |planned| {
        bar.set_message(format!("{} plans", planned.made));
        bar.tick();
    })
    .await;
    bar.finish_and_clear();
    store.close().await;
    let planned = done.map_err(|error| with_causes(&error))?;
    let would = if dry_run { "would get" } else { "got" };
    let kinds = match template.kind {
        Kind::Place => "places",
        _ => "assets",
    };
    let others = match planned.others {
        0 => String::new(),
        others => format!(", {others} have another plan for {}", planning.plan.sort),
    };
    say!(
        "{} {kinds}: {} {would} a plan, {} had it already{others}",
        planned.things,
        planned.made,
        planned.there
    );
    Ok(())
}
