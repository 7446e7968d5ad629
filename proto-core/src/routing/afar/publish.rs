//! Telling the clerks where this router is.

use alloc::vec::Vec;

use super::super::record::SignedRecord;
use crate::ids::RouterId;
use crate::time::{Duration, Instant};

/// From a change to telling of it: landmarks and maps change several times at once.
const GATHER: Duration = Duration::from_secs(1);
/// An address is left anew after so long, for clerks forget.
const AGAIN: Duration = Duration::from_secs(1_800);
/// A clerk that does not answer is told again after so long, and then after twice as long each time.
const RETRY: Duration = Duration::from_secs(4);
/// But not later than this.
const MOST_RETRY: Duration = Duration::from_secs(300);

#[derive(Debug)]
struct Clerk {
    router: RouterId,
    kept: bool,
    next: Instant,
    gap: Duration,
}

/// Where this router's address is left.
#[derive(Debug, Default)]
pub(in super::super) struct Publishing {
    clerks: Vec<Clerk>,
    home: Option<RouterId>,
    record: Option<SignedRecord>,
    look_at: Option<Instant>,
    again_at: Option<Instant>,
}

impl Publishing {
    /// The home, or the landmarks, may be others.
    pub(in super::super) fn changed(&mut self, now: Instant) {
        self.look_at.get_or_insert(now + GATHER);
    }

    /// When there is something to do.
    pub(in super::super) fn next(&self) -> Option<Instant> {
        let clerks = self.clerks.iter().filter(|clerk| !clerk.kept).map(|clerk| clerk.next).min();
        [self.look_at, self.again_at, clerks].into_iter().flatten().min()
    }

    /// The home that is to be signed, if it has to be signed anew.
    pub(in super::super) fn unsigned(&self, now: Instant, home: Option<RouterId>) -> Option<RouterId> {
        let home = home?;
        let is_due = self.again_at.is_none_or(|at| at <= now);
        (self.home != Some(home) || is_due).then_some(home)
    }

    /// It was signed.
    pub(in super::super) fn signed(&mut self, now: Instant, home: RouterId, record: SignedRecord) {
        (self.home, self.record, self.again_at) = (Some(home), Some(record), Some(now + AGAIN));
        self.clerks.clear();
    }

    /// Whom to tell now, with these for clerks: their names, and what.
    pub(in super::super) fn due(
        &mut self,
        now: Instant,
        clerks: &[RouterId],
        slowest: Duration,
    ) -> (Vec<RouterId>, Option<&SignedRecord>) {
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
        }
        if self.again_at.is_some_and(|at| at <= now) {
            // Nobody keeps us now; what is said then is said when somebody does.
            self.again_at = None;
        }
        self.clerks.retain(|clerk| clerks.contains(&clerk.router));
        for &router in clerks {
            if self.record.is_some() && !self.clerks.iter().any(|clerk| clerk.router == router) {
                self.clerks.push(Clerk { router, kept: false, next: now, gap: RETRY + slowest });
            }
        }
        let mut due = Vec::new();
        for clerk in self.clerks.iter_mut().filter(|clerk| !clerk.kept && clerk.next <= now) {
            clerk.next = now + clerk.gap;
            clerk.gap = clerk.gap.mul_ratio(2, 1).min(MOST_RETRY.max(clerk.gap));
            due.push(clerk.router);
        }
        (due, self.record.as_ref())
    }

    /// A clerk has it.
    pub(in super::super) fn kept(&mut self, by: RouterId, sequence: u64) {
        if self.record.as_ref().is_some_and(|record| record.sequence == sequence) {
            for clerk in self.clerks.iter_mut().filter(|clerk| clerk.router == by) {
                clerk.kept = true;
            }
        }
    }

    /// Clerks that have said that they keep it.
    pub(in super::super) fn keepers(&self) -> usize {
        self.clerks.iter().filter(|clerk| clerk.kept).count()
    }
}
