//! `cargo fuzz run door_call`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::door::call(bytes));
