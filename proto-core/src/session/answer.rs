//! Handshakes that others start.
//!
//! A question is answered at most once: the same question from the same place gets the same answer again,
//! so it does not matter how often it was sent or which answer is lost. Nothing about the peer changes
//! until it has proved, with a Finish or a first data packet, that it is there now.

use alloc::boxed::Box;
use bytes::Bytes;

use super::cookie::Cookie;
use super::keys::Holder;
use super::message::{
    Builder, INIT_OVERHEAD, Kind, MAX_HANDSHAKE_BYTES, Packet, RESPONSE_OVERHEAD, Versions,
};
use super::pace;
use super::payload::Payload;
use super::peers::Place;
use super::settle::{Claim, Fate};
use super::trust::Role;
use super::{Sessions, Size};
use crate::crypto::hash;
use crate::crypto::noise::{Handshake, IK_RESPONSE_OVERHEAD, Pattern, Split, XX_RESPONSE_OVERHEAD};
use crate::drops::Drop;
use crate::ids::PeerSlot;
use crate::machine::Cx;
use crate::time::{Duration, Instant};
use crate::wake::{Reason, Wake};
use crate::zoo::Bug;

/// How long an answer is kept for a question that is asked again.
pub(super) const LIFE: Duration = Duration::from_secs(60);

/// An Init as received.
pub(super) struct Init<'a> {
    pub(super) pattern: Pattern,
    pub(super) noise: &'a [u8],
    pub(super) cookie: Cookie,
    /// Everything before the cookie.
    pub(super) question: &'a [u8],
    pub(super) size: Size,
    pub(super) epoch: u32,
}

/// A question that is going to be answered.
struct Asked {
    place: Place,
    /// The index and the versions of the one who asks.
    remote: u32,
    versions: Versions,
    epoch: u32,
    question: [u8; 16],
    proved: bool,
}

/// One answered handshake.
pub(super) struct Answer {
    place: Place,
    /// Hash of the question.
    question: [u8; 16],
    /// What to say when it is asked again; empty once nothing is said any more.
    pub(super) reply: Bytes,
    pub(super) index: u32,
    remote: u32,
    /// The address has shown a cookie.
    proved: bool,
    at: Instant,
    /// Our life, as the answer tells it.
    life: u32,
    epoch: u32,
    state: State,
}

enum State {
    /// XX: who it is comes with the Finish.
    AwaitFinish { noise: Box<Handshake>, theirs: Versions },
    /// IK: keys are ready, and wait for a first packet.
    AwaitData { claim: Box<Claim> },
    /// A second instance was told so; whether it is real shows when it answers.
    Refused { claim: Box<Claim> },
    /// Confirmed. Kept so that late copies of the question cost nothing.
    Done,
}

impl Sessions {
    pub(super) fn on_init(
        &mut self,
        cx: &mut Cx<'_>,
        place: Place,
        packet: &Packet<'_>,
        init: &Init<'_>,
    ) -> Result<(), Drop> {
        let hello = self.trust.hello(init.epoch);
        let question = hash::mac(&hello, &[init.question]);
        let again = self.answers.iter().find(|(_, known)| known.question == question && known.place == place);
        let cookie = self.jar.proves(cx.now, (place.link, &place.addr), init.question, &init.cookie);
        let proved = cookie || cx.zoo.has(Bug::CookieOff);
        if let Some((_, known)) = again {
            if matches!(known.state, State::Done) {
                return Ok(());
            }
            let (reply, proved) = (known.reply.clone(), proved || known.proved);
            if !proved && self.is_longer(cx, place, reply.len(), init) {
                return self.demand_cookie(cx, place, packet, init);
            }
            self.send(cx, place, reply, init.epoch);
            return Ok(());
        }
        if !proved && !self.free.take(cx.now, cx.limits.free_handshakes_per_s) {
            return self.demand_cookie(cx, place, packet, init);
        }
        self.make_room(cx, place, proved)?;
        let (noise, claim) = self.read_init(cx, place, packet, init)?;
        if let Some(claim) = &claim {
            if self.is_self(claim) {
                return Err(Drop::Cloned);
            }
            let known = self.peers.slot_of(&claim.papers.node).is_some();
            if !known && !self.peers.has_room(cx.limits.peers, false) {
                return Err(Drop::PeersFull);
            }
        }
        self.call_eagerly(cx.now, place);
        let pattern_overhead = match init.pattern {
            Pattern::Ik => IK_RESPONSE_OVERHEAD,
            Pattern::Xx => XX_RESPONSE_OVERHEAD,
        };
        let len = RESPONSE_OVERHEAD
            + pattern_overhead
            + self.payload(None, 0, false, claim.as_ref().is_some_and(|claim| claim.is_short)).len();
        if !proved && self.is_longer(cx, place, len, init) {
            return self.demand_cookie(cx, place, packet, init);
        }
        let (remote, versions, epoch) = (packet.sender, packet.versions, init.epoch);
        self.respond(cx, &Asked { place, remote, versions, epoch, question, proved: cookie }, noise, claim)
    }

    /// Whether an answer of `len` bytes takes more bytes on the way than its question has taken.
    fn is_longer(&self, cx: &Cx<'_>, place: Place, len: usize, init: &Init<'_>) -> bool {
        self.wire_len(cx, place.link, len) > init.size.wire
    }

    fn demand_cookie(
        &mut self,
        cx: &mut Cx<'_>,
        place: Place,
        packet: &Packet<'_>,
        init: &Init<'_>,
    ) -> Result<(), Drop> {
        let hello = self.trust.hello(init.epoch);
        let demand = self.jar.demand(
            cx.now,
            (place.link, &place.addr),
            self.versions,
            (packet.sender, &packet.tag),
            &hello,
        );
        if demand.len() <= init.size.len {
            self.send(cx, place, demand.into(), init.epoch);
        }
        Err(Drop::CookieDemanded)
    }

    /// The first Diffie-Hellman: reads the question, and with IK who asks it.
    fn read_init(
        &mut self,
        cx: &mut Cx<'_>,
        place: Place,
        packet: &Packet<'_>,
        init: &Init<'_>,
    ) -> Result<(Box<Handshake>, Option<Claim>), Drop> {
        if !(INIT_OVERHEAD..=MAX_HANDSHAKE_BYTES).contains(&init.size.len) {
            return Err(Drop::Malformed);
        }
        let ephemeral = self.ephemeral(cx, place, &packet.tag);
        let noise = self.trust.noise(init.pattern, Role::Responder, init.epoch, packet.versions, ephemeral);
        let mut noise = noise.map_err(|_| Drop::HandshakeInvalid)?;
        let mut buf = alloc::vec![0; init.noise.len()];
        let len = noise.read(init.noise, &mut buf).map_err(|_| Drop::HandshakeInvalid)?;
        let claim = match init.pattern {
            Pattern::Xx => None,
            Pattern::Ik => {
                let payload = Payload::decode(buf.get(..len).unwrap_or(&[])).map_err(|_| Drop::Malformed)?;
                Some(self.claim(cx.now, &payload, noise.remote_static(), packet.versions)?)
            }
        };
        Ok((noise, claim))
    }

    /// Writes the answer to a question that has been read, and with IK makes the keys.
    fn respond(
        &mut self,
        cx: &mut Cx<'_>,
        asked: &Asked,
        mut noise: Box<Handshake>,
        claim: Option<Claim>,
    ) -> Result<(), Drop> {
        let fate = claim.as_ref().map(|claim| self.fate(claim, self.life));
        if fate == Some(Fate::Stale) {
            return Err(Drop::HandshakeStale);
        }
        let refused = fate == Some(Fate::Refuse);
        let round = claim.as_ref().map_or(0, |claim| self.next_round(claim));
        let node = claim.as_ref().map(|claim| claim.papers.node);
        let is_short = claim.as_ref().is_some_and(|claim| claim.is_short);
        let payload = self.payload(node.as_ref(), round, refused, is_short);
        let mut message = alloc::vec![0; payload.len() + XX_RESPONSE_OVERHEAD];
        let len = noise.write(&payload, &mut message).map_err(|_| Drop::HandshakeInvalid)?;
        message.truncate(len);

        let index = self.table.take(cx.rng, Holder::Answer(0)).ok_or(Drop::HandshakeFull)?;
        let reply = Builder::new(Kind::Response, self.versions, index)
            .index(asked.remote)
            .put(asked.question.get(..8).unwrap_or(&[]))
            .put(&message)
            .put(&[0; 16])
            .seal(&self.trust.hello(asked.epoch));
        let state = match claim {
            None => State::AwaitFinish { noise, theirs: asked.versions },
            Some(claim) => {
                let claim = Box::new(Claim { round, ..claim });
                let Some(split) = noise.split() else {
                    self.table.release(index);
                    return Err(Drop::HandshakeInvalid);
                };
                self.table.set_keys(index, self.make_keys(cx, &split, asked.remote, false, &claim));
                if refused { State::Refused { claim } } else { State::AwaitData { claim } }
            }
        };
        self.answered(cx, asked, index, reply.into(), state)
    }

    /// Above every round that either side has keys of.
    fn next_round(&self, claim: &Claim) -> u32 {
        let peer = self.peers.of_node(&claim.papers.node);
        let held = peer.and_then(|peer| peer.association.as_ref());
        claim.round.max(held.map_or(0, |association| association.round.saturating_add(1)))
    }

    /// Sends an answer and keeps it.
    fn answered(
        &mut self,
        cx: &mut Cx<'_>,
        asked: &Asked,
        index: u32,
        reply: Bytes,
        state: State,
    ) -> Result<(), Drop> {
        let &Asked { place, remote, epoch, question, proved, .. } = asked;
        let (at, life, packet) = (cx.now, self.life, reply.clone());
        let answer = Answer { place, question, reply, index, remote, proved, at, life, epoch, state };
        match self.answers.insert(answer, Self::answers_limit(cx)) {
            Ok(slot) => {
                self.table.set_holder(index, Holder::Answer(slot));
                self.answer_timers.set(slot, Wake::At(cx.now + self.life_of(place), Reason::HandshakeExpiry));
                self.send(cx, place, packet, epoch);
                Ok(())
            }
            Err(_) => {
                self.table.release(index);
                Err(Drop::HandshakeFull)
            }
        }
    }

    /// Our own handshakes may take half of `limits.handshakes`, those of others the rest.
    fn answers_limit(cx: &Cx<'_>) -> usize {
        let all = usize::from(cx.limits.handshakes);
        (all - all / 2).max(1)
    }

    /// Frees a place when all are taken: a finished answer, else the oldest that has had time to be
    /// confirmed. A young one stays: a peer that calls over two links at once, and a responder with one
    /// place, would otherwise end each other's handshakes for ever. But one who has `proved` an address
    /// need not wait for those who have not.
    fn make_room(&mut self, cx: &Cx<'_>, place: Place, proved: bool) -> Result<(), Drop> {
        if self.answers.len() < Self::answers_limit(cx) {
            return Ok(());
        }
        // Nobody who can be told apart holds more than one place when places are scarce.
        let own = self.answers.iter().find(|(_, answer)| proved && answer.place == place);
        if let Some((slot, _)) = own {
            self.drop_answer(slot);
            return Ok(());
        }
        let oldest = self.answers.iter().min_by_key(|(_, answer)| {
            let done = matches!(answer.state, State::Done);
            (!done, answer.proved, answer.at)
        });
        let Some((slot, answer)) = oldest else { return Err(Drop::HandshakeFull) };
        let patience = self.links.get(&answer.place.link).map(|link| pace::patience(&link.info));
        let must_go = matches!(answer.state, State::Done) || (proved && !answer.proved);
        if !must_go && patience.is_some_and(|patience| cx.now.since(answer.at) < patience) {
            return Err(Drop::HandshakeFull);
        }
        self.drop_answer(slot);
        Ok(())
    }

    pub(super) fn drop_answer(&mut self, slot: u16) {
        self.answer_timers.clear(slot);
        if let Some(answer) = self.answers.remove(slot)
            && self.table.holder(answer.index) == Some(Holder::Answer(slot))
        {
            self.table.release(answer.index);
        }
    }

    /// How long an answer is kept: over radios long enough for the first packet under the new keys to come.
    fn life_of(&self, place: Place) -> Duration {
        let info = self.links.get(&place.link).map(|link| &link.info).filter(|info| info.air.is_some());
        info.map_or(LIFE, |info| pace::answer_time(info, usize::from(info.mtu)).mul_ratio(4, 1).max(LIFE))
    }

    pub(super) fn expire_answer(&mut self, cx: &Cx<'_>, slot: u16) {
        let Some(answer) = self.answers.get(slot) else { return };
        let end = answer.at + self.life_of(answer.place);
        if end <= cx.now {
            self.drop_answer(slot);
        } else {
            self.answer_timers.set(slot, Wake::At(end, Reason::HandshakeExpiry));
        }
    }

    pub(super) fn on_finish(
        &mut self,
        cx: &mut Cx<'_>,
        place: Place,
        packet: &Packet<'_>,
        receiver: u32,
        message: &[u8],
    ) -> Result<(), Drop> {
        let slot = match self.table.holder(receiver) {
            Some(Holder::Answer(slot)) => slot,
            // A copy of one that was taken.
            Some(Holder::Peer(_)) => return Ok(()),
            Some(Holder::Dial(_)) | None => return Err(Drop::HandshakeInvalid),
        };
        let answer = self.answers.get_mut(slot).ok_or(Drop::HandshakeInvalid)?;
        if answer.place != place || answer.remote != packet.sender {
            return Err(Drop::HandshakeInvalid);
        }
        let (life, epoch, remote) = (answer.life, answer.epoch, answer.remote);
        if let State::Refused { .. } = answer.state {
            let reply = answer.reply.clone();
            self.send(cx, place, reply, epoch);
            return Ok(());
        }
        let (claim, split) = self.read_finish(cx.now, slot, message)?;
        let fate = self.fate(&claim, life);
        let mut keys = self.make_keys(cx, &split, remote, false, &claim);
        keys.heard = true;
        self.table.set_keys(receiver, keys);
        if fate == Fate::Takeover
            && let Some(peer) = self.peers.slot_of(&claim.papers.node)
        {
            self.take_over(cx, peer);
        }
        if matches!(fate, Fate::Stale | Fate::Takeover) {
            self.drop_answer(slot);
            return Err(Drop::HandshakeStale);
        }
        if fate == Fate::Refuse {
            self.report_clone(&claim);
            let reply = self.refusal(receiver, &self.trust.hello(epoch)).ok_or(Drop::Cloned)?;
            if let Some(answer) = self.answers.get_mut(slot) {
                answer.state = State::Refused { claim: Box::new(claim) };
                answer.reply = reply.clone();
            }
            self.send(cx, place, reply, epoch);
            return Err(Drop::Cloned);
        }
        if let Some(peer) = self.peers.slot_of(&claim.papers.node) {
            self.doubt(peer);
        }
        if let Some(answer) = self.answers.get_mut(slot) {
            answer.state = State::AwaitData { claim: Box::new(claim) };
        }
        self.confirm(cx, place, slot, fate).map(|_| ())
    }

    /// Who it is that finishes a handshake, and its keys. Once the message is authentic the handshake has
    /// said all it can: it succeeds or it is over.
    fn read_finish(&mut self, now: Instant, slot: u16, message: &[u8]) -> Result<(Claim, Split), Drop> {
        let answer = self.answers.get_mut(slot).ok_or(Drop::HandshakeInvalid)?;
        let (noise, theirs) = match &mut answer.state {
            State::AwaitFinish { noise, theirs } => (noise, *theirs),
            State::AwaitData { .. } | State::Refused { .. } | State::Done => {
                return Err(Drop::HandshakeInvalid);
            }
        };
        let mut buf = alloc::vec![0; message.len()];
        let len = noise.read(message, &mut buf).map_err(|_| Drop::HandshakeInvalid)?;
        let (static_key, split) = (noise.remote_static(), noise.split());
        let claim = Payload::decode(buf.get(..len).unwrap_or(&[]))
            .map_err(|_| Drop::Malformed)
            .and_then(|payload| self.claim(now, &payload, static_key, theirs))
            .and_then(|claim| if self.is_self(&claim) { Err(Drop::Cloned) } else { Ok(claim) });
        match (claim, split) {
            (Ok(claim), Some(split)) => Ok((Claim { round: 0, ..claim }, split)),
            (Err(reason), _) => {
                self.drop_answer(slot);
                Err(reason)
            }
            (Ok(_), None) => Err(Drop::HandshakeInvalid),
        }
    }

    /// What confirming an answer would mean now.
    pub(super) fn answer_fate(&self, slot: u16) -> Option<(Fate, Option<PeerSlot>)> {
        let answer = self.answers.get(slot)?;
        match &answer.state {
            State::AwaitData { claim } => {
                Some((self.fate(claim, answer.life), self.peers.slot_of(&claim.papers.node)))
            }
            State::Refused { .. } => Some((Fate::Refuse, None)),
            State::AwaitFinish { .. } | State::Done => None,
        }
    }

    /// Whether papers that were in order with the question still are: a statement or another handshake may
    /// have come since.
    fn is_in_order(&self, now: Instant, claim: &Claim) -> bool {
        let papers = &claim.papers;
        self.trust.still_valid(now, papers) && self.is_latest(papers)
    }

    /// Whether confirming an answer is still open to whoever asked.
    pub(super) fn answer_holds(&self, now: Instant, slot: u16) -> bool {
        match self.answers.get(slot).map(|answer| &answer.state) {
            Some(State::AwaitData { claim }) => self.is_in_order(now, claim),
            Some(State::AwaitFinish { .. } | State::Refused { .. } | State::Done) | None => false,
        }
    }

    /// The initiator has proved that it holds the keys, with a packet `from` somewhere. The place that our answer went to
    /// is proved when that was there, or has shown a cookie; else somebody may have carried the answer on from there, and the next packet
    /// under these keys that comes from there proves it.
    pub(super) fn confirm(
        &mut self,
        cx: &mut Cx<'_>,
        from: Place,
        slot: u16,
        fate: Fate,
    ) -> Result<PeerSlot, Drop> {
        let answer = self.answers.get_mut(slot).ok_or(Drop::UnknownSession)?;
        let (index, epoch, place) = (answer.index, answer.epoch, answer.place);
        let proved = answer.proved || from == place;
        let State::AwaitData { claim } = core::mem::replace(&mut answer.state, State::Done) else {
            return Err(Drop::UnknownSession);
        };
        answer.reply = Bytes::new();
        if !self.is_in_order(cx.now, &claim) {
            self.drop_answer(slot);
            return Err(Drop::Revoked);
        }
        let peer = match self.slot_for(cx, claim.papers.node, false) {
            Ok(peer) => peer,
            Err(reason) => {
                self.drop_answer(slot);
                return Err(reason);
            }
        };
        self.trust.network.heard(epoch);
        self.adopt(cx, peer, (place, proved), index, *claim, fate);
        Ok(peer)
    }

    /// The second instance has heard that it is one: so it is real, and not a replayed question.
    pub(super) fn refusal_answered(&mut self, cx: &mut Cx<'_>, slot: u16) {
        let Some(answer) = self.answers.get_mut(slot) else { return };
        match core::mem::replace(&mut answer.state, State::Done) {
            State::Refused { claim } => {
                self.report_clone(&claim);
                cx.drops.count(Drop::Cloned);
            }
            // We answered, and the other side knows an earlier instance of us: we are the second.
            State::AwaitData { .. } => self.report_self(),
            State::AwaitFinish { .. } | State::Done => {}
        }
        self.drop_answer(slot);
    }
}
