//! Handshakes that cross each other.
