//! `cargo fuzz run domain_secrets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::sealed::domain_secrets(bytes));
