//! What a run costs of a processor.
//!
//! "Ten minutes of one core" cannot be read off the clock on the wall: a sweep runs as many at once as there
//! are cores, and somebody else compiles. POSIX has a clock of the thread's own, which stands still while
//! the thread does. Where there is none, nothing is measured and nothing compared.

/// A moment to measure from, on the thread that measures.
pub(crate) struct Start(Option<f64>);

impl Start {
    pub(crate) fn now() -> Start {
        Start(thread_s())
    }

    /// Seconds that this thread had of a processor since then.
    pub(crate) fn seconds(&self) -> Option<f64> {
        Some((thread_s()? - self.0?).max(0.0))
    }
}

/// Seconds that this thread had of a processor.
#[cfg(unix)]
fn thread_s() -> Option<f64> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

#[cfg(not(unix))]
fn thread_s() -> Option<f64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn only_work_of_this_thread_counts() {
        let start = Start::now();
        let worked = std::thread::spawn(|| {
            let own = Start::now();
            // Until the other thread's clock has moved by 50 ms; nobody looks at a clock on the wall.
            while own.seconds().is_some_and(|seconds| seconds < 0.05) {}
            own.seconds()
        });
        let theirs = worked.join().unwrap();
        let ours = start.seconds();
        assert!(theirs >= Some(0.05), "{theirs:?}");
        assert!(ours.is_some() && ours < theirs, "{ours:?} of a thread that waited for one of {theirs:?}");
    }
}
