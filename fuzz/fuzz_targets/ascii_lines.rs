//! `cargo fuzz run ascii_lines`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::matching::ascii_lines(bytes));
