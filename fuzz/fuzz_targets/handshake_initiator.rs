//! See `tests::fuzz::handshake_initiator`.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::handshake_initiator(bytes));
