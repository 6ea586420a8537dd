#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rounds_tests::fuzz::page_token(data));
