//! Which signatures have verified already: one memory for all nodes of a world.
//!
//! Eight hundred nodes verify the same record, each for itself, and here all of them on one core: a clerk who
//! holds every letter up to the light eight hundred times. So the clerk keeps a list of the letters that he
//! found in order; see [`Verifier`] for why this changes nothing but the time it takes. The list ends with the
//! world: no run knows anything of another.
//!
//! A digest has one place, by its first bytes, with room for `WAYS`; one more pushes out the oldest there, and is
//! verified again should it come back. All room is taken when the world begins: taken later it would be on the
//! account of the node whose turn it is, and nodes are held to what they take.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use proto_core::crypto::sign::{VerifiedMemory, Verifier};

/// Digests in one place.
const WAYS: usize = 8;
/// Places for one node. In `freifunk` on Leipzig's network a node makes fewer than ten signatures that others verify;
/// there is room for 128, which is a guess at what losses and restarts add.
const PLACES_PER_NODE: usize = 16;
/// The most places: 2^18 digests, 8 MiB.
const MOST_PLACES: usize = (1 << 18) / WAYS;
/// No digest: the hash of something is never nothing.
const NONE: [u8; 32] = [0; 32];

/// The memory of a world. A clone is another handle of the same.
#[derive(Clone)]
pub struct Signatures(Arc<Mutex<Vec<Place>>>);

/// Newest first.
type Place = [[u8; 32]; WAYS];

impl Signatures {
    /// An empty memory for so many nodes.
    #[must_use]
    pub fn new(nodes: u32) -> Signatures {
        let places = (nodes as usize).saturating_mul(PLACES_PER_NODE).clamp(1, MOST_PLACES);
        Signatures(Arc::new(Mutex::new(vec![[NONE; WAYS]; places])))
    }

    /// What a node of this world verifies with.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        Verifier::remembering(self.share())
    }

    /// How many it remembers.
    #[must_use]
    pub fn count(&self) -> usize {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.iter().flatten().filter(|known| **known != NONE).count()
    }

    /// Does something at the place of a digest.
    fn at<R>(&self, digest: &[u8; 32], what: impl FnOnce(&mut Place) -> R) -> R {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let word = digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let place = word % places.len() as u64;
        what(&mut places[place as usize])
    }
}

impl VerifiedMemory for Signatures {
    fn is_known(&self, digest: &[u8; 32]) -> bool {
        *digest != NONE && self.at(digest, |place| place.contains(digest))
    }

    fn remember(&self, digest: [u8; 32]) {
        self.at(&digest, |place| {
            place.rotate_right(1);
            place[0] = digest;
        });
    }

    fn share(&self) -> Box<dyn VerifiedMemory> {
        Box::new(self.clone())
    }
}

impl fmt::Debug for Signatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signatures").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digests that are spread as hashes are.
    fn digest(number: u64) -> [u8; 32] {
        *blake3::hash(&number.to_le_bytes()).as_bytes()
    }

    #[test]
    fn what_was_remembered_is_known_to_all_handles_and_nothing_else_is() {
        let memory = Signatures::new(2);
        let other = memory.share();
        for number in 0..10 {
            assert!(!other.is_known(&digest(number)));
            memory.remember(digest(number));
            assert!(other.is_known(&digest(number)));
        }
        for bit in 0..256 {
            let mut near = digest(3);
            near[bit / 8] ^= 1 << (bit % 8);
            assert!(!memory.is_known(&near), "bit {bit}");
        }
        assert!(!memory.is_known(&NONE), "an empty place is no digest");
        assert!(!Signatures::new(2).is_known(&digest(3)), "another world knows nothing of it");
    }

    #[test]
    fn it_never_grows_and_forgets_the_oldest() {
        for nodes in [0, 1, 3, 800, u32::MAX] {
            let memory = Signatures::new(nodes);
            let room = memory.0.lock().unwrap().len() * WAYS;
            let fair = (nodes as usize).saturating_mul(PLACES_PER_NODE * WAYS);
            assert!(room <= (1 << 18) && room >= fair.min(1 << 18), "{nodes}: {room}");
            let many = 4 * room as u64;
            (0..many).for_each(|number| memory.remember(digest(number)));
            assert_eq!((memory.count(), memory.0.lock().unwrap().len() * WAYS), (room, room));
            let newest = (many - 4..many).filter(|&number| memory.is_known(&digest(number))).count();
            let oldest = (0..4).filter(|&number| memory.is_known(&digest(number))).count();
            assert_eq!((newest, oldest), (4, 0), "{nodes}");
        }
    }
}
