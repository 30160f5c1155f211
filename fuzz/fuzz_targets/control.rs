//! `cargo fuzz run control`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::sealed::control(bytes));
