//! The conformance suite of the store: what `rounds_store` promises, on both databases.

mod agenda;
mod any_order;
mod audit;
mod device;
mod fault;
mod feed;
mod group;
mod job;
mod ledger;
mod lookup;
mod opening;
mod order;
mod quarantine;
mod restored;
mod sample;
mod snapshot;
mod tally;
mod timer;
mod view;
mod watch;
