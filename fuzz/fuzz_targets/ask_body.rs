//! `cargo fuzz run ask_body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::requests::ask_body(bytes));
