//! The way in: one authenticated packet, frame by frame.

use crate::drops::Drop;
use crate::ids::{Addr, LinkId, PathId, PeerSlot};
use crate::link::Links;
use crate::link::frame::{AckFrame, Frame, Frames};
use crate::link::messages::Budget;
use crate::link::path::{Fate, Piece};
use crate::link::paths::Echo;
use crate::link::peer::Peer;
use crate::machine::Cx;
use crate::node::input::LinkInfo;
use crate::zoo::Bug;

/// A RECEIPT states all that was received, so a packet needs one for each message space. Each is looked through
/// up to the whole window, and thousands fit a packet: more than these are not acted on.
const MOST_RECEIPTS: u32 = 4;

/// An authenticated packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) path: PathId,
    pub(super) packet_number: u64,
    pub(super) link: LinkId,
    pub(super) from: Addr,
    pub(super) packet_bytes: usize,
    pub(super) payload: &'a [u8],
}

impl Links {
    pub(super) fn received(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, packet: &Packet<'_>) {
        let Some(info) = self.links.get(&packet.link).map(|entry| &entry.info) else { return };
        let Some(entry) = self.peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut) else { return };
        if !entry.has_way(packet.path) {
            entry.way_opened_by_peer(cx, packet.path, packet.link, packet.from, info);
        }
        entry.received(cx, &mut self.sending, &mut self.receiving, packet, info);
        self.touch(cx, peer);
    }
}

impl Peer {
    fn received(
        &mut self,
        cx: &mut Cx<'_>,
        sending: &mut Budget,
        receiving: &mut Budget,
        packet: &Packet<'_>,
        info: &LinkInfo,
    ) {
        self.heard(cx.now);
        if let Some(way) = self.way_mut(packet.path) {
            way.earned(packet.link, packet.from, packet.packet_bytes);
        }
        let mut eliciting = false;
        let mut kept = true;
        let mut receipts = 0;
        for frame in Frames::new(packet.payload) {
            let Ok(frame) = frame else {
                // What stood before the bad frame has been acted on; the packet is still
                // acknowledged, or its sender would repeat the same mistake for ever.
                cx.drops.count(Drop::ProtocolViolation);
                break;
            };
            eliciting |= frame.is_eliciting();
            receipts += u32::from(matches!(frame, Frame::Receipt(_)));
            if receipts > MOST_RECEIPTS {
                cx.drops.count(Drop::ProtocolViolation);
                break;
            }
            kept &= self.frame(cx, sending, receiving, (packet, info), frame);
        }
        if !kept {
            return;
        }
        if let Some(way) = self.way_mut(packet.path) {
            way.received_bytes += packet.packet_bytes as u64;
            way.path.on_received(cx.now, packet.packet_number, eliciting);
            if cx.zoo.has(Bug::AckGap) && packet.packet_number > 0 {
                way.path.on_received(cx.now, packet.packet_number - 1, eliciting);
            }
            // Where it was before, a packet that was overtaken knows.
            if way.path.largest_received() == Some(packet.packet_number) {
                way.seen_at(cx, packet.link, packet.from, packet.packet_bytes);
            }
        }
    }

    /// Acts on one frame. `false` when there was no room to keep what it carried: the packet must
    /// not be acknowledged then, so that the sender sends it again.
    fn frame(
        &mut self,
        cx: &mut Cx<'_>,
        sending: &mut Budget,
        receiving: &mut Budget,
        (packet, info): (&Packet<'_>, &LinkInfo),
        frame: Frame<'_>,
    ) -> bool {
        match frame {
            Frame::Padding(_) | Frame::Ping | Frame::Skipped { .. } => true,
            Frame::Ack(ack) => {
                self.acknowledged(cx, sending, &ack);
                true
            }
            Frame::Datagram(payload) => {
                self.inbox.on_datagram(cx, payload);
                true
            }
            Frame::RoutingDatagram(payload) => {
                self.inbox.on_routing_datagram(cx, payload);
                true
            }
            Frame::Message { header, data } => self.inbox.on_message(cx, receiving, &header, data),
            Frame::Receipt(receipt) => {
                self.outbox.on_receipt(cx.now, sending, &receipt);
                true
            }
            Frame::Floor { space, floor } => {
                self.inbox.on_floor(cx, receiving, space, floor);
                true
            }
            Frame::Refused { space, seq } => {
                self.outbox.on_refused(sending, space, seq);
                true
            }
            Frame::Challenge(token) => {
                if let Some(way) = self.way_mut(packet.path) {
                    let Packet { link, from: addr, packet_bytes: asked_bytes, .. } = *packet;
                    way.echo = Some(Echo { link, addr, token, asked_bytes });
                }
                true
            }
            Frame::Response(token) => {
                self.echoed(cx, token, (packet.link, packet.from), info);
                true
            }
            Frame::Close { reason: _ } => {
                self.closed = true;
                true
            }
        }
    }

    fn acknowledged(&mut self, cx: &mut Cx<'_>, sending: &mut Budget, ack: &AckFrame<'_>) {
        let Peer { ways, outbox, inbox, .. } = self;
        let Some(way) = ways.iter_mut().find(|way| way.id == ack.path) else {
            cx.drops.count(Drop::ProtocolViolation);
            return;
        };
        let now = cx.now;
        let mut acked = None;
        let valid = way.path.on_ack(now, ack, &mut |piece, fate| {
            if let (Piece::Ack { largest, .. }, Fate::Acked | Fate::Late) = (piece, fate) {
                acked = acked.max(Some(largest));
            }
            outbox.on_fate(cx, sending, piece, fate);
            inbox.on_fate(piece, fate);
        });
        if let Some(largest) = acked {
            way.path.on_ack_acked(largest);
        }
        if valid.is_err() {
            cx.drops.count(Drop::ProtocolViolation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Writer;
    use crate::drops::Drops;
    use crate::ids::{DeviceId, NodeId};
    use crate::limits::Limits;
    use crate::link::paths::tests::CABLE;
    use crate::link::{Input, frame};
    use crate::machine::Machine;
    use crate::params::PeerParams;
    use crate::rng::Rng;
    use crate::time::{Duration, Instant};
    use crate::zoo::Zoo;
    use alloc::vec::Vec;

    /// A receipt is looked through up to the whole window: a packet full of them is not.
    #[test]
    fn a_packet_full_of_receipts_costs_no_more_than_a_few() {
        let (mut rng, mut drops) = (Rng::fork(&[1; 32], "test"), Drops::default());
        let limits = &Limits::SMALL;
        let now = Instant::from_micros(1_000);
        let cx = &mut Cx { now, rng: &mut rng, limits, drops: &mut drops, zoo: Zoo::none() };
        let (mut sending, mut receiving) = (Budget::for_sending(limits), Budget::for_receiving(limits));
        let mut peer = Peer::new(limits, NodeId([1; 32]), 0);
        let mut buf = [0; 1_400];
        for (count, violations) in [(2, 0), (MOST_RECEIPTS, 0), (100, 1)] {
            let mut writer = Writer::new(&mut buf);
            for _ in 0..count {
                frame::write_receipt(&mut writer, frame::ORDINARY, 0, [(1, 60_000)].into_iter()).unwrap();
            }
            let len = writer.len();
            let before = cx.drops.get(Drop::ProtocolViolation);
            let packet = Packet {
                path: PathId(0),
                packet_number: u64::from(count),
                link: LinkId(0),
                from: Addr::ANY,
                packet_bytes: len,
                payload: &buf[..len],
            };
            peer.received(cx, &mut sending, &mut receiving, &packet, &CABLE);
            assert_eq!(cx.drops.get(Drop::ProtocolViolation) - before, violations, "{count} receipts");
        }
    }

    /// What a peer says that it remembers is no reason to keep more account of one's own messages.
    #[test]
    fn an_announced_window_counts_up_to_ones_own() {
        let (mut rng, mut drops) = (Rng::fork(&[1; 32], "test"), Drops::default());
        let limits = &Limits::TINY;
        let now = Instant::from_micros(1_000);
        let cx = &mut Cx { now, rng: &mut rng, limits, drops: &mut drops, zoo: Zoo::none() };
        let mut receiving = Budget::for_receiving(limits);
        let mut peer = Peer::new(limits, NodeId([1; 32]), 0);
        for (announced, used) in [(u16::MAX, 128), (64, 64)] {
            let params = PeerParams { message_window: announced, ..Limits::SERVER.params() };
            peer.established(cx, &mut receiving, DeviceId([1; 32]), params);
            assert_eq!(peer.params.message_window, used);
        }
    }

    /// RFC 9000, section 9.3: a packet that was overtaken says where the peer was, the newest where it is.
    #[test]
    fn the_newest_packet_says_where_the_peer_is() {
        const LINK: LinkId = LinkId(0);
        let (here, there) = (Addr::from_u32(1), Addr::from_u32(2));
        let (mut rng, mut drops) = (Rng::fork(&[1; 32], "test"), Drops::default());
        let limits = &Limits::SMALL;
        let now = Instant::from_micros(1_000);
        let cx = &mut Cx { now, rng: &mut rng, limits, drops: &mut drops, zoo: Zoo::none() };
        let (mut sending, mut receiving) = (Budget::for_sending(limits), Budget::for_receiving(limits));
        let mut peer = Peer::new(limits, NodeId([1; 32]), 0);
        peer.proved(cx, LINK, here, &CABLE);
        for (packet_number, from, tested) in
            [(5, here, None), (3, there, None), (6, there, Some(there)), (4, here, Some(there))]
        {
            let packet =
                Packet { path: PathId(0), packet_number, link: LINK, from, packet_bytes: 100, payload: &[1] };
            peer.received(cx, &mut sending, &mut receiving, &packet, &CABLE);
            let way = peer.way_mut(PathId(0)).unwrap();
            let now = way.challenge.as_ref().filter(|test| test.is_for(LINK, there)).map(|_| there);
            assert_eq!((way.addr, now), (here, tested), "number {packet_number} from {from:?}");
        }
    }

    /// A handshake was confirmed by a packet of another path: the place of path 0 is kept for the peer, and when its first
    /// packet has come, its address is proved without a second path to it.
    #[test]
    fn the_first_path_has_its_place_though_it_comes_last() {
        let (mut rng, mut drops) = (Rng::fork(&[1; 32], "test"), Drops::default());
        let limits = &Limits { paths_per_peer: 2, ..Limits::SMALL };
        let now = Instant::from_micros(1_000);
        let cx = &mut Cx { now, rng: &mut rng, limits, drops: &mut drops, zoo: Zoo::none() };
        let (mut sending, mut receiving) = (Budget::for_sending(limits), Budget::for_receiving(limits));
        let mut peer = Peer::new(limits, NodeId([1; 32]), 0);
        let (first, second) = ((LinkId(0), Addr::from_u32(1)), (LinkId(1), Addr::from_u32(2)));
        for (id, (link, from)) in [(PathId(3), second), (PathId(0), first)] {
            peer.way_opened_by_peer(cx, id, link, from, &CABLE);
            let packet = Packet { path: id, packet_number: 0, link, from, packet_bytes: 100, payload: &[1] };
            peer.received(cx, &mut sending, &mut receiving, &packet, &CABLE);
            if id != PathId(0) {
                // Another place of the peer, which is known.
                peer.open_way(cx, LinkId(2), Addr::from_u32(3), &CABLE);
            }
        }
        assert!(!peer.way_mut(PathId(0)).unwrap().proved);
        peer.proved(cx, first.0, first.1, &CABLE);
        let ways: Vec<_> = peer.ways.iter().map(|way| (way.id, way.proved)).collect();
        assert_eq!(ways, [(PathId(3), false), (PathId(0), true)]);
    }

    /// The peer has opened its path again on another link. It is looked for there when the way on the first one does not work,
    /// and not before: somebody may have carried a packet over. The first is asked again when its link is back.
    #[test]
    fn a_path_that_does_not_work_is_met_on_another_link() {
        let (mut rng, mut drops) = (Rng::fork(&[1; 32], "test"), Drops::default());
        let limits = &Limits::SMALL;
        let now = Instant::from_micros(10_000_000);
        let cx = &mut Cx { now, rng: &mut rng, limits, drops: &mut drops, zoo: Zoo::none() };
        let (first, second) = ((LinkId(0), Addr::from_u32(1)), (LinkId(1), Addr::from_u32(2)));
        for (is_proved, link_lost) in [(true, false), (true, true), (false, false), (false, true)] {
            for is_back in [false, true] {
                let mut links = Links::new(NodeId([2; 32]), limits);
                for link in [first.0, second.0] {
                    links.handle(cx, Input::LinkUp { link, info: CABLE });
                }
                let peer = PeerSlot(0);
                links.handle(cx, Input::Attach { peer, node: NodeId([1; 32]), wanted: false });
                if is_proved {
                    links.handle(cx, Input::Proved { peer, link: first.0, addr: first.1 });
                }
                let mut packet_number = 0;
                let mut come = |links: &mut Links, cx: &mut Cx<'_>, (link, from), payload: &[u8]| {
                    let packet =
                        Packet { path: PathId(0), packet_number, link, from, packet_bytes: 100, payload };
                    packet_number += 1;
                    links.received(cx, peer, &packet);
                };
                come(&mut links, cx, first, &[1]);
                if link_lost {
                    links.handle(cx, Input::LinkDown { link: first.0 });
                }
                come(&mut links, cx, second, &[1]);
                if link_lost && is_back {
                    links.handle(cx, Input::LinkUp { link: first.0, info: CABLE });
                }
                let tested = |links: &Links| {
                    let test = links.peers[0].as_ref().unwrap().ways[0].challenge.clone();
                    test.map(|test| ((test.link, test.addr), test.token))
                };
                if link_lost {
                    // That link is gone as well, for a moment: nothing is left to be tested there, and where it was is asked.
                    links.handle(cx, Input::LinkDown { link: second.0 });
                    let left = tested(&links).map(|test| test.0);
                    assert_eq!(left, is_proved.then_some(first), "{is_back}");
                    links.handle(cx, Input::LinkUp { link: second.0, info: CABLE });
                    come(&mut links, cx, second, &[1]);
                }
                let test = tested(&links);
                // One that it only came from is not asked unheard.
                let at = if link_lost && !(is_back && is_proved) { second } else { first };
                let expected = (link_lost || !is_proved).then_some(at);
                assert_eq!(test.map(|test| test.0), expected, "{is_proved} {link_lost} {is_back}");
                if let Some((place, token)) = test {
                    let mut buf = [0; 9];
                    frame::write_response(&mut Writer::new(&mut buf), token).unwrap();
                    come(&mut links, cx, place, &buf);
                }
                let way = &links.peers[0].as_ref().unwrap().ways[0];
                assert_eq!((way.link, way.addr, way.is_usable()), (at.0, at.1, true));
            }
        }
    }

    /// Its link was gone and is back, it has not answered yet, the peer is heard on another link, and that goes: it is asked again where it
    /// was, or nothing would ever be said to the peer.
    #[test]
    fn a_path_is_asked_where_it_was_when_it_cannot_be_met_elsewhere() {
        let (mut rng, mut drops) = (Rng::fork(&[1; 32], "test"), Drops::default());
        let limits = &Limits::SMALL;
        let now = Instant::from_micros(10_000_000);
        let cx = &mut Cx { now, rng: &mut rng, limits, drops: &mut drops, zoo: Zoo::none() };
        let (mut sending, mut receiving) = (Budget::for_sending(limits), Budget::for_receiving(limits));
        let (first, second) = ((LinkId(0), Addr::from_u32(1)), (LinkId(1), Addr::from_u32(2)));
        let mut peer = Peer::new(limits, NodeId([1; 32]), 0);
        peer.proved(cx, first.0, first.1, &CABLE);
        peer.link_lost(cx, &mut sending, first.0);
        peer.link_changed(cx, first.0, &CABLE);
        let asked = |peer: &mut Peer, (link, addr)| {
            let test = peer.way_mut(PathId(0)).unwrap().challenge.as_mut();
            test.filter(|test| test.is_for(link, addr)).map(|test| test.sent(now, Duration::ZERO)).is_some()
        };
        assert!(asked(&mut peer, first));
        cx.now += Duration::from_secs(2);
        let (link, from) = second;
        let packet =
            Packet { path: PathId(0), packet_number: 0, link, from, packet_bytes: 100, payload: &[1] };
        peer.received(cx, &mut sending, &mut receiving, &packet, &CABLE);
        assert!(asked(&mut peer, second));
        peer.link_lost(cx, &mut sending, second.0);
        assert!(asked(&mut peer, first));
    }

    /// No path is given up for one that finds no number, or that is of no more use.
    #[test]
    fn a_path_that_cannot_be_opened_costs_none() {
        let (mut rng, mut drops) = (Rng::fork(&[1; 32], "test"), Drops::default());
        let now = Instant::from_micros(1_000);
        let here = Addr::from_u32(1);
        let narrow = Limits { paths_per_peer: 3, ..Limits::SMALL };
        for (limits, theirs) in [(&Limits::SERVER, &[1, 3, 5, 7][..]), (&Limits::SMALL, &[]), (&narrow, &[])]
        {
            let cx = &mut Cx { now, rng: &mut rng, limits, drops: &mut drops, zoo: Zoo::none() };
            let mut peer = Peer::new(limits, NodeId([1; 32]), 0);
            peer.proved(cx, LinkId(0), here, &CABLE);
            for &id in theirs {
                peer.way_opened_by_peer(cx, PathId(id), LinkId(20 + u16::from(id)), here, &CABLE);
            }
            for link in 1..4 {
                peer.open_way(cx, LinkId(link), here, &CABLE);
            }
            let before: Vec<_> = peer.ways.iter().map(|way| (way.id, way.link)).collect();
            assert_eq!(before.len(), usize::from(limits.paths_per_peer), "all places are taken");
            peer.open_way(cx, LinkId(9), here, &CABLE);
            let after: Vec<_> = peer.ways.iter().map(|way| (way.id, way.link)).collect();
            assert_eq!(before, after, "none was asked yet");
        }
    }

    /// A side has three or four numbers for paths that it opens, and there may be eight places: one that works no more
    /// gives its number up.
    #[test]
    fn a_dead_path_gives_its_number_up() {
        let (mut rng, mut drops) = (Rng::fork(&[1; 32], "test"), Drops::default());
        let limits = &Limits::SERVER;
        let now = Instant::from_micros(1_000);
        let cx = &mut Cx { now, rng: &mut rng, limits, drops: &mut drops, zoo: Zoo::none() };
        let (mut sending, here) = (Budget::for_sending(limits), Addr::from_u32(1));
        for (parity, own) in [(0, 3), (1, 4)] {
            let mut peer = Peer::new(limits, NodeId([1; 32]), parity);
            for link in 0..=own {
                peer.proved(cx, LinkId(link), here, &CABLE);
                let way = peer.ways.last_mut().unwrap();
                way.lead_to(cx, LinkId(link), here, &CABLE);
            }
            let last = LinkId(own + 1);
            let opened = |peer: &Peer| peer.ways.iter().any(|way| way.link == last);
            peer.open_way(cx, last, here, &CABLE);
            assert!(!opened(&peer), "all work");
            peer.link_lost(cx, &mut sending, LinkId(2));
            peer.open_way(cx, last, here, &CABLE);
            assert!(opened(&peer) && peer.ways.iter().all(|way| way.link != LinkId(2)));
            // The new one was not asked yet: it is not given up for the next.
            peer.open_way(cx, LinkId(own + 2), here, &CABLE);
            assert!(opened(&peer));
        }
    }

    /// A handshake went to an address of the peer: messages can go there, though path 0 never came, or came first from
    /// somewhere else, which is tested on.
    #[test]
    fn where_a_handshake_went_there_is_a_path() {
        let (mut rng, mut drops) = (Rng::fork(&[1; 32], "test"), Drops::default());
        let limits = &Limits { paths_per_peer: 2, ..Limits::SMALL };
        let now = Instant::from_micros(1_000);
        let cx = &mut Cx { now, rng: &mut rng, limits, drops: &mut drops, zoo: Zoo::none() };
        let (here, link) = (Addr::from_u32(1), LinkId(0));
        for (id, over, tested) in
            [(PathId(3), LinkId(1), false), (PathId(0), link, true), (PathId(0), LinkId(1), true)]
        {
            let mut peer = Peer::new(limits, NodeId([1; 32]), 0);
            let elsewhere = Addr::from_u32(2);
            peer.way_opened_by_peer(cx, id, over, elsewhere, &CABLE);
            peer.proved(cx, link, here, &CABLE);
            let first = peer.way_mut(PathId(0)).unwrap();
            assert_eq!((first.link, first.addr, first.is_usable()), (link, here, true));
            let test = first.challenge.as_ref();
            assert_eq!(test.is_some_and(|test| test.is_for(over, elsewhere)), tested);
        }
    }
}
