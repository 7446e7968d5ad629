//! What it costs to send a packet to a neighbour, as the time that it takes.
//!
//! Expected transmissions (ETX: De Couto et al., "A High-Throughput Path Metric for Multi-Hop Wireless Routing", MobiCom
//! 2003, section 3) times what one costs: its airtime at the link's rate (ETT: Draves, Padhye and Zill, MobiCom 2004, section
//! 4.1), the round trip after which a loss is noticed, and a fixed price, which keeps a path of many fast hops from beating
//! one of few. Integers only. On the wire a cost is one byte, in steps of an eighth.

use crate::time::Duration;

/// What one hop costs however fast it is, in microseconds. A guess: what a small board takes to open, look up and seal.
const HOP_US: u64 = 1_000;
/// The packet whose airtime counts, in bytes: one that fills an Ethernet frame without options.
const PACKET_BYTES: u64 = 1_200;
/// A link that loses more than this, in parts per million, costs as one that loses so much.
const MOST_LOSS_PPM: u32 = 990_000;

/// The price of a hop on the wire: `(8 + low three bits) << high five bits`, in eighths of a microsecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cost(u8);

impl Cost {
    /// The highest there is: an hour and more.
    pub const MOST: Cost = Cost(u8::MAX);

    /// The cost with this code.
    #[must_use]
    pub const fn from_code(code: u8) -> Cost {
        Cost(code)
    }

    /// Its code on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// What it stands for, in eighths of a microsecond; at least 8, so that a longer path is never as good.
    #[must_use]
    pub const fn eighths(self) -> u64 {
        (8 + (self.0 & 7) as u64) << (self.0 >> 3)
    }

    /// The highest cost that is not above this time.
    #[must_use]
    pub fn of(time: Duration) -> Cost {
        let eighths = time.as_micros().saturating_mul(8).max(8);
        let exponent = 60 - u64::from(eighths.leading_zeros());
        if exponent > 31 {
            return Cost::MOST;
        }
        // At least 8 and below 16, of which the first bit is not sent.
        let mantissa = (eighths >> exponent) & 7;
        Cost((exponent as u8) << 3 | mantissa as u8)
    }

    /// How far it is from the other, in steps: 4 are a third to a half more, or a quarter to a third less; 8 are twice or half.
    #[must_use]
    pub fn steps_from(self, other: Cost) -> u8 {
        self.0.abs_diff(other.0)
    }
}

/// How a neighbour is reached, as measured by the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quality {
    /// The smoothed round trip, or twice the guessed delay of a link on which nothing was measured.
    pub srtt: Duration,
    /// Packets lost on the way there, of a million.
    pub loss_ppm: u32,
    /// The link's rate in bits a second, where the hardware fixes it.
    pub rate_bps: Option<u64>,
    /// How long the largest packet is on air, where all who are in range have to share that; else zero.
    pub scarce: Duration,
}

/// So many packets may be on air before ours, where all who are in range share it (guess: ten stations, each of which says something and is
/// answered, and half as much in vain).
pub(super) const PACKETS_BEFORE: u64 = 256;

impl Quality {
    /// The price of a hop of this quality.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let airtime_us = self.rate_bps.map_or(0, |rate| PACKET_BYTES * 8_000_000 / rate.max(1));
        let once_us = airtime_us + self.srtt.as_micros() + HOP_US;
        let arrive_ppm = u64::from(1_000_000 - self.loss_ppm.min(MOST_LOSS_PPM));
        Cost::of(Duration::from_micros(once_us.saturating_mul(1_000_000) / arrive_ppm))
    }

    /// The price of a hop that was measured so lately, the last time last: by the shortest round trip of these and the mean of
    /// what they lost. A round trip that was long now and then was so by chance, or because the link was busy; a way that leads
    /// round what is busy makes that idle and something else busy, and everybody speaks of it. And a share lost that was
    /// counted over 128 packets of which a tenth arrives is wrong by a quarter one time in three.
    #[must_use]
    pub fn steady_cost(lately: &[Quality]) -> Option<Cost> {
        let last = lately.last()?;
        let srtt = lately.iter().map(|quality| quality.srtt).min()?;
        let lost: u64 = lately.iter().map(|quality| u64::from(quality.loss_ppm)).sum();
        let loss_ppm = (lost / lately.len() as u64) as u32;
        Some(Quality { srtt, loss_ppm, ..*last }.cost())
    }

    /// How long a message may take until its arrival is known, in ninety-nine of a hundred cases: after that another way
    /// is worth trying. Four round trips for each transmission that it may need, and what an acknowledgement is held back.
    #[must_use]
    pub fn patience(&self) -> Duration {
        const HELD_BACK: Duration = Duration::from_millis(50);
        self.srtt.mul_ratio(4 * transmissions(self.loss_ppm), 1)
            + HELD_BACK
            + self.scarce.mul_ratio(PACKETS_BEFORE, 1)
    }
}

/// After how many transmissions a packet has arrived in 99 of 100 cases.
fn transmissions(loss_ppm: u32) -> u64 {
    let loss = u64::from(loss_ppm.min(MOST_LOSS_PPM));
    let (mut missing_ppm, mut count) = (loss, 1);
    while missing_ppm > 10_000 {
        missing_ppm = missing_ppm * loss / 1_000_000;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cost_is_within_an_eighth_of_its_time() {
        for (us, eighths) in [(0, 8), (1, 8), (2, 16), (1_000, 7_680), (4_300_000_000, 15 << 31)] {
            assert_eq!(Cost::of(Duration::from_micros(us)).eighths(), eighths, "{us} us");
        }
        assert_eq!(Cost::of(Duration::MAX), Cost::MOST);
    }

    proptest! {
        #[test]
        fn codes_rise_with_what_they_stand_for(us in 1_u64..2_000_000_000) {
            let cost = Cost::of(Duration::from_micros(us));
            prop_assert!(cost.eighths() <= 8 * us);
            prop_assert!(Cost::from_code(cost.code() + 1).eighths() > 8 * us);
        }
    }

    #[test]
    fn a_link_that_loses_half_costs_twice() {
        let quality = |loss_ppm| Quality {
            srtt: Duration::from_millis(2),
            loss_ppm,
            rate_bps: None,
            scarce: Duration::ZERO,
        };
        let ratio = |loss_ppm| quality(loss_ppm).cost().eighths() * 10 / quality(0).cost().eighths();
        assert!((19..=21).contains(&ratio(500_000)), "{}", ratio(500_000));
        assert!((95..=105).contains(&ratio(900_000)), "{}", ratio(900_000));
        assert!(ratio(1_000_000) >= 900);
    }

    #[test]
    fn patience_counts_the_losses() {
        let tries = [0, 10_000, 100_000, 200_000, 500_000, 900_000].map(transmissions);
        assert_eq!(tries, [1, 1, 2, 3, 7, 44]);
    }
}
