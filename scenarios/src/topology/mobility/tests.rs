use simulator::plan::{FlowPlan, LinkKind, NodePlan};

use super::*;

const SECOND: u64 = 1_000_000;

fn pace() -> Pace {
    Pace {
        first_us: 60 * SECOND,
        every_us: 30 * SECOND,
        notice_us: SECOND / 10,
        both: true,
        forget_us: None,
        told: false,
    }
}

fn written(mobility: &Mobility, pace: &Pace) -> Plan {
    let rounds = mobility.rounds.len();
    let mut plan = Plan::new("walk", 1, pace.starts_us(rounds));
    plan.add_node(NodePlan { count: mobility.rounds[0].places.len() as u32, ..NodePlan::default() });
    mobility.apply(&mut plan, &LinkPlan::new(LinkKind::Wifi, &[]), pace);
    plan
}

#[test]
fn everybody_makes_steps_of_the_length_and_stays_in_the_square() {
    let walk = mobility(50, 150, 30, 60, 1_000, 3);
    assert_eq!(walk.rounds.len(), 30);
    assert_eq!(walk.rounds[0].places, places(50, 1_000, 3));
    let (mut steps, mut east) = (0, 0);
    for two in walk.rounds.windows(2) {
        for (from, to) in two[0].places.iter().zip(&two[1].places) {
            assert!((0..=1_000_000).contains(&to.x_mm) && (0..=1_000_000).contains(&to.y_mm));
            let length_mm = from.square_mm2(*to).isqrt();
            // Whoever is thrown back by a wall ends nearer.
            let inside =
                |place: &Place| [place.x_mm, place.y_mm].iter().all(|mm| (60_000..940_000).contains(mm));
            assert!(length_mm <= 60_001 && (!inside(from) || length_mm >= 59_990), "{length_mm}");
            steps += 1;
            east += u32::from(to.x_mm > from.x_mm);
        }
    }
    assert!((steps * 45 / 100..steps * 55 / 100).contains(&east), "{east} of {steps} to the east");
    assert_eq!(turned_back(-5, 100), 5);
    assert_eq!(turned_back(105, 100), 95);
    assert_eq!(turned_back(205, 100), 5);
}

#[test]
fn each_round_has_the_shortest_links_and_more_of_them_change_with_longer_steps() {
    let mut kept = Vec::new();
    for step_m in [10, 30, 60] {
        let walk = mobility(50, 150, 30, step_m, 1_000, 3);
        for round in &walk.rounds {
            let drawn = shortest(&round.places, 150);
            assert_eq!(round.topology(), drawn);
            assert_eq!(round.links.len(), 150);
        }
        let same = |two: &[Round]| two[0].links.iter().filter(|pair| two[1].links.contains(pair)).count();
        kept.push(walk.rounds.windows(2).map(same).sum::<usize>() / 29);
    }
    assert!(kept[0] > kept[1] && kept[1] > kept[2] && kept[2] > 75, "links that stay: {kept:?}");
    assert_eq!(mobility(50, 150, 5, 30, 1_000, 9), mobility(50, 150, 5, 30, 1_000, 9));
}

/// What the plan says about each moment is what the round of that moment has.
#[test]
fn the_plan_has_in_each_round_the_links_of_that_round() {
    let walk = mobility(50, 150, 30, 60, 1_000, 4);
    for (told, forget_us) in [(false, None), (true, Some(5 * SECOND))] {
        let pace = Pace { told, forget_us, ..pace() };
        let plan = written(&walk, &pace);
        assert_eq!(plan.check(), Ok(()));
        assert_eq!(Plan::from_toml(&plan.to_toml()), Ok(plan.clone()));
        assert_eq!(plan.links.len(), walk.topology().links.len());
        let begins: BTreeSet<u64> = (0..30).map(|round| pace.starts_us(round)).collect();
        for peer in plan.peers.iter().filter(|peer| peer.at_us > 0) {
            assert!(begins.contains(&(peer.at_us - pace.notice_us)), "noticed at {}", peer.at_us);
        }
        for (round, number) in walk.rounds.iter().zip(0..) {
            let at_us = pace.starts_us(number) + pace.notice_us;
            let gone: BTreeSet<u32> = plan
                .faults
                .iter()
                .filter(|fault| fault.start_us <= at_us && at_us < fault.end_us)
                .map(|fault| match &fault.what {
                    What::Cut { links, there: true, back: true } if !told => links[0],
                    What::Down { links } if told => links[0],
                    other => panic!("{other:?}"),
                })
                .collect();
            let there: Vec<(u32, u32)> = (plan.links.iter().zip(0..))
                .filter(|(_, link)| !gone.contains(link))
                .map(|(link, _)| (link.members[0], link.members[1]))
                .collect();
            assert_eq!(there, round.links, "round {number}");
            let told_of: BTreeSet<(u32, u32)> = plan
                .peers
                .iter()
                .filter(|peer| peer.is_told(at_us))
                .map(|peer| (peer.node, peer.to))
                .collect();
            assert!(round.links.iter().all(|pair| told_of.contains(pair)), "round {number}");
            let later_us = at_us + 10 * SECOND;
            let still = plan.peers.iter().filter(|peer| peer.is_told(later_us)).count();
            assert_eq!(still == 2 * 150, forget_us.is_some() || number == 0, "round {number}: {still}");
        }
    }
}

/// A node walks past another: while they hear each other messages arrive; when it is gone nothing does; when it comes
/// back they arrive soon again, whether or not the peer was forgotten meanwhile, and whether or not the nodes are told.
#[test]
fn who_comes_back_is_reached_again() {
    let away = Round { places: vec![Place::default(); 2], links: vec![] };
    let near = Round { links: vec![(0, 1)], ..away.clone() };
    let walk = Mobility { rounds: vec![near.clone(), away.clone(), near.clone(), away, near] };
    for (told, forget_us) in [(false, None), (false, Some(SECOND)), (true, Some(SECOND))] {
        let pace = Pace { first_us: 90 * SECOND, every_us: 90 * SECOND, told, forget_us, ..pace() };
        let mut plan = written(&walk, &pace);
        for start_s in (1..450).step_by(2) {
            let mut flow = FlowPlan::new(0, 1, 1, 50);
            flow.start_us = start_s * SECOND;
            flow.delivery = simulator::plan::Kind::Datagram;
            plan.flows.push(flow);
        }
        let outcome = simulator::run(&plan);
        assert!(outcome.passed(), "{}", outcome.sentence());
        for (peer, up_us) in plan.peers.iter().zip(&outcome.session_up_us) {
            assert!(up_us.is_some_and(|us| us >= peer.at_us), "{up_us:?} for one told at {}", peer.at_us);
        }
        // What waits for the other to come back arrives late.
        let in_time = |at: usize| {
            let late_us = plan.flows[at].start_us + SECOND;
            outcome.flow_reports[at].first_delivered_us.is_some_and(|at_us| at_us <= late_us)
        };
        let arrived: Vec<bool> = (0..plan.flows.len()).map(in_time).collect();
        // One every two seconds, 45 a round, and five seconds to find each other again.
        let in_round = |round: usize, skip: usize| &arrived[45 * round + skip..45 * round + 45];
        for (round, heard) in [(0, true), (1, false), (2, true), (3, false), (4, true)] {
            assert!(in_round(round, 3).iter().all(|is| *is == heard), "{told} {forget_us:?}: {arrived:?}");
        }
    }
}

/// Who was told that the other is gone calls there no more; who was not goes on for ever, and so does who was only called.
#[test]
fn nobody_calls_where_he_was_told_not_to() {
    let near = Round { places: vec![Place::default(); 2], links: vec![(0, 1)] };
    let walk = Mobility { rounds: vec![near.clone(), Round { links: vec![], ..near }] };
    let sent = [(None, true), (Some(SECOND), false), (Some(SECOND), true)].map(|(forget_us, both)| {
        let pace = Pace { first_us: 600 * SECOND, every_us: 600 * SECOND, forget_us, both, ..pace() };
        let mut plan = written(&walk, &pace);
        // Longer away than a session lasts.
        plan.duration_us = 1_600 * SECOND;
        plan.faults.iter_mut().for_each(|fault| fault.end_us = plan.duration_us);
        let outcome = simulator::run(&plan);
        assert!(outcome.passed(), "{}", outcome.sentence());
        outcome.node_reports.iter().map(|node| node.sent_by_quarter[3].0).sum::<u64>()
    });
    assert!(sent[0] > 60 && sent[1] > 30 && sent[2] == 0, "packets in the last quarter: {sent:?}");
}

#[test]
fn the_same_walk_is_one_of_radios() {
    let walk = mobility(20, 30, 5, 60, 1_000, 4);
    let (places, moves) = walk.stands(&pace());
    assert_eq!((places.len(), moves.len()), (20, 4));
    assert_eq!(places[7], walk.rounds[0].places[7].metres());
    assert_eq!(moves[3].places[7], walk.rounds[4].places[7].metres());
    assert_eq!((moves[0].at_us, moves[3].at_us), (60 * SECOND, 150 * SECOND));
}
