//! `cargo fuzz run batch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::sealed::batch(bytes));
