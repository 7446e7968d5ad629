//! Durable messages are exactly once, whenever either side crashes and whatever its disk loses.

use super::*;
use crate::drops::Drop;
use std::collections::{BTreeMap, BTreeSet};

/// What an application with its own disk knows: it confirms a message after it has used it.
#[derive(Default)]
struct Application {
    used: BTreeSet<u64>,
    fresh: BTreeSet<u64>,
    read: usize,
}

struct World {
    a: End,
    b: End,
    app: Application,
    rng: Rng,
    pushed: u64,
    tags: BTreeMap<u64, u64>,
    there: Vec<Packet>,
    back: Vec<Packet>,
    unconfirmed: Vec<u64>,
    /// Copies of messages that go by other hands, and receipts that come by them, as old as they may be.
    by_hand: Vec<(u64, Bytes)>,
    receipts_by_hand: Vec<Vec<(u64, u64)>>,
    steps: u64,
}

impl World {
    fn new(seed: u64, zoo: Zoo) -> World {
        let limits = Limits { durable_messages: 400, peer_share: 1, message_window: 64, ..Limits::SMALL };
        let (mut a, mut b) = pair(&limits, false);
        (a.quick_disk, b.quick_disk) = (false, false);
        (a.zoo, b.zoo) = (zoo, zoo);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        World {
            a,
            b,
            app: Application::default(),
            rng: Rng::fork(&bytes, "crash"),
            pushed: 0,
            tags: BTreeMap::new(),
            there: vec![],
            back: vec![],
            unconfirmed: vec![],
            by_hand: vec![],
            receipts_by_hand: vec![],
            steps: 0,
        }
    }

    /// One small thing happens somewhere. `steps` counts them, so a crash can be put between any two.
    fn step(&mut self, more: u64) -> Result<(), std::string::String> {
        self.steps += 1;
        let info = clean(200);
        match self.rng.below(13) {
            0 if self.pushed < more => {
                let len = if self.rng.below(4) == 0 { 700 } else { 20 };
                if self.a.push(self.pushed, Delivery::Durable, Class::Normal, len).is_ok() {
                    self.pushed += 1;
                }
            }
            1 => {
                self.a.confirm();
                self.a.settle();
            }
            2 => {
                self.b.confirm();
                self.b.settle();
            }
            3 | 4 => {
                if let Some(packet) = self.a.packet(&info) {
                    self.there.push(packet);
                }
            }
            5 => {
                if let Some(packet) = self.b.packet(&info) {
                    self.back.push(packet);
                }
            }
            6 => {
                if let Some(packet) = self.there.pop() {
                    self.watch(&packet)?;
                    let fate = if self.b.receive(&packet.bytes) { Fate::Acked } else { Fate::Lost };
                    self.a.fate(&packet, fate);
                }
            }
            7 => {
                if let Some(packet) = self.back.pop() {
                    self.a.receive(&packet.bytes);
                    self.b.fate(&packet, Fate::Acked);
                }
            }
            8 => {
                if let Some(seq) = self.unconfirmed.pop() {
                    self.b.consume(seq);
                }
            }
            _ => self.by_other_hands()?,
        }
        let now = self.a.now + Duration::from_millis(5);
        self.a.wake(now);
        self.b.wake(now);
        self.read()
    }

    /// A message is given to somebody, or comes by somebody, perhaps once more; or a receipt does.
    fn by_other_hands(&mut self) -> Result<(), std::string::String> {
        match self.rng.below(4) {
            0 => {
                // Of those that are on the disk, and said to be.
                let seq = self.a.waits.get(self.rng.below(1 + self.a.waits.len() as u64) as usize).copied();
                if let Some(seq) = seq
                    && let Owed::Message { payload, .. } = self.a.outbox.owed(self.a.now, seq)
                {
                    let tag = tag_of(&payload);
                    if *self.tags.entry(seq).or_insert(tag) != tag {
                        return Err(std::format!("number {seq} used again for {tag}"));
                    }
                    self.by_hand.push((seq, payload));
                }
            }
            1 | 2 if !self.by_hand.is_empty() => {
                let at = self.rng.below(self.by_hand.len() as u64) as usize;
                let (message, device) = (self.by_hand[at].clone(), self.b.device);
                let taken = self.b.inbox.on_carried(cx!(self.b), &mut self.b.receiving, device, message);
                assert_ne!(taken, Carried::Refused);
                self.b.settle();
                if self.rng.below(2) == 0 {
                    self.by_hand.swap_remove(at);
                }
                self.receipts_by_hand.push(self.b.inbox.durable_runs(self.b.device));
            }
            3 if !self.receipts_by_hand.is_empty() => {
                let at = self.rng.below(self.receipts_by_hand.len() as u64) as usize;
                let runs = self.receipts_by_hand[at].clone();
                self.a.outbox.on_distant_receipt(&mut self.a.sending, &runs);
                self.a.settle();
            }
            _ => {}
        }
        Ok(())
    }

    /// No number ever stands for two messages.
    fn watch(&mut self, packet: &Packet) -> Result<(), std::string::String> {
        for frame in Frames::new(&packet.bytes) {
            if let Ok(Frame::Message { header, data }) = frame
                && header.fragment.is_none_or(|fragment| fragment.symbol == 0)
            {
                let tag = tag_of(data);
                if *self.tags.entry(header.seq).or_insert(tag) != tag {
                    return Err(std::format!("number {} used again for {tag}", header.seq));
                }
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), std::string::String> {
        for at in self.app.read..self.b.delivered.len() {
            let (_, seq, again, bytes) = &self.b.delivered[at];
            let tag = tag_of(bytes);
            assert_eq!(*bytes, payload(tag, bytes.len()));
            if !again && !self.app.fresh.insert(tag) {
                return Err(std::format!("message {tag} came twice as new"));
            }
            if !again && self.app.used.contains(&tag) {
                return Err(std::format!("message {tag} came as new after it was used"));
            }
            self.app.used.insert(tag);
            self.unconfirmed.push(*seq);
        }
        self.app.read = self.b.delivered.len();
        // Whatever the sender was told is delivered must be safe at the receiver now.
        for (tag, outcome) in &self.a.receipts {
            if *outcome == Outcome::Delivered && !self.is_safe(*tag) {
                return Err(std::format!("message {tag} receipted and not on disk"));
            }
        }
        Ok(())
    }

    /// Used by the application, or on the confirmed part of the receiver's disk.
    fn is_safe(&self, tag: u64) -> bool {
        self.app.used.contains(&tag)
            || self.b.disk.iter().take(self.b.durable).any(|record| match record {
                Record::Incoming { payload, .. } => tag_of(payload) == tag,
                _ => false,
            })
    }

    fn crash(&mut self, sender: bool) {
        self.there.clear();
        self.back.clear();
        let lost = self.rng.below(4) as usize * self.rng.below(3) as usize;
        let params = params(&self.a.limits, false);
        let (down, up) = if sender { (&mut self.a, &mut self.b) } else { (&mut self.b, &mut self.a) };
        if !sender {
            self.unconfirmed.clear();
        }
        down.crash(lost);
        down.outbox.connected(params);
        up.peer_restarted();
        up.outbox.connected(params);
    }

    /// No more faults: everything that was accepted comes.
    fn calm(&mut self) -> Result<(), std::string::String> {
        (self.a.quick_disk, self.b.quick_disk) = (true, true);
        for packet in core::mem::take(&mut self.there) {
            self.a.fate(&packet, Fate::Lost);
        }
        for packet in core::mem::take(&mut self.back) {
            self.b.fate(&packet, Fate::Lost);
        }
        for turn in 0..4_000 {
            self.a.settle();
            self.b.settle();
            self.read()?;
            while let Some(seq) = self.unconfirmed.pop() {
                self.b.consume(seq);
            }
            let now = self.a.now + Duration::from_millis(50);
            self.a.wake(now);
            self.b.wake(now);
            let info = clean(200);
            while let Some(packet) = self.a.packet(&info) {
                self.watch(&packet)?;
                let fate = if self.b.receive(&packet.bytes) { Fate::Acked } else { Fate::Lost };
                self.a.fate(&packet, fate);
            }
            while let Some(packet) = self.b.packet(&info) {
                self.a.receive(&packet.bytes);
                self.b.fate(&packet, Fate::Acked);
            }
            if turn > 40 && self.a.sending.used() == (0, 0) && self.b.receiving.used() == (0, 0) {
                break;
            }
        }
        let accepted: Vec<u64> =
            self.a.receipts.iter().filter(|r| r.1 == Outcome::Accepted).map(|r| r.0).collect();
        let missing: Vec<_> = accepted.iter().filter(|tag| !self.app.used.contains(tag)).collect();
        if !missing.is_empty() {
            return Err(std::format!("accepted and never delivered: {missing:?}"));
        }
        if self.a.sending.used() != (0, 0) || self.b.receiving.used() != (0, 0) {
            return Err(std::format!("something stays: {:?} {:?}", self.a.outbox, self.b.inbox));
        }
        // After everything is taken, nothing is shown again, whatever crashes.
        let shown = self.b.delivered.len();
        self.b.crash(0);
        if self.b.delivered.len() != shown {
            return Err("shown again although taken".into());
        }
        Ok(())
    }
}

/// A crash of either side after each step of each run; then a second one later.
#[test]
fn a_crash_between_any_two_steps() {
    for seed in 0..6 {
        for sender in [false, true] {
            for at in 1..220 {
                let mut world = World::new(seed, Zoo::none());
                let story = |world: &mut World| {
                    for _ in 0..at {
                        world.step(12)?;
                    }
                    world.crash(sender);
                    for _ in 0..60 {
                        world.step(14)?;
                    }
                    world.crash(!sender);
                    world.calm()
                };
                story(&mut world)
                    .unwrap_or_else(|why| panic!("seed {seed} sender {sender} crash at {at}: {why}"));
            }
        }
    }
}

fn many_crashes(seed: u64, zoo: Zoo) -> Result<(), std::string::String> {
    let mut world = World::new(seed, zoo);
    for _ in 0..1_500 {
        world.step(100)?;
        if world.rng.below(40) == 0 {
            let sender = world.rng.below(2) == 0;
            world.crash(sender);
        }
    }
    world.calm()
}

#[test]
fn many_crashes_in_a_row() {
    for seed in 0..150 {
        many_crashes(seed, Zoo::none()).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}

/// The planted bugs of durability are found by these very checks.
#[test]
fn planted_bugs_of_durability_are_found() {
    use crate::zoo::{Bug, planted};
    for (bug, words) in [(Bug::AckBeforeStore, "not on disk"), (Bug::SequenceReused, "used again")] {
        let Some(zoo) = planted(bug) else { return };
        let found = (0..40).filter_map(|seed| many_crashes(seed, zoo).err()).any(|why| why.contains(words));
        assert!(found, "{bug:?}");
    }
}

#[test]
fn a_failed_disk_takes_no_durable_messages_and_all_others() {
    let (mut a, mut b) = pair(&Limits::SMALL, false);
    a.quick_disk = false;
    a.push(1, Delivery::Durable, Class::Normal, 20).unwrap();
    a.outbox.on_store_failed(&mut a.sending);
    a.settle();
    assert_eq!(a.receipts, [(1, Outcome::Uncertain)]);
    assert_eq!(a.push(2, Delivery::Durable, Class::Normal, 20), Err(Refused::NoStorage));
    a.push(3, Delivery::Message, Class::Normal, 20).unwrap();
    b.push(4, Delivery::Durable, Class::Normal, 20).unwrap();
    a.inbox.on_store_failed(&mut a.receiving);
    exchange(&mut a, &mut b, &clean(1_000));
    assert_eq!(a.receipts[1..], [(3, Outcome::Delivered)]);
    // Passed over and not refused: the next start of the receiver takes it.
    assert_eq!((a.drops.get(Drop::NoStorage), a.delivered.len()), (1, 0));
    assert_eq!(b.receipts, [(4, Outcome::Accepted)]);
    a.crash(0);
    a.quick_disk = true;
    b.wake(b.now + Duration::from_secs(3_600));
    exchange(&mut a, &mut b, &clean(1_000));
    assert_eq!(b.receipts, [(4, Outcome::Accepted), (4, Outcome::Delivered)]);
    assert_eq!(a.delivered.len(), 1);
}

/// Limits may be made smaller between two starts. What was missing in the wider window is missing still.
#[test]
fn a_narrower_window_after_a_restart_loses_nothing() {
    let limits = Limits { message_window: 256, ..Limits::SMALL };
    let (mut a, mut b) = pair(&limits, false);
    for tag in 0..200 {
        a.push(tag, Delivery::Durable, Class::Normal, 20).unwrap();
    }
    let mut missing = vec![];
    for at in 0.. {
        let Some(packet) = a.packet(&clean(30)) else { break };
        if at == 3 || at == 4 {
            missing.push(packet);
        } else {
            assert!(b.receive(&packet.bytes));
            a.fate(&packet, Fate::Acked);
        }
    }
    let taken: Vec<u64> = b.delivered.iter().map(|(_, seq, ..)| *seq).collect();
    assert_eq!((taken.len(), missing.len()), (198, 2));
    for (at, &seq) in taken.iter().enumerate() {
        // Most are done with, some are shown again.
        if at % 10 > 0 {
            b.consume(seq);
        }
    }
    b.limits.message_window = 64;
    b.crash(0);
    for packet in missing {
        a.fate(&packet, Fate::Lost);
    }
    exchange(&mut a, &mut b, &clean(30));
    let fresh = b.delivered.iter().skip(198).filter(|(_, _, again, _)| !again).count();
    assert_eq!(fresh, 2, "both that were missing");
    let delivered = a.receipts.iter().filter(|(_, outcome)| *outcome == Outcome::Delivered).count();
    assert_eq!(delivered, 200);
}

/// A message whose record may be on the disk is not given up: after a restart it would be sent again, and a
/// peer that was told to expect no such number would sign for it without ever having shown it.
#[test]
fn a_number_is_given_up_when_its_record_is_gone_and_not_before() {
    for disk_fails in [true, false] {
        let (mut a, mut b) = pair(&Limits::SMALL, false);
        a.push(0, Delivery::Durable, Class::Normal, 20).unwrap();
        exchange(&mut a, &mut b, &clean(1_000));
        a.quick_disk = false;
        let second = Some(Duration::from_secs(1));
        a.push_for(1, Delivery::Durable, Class::Normal, 20, second).unwrap();
        if disk_fails {
            a.outbox.on_store_failed(&mut a.sending);
            a.settle();
            assert_eq!(a.receipts.last(), Some(&(1, Outcome::Uncertain)));
        } else {
            while a.confirm() {}
            a.wake(ms(10_000));
            assert_eq!(a.receipts.last(), Some(&(1, Outcome::Expired)));
        }
        exchange(&mut a, &mut b, &clean(1_000));
        assert!(!b.inbox.durable.is_done(1), "nothing says that number 1 will never come");
        // The power fails with the record on the disk and its erasure not; or it is erased.
        let mut records = a.disk.clone();
        if !disk_fails {
            while a.confirm() {}
            exchange(&mut a, &mut b, &clean(1_000));
            assert!(b.inbox.durable.is_done(1), "now it is given up");
            continue;
        }
        records.retain(|record| !matches!(record, Record::Erased { .. }));
        let peer = a.peer;
        a.outbox = Outbox::recover(cx!(a), &mut a.sending, peer, records);
        a.outbox.connected(params(&b.limits, false));
        a.quick_disk = true;
        a.settle();
        exchange(&mut a, &mut b, &clean(1_000));
        assert_eq!(a.receipts.last(), Some(&(1, Outcome::Delivered)));
        assert_eq!(b.delivered.iter().filter(|said| said.1 == 1).count(), 1, "signed for, so shown");
    }
}

/// What is on its way to the disk is signed for when it is there, and neither before, when its sender gives the
/// number up meanwhile or goes on beyond the window, nor does a restart take it for done with.
#[test]
fn what_is_on_its_way_to_the_disk_is_not_signed_for() {
    for (taken, beyond) in [(0, false), (0, true), (1, false), (1, true)] {
        let (mut a, mut b) = pair(&Limits { message_window: 64, ..Limits::SMALL }, false);
        let mut sent = vec![];
        for tag in 0..=taken {
            a.push(tag, Delivery::Durable, Class::Normal, 20).unwrap();
            b.quick_disk = tag < taken;
            sent = a.packet(&clean(1_000)).unwrap().bytes;
            assert!(b.receive(&sent));
        }
        // Another who counts as the first one does has come to number 1,024: a copy of it that was restarted.
        let peer = a.peer;
        let reserved = Record::Sequence { peer, reserved: 1_024 };
        a.outbox = Outbox::recover(cx!(a), &mut a.sending, peer, [reserved]);
        a.outbox.connected(params(&b.limits, false));
        if beyond {
            a.push(2, Delivery::Durable, Class::Normal, 20).unwrap();
        }
        carry_one_way(&mut a, &mut b);
        // The first one asks.
        assert!(b.receive(&sent));
        let receipt = b.packet(&clean(1_000)).unwrap();
        assert_eq!((floor_of(&receipt), b.inbox.unstored_promise()), (Some(taken), None), "beyond {beyond}");
        // A message before it is taken; its window does not speak of this one.
        (0..taken).for_each(|seq| b.consume(seq));
        while b.confirm() {}
        b.settle();
        let receipt = b.packet(&clean(1_000)).unwrap();
        assert_eq!(
            floor_of(&receipt),
            Some(1_024 + u64::from(beyond)),
            "beyond {beyond}: all is on the disk"
        );
        b.crash(0);
        let again: Vec<_> = b.delivered.iter().filter(|said| said.2).map(|said| said.1).collect();
        assert_eq!(again.first(), Some(&taken), "beyond {beyond}: shown and not taken");
    }
}

/// A disk that fails has not kept it, and nothing that its sender gives up later says otherwise.
#[test]
fn what_a_failed_disk_has_lost_is_not_signed_for() {
    let (mut a, mut b) = pair(&Limits::SMALL, false);
    a.push(0, Delivery::Durable, Class::Normal, 20).unwrap();
    b.quick_disk = false;
    let sent = a.packet(&clean(1_000)).unwrap().bytes;
    b.receive(&sent);
    for _ in 0..2 {
        b.inbox.on_store_failed(&mut b.receiving);
    }
    b.slots.clear();
    let mut twin = End::new(Limits::SMALL, 1);
    let (peer, limits) = (a.peer, Limits::SMALL);
    let reserved = Record::Sequence { peer, reserved: 1_024 };
    twin.outbox = Outbox::recover(cx!(twin), &mut twin.sending, peer, [reserved]);
    twin.outbox.connected(params(&limits, false));
    carry_one_way(&mut twin, &mut b);
    b.receive(&sent);
    assert_eq!(b.packet(&clean(1_000)).as_ref().and_then(floor_of), Some(0));
}

/// What `a` has to say arrives.
fn carry_one_way(a: &mut End, b: &mut End) {
    while let Some(packet) = a.packet(&clean(1_000)) {
        b.receive(&packet.bytes);
        a.fate(&packet, Fate::Acked);
    }
}

fn floor_of(packet: &Packet) -> Option<u64> {
    Frames::new(&packet.bytes).find_map(|frame| match frame {
        Ok(Frame::Receipt(receipt)) => Some(receipt.floor),
        _ => None,
    })
}

#[test]
fn one_window_covers_many_messages() {
    let (mut a, mut b) = pair(&Limits::SMALL, false);
    for tag in 0..100 {
        a.push(tag, Delivery::Durable, Class::Normal, 20).unwrap();
    }
    exchange(&mut a, &mut b, &clean(1_000));
    b.quick_disk = false;
    for seq in 0..100 {
        b.consume(seq);
    }
    b.quick_disk = true;
    b.settle();
    let windows = b.disk.iter().filter(|record| matches!(record, Record::Window { .. })).count();
    assert_eq!(windows, 2, "the first for one message, the second for the other 99");
}
