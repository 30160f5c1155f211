//! `cargo fuzz run answer_body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::requests::answer_body(bytes));
