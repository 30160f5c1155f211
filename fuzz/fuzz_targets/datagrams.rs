//! `cargo fuzz run datagrams`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sc_fuzz::link::datagrams(bytes));
