//! Every test of the whole in one binary, so that it is linked once.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed
#![allow(missing_docs)] // the tests' names say what they promise

mod rounds {
    mod access;
    mod authority;
    mod calendar;
    mod channel;
    mod contact;
    mod dashboard;
    mod demo;
    mod edge;
    mod enrolment;
    mod export;
    mod fuzz;
    mod golden;
    mod history;
    mod import;
    mod input;
    mod job;
    mod outside;
    mod overdue;
    mod partner;
    mod planning;
    mod port;
    mod privacy;
    mod rights;
    mod secrets;
    mod simulation;
    mod store;
    mod summary;
    mod sync;
    mod watch;
    mod worker;
    mod year;
}
