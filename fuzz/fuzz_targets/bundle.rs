//! See `tests::fuzz::bundle`.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::bundle(bytes));
