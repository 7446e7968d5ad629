//! Who understood a packet: the rules of the channel.
//!
//! Two talk at once. Whoever stands close to one of them understands that one; whoever stands between them understands
//! neither; and if one only cleared his throat before the other began to say something, nothing was lost.
//!
//! The rules are those of Bor, Roedig, Voigt, Alonso (MSWiM 2016, section 3): a packet survives another on its channel when it
//! is stronger by the capture threshold (6 dB for LoRa), or when the other is over before the last five symbols of its
//! preamble. Each pair is looked at by itself; strengths of several others do not add up. A stronger packet is taken up even if
//! the receiver was already busy with a weaker one, as in their simulator. A receiver that sends between those last symbols and
//! the packet's end has missed it. Waves take no time on their way.

use super::{Medium, Sent};

/// What a receiver got of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::net) enum Heard {
    /// All of it.
    Whole,
    /// It was too weak.
    Weak,
    /// The receiver was sending itself.
    Deaf,
    /// Another packet was too strong.
    Collided,
}

impl Medium {
    /// What each of the receivers got of the transmission at this position, which ends now.
    pub(super) fn hear(&self, at: usize, receivers: &[(usize, u64)]) -> Vec<Heard> {
        let sent = &self.on_air[at];
        let from_us = sent.start_us + self.spec.lead_us;
        let meets = |other: &&Sent| {
            other.number != sent.number && other.start_us < sent.end_us && other.end_us > from_us
        };
        let others: Vec<&Sent> = self.on_air.iter().filter(meets).collect();
        let one = |&(receiver, _): &(usize, u64)| {
            let strength = self.strength(sent.from, receiver);
            if strength < self.spec.sensitivity_mdbm {
                Heard::Weak
            } else if others.iter().any(|other| other.from == receiver) {
                Heard::Deaf
            } else if others.iter().any(|other| {
                self.strength(other.from, receiver) > strength.saturating_sub(self.spec.capture_mdb)
            }) {
                Heard::Collided
            } else {
                Heard::Whole
            }
        };
        receivers.iter().map(one).collect()
    }

    /// Whether a radio notices somebody on the channel between two moments. Who begins at the last is not noticed.
    pub(super) fn is_busy(&self, listener: usize, since_us: u64, now_us: u64) -> bool {
        self.on_air.iter().any(|sent| {
            sent.from != listener
                && sent.start_us < now_us
                && sent.end_us > since_us
                && self.strength(sent.from, listener) >= self.spec.busy_mdbm
        })
    }

    /// Forgets what can spoil nothing any more, neither what is on air nor what somebody listens for.
    pub(super) fn forget(&mut self, now_us: u64) {
        let going = self.on_air.iter().filter(|sent| sent.end_us > now_us || sent.frame.is_some());
        let mut from_us = going.map(|sent| sent.start_us).min().unwrap_or(now_us);
        if let Some(csma) = self.spec.csma {
            from_us = from_us.min(now_us.saturating_sub(csma.listen_us));
        }
        self.on_air.retain(|sent| sent.end_us > from_us || sent.frame.is_some());
    }
}
