//! `cargo fuzz run coder_call`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::storage::coder_call(bytes));
