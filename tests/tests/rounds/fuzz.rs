//! Nothing that strangers send ends a program, keeps it busy, or fills its memory: a bounded number of inputs, always the
//! same. `scripts/proof` tries as many as there is time for, and `fuzz/` looks for new ones.

use rounds_tests::fuzz::{Mutator, TARGETS, corpus};

/// Most that a test may have had in memory, in KiB.
const MEMORY_KIB_MAX: u64 = 512 * 1024;

/// Reads the corpus of a target, and so many mutations of it.
fn try_out(name: &str, mutations: usize) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let corpus = corpus(name);
    corpus.iter().for_each(|input| target(input));
    let mut mutator = Mutator::new(1, corpus.clone());
    for n in 0..mutations {
        let input = mutator.mutate(&corpus[n % corpus.len()]);
        let outcome = std::panic::catch_unwind(|| target(&input));
        assert!(outcome.is_ok(), "mutation {n} of {name}: {}", rounds_tests::golden::hexadecimal(&input));
    }
    let peak_kib = peak_memory_kib();
    assert!(peak_kib < MEMORY_KIB_MAX, "{peak_kib} KiB");
}

/// Most memory that this process has had so far, in KiB.
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn requests_of_strangers_harm_nobody() {
    try_out("request", 20_000);
}

#[test]
fn ops_of_strangers_harm_nobody() {
    try_out("op", 10_000);
}

#[test]
fn bodies_and_answers_to_checklists_of_strangers_harm_nobody() {
    try_out("body", 10_000);
}

#[test]
fn answers_of_strange_servers_harm_no_phone() {
    try_out("answer", 4_000);
}

#[test]
fn cursors_of_strangers_harm_nobody() {
    try_out("cursor", 20_000);
}

#[test]
fn page_tokens_of_strangers_harm_nobody() {
    try_out("page_token", 50_000);
}

#[test]
fn tokens_of_links_are_not_guessed_and_harm_nobody() {
    try_out("link_token", 20_000);
}

#[test]
fn files_to_import_harm_nobody() {
    try_out("import", 10_000);
}

#[test]
fn recurrence_rules_of_strangers_harm_nobody() {
    try_out("rule", 2_000);
}

#[test]
fn a_target_that_panics_is_noticed() {
    let outcome = std::panic::catch_unwind(|| {
        let mut mutator = Mutator::new(1, vec![b"harmless".to_vec()]);
        for _ in 0..1_000 {
            assert!(mutator.mutate(b"harmless").first() != Some(&0xff), "it begins with 0xff");
        }
    });
    assert!(outcome.is_err(), "the mutations reach every byte");
    let (mut one, mut other) = (Mutator::new(7, Vec::new()), Mutator::new(7, Vec::new()));
    assert!((0..100).all(|_| one.mutate(b"same") == other.mutate(b"same")), "a seed gives the same inputs");
}
