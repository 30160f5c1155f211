//! `cargo fuzz run router_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::router::frames(bytes));
