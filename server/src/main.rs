//! The `rounds` command.

#![warn(clippy::print_stdout, clippy::print_stderr)] // they panic when nobody reads; see `command::print`

mod command;

use clap::{Parser, Subcommand};
use command::print::hint;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

#[derive(Parser, Debug)]
#[command(
    name = "rounds",
    version,
    // Not as a doc comment: that of `serve`, whose options are here too, would take its place.
    about = "Sync backend and follow-up worker for neighbourhood field teams",
    args_conflicts_with_subcommands = true
)]
struct Rounds {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: command::serve::Serve,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Serve phones and coordinators; what `rounds` does by itself.
    Serve(Box<command::serve::Serve>),
    /// Do the follow-up work, in a process of its own.
    Worker(command::worker::WorkerCommand),
    /// See what the worker has to do and could not do, and decide what becomes of it.
    Jobs(command::jobs::JobsCommand),
    /// Make a one-time code to enrol a device with.
    Code(command::code::Code),
    /// Import a register.
    Import(Box<command::import::Import>),
    /// Export records as a table or a map.
    Export(Box<command::export::ExportCommand>),
    /// See what plans would call for, and make plans for many things at once.
    Plan(Box<command::plan::PlanCommand>),
    /// Make a neighbourhood with a year behind it, to look at.
    Demo(command::demo::Demo),
    /// Be a phone: record, list, sync, and see what is pending.
    Device(Box<command::device::DeviceCommand>),
    /// See what is due, and why.
    #[command(name = "followups")]
    FollowUps(command::follow_up::FollowUps),
    /// See how far areas are in a period, compared with the one before.
    Summary(command::summary::Summary),
    /// See a summary live.
    Top(command::summary::Top),
    /// Check that records and summaries follow from the ops.
    Verify(command::verify::Verify),
    /// Write a SQLite database into a file, while servers write to it or not.
    Backup(command::backup::BackupCommand),
    /// Make a new SQLite database from a backup.
    Restore(command::backup::Restore),
    /// Say that a database was restored by other means.
    Restored(command::backup::Restored),
    /// Simulate devices, server and worker through days in which everything fails, and check what is promised.
    Simulate(command::simulate::Simulate),
    /// See devices, revoke them, give them other areas, as a coordinator.
    Devices(command::coordinate::Devices),
    /// See what could not be taken in, and release or dismiss it, as a coordinator.
    Quarantine(command::coordinate::Quarantine),
    /// See records on which two people disagree, as a coordinator.
    Disputes(command::coordinate::Disputes),
    /// See links that people outside hold, and revoke them.
    Link(command::link::LinkCommand),
    /// See messages to people outside, and try those again that failed.
    Deliveries(command::delivery::Deliveries),
    /// See who read contact data, exported, signed in, or administered.
    Audit(command::audit::Audit),
    /// See to the contact data of requests.
    Contacts(command::contact::ContactsCommand),
    /// See the ops behind a record.
    History(command::coordinate::History),
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_terminal)
        .with_writer(std::io::stderr)
        .init();

    let rounds = Rounds::parse();
    let done = match rounds.command.unwrap_or(Command::Serve(Box::new(rounds.serve))) {
        Command::Serve(serve) => serve.run().await,
        Command::Worker(worker) => worker.run().await,
        Command::Jobs(jobs) => jobs.run().await,
        Command::Code(code) => code.run().await,
        Command::Import(import) => import.run().await,
        Command::Export(export) => export.run().await,
        Command::Plan(plan) => plan.run().await,
        Command::Demo(demo) => demo.run().await,
        Command::Device(device) => device.run().await,
        Command::FollowUps(follow_ups) => follow_ups.run().await,
        Command::Summary(summary) => summary.run().await,
        Command::Top(top) => top.run().await,
        Command::Verify(verify) => verify.run().await,
        Command::Backup(backup) => backup.run().await,
        Command::Restore(restore) => restore.run().await,
        Command::Restored(restored) => restored.run().await,
        Command::Simulate(simulate) => simulate.run(),
        Command::Devices(devices) => devices.run().await,
        Command::Quarantine(quarantine) => quarantine.run().await,
        Command::Disputes(disputes) => disputes.run().await,
        Command::Link(link) => link.run().await,
        Command::Deliveries(deliveries) => deliveries.run().await,
        Command::Audit(audit) => audit.run().await,
        Command::Contacts(contacts) => contacts.run().await,
        Command::History(history) => history.run().await,
    };
    done.unwrap_or_else(|message| {
        hint!("rounds: {message}");
        ExitCode::FAILURE
    })
}
