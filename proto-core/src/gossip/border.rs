//! What crosses the machine's border: what can happen to gossip, and what it wants done.

use bytes::Bytes;

use super::signed::{MessageId, Role, Topic};
use crate::crypto::sign;
use crate::ids::{LinkId, RouterId};
use crate::node::input::Class;

/// The papers of all: whose word is to be believed, and by which key.
pub trait Keys: core::fmt::Debug {
    /// The Ed25519 key of a member whose papers were checked.
    fn sign_key(&self, member: RouterId) -> Option<[u8; 32]>;

    /// Whether the holder of this key signed this; for whoever has a better way to find out than [`sign::verify`].
    fn is_signed(&self, key: &[u8; 32], message: &[u8], signature: &[u8; sign::SIGNATURE_LEN]) -> bool {
        sign::verify(key, message, signature).is_ok()
    }
}

/// What can happen to gossip.
#[derive(Debug)]
pub enum Input<'a> {
    /// A member can be reached directly: a session with it is up, over a link.
    NeighbourUp {
        /// Its name.
        member: RouterId,
        /// The medium that it shares with others, where one transmission serves all.
        medium: Option<LinkId>,
    },
    /// All direct ways to it stopped to work.
    NeighbourDown {
        /// Its name.
        member: RouterId,
    },
    /// A member that the map shows.
    Candidate {
        /// Its name.
        member: RouterId,
    },
    /// There is no way to a member to whom something was to be sent.
    Unreachable {
        /// Its name.
        member: RouterId,
    },
    /// A message from a member, over its session.
    Message {
        /// Who.
        from: RouterId,
        /// The message.
        payload: Bytes,
        /// Whom to believe.
        keys: &'a dyn Keys,
    },
    /// Something was heard on a shared medium, from whomever.
    Heard {
        /// Which.
        medium: LinkId,
        /// The message.
        payload: Bytes,
        /// Whom to believe.
        keys: &'a dyn Keys,
    },
    /// What became of `Action::Send`.
    Settled {
        /// The receiver.
        to: RouterId,
        /// The number of the message.
        tag: u64,
        /// Whether the receiver has it.
        arrived: bool,
    },
    /// Say something to all. The answer is `Action::Spread` or `Action::Refused`.
    Broadcast {
        /// Comes back with the answer.
        tag: u64,
        /// What it is about.
        topic: Topic,
        /// What is said.
        payload: Bytes,
    },
    /// Deliver what is said about a topic.
    Subscribe {
        /// Which.
        topic: Topic,
    },
    /// Do not deliver it any more.
    Unsubscribe {
        /// Which.
        topic: Topic,
    },
    /// Ask a member to let us in; for a node that has no neighbours and no map.
    Join {
        /// Whom.
        contact: RouterId,
    },
    /// Say what this device does and can do.
    Announce {
        /// What it does.
        role: Role,
        /// What it can do, a bit for each thing.
        capabilities: u64,
    },
    /// Say that this device goes. Nothing is said after that.
    Leave,
}

/// What gossip wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Give this message to a member, once, and answer `Input::Settled`.
    Send {
        /// The member.
        to: RouterId,
        /// The number of the message.
        tag: u64,
        /// How urgent it is.
        class: Class,
        /// The message.
        payload: Bytes,
    },
    /// Give this message to a member, if it can be; it may be lost.
    Datagram {
        /// The member.
        to: RouterId,
        /// The message.
        payload: Bytes,
    },
    /// Transmit this once for all who hear it; it may be lost.
    Shout {
        /// Where.
        medium: LinkId,
        /// The message.
        payload: Bytes,
    },
    /// Somebody has said something about a topic that was asked for.
    Deliver {
        /// Who and its number.
        id: MessageId,
        /// What it is about.
        topic: Topic,
        /// What is said.
        payload: Bytes,
    },
    /// At least one other member has a broadcast, or knows where to ask for it.
    Spread {
        /// From `Input::Broadcast`.
        tag: u64,
    },
    /// A broadcast goes to nobody.
    Refused {
        /// From `Input::Broadcast`.
        tag: u64,
        /// Why.
        why: Refusal,
    },
    /// Something has become known of a member.
    Member {
        /// Who.
        member: RouterId,
        /// What.
        what: What,
    },
}

/// Why a broadcast goes to nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It is longer than is kept here, or taken by messages.
    TooLong,
    /// No member confirmed it as long as it was kept.
    NobodyHeard,
    /// This device has left.
    Left,
}

/// What has become known of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// It takes part, anew or again.
    Joined,
    /// It says something else of itself.
    Announced,
    /// Somebody found it silent.
    Suspected,
    /// It has spoken up.
    Cleared,
    /// It has not spoken up.
    Died,
    /// It has said that it goes.
    Left,
}
