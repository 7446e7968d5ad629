//! Beacons: that a member of the network is here, said to all who hear.
//!
//! The tag shows that somebody who holds the network's key has made it, as with every packet of this family; nothing in it says who. It names the
//! place that it is sent from, under the key, so that a copy from elsewhere is worth nothing. A copy from the same place, by somebody who
//! claims that address, leads us to call there, where a member once was.

use super::message::{Builder, Kind, PLACE_LEN};
use super::peers::{Peer, Peers, Place};
use super::{Action, Sessions, padded};
use crate::crypto::hash;
use crate::drops::Drop;
use crate::ids::{Addr, LinkId, PeerSlot};
use crate::machine::Cx;
use crate::node::output::Found;

impl Sessions {
    /// Sends one to all who hear a link.
    pub(super) fn say_here(&mut self, cx: &Cx<'_>, link: LinkId, span: u8) {
        let Some(local) = self.links.get(&link).map(|link| link.info.local) else { return };
        let epoch = self.trust.network.sending_epoch();
        let hello = self.trust.hello(epoch);
        let place = place_under(&hello, &local);
        let packet = Builder::new(Kind::Beacon, self.versions, 0).put(&[span]).put(&place).seal(&hello);
        self.send(cx, Place { link, addr: Addr::ANY }, packet.into(), epoch);
    }

    /// One has come.
    pub(super) fn on_beacon(
        &mut self,
        place: Place,
        epoch: u32,
        span: u8,
        said: [u8; PLACE_LEN],
    ) -> Result<(), Drop> {
        let Some(local) = self.links.get(&place.link).map(|link| link.info.local) else {
            return Err(Drop::UnknownLink);
        };
        if self.links.values().any(|link| link.info.local == place.addr) {
            // Some media give back what is sent to all, and two of our own may be one.
            return Ok(());
        }
        let hello = self.trust.hello(epoch);
        if place.addr == Addr::ANY || place_under(&hello, &place.addr) != said {
            return Err(Drop::Misplaced);
        }
        let first = place_under(&hello, &local) < said;
        self.push(Action::Heard { link: place.link, from: place.addr, span, first });
        Ok(())
    }

    /// Somebody is at a place: whoever should be there is called, and if that is nobody, whoever it is.
    pub(super) fn meet(&mut self, cx: &mut Cx<'_>, place: Place, new: bool) {
        let is_there = |peer: &Peer| peer.endpoints.iter().any(|endpoint| endpoint.place == place);
        let there = self.peers.iter().filter(|(_, peer)| is_there(peer));
        if let Some((slot, is_up)) = there.map(|(slot, peer)| (slot, peer.is_up())).max_by_key(|&(_, up)| up)
        {
            match is_up {
                true => {}
                // Who has refused us is called rarely, however often it is heard.
                false if self.is_slow_at(cx, slot, place) => {}
                false if new => self.call_now(cx, slot),
                false => self.redial(cx, slot),
            }
            return;
        }
        // Members of the network can make up places, and each costs a handshake that leads nowhere.
        let strangers = self.peers.iter().filter(|(_, peer)| peer.node.is_none() && !peer.wanted).count();
        if strangers >= usize::from(cx.limits.handshakes) {
            return cx.drops.count(Drop::HandshakeFull);
        }
        match self.stranger_to_go(cx.limits.peers, false) {
            Ok(Some(stranger)) => self.forget(cx, stranger, true),
            Ok(None) => {}
            Err(reason) => return cx.drops.count(reason),
        }
        let mut peer = Peer::new(cx.now, None);
        peer.found = Found::Beacon;
        peer.add_endpoint(cx.now, place, false, usize::from(cx.limits.paths_per_peer));
        match self.peers.insert(peer, cx.limits.peers) {
            Some(slot) => self.redial(cx, slot),
            None => cx.drops.count(Drop::PeersFull),
        }
    }

    fn is_slow_at(&self, cx: &Cx<'_>, slot: PeerSlot, place: Place) -> bool {
        let endpoints = self.peers.get(slot).map_or(&[][..], |peer| &peer.endpoints);
        endpoints.iter().any(|known| known.place == place && known.slow && known.next > cx.now)
    }

    /// There is a session with whoever is at a place: what was called there for want of a name is called no longer.
    pub(super) fn met(&mut self, cx: &mut Cx<'_>, place: Place) {
        let is_it = |peer: &Peer| {
            let found = peer.node.is_none() && !peer.wanted && peer.found == Found::Beacon;
            found && peer.endpoints.iter().all(|endpoint| endpoint.place == place)
        };
        let find = |peers: &Peers| peers.iter().find(|(_, peer)| is_it(peer)).map(|(slot, _)| slot);
        while let Some(slot) = find(&self.peers) {
            self.forget(cx, slot, true);
        }
    }

    /// Nobody is heard at a place: who was looked for only there, and has no session, is looked for no longer.
    pub(super) fn part(&mut self, cx: &mut Cx<'_>, place: Place) {
        let only_there = |peer: &Peer| {
            let all = peer.endpoints.iter().all(|endpoint| endpoint.place == place);
            all && !peer.endpoints.is_empty() && !peer.wanted && !peer.is_up()
        };
        let gone = self.peers.iter().filter(|(_, peer)| only_there(peer)).map(|(slot, _)| slot);
        for slot in gone.collect::<alloc::vec::Vec<PeerSlot>>() {
            self.forget(cx, slot, true);
        }
    }
}

/// A place as a beacon names it.
fn place_under(hello: &[u8; 32], addr: &Addr) -> [u8; PLACE_LEN] {
    let mac = hash::mac(hello, &[b"thallus beacon place v1", &padded(addr)]);
    mac.first_chunk().copied().unwrap_or_default()
}
