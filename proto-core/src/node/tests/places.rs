//! Commands about where peers are, and why they are refused.

use std::vec;
use std::vec::Vec;

use super::bench::*;
use crate::ids::{Addr, NodeId};
use crate::limits::Limits;
use crate::node::*;

const OTHER: NodeId = NodeId([9; 32]);

/// A small node whose packets reach nobody.
fn alone(seed: u8) -> Pair {
    let mut pair = Pair::new([Limits::TINY, Limits::SMALL], 1_400, seed);
    pair.loss_ppm = 1_000_000;
    pair
}

fn add(pair: &mut Pair, node: Option<NodeId>, places: impl IntoIterator<Item = u32>) -> Result<(), Refused> {
    let endpoints: Vec<_> = places.into_iter().map(|place| (LINK, Addr::from_u32(place))).collect();
    pair.input(0, Input::Command(Command::AddPeer(PeerSpec { node, key: None, endpoints })))
}

fn take_back(pair: &mut Pair, place: u32) -> Result<(), Refused> {
    pair.input(0, Input::Command(Command::RemoveEndpoint { link: LINK, addr: Addr::from_u32(place) }))
}

/// Accepted means that each of the addresses is tried.
#[test]
fn an_address_that_finds_no_place_is_refused() {
    let mut pair = alone(71);
    let full = Err(Refused::EndpointsFull { limit: 2 });
    assert_eq!(add(&mut pair, Some(OTHER), [5, 6, 7]), full);
    assert_eq!(pair.nodes[0].slot_of(&OTHER), None, "nothing has changed");
    assert_eq!(add(&mut pair, Some(OTHER), [5, 6, 5]), Ok(()));
    assert_eq!(add(&mut pair, Some(OTHER), [7]), full);
    assert_eq!(add(&mut pair, Some(OTHER), [6, 5]), Ok(()));
    assert_eq!(take_back(&mut pair, 7), Err(Refused::UnknownPeer));
    assert_eq!(take_back(&mut pair, 5), Ok(()));
    assert_eq!(add(&mut pair, Some(OTHER), [7]), Ok(()));
    assert_eq!(add(&mut pair, Some(OTHER), [5]), full);
}

/// A slot that was asked for by an address alone is free again when the address is taken back.
#[test]
fn mistyped_addresses_do_not_lock_a_node() {
    let mut pair = alone(72);
    assert_eq!(add(&mut pair, None, vec![]), Err(Refused::NoEndpoint));
    for place in 10..18 {
        assert_eq!(add(&mut pair, None, [place]), Ok(()));
    }
    let full = Err(Refused::PeersFull { limit: 8 });
    assert_eq!(add(&mut pair, None, [18]), full);
    assert_eq!(add(&mut pair, Some(OTHER), [18]), full);
    // Known already: no further slot is needed.
    assert_eq!(add(&mut pair, None, [17]), Ok(()));
    assert_eq!(take_back(&mut pair, 17), Ok(()));
    assert_eq!(take_back(&mut pair, 17), Err(Refused::UnknownPeer));
    assert_eq!(add(&mut pair, Some(OTHER), [18]), Ok(()));
}
