//! `cargo fuzz run key_bytes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::keys::bytes(bytes));
