//! `cargo fuzz run credentials`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::settings::credentials(bytes));
