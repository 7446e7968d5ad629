//! People who walk about: who hears whom changes, and nobody says so.
//!
//! A demonstration in a square kilometre. Everybody takes a few steps every half minute, and with each step some fall out of
//! each other's hearing and others come into it. The radio does not say goodbye: what was heard is silent. That somebody new
//! is there has to be noticed, a little later. This is the procedure by which meshnet-lab's `mobility1` was measured: n nodes
//! in a square, the so many shortest links; every so many seconds all nodes move by so many metres and the links are drawn
//! again.
//!
//! [`mobility`] says who stands where and who hears whom in each round; [`Mobility::apply`] writes it into a plan: one link for
//! each two that ever hear each other, one fault for each time in which they do not, and one `[[peer]]` for each time in which
//! they do. A walk starts as [`places`] drew them; each step has its full length in a direction of its own, and whoever would
//! leave the square is turned back by its wall.

use std::collections::BTreeSet;

use simulator::draw::{Lot, Purpose};
use simulator::plan::radio::Move;
use simulator::plan::{Fault, LinkPlan, PeerPlan, Plan, What};

use super::Topology;
use super::shapes::{Place, network, places, shortest};

/// Who stands where, and who hears whom, until the next step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Round {
    /// Where each node stands.
    pub places: Vec<Place>,
    /// The shortest links, each with the smaller number first, in order.
    pub links: Vec<(u32, u32)>,
}

impl Round {
    /// Who hears whom, as a network.
    #[must_use]
    pub fn topology(&self) -> Topology {
        network(self.places.len() as u32, self.links.iter().copied())
    }
}

/// A walk in rounds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mobility {
    /// One after the other; the first is as the nodes were set down.
    pub rounds: Vec<Round>,
}

/// When what happens, in virtual microseconds, and who is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// How long the first round lasts: nodes may want to settle.
    pub first_us: u64,
    /// How long each other round lasts; the last one lasts to the end of the storm.
    pub every_us: u64,
    /// How long it takes to notice that somebody is there; 1 at least. In the first round everybody knows at once.
    pub notice_us: u64,
    /// Whether both ends notice each other and call. If not, the one with the smaller number does; the other is never told
    /// where it was, so it cannot be told to forget that either, and goes on calling when its session has died.
    pub both: bool,
    /// How long after a link has gone the nodes are told to call there no more; `None`: they go on calling for ever.
    pub forget_us: Option<u64>,
    /// Whether the interface of a link that is not there is down and its nodes are told so, as with a cable. If not, there is
    /// silence, as with a radio.
    pub told: bool,
}

impl Pace {
    /// When a round begins.
    #[must_use]
    pub fn starts_us(&self, round: usize) -> u64 {
        let later = (round as u64).checked_sub(1);
        later.map_or(0, |later| self.first_us.saturating_add(self.every_us.saturating_mul(later)))
    }
}

/// `nodes` nodes in a square of `metres` metres with the `links` shortest links, for `rounds` rounds, between which each
/// moves by `step_m` metres.
#[must_use]
pub fn mobility(nodes: u32, links: u32, rounds: u32, step_m: u32, metres: u32, seed: u64) -> Mobility {
    let mut at = places(nodes, metres, seed);
    let rounds = (0..rounds).map(|round| {
        if round > 0 {
            for (place, node) in at.iter_mut().zip(0_u64..) {
                // A second purpose beside those of shapes, whose keys are small.
                let lot = Lot::new(seed, Purpose::Shape, 1 << 32 | node);
                *place = step(*place, lot, round, step_m, metres);
            }
        }
        let drawn = shortest(&at, links);
        Round {
            places: at.clone(),
            links: drawn.links.iter().map(|link| (link.source, link.target)).collect(),
        }
    });
    Mobility { rounds: rounds.collect() }
}

/// How often a direction is drawn until it lies in the circle; once in 10^10 steps that is not enough.
const TRIES: u64 = 15;

/// One step of full length. The direction is a point drawn from a square until it lies in the circle within.
fn step(from: Place, lot: Lot, round: u32, step_m: u32, metres: u32) -> Place {
    const RADIUS: i64 = 1_000_000;
    let along = |n: u64| lot.between(u64::from(round) * 32 + n, 0, 2 * RADIUS as u64).cast_signed() - RADIUS;
    let fits = |&(x, y): &(i64, i64)| (1..=RADIUS * RADIUS).contains(&(x * x + y * y));
    let (x, y) = (0..TRIES).map(|n| (along(2 * n), along(2 * n + 1))).find(fits).unwrap_or((RADIUS, 0));
    let length = (x * x + y * y).isqrt();
    let scaled = |part: i64| i64::from(step_m) * 1_000 * part / length;
    let side = i64::from(metres) * 1_000;
    Place { x_mm: turned_back(from.x_mm + scaled(x), side), y_mm: turned_back(from.y_mm + scaled(y), side) }
}

/// A way along which the walls of the square throw one back.
fn turned_back(mm: i64, side: i64) -> i64 {
    if side == 0 {
        return 0;
    }
    let along = mm.rem_euclid(2 * side);
    if along <= side { along } else { 2 * side - along }
}

/// Rounds on end: from the first to the one before `behind`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Spell {
    first: usize,
    behind: usize,
}

impl Mobility {
    /// Every two that hear each other in some round, in order: the links of the plan.
    #[must_use]
    pub fn pairs(&self) -> Vec<(u32, u32)> {
        let all: BTreeSet<(u32, u32)> = self.rounds.iter().flat_map(|round| &round.links).copied().collect();
        all.into_iter().collect()
    }

    /// Every link there ever is, as a network: how many links and peers each node needs room for.
    #[must_use]
    pub fn topology(&self) -> Topology {
        let nodes = self.rounds.first().map_or(0, |round| round.places.len());
        network(nodes as u32, self.pairs())
    }

    /// The same walk for a link with a `radio`, whose channel then says who hears whom: where each node stands first, and
    /// where later.
    #[must_use]
    pub fn stands(&self, pace: &Pace) -> (Vec<(i32, i32)>, Vec<Move>) {
        let metres = |round: &Round| round.places.iter().map(|place| place.metres()).collect();
        let first = self.rounds.first().map(metres).unwrap_or_default();
        let later = self.rounds.iter().enumerate().skip(1);
        (first, later.map(|(at, round)| Move { at_us: pace.starts_us(at), places: metres(round) }).collect())
    }

    /// The spells in which two hear each other, when `is`, or do not.
    fn spells(&self, pair: (u32, u32), is: bool) -> Vec<Spell> {
        let mut spells: Vec<Spell> = Vec::new();
        for (at, round) in self.rounds.iter().enumerate() {
            if round.links.binary_search(&pair).is_ok() != is {
                continue;
            }
            match spells.last_mut().filter(|spell| spell.behind == at) {
                Some(spell) => spell.behind = at + 1,
                None => spells.push(Spell { first: at, behind: at + 1 }),
            }
        }
        spells
    }

    /// Writes the walk into a plan whose nodes are there: links like `model`, faults and peers. Gives back the number of the
    /// first link; the others follow in the order of [`Mobility::pairs`]. The rounds end with the plan's storm; after it all
    /// links carry again, as after every fault, and nobody calls where he was told not to.
    pub fn apply(&self, plan: &mut Plan, model: &LinkPlan, pace: &Pace) -> u32 {
        let last = self.rounds.len();
        let (first, end_us) = (plan.links.len() as u32, plan.duration_us);
        let starts_us = |round: usize| if round == last { end_us } else { pace.starts_us(round).min(end_us) };
        let mut id = plan.faults.iter().map(|fault| fault.id).max().unwrap_or(0);
        for (pair, link) in self.pairs().into_iter().zip(first..) {
            plan.links.push(LinkPlan { members: vec![pair.0, pair.1], ..model.clone() });
            for gone in self.spells(pair, false) {
                let links = vec![link];
                let what = if pace.told {
                    What::Down { links }
                } else {
                    What::Cut { links, there: true, back: true }
                };
                let (start_us, end_us) = (starts_us(gone.first), starts_us(gone.behind));
                id += 1;
                plan.faults.push(Fault { id, start_us, end_us, what });
            }
            for there in self.spells(pair, true) {
                let notice_us = if there.first == 0 { 0 } else { pace.notice_us.max(1) };
                let at_us = starts_us(there.first).saturating_add(notice_us);
                let gone_us = starts_us(there.behind);
                let forget_us = pace.forget_us.filter(|_| there.behind < last);
                let until_us = forget_us.map(|after_us| gone_us.saturating_add(after_us));
                if until_us.is_some_and(|until_us| until_us <= at_us) {
                    continue;
                }
                let spoken = PeerPlan { links: vec![link], at_us, until_us, ..PeerPlan::new(pair.0, pair.1) };
                if pace.both {
                    plan.peers.push(PeerPlan { node: pair.1, to: pair.0, ..spoken.clone() });
                }
                plan.peers.push(spoken);
            }
        }
        first
    }
}

#[cfg(test)]
mod tests;
