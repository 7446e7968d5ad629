//! What comes in and what goes out.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::carried::{Carried, Owed};
use crate::identity::{Checker, LocalIdentity};
use crate::ids::{DeviceId, NodeId, RouterId};
use crate::node::input::Class;
use crate::store::record::Record;
use crate::time::Duration;

/// Who a router is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signer {
    /// Whose device.
    pub node: NodeId,
    /// Which.
    pub device: DeviceId,
    /// Its Ed25519 key.
    pub sign_key: [u8; 32],
    /// Its X25519 key.
    pub dh_key: [u8; 32],
}

/// What is known outside: who routers are whose papers were checked, who is trusted, and our own keys.
pub trait World: core::fmt::Debug {
    /// Who a router is, if its papers were checked before and still hold.
    fn signer(&self, router: RouterId) -> Option<Signer>;
    /// Checks papers.
    fn checker(&self) -> Checker<'_>;
    /// This device.
    fn identity(&self) -> &LocalIdentity;
}

/// Where something for a device is to go now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// To the device itself: a way leads there. The last router before it, if that is another.
    There(Option<RouterId>),
    /// To this router, which was its neighbour when it was last heard of.
    By(RouterId),
    /// Nowhere: no way leads on, or this router is such a neighbour.
    Here,
}

/// What can happen to bundles.
#[derive(Debug)]
pub enum Input<'a> {
    /// A durable message of this node is on disk and not finished.
    Waits {
        /// For whom.
        node: NodeId,
        /// Its number.
        number: u64,
        /// How urgent it is.
        class: Class,
    },
    /// A durable message of this node is finished.
    Ended {
        /// For whom it was.
        node: NodeId,
        /// Its number.
        number: u64,
    },
    /// The answer to [`Action::Find`].
    Found {
        /// The node that was asked for.
        node: NodeId,
        /// Its device, as the map shows it, and the key of that.
        device: Option<(RouterId, [u8; 32])>,
        /// Where something for that device is to go.
        place: Place,
    },
    /// The answer to [`Action::Locate`].
    Located {
        /// The device that was asked for.
        to: RouterId,
        /// Where something for it is to go.
        place: Place,
    },
    /// The answer to [`Action::Fetch`].
    Fetched {
        /// For whom.
        node: NodeId,
        /// Its number.
        number: u64,
        /// The message.
        owed: Owed,
        /// Our keys.
        world: &'a dyn World,
    },
    /// A message from another carrier.
    Message {
        /// Who sent it: the other end of the session that it came by.
        from: RouterId,
        /// The message.
        payload: Bytes,
        /// Whom to believe.
        world: &'a dyn World,
    },
    /// What became of [`Action::Send`].
    Settled {
        /// Its number.
        tag: u64,
        /// Whether it arrived.
        arrived: bool,
    },
    /// The answer to [`Action::Arrived`].
    Arrived {
        /// Who wrote the message.
        node: NodeId,
        /// Its number.
        number: u64,
        /// What became of it.
        carried: Carried,
    },
    /// A durable message is on the disk here.
    Delivered {
        /// Who wrote it.
        node: NodeId,
        /// Its number.
        number: u64,
    },
    /// The answer to [`Action::Receipt`].
    Receipt {
        /// Whose messages they are.
        node: NodeId,
        /// Runs of numbers that are done with, by their first and last, in ascending order.
        runs: Vec<(u64, u64)>,
        /// Our keys.
        world: &'a dyn World,
    },
    /// Ways may lead elsewhere now.
    MapChanged,
    /// The record asked for with this number is durable.
    Stored {
        /// The number of [`Action::Store`].
        slot: u64,
    },
    /// No record will be durable any more.
    StoreFailed,
    /// A bundle was on disk when this node started.
    Recovered {
        /// The bundle.
        bundle: Bytes,
        /// How much longer it may wait.
        lifetime: Duration,
        /// How often it may still be handed over.
        handovers: u8,
    },
}

/// What bundles want done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Say where a node's device is and where something for it is to go.
    Find {
        /// Whom.
        node: NodeId,
        /// Not by way of these.
        avoid: Vec<RouterId>,
    },
    /// Say where something for a device is to go.
    Locate {
        /// Which.
        to: RouterId,
        /// Not by way of these.
        avoid: Vec<RouterId>,
    },
    /// Give out a durable message of this node.
    Fetch {
        /// For whom.
        node: NodeId,
        /// Its number.
        number: u64,
    },
    /// Give this message to a router, once, and answer [`Input::Settled`].
    Send {
        /// Which.
        to: RouterId,
        /// The message's number.
        tag: u64,
        /// How urgent it is.
        class: Class,
        /// The message.
        payload: Bytes,
    },
    /// A durable message has come, as if its source had sent it.
    Arrived {
        /// Who wrote it.
        node: NodeId,
        /// With which device.
        device: DeviceId,
        /// Its number.
        number: u64,
        /// The message.
        payload: Bytes,
    },
    /// Say which durable messages of that node's device are done with.
    Receipt {
        /// Whose.
        node: NodeId,
        /// Which device's.
        device: DeviceId,
    },
    /// That node has these of our durable messages on its disk.
    Receipted {
        /// Who.
        node: NodeId,
        /// Runs of numbers, by their first and last.
        runs: Vec<(u64, u64)>,
    },
    /// A durable message is in other hands.
    Entrusted {
        /// For whom it is.
        node: NodeId,
        /// Its number.
        number: u64,
        /// They have it on their disk.
        stored: bool,
    },
    /// Make this durable and answer [`Input::Stored`].
    Store {
        /// The number of this request.
        slot: u64,
        /// What to write.
        record: Record,
    },
}
