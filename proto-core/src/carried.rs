//! What is asked and answered of durable messages that go by other hands than a session: between the machine that numbers
//! them and the one that carries them.

use bytes::Bytes;

use crate::node::input::Class;
use crate::time::Duration;

/// A durable message that is to go by other hands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owed {
    /// It is finished.
    Gone,
    /// Older ones have to be finished first.
    Later,
    /// It waits.
    Message {
        /// How urgent it is.
        class: Class,
        /// How much longer it may wait.
        lifetime: Duration,
        /// The bytes.
        payload: Bytes,
    },
}

/// What becomes of a durable message that came by other hands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carried {
    /// It goes to the disk, and is shown when it is there.
    Writing,
    /// It was here before.
    Known,
    /// There is no room for it now.
    Full,
    /// It will never be taken.
    Refused,
}
