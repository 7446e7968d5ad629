//! The four verbs every machine has.

use crate::drops::Drops;
use crate::limits::Limits;
use crate::rng::Rng;
use crate::time::Instant;
use crate::wake::Wake;
use crate::zoo::Zoo;

/// A small state machine that knows nothing of the others.
///
/// The trait is for uniformity and for one generic test bench, not for dynamic dispatch. `handle`
/// returns nothing: what a peer sends wrongly is counted in [`Cx::drops`], what must happen next
/// comes out of `poll` as a typed action.
pub trait Machine {
    /// What can happen to it.
    type Input<'a>;
    /// What it wants done.
    type Action;

    /// Something happened.
    fn handle(&mut self, cx: &mut Cx<'_>, input: Self::Input<'_>);
    /// A deadline may have passed. Calling it early or often is harmless.
    fn wake(&mut self, cx: &mut Cx<'_>);
    /// When to call `wake` next, and why.
    fn next_wake(&self) -> Wake;
    /// The next thing to do, or `None` when there is nothing.
    fn poll(&mut self) -> Option<Self::Action>;
}

/// What a machine may use while it runs: passed to it, never stored.
pub struct Cx<'a> {
    /// The node's monotonic time.
    pub now: Instant,
    /// This machine's own generator.
    pub rng: &'a mut Rng,
    /// The node's sizes.
    pub limits: &'a Limits,
    /// Counters of what was not acted on.
    pub drops: &'a mut Drops,
    /// Planted bugs, all absent unless the crate was built with feature `zoo`.
    pub zoo: Zoo,
}
