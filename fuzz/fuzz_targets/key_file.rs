//! See `tests::fuzz::key_file`.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::key_file(bytes));
