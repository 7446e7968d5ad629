//! Single steps.

use std::vec;
use std::vec::Vec;

use super::world::link;
use crate::codec::Writer;
use crate::ids::PathId;
use crate::limits::Limits;
use crate::link::frame::{AckFrame, Frame, Frames, write_ack};
use crate::link::path::{Fate, LATEST, Path, Piece, UnsentAcked, times};
use crate::time::{Duration, Instant};
use crate::wake::{Reason, Wake};

pub(super) fn at(us: u64) -> Instant {
    Instant::from_micros(us)
}

fn path() -> Path {
    Path::new(&link(None, 1_200, 25), &Limits::SERVER, at(0))
}

fn with_ack<T>(ranges: &[(u64, u64)], take: impl FnOnce(&AckFrame<'_>) -> T) -> T {
    let mut buf = vec![0; 4_000];
    let mut writer = Writer::new(&mut buf);
    write_ack(&mut writer, PathId(0), 0, ranges.iter().copied()).unwrap();
    let Some(Ok(Frame::Ack(ack))) = Frames::new(writer.written()).next() else { panic!() };
    take(&ack)
}

pub(super) fn acked(path: &mut Path, now: u64, ranges: &[(u64, u64)]) -> Vec<(u32, Fate)> {
    let mut fates = vec![];
    let result = with_ack(ranges, |ack| {
        path.on_ack(at(now), ack, &mut |piece, fate| fates.push((handle(piece), fate)))
    });
    result.unwrap();
    path.check();
    fates
}

fn handle(piece: Piece) -> u32 {
    match piece {
        Piece::Message { handle, .. } => handle,
        other => panic!("{other:?}"),
    }
}

pub(super) fn send(path: &mut Path, now: u64, number: u64) {
    let pieces = [Piece::Message { handle: number as u32, cut: 0, symbol: 0 }];
    path.on_sent(at(now), number, 1_200, true, &pieces);
    path.check();
}

#[test]
fn three_newer_packets_make_an_older_one_lost() {
    let mut path = path();
    for number in 0..5 {
        send(&mut path, number * 100, number);
    }
    assert_eq!(acked(&mut path, 50_000, &[(1, 2)]), [(1, Fate::Acked), (2, Fate::Acked)]);
    assert_eq!(acked(&mut path, 50_100, &[(1, 3)]), [(3, Fate::Acked), (0, Fate::Lost)]);
    assert_eq!(acked(&mut path, 50_200, &[(0, 3)]), [(0, Fate::Late)], "it was only late");
    assert_eq!(acked(&mut path, 50_300, &[(0, 4)]), [(4, Fate::Acked)]);
    assert_eq!(path.in_flight_bytes(), 0);
}

#[test]
fn an_overtaken_packet_is_lost_after_nine_eighths_of_a_round_trip() {
    let mut path = path();
    send(&mut path, 0, 0);
    send(&mut path, 0, 1);
    assert_eq!(acked(&mut path, 80_000, &[(1, 1)]), [(1, Fate::Acked)]);
    assert_eq!(path.next_wake(), Wake::At(at(90_000), Reason::LossDetection));
    let mut fates = vec![];
    path.on_timeout(at(89_999), &mut |piece, fate| fates.push((handle(piece), fate)));
    assert!(fates.is_empty());
    path.on_timeout(at(90_000), &mut |piece, fate| fates.push((handle(piece), fate)));
    assert_eq!(fates, [(0, Fate::Lost)]);
}

#[test]
fn without_any_answer_contents_are_sent_again_and_a_late_answer_counts() {
    let mut path = path();
    send(&mut path, 0, 0);
    let due = at(3 * 50_000 + 12_500); // three assumed round trips and an ack delay
    let mut fates = vec![];
    path.on_timeout(at(due.as_micros() - 1), &mut |piece, fate| fates.push((handle(piece), fate)));
    assert!(fates.is_empty());
    path.on_timeout(due, &mut |piece, fate| fates.push((handle(piece), fate)));
    assert_eq!(fates, [(0, Fate::Lost)]);
    assert_eq!(path.loss_ppm(), 0, "silence is not a loss rate");
    assert_eq!(acked(&mut path, due.as_micros() + 1, &[(0, 0)]), [(0, Fate::Late)]);
}

/// What was lost on the way to an address that was left says nothing of the way to the new one, and neither does what
/// arrived there.
#[test]
fn a_new_address_does_not_inherit_the_losses_of_the_old_one() {
    for moved in [true, false] {
        let mut path = path();
        for number in 0..100 {
            send(&mut path, number * 100, number);
        }
        acked(&mut path, 50_000, &[(0, 99)]);
        let before = path.loss.ppm();
        for number in 100..1_000 {
            send(&mut path, 60_000 + number * 100, number);
        }
        if moved {
            path.on_moved();
        }
        send(&mut path, 170_000, 1_000);
        acked(&mut path, 220_000, &[(1_000, 1_000)]);
        let lost = path.loss.ppm();
        assert!(if moved { lost <= before } else { lost > 800_000 }, "{before} and {lost}, moved: {moved}");
        // One that counted for neither does not count when it arrives late.
        acked(&mut path, 230_000, &[(999, 1_000)]);
        assert_eq!(path.loss.ppm() == lost, moved, "{lost} and {}", path.loss.ppm());
    }
}

#[test]
fn an_acknowledgement_of_an_unsent_packet_changes_nothing() {
    let mut path = path();
    send(&mut path, 0, 0);
    let result = with_ack(&[(0, 1)], |ack| path.on_ack(at(1), ack, &mut |_, _| panic!()));
    assert_eq!(result, Err(UnsentAcked));
    assert_eq!(path.largest_acked(), None);
}

#[test]
fn every_second_packet_is_acknowledged_and_a_gap_at_once() {
    let mut path = path();
    let ack = |path: &mut Path, now: u64| {
        let mut buf = [0; 100];
        let mut writer = Writer::new(&mut buf);
        path.write_ack(at(now), PathId(2), &mut writer).unwrap();
        path.check();
        let Some(Ok(Frame::Ack(ack))) = Frames::new(writer.written()).next() else { panic!() };
        (ack.path.0, ack.delay_us, ack.ranges().collect::<Vec<_>>())
    };
    path.on_received(at(0), 10, true);
    assert!(!path.ack_due(at(0)) && path.ack_pending());
    assert_eq!(path.next_wake(), Wake::At(at(12_500), Reason::AckDelay), "a quarter round trip");
    path.on_received(at(160), 11, true);
    assert!(path.ack_due(at(160)));
    assert_eq!(ack(&mut path, 240), (2, 80, vec![(10, 11)]));
    assert!(!path.ack_pending());
    path.on_received(at(50_000), 13, true);
    assert!(path.ack_due(at(50_000)), "12 is missing");
    assert_eq!(ack(&mut path, 50_000), (2, 0, vec![(13, 13), (10, 11)]));
    path.on_received(at(50_100), 15, true);
    assert!(!path.ack_due(at(50_100)), "not twice within a sixteenth of a round trip");
    path.on_ack_acked(13);
    assert_eq!(ack(&mut path, 60_000), (2, 9_896, vec![(15, 15)]));
    path.on_received(at(70_000), 16, false);
    assert!(!path.ack_pending(), "nobody waits for this one");
}

/// A path over which nine of ten packets are lost, both ways, as it knows from the peer's packets.
fn lossy_path() -> (Path, u64) {
    let mut path = path();
    let mut number = 0;
    for _ in 0..200 {
        number += 10;
        path.on_received(at(number * 100_000), number, false);
    }
    (path, number)
}

fn say_ack(path: &mut Path, now: u64) -> Vec<(u64, u64)> {
    let mut buf = [0; 1_000];
    let mut writer = Writer::new(&mut buf);
    path.write_ack(at(now), PathId(2), &mut writer).unwrap();
    path.check();
    let Some(Ok(Frame::Ack(ack))) = Frames::new(writer.written()).next() else { panic!() };
    ack.ranges().collect()
}

#[test]
fn what_comes_alone_where_most_is_lost_is_acknowledged_ten_times_at_once() {
    let (mut path, number) = lossy_path();
    let start = (number + 10) * 100_000;
    path.on_received(at(start), number + 10, true);
    let (mut now, mut acks) = (start, 0);
    while path.ack_pending() {
        while !path.ack_due(at(now)) {
            now += 1;
        }
        say_ack(&mut path, now);
        acks += 1;
        if acks == 5 {
            path.on_received(at(now), number + 11, true);
        }
    }
    assert_eq!(acks, 10, "one that comes meanwhile begins no burst of its own");
    let quarter = path.rtt().as_micros() / 4;
    assert!((quarter / 2..=quarter).contains(&(now - start)), "{} of {quarter}", now - start);
}

#[test]
fn where_most_is_lost_nobody_is_asked_to_confirm_what_was_said_in_bursts() {
    let (mut path, mut number) = lossy_path();
    for n in 1..=30 {
        number += 10;
        let now = 1_000_000_000 + n * 1_000_000;
        path.on_received(at(now), number, true);
        assert!(!path.wants_probe(), "asked after {n}");
        assert!(say_ack(&mut path, now).len() <= 9);
        while path.ack_pending() {
            say_ack(&mut path, now + 1);
        }
    }
}

#[test]
fn acknowledgements_become_rare_in_a_fast_stream() {
    let mut path = path();
    let mut acks = 0;
    for number in 0..100_000u64 {
        let now = at(number);
        path.on_received(now, number, true);
        if path.ack_due(now) {
            acks += 1;
            let mut buf = [0; 100];
            path.write_ack(now, PathId(0), &mut Writer::new(&mut buf)).unwrap();
        }
    }
    assert!(acks < 100_000 / 32 + 100, "{acks}");
}

#[test]
fn records_stay_within_their_bound_and_nothing_is_forgotten() {
    let limits = Limits { in_flight: 16, ..Limits::TINY };
    let mut path = Path::new(&link(None, 1_200, 25), &limits, at(0));
    for number in 0..100 {
        send(&mut path, number, number);
    }
    let mut fates = vec![];
    path.on_timeout(at(100), &mut |piece, fate| fates.push((handle(piece), fate)));
    assert_eq!(fates.len(), 84);
    assert_eq!(acked(&mut path, 200, &[(84, 99)]).len(), 16);
}

#[test]
fn an_unused_path_is_small() {
    std::println!("a path takes {} bytes before traffic", size_of::<Path>());
    assert!(size_of::<Path>() < 800);
}

#[test]
fn a_link_that_becomes_slower_is_sent_less() {
    let mut path = path();
    let slower = link(Some(80_000), 1_400, 10_000);
    path.link_changed(&slower, &Limits::SMALL);
    assert!(path.rate_bps() <= 80_000, "{}", path.rate_bps());
}

/// A small node that hears much sends many acknowledgements: they must not push out the records of what
/// it has to say itself, or all of that would count as lost.
#[test]
fn acknowledgements_push_nothing_out() {
    let mut path = Path::new(&link(None, 1_200, 25), &Limits::TINY, at(0));
    send(&mut path, 0, 0);
    for number in 1..1_000 {
        path.on_sent(at(number), number, 30, false, &[]);
    }
    send(&mut path, 1_000, 1_000);
    assert_eq!(acked(&mut path, 50_000, &[(1_000, 1_000), (0, 0)]), [(1_000, Fate::Acked), (0, Fate::Acked)]);
}

/// A probe needs no permission and takes the place of a packet that is still open. That is to be reported, and
/// is no leave to send: each packet sent on it would push out another and so give leave for the next.
#[test]
fn a_full_path_gives_no_leave_because_something_is_to_be_settled() {
    let mut path = Path::new(&link(None, 1_200, 25), &Limits::TINY, at(0));
    let most = u64::from(Limits::TINY.in_flight);
    for number in 0..=most {
        send(&mut path, number, number);
    }
    assert_eq!(path.next_wake(), Wake::Now, "the first one's contents are to be sent again");
    assert_eq!(path.may_send(at(most), 30), Wake::Idle);
    let mut lost = Vec::new();
    path.on_timeout(at(most), &mut |piece, fate| lost.push((handle(piece), fate)));
    assert_eq!(lost, [(0, Fate::Lost)]);
    // Long after every deadline, as well.
    assert_eq!(path.may_send(at(3_600_000_000), 30), Wake::Idle);
}

/// A queue of seconds stands before a node that remembers 32 packets, and answers come when all of them
/// are forgotten: it has to wait longer until one is met, and learns the round trip from that.
#[test]
fn answers_that_come_too_late_make_the_path_patient() {
    let mut path = Path::new(&link(None, 1_200, 25), &Limits::TINY, at(0));
    let (mut now, mut number, mut acks) = (0, 0, std::collections::VecDeque::new());
    while now < 60_000_000 && path.rtt() < Duration::from_millis(1_500) {
        while path.may_send(at(now), 100) == Wake::Now {
            send(&mut path, now, number);
            acks.push_back((now + 2_000_000, number));
            number += 1;
        }
        while acks.front().is_some_and(|&(due, _)| due <= now) {
            let (_, number) = acks.pop_front().unwrap();
            acked(&mut path, now, &[(number, number)]);
        }
        now += 1_000;
        path.on_timeout(at(now), &mut |_, _| {});
    }
    assert!(path.rtt() >= Duration::from_millis(1_500), "{:?} after {now} us", path.rtt());
    assert!(now < 30_000_000, "{now} us");
}

/// A queue of a minute drains at once: its answers say no more than the first of them. Patience for half an hour kept
/// all that was under way from being sent again.
#[test]
fn many_late_answers_at_once_are_one() {
    let mut path = Path::new(&link(None, 1_200, 500), &Limits::TINY, at(0));
    (0..12).for_each(|number| send(&mut path, number, number));
    let before = path.patience();
    (0..12).for_each(|number| path.note_late(false, true, number));
    assert_eq!(path.patience(), times(before, 2));
    for number in 12..50 {
        send(&mut path, number, number);
        path.note_late(false, true, number);
        assert!(path.patience() <= LATEST, "{:?}", path.patience());
    }
    assert_eq!(path.patience(), LATEST);
    path.note_late(true, false, 50);
    assert_eq!(path.patience(), before);
}

#[test]
fn odd_calls_do_no_harm() {
    let mut path = path();
    send(&mut path, 5, 1_000_000);
    send(&mut path, 4, 7);
    send(&mut path, 3, 1_000_003);
    path.on_sent(at(9), 1_000_004, usize::MAX, false, &[]);
    path.on_received(at(1), u64::MAX >> 2, true);
    path.on_received(at(0), 0, true);
    path.on_received(at(0), 0, true);
    path.on_ack_acked(u64::MAX);
    path.on_timeout(at(u64::MAX), &mut |_, _| {});
    let _ = path.may_send(at(u64::MAX), usize::MAX);
    acked(&mut path, 0, &[(1_000_000, 1_000_004), (3, 9)]);
    path.check();
    path.trim();
}

/// Two sides that both believe the path dead would throw every question back for ever.
#[test]
fn a_dead_path_that_hears_much_asks_once_a_round_trip() {
    let mut path = dead_path();
    path.on_received(at(5_000_000), 0, true);
    assert!(path.wants_probe(), "somebody is there: ask at once");
    let mut asked = 0;
    for number in 1..1_000 {
        let now = 5_000_000 + number;
        path.on_received(at(now), number, true);
        if path.wants_probe() {
            asked += 1;
            path.on_sent(at(now), 1_000 + number, 30, true, &[Piece::Ping]);
        }
    }
    assert_eq!(asked, 1, "1,000 packets within a millisecond");
}

/// A path without loss that has sent the numbers below 210 and died within two seconds.
fn dead_path() -> Path {
    let mut path = path();
    for number in 0..200 {
        send(&mut path, number, number);
    }
    acked(&mut path, 50_000, &[(0, 199)]);
    for number in 200..210 {
        send(&mut path, 60_000 + number, number);
    }
    let mut now = 60_000;
    while !path.is_dead() {
        now += 10_000;
        path.on_timeout(at(now), &mut |_, _| {});
        assert!(now < 2_000_000, "never given up");
    }
    path
}

#[test]
fn an_answer_to_a_packet_that_is_not_remembered_revives_a_path() {
    let mut path = dead_path();
    for number in 210..20_000 {
        path.on_sent(at(3_000_000), number, 30, true, &[Piece::Ping]);
    }
    assert!(path.is_dead());
    let result = with_ack(&[(215, 215)], |ack| path.on_ack(at(3_700_000), ack, &mut |_, _| {}));
    assert_eq!(result, Ok(()));
    assert!(!path.is_dead(), "the record had to make room, the answer is one all the same");
}

/// RFC 9002, section 6.2.1: pauses double. They grow to a sixteenth of the silence, never beyond.
#[test]
fn a_dead_path_is_asked_ever_more_rarely() {
    for (lost, most) in [(0, 30), (9, 250)] {
        let mut path = dead_path();
        let mut number = 210;
        // What the path thinks of its loss decides how often it asks at first.
        for _ in 0..20 * lost {
            path.loss.update(1, lost);
        }
        path.refresh();
        let (mut now, mut probes, mut last) = (2_000_000, [0, 0, 0], 2_000_000);
        while now < 1_000_000_000 {
            if path.wants_probe() {
                let part = if now < 12_000_000 { 0 } else { 1 + usize::from(now > 500_000_000) };
                probes[part] += 1;
                path.on_sent(at(now), number, 30, true, &[Piece::Ping]);
                assert!(now - last <= 520_000.max(now / 16 + 20_000), "{now}: {}", now - last);
                (number, last) = (number + 1, now);
            }
            let Wake::At(next, _) = path.next_wake() else { panic!() };
            now = next.as_micros().max(now + 1);
            path.on_timeout(at(now), &mut |_, _| {});
        }
        std::println!("{lost} lost of {}: {probes:?} questions", lost + 1);
        assert!(probes[0] >= 15, "an outage of seconds is noticed at once");
        assert!(probes[2] <= most, "a path dead for minutes is asked rarely: {probes:?}");
    }
}

/// RFC 9002, section 7.7: at most ten packets at once. Where answers take no time at all, a moment is
/// still a moment.
#[test]
fn no_moment_takes_more_than_a_burst() {
    let mut path = Path::new(&link(None, 1_200, 0), &Limits::SERVER, at(0));
    let mut number = 0;
    let mut moment = |path: &mut Path, now: u64| {
        let before = number;
        while path.may_send(at(now), 1_200) == Wake::Now {
            send(path, now, number);
            acked(path, now, &[(number, number)]);
            number += 1;
            assert!(number - before <= 257, "no end of packets at {now}");
        }
        number - before
    };
    assert!(moment(&mut path, 0) <= 10);
    assert!(moment(&mut path, 10_000) <= 11, "what a pause has saved");
    let most = (11..5_000).map(|ms| moment(&mut path, ms * 1_000)).max();
    assert!(most <= Some(257), "{most:?}");
}

/// Where a second link has small packets, a packet of this one holds twenty pieces. More of them than are
/// remembered are settled at once: they make room for the next, and the path goes on.
#[test]
fn settled_packets_of_many_pieces_do_not_hold_up_a_path() {
    let mut path = Path::new(&link(None, 1_200, 25), &Limits::SMALL, at(0));
    let pieces: Vec<Piece> = (0..20).map(|symbol| Piece::Message { handle: 1, cut: 0, symbol }).collect();
    for number in 0..410 {
        path.on_sent(at(number * 10), number, 1_200, true, &pieces);
    }
    // The first is lost: as long as it may still come late, nothing behind it is forgotten.
    acked(&mut path, 60_000, &[(1, 409)]);
    let allowed = path.may_send(at(60_000), 1_200);
    assert!(matches!(allowed, Wake::Now | Wake::At(_, Reason::Pacing)), "{allowed:?}");
    path.on_sent(at(60_000), 410, 1_200, true, &pieces);
    path.check();
    acked(&mut path, 110_000, &[(410, 410)]);
}

/// An address under test that never answers is asked for as long as there is credit for it: a dead path is asked all the same.
#[test]
fn what_is_asked_elsewhere_is_no_question_to_the_path() {
    let mut path = dead_path();
    let (mut now, mut number) = (2_000_000, 210);
    let (mut asked, died) = (now, now);
    while now < died + 60_000_000 {
        if path.wants_probe() {
            path.on_sent(at(now), number, 30, true, &[Piece::Ping]);
            (asked, number) = (now, number + 1);
        }
        assert!(now - asked < 5_000_000, "not asked for five seconds");
        if (now - died).is_multiple_of(250_000) {
            path.on_sent_elsewhere(at(now), number, 31, true, &[Piece::Challenge]);
            number += 1;
        }
        now += 10_000;
        path.on_timeout(at(now), &mut |_, _| {});
        path.check();
    }
}
