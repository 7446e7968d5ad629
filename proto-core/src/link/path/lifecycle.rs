//! A path's life beyond packets: its link changes, its session ends, it is proved anew.

use super::scarce::Turn;
use super::size::PacketSize;
use super::{Path, Piece};
use crate::limits::Limits;
use crate::link::path::Fate;
use crate::node::input::LinkInfo;
use crate::time::{Duration, Instant};

impl Path {
    /// Whatever is in flight will never be acknowledged: its pieces are to be sent elsewhere.
    pub fn abandon(&mut self, now: Instant, fate: &mut impl FnMut(Piece, Fate)) {
        self.sent.report_evicted(fate);
        self.sent.overdue(now, fate);
    }

    /// The address has answered a handshake or a challenge: the path works.
    pub fn revive(&mut self, now: Instant) {
        if self.liveness.on_heard(now, true, Duration::ZERO) {
            self.sent.forgive_overdue();
            self.congestion.on_revival(true);
            self.backoff = 0;
        }
    }

    /// The next packet leaves soon and asks for an answer, whether there is something to send or not.
    pub fn ask(&mut self) {
        self.liveness.want_probe();
    }

    /// The peer was found at another address. What became of packets to the old one says nothing of the way to
    /// this one.
    pub fn on_moved(&mut self) {
        self.sent.on_moved();
        self.size.on_moved();
    }

    /// The link under the path has other properties than before.
    pub fn link_changed(&mut self, link: &LinkInfo, limits: &Limits) {
        let mtu = u32::from(link.mtu).min(limits.packet_bytes).max(1);
        self.turn = Turn::of(link);
        self.size = PacketSize::new(mtu);
        let known_rate = link.rate_bps.map(|bits| (bits / 8).max(1));
        self.congestion.link_changed(known_rate, u64::from(mtu));
        self.refresh();
    }

    /// Whether nothing is in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.sent.open() == 0
    }
}
