//! What happens to one packet on its way from one member of a link to another.

use proto_core::ids::Addr;

use super::{Active, Arrival, Link, Outbox, REMEMBERED, Trip, way_key};
use crate::draw::{Lot, Purpose, scale};
use crate::plan::What;

/// Keeps the numbers of faults apart from the numbers of links in one key. Any odd number with bits all over.
const SPREAD: u64 = 0xc2b2_ae3d_27d4_eb4f;

/// What the faults have decided so far about one packet.
#[derive(Default)]
struct Fate {
    lost: bool,
    blocked: bool,
    extra_us: u64,
    /// Held back on purpose: later packets may overtake it.
    overtaken_us: u64,
    flips: Option<(Lot, u32)>,
    keep_bytes: Option<usize>,
    /// A second copy, this much later.
    again_us: Option<u64>,
    /// An old packet, by its age, this much later.
    replay: Option<(u64, u64)>,
}

impl Fate {
    fn wait(&mut self, add_us: u64, jitter_us: u64) {
        self.extra_us = self.extra_us.saturating_add(add_us).saturating_add(jitter_us);
    }
}

impl Link {
    /// Sends a packet on its way and arranges whatever of it arrives.
    pub(super) fn travel<E: Copy>(&mut self, trip: &Trip, bytes: &[u8], out: &mut Outbox<'_, E>) {
        let at = trip.from * self.width + trip.receiver;
        let way = &mut self.ways[at];
        let n = trip.n;
        let mut fate =
            Fate { blocked: trip.apart, lost: way.own_loss.hits(n, way.loss_ppm), ..Fate::default() };
        let mut remembers = false;
        if !self.faults.is_empty() {
            let there = trip.from == 0 || self.spec.shared;
            for fault in &mut self.faults {
                remembers |= matches!(fault.what, What::Replay { .. });
                fault.strike(trip, at, there, n, bytes.len(), &mut fate);
            }
        }
        if remembers {
            if way.old.len() == REMEMBERED {
                way.old.pop_front();
            }
            way.old.push_back((trip.source, bytes.to_vec()));
        }
        let mut arrives_us = trip.departs_us.saturating_add(self.spec.delay_us).saturating_add(fate.extra_us);
        if self.spec.jitter_us > 0 {
            arrives_us = arrives_us.saturating_add(way.own_jitter.between(n, 0, self.spec.jitter_us));
        }
        let put = |at_us: u64, source: Addr, bytes: &[u8], out: &mut Outbox<'_, E>| {
            let packet = out.pool.put(source, trip.to, bytes);
            let arrival = Arrival { link: trip.link, host: self.hosts[trip.receiver], packet };
            out.agenda.push(at_us, (out.wrap)(arrival));
            packet
        };
        if let Some((lot, later_us)) = fate.replay {
            let age = scale(lot, way.old.len() as u64) as usize;
            if let Some((source, old)) = way.old.get(age).filter(|_| !fate.blocked) {
                self.report.tampered += 1;
                put(arrives_us.saturating_add(later_us), *source, old, out);
            }
        }
        if fate.blocked {
            self.report.blocked += 1;
            return;
        }
        if fate.lost {
            self.report.lost[usize::from(trip.from != 0)] += 1;
            return;
        }
        // The line keeps order; only a packet that is held back on purpose is overtaken.
        arrives_us = arrives_us.max(way.last_arrival_us);
        way.last_arrival_us = arrives_us;
        arrives_us = arrives_us.saturating_add(fate.overtaken_us);
        self.report.delivered += 1;
        let kept = fate.keep_bytes.map_or(bytes, |keep| bytes.get(..keep).unwrap_or(bytes));
        let packet = put(arrives_us, trip.source, kept, out);
        if let Some((lot, bits)) = fate.flips {
            flip(out.pool.bytes_mut(packet), lot, n, bits);
        }
        if let Some(later_us) = fate.again_us {
            put(arrives_us.saturating_add(later_us), trip.source, kept, out);
        }
        let tampered = fate.flips.is_some() || fate.keep_bytes.is_some() || fate.again_us.is_some();
        self.report.tampered += u64::from(tampered);
    }
}

/// Inverts 1 to `bits` bits.
fn flip(bytes: &mut [u8], lot: Lot, n: u64, bits: u32) {
    let how_many = lot.between(n.wrapping_mul(64), 1, u64::from(bits.min(62)));
    for bit in 0..how_many {
        let at = lot.below(n.wrapping_mul(64) + 1 + bit, bytes.len() as u64 * 8);
        if let Some(byte) = bytes.get_mut((at / 8) as usize) {
            *byte ^= 1 << (at % 8);
        }
    }
}

impl Active {
    /// Whether packets come through it, but for so many of a million.
    pub(super) fn lets_by(&self, there: bool, most_loss_ppm: u32) -> bool {
        match self.what {
            What::Loss { there_ppm, back_ppm, .. } => {
                (if there { there_ppm } else { back_ppm }) <= most_loss_ppm
            }
            What::Cut { there: cut_there, back: cut_back, .. } => !(if there { cut_there } else { cut_back }),
            What::Flap { .. } => !self.down_now,
            What::Down { .. } => false,
            _ => true,
        }
    }

    /// Decides about packet `n` of the way `at`. Each fault draws by its own number, so none of its
    /// decisions depends on which other faults there are.
    fn strike(&mut self, trip: &Trip, at: usize, there: bool, n: u64, len: usize, fate: &mut Fate) {
        let who = way_key(trip.link, trip.from, trip.receiver) ^ u64::from(self.id).wrapping_mul(SPREAD);
        let lot = |purpose| Lot::new(trip.seed, purpose, who);
        match &self.what {
            What::Loss { there_ppm, back_ppm, .. } => {
                fate.lost |= lot(Purpose::Loss).hits(n, if there { *there_ppm } else { *back_ppm });
            }
            What::Burst { enter_ppm, leave_ppm, loss_ppm, .. } => {
                let change = if self.bad[at] { *leave_ppm } else { *enter_ppm };
                self.bad[at] ^= lot(Purpose::BurstState).hits(n, change);
                fate.lost |= self.bad[at] && lot(Purpose::BurstLoss).hits(n, *loss_ppm);
            }
            What::Delay { add_us, jitter_us, .. } => {
                fate.wait(*add_us, lot(Purpose::Delay).between(n, 0, *jitter_us));
            }
            What::Duplicate { share_ppm, within_us, .. } => {
                let lot = lot(Purpose::Duplicate);
                if lot.hits(2 * n, *share_ppm) {
                    fate.again_us = Some(lot.between(2 * n + 1, 0, *within_us));
                }
            }
            What::Reorder { share_ppm, by_us, .. } => {
                let lot = lot(Purpose::Reorder);
                if lot.hits(2 * n, *share_ppm) {
                    fate.overtaken_us = fate.overtaken_us.saturating_add(lot.between(2 * n + 1, 1, *by_us));
                }
            }
            What::Flip { share_ppm, bits, .. } => {
                let lot = lot(Purpose::Flip);
                if lot.hits(n.wrapping_mul(64) + 63, *share_ppm) {
                    fate.flips = Some((lot, *bits));
                }
            }
            What::Truncate { share_ppm, .. } => {
                let lot = lot(Purpose::Truncate);
                let kept = || lot.below(2 * n + 1, len as u64) as usize;
                fate.keep_bytes = lot.hits(2 * n, *share_ppm).then(kept).or(fate.keep_bytes);
            }
            What::Cut { there: way, back, .. } => fate.blocked |= if there { *way } else { *back },
            What::Flap { .. } => fate.blocked |= self.down_now,
            What::Replay { share_ppm, within_us, .. } => {
                let lot = lot(Purpose::Replay);
                if lot.hits(3 * n, *share_ppm) {
                    fate.replay = Some((lot.at(3 * n + 1), lot.between(3 * n + 2, 0, *within_us)));
                }
            }
            // The size, the queue, the interface and the translator were looked at before the packet left; with
            // what is not about one link the world deals.
            _ => {}
        }
    }
}
