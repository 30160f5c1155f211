//! `cargo fuzz run coder_roots`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::settings::coder_roots(bytes));
