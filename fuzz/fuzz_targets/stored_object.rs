//! `cargo fuzz run stored_object`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::storage::stored_object(bytes));
