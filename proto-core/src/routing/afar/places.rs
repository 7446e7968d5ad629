//! The addresses that a landmark keeps for others.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use super::super::database::Known;
use super::super::record::{Content, SignedRecord};
use super::notice::Address;
use crate::ids::{NodeId, RouterId};
use crate::time::{Duration, Instant};

/// An address is kept for so long after it was left: twice the time after which it is left again, and a little.
const KEPT: Duration = Duration::from_secs(4_000);

#[derive(Debug)]
struct Place {
    node: NodeId,
    key: [u8; 32],
    landmark: RouterId,
    sequence: u64,
    papers: Box<[u8]>,
    home: Box<[u8]>,
    until: Instant,
}

impl Place {
    fn weight(&self) -> usize {
        Places::OVERHEAD + self.papers.len() + self.home.len()
    }
}

/// All of them, within a number of bytes.
#[derive(Debug, Default)]
pub(in super::super) struct Places {
    all: BTreeMap<RouterId, Place>,
    bytes: usize,
}

impl Places {
    /// What one takes beside its records: its place in a table, with the free places of a tree, and two blocks.
    const OVERHEAD: usize = 3 * (size_of::<Place>() + size_of::<RouterId>()) / 2 + 32;

    /// The number of the address that is kept of a router.
    pub(in super::super) fn sequence(&self, router: RouterId) -> Option<u64> {
        self.all.get(&router).map(|place| place.sequence)
    }

    /// Keeps an address that was checked, if there is room; those whose time is over make it. What is kept is not driven out by what comes later.
    pub(in super::super) fn keep(
        &mut self,
        (now, most): (Instant, usize),
        (known, papers): (Known, &[u8]),
        home: &SignedRecord,
    ) -> bool {
        let Content::Home { landmark } = home.content else { return false };
        let (papers, bytes) = (papers.into(), home.bytes.as_ref().into());
        let place = Place {
            node: known.node,
            key: known.dh_key,
            landmark,
            sequence: home.sequence,
            papers,
            home: bytes,
            until: now + KEPT,
        };
        let router = home.key.router;
        if self.bytes_with(router, &place) > most {
            self.forget_old(now);
        }
        let bytes = self.bytes_with(router, &place);
        if bytes > most {
            return false;
        }
        self.bytes = bytes;
        self.all.insert(router, place);
        true
    }

    fn bytes_with(&self, router: RouterId, place: &Place) -> usize {
        self.bytes + place.weight() - self.all.get(&router).map_or(0, Place::weight)
    }

    fn newest(&self, now: Instant, node: NodeId) -> Option<(RouterId, &Place)> {
        let theirs = self.all.iter().filter(|(_, place)| place.node == node && place.until > now);
        theirs.max_by_key(|(_, place)| place.until).map(|(&router, place)| (router, place))
    }

    /// The newest address of a node, as it was signed.
    pub(in super::super) fn of(&self, now: Instant, node: NodeId) -> Option<Address<'_>> {
        let (_, place) = self.newest(now, node)?;
        Some(Address { papers: &place.papers, home: &place.home })
    }

    /// The newest address of a node: which router, the landmark that keeps it, and its key.
    pub(in super::super) fn place_of(
        &self,
        now: Instant,
        node: NodeId,
    ) -> Option<(RouterId, RouterId, [u8; 32])> {
        let (router, place) = self.newest(now, node)?;
        Some((router, place.landmark, place.key))
    }

    /// Forgets those whose time is over.
    pub(in super::super) fn forget_old(&mut self, now: Instant) {
        self.all.retain(|_, place| place.until > now);
        self.bytes = self.all.values().map(Place::weight).sum();
    }

    /// Bytes that they take.
    pub(in super::super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets those of a node whose papers do not hold.
    pub(in super::super) fn distrust(&mut self, node: NodeId, holds: impl Fn(&[u8]) -> bool) {
        self.all.retain(|_, place| place.node != node || holds(&place.papers));
        self.bytes = self.all.values().map(Place::weight).sum();
    }

    /// Panics when an invariant does not hold.
    pub(in super::super) fn check(&self, most: usize) {
        assert!(self.bytes <= most, "addresses of more bytes than may be kept");
        assert_eq!(
            self.bytes,
            self.all.values().map(Place::weight).sum::<usize>(),
            "bytes of addresses miscounted"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::cast::{identity, network};
    use crate::routing::record::{Part, RecordKey};

    fn known(name: u16) -> Known {
        let identity = identity(name);
        let certificate = identity.certificate();
        let (node, device) = (certificate.node, certificate.device);
        Known { node, device, sign_key: certificate.sign_key, dh_key: certificate.dh_key }
    }

    fn router(name: u16) -> RouterId {
        RouterId::of(known(name).device)
    }

    fn home(name: u16, sequence: u64) -> SignedRecord {
        let key = RecordKey { router: router(name), part: Part::HOME };
        let content = Content::Home { landmark: router(7) };
        SignedRecord::sign(&identity(name).secrets().sign, network().id(), key, sequence, content)
    }

    #[test]
    fn what_is_kept_is_not_driven_out_before_its_time() {
        let mut places = Places::default();
        let one = Places::OVERHEAD + 300 + home(1, 1).bytes.len();
        let at = |s: u64| Instant::ZERO + Duration::from_secs(s);
        let keep = |places: &mut Places, s: u64, name: u16, sequence| {
            let kept = places.keep((at(s), 2 * one), (known(name), &[1; 300]), &home(name, sequence));
            places.check(2 * one);
            kept
        };
        assert!(keep(&mut places, 0, 1, 1));
        assert!(keep(&mut places, 10, 2, 1));
        assert!(!keep(&mut places, 20, 3, 1), "there is no room");
        assert!(keep(&mut places, 30, 1, 2), "a later word takes the place of the one before");
        assert_eq!(places.sequence(router(1)), Some(2));
        assert!(keep(&mut places, 4_010, 3, 1), "the time of the second is over");
        assert_eq!((places.sequence(router(2)), places.sequence(router(3))), (None, Some(1)));
        places.distrust(known(3).node, |papers| papers.is_empty());
        places.distrust(known(1).node, |papers| papers.len() == 300);
        assert_eq!((places.sequence(router(3)), places.bytes()), (None, one));
        let expected = (router(1), router(7), known(1).dh_key);
        assert_eq!(places.place_of(at(4_029), known(1).node), Some(expected));
        assert_eq!(places.of(at(4_029), known(1).node).unwrap().home, home(1, 2).bytes);
        assert_eq!(places.of(at(4_030), known(1).node), None, "too old");
    }
}
