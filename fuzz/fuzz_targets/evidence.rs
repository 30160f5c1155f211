//! `cargo fuzz run evidence`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::evidence::evidence(bytes));
