//! `cargo fuzz run ascii_line`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::matching::ascii_line(bytes));
