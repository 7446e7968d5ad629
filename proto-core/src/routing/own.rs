//! What this router says of itself, and when.
//!
//! A neighbour that is gone is said soon, since others send packets there; one that has come a little later, since more may
//! come at once; and that a link has become somewhat better or worse rarely, since nobody is lost by it. Two clocks: a change
//! that can wait must not hold up one that cannot.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;

use super::database::Known;
use super::metric::Cost;
use super::record::{Content, Link, PAGE_LINKS, Part, RecordKey, SignedRecord};
use crate::crypto::sign::SigningKey;
use crate::identity::LocalIdentity;
use crate::ids::{NetworkId, RouterId};
use crate::time::{Duration, Instant};

/// From a new neighbour to saying so: at a cold start all come within this.
const AFTER_GAIN: Duration = Duration::from_millis(100);
/// From a lost neighbour to saying so: where one link of a router goes, others may.
const AFTER_LOSS: Duration = Duration::from_millis(20);
/// Between two words, however much happens.
const LEAST_GAP: Duration = Duration::from_millis(200);
/// A cost that has changed by so many steps is said, however long that may take: by a third or more, or a quarter.
const CHANGED: u8 = 4;
/// A cost that has changed by so many is said sooner: it has doubled, or halved.
const CHANGED_MUCH: u8 = 8;
/// Between two words that say only that costs have changed, and one of them much. On links that lose, what is measured goes up and
/// down by chance, and everybody hears of each word.
const MUCH_GAP: Duration = Duration::from_secs(120);
/// Between two of which none has changed much.
const COST_GAP: Duration = Duration::from_secs(900);
/// Where air is scarce: a change that is worth speaking of, four times as much or a quarter, and the time between two such words. A word that
/// forty stations pass on takes half a minute of everybody's air (decision 0010).
const CHANGED_SCARCE: u8 = 16;
const SCARCE_GAP: Duration = Duration::from_secs(3_600);
/// Bits of a sequence number that count within one start.
const COUNTER_BITS: u32 = 30;

/// What this router says of itself.
#[derive(Debug)]
pub(super) struct Own {
    /// Its name.
    pub(super) router: RouterId,
    /// Its papers, as others see them.
    pub(super) known: Known,
    key: SigningKey,
    network: NetworkId,
    sequence: u64,
    certificate: Bytes,
    membership: Bytes,
    /// Parts that are said anew whatever was said before.
    stale: BTreeSet<Part>,
    /// Whom each place of each page is for.
    places: Vec<Option<RouterId>>,
    /// What each page said last.
    said: BTreeMap<Part, Vec<Link>>,
    /// Time that goes by before and between our words where air is scarce; else zero.
    pub(super) unhurried: Duration,
    say_at: Option<Instant>,
    last_said: Option<Instant>,
    last_costs: Instant,
}

impl Own {
    /// Nothing was said yet, not even who this is. `boot` is how often this device has started.
    #[must_use]
    pub(super) fn new(identity: &LocalIdentity, network: NetworkId, boot: u32, now: Instant) -> Own {
        let certificate = identity.certificate();
        let known = Known {
            node: certificate.node,
            device: certificate.device,
            sign_key: certificate.sign_key,
            dh_key: certificate.dh_key,
        };
        Own {
            router: RouterId::of(known.device),
            known,
            key: identity.secrets().sign.clone(),
            network,
            sequence: u64::from(boot) << COUNTER_BITS,
            certificate: identity.certificate_bytes().clone(),
            membership: identity.membership().cloned().unwrap_or_default(),
            stale: BTreeSet::from([Part::PAPERS]),
            places: Vec::new(),
            said: BTreeMap::new(),
            unhurried: Duration::ZERO,
            say_at: Some(now),
            last_said: None,
            last_costs: now,
        }
    }

    /// Something about this router, signed under the next number.
    pub(super) fn record(&mut self, part: Part, content: Content) -> SignedRecord {
        self.sequence += 1;
        let about = RecordKey { router: self.router, part };
        SignedRecord::sign(&self.key, self.network, about, self.sequence, content)
    }

    /// A part carries our name and is not what we said last: the word of an earlier start, or of another instance of this
    /// identity. It is said anew, with a higher number.
    pub(super) fn contradicted(&mut self, now: Instant, part: Part, sequence: u64) {
        self.sequence = self.sequence.max(sequence);
        self.stale.insert(part);
        self.sooner(now, AFTER_GAIN);
    }

    /// A neighbour has come.
    pub(super) fn gained(&mut self, now: Instant) {
        self.sooner(now, AFTER_GAIN);
    }

    /// A neighbour is gone.
    pub(super) fn lost(&mut self, now: Instant) {
        self.sooner(now, AFTER_LOSS);
    }

    /// A link costs something else.
    pub(super) fn cost_changed(&mut self, now: Instant, router: RouterId, cost: Cost) {
        let steps = self.said_cost(router).map_or(0, |said| said.steps_from(cost));
        let is_scarce = self.unhurried > Duration::ZERO;
        if steps >= if is_scarce { CHANGED_SCARCE } else { CHANGED } {
            let gap = match steps {
                _ if is_scarce => SCARCE_GAP,
                CHANGED_MUCH.. => MUCH_GAP,
                _ => COST_GAP,
            };
            let at = (self.last_costs + gap).max(now);
            self.say_at = Some(self.say_at.map_or(at, |before| before.min(at)));
        }
    }

    /// What we said last that it costs to reach a neighbour; `None` if we did not speak of it.
    #[must_use]
    pub(super) fn said_cost(&self, router: RouterId) -> Option<Cost> {
        self.said.values().flatten().find(|link| link.to == router).map(|link| link.cost)
    }

    fn sooner(&mut self, now: Instant, after: Duration) {
        let (after, gap) = (after.max(self.unhurried), LEAST_GAP.max(self.unhurried));
        let at = self.last_said.map_or(now + after, |last| (now + after).max(last + gap));
        self.say_at = Some(self.say_at.map_or(at, |before| before.min(at)));
    }

    /// When [`Own::say`] is due.
    #[must_use]
    pub(super) fn say_at(&self) -> Option<Instant> {
        self.say_at
    }

    /// What has changed, signed, for these neighbours.
    pub(super) fn say(&mut self, now: Instant, neighbours: &[(RouterId, Cost)]) -> Vec<SignedRecord> {
        self.say_at = None;
        self.seat(neighbours);
        let costs: BTreeMap<RouterId, Cost> = neighbours.iter().copied().collect();
        let mut records = Vec::new();
        if self.stale.remove(&Part::PAPERS) {
            let (certificate, membership) = (self.certificate.clone(), self.membership.clone());
            records.push(self.record(Part::PAPERS, Content::Papers { certificate, membership }));
        }
        let stale = core::mem::take(&mut self.stale);
        let mut costs_changed = false;
        let last = stale.last().map_or(0, |part| usize::from(part.as_u8()));
        for number in 0..self.places.len().div_ceil(PAGE_LINKS).max(last) {
            let Some(part) = u32::try_from(number).ok().and_then(Part::page) else { break };
            let seated = self.places.iter().skip(number * PAGE_LINKS).take(PAGE_LINKS).flatten();
            let links = seated.filter_map(|&to| Some(Link { to, cost: *costs.get(&to)? }));
            let mut links: Vec<Link> = links.collect();
            links.sort_unstable();
            let before = self.said.get(&part);
            if is_news(before.map_or(&[], Vec::as_slice), &links) || stale.contains(&part) {
                costs_changed |= before.is_some_and(|before| before.len() == links.len());
                self.said.insert(part, links.clone());
                records.push(self.record(part, Content::Page(links)));
            }
        }
        if costs_changed {
            self.last_costs = now;
        }
        if !records.is_empty() {
            self.last_said = Some(now);
        }
        records
    }

    /// Gives each neighbour a place that it keeps, so that what happens to one touches one page.
    fn seat(&mut self, neighbours: &[(RouterId, Cost)]) {
        for place in &mut self.places {
            place.take_if(|router| !neighbours.iter().any(|(neighbour, _)| neighbour == router));
        }
        for &(router, _) in neighbours {
            if self.places.contains(&Some(router)) {
                continue;
            }
            if let Some(free) = self.places.iter_mut().find(|place| place.is_none()) {
                *free = Some(router);
            } else if self.places.len() < PAGE_LINKS * super::record::MOST_PAGES {
                self.places.push(Some(router));
            }
        }
    }
}

/// Whether the neighbours are others, or the cost of one is far from what was said.
fn is_news(before: &[Link], links: &[Link]) -> bool {
    before.len() != links.len()
        || before.iter().zip(links).any(|(a, b)| a.to != b.to || a.cost.steps_from(b.cost) >= CHANGED)
}
