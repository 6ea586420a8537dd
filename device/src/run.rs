//! Keeps a device in step for as long as the app lives.

use crate::client::{CallError, Client, Phone, Summary};
use crate::device::Next;
use rounds_proto::v1::WatchResponse;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tonic::Streaming;

const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// Longest wait between two tries.
pub const BACKOFF_MAX: Duration = Duration::from_secs(300);

/// How long to wait before try `attempt`, counted from 0: by chance, between nothing and a limit that doubles with
/// each try up to [`BACKOFF_MAX`]. So phones that lost their server at the same moment do not return at the same
/// moment. `random` is evenly spread chance.
pub fn backoff(attempt: u32, random: u64) -> Duration {
    let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
    let limit = BACKOFF_FIRST.saturating_mul(factor).min(BACKOFF_MAX);
    limit.mul_f64(random as f64 / u64::MAX as f64)
}

/// Why [`run`] returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The device was revoked, and is wiped.
    Wiped,
}

/// Syncs at once, on every hint of the server, whenever `wake` is notified (something was recorded), and else `every`
/// so often. What goes wrong is tried again after [`backoff`], and never before the time that the server asks for.
/// `report` hears how each sync went.
///
/// It may be dropped at any moment.
///
/// # Errors
/// What no further try can mend: the device is not known to the server, or the file is unusable.
pub async fn run(
    client: &mut Client,
    phone: &impl Phone,
    every: Duration,
    wake: &Notify,
    mut report: impl FnMut(&Result<Summary, CallError>),
) -> Result<Ended, CallError> {
    let mut hints = None;
    let mut failures = 0;
    let mut deaf = 0; // hint streams in a row that could not be opened, or broke before the first true hint
    loop {
        let synced = client.sync_until_quiet(phone).await;
        report(&synced);
        let (pause, not_before) = match synced {
            Ok(summary) if summary.next == Next::Wiped => return Ok(Ended::Wiped),
            Ok(summary) if summary.next == Next::AskLater => {
                failures += 1;
                (backoff(failures, phone.random()), Duration::ZERO)
            }
            Ok(_) => {
                failures = 0;
                (every, Duration::ZERO)
            }
            Err(CallError::NotNow { retry_after, .. }) => {
                hints = None;
                failures += 1;
                (backoff(failures, phone.random()), retry_after.unwrap_or_default())
            }
            Err(error) => return Err(error),
        };
        if failures == 0 && hints.is_none() {
            match client.line().watch().await {
                Ok(stream) => hints = Some(Hints { stream, started: false }),
                Err(_) => deaf += 1, // the server does not have to hint
            }
        }
        let now = Instant::now();
        let mut until = now + pause;
        if failures == 0 && hints.is_none() {
            until = until.min(now + backoff(deaf, phone.random()).max(BACKOFF_FIRST));
        }
        loop {
            tokio::select! {
                () = sleep_until(until) => break,
                () = wake.notified() => break,
                hint = next_hint(&mut hints) => match hint {
                    Some(Hint::Start) => break,
                    Some(Hint::Moved) => {
                        deaf = 0;
                        break;
                    }
                    None => {
                        hints = None;
                        deaf += 1;
                        let soon = backoff(deaf, phone.random()).max(BACKOFF_FIRST);
                        until = until.min(Instant::now() + soon);
                    }
                },
            }
        }
        sleep_until(now + not_before).await;
    }
}

struct Hints {
    stream: Streaming<WatchResponse>,
    started: bool,
}

enum Hint {
    /// The stream is open: what moved before may have been missed.
    Start,
    /// An area moved.
    Moved,
}

/// Waits for a hint. `None`: the stream has ended.
async fn next_hint(hints: &mut Option<Hints>) -> Option<Hint> {
    let Some(hints) = hints else { return std::future::pending().await };
    match hints.stream.message().await {
        Ok(Some(_)) if std::mem::replace(&mut hints.started, true) => Some(Hint::Moved),
        Ok(Some(_)) => Some(Hint::Start),
        Ok(None) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_and_ends_at_five_minutes() {
        let longest: Vec<u64> = (0..12).map(|attempt| backoff(attempt, u64::MAX).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(backoff(u32::MAX, u64::MAX), BACKOFF_MAX);
    }

    #[test]
    fn the_wait_is_spread_evenly_down_to_nothing() {
        assert_eq!(backoff(5, 0), Duration::ZERO);
        assert_eq!(backoff(5, u64::MAX / 2).as_secs(), 16);
        assert_eq!(backoff(40, u64::MAX / 4 * 3).as_secs(), 225);
    }
}
