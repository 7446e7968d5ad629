//! Where peers are: links that come and go, and places at which a peer was heard or is said to be.

use crate::ids::{Addr, LinkId, PeerSlot};
use crate::link::air::Budget;
use crate::link::paths::Way;
use crate::link::{LinkEntry, Links};
use crate::machine::Cx;
use crate::node::input::LinkInfo;
use crate::time::Instant;
use crate::wake::Wake;

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
        let before = self.links.get(&link);
        let free_at = before.map_or(cx.now, |entry| entry.free_at);
        let air = Budget::new(cx.now, &info, before.and_then(|entry| entry.air.as_ref()));
        self.links.insert(link, LinkEntry { info: info.clone(), free_at, air });
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

    /// A radio has sent what it had: whoever has something for it may.
    pub(super) fn air_free(&mut self, cx: &mut Cx<'_>, link: LinkId) {
        let Some(air) = self.links.get_mut(&link).and_then(|entry| entry.air.as_mut()) else { return };
        air.is_busy = false;
        for index in 0..self.peers.len() {
            let Ok(slot) = u16::try_from(index).map(PeerSlot) else { return };
            if self.peer_mut(slot).is_some_and(|entry| entry.ways.iter().any(|way| way.link == link)) {
                self.touch(cx, slot);
            }
        }
    }

    /// When a radio may be given a packet; `Idle` for one that has one. Other links take what comes.
    #[must_use]
    pub fn air_opens(&self, link: LinkId) -> Wake {
        let air = self.links.get(&link).and_then(|entry| entry.air.as_ref());
        air.map_or(Wake::Now, Budget::opens)
    }

    /// A packet that is not built here is given to a radio.
    pub fn spend_air(&mut self, now: Instant, link: LinkId, bytes: usize) {
        if let Some(LinkEntry { info, air: Some(air), .. }) = self.links.get_mut(&link) {
            air.spend(now, info.airtime(bytes));
        }
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
