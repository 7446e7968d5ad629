//! People who come and go: how long a node stays, and how long it is away.
//!
//! A village hall has a few who are there from morning to night and many who look in for a minute. That is what measurements
//! of peer-to-peer networks show: times that nodes stay follow a Weibull distribution with a shape below 1 or a log-normal one,
//! not an exponential one, with which everybody would leave alike (Stutzbach and Rejaie, Understanding Churn in Peer-to-Peer
//! Networks, IMC 2006). The exponential one is there to compare with what is proved for it.
//!
//! A stay ends as a [`What::Crash`] does: nobody says goodbye. So each departure is one fault of the plan and can be taken out.
//! No floating point: a survivor's share u, drawn evenly, is turned into a time by `median * (-log2 u)^(1 / shape)`; a normal
//! deviate is the sum of twelve even ones less six (Irwin and Hall), which is never more than 6.

use crate::draw::{Lot, Purpose};
use crate::fixed::{LOG2_E, ONE, log2, normal, times_exp2};

use super::{Plan, What};

/// How times are spread about their median.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spread {
    /// All are the same.
    Fixed,
    /// Whoever is there leaves with the same chance at any time. The mean is 1.44 times the median.
    Exponential,
    /// With a shape below 1, whoever has been there for long stays for longer. In millionths, 100,000 to 10,000,000.
    Weibull {
        /// The shape.
        shape_ppm: u32,
    },
    /// The logarithm of the time is normal, with this standard deviation. In millionths, at most 5,000,000.
    LogNormal {
        /// The standard deviation.
        sigma_ppm: u32,
    },
}

/// How long something lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lasting {
    /// Half of the times are shorter.
    pub median_us: u64,
    /// How the others differ.
    pub spread: Spread,
}

/// Draws of one time.
const DRAWS: u64 = 16;

impl Lasting {
    /// Time number `n`, in microseconds; 1 at least.
    #[must_use]
    pub fn draw(&self, lot: Lot, n: u64) -> u64 {
        let first = n.wrapping_mul(DRAWS);
        let power = match self.spread {
            Spread::Fixed => 0,
            Spread::Exponential => log2_of_age(lot.at(first)),
            Spread::Weibull { shape_ppm } => {
                let shape = i128::from(shape_ppm.clamp(100_000, 10_000_000));
                (i128::from(log2_of_age(lot.at(first))) * 1_000_000 / shape) as i64
            }
            Spread::LogNormal { sigma_ppm } => {
                let deviate = normal(lot, first);
                let sigma = i128::from(sigma_ppm.min(5_000_000));
                ((i128::from(deviate) * sigma / 1_000_000 * i128::from(LOG2_E)) >> 32) as i64
            }
        };
        times_exp2(self.median_us, power).max(1)
    }
}

/// The logarithm to base 2 of the age, in half-lives, at which the share `bits / 2^64` is left.
fn log2_of_age(bits: u64) -> i64 {
    // The age is -log2 of the share; in units of 2^-32 it is a whole number again.
    let age = (64 * ONE - log2(bits)).max(1);
    log2(age.unsigned_abs()) - 32 * ONE
}

impl Plan {
    /// Has each of `nodes` leave after a stay and come back after an absence, over and over until the storm ends. Stays begin
    /// when the node is first switched on. What one node does depends on the seed and its number alone.
    pub fn add_churn(&mut self, nodes: &[u32], stay: &Lasting, away: &Lasting) {
        let mut id = self.faults.iter().map(|fault| fault.id).max().unwrap_or(0);
        for &node in nodes {
            let lot = |is_away: u64| Lot::new(self.seed, Purpose::Churn, u64::from(node) << 1 | is_away);
            let mut at_us = self.node(node).map_or(0, |entry| entry.start_us);
            for n in 0.. {
                at_us = at_us.saturating_add(stay.draw(lot(0), n));
                if at_us >= self.duration_us {
                    break;
                }
                let down_us = away.draw(lot(1), n).min(self.duration_us);
                id += 1;
                let what = What::Crash { node, down_us };
                self.faults.push(super::Fault {
                    id,
                    start_us: at_us,
                    end_us: at_us.saturating_add(down_us),
                    what,
                });
                at_us = at_us.saturating_add(down_us);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::NodePlan;

    const SECOND: u64 = 1_000_000;
    const MANY: u64 = 20_000;

    fn drawn(spread: Spread) -> Vec<u64> {
        let lasting = Lasting { median_us: 1_000 * SECOND, spread };
        let lot = Lot::new(3, Purpose::Churn, 1);
        let mut all: Vec<u64> = (0..MANY).map(|n| lasting.draw(lot, n) / SECOND).collect();
        all.sort_unstable();
        all
    }

    /// Quantiles by the closed forms, worked out elsewhere: (share below, seconds) for a median of 1,000 s.
    #[test]
    fn times_are_spread_as_the_formulas_say() {
        let cases: [(Spread, [(u64, u64); 4]); 4] = [
            (Spread::Exponential, [(100, 152), (500, 1_000), (900, 3_322), (990, 6_644)]),
            (Spread::Weibull { shape_ppm: 590_000 }, [(100, 41), (500, 1_000), (900, 7_651), (990, 24_770)]),
            (
                Spread::Weibull { shape_ppm: 2_000_000 },
                [(100, 390), (500, 1_000), (900, 1_823), (990, 2_578)],
            ),
            (
                Spread::LogNormal { sigma_ppm: 1_000_000 },
                [(100, 278), (500, 1_000), (900, 3_602), (990, 10_240)],
            ),
        ];
        for (spread, quantiles) in cases {
            let all = drawn(spread);
            for (per_mille, expected) in quantiles {
                let seen = all[(MANY * per_mille / 1_000) as usize];
                // Six standard deviations of a quantile of 20,000, at the worst of these.
                assert!(
                    seen.abs_diff(expected) * 100 <= expected * 12,
                    "{spread:?} {per_mille}: {seen} for {expected}"
                );
            }
        }
        assert_eq!(drawn(Spread::Fixed), vec![1_000; MANY as usize]);
    }

    /// The mean of an exponential time is its median over the logarithm of 2.
    #[test]
    fn a_mean_is_met() {
        let mean = drawn(Spread::Exponential).iter().sum::<u64>() / MANY;
        assert!(mean.abs_diff(1_443) <= 50, "{mean}");
    }

    fn churning(seed: u64, nodes: &[u32]) -> Plan {
        let mut plan = Plan::new("churn", seed, 100_000 * SECOND);
        plan.add_node(NodePlan { count: 3, start_us: 7 * SECOND, ..NodePlan::default() });
        let stay = Lasting { median_us: 600 * SECOND, spread: Spread::Weibull { shape_ppm: 590_000 } };
        let away = Lasting { median_us: 60 * SECOND, spread: Spread::Exponential };
        plan.add_churn(nodes, &stay, &away);
        plan
    }

    #[test]
    fn nodes_leave_and_come_back_each_by_its_own_clock() {
        let plan = churning(5, &[0, 2]);
        assert_eq!(plan.check(), Ok(()));
        assert_eq!(Plan::from_toml(&plan.to_toml()), Ok(plan.clone()));
        let of = |plan: &Plan, node: u32| -> Vec<(u64, u64)> {
            let faults = plan.faults.iter().filter(|fault| fault.what.node() == Some(node));
            faults.map(|fault| (fault.start_us, fault.end_us)).collect()
        };
        assert!(of(&plan, 1).is_empty());
        for node in [0, 2] {
            let absences = of(&plan, node);
            assert!((20..200).contains(&absences.len()), "{}", absences.len());
            assert!(absences[0].0 > 7 * SECOND);
            assert!(absences.windows(2).all(|two| two[0].1 < two[1].0), "one after the other");
            assert!(absences.iter().all(|(start_us, _)| *start_us < plan.duration_us));
        }
        assert_ne!(of(&plan, 0), of(&plan, 2));
        assert_eq!(of(&plan, 2), of(&churning(5, &[2]), 2), "whoever else comes and goes");
        assert_ne!(of(&plan, 2), of(&churning(6, &[2]), 2));
    }
}
