//! `cargo fuzz run store_operation`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::storage::store_operation(bytes));
