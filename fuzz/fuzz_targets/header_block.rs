//! `cargo fuzz run header_block`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::matching::header_block(bytes));
