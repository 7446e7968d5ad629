//! What a session costs in memory.

use super::super::*;
use crate::limits::Limits;

/// Bytes of one established session with one path, without its papers.
fn session_bytes(limits: &Limits) -> usize {
    let window = usize::from(limits.replay_window) / 8 + 8;
    size_of::<Peer>()
        + size_of::<peers::Association>()
        + size_of::<keys::Keys>()
        + size_of::<peers::Endpoint>()
        + window
}

#[test]
fn an_idle_session_is_small() {
    let (tiny, server) = (session_bytes(&Limits::TINY), session_bytes(&Limits::SERVER));
    std::eprintln!("idle session: {tiny} bytes TINY, {server} bytes SERVER, without papers (about 200)");
    assert!(tiny < 3 * 1024 && server < 3 * 1024, "{tiny} {server}");
}
