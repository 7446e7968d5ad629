use alloc::vec::Vec;

use super::super::sent::{Judge, News, SentLog};
use super::*;
use crate::rng::Rng;

const WAIT: Duration = Duration::from_millis(100);

/// A path that loses some packets by chance, and all that are larger than `mtu`.
struct World {
    size: PacketSize,
    rng: Rng,
    now: Instant,
    number: u64,
    mtu: u32,
    /// What the peer takes.
    most: u32,
    loss_ppm: u32,
    shrunk: u32,
}

impl World {
    fn new(told: u32, mtu: u32, loss_ppm: u32) -> World {
        let rng = Rng::fork(&[7; 32], "size");
        World {
            size: PacketSize::new(told),
            rng,
            now: Instant::ZERO,
            number: 0,
            mtu,
            most: u32::MAX,
            loss_ppm,
            shrunk: 0,
        }
    }

    fn lot(&mut self, below: u32) -> u32 {
        let mut bytes = [0; 4];
        self.rng.fill(&mut bytes);
        ((u64::from(u32::from_le_bytes(bytes)) * u64::from(below)) >> 32) as u32
    }

    fn ask(&mut self, bytes: u32) {
        self.size.on_asked(self.now, self.most, WAIT, self.loss_ppm);
        self.send(bytes);
    }

    fn send(&mut self, bytes: u32) {
        self.size.on_sent(self.now, self.number + 1, bytes, WAIT);
        let lost = bytes > self.mtu || self.lot(1_000_000) < self.loss_ppm;
        self.settle(bytes, lost);
    }

    fn settle(&mut self, bytes: u32, lost: bool) {
        self.number += 1;
        if lost {
            self.shrunk += u32::from(self.size.lost(self.now, self.number, bytes, WAIT));
        } else {
            self.size.answered(self.now, self.number, bytes);
            self.size.acked(self.number, bytes);
        }
        self.size.check();
    }

    /// A second in which a full packet, and a small one in every twenty, leaves each millisecond; and every
    /// question that is due.
    fn second(&mut self) {
        for at in 0..1_000 {
            self.millisecond();
            if at % 20 == 0 {
                self.send(32);
            }
        }
    }

    fn millisecond(&mut self) {
        self.now += Duration::from_millis(1);
        self.size.on_timeout(self.now);
        while let Some(bytes) = self.size.question(self.now, self.most) {
            self.ask(bytes);
        }
        if self.size.holds_until().is_none() {
            self.send(self.size.limit().min(self.most));
        }
    }
}

#[test]
fn what_fits_is_found_within_a_sixteenth() {
    for loss_ppm in [0, 10_000, 200_000, 500_000] {
        for (told, mtu) in [
            (1_400, 1_399),
            (1_400, 1_280),
            (1_400, 700),
            (1_400, 70),
            (65_507, 1_472),
            (9_000, 64),
            (65_507, 8_000),
        ] {
            let mut world = World::new(told, mtu, loss_ppm);
            for _ in 0..if loss_ppm < 500_000 { 8 } else { 30 } {
                world.second();
            }
            let found = world.size.limit();
            assert_eq!(world.shrunk, 1, "{told} {mtu} at {loss_ppm}: doubted once");
            assert!(found <= mtu, "{told} {mtu} at {loss_ppm}: {found} is too large");
            assert!(found + (found / 16).max(8) >= mtu, "{told} {mtu} at {loss_ppm}: {found} is too small");
        }
    }
}

/// The time that nothing but small packets gets through: a few round trips.
#[test]
fn a_hole_is_noticed_soon() {
    let mut world = World::new(1_400, 600, 0);
    let mut lost = 0;
    for _ in 0..200 {
        for _ in 0..3 {
            lost += u32::from(world.shrunk == 0);
            world.send(1_400);
        }
        world.send(32);
    }
    assert_eq!(world.shrunk, 1);
    assert!((12..40).contains(&lost), "{lost} large packets");
}

#[test]
fn one_large_message_that_is_sent_again_and_again_is_evidence() {
    let mut world = World::new(1_400, 600, 0);
    let mut sent = 0;
    while world.shrunk == 0 {
        world.send(1_400);
        world.send(32);
        sent += 1;
        assert!(sent < 30, "a message on its own");
    }
}

#[test]
fn chance_is_not_taken_for_a_hole() {
    for loss_ppm in [1_000, 50_000, 200_000, 500_000, 900_000, 970_000] {
        let mut world = World::new(1_400, u32::MAX, loss_ppm);
        for _ in 0..500_000 {
            let bytes = match world.lot(10) {
                0..3 => 1_400,
                3..6 => 40,
                _ => 40 + world.lot(1_360),
            };
            world.send(bytes);
        }
        assert_eq!((world.shrunk, world.size.limit()), (0, 1_400), "at {loss_ppm}");
    }
}

/// Losses that come in bursts (Gilbert and Elliott's model), of a tenth of the packets.
#[test]
fn bursts_are_not_taken_for_a_hole() {
    for length in [3, 10, 100, 1_000] {
        let mut world = World::new(1_400, u32::MAX, 0);
        let mut bad = false;
        for _ in 0..500_000 {
            bad = if bad { world.lot(length) > 0 } else { world.lot(9 * length) == 0 };
            let bytes = if world.lot(10) == 0 { 40 } else { 1_400 };
            world.settle(bytes, bad);
        }
        assert_eq!((world.shrunk, world.size.limit()), (0, 1_400), "bursts of {length}");
    }
}

#[test]
fn the_full_size_comes_back_when_it_passes_again() {
    let mut world = World::new(1_400, 500, 10_000);
    for _ in 0..5 {
        world.second();
    }
    assert!(world.size.limit() <= 500);
    world.mtu = 1_400;
    for _ in 0..10 {
        world.second();
    }
    assert_eq!(world.size.limit(), 1_400);
}

/// Every ten seconds at first, every ten minutes in the end.
#[test]
fn a_size_that_never_passes_is_tried_ever_more_seldom() {
    let mut world = World::new(1_400, 500, 0);
    for _ in 0..60 {
        world.second();
    }
    let mut asked = [0; 2];
    for second in 0..7_200 {
        world.now += Duration::from_secs(1);
        world.size.on_timeout(world.now);
        while let Some(bytes) = world.size.question(world.now, world.most) {
            asked[second / 3_600] += 1;
            world.ask(bytes);
        }
        world.send(world.size.limit());
    }
    // The full size and five more, each three times, and in the end six times an hour.
    assert!((18..=7 * 18).contains(&asked[1]) && asked[0] <= 14 * 18, "{asked:?} questions an hour");
}

#[test]
fn it_falls_again_when_less_passes_than_was_found() {
    let mut world = World::new(1_400, 1_000, 0);
    for _ in 0..3 {
        world.second();
    }
    let before = world.size.limit();
    world.mtu = 300;
    for _ in 0..3 {
        world.second();
    }
    assert!((930..=1_000).contains(&before) && (280..=300).contains(&world.size.limit()));
}

/// What was sent before the path was doubted, and is acknowledged late, ends the doubt.
#[test]
fn a_late_answer_counts() {
    let mut world = World::new(1_400, 500, 0);
    world.second();
    assert!(world.size.limit() <= 500);
    world.size.answered(world.now, 1, 1_400);
    assert_eq!(world.size.limit(), 1_400);
    assert_eq!(world.size.question(world.now + Duration::from_secs(60), world.most), None);
}

/// One empty packet for the large ones that were lost since the last: a path that nobody uses is not asked.
#[test]
fn an_empty_packet_is_sent_when_only_large_ones_are_lost() {
    let mut world = World::new(1_400, 600, 0);
    for lost in 0..40 {
        assert_eq!(
            world.size.question(world.now, world.most),
            (lost >= MANY_LOST).then_some(EMPTY),
            "{lost} lost"
        );
        world.send(1_400);
    }
    world.send(EMPTY);
    for _ in 0..100 {
        world.now += WAIT;
        assert_eq!(world.size.question(world.now, world.most), None);
    }
    world.send(1_400);
    assert_eq!(world.size.question(world.now, world.most), Some(EMPTY));
}

/// What looked impossible for a while and turned out to be chance is forgiven: 70 in a row of a path that loses
/// 96 of 100 are nothing, however the first few fell.
#[test]
fn what_looked_impossible_may_still_have_been_chance() {
    let mut doubt = Doubt::new(0, 1_400);
    for number in 1..2_000 {
        doubt.lost(number, 1_400);
        assert!(number % 100 > 0 || doubt.acked(number, 32));
    }
    assert!(doubt.chance.power_of_two() < -60, "{doubt:?}");
    for number in 2_000..400_000 {
        doubt.lost(number, 32);
    }
    assert!(doubt.chance.power_of_two() >= -1, "{doubt:?}");
}

#[test]
fn ratios_are_exact_enough() {
    let mut ratio = Ratio::EVEN;
    for _ in 0..100 {
        ratio.scale(1, 3);
    }
    // 3^-100 = 2^-158.5
    assert_eq!(ratio.power_of_two(), -159);
    for _ in 0..100 {
        ratio.scale(3, 1);
    }
    let one = ratio.mantissa >> (-63 - ratio.exponent);
    assert!(one.abs_diff(1 << 63) < 1 << 16, "{ratio:?}");
    ratio.scale(u64::MAX, 1);
    ratio.scale(1, u64::MAX);
    assert!((-1..=0).contains(&ratio.power_of_two()), "{ratio:?}");
}

/// A peer may take less than the link: then its own size is the end of the search, and nothing is asked in vain.
#[test]
fn a_peer_that_takes_less_than_the_link_ends_the_search() {
    for most in [600, 1_200] {
        let mut world = World::new(1_400, 300, 0);
        world.most = most;
        for _ in 0..3 {
            world.second();
        }
        assert!(world.size.limit() <= 300);
        world.mtu = 1_400;
        for _ in 0..30 {
            world.second();
        }
        assert_eq!(world.size.limit(), most);
        world.now += Duration::from_secs(3_600);
        assert_eq!(world.size.question(world.now, world.most), None);
    }
}

/// The largest that passes and the smallest that does not may be neighbours. After each rest everything larger is
/// tried once more, and the questions take a sixteenth of the time at most.
#[test]
fn sizes_that_differ_by_one_byte_are_no_end() {
    for (fails, limit) in [(601, 600), (66, 65), (65, 64)] {
        let doubt = Doubt::new(7, fails);
        let mut search = Search::new(Instant::ZERO, WAIT, &doubt, limit);
        assert_eq!((search.salvo.is_none(), search.size(limit, 1_400)), (true, 1_400));
        assert_eq!(search.next, Instant::ZERO + FIRST_RAISE);
        let (mut asked, began) = (0, search.next);
        while search.first != Some(FULL) || asked == 0 {
            for _ in 0..TRIES.0 {
                assert!(search.size(limit, 1_400) > limit);
                search.asked(search.next, WAIT, TRIES.0, (limit, 1_400));
                asked += 1;
            }
            assert!(asked < 50, "no end");
        }
        let (took, rest) = (times(WAIT, asked), times(FIRST_RAISE, 2).max(times(WAIT, asked * REST_PART)));
        assert_eq!((search.size(limit, 1_400), search.next), (1_400, began + took + rest));
    }
}

/// A narrow place that opens to one that is less narrow, and not to the full size.
#[test]
fn what_passes_later_is_found_below_the_full_size() {
    for loss_ppm in [0, 200_000, 500_000] {
        let mut world = World::new(1_400, 100, loss_ppm);
        for _ in 0..10 {
            world.second();
        }
        assert!(world.size.limit() <= 100);
        world.mtu = 1_392;
        for _ in 0..240 {
            world.second();
        }
        let found = world.size.limit();
        assert!((1_310..=1_392).contains(&found), "{found} at {loss_ppm}");
    }
}

/// The peer has gone elsewhere: what passes there is found at once, however long the rest would have been.
#[test]
fn a_new_address_is_asked_at_once() {
    let mut world = World::new(1_400, 500, 0);
    for _ in 0..300 {
        world.second();
    }
    assert_eq!(world.size.question(world.now, world.most), None);
    world.size.on_moved();
    assert_eq!(world.size.question(world.now, world.most), Some(1_400));
    // In the middle of the halves as well, and of the salvo: what went to the old address says nothing.
    for ms in [100, 300, 700] {
        let mut world = World::new(1_400, 500, 0);
        while world.shrunk == 0 {
            world.send(1_400);
            world.send(32);
        }
        for _ in 0..ms {
            world.millisecond();
        }
        world.size.on_moved();
        world.mtu = 1_400;
        for _ in 0..300 {
            world.millisecond();
        }
        assert_eq!(world.size.limit(), 1_400, "moved after {ms} ms");
    }
}

/// A hole, and a path that loses half of what is small enough as well.
#[test]
fn a_hole_is_noticed_among_losses_of_all_sizes() {
    for (mtu, loss_ppm) in [(1_300, 500_000), (1_300, 800_000), (600, 200_000), (600, 500_000)] {
        let mut world = World::new(1_400, mtu, loss_ppm);
        let mut sent = 0;
        while world.shrunk == 0 {
            sent += 1;
            assert!(sent < 6_000, "{mtu} at {loss_ppm}");
            let bytes = [1_400, 700, 700, 40][world.lot(4) as usize];
            world.send(bytes);
        }
        assert!(world.size.limit() <= mtu);
    }
}

/// Little that is large among much that is small, and is lost by chance as well.
#[test]
fn a_hole_is_noticed_by_large_packets_that_are_rare() {
    for (loss_ppm, most) in [(0, 20), (100_000, 40), (500_000, 100), (900_000, 500)] {
        let mut world = World::new(1_400, 600, loss_ppm);
        let mut large = 0;
        while world.shrunk == 0 {
            large += 1;
            assert!(large < most, "{large} at {loss_ppm}");
            world.send(1_400);
            for _ in 0..500 {
                world.send(40);
            }
        }
    }
}

/// However long a burst is that takes large packets only, and however much passes after it, it proves nothing.
#[test]
fn one_burst_is_no_proof() {
    for (lost, turns) in [(40, 1), (1_000, 1), (1_000, 3)] {
        let mut world = World::new(1_400, u32::MAX, 0);
        for _ in 0..turns {
            for _ in 0..lost {
                world.settle(1_400, true);
            }
            for _ in 0..10_000 {
                world.settle(32, false);
            }
        }
        assert_eq!(world.shrunk, 0, "{turns} of {lost}");
    }
}

/// Nothing arrives for a while; then somebody says little, and something large now and then.
#[test]
fn an_outage_is_not_taken_for_a_hole() {
    for loss_ppm in [100_000, 300_000, 500_000, 900_000] {
        let mut world = World::new(1_400, u32::MAX, loss_ppm);
        for _ in 0..300 {
            for _ in 0..1_000 {
                world.settle(1_400, true);
            }
            for at in 0..1_000 {
                world.send(if at % 20 == 0 { 1_400 } else { 40 });
            }
        }
        assert_eq!((world.shrunk, world.size.limit()), (0, 1_400), "at {loss_ppm}");
    }
}

/// One large packet is lost, and for long nothing large is sent; then the path begins to lose much.
#[test]
fn the_quiet_before_a_storm_is_no_proof() {
    for loss_ppm in [300_000, 600_000, 800_000, 900_000] {
        for seed in 0..200 {
            let mut world = World::new(1_400, u32::MAX, 0);
            world.rng = Rng::fork(&[seed; 32], "quiet");
            world.settle(1_400, true);
            for _ in 0..6_000 {
                world.send(40);
            }
            world.loss_ppm = loss_ppm;
            for at in 0..2_000 {
                world.send(if at % 10 == 0 { 1_400 } else { 40 });
            }
            assert_eq!(world.shrunk, 0, "at {loss_ppm}, seed {seed}");
        }
    }
}

/// An answer that came soon shows that the others do not take as long as was feared.
#[test]
fn messages_wait_for_what_may_have_been_overtaken_and_no_longer() {
    let doubt = Doubt::new(7, 1_400);
    let (mut size, wait) = (PacketSize::new(1_400), Duration::from_secs(10));
    size.limit = 64;
    let search = Some(Search::new(Instant::ZERO, wait, &doubt, 64));
    size.trouble = Some(Box::new(Trouble { doubt: None, search }));
    let (mut now, mut number) = (Instant::ZERO, 20);
    while let Some(bytes) = size.question(now, 1_400) {
        assert!(bytes < 1_400);
        size.on_asked(now, 1_400, wait, 0);
        size.on_sent(now, number, bytes, wait);
        number += 1;
        now += Duration::from_millis(1);
    }
    let holds = size.holds_until();
    assert!(holds > Some(Instant::ZERO + wait));
    now += Duration::from_millis(3);
    // It left before the questions.
    size.answered(now, 19, 700);
    assert_eq!((size.limit(), size.holds_until()), (700, holds));
    now += Duration::from_millis(76);
    size.answered(now, 21, 1_232);
    assert_eq!(size.holds_until(), Some(now + Duration::from_millis(10)));
}

/// The way is dead for an hour while it is being asked, and nothing is sent: that was no question.
#[test]
fn a_rest_is_no_longer_than_the_questions_ask_for() {
    let mut search = Search::new(Instant::ZERO, WAIT, &Doubt::new(7, 601), 600);
    let mut now = search.next;
    search.asked(now, WAIT, TRIES.0, (600, 1_400));
    now += Duration::from_secs(3_600);
    while search.next <= now {
        search.asked(now.max(search.next), WAIT, TRIES.0, (600, 1_400));
        now = now.max(search.next.min(now + WAIT));
    }
    assert!(search.next <= now + LONGEST_RAISE);
    assert!(search.next <= now + times(FIRST_RAISE, 4), "{:?} after {now:?}", search.next);
    // However long an answer takes, it is ten minutes at most.
    let mut search = Search::new(Instant::ZERO, WAIT, &Doubt::new(7, 601), 600);
    let (mut now, slow) = (search.next, Duration::from_secs(60));
    while search.next <= now {
        search.asked(now, slow, TRIES.0, (600, 1_400));
        now += slow;
    }
    assert!(search.next <= now + LONGEST_RAISE);
}

/// Most acknowledgements are lost, so that one that comes through tells of hundreds of packets at once.
#[test]
fn acknowledgements_of_many_packets_are_read_in_the_order_of_sending() {
    for (there_ppm, back_ppm) in [(700_000, 900_000), (900_000, 900_000), (500_000, 500_000)] {
        for seed in 0..20 {
            let mut world = World::new(1_400, u32::MAX, there_ppm);
            world.rng = Rng::fork(&[seed; 32], "batches");
            let mut log = SentLog::new();
            let mut arrived: Vec<u64> = Vec::new();
            for ms in 0..60_000 {
                world.now += Duration::from_millis(1);
                // A bulk of a thousand large ones now and then, and little in between.
                let bulk = ms % 12_000 < 1_000;
                let bytes = if bulk || ms % 1_000 == 500 { 1_400 } else { 40 };
                if bulk || ms % 20 == 0 {
                    log.push(world.now, ms, bytes, true, &[], 4_096);
                    world.size.on_sent(world.now, ms, bytes, WAIT);
                    if world.lot(1_000_000) >= there_ppm {
                        arrived.push(ms);
                    }
                }
                if ms % 25 == 0 && world.lot(1_000_000) >= back_ppm {
                    let tail = arrived.len().saturating_sub(200);
                    acknowledge(&mut log, &mut world, &arrived[tail..]);
                }
                assert_eq!(world.size.limit(), 1_400, "{there_ppm} {back_ppm} {seed}: after {ms} ms");
            }
        }
    }
}

/// An acknowledgement tells of arrivals, and only they show what was lost: what was sent first is weighed first.
#[test]
fn a_large_one_sent_later_that_arrived_leaves_no_doubt() {
    let (mut world, mut log) = (World::new(1_400, u32::MAX, 0), SentLog::new());
    for number in 1..=6 {
        log.push(world.now, number, if number < 4 { 1_400 } else { 40 }, true, &[], 4_096);
    }
    acknowledge(&mut log, &mut world, &[5, 6]);
    let doubt = |world: &World| world.size.trouble.as_ref().and_then(|trouble| trouble.doubt);
    assert_eq!(
        doubt(&world).map(|doubt| (doubt.first, doubt.large_lost, doubt.small_acked)),
        Some((1, 3, 0))
    );
    world.now += times(WAIT, 2);
    acknowledge(&mut log, &mut world, &[2, 6]);
    assert!(doubt(&world).is_none(), "{:?}", world.size);
    let mut log = SentLog::new();
    for number in 1..=6 {
        log.push(world.now, number, if number < 4 { 1_400 } else { 40 }, true, &[], 4_096);
    }
    acknowledge(&mut log, &mut world, &[2, 5, 6]);
    assert_eq!(doubt(&world).map(|doubt| doubt.first), Some(3), "{:?}", world.size);
}

/// Nothing but large packets is sent, and what becomes of them shows by the empty ones between them alone.
#[test]
fn a_hole_is_noticed_by_the_empty_packets_between_large_ones() {
    for (there_ppm, back_ppm, most_ms) in [(0, 0, 500), (300_000, 400_000, 1_500), (900_000, 500_000, 30_000)]
    {
        let mut world = World::new(1_400, 600, there_ppm);
        let (mut log, mut arrived, mut number) = (SentLog::new(), Vec::new(), 0);
        let mut ms = 0;
        while world.size.limit() == 1_400 {
            ms += 1;
            assert!(ms < most_ms, "{there_ppm} {back_ppm}");
            world.now += Duration::from_millis(1);
            // Until something is known to be lost a timer asks.
            let question = world.size.question(world.now, world.most);
            let empty = question.or((ms % 100 == 0).then_some(EMPTY));
            for bytes in [Some(1_400), empty].into_iter().flatten() {
                number += 1;
                log.push(world.now, number, bytes, true, &[], 4_096);
                world.size.on_sent(world.now, number, bytes, WAIT);
                if bytes <= world.mtu && world.lot(1_000_000) >= there_ppm {
                    arrived.push(number);
                    if world.lot(1_000_000) >= back_ppm {
                        acknowledge(&mut log, &mut world, &arrived);
                    }
                }
            }
        }
    }
}

/// What one acknowledgement says, the highest range first.
fn acknowledge(log: &mut SentLog, world: &mut World, arrived: &[u64]) {
    let (now, news) = (world.now, News::default());
    let mut judge = Judge { now, wait: WAIT, epoch: 0, size: &mut world.size, too_large: false, news };
    for number in arrived.iter().rev() {
        log.on_range((*number, *number), &mut judge, &mut |_, _| {});
    }
    log.detect_lost(WAIT, &mut judge, &mut |_, _| {});
}
