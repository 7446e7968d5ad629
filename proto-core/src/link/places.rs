//! Where peers are: links that come and go, and places at which a peer was heard or is said to be.

use crate::ids::{Addr, LinkId, PeerSlot};
use crate::link::paths::Way;
use crate::link::{LinkEntry, Links};
use crate::machine::Cx;
use crate::node::input::LinkInfo;

impl Links {
    pub(super) fn proved(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, link: LinkId, addr: Addr) {
        // The link may be gone by now.
        let Some(info) = self.links.get(&link).map(|entry| entry.info.clone()) else { return };
        if let Some(entry) = self.peer_mut(peer) {
            entry.proved(cx, link, addr, &info);
            self.touch(cx, peer);
        }
    }

    pub(super) fn speak(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, place: (LinkId, Addr)) {
        let Some(entry) = self.peer_mut(peer) else { return };
        if let Some(way) = entry.ways.iter_mut().find(|way| (way.link, way.addr) == place) {
            way.path.ask();
            self.touch(cx, peer);
        }
    }

    pub(super) fn add_path(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, link: LinkId, addr: Addr) {
        let Some(info) = self.links.get(&link).map(|entry| entry.info.clone()) else { return };
        if let Some(entry) = self.peer_mut(peer) {
            entry.open_way(cx, link, addr, &info);
            self.touch(cx, peer);
        }
    }

    pub(super) fn look_there(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, place: (LinkId, Addr)) {
        let Some(entry) = self.peer_mut(peer) else { return };
        let is_there = |way: &&mut Way| (way.link, way.addr) == place && !way.is_usable();
        if let Some(way) = entry.ways.iter_mut().find(is_there) {
            way.link_is_back(cx);
            way.path.ask();
            self.touch(cx, peer);
        }
    }

    pub(super) fn link_up(&mut self, cx: &mut Cx<'_>, link: LinkId, info: LinkInfo) {
        let free_at = self.links.get(&link).map_or(cx.now, |entry| entry.free_at);
        self.links.insert(link, LinkEntry { info: info.clone(), free_at });
        for index in 0..self.peers.len() {
            let Ok(slot) = u16::try_from(index).map(PeerSlot) else { return };
            if let Some(entry) = self.peer_mut(slot) {
                entry.link_changed(cx, link, &info);
                self.touch(cx, slot);
            }
        }
    }

    /// Something leads to a peer over a link that is there, or does not any more.
    pub(super) fn reach_changed(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, link: LinkId, there: bool) {
        let Some(info) = self.links.get(&link).map(|entry| entry.info.clone()) else { return };
        let Some(entry) = self.peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut) else { return };
        if there {
            entry.link_changed(cx, link, &info);
        } else {
            entry.link_lost(cx, &mut self.sending, link);
        }
        self.touch(cx, peer);
    }

    pub(super) fn link_down(&mut self, cx: &mut Cx<'_>, link: LinkId) {
        self.links.remove(&link);
        for index in 0..self.peers.len() {
            let Ok(slot) = u16::try_from(index).map(PeerSlot) else { return };
            if let Some(entry) = self.peers.get_mut(index).and_then(Option::as_mut) {
                entry.link_lost(cx, &mut self.sending, link);
                self.touch(cx, slot);
            }
        }
    }
}
