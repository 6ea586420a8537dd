//! P9: what strangers can send, mutated for as long as somebody likes: a line for each target. No coverage guides it; that
//! is what `fuzz/` is for.

use crate::asked::Asked;
use crate::line::{Bound, Line};
use rounds_tests::fuzz::{Mutator, TARGETS, corpus};
use rounds_tests::golden::hexadecimal;
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

/// An input that takes longer keeps the server busy.
const SLOW: Duration = Duration::from_secs(1);

/// Inputs of each target, for `--seconds` (30 minutes, or 2 seconds with `--quick`).
pub(crate) fn p9(asked: &Asked) -> Vec<Line> {
    let seconds: u32 = asked.setting("--seconds").unwrap_or(asked.size(2, 30 * 60));
    let silent = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {})); // each is told below
    let lines = TARGETS.iter().map(|(name, target)| {
        let corpus = corpus(name);
        let mut mutator = Mutator::new(u64::from(std::process::id()), corpus.clone());
        let (mut inputs, mut crashes, mut slowest) = (0_usize, 0_usize, Duration::ZERO);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(u64::from(seconds)) {
            let input = mutator.mutate(&corpus[inputs % corpus.len()]);
            let began = Instant::now();
            if catch_unwind(|| target(&input)).is_err() {
                crashes += 1;
                eprintln!("{name} panics at {}", hexadecimal(&input));
            }
            let mut took = began.elapsed();
            for _ in 0..2 {
                if took > SLOW {
                    // Perhaps others kept the processor: what is slow is slow each time.
                    let again = Instant::now();
                    let _ = catch_unwind(|| target(&input));
                    took = took.min(again.elapsed());
                }
            }
            if took > SLOW {
                crashes += 1;
                eprintln!("{name} takes {took:?} for {}", hexadecimal(&input));
            }
            slowest = slowest.max(took);
            inputs += 1;
        }
        Line {
            id: "P9",
            database: "-",
            figure: format!(
                "{name}: {inputs} inputs in {seconds} s, the slowest took {} us",
                slowest.as_micros()
            ),
            yardstick: format!("peak memory {} MiB", peak_memory_kib() / 1024),
            value: crashes as f64,
            floor: Bound::AtMost(0.0),
            goal: Bound::AtMost(0.0),
        }
    });
    let lines = lines.collect();
    std::panic::set_hook(silent);
    lines
}

/// Most memory that this process has had so far, in KiB.
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default()
}
