//! The bundles that are kept here, and how many may be.
//!
//! A left-luggage office. Nobody may fill it: of its room one who brings takes at most half, one source and one destination a quarter each. When it is
//! full, what is urgent finds room where something less urgent lies, which is put out; whoever wrote that still has it.

use alloc::collections::{BTreeMap, BTreeSet};

use super::record::{Bundle, BundleId, Head, Kind};
use crate::ids::{NodeId, RouterId};
use crate::limits::Limits;
use crate::node::input::Class;
use crate::time::Instant;

/// What a bundle takes beside its bytes: its places in the tables, its deadline, and what an allocator adds.
pub(super) const HELD_OVERHEAD: usize = 768;

/// Whose a bundle is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// A durable message of this node, for that one. It lies on the disk as what it is.
    Ours(NodeId),
    /// A receipt of this node.
    OurReceipt,
    /// This router brought it.
    Others(RouterId),
}

/// Where a bundle is on its way to the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Disk {
    /// It is not to be there.
    No,
    /// On its way there, by that number; whoever brought it is told then.
    Writing(u64),
    /// There.
    Yes,
}

/// A bundle on its way to the next hands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Given {
    pub(super) to: RouterId,
    pub(super) tag: u64,
}

/// One bundle that is kept here.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bundle: Bundle,
    pub(super) origin: Origin,
    pub(super) expires: Instant,
    pub(super) handovers: u8,
    pub(super) disk: Disk,
    pub(super) given: Option<Given>,
    /// Kept in the order in which they came.
    pub(super) order: u64,
}

impl Held {
    fn weight(&self) -> usize {
        weight_of(self.bundle.bytes.len())
    }

    pub(super) fn place(&self, id: BundleId) -> (Class, u64, BundleId) {
        (self.bundle.head.class, self.order, id)
    }
}

pub(super) const fn weight_of(bytes: usize) -> usize {
    HELD_OVERHEAD + bytes
}

/// Who uses the room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum User {
    Bringer(RouterId),
    Source(RouterId),
    Destination(RouterId),
}

impl User {
    /// The part of the room that one may use: one of so many.
    const fn part(self) -> usize {
        match self {
            User::Bringer(_) => 2,
            User::Source(_) | User::Destination(_) => 4,
        }
    }
}

fn users(head: &Head, origin: Origin) -> impl Iterator<Item = User> + use<> {
    let bringer = match origin {
        Origin::Others(router) => Some(User::Bringer(router)),
        Origin::Ours(_) | Origin::OurReceipt => None,
    };
    let source = bringer.map(|_| User::Source(head.from));
    bringer.into_iter().chain(source).chain([User::Destination(head.to)])
}

/// All bundles that are kept here.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    held: BTreeMap<BundleId, Held>,
    /// The most urgent first, the oldest of a class first.
    order: BTreeSet<(Class, u64, BundleId)>,
    /// The latest receipt of each source for each destination: it says all that the earlier ones said.
    receipts: BTreeMap<(RouterId, RouterId), (u64, BundleId)>,
    used: BTreeMap<User, usize>,
    bytes: usize,
    next_order: u64,
}

impl Shelf {
    pub(super) fn get(&self, id: BundleId) -> Option<&Held> {
        self.held.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: BundleId) -> Option<&mut Held> {
        self.held.get_mut(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = BundleId> + '_ {
        self.held.keys().copied()
    }

    /// Those that have to go so that this finds room; `None` when it finds none.
    pub(super) fn room_for(
        &self,
        limits: &Limits,
        head: &Head,
        bytes: usize,
        origin: Origin,
    ) -> Option<alloc::vec::Vec<BundleId>> {
        let (most, weight) = (limits.bundle_bytes as usize, weight_of(bytes));
        let fits = |user: User| self.used.get(&user).copied().unwrap_or(0) + weight <= most / user.part();
        if weight > most || !users(head, origin).all(fits) {
            return None;
        }
        let mut bytes = self.bytes;
        let mut out = alloc::vec::Vec::new();
        let mut less_urgent = self.order.iter().rev().take_while(|(class, ..)| *class > head.class);
        while bytes + weight > most {
            let &(_, _, id) = less_urgent.next()?;
            let held = self.held.get(&id).filter(|held| matches!(held.origin, Origin::Others(_)));
            if let Some(held) = held {
                bytes -= held.weight();
                out.push(id);
            }
        }
        Some(out)
    }

    /// An earlier receipt that this one replaces. `Err` when a later one is here.
    pub(super) fn replaced_by(&self, head: &Head) -> Result<Option<BundleId>, ()> {
        if head.kind != Kind::Receipt {
            return Ok(None);
        }
        match self.receipts.get(&(head.from, head.to)) {
            Some(&(number, id)) if number < head.number => Ok(Some(id)),
            Some(_) => Err(()),
            None => Ok(None),
        }
    }

    /// Takes one in for which there is room.
    pub(super) fn insert(&mut self, mut held: Held) {
        self.next_order += 1;
        held.order = self.next_order;
        let (head, id) = (held.bundle.head, held.bundle.id);
        self.bytes += held.weight();
        for user in users(&head, held.origin) {
            *self.used.entry(user).or_default() += held.weight();
        }
        self.order.insert(held.place(id));
        if head.kind == Kind::Receipt {
            self.receipts.insert((head.from, head.to), (head.number, id));
        }
        self.held.insert(id, held);
    }

    pub(super) fn remove(&mut self, id: BundleId) -> Option<Held> {
        let held = self.held.remove(&id)?;
        let head = held.bundle.head;
        self.bytes -= held.weight();
        for user in users(&head, held.origin) {
            if let Some(used) = self.used.get_mut(&user) {
                *used = used.saturating_sub(held.weight());
                if *used == 0 {
                    self.used.remove(&user);
                }
            }
        }
        self.order.remove(&held.place(id));
        if self.receipts.get(&(head.from, head.to)).is_some_and(|(_, latest)| *latest == id) {
            self.receipts.remove(&(head.from, head.to));
        }
        Some(held)
    }

    /// Panics when an invariant does not hold.
    pub(super) fn check(&self, limits: &Limits) {
        assert_eq!(self.bytes, self.held.values().map(Held::weight).sum::<usize>(), "bytes miscounted");
        assert!(self.bytes <= limits.bundle_bytes as usize, "more is kept than may be");
        assert_eq!(self.order.len(), self.held.len());
        let mut used: BTreeMap<User, usize> = BTreeMap::new();
        for (id, held) in &self.held {
            assert!(self.order.contains(&held.place(*id)));
            for user in users(&held.bundle.head, held.origin) {
                *used.entry(user).or_default() += held.weight();
            }
        }
        assert_eq!(used, self.used, "shares miscounted");
    }
}
