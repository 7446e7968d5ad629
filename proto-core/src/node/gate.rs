//! Durable before sent.
//!
//! A notary: whoever wants something written hands it over and gets a number; whoever has promised
//! "not before it is written" waits at the counter until the clerk calls a number at least as high.
//! The shell may write many records with one sync, so one call can release many. After a failed
//! write nothing is released any more: what waits, waits for ever, and new requests are refused.

use alloc::collections::VecDeque;

use crate::ids::Ticket;
use crate::store::record::Record;

/// Who waits for a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiter {
    /// Nobody: it is written for the next start.
    Nobody,
    /// The whole node: nothing is sent before it.
    Boot,
    /// The link machine, by its own number for the request.
    Link(u64),
    /// The bundles, by their own.
    Bundles(u64),
}

/// Turns requests to store into increasing tickets and says when they are durable.
#[derive(Clone, Debug)]
pub struct Gate {
    next: u64,
    durable: Ticket,
    failed: bool,
    /// Records the shell has not taken yet.
    outgoing: VecDeque<(Ticket, Record)>,
    /// Whoever waits, in the order of tickets.
    waiting: VecDeque<(Ticket, Waiter)>,
    capacity: usize,
}

impl Gate {
    /// A gate with room for `capacity` requests that are not yet durable.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Gate {
            next: 1,
            durable: Ticket(0),
            failed: false,
            outgoing: VecDeque::new(),
            waiting: VecDeque::new(),
            capacity,
        }
    }

    /// How many more requests fit.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.failed { 0 } else { self.capacity.saturating_sub(self.waiting.len()) }
    }

    /// Takes a record to be written. The caller has asked for [`Gate::room`] before; after a failed
    /// write the record is discarded and the ticket is never called.
    pub fn store(&mut self, record: Record, waiter: Waiter) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        if !self.failed {
            self.outgoing.push_back((ticket, record));
            self.waiting.push_back((ticket, waiter));
        }
        ticket
    }

    /// Whether the shell has records to take.
    #[must_use]
    pub fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// The next record for the shell to write.
    pub fn poll(&mut self) -> Option<(Ticket, Record)> {
        self.outgoing.pop_front()
    }

    /// The shell has made everything up to `up_to` durable. A number that was never handed out, or
    /// one lower than before, changes nothing.
    pub fn stored(&mut self, up_to: Ticket) {
        let handed_out = self.outgoing.front().map_or(self.next, |(ticket, _)| ticket.0);
        if !self.failed && up_to > self.durable && up_to.0 < handed_out {
            self.durable = up_to;
        }
    }

    /// The next waiter whose record is durable.
    pub fn release(&mut self) -> Option<Waiter> {
        let &(ticket, waiter) = self.waiting.front()?;
        if ticket > self.durable {
            return None;
        }
        self.waiting.pop_front();
        Some(waiter)
    }

    /// A write failed. Whatever waits is never released.
    pub fn fail(&mut self) {
        self.failed = true;
        self.outgoing.clear();
        self.waiting.clear();
    }

    /// Whether a write has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Everything up to this ticket is durable.
    #[must_use]
    pub fn durable(&self) -> Ticket {
        self.durable
    }

    /// The ticket of the link machine's request `slot`: its own while it waits, and otherwise the
    /// last durable one, which covers it.
    #[must_use]
    pub fn ticket_of(&self, slot: u64) -> Ticket {
        self.waiting
            .iter()
            .find(|(_, waiter)| *waiter == Waiter::Link(slot))
            .map_or(self.durable, |&(ticket, _)| ticket)
    }

    /// How many records are not durable yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.waiting.len()
    }

    /// Asserts what always holds.
    ///
    /// # Panics
    /// When the gate's own bookkeeping is wrong.
    pub fn check(&self) {
        assert!(self.durable.0 < self.next, "nothing is durable before it was handed in");
        assert!(self.waiting.len() <= self.capacity.max(1), "more waiters than room");
        assert!(
            self.waiting.iter().zip(self.waiting.iter().skip(1)).all(|(a, b)| a.0 < b.0),
            "tickets wait in order"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(count: u32) -> Record {
        Record::Boot { count }
    }

    #[test]
    fn nobody_is_released_before_the_disk_has_spoken() {
        let mut gate = Gate::new(8);
        gate.store(record(1), Waiter::Boot);
        let second = gate.store(record(2), Waiter::Link(7));
        gate.store(record(3), Waiter::Link(8));
        assert_eq!(gate.release(), None);
        while gate.poll().is_some() {}
        assert_eq!(gate.release(), None, "handing over is not yet writing");
        gate.stored(second);
        assert_eq!(gate.release(), Some(Waiter::Boot));
        assert_eq!(gate.release(), Some(Waiter::Link(7)));
        assert_eq!(gate.release(), None);
        gate.check();
    }

    #[test]
    fn a_shell_cannot_confirm_what_it_has_not_taken() {
        let mut gate = Gate::new(8);
        let ticket = gate.store(record(1), Waiter::Boot);
        gate.stored(ticket);
        assert_eq!(gate.release(), None);
        assert_eq!(gate.poll(), Some((ticket, record(1))));
        gate.stored(Ticket(99));
        assert_eq!(gate.release(), None);
        gate.stored(ticket);
        assert_eq!(gate.release(), Some(Waiter::Boot));
    }

    #[test]
    fn after_a_failed_write_nothing_is_released() {
        let mut gate = Gate::new(8);
        let ticket = gate.store(record(1), Waiter::Link(0));
        assert!(gate.poll().is_some());
        gate.fail();
        gate.stored(ticket);
        assert_eq!(gate.release(), None);
        assert_eq!(gate.room(), 0);
        let later = gate.store(record(2), Waiter::Link(1));
        gate.stored(later);
        assert_eq!(gate.release(), None);
        assert_eq!(gate.poll(), None);
    }

    #[test]
    fn a_waiting_slot_has_its_own_ticket_and_a_released_one_the_durable() {
        let mut gate = Gate::new(8);
        let first = gate.store(record(1), Waiter::Link(0));
        let second = gate.store(record(2), Waiter::Link(1));
        assert_eq!(gate.ticket_of(0), first);
        while gate.poll().is_some() {}
        gate.stored(first);
        assert_eq!(gate.release(), Some(Waiter::Link(0)));
        assert_eq!(gate.ticket_of(0), first);
        assert_eq!(gate.ticket_of(1), second);
    }
}
