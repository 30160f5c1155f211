//! `cargo fuzz run coder_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::storage::coder_request(bytes));
