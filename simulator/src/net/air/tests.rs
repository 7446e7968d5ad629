use super::*;
use crate::agenda::Agenda;
use crate::check::{Airtime, Checker, Sight};
use crate::net::address::address_of;
use crate::net::{Arrival, Net, Outbox};
use crate::plan::radio::{Access, Duty, Region};
use crate::plan::{LinkKind, LinkPlan, NodePlan, Plan, RadioPlan};
use crate::pool::Pool;

const MS: u64 = 1_000;
const SECOND: u64 = 1_000_000;

#[derive(Clone, Copy)]
enum Event {
    Arrive(Arrival),
    Air(Tick),
    /// By its position in the list of what is sent.
    Send(usize),
    Off(u32),
}

/// A packet: when, who, on which link, how many bytes. All are for everybody.
type Packet = (u64, u32, u32, usize);

/// What came of them: for each arrival when, at whom and which packet; what was on air; and the report of link 0.
struct Hall {
    heard: Vec<(u64, u32, u8)>,
    on_air: Vec<OnAir>,
    report: LinkReport,
}

impl Hall {
    /// Who heard a packet.
    fn who(&self, packet: u8) -> Vec<u32> {
        let mut who: Vec<u32> =
            self.heard.iter().filter(|heard| heard.2 == packet).map(|heard| heard.1).collect();
        who.sort_unstable();
        who
    }
}

fn talk_with(plan: &Plan, packets: &[Packet], off: &[(u64, u32)]) -> Hall {
    let (mut net, mut pool, mut agenda) = (Net::new(plan), Pool::default(), Agenda::new());
    let mut referee = Airtime::new(plan);
    packets.iter().enumerate().for_each(|(number, packet)| agenda.push(packet.0, Event::Send(number)));
    off.iter().for_each(|&(at_us, host)| agenda.push(at_us, Event::Off(host)));
    let (mut heard, mut on_air) = (Vec::new(), Vec::new());
    while let Some((now_us, event)) = agenda.pop() {
        let mut out = Outbox { pool: &mut pool, agenda: &mut agenda, wrap: Event::Arrive };
        match event {
            Event::Arrive(arrival) => {
                let (_, bytes) = pool.take(arrival.packet);
                heard.push((now_us, arrival.host, bytes[0]));
            }
            Event::Air(tick) => net.air(now_us, tick, &mut out),
            Event::Send(number) => {
                let (_, host, link, bytes) = packets[number];
                net.send(now_us, link, host, Addr::ANY, &vec![number as u8; bytes], &mut out);
            }
            Event::Off(host) => {
                net.switch_off(now_us, host);
                assert_eq!(referee.see(now_us, &Sight::Off { host }), None);
            }
        }
        for (at_us, tick) in net.take_arranged() {
            agenda.push(at_us, Event::Air(tick));
        }
        for begun in net.take_begun() {
            assert_eq!(referee.see(now_us, &Sight::Air(begun)), None);
            on_air.push(begun);
        }
    }
    assert_eq!(pool.under_way(), heard.len(), "nothing is lost in between");
    for air in net.links.iter().filter_map(|link| link.air.as_ref()) {
        assert!(air.on_air.iter().all(|sent| sent.frame.is_none()), "what is over is forgotten");
    }
    Hall { heard, on_air, report: net.reports()[0].clone() }
}

fn talk(plan: &Plan, packets: &[Packet]) -> Hall {
    talk_with(plan, packets, &[])
}

/// A link on which strength falls by 20 dB a decade, so by 6.02 dB with each doubling, and 100 km are too far.
fn link(kind: LinkKind, places: &[i32]) -> LinkPlan {
    let members: Vec<u32> = (0..places.len() as u32).collect();
    let radio = RadioPlan {
        places: places.iter().map(|&east| (east, 0)).collect(),
        loss_mdb: Some(40_000),
        reference_m: Some(1),
        per_decade_mdb: Some(20_000),
        sensitivity_mdbm: Some(-125_000),
        power_mdbm: Some(14_000),
        region: Some(Region::Free),
        access: Some(Access::Aloha),
        ..RadioPlan::default()
    };
    LinkPlan { radio: Some(radio), ..LinkPlan::new(kind, &members) }
}

fn plan(links: &[LinkPlan]) -> Plan {
    let mut plan = Plan::new("hall", 5, SECOND);
    plan.add_node(NodePlan { count: 8, ..NodePlan::default() });
    plan.links = links.to_vec();
    assert_eq!(plan.check(), Ok(()));
    plan
}

fn with(mut link: LinkPlan, change: impl FnOnce(&mut RadioPlan)) -> LinkPlan {
    change(link.radio.as_mut().expect("a radio"));
    link
}

/// A packet of 20 bytes at SF7, in microseconds: 12.25 + 38 symbols of 1,024.
const PACKET_US: u64 = 56_576;
const SYMBOL_US: u64 = 1_024;

#[test]
fn a_packet_takes_its_time_on_air_and_reaches_whom_it_can() {
    let hall = talk(&plan(&[link(LinkKind::LoraSf7, &[0, 1_000, 40_000, 200_000])]), &[(5, 0, 0, 20)]);
    assert_eq!(hall.heard, [(5 + PACKET_US, 1, 0), (5 + PACKET_US, 2, 0)]);
    assert_eq!(hall.on_air, [OnAir { host: 0, link: 0, start_us: 5, end_us: 5 + PACKET_US }]);
    assert_eq!((hall.report.weak, hall.report.airtime_us, hall.report.delivered), (1, PACKET_US, 2));
}

#[test]
fn one_packet_follows_the_other_and_too_many_do_not_fit() {
    let mut link = link(LinkKind::LoraSf7, &[0, 1_000]);
    link.queue_bytes = Some(240);
    let packets: Vec<Packet> = (0..13).map(|_| (0, 0, 0, 20)).collect();
    let hall = talk(&plan(&[link]), &packets);
    let times: Vec<u64> = hall.heard.iter().map(|heard| heard.0).collect();
    assert_eq!(times, (1..=12).map(|n| n * PACKET_US).collect::<Vec<_>>());
    assert_eq!(hall.report.queue_full, 1);
}

#[test]
fn who_sends_does_not_hear() {
    let places = link(LinkKind::LoraSf7, &[0, 10, 1_000]);
    // A begins, B begins in the middle: each misses the other, for all that they stand side by side.
    let hall = talk(&plan(std::slice::from_ref(&places)), &[(0, 0, 0, 20), (20 * MS, 1, 0, 20)]);
    assert_eq!((hall.who(0), hall.who(1)), (vec![], vec![]));
    assert_eq!((hall.report.deaf, hall.report.collided), (2, 2));
    // B has ended before the last five symbols of A's preamble begin, or a microsecond later.
    for (later, deaf) in [(0, 0), (1, 1)] {
        let begins_us = PACKET_US - 3 * SYMBOL_US - later;
        let hall = talk(&plan(std::slice::from_ref(&places)), &[(0, 1, 0, 20), (begins_us, 0, 0, 20)]);
        // A sends while B's is on air, so A misses that one either way.
        assert_eq!(hall.report.deaf, 1 + deaf, "{later}");
    }
}

/// A and B are 160 km apart and do not hear each other; C in the middle hears both.
#[test]
fn hidden_nodes_spoil_each_other_where_both_are_heard() {
    for access in [Access::Aloha, Access::Csma] {
        let hidden =
            with(link(LinkKind::LoraSf7, &[-80_000, 80_000, 0]), |radio| radio.access = Some(access));
        let packets: Vec<Packet> =
            (0..20).flat_map(|n| [(n * SECOND, 0, 0, 200), (n * SECOND, 1, 0, 200)]).collect();
        let hall = talk(&plan(&[hidden]), &packets);
        let at_c = hall.heard.iter().filter(|heard| heard.1 == 2).count();
        assert!(at_c <= 4, "{access:?}: {at_c}");
        assert!(hall.report.collided >= 36 && hall.report.deaf == 0, "{:?}", hall.report);
    }
    // Side by side they hear each other, and who listens waits.
    let near = with(link(LinkKind::LoraSf7, &[-100, 100, 0]), |radio| radio.access = Some(Access::Csma));
    let packets: Vec<Packet> =
        (0..20).flat_map(|n| [(n * 2 * SECOND, 0, 0, 200), (n * 2 * SECOND, 1, 0, 200)]).collect();
    let hall = talk(&plan(&[near]), &packets);
    let at_c = hall.heard.iter().filter(|heard| heard.1 == 2).count() as u64;
    assert!(at_c >= 30, "{at_c} {:?}", hall.report);
    assert!(hall.report.collided + 2 * hall.report.no_access <= 20, "{:?}", hall.report);
}

#[test]
fn the_stronger_by_six_decibels_is_understood_whoever_begins() {
    // B is so many times as far from C as A is: 5.93, 6.02 and 20 dB.
    for (b, captured) in [(1_980, false), (2_001, true), (10_000, true)] {
        for begins in [[0, 20 * MS], [20 * MS, 0]] {
            let places = link(LinkKind::LoraSf7, &[-1_000, b, 0]);
            let hall = talk(&plan(&[places]), &[(begins[0], 0, 0, 20), (begins[1], 1, 0, 20)]);
            assert_eq!(hall.who(0), if captured { vec![2] } else { vec![] }, "{b} {begins:?}");
            assert_eq!(hall.who(1), [0; 0]);
        }
    }
}

/// What is over before the last five of eight symbols of a preamble spoils nothing.
#[test]
fn the_beginning_of_a_preamble_may_be_lost() {
    for (later, heard) in [(0, true), (1, false)] {
        let begins_us = PACKET_US - 3 * SYMBOL_US - later;
        let places = link(LinkKind::LoraSf7, &[-1_000, 1_000, 0]);
        let hall = talk(&plan(&[places]), &[(0, 1, 0, 20), (begins_us, 0, 0, 20)]);
        assert_eq!(hall.who(1).contains(&2), heard, "{later}");
        assert!(!hall.who(0).contains(&2), "the first was met at its end");
    }
    // 802.15.4 has no symbol to spare.
    let places = link(LinkKind::Ieee802154, &[-1_000, 1_000, 0]);
    let frame_us = (6 + 25 + 20) * 32;
    for (begins_us, heard) in [(frame_us, vec![1, 2]), (frame_us - 1, vec![])] {
        let hall = talk(&plan(std::slice::from_ref(&places)), &[(0, 1, 0, 20), (begins_us, 0, 0, 20)]);
        assert_eq!(hall.who(1), heard);
    }
}

#[test]
fn spreading_factors_do_not_meet() {
    let seven = link(LinkKind::LoraSf7, &[-1_000, 1_000, 0]);
    let eight = link(LinkKind::LoraSf8, &[-1_000, 1_000, 0]);
    let hall = talk(&plan(&[seven, eight]), &[(0, 0, 0, 20), (0, 1, 1, 20)]);
    assert_eq!((hall.who(0), hall.who(1)), (vec![1, 2], vec![0, 2]));
}

#[test]
fn a_radio_keeps_to_the_law_each_in_its_way() {
    let many: Vec<Packet> = (0..250).map(|n| (n * SECOND, 0, 0, 240)).collect();
    let airtime_us = 379_136;
    for (duty, sent, second_at_us) in
        [(Duty::Pace, 250, 100 * airtime_us), (Duty::Wait, 250, SECOND), (Duty::Refuse, 94, SECOND)]
    {
        let mut lawful = with(link(LinkKind::LoraSf7, &[0, 1_000]), |radio| {
            (radio.region, radio.duty) = (Some(Region::Eu868G1), duty);
        });
        lawful.queue_bytes = Some(250 * 240);
        // The referee in `talk_with` holds every window to its share.
        let hall = talk(&plan(&[lawful]), &many);
        assert_eq!(hall.on_air.len(), sent, "{duty:?}");
        assert_eq!(hall.on_air[1].start_us, second_at_us, "{duty:?}");
        assert_eq!(hall.report.unlawful, 250 - sent as u64, "{duty:?}");
        if duty == Duty::Wait {
            // The share of an hour: 94 packets, one a second, and the next when enough of the first have left the window.
            assert_eq!(hall.on_air[93].start_us, 93 * SECOND);
            let next_us = hall.on_air[94].start_us;
            assert_eq!(next_us, 3_600 * SECOND - airtime_us + (95 * airtime_us - 36 * SECOND));
        }
    }
    let whole = with(link(LinkKind::LoraSf12, &[0, 1_000]), |radio| radio.region = Some(Region::Eu868G2));
    let hall = talk(&plan(&[whole]), &[(0, 0, 0, 240)]);
    assert_eq!((hall.on_air.len(), hall.report.unlawful), (0, 1), "9 s are more than 3.6 s an hour");
}

/// 802.15.4: 0 to 7 units of 320 us, 128 us of listening, 192 us to turn round.
#[test]
fn who_listens_first_waits_first() {
    let listens = |places: &[i32]| with(link(LinkKind::Ieee802154, places), |radio| radio.access = None);
    let packets: Vec<Packet> = (0..200).map(|n| (n * 100 * MS, 0, 0, 100)).collect();
    let hall = talk(&plan(&[listens(&[0, 10])]), &packets);
    let mut waits: Vec<u64> = hall.on_air.iter().map(|on_air| on_air.start_us % (100 * MS)).collect();
    waits.sort_unstable();
    waits.dedup();
    assert_eq!(waits, (0..8).map(|units| units * 320 + 320).collect::<Vec<_>>());
    assert_eq!(hall.who(0), [1]);
    // Six who have more to say than goes on air: half is heard, some of it collides, some is given up.
    let packets: Vec<Packet> = (0..240).map(|n| (n / 6 * 20 * MS, n as u32 % 6, 0, 100)).collect();
    let hall = talk(&plan(&[listens(&[0, 10, 20, 30, 40, 50])]), &packets);
    let report = &hall.report;
    assert!(report.delivered > 240 * 5 / 2, "{report:?}");
    assert!(report.no_access > 10 && report.deaf > 0, "{report:?}");
    let rests = |host: u32| {
        let own: Vec<&OnAir> = hall.on_air.iter().filter(|on_air| on_air.host == host).collect();
        own.windows(2).all(|two| two[1].start_us >= two[0].end_us + 640)
    };
    assert!((0..6).all(rests), "spacing between frames");
    let again = talk(&plan(&[listens(&[0, 10, 20, 30, 40, 50])]), &packets);
    assert_eq!((again.heard, again.on_air), (hall.heard, hall.on_air));
}

#[test]
fn with_the_power_goes_what_was_to_be_sent() {
    let places = link(LinkKind::LoraSf7, &[0, 1_000]);
    let packets = [(0, 0, 0, 20), (0, 0, 0, 20), (30 * MS, 0, 0, 20)];
    let hall = talk_with(&plan(&[places]), &packets, &[(20 * MS, 0)]);
    assert_eq!(hall.heard, [(30 * MS + PACKET_US, 1, 2)]);
    assert_eq!((hall.report.cut_off, hall.report.airtime_us), (2, 20 * MS + PACKET_US));
}

/// Half a packet spoils another as long as it lasts, and no longer.
#[test]
fn what_breaks_off_spoils_nothing_afterwards() {
    for (off_us, heard) in [(3 * SYMBOL_US, true), (3 * SYMBOL_US + 1, false)] {
        let places = link(LinkKind::LoraSf7, &[-1_000, 1_000, 0]);
        let hall = talk_with(&plan(&[places]), &[(0, 0, 0, 20), (0, 1, 0, 20)], &[(off_us, 1)]);
        assert_eq!(hall.who(0).contains(&2), heard, "{off_us}");
    }
}

#[test]
fn who_moves_away_is_not_heard_any_more_and_a_clone_stands_with_its_original() {
    let mut plan = plan(&[link(LinkKind::LoraSf7, &[0, 1_000])]);
    plan.add_fault(0, 1, crate::plan::What::Clone { node: 0 });
    let mut net = Net::new(&plan);
    let sent = |net: &mut Net, host: u32| -> Vec<u32> {
        let (mut pool, mut agenda) = (Pool::default(), Agenda::new());
        let mut out = Outbox { pool: &mut pool, agenda: &mut agenda, wrap: |arrival| arrival };
        net.send(0, 0, host, Addr::ANY, &[0; 20], &mut out);
        while let Some((at_us, tick)) = net.take_arranged().pop() {
            net.air(at_us, tick, &mut out);
        }
        std::iter::from_fn(|| agenda.pop()).map(|(_, arrival)| arrival.host).collect()
    };
    assert_eq!(sent(&mut net, 0), [1]);
    net.stand(0, &[(0, 0), (200_000, 0)]);
    assert_eq!(sent(&mut net, 0), [0; 0]);
    net.stand(0, &[(0, 0), (0, 500)]);
    assert_eq!(sent(&mut net, 1), [0]);
    net.join_like(8, 0);
    assert_eq!((sent(&mut net, 1), sent(&mut net, 8)), (vec![0, 8], vec![0, 1]));
    net.stand(0, &[(0, 0), (200_000, 0)]);
    assert_eq!((sent(&mut net, 1), sent(&mut net, 8)), (vec![], vec![0]));
}

#[test]
fn what_is_for_one_is_on_air_for_all_and_given_to_one() {
    let plan = plan(&[link(LinkKind::LoraSf7, &[0, 100, 200])]);
    let (mut net, mut pool, mut agenda) = (Net::new(&plan), Pool::default(), Agenda::new());
    let mut out = Outbox { pool: &mut pool, agenda: &mut agenda, wrap: |arrival| arrival };
    out.pool.chain = 7;
    net.send(0, 0, 0, address_of(2), &[0; 20], &mut out);
    out.pool.chain = 0;
    while let Some((at_us, tick)) = net.take_arranged().pop() {
        net.air(at_us, tick, &mut out);
    }
    let (_, arrival) = agenda.pop().unwrap();
    assert_eq!((arrival.host, agenda.len()), (2, 0));
    assert_eq!((pool.chain_of(arrival.packet), pool.chain), (7, 0), "what it answers is remembered");
}
