//! `cargo fuzz run spill_segment`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::spill::segment(bytes));
