//! `cargo fuzz run storage_policy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::settings::storage_policy(bytes));
