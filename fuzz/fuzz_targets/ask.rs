//! `cargo fuzz run ask`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::requests::ask(bytes));
