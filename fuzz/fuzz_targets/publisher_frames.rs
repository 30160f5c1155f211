//! `cargo fuzz run publisher_frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::client::publisher(bytes));
