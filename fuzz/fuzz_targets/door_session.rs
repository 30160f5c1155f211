//! `cargo fuzz run door_session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::door::session(bytes));
