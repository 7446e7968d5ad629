//! Real nodes that pass on for each other.

use std::sync::mpsc;

use crate::check::{Checker, Sight, Violation, want};
use crate::outcome::{Outcome, Verdict};
use crate::plan::{
    BroadcastPlan, Deed, Fault, FlowPlan, LinkKind, LinkPlan, MemberPlan, NodePlan, Part, Plan, What,
};
use crate::world::Options;

const SECOND: u64 = 1_000_000;

/// Five routers in a row.
fn row() -> Plan {
    let mut plan = Plan::new("row", 5, 60 * SECOND);
    let mut node = NodePlan { count: 5, ..NodePlan::default() };
    node.limits.insert("routers".to_owned(), 10);
    plan.add_node(node);
    for node in 0..4 {
        plan.add_link(LinkPlan::new(LinkKind::Ethernet, &[node, node + 1]));
        plan.add_peer(node, node + 1);
    }
    plan
}

fn run(plan: &Plan) -> Outcome {
    let outcome = crate::run_with(plan, Options { check_nodes: true, ..Options::default() }).outcome;
    assert_eq!(outcome.verdict, Verdict::Pass, "{} {:?}", outcome.sentence(), outcome.notes);
    outcome
}

#[test]
fn each_question_is_answered() {
    let mut plan = row();
    let question = FlowPlan { start_us: SECOND, every_us: SECOND, ..FlowPlan::new(0, 4, 7, 100) };
    plan.flows = vec![question.answer(1, 50), question];
    let outcome = run(&plan);
    let [answers, questions] = &outcome.flow_reports[..] else { panic!("two flows") };
    assert_eq!((questions.delivered, answers.delivered), (7, 7));
    assert!(answers.first_sent_us >= questions.first_delivered_us);
    let ways = outcome.routes;
    assert_eq!((ways.hops, ways.shortest_hops, ways.returned), (4 * ways.packets, 4 * ways.packets, 0));
}

/// A row that is three times as long as anybody's map. Whoever is not on it is looked for, answers, and is found again when the visit is over.
#[test]
fn who_is_not_on_the_map_is_found() {
    let mut plan = row();
    (plan.nodes, plan.links, plan.peers) = Default::default();
    let mut node = NodePlan { count: 36, ..NodePlan::default() };
    node.limits.insert("routers".to_owned(), 12);
    plan.add_node(node);
    // Two rows side by side, so that one node less parts nobody from the others.
    for node in 0..34 {
        plan.add_link(LinkPlan::new(LinkKind::Ethernet, &[node, node + 2]));
        plan.add_peer(node, node + 2);
    }
    for node in (0..36).step_by(2) {
        plan.add_link(LinkPlan::new(LinkKind::Ethernet, &[node, node + 1]));
        plan.add_peer(node, node + 1);
    }
    plan.duration_us = 1_200 * SECOND;
    let pairs = [(0, 35), (35, 1), (2, 30), (20, 0)];
    for (from, to) in pairs {
        let at =
            FlowPlan { start_us: 60 * SECOND, every_us: 500 * SECOND, ..FlowPlan::new(from, to, 3, 100) };
        let number = plan.flows.len() as u32;
        let answer = at.answer(number, 50);
        plan.flows.extend([at, answer]);
    }
    let outcome = run(&plan);
    for pair in outcome.flow_reports.chunks(2) {
        assert_eq!([pair[0].delivered, pair[1].delivered], [3, 3], "{:?}", outcome.notes);
    }
    assert_eq!(outcome.routes.returned, 0);
}

/// A node over the hills is visited for one message. Nothing keeps that session up, its end sets off no call, and the next
/// message finds its way again.
#[test]
fn a_visit_ends_in_silence() {
    let mut plan = row();
    plan.duration_us = 1_000 * SECOND;
    plan.flows =
        vec![FlowPlan { start_us: 10 * SECOND, every_us: 600 * SECOND, ..FlowPlan::new(0, 4, 2, 100) }];
    let outcome = run(&plan);
    assert_eq!(outcome.delivered, 2);
    let visits = |what: &str, host: u32| {
        let is_one = |note: &&crate::outcome::Note| note.host == host && note.what.starts_with(what);
        outcome.notes.iter().filter(is_one).count()
    };
    for host in [0, 4] {
        // One neighbour, and two visits.
        assert_eq!(visits("PeerUp", host), 3, "{:?}", outcome.notes);
        assert_eq!(visits("PeerDown", host), 2, "{:?}", outcome.notes);
    }
}

/// Two neighbours lose sight of each other and their session dies; one of them is still called where it was. A message finds it
/// over the third.
#[test]
fn who_was_a_neighbour_is_found_over_others() {
    for until_us in [None, Some(20 * SECOND)] {
        let mut plan = row();
        plan.duration_us = 600 * SECOND;
        plan.expect.sessions = false;
        plan.add_link(LinkPlan::new(LinkKind::Ethernet, &[0, 4]));
        plan.add_peer(0, 4);
        if let Some(peer) = plan.peers.last_mut() {
            peer.until_us = until_us;
        }
        let what = What::Cut { links: vec![4], there: true, back: true };
        plan.faults.push(Fault { id: 1, start_us: 10 * SECOND, end_us: plan.duration_us, what });
        plan.flows = vec![FlowPlan { start_us: 400 * SECOND, ..FlowPlan::new(0, 4, 1, 100) }];
        let outcome = run(&plan);
        assert!(outcome.latency.max() < SECOND, "{until_us:?}: {} us", outcome.latency.max());
    }
}

/// Notes how much longer packets are than a message that they carry, by link.
struct Overhead {
    payload: usize,
    from_us: u64,
    seen: mpsc::Sender<(u32, usize)>,
}

impl Checker for Overhead {
    fn name(&self) -> &'static str {
        "overhead"
    }

    fn wants(&self) -> u16 {
        want::PACKET
    }

    fn see(&mut self, at_us: u64, sight: &Sight<'_>) -> Option<Violation> {
        if let Sight::Packet { link, bytes, .. } = sight
            && at_us >= self.from_us
            && bytes.len() >= self.payload
        {
            self.seen.send((*link, bytes.len() - self.payload)).unwrap();
        }
        None
    }
}

/// The table of the specification (routing, "What a hop costs"), for a way that is known: the packet of the link 21 bytes, its frame 2
/// or 3, the head 11 on the first and the last hop and 19 on the others, the packet from end to end 21, its frame 2 or 3; a packet number
/// or a length takes one more now and then.
#[test]
fn a_small_message_costs_little_on_each_hop() {
    let mut plan = row();
    plan.flows = vec![
        FlowPlan { start_us: SECOND, ..FlowPlan::new(0, 3, 1, 40) },
        FlowPlan { start_us: 20 * SECOND, every_us: SECOND / 10, ..FlowPlan::new(0, 3, 50, 100) },
    ];
    let (sender, receiver) = mpsc::channel();
    let overhead = Overhead { payload: 100, from_us: 20 * SECOND, seen: sender };
    let checkers: Vec<Box<dyn Checker>> = vec![Box::new(overhead)];
    let outcome = crate::run_with(&plan, Options { checkers, ..Options::default() }).outcome;
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
    let mut seen: Vec<(u32, usize)> = receiver.try_iter().collect();
    seen.sort_unstable();
    let mut middles = 0;
    for (link, head) in [(0, 11), (1, 19), (2, 11)] {
        let bytes: Vec<usize> =
            seen.iter().filter(|seen| seen.0 == link).map(|&(_, overhead)| overhead).collect();
        assert_eq!(bytes.first(), Some(&(46 + head)), "link {link}: {bytes:?}");
        assert!(bytes.last().is_some_and(|&most| most <= 53 + head), "link {link}: {bytes:?}");
        middles += bytes[bytes.len() / 2];
    }
    assert!(middles <= 3 * 64, "{middles} bytes on three hops");
}

/// What is revoked under traffic is sent nothing any more, and the others talk on.
#[test]
fn a_revoked_router_is_no_next_hop_any_more() {
    let mut plan = row();
    plan.add_link(LinkPlan::new(LinkKind::Ethernet, &[4, 0]));
    plan.add_peer(4, 0);
    plan.add_fault(20 * SECOND, 20 * SECOND, What::Revoke { node: 1 });
    plan.flows = vec![FlowPlan { start_us: 10 * SECOND, every_us: SECOND, ..FlowPlan::new(0, 2, 20, 100) }];
    let outcome = run(&plan);
    assert_eq!(outcome.delivered, 20);
    assert!(outcome.latency.max() < SECOND, "{} us", outcome.latency.max());
    let ended = outcome.notes.iter().filter(|note| note.what.contains("Revoked")).count();
    assert_eq!(ended, 2, "both neighbours ended their sessions: {:?}", outcome.notes);
}

/// Twelve members on a ring with two chords, who all ask for topic 4.
fn members() -> Plan {
    let mut plan = Plan::new("members", 5, 120 * SECOND);
    let mut node = NodePlan { count: 12, topics: vec![4], ..NodePlan::default() };
    node.limits.insert("routers".to_owned(), 20);
    node.limits.insert("gossip_members".to_owned(), 20);
    plan.add_node(node);
    for (a, b) in (0..12).map(|node| (node, (node + 1) % 12)).chain([(0, 6), (3, 9)]) {
        let mut link = LinkPlan::new(LinkKind::Ethernet, &[a, b]);
        (link.loss_there_ppm, link.loss_back_ppm) = (100_000, 100_000);
        plan.add_link(link);
        plan.add_peer(a, b);
    }
    plan
}

/// Most of those who exchange gossip here do not hear each other: their sessions go over others.
#[test]
fn what_is_said_to_all_is_heard_by_all_once() {
    let mut plan = members();
    for from in [2, 7] {
        let broadcast = BroadcastPlan::new(from, 100, 200, 300_000);
        plan.broadcasts.push(BroadcastPlan { topic: 4, start_us: 40 * SECOND, ..broadcast });
    }
    let outcome = run(&plan);
    let gossip = &outcome.gossip;
    assert_eq!((gossip.said, gossip.owed, gossip.delivered), (200, 2_200, 2_200));
    assert!(gossip.latency.max() < 5 * SECOND, "{} us", gossip.latency.max());
    assert_eq!((gossip.removed_alive, gossip.removed_excused), (0, 0));
}

/// Who did not ask for a topic is owed nothing of it.
#[test]
fn nobody_is_owed_what_he_did_not_ask_for() {
    let mut plan = members();
    plan.broadcasts = vec![BroadcastPlan { start_us: 20 * SECOND, ..BroadcastPlan::new(2, 3, 200, SECOND) }];
    let outcome = run(&plan);
    assert_eq!((outcome.gossip.said, outcome.gossip.owed), (3, 0));
}

/// One loses its power and everybody finds that out; it comes back and everybody takes it in again.
#[test]
fn a_member_that_is_switched_off_is_found_dead_by_all() {
    let mut plan = members();
    let what = What::Crash { node: 5, down_us: 30 * SECOND };
    plan.faults.push(Fault { id: 1, start_us: 60 * SECOND, end_us: 100 * SECOND, what });
    plan.broadcasts.push(BroadcastPlan {
        topic: 4,
        start_us: 118 * SECOND,
        ..BroadcastPlan::new(5, 5, 99, 100_000)
    });
    let outcome = run(&plan);
    let found = outcome.gossip.members[&5];
    let after = |us: Option<u64>| us.unwrap() - 60 * SECOND;
    assert_eq!((found.off_us, found.removed_by), (Some(60 * SECOND), 11));
    assert!(
        after(found.first_suspected_us) < 3 * SECOND && after(found.last_removed_us) < 10 * SECOND,
        "{found:?}"
    );
    // What it says after its start is new to all.
    assert_eq!((outcome.gossip.owed, outcome.gossip.delivered), (55, 55));
}

/// One says that it goes: all hear it from itself, nobody has to find out, and it is owed nothing any more.
#[test]
fn who_leaves_says_so_to_all() {
    let mut plan = members();
    plan.members = vec![MemberPlan { node: 5, start_us: 60 * SECOND, what: Deed::Leave {} }];
    let said = BroadcastPlan::new(2, 3, 99, SECOND);
    plan.broadcasts = vec![BroadcastPlan { topic: 4, start_us: 80 * SECOND, ..said }];
    // What it was to say itself it does not say.
    plan.broadcasts.push(BroadcastPlan { from: 5, ..plan.broadcasts[0].clone() });
    let outcome = run(&plan);
    let found = outcome.gossip.members[&5];
    assert_eq!((found.off_us, found.left_by, found.removed_by), (Some(60 * SECOND), 11, 0), "{found:?}");
    assert!(found.last_left_us.unwrap() < 62 * SECOND, "{found:?}");
    assert_eq!((outcome.gossip.said, outcome.gossip.owed, outcome.gossip.delivered), (3, 30, 30));
}

/// One says what it does and can do, and one asks another to let it in.
#[test]
fn what_a_member_says_of_itself_reaches_all() {
    let mut plan = members();
    let what = Deed::Announce { role: Part::Leaf, capabilities: 5 };
    let join = Deed::Join { contact: 2 };
    plan.members = vec![
        MemberPlan { node: 7, start_us: 60 * SECOND, what },
        MemberPlan { node: 8, start_us: 0, what: join },
    ];
    let outcome = run(&plan);
    assert_eq!(outcome.gossip.announced.get(&7), Some(&11));
    assert_eq!((outcome.gossip.removed_alive, outcome.gossip.removed_excused), (0, 0));
    // At its start nobody was in session with it or on its map; then it was taken.
    let mut refused = outcome.notes.iter().filter(|note| note.what.contains("of members not taken"));
    assert!(refused.clone().count() > 0 && refused.clone().all(|note| note.host == 8), "{:?}", outcome.notes);
    assert!(refused.next_back().unwrap().at_us < 30 * SECOND);
}

/// A cut parts the ring for a while: who is removed then was not there for those who removed him, and is taken in again.
#[test]
fn a_parted_network_grows_together_again() {
    let mut plan = members();
    plan.duration_us = 300 * SECOND;
    let what = What::Partition { sides: vec![(0..6).collect(), (6..12).collect()] };
    plan.faults.push(Fault { id: 1, start_us: 60 * SECOND, end_us: 90 * SECOND, what });
    plan.broadcasts.push(BroadcastPlan {
        topic: 4,
        start_us: 280 * SECOND,
        ..BroadcastPlan::new(1, 5, 99, SECOND)
    });
    let outcome = run(&plan);
    assert_eq!((outcome.gossip.owed, outcome.gossip.delivered), (55, 55));
    assert!(outcome.gossip.removed_excused > 0 && outcome.gossip.removed_alive == 0);
}
