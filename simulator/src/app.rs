//! The applications: they send what the plan says and take what arrives.
//!
//! A message's bytes follow from the plan's seed, the flow and its number, so the receiver can tell
//! whether they are right, and which message they are, without any private channel. Large messages say
//! who they are in their first 24 bytes, after a marker that must never be seen on a wire; small ones
//! are recognised by their contents.

use bytes::Bytes;

use crate::draw::{Lot, Purpose, draw, pair};
use crate::plan::{FlowPlan, Kind, Urgency};
use proto_core::node::{Class, Delivery};

/// From this size on a message says which one it is.
pub const NAMED: u32 = 24;

/// What must never be seen on a wire, in little-endian order.
#[must_use]
pub fn marker(seed: u64) -> u64 {
    draw(seed, Purpose::Marker, 0, 0)
}

/// Bytes of message `index` of a flow.
#[must_use]
pub fn size_of(seed: u64, number: u32, flow: &FlowPlan, index: u64) -> u32 {
    if flow.sizes.is_empty() {
        let lot = Lot::new(seed, Purpose::Flow, pair(number, 0));
        return lot.between(index, u64::from(flow.size.0), u64::from(flow.size.1)) as u32;
    }
    flow.sizes[(index % flow.sizes.len() as u64) as usize]
}

/// Time from message `index` to the next.
#[must_use]
pub fn pause_after(seed: u64, number: u32, flow: &FlowPlan, index: u64) -> u64 {
    if !flow.random_pace {
        return flow.every_us;
    }
    Lot::new(seed, Purpose::Flow, pair(number, 1)).between(index, 0, flow.every_us.saturating_mul(2))
}

/// The contents of message `index` of flow `number`.
#[must_use]
pub fn payload(seed: u64, number: u32, index: u64, size: u32) -> Bytes {
    let size = size as usize;
    let mut bytes = Vec::with_capacity(size);
    if size < NAMED as usize {
        bytes.extend_from_slice(&index.to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
    } else {
        bytes.extend_from_slice(&marker(seed).to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&index.to_le_bytes());
        bytes.extend_from_slice(&(size as u32).to_le_bytes());
    }
    let lot = Lot::new(seed, Purpose::Payload, pair(number, 0) ^ index.rotate_left(32));
    let mut n = 0;
    while bytes.len() < size {
        bytes.extend_from_slice(&lot.at(n).to_le_bytes());
        n += 1;
    }
    bytes.truncate(size);
    Bytes::from(bytes)
}

/// Which message these bytes claim to be, if they are large enough to say: flow and number.
#[must_use]
pub fn name_of(seed: u64, bytes: &[u8]) -> Option<(u32, u64)> {
    let (mark, rest) = bytes.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first_chunk::<4>()?;
    let (index, rest) = rest.split_first_chunk::<8>()?;
    let (size, _) = rest.split_first_chunk::<4>()?;
    let right =
        u64::from_le_bytes(*mark) == marker(seed) && u32::from_le_bytes(*size) as usize == bytes.len();
    right.then(|| (u32::from_le_bytes(*number), u64::from_le_bytes(*index)))
}

/// The core's name for a plan's kind of delivery.
#[must_use]
pub fn delivery_of(flow: &FlowPlan) -> Delivery {
    match flow.delivery {
        Kind::Datagram => Delivery::Datagram,
        Kind::Message => Delivery::Message,
        Kind::Stream => Delivery::Stream { stream: flow.stream },
        Kind::Durable => Delivery::Durable,
    }
}

/// The core's name for a plan's urgency.
#[must_use]
pub fn class_of(flow: &FlowPlan) -> Class {
    match flow.class {
        Urgency::Emergency => Class::Emergency,
        Urgency::High => Class::High,
        Urgency::Normal => Class::Normal,
        Urgency::Low => Class::Low,
        Urgency::Background => Class::Background,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_message_says_who_it_is_and_a_small_one_does_not() {
        for size in [24, 25, 100, 70_000] {
            let bytes = payload(9, 3, 1 << 40, size);
            assert_eq!(bytes.len(), size as usize);
            assert_eq!(name_of(9, &bytes), Some((3, 1 << 40)));
            assert_eq!(name_of(8, &bytes), None);
            assert_eq!(name_of(9, &bytes[..23]), None);
        }
        assert_eq!(payload(9, 3, 7, 0).len(), 0);
        assert_eq!(payload(9, 3, 7, 23).len(), 23);
        assert_ne!(payload(9, 3, 7, 20), payload(9, 3, 8, 20));
        assert_ne!(payload(9, 3, 7, 1_000)[24..], payload(9, 4, 7, 1_000)[24..]);
    }

    #[test]
    fn sizes_are_drawn_within_the_plan_or_taken_in_turn() {
        let mut flow = FlowPlan::new(0, 1, 10, 0);
        flow.size = (5, 7);
        assert!((0..100).all(|n| (5..=7).contains(&size_of(1, 0, &flow, n))));
        flow.sizes = vec![0, 9];
        assert_eq!([0, 1, 2].map(|n| size_of(1, 0, &flow, n)), [0, 9, 0]);
    }
}
