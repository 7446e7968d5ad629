//! What two peers tell each other about their sizes while they shake hands.
//!
//! Plain data, in the base: the session carries it, the link obeys it, and neither needs the other.

/// What a peer is able to take. Everything sent to it stays within these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerParams {
    /// Largest message it accepts, in bytes.
    pub message_bytes: u32,
    /// Bytes of unfinished messages it keeps for us; we have no more than this under way. A message that
    /// waits there for others, or comes in symbols, counts as [`PeerParams::PLACE_BYTES`] at least.
    pub receive_bytes: u32,
    /// Largest packet it accepts, in bytes.
    pub packet_bytes: u32,
    /// How many message numbers beyond its oldest missing one it remembers.
    pub message_window: u16,
    /// It decodes RaptorQ repair symbols (RFC 6330).
    pub fountain: bool,
    /// It takes part in routing.
    pub routing: bool,
    /// It takes part in gossip.
    pub gossip: bool,
}

impl PeerParams {
    /// What a message that needs a place at the receiver counts as at least: so `receive_bytes` bounds their
    /// number too. [`Limits::TINY`](crate::limits::Limits::TINY) keeps 12 places for one peer and promises 8 KiB.
    pub const PLACE_BYTES: u32 = 768;
    /// The least that [`PeerParams::packet_bytes`] may be: the smallest MTU of any link.
    pub const LEAST_PACKET: u32 = 64;
    /// The least that [`PeerParams::message_window`] may be.
    pub const LEAST_WINDOW: u16 = 64;
}
