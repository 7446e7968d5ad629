//! What was sent and not yet settled.
//!
//! Only packets that ask for an answer are recorded: whoever hears much sends many acknowledgements, and
//! they must not push out the little that it has to say itself. The records stand in a ring in the order
//! of their numbers; most follow each other, so where one number is the next is nearly always found at
//! once. What the packets carried stands in a second ring in the same order: no allocation per packet,
//! however many pieces it has. A record passes through
//!
//! `Open -> Overdue -> Acked | Lost`
//!
//! *Overdue* packets have waited too long with nothing newer acknowledged: their contents are
//! reported lost so that they are sent again at once, but whether the packet was lost counts only
//! when a newer one is acknowledged. A short outage is not a loss rate.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::piece::{Fate, Piece};
use super::rtt::times;
use super::size::PacketSize;
use crate::time::{Duration, Instant};

/// The packet threshold of RFC 9002, section 6.1.1. Grows when the path turns out to reorder.
const REORDERING: u32 = 3;
/// The most that the threshold grows to (guess).
const MOST_REORDERING: u32 = 128;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nobody waits for it any more, and nobody will know what became of it.
    Free,
    Open,
    Overdue,
    Acked,
    Lost,
}

/// One sent packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    number: u64,
    /// When.
    pub(super) at: Instant,
    /// Bytes sent on this path up to and with this packet.
    pub(super) total: u64,
    /// Its size.
    pub(super) bytes: u32,
    first_piece: u32,
    pieces: u16,
    state: State,
    /// It went to where the path leads now, and not to an address under test or to one that was left: only such
    /// packets show what the path takes.
    here: bool,
}

/// What one acknowledgement or timer changed.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct News {
    /// Packets whose arrival is news.
    pub(super) acked: u32,
    /// Of those, packets that had been counted as lost.
    pub(super) late: u32,
    /// And packets that went to an address under test, or to one that was left.
    pub(super) elsewhere: u32,
    /// Packets now known to be lost.
    pub(super) lost: u32,
    /// The same two, of packets from the start of the controller's epoch on.
    pub(super) epoch_acked: u32,
    /// See `epoch_acked`.
    pub(super) epoch_lost: u32,
    /// Packets of the epoch that had been counted as lost and are not.
    pub(super) epoch_late: u32,
    /// The highest packet, if its arrival is news and it was eliciting.
    pub(super) newest: Option<Sent>,
}

/// What packets are judged by while an acknowledgement or a timer is worked through.
pub(super) struct Judge<'a> {
    pub(super) now: Instant,
    /// The time that an answer may take.
    pub(super) wait: Duration,
    /// The first packet number of the controller's epoch.
    pub(super) epoch: u64,
    pub(super) size: &'a mut PacketSize,
    /// Whether packets turned out to be too large for the path.
    pub(super) too_large: bool,
    pub(super) news: News,
}

/// Records of sent packets.
#[derive(Clone, Debug)]
pub(super) struct SentLog {
    /// The lowest number that was not sent yet.
    next: u64,
    records: VecDeque<Sent>,
    pieces: VecDeque<Piece>,
    /// Running number of the first piece in the ring.
    first_piece: u32,
    total: u64,
    open: u32,
    open_bytes: u64,
    overdue: u32,
    largest_acked: Option<u64>,
    reordering: u32,
    /// One above the highest number that had to make room before its fate was known.
    forgotten: u64,
    /// No record below this number is open or overdue.
    unsettled: u64,
    /// No record below this number is open.
    first_open: u64,
    /// Contents of packets whose records had to make room, not reported yet.
    evicted: Vec<Piece>,
}

/// Room for so many packets is not worth giving back: an idle path that says something now and then
/// would allocate each time (guess).
const KEPT: usize = 8;

/// Pieces that a packet has on average at most, if all records are to have room for theirs (guess).
const PIECES_PER_PACKET: usize = 8;

impl SentLog {
    pub(super) const fn new() -> SentLog {
        SentLog {
            next: 0,
            records: VecDeque::new(),
            pieces: VecDeque::new(),
            first_piece: 0,
            total: 0,
            open: 0,
            open_bytes: 0,
            overdue: 0,
            largest_acked: None,
            reordering: REORDERING,
            forgotten: 0,
            unsettled: 0,
            first_open: 0,
            evicted: Vec::new(),
        }
    }

    /// The lowest number that was not sent yet, as far as this path knows.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The lowest number that is remembered.
    pub(super) fn oldest(&self) -> u64 {
        self.records.front().map_or(self.next, |sent| sent.number)
    }

    pub(super) fn largest_acked(&self) -> Option<u64> {
        self.largest_acked
    }

    /// Whether this packet, or one after it, was forgotten before its fate was known.
    pub(super) fn has_forgotten(&self, number: u64) -> bool {
        number < self.forgotten
    }

    /// Packets that an acknowledgement is expected for.
    pub(super) fn open(&self) -> u32 {
        self.open
    }

    /// Bytes of those packets.
    pub(super) fn open_bytes(&self) -> u64 {
        self.open_bytes
    }

    /// Whether one more packet would push out one that an acknowledgement is expected for.
    pub(super) fn is_full(&self, most: usize) -> bool {
        self.has_most(most) && self.records.front().is_some_and(|sent| sent.state == State::Open)
    }

    /// Whether there are as many records, or as many pieces in them, as are remembered.
    fn has_most(&self, most: usize) -> bool {
        self.records.len() >= most.max(1) || self.pieces.len() >= PIECES_PER_PACKET * most.max(64)
    }

    /// Bytes sent so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Whether pieces wait to be reported by [`SentLog::report_evicted`].
    pub(super) fn has_evicted(&self) -> bool {
        !self.evicted.is_empty()
    }

    /// The place of the first record from `number` on.
    fn place(&self, number: u64) -> usize {
        let guess = usize::try_from(number.saturating_sub(self.oldest())).unwrap_or(usize::MAX);
        match self.records.get(guess) {
            Some(sent) if sent.number == number => guess,
            // Numbers without a record lie before it.
            Some(_) | None => self.records.partition_point(|sent| sent.number < number),
        }
    }

    /// Remembers a packet. Numbers only grow. Never keeps more than `most` records: the oldest make room.
    pub(super) fn push(
        &mut self,
        now: Instant,
        number: u64,
        bytes: u32,
        eliciting: bool,
        pieces: &[Piece],
        most: usize,
    ) {
        if number < self.next {
            return;
        }
        self.next = number + 1;
        self.total += u64::from(bytes);
        if !eliciting {
            return;
        }
        self.make_room(most);
        let (first_piece, kept) = (self.piece_end(), pieces.len().min(usize::from(u16::MAX)));
        let here = !pieces.iter().any(Piece::is_about_address);
        let (at, total, state, kept) = (now, self.total, State::Open, kept as u16);
        self.records.push_back(Sent { number, at, total, bytes, first_piece, pieces: kept, state, here });
        self.pieces.extend(pieces.iter().take(usize::from(kept)));
        self.open += 1;
        self.open_bytes += u64::from(bytes);
    }

    /// An open packet is open no more.
    fn close(&mut self, sent: &Sent) {
        self.open = self.open.saturating_sub(1);
        self.open_bytes = self.open_bytes.saturating_sub(u64::from(sent.bytes));
    }

    fn piece_end(&self) -> u32 {
        self.first_piece.wrapping_add(self.pieces.len() as u32)
    }

    fn make_room(&mut self, most: usize) {
        while self.has_most(most) && self.pop_front(true) {}
    }

    /// Drops the oldest record. Contents of an unsettled one are kept for a report when `keep`.
    fn pop_front(&mut self, keep: bool) -> bool {
        let Some(sent) = self.records.pop_front() else {
            return false;
        };
        let count = usize::from(sent.pieces).min(self.pieces.len());
        if keep && matches!(sent.state, State::Open | State::Overdue) {
            self.forgotten = sent.number + 1;
        }
        match sent.state {
            State::Open => {
                self.close(&sent);
                if keep {
                    self.evicted.extend(self.pieces.iter().take(count));
                }
            }
            State::Overdue => self.overdue -= 1,
            State::Free | State::Acked | State::Lost => {}
        }
        // Nearly always one: cheaper than setting up a drain.
        for _ in 0..count {
            self.pieces.pop_front();
        }
        self.first_piece = self.first_piece.wrapping_add(u32::from(sent.pieces));
        true
    }

    /// Reports what evicted packets carried as lost.
    pub(super) fn report_evicted(&mut self, fate: &mut impl FnMut(Piece, Fate)) {
        for piece in self.evicted.drain(..) {
            fate(piece, Fate::Lost);
        }
    }

    fn report(&self, sent: &Sent, what: Fate, fate: &mut impl FnMut(Piece, Fate)) {
        let start = sent.first_piece.wrapping_sub(self.first_piece) as usize;
        for piece in self.pieces.range(start.min(self.pieces.len())..).take(usize::from(sent.pieces)) {
            fate(*piece, what);
        }
    }

    /// The numbers `first..=last` have arrived.
    pub(super) fn on_range(
        &mut self,
        (first, last): (u64, u64),
        judge: &mut Judge<'_>,
        fate: &mut impl FnMut(Piece, Fate),
    ) {
        let Judge { epoch, ref mut news, ref mut size, now, .. } = *judge;
        // Packets are weighed in their order, as `detect_lost` comes to them.
        let weighed = self.unsettled;
        let newest = self.largest_acked.is_none_or(|largest| last > largest);
        for place in self.place(first).. {
            let Some(record) = self.records.get_mut(place).filter(|record| record.number <= last) else {
                break;
            };
            let (sent, number) = (*record, record.number);
            record.state = State::Acked;
            if sent.here && sent.state != State::Acked {
                size.answered(now, number, sent.bytes);
                if number < weighed {
                    size.acked(number, sent.bytes);
                }
            }
            let mut arrived = Fate::Late;
            match sent.state {
                State::Open => {
                    self.close(&sent);
                    arrived = Fate::Acked;
                }
                State::Overdue => self.overdue -= 1,
                State::Free | State::Acked => continue,
                State::Lost => {
                    news.late += u32::from(sent.here);
                    news.epoch_late += u32::from(sent.here && number >= epoch);
                    let over = self.largest_acked.map_or(0, |largest| largest.saturating_sub(number));
                    let most = u64::from(MOST_REORDERING);
                    self.reordering = self.reordering.max((over + 1).min(most) as u32);
                }
            }
            news.acked += 1;
            news.elsewhere += u32::from(!sent.here);
            news.epoch_acked += u32::from(number >= epoch && sent.state != State::Lost);
            if newest && number == last {
                news.newest = Some(sent);
            }
            self.report(&sent, arrived, fate);
        }
        if newest {
            self.largest_acked = Some(last);
        }
    }

    /// Settles what a later acknowledged packet shows to be lost (RFC 9002, section 6.1), and forgets
    /// records that nothing can change any more.
    pub(super) fn detect_lost(
        &mut self,
        delay: Duration,
        judge: &mut Judge<'_>,
        fate: &mut impl FnMut(Piece, Fate),
    ) {
        let Judge { now, wait, epoch, ref mut size, ref mut too_large, ref mut news } = *judge;
        let Some(largest) = self.largest_acked else {
            return;
        };
        let reordering = u64::from(self.reordering);
        let mut unsettled = largest + 1;
        for place in self.place(self.unsettled).. {
            let Some(record) = self.records.get_mut(place).filter(|record| record.number <= largest) else {
                break;
            };
            let (sent, number) = (*record, record.number);
            if sent.state == State::Acked && sent.here {
                // A loss before it may just have lowered the limit.
                size.answered(now, number, sent.bytes);
                size.acked(number, sent.bytes);
            }
            if matches!(sent.state, State::Open | State::Overdue) {
                if number + reordering > largest && sent.at + delay > now {
                    unsettled = number;
                    break;
                }
                record.state = State::Lost;
                // What was larger than is believed to pass, or went elsewhere, says nothing of the path's loss.
                let counts = u32::from(sent.here && sent.bytes <= size.limit());
                *too_large |= sent.here && size.lost(now, number, sent.bytes, wait);
                news.lost += counts;
                news.epoch_lost += counts * u32::from(number >= epoch);
                if sent.state == State::Open {
                    self.close(&sent);
                    self.report(&sent, Fate::Lost, fate);
                } else {
                    self.overdue -= 1;
                }
            }
        }
        self.unsettled = self.unsettled.max(unsettled);
        self.first_open = self.first_open.max(self.unsettled);
        self.forget(now, delay);
    }

    /// Lost packets are remembered for two loss delays, in case their acknowledgement is only late.
    fn forget(&mut self, now: Instant, delay: Duration) {
        let keep = times(delay, 2);
        while let Some(front) = self.records.front() {
            let settled = match front.state {
                State::Acked | State::Free => true,
                State::Lost => front.at + keep <= now,
                State::Open | State::Overdue => false,
            };
            if !settled {
                return;
            }
            self.pop_front(false);
        }
    }

    /// When [`SentLog::detect_lost`] will find something without another acknowledgement.
    pub(super) fn loss_at(&self, delay: Duration) -> Option<Instant> {
        let largest = self.largest_acked?;
        let sent = self.records.get(self.place(self.unsettled))?;
        let waits = sent.number < largest && matches!(sent.state, State::Open | State::Overdue);
        if waits { Some(sent.at + delay) } else { None }
    }

    /// When the oldest open packet was sent.
    pub(super) fn oldest_open(&self) -> Option<Instant> {
        if self.open == 0 {
            return None;
        }
        let mut rest = self.records.range(self.place(self.first_open)..);
        rest.find(|sent| sent.state == State::Open).map(|sent| sent.at)
    }

    /// Reports the contents of packets sent at `until` or before as lost, though their own fate
    /// stays unknown. Returns how many packets that were.
    pub(super) fn overdue(&mut self, until: Instant, fate: &mut impl FnMut(Piece, Fate)) -> u32 {
        let mut count = 0;
        let mut first_open = self.next;
        for place in self.place(self.first_open).. {
            let Some(record) = self.records.get_mut(place) else { break };
            let sent = *record;
            if sent.state != State::Open {
                continue;
            }
            if sent.at > until {
                first_open = sent.number;
                break;
            }
            record.state = State::Overdue;
            self.close(&sent);
            self.overdue += 1;
            count += 1;
            self.report(&sent, Fate::Lost, fate);
        }
        self.first_open = first_open;
        count
    }

    /// Forgets every overdue packet without counting it: the path was cut, they say nothing of its
    /// loss rate.
    pub(super) fn forgive_overdue(&mut self) {
        for record in &mut self.records {
            if record.state == State::Overdue {
                record.state = State::Free;
                self.overdue -= 1;
            }
        }
    }

    /// The path leads to another address from now on.
    pub(super) fn on_moved(&mut self) {
        for record in &mut self.records {
            record.here = false;
        }
    }

    /// As [`SentLog::forgive_overdue`], after an answer to a question: what was not answered before it may have
    /// been too large.
    pub(super) fn forgive_outage(&mut self, now: Instant, wait: Duration, size: &mut PacketSize) {
        for place in self.place(self.unsettled).. {
            let Some(sent) = self.records.get(place).filter(|sent| sent.state != State::Open) else { break };
            match sent.state {
                State::Overdue if sent.here => {
                    // Whatever it says: all that was under way is overdue, and was cut anew already.
                    size.lost(now, sent.number, sent.bytes, wait);
                }
                State::Acked if sent.here => {
                    size.answered(now, sent.number, sent.bytes);
                    size.acked(sent.number, sent.bytes);
                }
                State::Overdue | State::Acked | State::Open | State::Free | State::Lost => {}
            }
            self.unsettled = sent.number + 1;
        }
        self.forgive_overdue();
        self.first_open = self.first_open.max(self.unsettled);
    }

    /// Gives back memory where much more is held than used.
    pub(super) fn shrink(&mut self) {
        if self.records.capacity() > KEPT.max(4 * self.records.len()) {
            self.records.shrink_to(KEPT);
        }
        if self.pieces.capacity() > KEPT.max(4 * self.pieces.len()) {
            self.pieces.shrink_to(KEPT);
        }
        self.evicted.shrink_to(0);
    }

    pub(super) fn check(&self, most: usize) {
        assert!(self.records.len() <= most.max(1), "too many records");
        let count = |state| self.records.iter().filter(|sent| sent.state == state).count();
        assert!(count(State::Open) == self.open as usize, "open packets miscounted");
        assert!(count(State::Overdue) == self.overdue as usize, "overdue packets miscounted");
        let pieces: usize = self.records.iter().map(|sent| usize::from(sent.pieces)).sum();
        assert!(pieces == self.pieces.len(), "pieces without a packet");
        let mut expected = self.first_piece;
        let mut before = None;
        for sent in &self.records {
            let number = sent.number;
            assert!(
                before.is_none_or(|before| before < number) && number < self.next,
                "numbers out of order"
            );
            before = Some(number);
            assert!(sent.first_piece == expected, "pieces out of step");
            expected = expected.wrapping_add(u32::from(sent.pieces));
            let unsettled = matches!(sent.state, State::Open | State::Overdue);
            assert!(!unsettled || number >= self.unsettled, "unsettled packet skipped");
            assert!(sent.state != State::Open || number >= self.first_open, "open packet skipped");
        }
    }
}
