//! The ways in which a toy can be wrong.

/// One promise broken on purpose. Chosen by the version range of a plan's node, since the toy has no
/// other use for it: versions `[200, n]` break promise `n`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Fault {
    /// Keeps every promise.
    None,
    /// Acknowledges durable messages before they are on disk.
    AckBeforeStore,
    /// Delivers what arrives again.
    NoDedupe,
    /// Sends the text as it is.
    Plaintext,
    /// Counts packets from zero after a thousandth of a second's pause.
    NonceReset,
    /// Signs for messages that it throws away.
    LyingReceipt,
    /// Delivers streams as they come.
    NoOrder,
    /// Answers every greeting ten times.
    Amplifies,
    /// Asks to be woken at once, for ever.
    Spins,
    /// Panics at the tenth message.
    Panics,
    /// Forgets messages instead of repeating them.
    ForgetsLost,
    /// Waits for as long as its thread's name makes it.
    Ambient,
    /// Says of every message that the receiver refused it.
    Refuses,
    /// Sends every packet twice in one call, and seals both under the number of the second.
    OneNumber,
    /// Breaks an invariant of its own at the tenth message.
    Unsound,
}

pub(super) const FAULTS: [Fault; 15] = [
    Fault::None,
    Fault::AckBeforeStore,
    Fault::NoDedupe,
    Fault::Plaintext,
    Fault::NonceReset,
    Fault::LyingReceipt,
    Fault::NoOrder,
    Fault::Amplifies,
    Fault::Spins,
    Fault::Panics,
    Fault::ForgetsLost,
    Fault::Ambient,
    Fault::Refuses,
    Fault::OneNumber,
    Fault::Unsound,
];

/// The versions that make a toy break `fault`.
#[must_use]
pub fn breaking(fault: Fault) -> Option<(u8, u8)> {
    Some((0, fault as u8))
}
