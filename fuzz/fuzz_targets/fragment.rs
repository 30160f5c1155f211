//! `cargo fuzz run fragment`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::fragments::fragment(bytes));
