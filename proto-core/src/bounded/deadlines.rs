//! One deadline a slot, for machines with many peers.
//!
//! A packet moves its peer's deadline; moving it in a sorted set each time would cost more than the
//! packet. So a deadline that moves *later* is left where it is: it fires early, the owner finds
//! nothing due, and states the new one. Only an earlier deadline touches the set.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::time::Instant;
use crate::wake::{Reason, Wake};

/// The earliest deadline of each slot, and the earliest of all.
#[derive(Clone, Debug, Default)]
pub struct Deadlines {
    armed: Vec<Option<(Instant, Reason)>>,
    order: BTreeSet<(Instant, Reason, u16)>,
}

impl Deadlines {
    /// No deadlines.
    #[must_use]
    pub const fn new() -> Self {
        Deadlines { armed: Vec::new(), order: BTreeSet::new() }
    }

    /// States when `slot` wants to be woken next. `Wake::Now` is kept as the start of time.
    ///
    /// A later deadline than the armed one is not recorded: the slot will be [`Deadlines::pop_due`]
    /// early, and has to be set again then.
    pub fn set(&mut self, slot: u16, wake: Wake) {
        let (at, reason) = match wake {
            Wake::Now => (Instant::ZERO, Reason::Backlog),
            Wake::At(at, reason) => (at, reason),
            Wake::Idle => return,
        };
        let index = usize::from(slot);
        if index >= self.armed.len() {
            self.armed.resize(index + 1, None);
        }
        let Some(armed) = self.armed.get_mut(index) else { return };
        match *armed {
            Some((old, _)) if old <= at => {}
            old => {
                if let Some((old, old_reason)) = old {
                    self.order.remove(&(old, old_reason, slot));
                }
                *armed = Some((at, reason));
                self.order.insert((at, reason, slot));
            }
        }
    }

    /// Removes whatever `slot` had armed.
    pub fn clear(&mut self, slot: u16) {
        if let Some(armed) = self.armed.get_mut(usize::from(slot))
            && let Some((at, reason)) = armed.take()
        {
            self.order.remove(&(at, reason, slot));
        }
    }

    /// Takes the next slot whose deadline is not after `now`. The caller sets it again if need be.
    pub fn pop_due(&mut self, now: Instant) -> Option<u16> {
        let &(at, reason, slot) = self.order.first()?;
        if at > now {
            return None;
        }
        self.order.remove(&(at, reason, slot));
        if let Some(armed) = self.armed.get_mut(usize::from(slot)) {
            *armed = None;
        }
        Some(slot)
    }

    /// When the first of all is due.
    #[must_use]
    pub fn next(&self) -> Wake {
        match self.order.first() {
            Some(&(at, reason, _)) => Wake::At(at, reason),
            None => Wake::Idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(us: u64) -> Wake {
        Wake::At(Instant::from_micros(us), Reason::AckDelay)
    }

    #[test]
    fn an_earlier_deadline_replaces_a_later_one_fires_early() {
        let mut deadlines = Deadlines::new();
        deadlines.set(3, at(100));
        deadlines.set(3, at(50));
        assert_eq!(deadlines.next(), at(50));
        deadlines.set(3, at(70));
        assert_eq!(deadlines.next(), at(50), "moving later costs nothing and fires early");
        assert_eq!(deadlines.pop_due(Instant::from_micros(49)), None);
        assert_eq!(deadlines.pop_due(Instant::from_micros(50)), Some(3));
        assert_eq!(deadlines.next(), Wake::Idle);
    }

    proptest! {
        /// Whatever is set, no slot is woken later than the earliest time it asked for.
        #[test]
        fn nobody_is_woken_late(ops in proptest::collection::vec((0u16..8, 0u64..100), 0..60)) {
            let mut deadlines = Deadlines::new();
            let mut model: [Option<u64>; 8] = [None; 8];
            for (slot, us) in ops {
                deadlines.set(slot, at(us));
                let entry = &mut model[usize::from(slot)];
                *entry = Some(entry.map_or(us, |old| old.min(us)));
                let earliest = model.iter().flatten().min().copied().unwrap();
                prop_assert_eq!(deadlines.next(), at(earliest));
                if us % 7 == 0 {
                    while let Some(slot) = deadlines.pop_due(Instant::from_micros(us)) {
                        let due = model[usize::from(slot)].take().unwrap();
                        prop_assert!(due <= us);
                    }
                    prop_assert!(model.iter().flatten().all(|&due| due > us));
                }
            }
        }
    }
}
