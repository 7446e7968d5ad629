use super::*;
use crate::plan::{LinkKind, LinkPlan, NodePlan, units};

/// One packet that arrived: when, at whom, and its bytes.
type Got = (u64, u32, Vec<u8>);

const MS: u64 = 1_000;

fn plan(links: &[LinkPlan]) -> Plan {
    let mut plan = Plan::new("net", 7, 1_000_000);
    plan.add_node(NodePlan { count: 4, ..NodePlan::default() });
    plan.links = links.to_vec();
    plan
}

fn plain() -> LinkPlan {
    LinkPlan::new(LinkKind::Plain, &[0, 1])
}

/// Sends numbered packets of `size` bytes from node 0 to node 1 on link 0, one each millisecond, with
/// `faults` on, and gives back what arrived.
fn send_many(plan: &Plan, faults: &[(u32, What)], count: u64, size: usize) -> (Vec<Got>, LinkReport) {
    let mut net = Net::new(plan);
    faults.iter().for_each(|(id, what)| net.begin(*id, what));
    let (mut pool, mut agenda) = (Pool::default(), Agenda::new());
    for n in 0..count {
        let mut bytes = vec![0xaa; size];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        let mut out = Outbox { pool: &mut pool, agenda: &mut agenda, wrap: |arrival| arrival };
        net.send(n * MS, 0, 0, address_of(1), &bytes, &mut out);
    }
    (collect(&mut pool, &mut agenda), net.reports()[0].clone())
}

fn collect(pool: &mut Pool, agenda: &mut Agenda<Arrival>) -> Vec<Got> {
    std::iter::from_fn(|| agenda.pop())
        .map(|(at_us, arrival)| {
            let (_, bytes) = pool.take(arrival.packet);
            (at_us, arrival.host, bytes)
        })
        .collect()
}

fn number(got: &Got) -> u64 {
    u64::from_le_bytes(got.2[..8].try_into().unwrap())
}

#[test]
fn a_clean_link_delivers_everything_in_order_after_its_delay() {
    let (got, report) = send_many(&plan(&[plain()]), &[], 100, 64);
    assert_eq!(got.len(), 100);
    for (n, packet) in got.iter().enumerate() {
        assert_eq!((packet.0, packet.1, number(packet)), ((n as u64 + 1) * MS, 1, n as u64));
    }
    assert_eq!((report.packets, report.bytes, report.delivered), ([100, 0], [6_400, 0], 100));
}

#[test]
fn a_link_and_a_fault_lose_their_share_each_way_of_its_own() {
    let mut link = plain();
    link.loss_there_ppm = 900_000;
    let (got, report) = send_many(&plan(&[link.clone()]), &[], 10_000, 64);
    assert!((900..1_100).contains(&got.len()), "{}", got.len());
    assert_eq!(report.lost[0] + report.delivered, 10_000);
    link.loss_there_ppm = 0;
    link.loss_back_ppm = 1_000_000;
    assert_eq!(send_many(&plan(&[link]), &[], 100, 64).0.len(), 100, "the other way's loss");
    let half = What::Loss { links: vec![0], there_ppm: 500_000, back_ppm: 0 };
    let kept = send_many(&plan(&[plain()]), &[(1, half.clone())], 10_000, 64).0.len();
    assert!((4_800..5_200).contains(&kept), "{kept}");
    let quarter = send_many(&plan(&[plain()]), &[(1, half.clone()), (2, half)], 10_000, 64).0.len();
    assert!((2_300..2_700).contains(&quarter), "two faults draw apart: {quarter}");
}

#[test]
fn a_burst_loses_in_runs() {
    let what = What::Burst { links: vec![], enter_ppm: 10_000, leave_ppm: 100_000, loss_ppm: 1_000_000 };
    let (got, _) = send_many(&plan(&[plain()]), &[(1, what)], 20_000, 64);
    let runs = got.windows(2).filter(|pair| number(&pair[1]) > number(&pair[0]) + 1).count() as u64;
    let lost = 20_000 - got.len() as u64;
    // Expected: a share of 1/11 lost, in runs of 10.
    assert!((1_300..2_400).contains(&lost), "{lost}");
    assert!((7..14).contains(&(lost / runs)), "{lost} in {runs}");
}

#[test]
fn delay_and_jitter_add_up_and_keep_order() {
    let what = What::Delay { links: vec![], add_us: 10 * MS, jitter_us: 5 * MS };
    let (got, _) = send_many(&plan(&[plain()]), &[(1, what)], 1_000, 64);
    assert!(got.windows(2).all(|pair| number(&pair[0]) < number(&pair[1])));
    let late: Vec<u64> = got.iter().map(|packet| packet.0 - number(packet) * MS).collect();
    assert!(late.iter().all(|us| (11 * MS..=16 * MS).contains(us)));
    assert!(late.iter().max() > Some(&(15 * MS)) && late.iter().min() < Some(&(14 * MS)));
}

#[test]
fn duplicates_arrive_twice_and_reordered_packets_are_overtaken() {
    let twice = What::Duplicate { links: vec![], share_ppm: 100_000, within_us: 3 * MS };
    let (got, report) = send_many(&plan(&[plain()]), &[(1, twice)], 10_000, 64);
    assert!((10_900..11_100).contains(&got.len()), "{}", got.len());
    assert_eq!(report.tampered, got.len() as u64 - 10_000);
    let held = What::Reorder { links: vec![], share_ppm: 100_000, by_us: 20 * MS };
    let (got, _) = send_many(&plan(&[plain()]), &[(1, held)], 10_000, 64);
    assert_eq!(got.len(), 10_000);
    let overtaken = got.windows(2).filter(|pair| number(&pair[0]) > number(&pair[1])).count();
    assert!(overtaken > 500, "{overtaken}");
}

#[test]
fn bits_flip_and_tails_go_missing_in_their_share() {
    let flips = What::Flip { links: vec![], share_ppm: 200_000, bits: 3 };
    let (got, _) = send_many(&plan(&[plain()]), &[(1, flips)], 5_000, 64);
    let changed: Vec<u32> = (0..5_000_u64)
        .zip(&got)
        .map(|(n, packet)| {
            let mut sent = [0xaa; 64];
            sent[..8].copy_from_slice(&n.to_le_bytes());
            sent.iter().zip(&packet.2).map(|(a, b)| (a ^ b).count_ones()).sum()
        })
        .collect();
    let count = changed.iter().filter(|bits| **bits > 0).count();
    assert!((900..1_100).contains(&count), "{count}");
    assert!(changed.iter().all(|bits| *bits <= 3) && changed.contains(&1) && changed.contains(&3));
    let cut = What::Truncate { links: vec![], share_ppm: 200_000 };
    let (got, _) = send_many(&plan(&[plain()]), &[(1, cut)], 5_000, 64);
    let short = got.iter().filter(|packet| packet.2.len() < 64).count();
    assert!((900..1_100).contains(&short), "{short}");
}

#[test]
fn what_is_too_large_does_not_pass_and_only_a_told_mtu_is_told() {
    for told in [false, true] {
        let what = What::Mtu { links: vec![], mtu: 100, told };
        assert_eq!(send_many(&plan(&[plain()]), &[(1, what.clone())], 10, 100).0.len(), 10);
        let (got, report) = send_many(&plan(&[plain()]), &[(1, what.clone())], 10, 101);
        assert_eq!((got.len(), report.oversize), (0, 10));
        let mut net = Net::new(&plan(&[plain()]));
        net.begin(1, &what);
        assert_eq!(net.interface(0, 0).unwrap().1, if told { 100 } else { 1_400 });
        net.end(1, &what);
        assert_eq!(net.interface(0, 0).unwrap().1, 1_400);
    }
}

#[test]
fn a_rate_spaces_packets_out_and_a_full_queue_drops_the_tail() {
    let mut link = plain();
    link.rate_bps = Some(units::parse_rate("80kbit").unwrap());
    link.queue_bytes = Some(1_400);
    // 100 bytes take 10 ms and one comes each millisecond: one in ten passes, after a full queue.
    let (got, report) = send_many(&plan(&[link]), &[], 1_000, 100);
    assert!((100..=116).contains(&got.len()), "{}", got.len());
    assert_eq!(report.queue_full + report.delivered, 1_000);
    assert!(got.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 10 * MS));
    let last = got.last().unwrap();
    assert_eq!(last.0 - number(last) * MS, (141 * MS), "a full queue of 14 packets, and 1 ms of way");
    let slower = What::Rate { links: vec![], rate_bps: 40_000, queue_bytes: 500 };
    let got = send_many(&plan(&[plain()]), &[(1, slower)], 1_000, 100).0.len();
    assert!((50..=56).contains(&got), "{got}");
}

#[test]
fn a_cut_is_one_way_and_a_downed_interface_says_so() {
    let there = What::Cut { links: vec![0], there: true, back: false };
    assert_eq!(send_many(&plan(&[plain()]), &[(1, there)], 10, 64).0.len(), 0);
    let back = What::Cut { links: vec![0], there: false, back: true };
    assert_eq!(send_many(&plan(&[plain()]), &[(1, back)], 10, 64).0.len(), 10);
    let down = What::Down { links: vec![0] };
    let mut net = Net::new(&plan(&[plain()]));
    net.begin(1, &down);
    assert_eq!(net.interface(0, 0), None);
    net.end(1, &down);
    assert!(net.interface(0, 0).is_some());
    assert_eq!(send_many(&plan(&[plain()]), &[(1, down)], 10, 64).1.blocked, 10);
}

#[test]
fn a_flapping_link_passes_nothing_while_down_and_comes_back() {
    for told in [false, true] {
        let what = What::Flap { links: vec![], period_us: 10 * MS, down_ppm: 500_000, told };
        let mut net = Net::new(&plan(&[plain()]));
        net.begin(1, &what);
        let (mut pool, mut agenda) = (Pool::default(), Agenda::new());
        let mut try_one = |net: &mut Net| {
            let mut out = Outbox { pool: &mut pool, agenda: &mut agenda, wrap: |arrival| arrival };
            net.send(0, 0, 0, address_of(1), &[0; 64], &mut out);
            collect(&mut pool, &mut agenda).len()
        };
        assert_eq!(try_one(&mut net), 1);
        net.flap(1, &what, true);
        net.flap(1, &what, true);
        assert_eq!(try_one(&mut net), 0);
        assert_eq!(net.interface(0, 0).is_none(), told);
        net.end(1, &what);
        assert_eq!(try_one(&mut net), 1);
        assert!(net.interface(0, 0).is_some());
    }
}

#[test]
fn old_packets_come_again() {
    let what = What::Replay { links: vec![], share_ppm: 500_000, within_us: 2 * MS };
    let (got, report) = send_many(&plan(&[plain()]), &[(1, what)], 1_000, 64);
    assert!((1_400..1_600).contains(&got.len()), "{}", got.len());
    assert_eq!(report.delivered, 1_000);
    let numbers: std::collections::BTreeSet<u64> = got.iter().map(number).collect();
    assert_eq!(numbers.len(), 1_000, "a replay is always of something that was sent");
}

#[test]
fn a_partition_holds_between_its_sides_and_nowhere_else() {
    let shared = LinkPlan::new(LinkKind::Plain, &[0, 1, 2, 3]);
    let mut net = Net::new(&plan(&[shared]));
    let what = What::Partition { sides: vec![vec![0, 1], vec![2]] };
    net.begin(5, &what);
    let (mut pool, mut agenda) = (Pool::default(), Agenda::new());
    let mut heard = |net: &mut Net, from: u32, to: Addr| -> Vec<u32> {
        let mut out = Outbox { pool: &mut pool, agenda: &mut agenda, wrap: |arrival| arrival };
        net.send(0, 0, from, to, &[0; 64], &mut out);
        collect(&mut pool, &mut agenda).into_iter().map(|got| got.1).collect()
    };
    assert_eq!(heard(&mut net, 0, Addr::ANY), [1, 3]);
    assert_eq!(heard(&mut net, 2, Addr::ANY), [3]);
    assert_eq!(heard(&mut net, 3, Addr::ANY), [0, 1, 2]);
    assert_eq!(heard(&mut net, 0, address_of(2)), [0; 0]);
    net.end(5, &what);
    let mut sides = vec![Vec::new(); 257];
    (sides[0], sides[256]) = (vec![0], vec![1]);
    let many = What::Partition { sides };
    net.begin(6, &many);
    assert_eq!(heard(&mut net, 0, Addr::ANY), [2, 3], "however many sides there are");
    net.end(6, &many);
    assert_eq!(heard(&mut net, 0, Addr::ANY), [1, 2, 3]);
    assert_eq!(heard(&mut net, 0, address_of(2)), [2]);
    assert_eq!(heard(&mut net, 0, address_of(9)), [0; 0]);
    assert_eq!(heard(&mut net, 0, Addr::from_u32(0xc000_0001)), [0; 0], "a forged address is nobody's");
    assert_eq!(net.reports()[0].nowhere, 2);
}

#[test]
fn a_shared_medium_has_one_rate_for_all_and_a_radio_keeps_its_duty_cycle() {
    let mut shared = LinkPlan::new(LinkKind::Plain, &[0, 1, 2]);
    shared.rate_bps = Some(800_000);
    let lora = LinkPlan::new(LinkKind::LoraSf7, &[0, 1, 2]);
    for (link, second_at) in [(shared, 3 * MS), (lora, 2 * 118_016)] {
        let mut net = Net::new(&plan(&[link]));
        let (mut pool, mut agenda) = (Pool::default(), Agenda::new());
        for from in [0, 1] {
            let mut out = Outbox { pool: &mut pool, agenda: &mut agenda, wrap: |arrival| arrival };
            net.send(0, 0, from, address_of(2), &[0; 64], &mut out);
        }
        let got = collect(&mut pool, &mut agenda);
        assert_eq!(got.len(), 2);
        let airtime = got[1].0 - got[0].0;
        assert!(airtime >= 640, "one after the other: {airtime}");
        assert!(got[1].0 <= second_at + 10 * MS, "{}", got[1].0);
    }
    let mut net = Net::new(&plan(&[LinkPlan::new(LinkKind::LoraSf7, &[0, 1])]));
    let (mut pool, mut agenda) = (Pool::default(), Agenda::new());
    for _ in 0..2 {
        let mut out = Outbox { pool: &mut pool, agenda: &mut agenda, wrap: |arrival| arrival };
        net.send(0, 0, 0, address_of(1), &[0; 10], &mut out);
    }
    let got = collect(&mut pool, &mut agenda);
    assert_eq!(
        got.len(),
        1,
        "the second would wait 99 times its airtime, which is more than the queue holds"
    );
}

#[test]
fn a_clone_hears_what_is_sent_to_it_with_its_originals_luck() {
    let mut link = plain();
    link.loss_back_ppm = 1_000_000;
    let mut plan = plan(&[link]);
    plan.add_fault(0, 1, What::Clone { node: 0 });
    let mut net = Net::new(&plan);
    net.join_like(4, 0);
    let (mut pool, mut agenda) = (Pool::default(), Agenda::new());
    for (from, to) in [(4, 1), (1, 4)] {
        let mut out = Outbox { pool: &mut pool, agenda: &mut agenda, wrap: |arrival| arrival };
        net.send(0, 0, from, address_of(to), &[0; 64], &mut out);
    }
    let got: Vec<u32> = collect(&mut pool, &mut agenda).into_iter().map(|got| got.1).collect();
    assert_eq!(got, [1], "the way back loses everything for the clone too");
}

fn nat_at(node: u32, links: Vec<u32>) -> What {
    let narrow = crate::plan::Dependence::AddressAndPortDependent;
    What::Nat { node, links, mapping: narrow, filtering: narrow, expire_us: 30_000 * MS }
}

/// The node behind it is reached where it is seen, not where it is; the newest of two translators counts.
#[test]
fn a_translator_stands_between_a_node_and_its_link() {
    let mut net = Net::new(&plan(&[plain()]));
    let (mut pool, mut agenda) = (Pool::default(), Agenda::new());
    let mut sent = |net: &mut Net, from: u32, to: Addr| -> Vec<(u32, Addr)> {
        let mut out = Outbox { pool: &mut pool, agenda: &mut agenda, wrap: |arrival| arrival };
        net.send(0, 0, from, to, &[0; 64], &mut out);
        std::iter::from_fn(|| agenda.pop())
            .map(|(_, arrival)| (arrival.host, pool.take(arrival.packet).0))
            .collect()
    };
    let inside = nat_at(0, Vec::new());
    net.begin(1, &inside);
    assert_eq!(sent(&mut net, 1, address_of(0)), [], "it is not seen under its own address");
    assert_eq!(sent(&mut net, 0, Addr::ANY), [], "nothing is meant for everybody");
    let [(1, seen)] = sent(&mut net, 0, address_of(1))[..] else { panic!("one packet for node 1") };
    assert!(seen != address_of(0) && owner_of(&seen) == Some(0));
    assert_eq!(sent(&mut net, 1, seen), [(0, address_of(1))], "an answer is let in");
    net.begin(2, &inside);
    assert_eq!(sent(&mut net, 1, seen), [], "a new translator knows nothing of it");
    let [(1, anew)] = sent(&mut net, 0, address_of(1))[..] else { panic!("one packet for node 1") };
    assert_ne!(anew, seen);
    net.end(2, &inside);
    net.end(1, &inside);
    assert_eq!(sent(&mut net, 1, anew), []);
    assert_eq!(sent(&mut net, 1, address_of(0)), [(0, address_of(1))]);
    assert_eq!(net.reports()[0].nowhere, 4);
}

/// The law of keyed draws: 8 links with 2,000 packets each at 90 % loss and 27 faults; taking one fault
/// out changes no packet of another link, and none of its own link outside its time.
#[test]
fn taking_a_fault_out_changes_nothing_else() {
    let mut plan = plan(&[]);
    for _ in 0..8 {
        let mut link = plain();
        link.loss_there_ppm = 900_000;
        plan.links.push(link);
    }
    let lot = Lot::new(1, Purpose::Plan, 99);
    for n in 0..27 {
        let links = vec![lot.below(n * 4, 8) as u32];
        let start_us = lot.below(n * 4 + 1, 1_500) * MS;
        let what = match n % 8 {
            5 => What::Down { links },
            6 => What::Mtu { links, mtu: 64 - 1, told: false },
            7 => nat_at(1, links),
            0 => What::Loss { links, there_ppm: 300_000, back_ppm: 0 },
            1 => What::Burst { links, enter_ppm: 50_000, leave_ppm: 100_000, loss_ppm: 900_000 },
            2 => What::Duplicate { links, share_ppm: 500_000, within_us: 10 },
            3 => What::Flip { links, share_ppm: 500_000, bits: 4 },
            _ => What::Truncate { links, share_ppm: 500_000 },
        };
        plan.add_fault(start_us, start_us + 300 * MS, what);
    }
    let run = |plan: &Plan| -> Vec<Vec<Got>> {
        let mut net = Net::new(plan);
        let (mut pool, mut agenda) = (Pool::default(), Agenda::new());
        for at_us in (0..2_000).map(|n| n * MS) {
            for fault in &plan.faults {
                if fault.start_us == at_us {
                    net.begin(fault.id, &fault.what);
                }
                if fault.end_us == at_us {
                    net.end(fault.id, &fault.what);
                }
            }
            for link in 0..8 {
                let mut out = Outbox { pool: &mut pool, agenda: &mut agenda, wrap: |arrival| arrival };
                let mut bytes = vec![0x55; 64];
                bytes[..8].copy_from_slice(&(at_us / MS).to_le_bytes());
                net.send(at_us, link, 0, address_of(1), &bytes, &mut out);
            }
        }
        let mut per_link = vec![Vec::new(); 8];
        while let Some((at_us, arrival)) = agenda.pop() {
            per_link[arrival.link as usize].push((at_us, arrival.host, pool.take(arrival.packet).1));
        }
        per_link
    };
    let whole = run(&plan);
    let mut touched = 0;
    for at in 0..27 {
        let mut less = plan.clone();
        let gone = less.faults.remove(at);
        let link = gone.what.links().unwrap()[0] as usize;
        let without = run(&less);
        for (number, (with, without)) in whole.iter().zip(&without).enumerate() {
            let window = gone.start_us..gone.end_us + 2 * MS;
            let outside = |got: &&Got| number != link || !window.contains(&got.0);
            assert!(
                with.iter().filter(outside).eq(without.iter().filter(outside)),
                "fault {at}, link {number}"
            );
            touched += usize::from(with != without);
        }
    }
    assert!((20..=27).contains(&touched), "and each fault does do something: {touched}");
}
