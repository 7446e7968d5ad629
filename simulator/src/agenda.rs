//! The world's diary: what happens next.
//!
//! A heap ordered by (time, sequence), so that two things at one microsecond happen in the order in
//! which they were arranged, always. Four children a node: half the depth of a binary heap, and the
//! four siblings that are compared lie in two cache lines.

/// A queue of things to happen, earliest first, in order of arrangement within a microsecond.
#[derive(Debug)]
pub struct Agenda<T> {
    heap: Vec<Entry<T>>,
    sequence: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    at_us: u64,
    sequence: u64,
    what: T,
}

impl<T> Entry<T> {
    #[inline]
    fn key(&self) -> (u64, u64) {
        (self.at_us, self.sequence)
    }
}

const ARITY: usize = 4;

impl<T: Copy> Agenda<T> {
    /// An empty diary.
    #[must_use]
    pub fn new() -> Agenda<T> {
        Agenda { heap: Vec::new(), sequence: 0 }
    }

    /// Arranges `what` for `at_us`.
    #[inline]
    pub fn push(&mut self, at_us: u64, what: T) {
        self.sequence += 1;
        let entry = Entry { at_us, sequence: self.sequence, what };
        let mut hole = self.heap.len();
        self.heap.push(entry);
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            if self.heap[parent].key() <= entry.key() {
                break;
            }
            self.heap[hole] = self.heap[parent];
            hole = parent;
        }
        self.heap[hole] = entry;
    }

    /// When the next thing happens.
    #[inline]
    #[must_use]
    pub fn next_at(&self) -> Option<u64> {
        self.heap.first().map(|entry| entry.at_us)
    }

    /// Takes the next thing and its time.
    #[inline]
    pub fn pop(&mut self) -> Option<(u64, T)> {
        let last = self.heap.pop()?;
        let Some(&first) = self.heap.first() else { return Some((last.at_us, last.what)) };
        let (len, mut hole) = (self.heap.len(), 0);
        loop {
            let begin = hole * ARITY + 1;
            if begin >= len {
                break;
            }
            let mut least = begin;
            for child in begin + 1..(begin + ARITY).min(len) {
                if self.heap[child].key() < self.heap[least].key() {
                    least = child;
                }
            }
            if last.key() <= self.heap[least].key() {
                break;
            }
            self.heap[hole] = self.heap[least];
            hole = least;
        }
        self.heap[hole] = last;
        Some((first.at_us, first.what))
    }

    /// How many things are arranged.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is arranged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl<T: Copy> Default for Agenda<T> {
    fn default() -> Self {
        Agenda::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comes_out_as_a_stable_sort_would_have_it(ops in proptest::collection::vec(proptest::option::of(0..20_u64), 0..300)) {
            let mut agenda = Agenda::new();
            let mut model: Vec<(u64, usize)> = Vec::new();
            for (n, op) in ops.into_iter().enumerate() {
                match op {
                    Some(at) => {
                        agenda.push(at, n);
                        model.push((at, n));
                        model.sort_by_key(|(at, _)| *at);
                    }
                    None => {
                        let expected = (!model.is_empty()).then(|| model.remove(0));
                        prop_assert_eq!(agenda.next_at(), expected.map(|(at, _)| at));
                        prop_assert_eq!(agenda.pop(), expected);
                    }
                }
                prop_assert_eq!(agenda.len(), model.len());
            }
        }
    }
}
