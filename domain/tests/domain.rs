//! The promises of the domain, each a test of its name.

mod domain {
    mod access;
    mod attendance;
    mod check;
    mod clock;
    mod column;
    mod every_interleaving;
    mod fold;
    mod follow_up;
    mod forbidden;
    mod happening;
    mod history;
    mod merge;
    mod plan;
    mod plan_life;
    mod plan_past;
    mod plan_put_off;
    mod plan_told;
    mod privacy;
    mod recurrence;
    mod sample;
    mod status;
    mod summary;
    mod tally;
    mod vocabulary;
    mod whole;
    mod world;
}
