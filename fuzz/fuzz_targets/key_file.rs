//! `cargo fuzz run key_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::keys::file(bytes));
