//! `cargo fuzz run location_settings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::settings::location_settings(bytes));
