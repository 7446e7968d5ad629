//! Lifetimes, restarts, bounds and classes.

use super::*;
use crate::wake::Wake;

fn drain(a: &mut End, info: &PathInfo) -> Vec<Packet> {
    core::iter::from_fn(|| a.packet(info)).collect()
}

#[test]
fn whole_messages_are_finished_by_the_acknowledgement_of_their_packet() {
    let (mut a, mut b) = pair(&Limits::SMALL, false);
    a.push(7, Delivery::Message, Class::Normal, 50).unwrap();
    let packets = drain(&mut a, &clean(1_000));
    assert_eq!(packets.len(), 1);
    assert!(a.receipts.is_empty());
    b.receive(&packets[0].bytes);
    a.fate(&packets[0], Fate::Acked);
    assert_eq!(a.receipts, [(7, Outcome::Delivered)]);
    assert!(b.packet(&clean(1_000)).is_none(), "no receipt is needed");
}

#[test]
fn small_messages_share_a_packet_and_the_last_needs_no_length() {
    let (mut a, mut b) = pair(&Limits::SMALL, false);
    for tag in 0..5 {
        a.push(tag, Delivery::Message, Class::Normal, 20).unwrap();
    }
    let packets = drain(&mut a, &clean(1_000));
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0].bytes.len(), 5 * (20 + 2) + 4);
    b.receive(&packets[0].bytes);
    assert_eq!(b.delivered.len(), 5);
}

#[test]
fn datagrams_are_sent_once_and_forgotten() {
    let (mut a, mut b) = pair(&Limits::SMALL, false);
    a.push(1, Delivery::Datagram, Class::Normal, 400).unwrap();
    assert_eq!(a.push(2, Delivery::Datagram, Class::Normal, 1_300), Err(Refused::Oversize { limit: 1_299 }));
    let packets = drain(&mut a, &clean(1_000));
    b.receive(&packets[0].bytes);
    a.fate(&packets[0], Fate::Lost);
    assert!(a.packet(&clean(1_000)).is_none());
    assert_eq!((a.receipts.len(), a.sending.used(), b.delivered.len()), (0, (0, 0), 1));
}

#[test]
fn what_expires_unsent_leaves_no_trace_and_what_was_sent_moves_the_floor() {
    let (mut a, mut b) = pair(&Limits::SMALL, false);
    let info = clean(1_000);
    let short = Some(Duration::from_millis(100));
    let stream = Delivery::Stream { stream: 4 };
    a.push_for(1, stream, Class::Normal, 30, short).unwrap();
    let lost = drain(&mut a, &info);
    a.push(2, stream, Class::Normal, 30).unwrap();
    let second = drain(&mut a, &info);
    b.receive(&second[0].bytes);
    assert!(b.delivered.is_empty(), "held: its predecessor is missing");
    a.fate(&second[0], Fate::Acked);
    assert!(a.receipts.is_empty(), "acknowledged, but not delivered");
    assert_eq!(a.outbox.next_wake().min(Wake::Idle), a.outbox.next_wake());
    a.wake(ms(1_200));
    assert_eq!(a.receipts, [(1, Outcome::Expired)]);
    a.fate(&lost[0], Fate::Lost);
    let floor = drain(&mut a, &info);
    assert_eq!(floor.len(), 1);
    b.receive(&floor[0].bytes);
    assert_eq!(b.delivered.len(), 1, "the floor says that nothing comes before it");
    a.fate(&floor[0], Fate::Acked);
    assert_eq!(a.receipts[1..], [(2, Outcome::Delivered)]);
    // One that was never sent needs no floor.
    a.push_for(3, stream, Class::Normal, 30, short).unwrap();
    a.wake(ms(2_000));
    assert_eq!(a.receipts[2..], [(3, Outcome::Expired)]);
    assert!(a.packet(&info).is_none());
    assert_eq!((a.sending.used(), b.receiving.used()), ((0, 0), (0, 0)));
}

#[test]
fn a_lost_floor_is_told_again() {
    let (mut a, mut b) = pair(&Limits::SMALL, false);
    let info = clean(1_000);
    a.push_for(1, Delivery::Message, Class::Normal, 5_000, Some(Duration::from_millis(100))).unwrap();
    let parts = drain(&mut a, &info);
    b.receive(&parts[0].bytes);
    assert_eq!(b.receiving.used(), (5_000, 1));
    a.wake(ms(1_200));
    for _ in 0..3 {
        let floor = drain(&mut a, &info);
        assert_eq!(floor.len(), 1);
        a.fate(&floor[0], Fate::Lost);
    }
    let floor = drain(&mut a, &info);
    b.receive(&floor[0].bytes);
    a.fate(&floor[0], Fate::Acked);
    assert!(a.packet(&info).is_none());
    assert_eq!(b.receiving.used(), (0, 0), "the partial message is gone");
}

#[test]
fn after_a_restart_of_the_peer_what_was_sent_is_uncertain_and_the_rest_goes_on() {
    let limits = Limits { message_window: 64, ..Limits::SMALL };
    let (mut a, mut b) = pair(&limits, false);
    let info = clean(100);
    a.push(1, Delivery::Message, Class::Normal, 50).unwrap();
    a.push(2, Delivery::Message, Class::Normal, 500).unwrap();
    a.packet(&info).unwrap();
    a.packet(&info).unwrap();
    a.push(3, Delivery::Stream { stream: 1 }, Class::Normal, 50).unwrap();
    a.push(4, Delivery::Durable, Class::Normal, 50).unwrap();
    b.crash(0);
    b.outbox.connected(params(&limits, false));
    a.peer_restarted();
    assert_eq!(a.receipts, [(4, Outcome::Accepted), (1, Outcome::Uncertain), (2, Outcome::Uncertain)]);
    exchange(&mut a, &mut b, &info);
    assert_eq!(a.receipts[3..].len(), 2);
    assert_eq!(b.delivered.iter().map(|d| tag_of(&d.3)).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn numbers_under_way_stay_within_the_peers_window() {
    let limits = Limits { message_window: 64, ..Limits::SMALL };
    let (mut a, mut b) = pair(&limits, false);
    for tag in 0..200 {
        a.push(tag, Delivery::Message, Class::Normal, 20).unwrap();
    }
    let packets = drain(&mut a, &clean(100));
    let pieces: usize = packets.iter().map(|packet| packet.pieces.len()).sum();
    assert_eq!(pieces, 64);
    // All but the first arrive: nothing new may be sent until it is finished.
    for packet in &packets[1..] {
        b.receive(&packet.bytes);
        a.fate(packet, Fate::Acked);
    }
    assert!(a.packet(&clean(100)).is_none());
    a.fate(&packets[0], Fate::Lost);
    exchange(&mut a, &mut b, &clean(100));
    assert_eq!(b.delivered.len(), 200);
}

#[test]
fn no_more_bytes_are_under_way_than_the_peer_keeps() {
    let limits = Limits { message_bytes: 5_000, receive_bytes: 15_000, ..Limits::SMALL };
    let (mut a, mut b) = pair(&limits, false);
    for tag in 0..5 {
        a.push(tag, Delivery::Message, Class::Normal, 4_000).unwrap();
    }
    let packets = drain(&mut a, &clean(1_000));
    let sent: usize = packets.iter().map(|packet| packet.bytes.len()).sum();
    assert!(sent < 10_000, "share of 10,000 bytes: {sent}");
    for packet in &packets {
        assert!(b.receive(&packet.bytes));
        a.fate(packet, Fate::Acked);
    }
    exchange(&mut a, &mut b, &clean(1_000));
    assert_eq!(b.delivered.len(), 5);
}

/// What came before its turn must not take the room of what it waits for: the sender believes that it
/// is taken care of and will not send it again, so neither would ever move.
#[test]
fn what_waits_for_its_turn_leaves_room_for_what_it_waits_for() {
    let limits = Limits { receive_messages: 8, ..Limits::TINY };
    let (mut a, mut b) = pair(&limits, false);
    // The sender takes it for larger than it is, as when other peers have taken the rest.
    a.outbox.connected(params(&Limits::TINY, false));
    let stream = Delivery::Stream { stream: 1 };
    a.push(0, stream, Class::Normal, 4_000).unwrap();
    let first = drain(&mut a, &clean(240));
    for tag in 1..16 {
        a.push(tag, stream, Class::Normal, 200).unwrap();
    }
    let rest = drain(&mut a, &clean(240));
    let mut held = 0;
    for packet in &rest {
        let taken = b.receive(&packet.bytes);
        held += u32::from(taken);
        a.fate(packet, if taken { Fate::Acked } else { Fate::Lost });
    }
    assert!(held > 1 && b.delivered.is_empty(), "{held} wait");
    for packet in &first {
        assert!(b.receive(&packet.bytes), "the first finds room");
        a.fate(packet, Fate::Acked);
    }
    exchange(&mut a, &mut b, &clean(240));
    assert_eq!(b.delivered.len(), 16);
}

#[test]
fn queues_are_bounded_with_a_share_for_each_peer() {
    let limits = Limits { send_messages: 40, ..Limits::SMALL };
    let mut a = End::new(limits, 1);
    for tag in 0..10 {
        a.push(tag, Delivery::Message, Class::Normal, 10).unwrap();
    }
    assert_eq!(a.push(10, Delivery::Message, Class::Normal, 10), Err(Refused::QueueFull));
    let mut other = Outbox::new(NodeId([9; 32]));
    let send = Send {
        to: NodeId([9; 32]),
        tag: 0,
        delivery: Delivery::Message,
        class: Class::Normal,
        lifetime: None,
        payload: payload(0, 10),
    };
    other.push(cx!(a), &mut a.sending, send, 1_000).unwrap();
    a.outbox.cancel(&mut a.sending);
    a.settle();
    assert_eq!(a.receipts.len(), 10);
    assert_eq!(a.sending.used(), (10, 1));
}

#[test]
fn a_message_that_the_receiver_cannot_take_is_refused() {
    let (mut a, mut b) = pair(&Limits::SERVER, false);
    b.limits = Limits::TINY;
    a.push(1, Delivery::Message, Class::Normal, 100_000).unwrap();
    exchange(&mut a, &mut b, &clean(1_000));
    assert_eq!(a.receipts, [(1, Outcome::Refused)]);
    assert_eq!(
        a.push(2, Delivery::Message, Class::Normal, (16 << 20) + 1),
        Err(Refused::Oversize { limit: 16 << 20 })
    );
}

#[test]
fn an_emergency_overtakes_and_nobody_starves() {
    let (mut a, _) = pair(&Limits::SMALL, false);
    for tag in 0..200 {
        a.push(tag, Delivery::Message, Class::Background, 300).unwrap();
    }
    let info = clean(600);
    for _ in 0..20 {
        a.packet(&info);
    }
    for tag in 1_000..1_200 {
        a.push(tag, Delivery::Message, Class::Emergency, 300).unwrap();
    }
    let tags: Vec<u64> = (0..40)
        .flat_map(|_| {
            let packet = a.packet(&info).unwrap();
            Frames::new(&packet.bytes)
                .map(|frame| match frame {
                    Ok(Frame::Message { data, .. }) => tag_of(data),
                    other => panic!("{other:?}"),
                })
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(tags[0] >= 1_000, "at once");
    let background = tags.iter().filter(|&&tag| tag < 1_000).count();
    assert!(background * 100 >= tags.len() * 5, "{background} of {}", tags.len());
}

#[test]
fn small_messages_do_not_wait_behind_a_large_one_of_their_class() {
    let (mut a, _) = pair(&Limits::SMALL, false);
    a.push(1, Delivery::Message, Class::Normal, 500_000).unwrap();
    let info = clean(1_000);
    for _ in 0..10 {
        a.packet(&info);
    }
    a.push(2, Delivery::Message, Class::Normal, 30).unwrap();
    let sent = (0..3).any(|_| {
        let packet = a.packet(&info).unwrap();
        Frames::new(&packet.bytes)
            .any(|frame| matches!(frame, Ok(Frame::Message { header, .. }) if header.fragment.is_none()))
    });
    assert!(sent);
}

#[test]
fn a_half_received_message_is_given_up_and_sent_anew() {
    let (mut a, mut b) = pair(&Limits::SMALL, false);
    let info = clean(1_000);
    a.push(1, Delivery::Message, Class::Normal, 3_000).unwrap();
    for packet in drain(&mut a, &info) {
        // Acknowledged, but the receiver loses what it had.
        a.fate(&packet, Fate::Acked);
    }
    let mut now = 1_000;
    while b.delivered.is_empty() {
        now += 100;
        assert!(now < 60_000, "asked after and sent anew");
        a.wake(ms(now));
        b.wake(ms(now));
        exchange(&mut a, &mut b, &info);
    }
    assert_eq!(a.receipts, [(1, Outcome::Delivered)]);
    b.receive(&{
        let mut buf = [0; 100];
        let mut w = Writer::new(&mut buf);
        let fragment =
            crate::link::frame::Fragment { total_len: 5_000, symbol_size: 50, block: 0, symbol: 5 };
        let header = crate::link::frame::MessageHeader {
            channel: Default::default(),
            space: 0,
            seq: 9,
            back: None,
            fragment: Some(fragment),
        };
        crate::link::frame::write_message(&mut w, &header, true, &[7; 50]).unwrap();
        w.written().to_vec()
    });
    assert_eq!(b.receiving.used().1, 1);
    b.wake(ms(now + 599_000));
    assert_eq!(b.receiving.used().1, 1);
    b.wake(ms(now + 601_000));
    assert_eq!(b.receiving.used(), (0, 0));
}

#[test]
fn idle_halves_are_small() {
    let bytes = size_of::<Outbox>() + size_of::<Inbox>();
    std::println!("outbox {} inbox {}", size_of::<Outbox>(), size_of::<Inbox>());
    assert!(bytes <= 1_048, "{bytes}");
}

#[test]
fn a_flood_of_finished_messages_leaves_no_memory_behind() {
    let (mut a, mut b) = pair(&Limits::SMALL, false);
    for round in 0..300 {
        for tag in 0..50 {
            a.push(round * 50 + tag, Delivery::Message, Class::Normal, 20).unwrap();
        }
        exchange(&mut a, &mut b, &clean(1_000));
        b.delivered.clear();
    }
    assert!(a.outbox.timers.len() < 512, "{}", a.outbox.timers.len());
}

/// The planted bugs of delivery change what these tests look at.
#[test]
fn planted_bugs_of_delivery_show() {
    use crate::zoo::{Bug, planted};
    if planted(Bug::NonceReset).is_none() {
        return;
    }
    let live = |bug: Bug| {
        let (mut a, mut b) = pair(&Limits::SMALL, false);
        let zoo = planted(bug).unwrap_or_default();
        (a.zoo, b.zoo) = (zoo, zoo);
        let info = clean(1_000);
        a.push(1, Delivery::Stream { stream: 1 }, Class::Normal, 30).unwrap();
        let first = a.packet(&info).unwrap();
        a.push(2, Delivery::Stream { stream: 1 }, Class::Normal, 3_000).unwrap();
        let second = drain(&mut a, &info);
        for packet in &second {
            b.receive(&packet.bytes);
        }
        let early = b.delivered.len();
        b.receive(&first.bytes);
        b.receive(&first.bytes);
        a.fate(&first, Fate::Lost);
        (early, b.delivered.len(), b.receiving.used().1, a.outbox.has_work())
    };
    assert_eq!(live(Bug::NonceReset), (0, 2, 0, true), "none of ours");
    assert_eq!(live(Bug::OrderIgnored).0, 1);
    assert_eq!(live(Bug::DedupeOff).1, 3);
    assert_eq!(live(Bug::ReassemblyLeak).2, 1);
    assert!(!live(Bug::LossForgotten).3);
}

/// A packet of empty datagrams sets off an action for every two bytes of it, as far as the outputs go.
#[test]
fn actions_of_one_packet_are_within_the_worst_case() {
    for packet_bytes in [64, 1_500, 40_000, 65_507] {
        let limits = Limits { packet_bytes, message_bytes: 0, ..Limits::TINY };
        let mut end = End::new(limits.clone(), 1);
        let mut most = 0;
        for _ in 0..packet_bytes / 2 {
            let before = end.inbox.actions.capacity();
            end.inbox.on_datagram(cx!(end), &[]);
            let after = end.inbox.actions.capacity();
            // While it grows, both are there.
            most = most.max(after + if after > before { before } else { 0 });
        }
        let bytes = (most * size_of::<InboxAction>()) as u64;
        let bound = crate::link::Links::worst_case_bytes(&limits);
        let rest = crate::link::Links::worst_case_bytes(&Limits { packet_bytes: 0, ..limits });
        assert!(bytes <= bound - rest, "{packet_bytes}: {bytes} bytes of {bound} less {rest}");
    }
}
