//! Where the messages of one peer wait: a table of entries, and lists threaded through it.
//!
//! A coat check: the ticket is the hook's number, and each coat hangs in exactly one row at a time.
//! Moving a coat to another row, or taking one out of the middle, touches its neighbours only, so
//! 65,536 waiting messages cost a packet no more than one.

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

use super::fragment::Fragments;
use super::room::Part;
use crate::link::frame::Channel;
use crate::node::input::Class;
use crate::time::Instant;

/// Messages one table can hold: their places fit 20 bits of a [`Piece`](crate::link::path::Piece)'s handle.
pub(super) const MOST: u32 = 1 << 20;
/// No entry.
pub(super) const NONE: u32 = u32::MAX;
/// A message number that was not given yet.
pub(super) const UNNUMBERED: u64 = u64::MAX;

/// The lists. Each class has one of each kind; two more are common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Whole messages to be sent again.
    Lost,
    /// Small messages never sent, that need no order.
    Small,
    /// Small messages of streams, never sent: they may have to wait for room at the peer, and the others not.
    Ordered,
    /// Large ordinary messages never sent.
    Bulk,
    /// Durable messages, on disk, to be sent.
    Durable,
    /// Messages in symbols that have some to send now.
    Active,
    /// Messages in symbols that wait to hear of those under way.
    Parked,
}

/// One list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ListId(u8);

impl ListId {
    /// In no list.
    pub(super) const OUT: ListId = ListId(u8::MAX);
    /// Whole messages of which copies are being sent ahead of any news.
    pub(super) const BURST: ListId = ListId(35);
    /// Whole messages whose copies are all out; the next burst is due a round trip after the last.
    pub(super) const REST: ListId = ListId(36);
    const COUNT: usize = 37;
    /// How many lists are of messages that were never sent: small, ordered, large and durable ones of each class.
    pub(super) const UNSENT: usize = 20;
    /// The lists of the first class whose messages may be sent now, one bit each; shifted by a class
    /// those of that class. All kinds but parked ones.
    pub(super) const SENDABLE: u64 = 1 | 1 << 5 | 1 << 10 | 1 << 15 | 1 << 20 | 1 << 25;

    pub(super) const fn of(kind: Kind, class: Class) -> ListId {
        ListId(kind as u8 * 5 + class as u8)
    }

    pub(super) fn is_durable(self) -> bool {
        self.0 / 5 == Kind::Durable as u8
    }

    /// Whether it is of a less urgent class than the other, or of larger messages of the same.
    pub(super) fn is_behind(self, other: ListId) -> bool {
        (self.0 % 5, self.0 / 5) > (other.0 % 5, other.0 / 5)
    }

    /// The list of this kind that is of its own class, or of the other's if that is less urgent.
    pub(super) fn at_most_as_urgent_as(self, other: ListId) -> ListId {
        ListId(self.0 - self.0 % 5 + (self.0 % 5).max(other.0 % 5))
    }

    /// The lists of messages that were never sent.
    pub(super) fn unsent() -> impl Iterator<Item = ListId> {
        let first = Kind::Small as u8 * 5;
        (first..first + ListId::UNSENT as u8).map(ListId)
    }
}

/// How a message is numbered and finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    /// Not numbered, not repaired.
    Datagram(Channel),
    /// Ordinary number, no order.
    Plain,
    /// As `Plain`, for the receiver's routing.
    Routing,
    /// Ordinary number, ordered within a stream.
    Ordered(u16),
    /// Durable number.
    Durable,
}

/// One message on its way.
#[derive(Debug)]
pub(super) struct Entry {
    /// The bytes.
    pub(super) payload: Bytes,
    /// The application's number.
    pub(super) tag: u64,
    /// Its number in its space, or [`UNNUMBERED`].
    pub(super) seq: u64,
    /// Ordered: the number of the message before it in its stream, or [`UNNUMBERED`] for none.
    pub(super) before: u64,
    /// What it counts as among the bytes under way; 0 before it is sent.
    pub(super) charge: u32,
    /// Among whom it counts.
    pub(super) part: Part,
    /// When it is given up.
    pub(super) expires: Instant,
    /// When it was last sent, or last asked after.
    pub(super) sent_at: Instant,
    /// Its symbols, when it does not fit one packet.
    pub(super) fragments: Option<Box<Fragments>>,
    /// Which use of this place in the table it is.
    pub(super) generation: u32,
    /// Ordered: the message after it in its stream, once that was sent.
    pub(super) after: u32,
    prev: u32,
    next: u32,
    list: ListId,
    /// How it is numbered.
    pub(super) manner: Manner,
    /// Its class.
    pub(super) class: Class,
    /// Copies under way whose fate is open.
    pub(super) copies: u16,
    /// Copies still to be sent in this burst.
    pub(super) burst: u8,
    /// How often it was asked after without an answer.
    pub(super) probes: u8,
    /// A timer will ask after it.
    pub(super) asking: bool,
    /// Durable: it was given out to go by other hands as well.
    pub(super) entrusted: bool,
    /// Some part of it was sent.
    pub(super) sent: bool,
    /// All of it was acknowledged; it waits for its receipt or its predecessor.
    pub(super) acked: bool,
    /// Its predecessor was given up, so the receiver learns of its turn from the floor.
    pub(super) orphan: bool,
}

impl Entry {
    pub(super) fn new(payload: Bytes, tag: u64, manner: Manner, class: Class, expires: Instant) -> Entry {
        Entry {
            payload,
            tag,
            seq: UNNUMBERED,
            before: UNNUMBERED,
            charge: 0,
            part: Part::Common,
            expires,
            sent_at: Instant::ZERO,
            fragments: None,
            generation: 0,
            after: NONE,
            prev: NONE,
            next: NONE,
            list: ListId::OUT,
            manner,
            class,
            copies: 0,
            burst: 0,
            probes: 0,
            asking: false,
            entrusted: false,
            sent: false,
            acked: false,
            orphan: false,
        }
    }

    /// The list it is in.
    pub(super) fn list(&self) -> ListId {
        self.list
    }
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    head: u32,
    tail: u32,
}

/// So many places of the table are kept for the next messages.
const KEPT: usize = 4;

/// The table and its lists.
#[derive(Debug)]
pub(super) struct Queue {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    lists: [Ends; ListId::COUNT],
    /// A bit for each list that is not empty.
    occupied: u64,
    live: u32,
    generation: u32,
}

impl Queue {
    pub(super) const fn new() -> Queue {
        Queue {
            entries: Vec::new(),
            free: Vec::new(),
            lists: [Ends { head: NONE, tail: NONE }; ListId::COUNT],
            occupied: 0,
            live: 0,
            generation: 0,
        }
    }

    /// Which lists of a class with sendable messages are not empty, as bits of [`ListId::SENDABLE`].
    pub(super) fn occupied(&self, class: Class) -> u64 {
        self.occupied >> class as u8 & ListId::SENDABLE
    }

    /// The classes with sendable messages, by their bits.
    pub(super) fn occupied_classes(&self) -> u64 {
        let lists = self.occupied;
        (lists | lists >> 5 | lists >> 10 | lists >> 15 | lists >> 20 | lists >> 25) & 0b1_1111
    }

    /// Whether any class has symbols to send, or a large message that was never sent.
    pub(super) fn any_symbols(&self) -> bool {
        const OF_ALL_CLASSES: u64 = 0b1_1111;
        let symbols = OF_ALL_CLASSES << (Kind::Bulk as u8 * 5) | OF_ALL_CLASSES << (Kind::Active as u8 * 5);
        self.occupied & symbols != 0
    }

    /// How many messages there are.
    pub(super) fn len(&self) -> u32 {
        self.live
    }

    /// Whether any message at all waits to be sent, possibly for the peer's window to open.
    pub(super) fn any_sendable(&self) -> bool {
        self.occupied & ((1 << 30) - 1) != 0
    }

    /// Takes a message in; it is in no list yet.
    pub(super) fn insert(&mut self, mut entry: Entry) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        entry.generation = self.generation;
        self.live += 1;
        if let Some(index) = self.free.pop()
            && let Some(place) = self.entries.get_mut(index as usize)
        {
            *place = Some(entry);
            return index;
        }
        self.entries.push(Some(entry));
        self.entries.len() as u32 - 1
    }

    /// Gives back memory that past traffic needed, when no message is left.
    pub(super) fn trim(&mut self) {
        if self.live == 0 && self.entries.capacity() > KEPT {
            self.entries.clear();
            self.entries.shrink_to(KEPT);
            self.free = Vec::new();
        }
    }

    /// Takes a message out of its list and of the table.
    pub(super) fn remove(&mut self, index: u32) -> Option<Entry> {
        self.unlink(index);
        let entry = self.entries.get_mut(index as usize)?.take()?;
        self.live -= 1;
        if self.live == 0 && self.entries.len() > 64 {
            self.entries = Vec::new();
            self.free = Vec::new();
        } else {
            self.free.push(index);
        }
        Some(entry)
    }

    pub(super) fn get(&self, index: u32) -> Option<&Entry> {
        self.entries.get(index as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Entry> {
        self.entries.get_mut(index as usize)?.as_mut()
    }

    /// Every message with its place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| Some((index as u32, entry.as_ref()?)))
    }

    /// Whether a list has any.
    pub(super) fn has(&self, list: ListId) -> bool {
        self.occupied & 1 << list.0 != 0
    }

    /// The first of a list.
    pub(super) fn front(&self, list: ListId) -> Option<u32> {
        let head = self.lists.get(usize::from(list.0))?.head;
        (head != NONE).then_some(head)
    }

    /// Moves a message to the end of a list, out of whichever it is in.
    pub(super) fn push_back(&mut self, list: ListId, index: u32) {
        self.unlink(index);
        let Some(ends) = self.lists.get_mut(usize::from(list.0)) else { return };
        self.occupied |= 1 << list.0;
        let tail = core::mem::replace(&mut ends.tail, index);
        if tail == NONE {
            ends.head = index;
        } else if let Some(before) = self.get_mut(tail) {
            before.next = index;
        }
        if let Some(entry) = self.get_mut(index) {
            (entry.list, entry.prev, entry.next) = (list, tail, NONE);
        }
    }

    /// Moves a message to the start of a list, out of whichever it is in.
    pub(super) fn push_front(&mut self, list: ListId, index: u32) {
        self.unlink(index);
        let Some(ends) = self.lists.get_mut(usize::from(list.0)) else { return };
        self.occupied |= 1 << list.0;
        let head = core::mem::replace(&mut ends.head, index);
        if head == NONE {
            ends.tail = index;
        } else if let Some(after) = self.get_mut(head) {
            after.prev = index;
        }
        if let Some(entry) = self.get_mut(index) {
            (entry.list, entry.prev, entry.next) = (list, NONE, head);
        }
    }

    /// Takes a message out of its list, if it is in one.
    pub(super) fn unlink(&mut self, index: u32) {
        let Some(entry) = self.get_mut(index) else { return };
        let (list, prev, next) = (entry.list, entry.prev, entry.next);
        if list == ListId::OUT {
            return;
        }
        (entry.list, entry.prev, entry.next) = (ListId::OUT, NONE, NONE);
        if let Some(before) = self.get_mut(prev) {
            before.next = next;
        } else if let Some(ends) = self.lists.get_mut(usize::from(list.0)) {
            ends.head = next;
        }
        if let Some(after) = self.get_mut(next) {
            after.prev = prev;
        } else if let Some(ends) = self.lists.get_mut(usize::from(list.0)) {
            ends.tail = prev;
            if prev == NONE {
                self.occupied &= !(1 << list.0);
            }
        }
    }

    /// The messages of a list, first to last.
    pub(super) fn walk(&self, list: ListId) -> impl Iterator<Item = u32> + '_ {
        core::iter::successors(self.front(list), |&index| {
            self.get(index).map(|entry| entry.next).filter(|&next| next != NONE)
        })
    }

    /// Checks that every list is whole and every linked message is in the list it names.
    pub(super) fn check(&self) {
        let mut linked = 0;
        for number in 0..ListId::COUNT as u8 {
            let mut before = NONE;
            for index in self.walk(ListId(number)) {
                let entry = self.get(index);
                assert!(
                    entry.is_some_and(|e| e.list == ListId(number) && e.prev == before),
                    "list {number} is torn"
                );
                before = index;
                linked += 1;
            }
            assert!(self.lists.get(usize::from(number)).is_some_and(|ends| ends.tail == before));
            assert_eq!(self.occupied & 1 << number != 0, before != NONE, "list {number} and its bit");
        }
        let (mut count, mut in_lists) = (0, 0);
        for (_, entry) in self.iter() {
            count += 1;
            in_lists += u32::from(entry.list != ListId::OUT);
        }
        assert_eq!((count, in_lists), (self.live, linked), "messages in the table and in lists");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_burst_are_given_back_when_it_is_over() {
        let mut queue = Queue::new();
        let entry =
            || Entry::new(Bytes::new(), 0, Manner::Plain, Class::Normal, Instant::from_micros(u64::MAX));
        let burst: Vec<u32> = (0..20).map(|_| queue.insert(entry())).collect();
        for index in burst {
            queue.trim();
            assert!(queue.remove(index).is_some());
        }
        assert!(queue.entries.capacity() >= 20, "not while there may be more");
        queue.trim();
        assert_eq!((queue.entries.capacity(), queue.free.capacity()), (KEPT, 0));
        let index = queue.insert(entry());
        assert_eq!((index, queue.iter().count()), (0, 1));
        queue.trim();
        assert!(queue.get(index).is_some());
        queue.check();
    }
}
