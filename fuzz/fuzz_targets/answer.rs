//! `cargo fuzz run answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::requests::answer(bytes));
