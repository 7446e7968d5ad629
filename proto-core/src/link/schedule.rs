//! Whose turn it is: five classes share one link.
//!
//! A post office with five counters and one van. Every round each counter may load so many bytes, by
//! its share; the most urgent counter that has anything left of its allowance loads first. A counter
//! that had nothing to send has saved one allowance, so an emergency goes at once; a counter that
//! floods uses up its allowance and waits for the others to use theirs.
//!
//! Deficit round robin (Shreedhar and Varghese, SIGCOMM 1995) with strict order inside a round: the
//! allowance may go below zero by one packet, and a round is as many allowances as are needed to
//! bring one waiting class above zero, computed at once and not by turning the wheel.

use crate::node::input::Class;

/// Shares of a link in percent, emergency first (guess: the two urgent classes together get two thirds).
pub(super) const SHARES: [i32; 5] = [40, 25, 20, 10, 5];

/// Bytes that one percent is worth in one round: with 64, a full round is 6,400 bytes, a handful of packets.
const BYTES_PER_PERCENT: i32 = 64;

/// What each class has left of its allowance, in bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedule {
    left: [i32; 5],
}

impl Schedule {
    /// The class that sends next, among those whose bit (by [`Class`] number) is set in `waiting`.
    /// Those in `later` have something to send that does not fit what is left of this packet: the gap is
    /// filled on credit, without a new round. A class in neither saves one allowance and no more.
    pub(super) fn pick(&mut self, waiting: u8, later: u8) -> Option<Class> {
        if waiting == 0 {
            return None;
        }
        if let Some(class) = self.first_with_allowance(waiting) {
            return Some(class);
        }
        if later != 0 {
            return Class::ALL.into_iter().find(|&class| waiting & (1 << class as u8) != 0);
        }
        let mut rounds = i32::MAX;
        for (index, (left, share)) in self.left.iter().zip(SHARES).enumerate() {
            if waiting & (1 << index) != 0 {
                rounds = rounds.min((-left) / (share * BYTES_PER_PERCENT) + 1);
            }
        }
        for (index, (left, share)) in self.left.iter_mut().zip(SHARES).enumerate() {
            let round = share * BYTES_PER_PERCENT;
            *left = left.saturating_add(rounds.saturating_mul(round));
            if waiting & (1 << index) == 0 {
                *left = (*left).min(round);
            }
        }
        self.first_with_allowance(waiting)
    }

    /// Takes `bytes` that `class` has sent off its allowance.
    pub(super) fn charge(&mut self, class: Class, bytes: usize) {
        if let Some(left) = self.left.get_mut(class as usize) {
            *left = left.saturating_sub(i32::try_from(bytes).unwrap_or(i32::MAX)).max(-(1 << 24));
        }
    }

    fn first_with_allowance(&self, waiting: u8) -> Option<Class> {
        Class::ALL.into_iter().find(|&class| {
            waiting & (1 << class as u8) != 0 && self.left.get(class as usize).is_some_and(|left| *left > 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(waiting: impl Fn(usize) -> u8, packets: usize, bytes: usize) -> [usize; 5] {
        let mut schedule = Schedule::default();
        let mut sent = [0; 5];
        for n in 0..packets {
            if let Some(class) = schedule.pick(waiting(n), 0) {
                schedule.charge(class, bytes);
                sent[class as usize] += bytes;
            }
        }
        sent
    }

    #[test]
    fn under_load_each_class_gets_its_share() {
        for bytes in [60, 1_200, 60_000] {
            let sent = run(|_| 0b11111, 10_000, bytes);
            let all: usize = sent.iter().sum();
            for (sent, share) in sent.iter().zip(SHARES) {
                assert!(
                    ((sent * 1_000 / all) as i32 - share * 10).abs() <= 5,
                    "{bytes} {sent} of {all}: {share} %"
                );
            }
        }
    }

    #[test]
    fn a_class_alone_gets_everything() {
        assert_eq!(run(|_| 0b10000, 100, 1_000), [0, 0, 0, 0, 100_000]);
        assert_eq!(Schedule::default().pick(0, 0), None);
    }

    #[test]
    fn an_emergency_overtakes_at_once() {
        let mut schedule = Schedule::default();
        for _ in 0..1_000 {
            assert_eq!(schedule.pick(0b10000, 0), Some(Class::Background));
            schedule.charge(Class::Background, 1_400);
        }
        assert_eq!(schedule.pick(0b10001, 0), Some(Class::Emergency));
    }

    #[test]
    fn a_flood_of_emergencies_starves_nobody() {
        let mut schedule = Schedule::default();
        let turn = (0..200).position(|_| {
            let class = schedule.pick(0b10001, 0).unwrap();
            schedule.charge(class, 1_400);
            class == Class::Background
        });
        assert!(turn.is_some_and(|turn| turn < 5), "{turn:?}");
    }
}
