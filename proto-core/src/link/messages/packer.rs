//! Filling packets: whatever is most needed at the moment a path may send.
//!
//! First the floors that changed, then by class: what was lost, then small messages and symbols in
//! turns by bytes. When nothing of this is left and the path could carry more, what is under way is
//! sent again ahead of any news.

use super::fragment::{Fragments, Symbol, next_cut, symbol_size};
use super::outbox::{Outbox, classes, space_of};
use super::queue::{Entry, Kind, ListId, Manner, UNNUMBERED};
use super::{Budget, Filled, PathInfo};
use crate::codec::{Writer, varint_len};
use crate::link::frame::{self, Channel, DURABLE, MessageHeader, ORDINARY};
use crate::link::path::Piece;
use crate::machine::Cx;
use crate::node::input::Class;
use crate::time::{Duration, Instant};
use crate::wake::{Reason, Wake};

/// A frame of fewer bytes than this is not worth a length in front of it.
const LEAST_FRAME: usize = 5;
/// Messages under way are looked at for a surplus in one packet at most this often.
const SURPLUS_LOOKS: usize = 4;

/// One packet being filled.
struct Pack<'a, 'w, S> {
    now: Instant,
    budget: &'a mut Budget,
    w: &'a mut Writer<'w>,
    info: &'a PathInfo,
    sink: &'a mut S,
}

/// What came of one attempt to write.
enum Step {
    /// So many bytes; `closed` when the frame runs to the end of the packet.
    Wrote { bytes: usize, closed: bool },
    /// Something moved between lists; try again.
    Moved,
    /// It does not fit into what is left of this packet.
    NoRoom,
}

/// Which lists of a class have something that may be sent now.
#[derive(Clone, Copy, Default)]
struct Ready {
    lost: bool,
    small: bool,
    ordered: bool,
    durable: bool,
    active: bool,
    bulk: bool,
}

impl Ready {
    fn any_small(self) -> bool {
        self.small || self.ordered || self.durable
    }

    fn any_bulk(self) -> bool {
        self.active || self.bulk
    }

    fn any(self) -> bool {
        self.lost || self.any_small() || self.any_bulk()
    }
}

impl Outbox {
    /// Writes as many frames as fit and are wanted, and tells `sink` each piece.
    pub fn fill(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        w: &mut Writer<'_>,
        info: &PathInfo,
        sink: &mut impl FnMut(Piece),
    ) -> Filled {
        if self.params.is_none() {
            return Filled::default();
        }
        self.path = *info;
        let p = &mut Pack { now: cx.now, budget, w, info, sink };
        let mut filled = Filled { wrote: self.write_floors(p), closed: false };
        let mut later = 0;
        loop {
            let (mut waiting, mut all) = (0, [Ready::default(); 5]);
            for (class, bit) in self.occupied_classes() {
                if later & bit == 0
                    && let Some(ready) = all.get_mut(class as usize)
                {
                    *ready = self.ready(class);
                    waiting |= if ready.any() { bit } else { 0 };
                }
            }
            let Some(class) = self.schedule.pick(waiting, later) else { break };
            let ready = all.get(class as usize).copied().unwrap_or_default();
            match self.write_one(p, class, ready) {
                Step::Wrote { bytes, closed } => {
                    self.schedule.charge(class, bytes);
                    filled.wrote = true;
                    if closed {
                        return Filled { closed, ..filled };
                    }
                }
                Step::Moved => {}
                Step::NoRoom => later |= 1 << class as u8,
            }
        }
        if info.spare && later == 0 {
            let ahead = self.write_ahead(p);
            filled = Filled { wrote: filled.wrote | ahead.wrote, closed: ahead.closed };
        }
        filled
    }

    /// Whether there is something to send that does not depend on a path having capacity to spare.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let durable_floor = self.durable.as_ref().is_some_and(|durable| durable.floor.is_due());
        self.params.is_some()
            && (self.floor.is_due()
                || durable_floor
                || self.occupied_classes().any(|(class, _)| self.ready(class).any()))
    }

    /// Whether the next packet would be filled by a symbol, so that anything else costs one more.
    #[must_use]
    pub fn has_bulk(&self) -> bool {
        self.queue.any_symbols()
            && self.occupied_classes().any(|(class, _)| {
                let ready = self.ready(class);
                ready.any_bulk()
            })
    }

    /// Every class that has anything in a list of sendable messages, with its bit.
    fn occupied_classes(&self) -> impl Iterator<Item = (Class, u8)> {
        let occupied = self.queue.occupied_classes();
        classes().filter(move |&(_, bit)| occupied & u64::from(bit) != 0)
    }

    /// When a path with capacity to spare should call [`Outbox::fill`] although there is no work:
    /// what is under way may be lost, and finding out takes a round trip.
    #[must_use]
    pub fn spare_wake(&self) -> Wake {
        let Some(gap) = self.burst_gap() else { return self.surplus_wake() };
        let burst = self.queue.front(ListId::BURST).and_then(|index| self.queue.get(index));
        let rest = self.queue.front(ListId::REST).and_then(|index| self.queue.get(index));
        let burst = burst.map_or(Wake::Idle, |entry| Wake::At(entry.sent_at + gap, Reason::Pacing));
        let rest =
            rest.map_or(Wake::Idle, |entry| Wake::At(entry.sent_at + self.burst_rest(), Reason::Pacing));
        burst.min(rest).min(self.surplus_wake())
    }

    fn surplus_wake(&self) -> Wake {
        let mut wake = Wake::Idle;
        for (class, _) in classes() {
            for index in self.queue.walk(ListId::of(Kind::Parked, class)).take(SURPLUS_LOOKS) {
                let fragments = self.queue.get(index).and_then(|entry| entry.fragments.as_ref());
                if let Some(at) = fragments.and_then(|f| f.tail_at(self.path.loss_ppm, self.path.srtt)) {
                    wake = wake.min(Wake::At(at, Reason::Pacing));
                }
            }
        }
        wake
    }

    fn ready(&self, class: Class) -> Ready {
        let occupied = self.queue.occupied(class);
        if occupied == 0 {
            return Ready::default();
        }
        let has = |kind: Kind| occupied & 1 << (kind as u8 * 5) != 0;
        let opens = |kind: Kind| has(kind) && self.may_open(kind, class);
        Ready {
            lost: has(Kind::Lost),
            small: opens(Kind::Small),
            ordered: opens(Kind::Ordered),
            durable: opens(Kind::Durable),
            active: has(Kind::Active),
            bulk: opens(Kind::Bulk),
        }
    }

    /// Whether the first of a list of unsent messages may be started: its number is within the peer's
    /// window, and the peer has promised room for it.
    fn may_open(&self, kind: Kind, class: Class) -> bool {
        let list = ListId::of(kind, class);
        let first = self.queue.front(list).and_then(|index| self.queue.get(index));
        first.is_some_and(|entry| {
            matches!(entry.manner, Manner::Datagram(_))
                || self.may_number(list, entry) && self.has_room(list, entry)
        })
    }

    /// Whether the number of an unsent message, the first of this list, is within what the peer remembers.
    pub(super) fn may_number(&self, list: ListId, entry: &Entry) -> bool {
        let Some(params) = self.params else { return false };
        let window = u64::from(params.message_window).max(1);
        match entry.manner {
            Manner::Datagram(_) => true,
            Manner::Plain | Manner::Routing | Manner::Ordered(_) => {
                self.numbers.span() + u64::from(self.keeps_number_from(list)) < window
            }
            Manner::Durable => self.durable.as_ref().is_some_and(|durable| durable.within(entry.seq, window)),
        }
    }

    fn write_floors(&mut self, p: &mut Pack<'_, '_, impl FnMut(Piece)>) -> bool {
        let mut wrote = false;
        if self.floor.is_due() && frame::write_floor(p.w, ORDINARY, self.floor.value()).is_ok() {
            (p.sink)(Piece::Floor { space: ORDINARY, version: self.floor.tell() });
            wrote = true;
        }
        if let Some(durable) = &mut self.durable
            && durable.floor.is_due()
            && frame::write_floor(p.w, DURABLE, durable.floor.value()).is_ok()
        {
            (p.sink)(Piece::Floor { space: DURABLE, version: durable.floor.tell() });
            wrote = true;
        }
        wrote
    }

    /// Writes the next thing of `class`, of which so much may be sent.
    fn write_one(&mut self, p: &mut Pack<'_, '_, impl FnMut(Piece)>, class: Class, ready: Ready) -> Step {
        if ready.lost {
            return self.write_small(p, ListId::of(Kind::Lost, class));
        }
        let (any_small, any_bulk) = (ready.any_small(), ready.any_bulk());
        let credit = self.credit.get(class as usize).copied().unwrap_or(0);
        let step = if any_small && (credit > 0 || !any_bulk) {
            let list = self.oldest(ready, class);
            self.write_small(p, list)
        } else if ready.active {
            self.write_symbol(p, class)
        } else {
            self.write_small(p, ListId::of(Kind::Bulk, class))
        };
        let sign = match &step {
            Step::Wrote { bytes, .. } if any_small && any_bulk => {
                let bytes = i32::try_from(*bytes).unwrap_or(i32::MAX);
                if credit > 0 { -bytes } else { bytes }
            }
            Step::Wrote { .. } | Step::Moved | Step::NoRoom => 0,
        };
        if let Some(credit) = self.credit.get_mut(class as usize) {
            *credit = credit.saturating_add(sign).clamp(-(1 << 16), 1 << 16);
        }
        step
    }

    /// Of small messages, whichever that may be sent came first.
    fn oldest(&self, ready: Ready, class: Class) -> ListId {
        let small = ListId::of(Kind::Small, class);
        if !ready.ordered && !ready.durable {
            return small;
        }
        let age = |list| self.queue.front(list).and_then(|index| self.queue.get(index)).map(|e| e.generation);
        let kinds =
            [(ready.small, Kind::Small), (ready.ordered, Kind::Ordered), (ready.durable, Kind::Durable)];
        let lists = kinds.into_iter().filter(|&(ready, _)| ready).map(|(_, kind)| ListId::of(kind, class));
        lists.min_by_key(|&list| age(list)).unwrap_or(small)
    }

    /// The header that `entry` has, or would have if it were numbered now.
    pub(super) fn header_of(&self, entry: &Entry) -> MessageHeader {
        let fresh = entry.seq == UNNUMBERED;
        let seq = if fresh { self.numbers.next() } else { entry.seq };
        let back = match entry.manner {
            Manner::Datagram(_) | Manner::Plain | Manner::Routing | Manner::Durable => None,
            Manner::Ordered(stream) => {
                let before = match (&self.streams, fresh) {
                    (Some(streams), true) => streams.last(stream),
                    (Some(_) | None, _) => entry.before,
                };
                Some(if before == UNNUMBERED { 0 } else { seq.saturating_sub(before) })
            }
        };
        let channel = if entry.manner == Manner::Routing { Channel::Routing } else { Channel::Application };
        MessageHeader { channel, space: space_of(entry.manner), seq, back, fragment: None }
    }

    /// Writes the first message of `list` whole, or turns it into symbols.
    fn write_small(&mut self, p: &mut Pack<'_, '_, impl FnMut(Piece)>, list: ListId) -> Step {
        let Some(index) = self.queue.front(list) else { return Step::Moved };
        let Some(entry) = self.queue.get(index) else { return Step::Moved };
        if let Manner::Datagram(channel) = entry.manner {
            return self.write_datagram(p, channel, index);
        }
        let header = self.header_of(entry);
        let len = entry.payload.len();
        let bare = header.encoded_len(None) + len;
        if bare > p.info.room {
            return self.open_bulk(list, p.info);
        }
        if bare > p.w.room() {
            return Step::NoRoom;
        }
        self.queue.unlink(index);
        self.start(list, index, true);
        self.sort_in(list);
        let left = p.w.room() - bare;
        let closed =
            left < varint_len(len as u64) + LEAST_FRAME || !(p.info.spare || self.queue.any_sendable());
        let Some(entry) = self.queue.get_mut(index) else { return Step::Moved };
        let before = p.w.len();
        if frame::write_message(p.w, &header, closed, &entry.payload).is_err() {
            self.queue.push_front(list, index);
            return Step::NoRoom;
        }
        entry.sent_at = p.now;
        entry.copies = entry.copies.saturating_add(1);
        (p.sink)(Piece::Message {
            handle: handle(index, entry.generation),
            cut: 0,
            symbol: entry.generation,
        });
        let copies = copies(p.info.loss_ppm);
        if copies > 1 {
            entry.burst = copies - 1;
            self.queue.push_back(ListId::BURST, index);
        }
        Step::Wrote { bytes: p.w.len() - before, closed }
    }

    fn write_datagram(
        &mut self,
        p: &mut Pack<'_, '_, impl FnMut(Piece)>,
        channel: Channel,
        index: u32,
    ) -> Step {
        let Some(entry) = self.queue.get(index) else { return Step::Moved };
        let len = entry.payload.len();
        if len < p.info.room && len + 1 > p.w.room() {
            return Step::NoRoom;
        }
        let closed = p.w.room() < len + 1 + varint_len(len as u64) + LEAST_FRAME;
        let before = p.w.len();
        // One that no longer fits any packet, since the path has changed, is lost like any other.
        let written = frame::write_datagram(p.w, channel, closed, &entry.payload).is_ok();
        self.discard(p.budget, index);
        if !written {
            return Step::Moved;
        }
        (p.sink)(Piece::Datagram { handle: 0 });
        Step::Wrote { bytes: p.w.len() - before, closed }
    }

    /// Numbers a message that is about to be sent for the first time and counts its bytes.
    fn start(&mut self, list: ListId, index: u32, whole: bool) {
        self.charge(list, index, whole);
        let next = self.numbers.next();
        let Some(entry) = self.queue.get_mut(index) else { return };
        if entry.sent {
            return;
        }
        entry.sent = true;
        if entry.seq != UNNUMBERED {
            return;
        }
        entry.seq = next;
        let manner = entry.manner;
        self.numbers.assign(index);
        if let (Manner::Ordered(stream), Some(streams)) = (manner, &mut self.streams) {
            let before = streams.last(stream);
            streams.sent(stream, next);
            if let Some(entry) = self.queue.get_mut(index) {
                entry.before = before;
            }
            if before == UNNUMBERED {
                return;
            }
            if let Some(previous) = self.numbers.find(before).and_then(|at| self.queue.get_mut(at)) {
                previous.after = index;
            } else if let Some(entry) = self.queue.get_mut(index) {
                entry.orphan = true;
            }
        }
    }

    /// Cuts the first message of `list` into symbols that fit every path.
    fn open_bulk(&mut self, list: ListId, info: &PathInfo) -> Step {
        let Some(index) = self.queue.front(list) else { return Step::Moved };
        let Some(entry) = self.queue.get(index) else { return Step::Moved };
        let header = self.header_of(entry);
        let len = entry.payload.len() as u32;
        let Some(size) = symbol_size(info.room, &header, len) else { return Step::NoRoom };
        let fountain = self.params.is_some_and(|params| params.fountain);
        self.start(list, index, false);
        if let Some(entry) = self.queue.get_mut(index) {
            entry.fragments =
                Some(alloc::boxed::Box::new(Fragments::new(len, size, fountain, next_cut(&mut self.cuts))));
            let class = entry.class;
            self.queue.push_back(ListId::of(Kind::Active, class), index);
        }
        self.sort_in(list);
        Step::Moved
    }

    /// Writes the next symbol of the first active message of `class`.
    fn write_symbol(&mut self, p: &mut Pack<'_, '_, impl FnMut(Piece)>, class: Class) -> Step {
        let Some(index) = self.queue.front(ListId::of(Kind::Active, class)) else { return Step::Moved };
        let Some(entry) = self.queue.get(index) else { return Step::Moved };
        let header = self.header_of(entry);
        let len = entry.payload.len() as u32;
        let Some(entry) = self.queue.get_mut(index) else { return Step::Moved };
        let Some(fragments) = &mut entry.fragments else { return Step::Moved };
        let frame_len = fragments.frame_len(&header);
        if frame_len > p.w.room() {
            match symbol_size(p.info.room, &header, len) {
                Some(size) if size < fragments.size() => fragments.recut(size, next_cut(&mut self.cuts)),
                Some(_) | None => return Step::NoRoom,
            }
            return Step::Moved;
        }
        let probing = core::mem::take(&mut entry.burst) > 0;
        let symbol = match fragments.next(p.info.loss_ppm) {
            Some(symbol) => symbol,
            None if probing => fragments.probe(),
            None => {
                self.park(p.now, index, class);
                return Step::Moved;
            }
        };
        entry.sent_at = p.now;
        put_symbol(p, entry, &header, index, symbol)
    }

    /// Puts a message in symbols aside until there is news, and makes sure that it is asked after.
    fn park(&mut self, now: Instant, index: u32, class: Class) {
        self.queue.push_back(ListId::of(Kind::Parked, class), index);
        self.ask_later(now, index);
    }

    /// Sends ahead of any news: copies of small messages, then what may be missing of large ones.
    fn write_ahead(&mut self, p: &mut Pack<'_, '_, impl FnMut(Piece)>) -> Filled {
        let mut filled = Filled::default();
        while let Some(step) = self.write_copy(p) {
            filled.wrote = true;
            if step {
                return Filled { closed: true, ..filled };
            }
        }
        for (class, _) in classes() {
            for _ in 0..SURPLUS_LOOKS {
                let list = ListId::of(Kind::Parked, class);
                let Some(index) = self.queue.front(list) else { break };
                let Some(entry) = self.queue.get(index) else { break };
                let header = self.header_of(entry);
                let Some(entry) = self.queue.get_mut(index) else { break };
                let Some(fragments) = &mut entry.fragments else { break };
                if fragments.frame_len(&header) > p.w.room() {
                    return filled;
                }
                if let Some(symbol) = fragments.tail(p.now, p.info.loss_ppm, p.info.srtt) {
                    entry.sent_at = p.now;
                    if let Step::Wrote { closed, .. } = put_symbol(p, entry, &header, index, symbol) {
                        return Filled { wrote: true, closed };
                    }
                }
                self.queue.push_back(list, index);
            }
        }
        filled
    }

    /// One more copy of a small message, if one is due; `true` when it closed the packet.
    fn write_copy(&mut self, p: &mut Pack<'_, '_, impl FnMut(Piece)>) -> Option<bool> {
        let gap = self.burst_gap()?;
        if let Some(index) = self.queue.front(ListId::REST) {
            let rest = self.burst_rest();
            if let Some(entry) = self.queue.get_mut(index)
                && entry.sent_at + rest <= p.now
            {
                entry.burst = copies(p.info.loss_ppm);
                self.queue.push_back(ListId::BURST, index);
            }
        }
        let index = self.queue.front(ListId::BURST)?;
        let entry = self.queue.get(index)?;
        if entry.sent_at + gap > p.now {
            return None;
        }
        let header = self.header_of(entry);
        let bare = header.encoded_len(None) + entry.payload.len();
        let left = p.w.room().checked_sub(bare)?;
        let closed = left < varint_len(entry.payload.len() as u64) + LEAST_FRAME;
        let entry = self.queue.get_mut(index)?;
        frame::write_message(p.w, &header, closed, &entry.payload).ok()?;
        entry.sent_at = p.now;
        entry.copies = entry.copies.saturating_add(1);
        entry.burst = entry.burst.saturating_sub(1);
        (p.sink)(Piece::Message {
            handle: handle(index, entry.generation),
            cut: 0,
            symbol: entry.generation,
        });
        let list = if entry.burst == 0 { ListId::REST } else { ListId::BURST };
        self.queue.push_back(list, index);
        Some(closed)
    }

    /// Time between two copies of a burst: together they take a quarter of a round trip, so the
    /// last of them arrives less than one and a half one-way delays after the first could.
    fn burst_gap(&self) -> Option<Duration> {
        let copies = copies(self.path.loss_ppm);
        (copies > 1).then(|| self.path.srtt.mul_ratio(1, 4 * u64::from(copies)))
    }

    /// Time between the last copy of a burst and the next burst: what is left of 9/8 round trips
    /// (RFC 9002, section 6.1.2, takes the same to call a packet lost).
    fn burst_rest(&self) -> Duration {
        self.path.srtt.mul_ratio(7, 8)
    }
}

/// What is lost of a burst of copies, in millionths, at most. At 90 % loss ten copies, of which one arrives in two of three
/// cases: with seven, of which one arrives in every second, a message over a hop takes half as long again (3.1 ms on a link
/// of 1 ms, for 2.1), and no more than an eighth of the transmissions is saved.
const LOST_BURSTS_PPM: u64 = 350_000;

/// How many copies make a burst: the smallest `n` with `p^n` not above [`LOST_BURSTS_PPM`]; at most 16.
pub(super) fn copies(loss_ppm: u32) -> u8 {
    let loss = u64::from(loss_ppm.min(999_999));
    let mut all_lost = loss;
    let mut copies = 1;
    while all_lost > LOST_BURSTS_PPM && copies < 16 {
        all_lost = all_lost * loss / 1_000_000;
        copies += 1;
    }
    copies
}

/// A place in the table and the low bits of its generation: late news of a message that is gone does
/// not touch the one that has its place now.
pub(super) fn handle(index: u32, generation: u32) -> u32 {
    index << 12 | generation & 0xfff
}

fn put_symbol(
    p: &mut Pack<'_, '_, impl FnMut(Piece)>,
    entry: &mut Entry,
    header: &MessageHeader,
    index: u32,
    symbol: Symbol,
) -> Step {
    let Some(fragments) = &mut entry.fragments else { return Step::Moved };
    let header = MessageHeader { fragment: Some(fragments.describe(symbol)), ..*header };
    let data = fragments.data(&entry.payload, symbol);
    let before = p.w.len();
    let need = header.encoded_len(Some(data.len())) + data.len();
    let closed = p.w.room() < need + 4 * LEAST_FRAME;
    if frame::write_message(p.w, &header, closed, &data).is_err() {
        fragments.unsend(symbol);
        return Step::NoRoom;
    }
    (p.sink)(Piece::Message {
        handle: handle(index, entry.generation),
        cut: symbol.cut,
        symbol: symbol.pack(),
    });
    Step::Wrote { bytes: p.w.len() - before, closed }
}
