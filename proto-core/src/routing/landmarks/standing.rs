//! Whether this router is a landmark, and which landmark keeps it.
//!
//! In each quarter somebody has to be asked the way to everybody who lives there. Whoever finds that nobody has taken that upon himself waits a
//! moment, for others may be about to, and then does it himself. Of two in one quarter the later name steps back, after a while, for
//! everybody whom he kept has to tell his friends where to ask from now on.
//!
//! A landmark keeps a router if that is nearer to it than its map reaches, as its signed word has it: no message is needed to know that, and
//! by the argument of [`vicinity`](super::super::vicinity) all routers on the way from the landmark keep it too. (Self-election as in Landmark: Tsuchiya,
//! "The Landmark Hierarchy", SIGCOMM 1988; a node of S4 is kept by whoever is nearer to it than its nearest landmark: Mao et al., NSDI 2007.)

use alloc::vec::Vec;

use crate::ids::RouterId;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// From a change to a look at who keeps us: what changes at once is looked at once.
const GATHER: Duration = Duration::from_secs(1);
/// Nobody steps forward sooner after it was noticed that a landmark is missing, or later than twice as much and what is drawn (guess: maps and words
/// have come by then).
const HESITATE: Duration = Duration::from_secs(2);
/// A landmark that is one too many for so long steps back.
const YIELD: Duration = Duration::from_secs(120);
/// Between two words of a landmark.
pub(in super::super) const WORD_GAP: Duration = Duration::from_secs(10);
/// A landmark says a new word after so long, so that whoever lacks a feasible way gets one at last.
pub(in super::super) const WORD_AGAIN: Duration = Duration::from_secs(900);

/// Somebody by whom we are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in super::super) struct Keeper {
    /// How far we are from it.
    pub(in super::super) distance: u64,
    /// Its name.
    pub(in super::super) router: RouterId,
    /// How far its map reaches.
    pub(in super::super) reach: u64,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Verdict {
    /// Nothing.
    Stay,
    /// This router becomes a landmark.
    StepForward,
    /// It is one no longer.
    StepBack,
}

/// What this router is, to landmarks.
#[derive(Debug, Default)]
pub(in super::super) struct Standing {
    /// The landmark that keeps this router.
    home: Option<RouterId>,
    is_landmark: bool,
    /// When to step forward, if still nobody keeps us.
    forward_at: Option<Instant>,
    /// When to step back, if we are still one too many.
    back_at: Option<Instant>,
    look_at: Option<Instant>,
}

impl Standing {
    /// The landmark that keeps this router; itself if it is one.
    pub(in super::super) fn home(&self) -> Option<RouterId> {
        self.home
    }

    /// Whether this router is a landmark.
    pub(in super::super) fn is_landmark(&self) -> bool {
        self.is_landmark
    }

    /// Something has changed that may matter.
    pub(in super::super) fn changed(&mut self, now: Instant) {
        self.look_at.get_or_insert(now + GATHER);
    }

    /// When to look again.
    pub(in super::super) fn look_at(&self) -> Option<Instant> {
        [self.look_at, self.forward_at, self.back_at].into_iter().flatten().min()
    }

    /// Looks at who keeps us. Where air is scarce everything takes `slowest` longer.
    pub(in super::super) fn look(
        &mut self,
        (now, rng): (Instant, &mut Rng),
        own: RouterId,
        keepers: &[Keeper],
        slowest: Duration,
    ) -> Verdict {
        self.look_at = None;
        if self.is_landmark {
            return self.look_as_landmark(now, own, keepers);
        }
        if keepers.is_empty() {
            self.home = None;
            let hesitate = HESITATE + slowest;
            let drawn = Duration::from_micros(rng.below(2 * hesitate.as_micros()));
            let at = *self.forward_at.get_or_insert(now + hesitate + drawn);
            if at > now {
                return Verdict::Stay;
            }
            (self.forward_at, self.is_landmark, self.home) = (None, true, Some(own));
            return Verdict::StepForward;
        }
        self.forward_at = None;
        // Whoever moves has to tell everybody: so nobody moves who need not.
        if !keepers.iter().any(|keeper| Some(keeper.router) == self.home) {
            self.home = keepers.iter().min().map(|keeper| keeper.router);
        }
        Verdict::Stay
    }

    fn look_as_landmark(&mut self, now: Instant, own: RouterId, keepers: &[Keeper]) -> Verdict {
        let better: Vec<&Keeper> = keepers
            .iter()
            .filter(|keeper| keeper.router < own && keeper.distance < keeper.reach / 2)
            .collect();
        let Some(keeper) = better.into_iter().min() else {
            self.back_at = None;
            return Verdict::Stay;
        };
        if *self.back_at.get_or_insert(now + YIELD) > now {
            return Verdict::Stay;
        }
        (self.back_at, self.is_landmark, self.home) = (None, false, Some(keeper.router));
        Verdict::StepBack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn keeper(name: u8, distance: u64, reach: u64) -> Keeper {
        Keeper { distance, router: RouterId([name; 8]), reach }
    }

    const OWN: RouterId = RouterId([5; 8]);

    fn look(standing: &mut Standing, ms: u64, keepers: &[Keeper]) -> Verdict {
        standing.look((at(ms), &mut Rng::fork(&[1; 32], "test")), OWN, keepers, Duration::ZERO)
    }

    #[test]
    fn whom_nobody_keeps_steps_forward_after_a_while() {
        let mut standing = Standing::default();
        assert_eq!(look(&mut standing, 0, &[]), Verdict::Stay);
        let forward = standing.look_at().unwrap();
        assert!((at(2_000)..at(6_000)).contains(&forward), "{forward:?}");
        assert_eq!(look(&mut standing, 1_999, &[]), Verdict::Stay);
        assert_eq!(standing.home(), None);
        assert_eq!(look(&mut standing, 6_000, &[]), Verdict::StepForward);
        assert_eq!((standing.home(), standing.is_landmark(), standing.look_at()), (Some(OWN), true, None));
    }

    #[test]
    fn whom_somebody_keeps_stays_with_the_nearest_as_long_as_it_keeps_us() {
        let mut standing = Standing::default();
        assert_eq!(look(&mut standing, 0, &[]), Verdict::Stay);
        let (near, far) = (keeper(9, 10, 40), keeper(1, 20, 40));
        assert_eq!(look(&mut standing, 500, &[far, near]), Verdict::Stay);
        assert_eq!((standing.home(), standing.look_at()), (Some(near.router), None));
        look(&mut standing, 600, &[far, keeper(8, 1, 40), near]);
        assert_eq!(standing.home(), Some(near.router), "a nearer one is no reason");
        look(&mut standing, 700, &[far]);
        assert_eq!(standing.home(), Some(far.router));
        look(&mut standing, 800, &[]);
        assert_eq!(standing.home(), None);
    }

    #[test]
    fn of_two_the_later_name_steps_back_after_two_minutes() {
        let mut standing = Standing { is_landmark: true, home: Some(OWN), ..Standing::default() };
        for keeper in [keeper(9, 1, 40), keeper(1, 20, 40)] {
            assert_eq!(look(&mut standing, 0, &[keeper]), Verdict::Stay);
            assert_eq!(standing.look_at(), None, "{keeper:?} is no reason");
        }
        let lower = keeper(1, 19, 40);
        assert_eq!(look(&mut standing, 0, &[lower]), Verdict::Stay);
        assert_eq!(look(&mut standing, 119_999, &[lower]), Verdict::Stay);
        look(&mut standing, 119_999, &[]);
        assert_eq!(look(&mut standing, 120_000, &[lower]), Verdict::Stay, "it was not there all the time");
        assert_eq!(look(&mut standing, 239_999, &[lower]), Verdict::Stay);
        assert_eq!(look(&mut standing, 240_000, &[lower]), Verdict::StepBack);
        assert_eq!((standing.home(), standing.is_landmark()), (Some(lower.router), false));
    }
}
