//! `cargo fuzz run subscription`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::matching::subscription(bytes));
