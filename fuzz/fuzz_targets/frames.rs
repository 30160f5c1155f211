//! `cargo fuzz run frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::frames::frames(bytes));
