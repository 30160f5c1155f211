//! `cargo fuzz run roots`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::settings::roots(bytes));
