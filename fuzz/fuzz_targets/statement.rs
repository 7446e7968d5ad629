//! See `tests::fuzz::statement`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::statement(bytes));
