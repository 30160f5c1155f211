//! `cargo fuzz run roll`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::client::roll(bytes));
