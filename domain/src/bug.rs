//! Known bugs, to be put in on purpose: a simulation that does not find them proves nothing.
//!
//! Without the feature `bugs`, which only the tests of the whole switch on, none of this is in a program.

/// A way to be wrong, each in one place of the code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Bug {
    /// A retry is taken in as a new op.
    RetryTwice,
    /// A retry gets another verdict than the first time.
    VerdictOfRetry,
    /// Ops are acknowledged, and then the commit fails.
    AcknowledgedTooEarly,
    /// The copy of a phone is taken for the phone.
    ForkUnseen,
    /// An op that cannot be read fails the whole call.
    PoisonBlocks,
    /// A late op is applied as if it came last.
    LateOpLast,
    /// The order follows the devices' wall clocks.
    OrderOfClocks,
    /// An op on a deleted record brings it back.
    Resurrection,
    /// A record that moves is not said to have left.
    DepartureUnsaid,
    /// A deletion is not sent.
    TombstoneUnsent,
    /// The ops of a group get numbers of their own, so that a page can cut it.
    GroupTornInFeed,
    /// The rest of a group is applied when one op of it is refused.
    GroupTornOnArrival,
    /// A page that was cut counts as the whole area.
    HoleInFeed,
    /// The cursor forgets areas that did not move.
    CursorBack,
    /// A device is not told that an area is its own no more.
    LeftAreaUnsaid,
    /// A device gets all of the areas above its own.
    ScopeLeak,
    /// What a record counted before is not taken away.
    TallyKept,
    /// The worker looks at what changed up to the number before the last.
    WorkerMissesLast,
    /// The device forgets ops once they are acknowledged, restore or not.
    OutboxForgetsEarly,
    /// A revoked device is wiped with its first answer, whatever it still holds.
    WipedTooEarly,
    /// The device takes in an answer that another has overtaken.
    StaleAnswerTaken,
    /// The device does not see that the server was restored.
    RestoreUnseen,
    /// The device does not say what its user had seen.
    SeenUnsaid,
}

impl Bug {
    /// All of them.
    pub const ALL: &[Bug] = &[
        Bug::RetryTwice,
        Bug::VerdictOfRetry,
        Bug::AcknowledgedTooEarly,
        Bug::ForkUnseen,
        Bug::PoisonBlocks,
        Bug::LateOpLast,
        Bug::OrderOfClocks,
        Bug::Resurrection,
        Bug::DepartureUnsaid,
        Bug::TombstoneUnsent,
        Bug::GroupTornInFeed,
        Bug::GroupTornOnArrival,
        Bug::HoleInFeed,
        Bug::CursorBack,
        Bug::LeftAreaUnsaid,
        Bug::ScopeLeak,
        Bug::TallyKept,
        Bug::WorkerMissesLast,
        Bug::OutboxForgetsEarly,
        Bug::WipedTooEarly,
        Bug::StaleAnswerTaken,
        Bug::RestoreUnseen,
        Bug::SeenUnsaid,
    ];
}

/// Whether this bug was put in: never, in a program that people use.
#[cfg(not(feature = "bugs"))]
#[inline]
pub const fn is_injected(_: Bug) -> bool {
    false
}

#[cfg(feature = "bugs")]
pub use injection::{Injected, inject, is_injected};

#[cfg(feature = "bugs")]
mod injection {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        // Of one thread, so that tests beside it know nothing of it.
        static INJECTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether this thread has this bug.
    pub fn is_injected(bug: Bug) -> bool {
        INJECTED.get() == Some(bug)
    }

    /// Puts a bug in, for this thread and until the answer is dropped.
    pub fn inject(bug: Bug) -> Injected {
        INJECTED.set(Some(bug));
        Injected(())
    }

    /// A bug that is in.
    #[derive(Debug)]
    pub struct Injected(());

    impl Drop for Injected {
        fn drop(&mut self) {
            INJECTED.set(None);
        }
    }
}
