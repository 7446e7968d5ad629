//! See `tests::fuzz::handshake_responder`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::fuzz::handshake_responder(bytes));
