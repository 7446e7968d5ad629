//! See `tests::fuzz::node`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::node(bytes));
