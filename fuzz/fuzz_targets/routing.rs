//! See `tests::fuzz::routing`.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::routing(bytes));
