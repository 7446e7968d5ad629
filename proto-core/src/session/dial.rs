//! Handshakes that we start.
//!
//! At 90 % loss each way one call in a hundred is answered, so we call often: every 50 ms at first, with
//! the very same bytes, and ever more slowly when nobody seems to be there. Slow links are spared: no
//! more than a tenth of their airtime.
//!
//! Each place gets its own handshake, never the same bytes: two places that share bytes could be told to
//! be one node, and a responder's answers to them could be mixed up.
//!
//! With the peer's key known we use IK. But a key may be out of date, and a node that cannot read an Init
//! does not answer, exactly like one that is not there. So every other handshake with a place is XX, which
//! needs no key; with the right key the first one nearly always succeeds.

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

use super::cookie::{self, Cookie};
use super::keys::Holder;
use super::message::{Builder, COOKIE_LEN, INIT_OVERHEAD, Kind, Packet, RESPONSE_OVERHEAD, TAG_LEN, tag_of};
use super::pace::{LONGEST_GAP, SHORTEST_GAP, answer_time, gap};
use super::payload::Payload;
use super::peers::{Endpoint, Peer, Place};
use super::settle::{Claim, Fate};
use super::trust::Role;
use super::{Action, Sessions};
use crate::crypto::hash;
use crate::crypto::noise::{
    Handshake, IK_INIT_OVERHEAD, Pattern, XX_FINISH_OVERHEAD, XX_INIT_OVERHEAD, XX_RESPONSE_OVERHEAD,
};
use crate::drops::Drop;
use crate::ids::{LinkId, NodeId, PeerSlot};
use crate::machine::Cx;
use crate::node::input::LinkInfo;
use crate::time::{Duration, Instant};
use crate::zoo::Bug;

/// A handshake is replaced by a fresh one after this time or 200 copies, whichever is longer.
const RENEW: Duration = Duration::from_secs(10);
/// And one that needs fragments after this, since many rounds fill it piece by piece.
const RENEW_FRAGMENTED: Duration = Duration::from_secs(120);
/// How long a handshake keeps its place while others wait for one.
const TURN: Duration = Duration::from_secs(5);
/// A peer's hints are heeded this often.
pub(super) const HINT_EVERY: Duration = Duration::from_secs(1);

/// A handshake that we started.
pub(super) struct Dial {
    pub(super) peer: PeerSlot,
    place: Place,
    pattern: Pattern,
    noise: Box<Handshake>,
    /// What is sent, again and again.
    packet: Bytes,
    pub(super) index: u32,
    at: Instant,
    epoch: u32,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Waiting for a Response.
    Asking,
    /// XX: keys are in use, and the Finish is sent until something comes back under them.
    Finishing,
}

impl Dial {
    /// The Init that is sent, without cookie and tag.
    fn question(&self) -> &[u8] {
        let end = self.packet.len().saturating_sub(COOKIE_LEN + TAG_LEN);
        self.packet.get(..end).unwrap_or(&[])
    }
}

/// An answer, judged.
struct Judged {
    claim: Claim,
    fate: Fate,
    /// The other side will not speak with us.
    refused: bool,
}

impl Sessions {
    /// Sends whatever is due to a peer that is being called.
    pub(super) fn pump(&mut self, cx: &mut Cx<'_>, slot: PeerSlot) {
        let count = self.peers.get(slot).map_or(0, |peer| peer.endpoints.len());
        for place in 0..count {
            self.pump_place(cx, slot, place);
        }
        self.arm(cx, slot);
    }

    fn pump_place(&mut self, cx: &mut Cx<'_>, slot: PeerSlot, nth: usize) -> Option<()> {
        let peer = self.peers.get(slot)?;
        let endpoint = peer.endpoints.get(nth)?;
        let since = self.called_since(peer, endpoint)?;
        if endpoint.next > cx.now || endpoint.away {
            return None;
        }
        let place = endpoint.place;
        let (old, slow, sent) = (endpoint.dial, endpoint.slow, endpoint.sent);
        let info = self.links.get(&place.link)?.info.clone();
        let dial = match old.filter(|&dial| !self.is_stale(cx, &info, dial)) {
            Some(dial) => Some(dial),
            None => {
                // A Finish that nobody ever confirmed has met a responder that gave up: ask anew.
                self.drop_dial(slot, old);
                self.peers.get_mut(slot)?.dialing.get_or_insert(cx.now);
                self.begin(cx, slot, nth)
            }
        };
        let packet = dial.and_then(|dial| self.dials.get(dial)).map(|dial| (dial.packet.clone(), dial.epoch));
        let wait = match packet {
            Some((packet, epoch)) => {
                let wait = gap(&info, packet.len(), sent + 1, cx.now.since(since));
                self.send(cx, place, packet, epoch);
                if slow { LONGEST_GAP.max(wait) } else { wait }
            }
            None => SHORTEST_GAP.mul_ratio(2, 1),
        };
        // So that neighbours who start together do not stay together.
        let jitter = Duration::from_micros(cx.rng.below(wait.as_micros() / 8 + 1));
        let endpoint = self.peers.get_mut(slot)?.endpoints.get_mut(nth)?;
        endpoint.dial = dial;
        endpoint.sent = sent.saturating_add(1);
        endpoint.next = cx.now + wait + jitter;
        Some(())
    }

    /// Since when a place of a peer is called, if it is: a Finish goes on being sent to one that we call no more.
    pub(super) fn called_since(&self, peer: &Peer, endpoint: &Endpoint) -> Option<Instant> {
        let dial = endpoint.dial.and_then(|dial| self.dials.get(dial));
        dial.filter(|dial| dial.stage == Stage::Finishing).map(|dial| dial.at).or(peer.dialing)
    }

    /// Panics when an invariant does not hold: each handshake belongs to one place of its peer, and none waits
    /// for an answer from a peer that is not called.
    pub(super) fn check_dials(&self) {
        for (number, dial) in self.dials.iter() {
            let places = self.peers.get(dial.peer).map(|peer| peer.endpoints.iter());
            let held = places.into_iter().flatten().filter(|endpoint| endpoint.dial == Some(number)).count();
            assert_eq!(held, 1, "handshake {number} with peer {:?}", dial.peer);
        }
        for (slot, peer) in self.peers.iter() {
            for endpoint in peer.endpoints.iter().filter(|endpoint| endpoint.dial.is_some()) {
                let dial = endpoint.dial.and_then(|dial| self.dials.get(dial));
                assert!(dial.is_some_and(|dial| dial.peer == slot), "{slot:?} has lost a handshake");
                assert!(self.called_since(peer, endpoint).is_some(), "{slot:?} is not called");
            }
        }
    }

    fn is_stale(&self, cx: &Cx<'_>, info: &LinkInfo, dial: u16) -> bool {
        let Some(dial) = self.dials.get(dial) else { return true };
        let least = if dial.packet.len() > usize::from(info.mtu) { RENEW_FRAGMENTED } else { RENEW };
        let life = gap(info, dial.packet.len(), 2, Duration::ZERO).mul_ratio(200, 1).max(least);
        cx.now.since(dial.at) >= life || self.trust.network.psk(dial.epoch).is_none()
    }

    fn dials_limit(cx: &Cx<'_>) -> usize {
        (usize::from(cx.limits.handshakes) / 2).max(1)
    }

    /// Begins a handshake with the `nth` place of a peer.
    fn begin(&mut self, cx: &mut Cx<'_>, slot: PeerSlot, nth: usize) -> Option<u16> {
        if self.dials.len() >= Self::dials_limit(cx) {
            // Handshakes take turns when there are more places than slots.
            let waiting =
                |dial: &Dial| dial.stage == Stage::Asking && cx.now.since(dial.at) >= self.turn(dial);
            let (oldest, dial) =
                self.dials.iter().filter(|(_, dial)| waiting(dial)).min_by_key(|(_, dial)| dial.at)?;
            self.drop_dial(dial.peer, Some(oldest));
        }
        let peer = self.peers.get_mut(slot)?;
        let endpoint = peer.endpoints.get_mut(nth)?;
        let place = endpoint.place;
        endpoint.turns = endpoint.turns.wrapping_add(1);
        let turn = endpoint.turns;
        let (node, key) = (peer.node, peer.key);
        let round = peer.association.as_ref().map_or(0, |held| held.round.saturating_add(1));
        // Without knowing who it is we could not say whether we have forgotten it.
        let pattern =
            if key.is_some() && node.is_some() && turn % 2 == 1 { Pattern::Ik } else { Pattern::Xx };
        let epoch = self.trust.network.sending_epoch();
        let ephemeral = self.ephemeral(cx, place, &[0; 16]);
        let mut noise =
            self.trust.noise(pattern, Role::Initiator(key.as_ref()), epoch, self.versions, ephemeral).ok()?;
        // Over a mesh of radios both know each other's papers from the map. Where that is out of date the next such handshake shows them.
        let has_radios = self.links.get(&LinkId::MESH).is_some_and(|link| link.info.air.is_some());
        let is_short = place.link == LinkId::MESH && has_radios && pattern == Pattern::Ik && turn % 4 == 1;
        let ours = self.payload(node.as_ref(), round, false, is_short);
        let (kind, payload) = match pattern {
            Pattern::Ik => (Kind::InitIk, ours),
            // As long as the answer will be, so that it may be given to an unproved address.
            Pattern::Xx => {
                let answer = RESPONSE_OVERHEAD + XX_RESPONSE_OVERHEAD + ours.len();
                (Kind::InitXx, alloc::vec![0; answer - INIT_OVERHEAD - XX_INIT_OVERHEAD])
            }
        };
        let mut message = alloc::vec![0; payload.len() + IK_INIT_OVERHEAD];
        let len = noise.write(&payload, &mut message).ok()?;
        let index = self.table.take(cx.rng, Holder::Dial(0))?;
        let question = Builder::new(kind, self.versions, index).put(message.get(..len).unwrap_or(&[]));
        let packet = self.with_cookie(question, None, epoch);
        let at = cx.now;
        let dial = Dial { peer: slot, place, pattern, noise, packet, index, at, epoch, stage: Stage::Asking };
        match self.dials.insert(dial, Self::dials_limit(cx)) {
            Ok(dial) => {
                self.table.set_holder(index, Holder::Dial(dial));
                Some(dial)
            }
            Err(_) => {
                self.table.release(index);
                None
            }
        }
    }

    /// Long enough for an answer, no longer: a radio that may speak for a second in a hundred would keep the
    /// only place of a small node for most of an hour, and a cable beside it would wait.
    fn turn(&self, dial: &Dial) -> Duration {
        let info = self.links.get(&dial.place.link).map(|link| &link.info);
        let answer = info.map_or(Duration::ZERO, |info| answer_time(info, dial.packet.len()));
        // On a radio nobody answers at once, and what was asked for in vain costs more than a place.
        let times = if info.is_some_and(|info| info.air.is_some()) { 16 } else { 2 };
        TURN.max(answer.mul_ratio(times, 1))
    }

    fn with_cookie(&self, question: Builder, cookie: Option<&Cookie>, epoch: u32) -> Bytes {
        let field = cookie.map_or([0; COOKIE_LEN], |cookie| cookie::stamp(cookie, question.written()));
        question.put(&field).seal(&self.trust.hello(epoch)).into()
    }

    /// Ends one handshake of a peer.
    pub(super) fn drop_dial(&mut self, slot: PeerSlot, dial: Option<u16>) {
        let Some(number) = dial else { return };
        if let Some(dial) = self.dials.remove(number)
            && self.table.holder(dial.index) == Some(Holder::Dial(number))
        {
            self.table.release(dial.index);
        }
        let Some(peer) = self.peers.get_mut(slot) else { return };
        for endpoint in &mut peer.endpoints {
            if endpoint.dial == Some(number) {
                endpoint.dial = None;
            }
        }
    }

    /// Ends the handshakes of a peer that has been reached, and calls no more. A Finish goes on being
    /// sent if it is for the keys that we prefer, those at `sending`.
    pub(super) fn drop_dials(&mut self, slot: PeerSlot, sending: Option<u32>) {
        let ended: Vec<u16> = self
            .dials
            .iter()
            .filter(|(_, dial)| dial.peer == slot && Some(dial.index) != sending)
            .map(|(number, _)| number)
            .collect();
        for dial in ended {
            self.drop_dial(slot, Some(dial));
        }
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.dialing = None;
            peer.calls_heard = 0;
        }
    }

    /// Something was heard under the keys of one of our handshakes: its Finish has arrived.
    pub(super) fn finished(&mut self, cx: &mut Cx<'_>, slot: PeerSlot, index: u32) {
        let found = self.dials.iter().find(|(_, dial)| dial.index == index).map(|(number, _)| number);
        self.drop_dial(slot, found);
        self.arm(cx, slot);
    }

    /// The handshake that an answer from `place` names.
    fn asked(&self, receiver: u32, place: Place) -> Result<(u16, &Dial), Drop> {
        let Some(Holder::Dial(number)) = self.table.holder(receiver) else {
            return Err(Drop::HandshakeInvalid);
        };
        let dial = self.dials.get(number).filter(|dial| dial.place == place && dial.stage == Stage::Asking);
        dial.map(|dial| (number, dial)).ok_or(Drop::HandshakeInvalid)
    }

    pub(super) fn on_cookie(
        &mut self,
        cx: &mut Cx<'_>,
        place: Place,
        receiver: u32,
        echo: [u8; 8],
        masked: Cookie,
        epoch: u32,
    ) -> Result<(), Drop> {
        let (number, dial) = self.asked(receiver, place)?;
        let tag = tag_of(&dial.packet);
        if !tag.starts_with(&echo) || dial.epoch != epoch {
            return Err(Drop::CookieInvalid);
        }
        let cookie = cookie::mask(masked, &tag, &self.trust.hello(epoch));
        let question = Builder::from_written(dial.question());
        let (packet, slot) = (self.with_cookie(question, Some(&cookie), epoch), dial.peer);
        if let Some(dial) = self.dials.get_mut(number) {
            dial.packet = packet;
        }
        self.hasten(cx, slot, number);
        Ok(())
    }

    /// Sends a handshake's packet now.
    fn hasten(&mut self, cx: &mut Cx<'_>, slot: PeerSlot, dial: u16) {
        if let Some(peer) = self.peers.get_mut(slot) {
            for endpoint in peer.endpoints.iter_mut().filter(|endpoint| endpoint.dial == Some(dial)) {
                endpoint.next = cx.now;
                endpoint.sent = 0;
            }
        }
        self.pump(cx, slot);
    }

    pub(super) fn on_incompatible(
        &mut self,
        cx: &mut Cx<'_>,
        place: Place,
        packet: &Packet<'_>,
        receiver: u32,
        echo: [u8; 8],
    ) -> Result<(), Drop> {
        let (number, dial) = self.asked(receiver, place)?;
        if !tag_of(&dial.packet).starts_with(&echo) || self.versions.common(packet.versions).is_some() {
            return Err(Drop::HandshakeInvalid);
        }
        let slot = dial.peer;
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        for endpoint in peer.endpoints.iter_mut().filter(|endpoint| endpoint.dial == Some(number)) {
            // Said once for each round of calls; the peer may be updated, so we go on, rarely.
            if endpoint.slow {
                return Ok(());
            }
            endpoint.slow = true;
            endpoint.next = cx.now + LONGEST_GAP;
        }
        self.push(Action::Incompatible {
            link: place.link,
            from: place.addr,
            theirs: packet.versions,
            ours: self.versions,
        });
        Ok(())
    }

    pub(super) fn on_response(
        &mut self,
        cx: &mut Cx<'_>,
        place: Place,
        packet: &Packet<'_>,
        (receiver, echo): (u32, [u8; 8]),
        message: &[u8],
        epoch: u32,
    ) -> Result<(), Drop> {
        if let Some(Holder::Peer(slot)) = self.table.holder(receiver) {
            self.repeated(cx, slot);
            return Ok(());
        }
        let (number, dial) = self.asked(receiver, place)?;
        let question = hash::mac(&self.trust.hello(dial.epoch), &[dial.question()]);
        if !question.starts_with(&echo) || dial.epoch != epoch {
            return Err(Drop::HandshakeInvalid);
        }
        let slot = dial.peer;
        let mut buf = alloc::vec![0; message.len()];
        let dial = self.dials.get_mut(number).ok_or(Drop::HandshakeInvalid)?;
        let len = dial.noise.read(message, &mut buf).map_err(|_| Drop::HandshakeInvalid)?;
        let static_key = dial.noise.remote_static();
        // The answer is authentic: this handshake succeeds now, or there is no use in repeating it.
        let result = self.judge(cx, slot, buf.get(..len).unwrap_or(&[]), static_key, packet);
        let outcome = result.and_then(|judged| self.complete(cx, number, packet.sender, judged));
        if let Err(reason) = outcome {
            self.drop_dial(slot, Some(number));
            if reason != Drop::HandshakeStale {
                self.rest(cx, slot);
            }
            return Err(reason);
        }
        Ok(())
    }

    /// Another copy of an answer that has done its work. Installing its keys once more would start the
    /// packet numbers again under keys that have been used (the attack called KRACK, Vanhoef and
    /// Piessens 2017).
    fn repeated(&mut self, cx: &Cx<'_>, slot: PeerSlot) {
        if cx.zoo.has(Bug::NonceReset)
            && let Some(association) =
                self.peers.get_mut(slot).and_then(|peer| peer.association.as_deref_mut())
        {
            for path in &mut association.paths {
                path.next = 0;
            }
        }
    }

    fn judge(
        &mut self,
        cx: &mut Cx<'_>,
        slot: PeerSlot,
        payload: &[u8],
        static_key: Option<[u8; 32]>,
        packet: &Packet<'_>,
    ) -> Result<Judged, Drop> {
        let payload = Payload::decode(payload).map_err(|_| Drop::Malformed)?;
        let claim = self.claim(cx.now, &payload, static_key, packet.versions)?;
        if self.is_self(&claim) {
            return Err(Drop::Cloned);
        }
        let expected = self.peers.get(slot).and_then(|peer| peer.node);
        if expected.is_some_and(|node| node != claim.papers.node) {
            return Err(Drop::CertificateInvalid);
        }
        // A handshake of ours ends when we forget its peer, so none is from before that.
        let fate = self.fate(&claim, self.life);
        if fate == Fate::Takeover
            && let Some(known) = self.peers.slot_of(&claim.papers.node)
        {
            self.take_over(cx, known);
        }
        if matches!(fate, Fate::Stale | Fate::Takeover) {
            return Err(Drop::HandshakeStale);
        }
        Ok(Judged { claim, fate, refused: payload.refused })
    }

    /// Ends a handshake whose answer is authentic: with keys, or with the word that there will be none.
    fn complete(&mut self, cx: &mut Cx<'_>, number: u16, remote: u32, judged: Judged) -> Result<(), Drop> {
        let Judged { claim, fate, refused } = judged;
        let dial = self.dials.get_mut(number).ok_or(Drop::HandshakeInvalid)?;
        let (slot, place, index, epoch, pattern) =
            (dial.peer, dial.place, dial.index, dial.epoch, dial.pattern);
        let finish = match pattern {
            Pattern::Ik => None,
            Pattern::Xx => {
                if fate != Fate::Refuse && self.holds(&claim) {
                    return self.ask_by_key(cx, number, slot, &claim);
                }
                Some(self.write_finish(number, remote, &claim.papers.node)?)
            }
        };
        let dial = self.dials.get_mut(number).ok_or(Drop::HandshakeInvalid)?;
        let split = dial.noise.split().ok_or(Drop::HandshakeInvalid)?;
        let keys = self.make_keys(cx, &split, remote, true, &claim);
        self.table.set_keys(index, keys);
        if refused || fate == Fate::Refuse {
            if refused {
                self.report_self()
            } else {
                self.report_clone(&claim)
            }
            if let (Pattern::Ik, Some(packet)) = (pattern, self.refusal(index, &self.trust.hello(epoch))) {
                self.send(cx, place, packet, epoch);
            }
            return Err(Drop::Cloned);
        }
        self.trust.network.heard(epoch);
        let slot = self.unite(cx, slot, &claim);
        self.adopt(cx, slot, (place, true), index, claim, fate);
        match finish {
            None => self.drop_dial(slot, Some(number)),
            Some(packet) => {
                if let Some(dial) = self.dials.get_mut(number) {
                    dial.packet = packet;
                    dial.stage = Stage::Finishing;
                    dial.at = cx.now;
                }
                self.hasten(cx, slot, number);
            }
        }
        Ok(())
    }

    /// Whether we hold an association with this very instance.
    fn holds(&self, claim: &Claim) -> bool {
        let peer = self.peers.of_node(&claim.papers.node);
        peer.is_some_and(|peer| peer.association.is_some() && peer.instance == Some(claim.instance))
    }

    /// An XX handshake with a peer that we already share an association with: only IK can agree on it,
    /// so the key that was just learned is used for that, and this handshake is given up.
    fn ask_by_key(
        &mut self,
        cx: &mut Cx<'_>,
        number: u16,
        slot: PeerSlot,
        claim: &Claim,
    ) -> Result<(), Drop> {
        let slot = self.unite(cx, slot, claim);
        self.drop_dial(slot, Some(number));
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.key = Some(claim.papers.dh_key);
            peer.dialing.get_or_insert(cx.now);
            for endpoint in peer.endpoints.iter_mut().filter(|endpoint| endpoint.dial.is_none()) {
                // The next turn is odd, which means IK.
                endpoint.turns &= !1;
                endpoint.next = cx.now;
                endpoint.sent = 0;
            }
        }
        self.pump(cx, slot);
        Ok(())
    }

    fn write_finish(&mut self, number: u16, remote: u32, node: &NodeId) -> Result<Bytes, Drop> {
        let payload = self.payload(Some(node), 0, false, false);
        let dial = self.dials.get_mut(number).ok_or(Drop::HandshakeInvalid)?;
        let mut message = alloc::vec![0; payload.len() + XX_FINISH_OVERHEAD];
        let len = dial.noise.write(&payload, &mut message).map_err(|_| Drop::HandshakeInvalid)?;
        let (index, epoch) = (dial.index, dial.epoch);
        let packet = Builder::new(Kind::Finish, self.versions, index)
            .index(remote)
            .put(message.get(..len).unwrap_or(&[]))
            .put(&[0; COOKIE_LEN])
            .seal(&self.trust.hello(epoch));
        Ok(packet.into())
    }
}
