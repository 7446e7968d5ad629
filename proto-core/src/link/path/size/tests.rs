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
        self.size.on_sent(self.now, bytes, WAIT);
        let lost = bytes > self.mtu || self.lot(1_000_000) < self.loss_ppm;
        self.settle(bytes, lost);
    }

    fn settle(&mut self, bytes: u32, lost: bool) {
        self.number += 1;
        if lost {
            self.shrunk += u32::from(self.size.lost(self.now, self.number, bytes, WAIT));
        } else {
            self.size.acked(self.now, self.number, bytes);
        }
        self.size.check();
    }

    /// A second in which a full packet, and a small one in every twenty, leaves each millisecond; and every
    /// question that is due.
    fn second(&mut self) {
        for at in 0..1_000 {
            self.now += Duration::from_millis(1);
            self.size.on_timeout(self.now);
            while let Some(bytes) = self.size.question(self.now, self.most) {
                self.ask(bytes);
            }
            if self.size.holds_until().is_none() {
                self.send(self.size.limit().min(self.most));
            }
            if at % 20 == 0 {
                self.send(32);
            }
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
    let mut asked = 0;
    for _ in 0..7_200 {
        world.now += Duration::from_secs(1);
        world.size.on_timeout(world.now);
        while let Some(bytes) = world.size.question(world.now, world.most) {
            asked += 1;
            world.ask(bytes);
        }
        world.send(world.size.limit());
    }
    assert!((30..100).contains(&asked), "{asked} questions in two hours");
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
    world.size.acked(world.now, 1, 1_400);
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
    assert!(doubt.chance.power_of_two() < -100, "{doubt:?}");
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

/// The largest that passes and the smallest that does not may be neighbours.
#[test]
fn sizes_that_differ_by_one_byte_are_no_end() {
    for (fails, limit) in [(601, 600), (66, 65), (65, 64)] {
        let mut search = Search::new(Instant::ZERO, WAIT, fails, limit);
        assert_eq!((search.salvo.is_none(), search.size(limit, 1_400)), (true, 1_400));
        assert_eq!(search.next, Instant::ZERO + FIRST_RAISE);
        for _ in 0..TRIES.0 {
            search.asked(search.next, WAIT, TRIES.0, (limit, 1_400));
        }
        assert_eq!((search.fails, search.size(limit, 1_400)), (fails, 1_400), "the halves are known");
    }
}
