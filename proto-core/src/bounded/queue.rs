//! A first-in, first-out queue that refuses what does not fit.

use alloc::collections::VecDeque;

/// Refuses a push when full; the caller decides what that means.
#[derive(Clone, Debug)]
pub struct RefuseQueue<T> {
    items: VecDeque<T>,
    capacity: usize,
}

impl<T> RefuseQueue<T> {
    /// A queue of at most `capacity` items. Memory grows with use, not with capacity.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        RefuseQueue { items: VecDeque::new(), capacity }
    }

    /// Appends `item`.
    ///
    /// # Errors
    /// Gives the item back when the queue is full.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.items.len() >= self.capacity {
            return Err(item);
        }
        self.items.push_back(item);
        Ok(())
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    /// Looks at the oldest item.
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        self.items.front()
    }

    /// How many more items fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.capacity - self.items.len()
    }

    /// How many items are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// All items, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }
}
