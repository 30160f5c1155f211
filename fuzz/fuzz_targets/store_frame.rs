//! `cargo fuzz run store_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::storage::store_frame(bytes));
