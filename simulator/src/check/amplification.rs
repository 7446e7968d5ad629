//! Nobody can use a node to hit somebody else harder than they could themselves.
//!
//! Whoever asks under a false address must not have a larger answer sent there. Until an address has
//! shown that it receives, the bytes sent to it never exceed the bytes that came from it: neither in
//! handshakes, nor in sealed packets, since a captured authentic packet can be sent on from a false
//! address (RFC 9000, section 8.1, would allow three times as many). An address has shown it once the host
//! that truly owns it has sent something back that way after it was given something by this node, or has
//! sealed something, whichever way it went, after it was given a handshake there: it has the keys from
//! that answer. Addresses that the operator named need no proof. Whoever carries what was sent to an address to
//! another host, and then brings an answer of that host from that address, receives there as well, and so does
//! whoever carries the answer to an IK handshake from there to the host that asked, once that host seals for whom
//! answered: nobody can tell him from a translator.
//!
//! Nor can anybody make a node compute: to addresses that have not shown that they receive, it answers no
//! more handshakes a second than `Limits::free_handshakes_per_s` (twice that within one second of world
//! time, since the allowance of a quiet second is kept). A repeated answer costs nothing and is not counted.

use std::collections::{BTreeMap, VecDeque};

use proto_core::ids::Addr;

use super::session::wire;
use super::{Checker, Sight, Violation, want};
use crate::net::address::{number_of, owner_of};
use crate::plan::Plan;

#[derive(Clone, Copy, Default, Debug)]
struct Account {
    received: u64,
    sent: u64,
    /// Of those, packets of the handshake family.
    handshakes: u64,
    proved: bool,
}

/// Handshakes that one host answered to unproved addresses within one second.
#[derive(Clone, Default, Debug)]
struct Work {
    second: u64,
    count: u64,
    most: u64,
    /// The last answers: the first bytes of the ephemeral key of each.
    answers: VecDeque<[u8; 8]>,
}

/// See the module's header.
#[derive(Debug)]
pub struct Amplification {
    /// By host, link and the number of an address.
    accounts: BTreeMap<(u32, u32, u64), Account>,
    /// Links and addresses by which the first host has given a handshake to the second, which has sealed
    /// nothing for it since.
    answered: BTreeMap<(u32, u32), Vec<(u32, u64)>>,
    /// By host, link and peer: addresses of the peer at which the host has reached it, and which the peer has
    /// not answered yet.
    reached: BTreeMap<(u32, u32, u32), Vec<u64>>,
    /// By link: the last packets to addresses that had proved nothing.
    strays: BTreeMap<u32, Recent<Stray>>,
    /// By host: the places of the last strays that it was given.
    carried: BTreeMap<u32, VecDeque<Place>>,
    /// The last packets of such hosts, and what they had been given.
    answers: Recent<Vec<Place>>,
    /// By host: the indices of the last IK handshakes that it began.
    asked: BTreeMap<u32, VecDeque<Index>>,
    /// By host: the last answers to them that were carried to it, by the index of whom it has to seal for.
    handed: BTreeMap<u32, VecDeque<(Index, Place)>>,
    hosts: u32,
    /// By host.
    work: Vec<Work>,
}

/// Addresses watched at once. A flood from more of them is watched in part.
const MOST: usize = 1 << 20;
/// Answers of one host that are recognised when they are repeated: more handshakes than any node keeps at once.
const MOST_ANSWERS: usize = 1_024;
/// Packets that are recognised when somebody carries them: more than the attackers of a link remember.
const MOST_CARRIED: usize = 1_024;
/// Places of which one host may be carrying the answer.
const MOST_PLACES: usize = 16;
/// Handshakes of one host whose answers are recognised when they are carried to it: more than any node has under way.
const MOST_ASKED: usize = 1_024;

/// A host, a link of it, and the number of an address there.
type Place = (u32, u32, u64);

/// By which the other side of a handshake is addressed.
type Index = [u8; 3];

/// What is kept of a packet to an address that had proved nothing.
#[derive(Clone, Copy, Debug)]
struct Stray {
    place: Place,
    /// Of an answer to a handshake: who sent it, and to whom.
    answer: Option<(Index, Index)>,
}

/// What is known of the last packets, by their last eight bytes, which are part of a tag.
#[derive(Debug)]
struct Recent<T> {
    known: BTreeMap<[u8; 8], T>,
    /// Oldest first.
    order: VecDeque<[u8; 8]>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Recent { known: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<T> Recent<T> {
    fn keep(&mut self, bytes: &[u8], value: T) {
        let Some(tail) = bytes.last_chunk().copied() else { return };
        if self.known.insert(tail, value).is_some() {
            self.order.retain(|known| *known != tail);
        }
        self.order.push_back(tail);
        if self.order.len() > MOST_CARRIED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn get(&self, bytes: &[u8]) -> Option<&T> {
        self.known.get(bytes.last_chunk()?)
    }
}

impl Amplification {
    /// For a plan with these nodes.
    #[must_use]
    pub fn new(plan: &Plan) -> Amplification {
        let most = |node| 2 * u64::from(plan.limits(node).free_handshakes_per_s) + 1;
        let hosts = plan.node_count();
        let work = (0..hosts).map(|node| Work { most: most(node), ..Work::default() }).collect();
        Amplification {
            accounts: BTreeMap::new(),
            answered: BTreeMap::new(),
            reached: BTreeMap::new(),
            strays: BTreeMap::new(),
            carried: BTreeMap::new(),
            answers: Recent::default(),
            asked: BTreeMap::new(),
            handed: BTreeMap::new(),
            hosts,
            work,
        }
    }

    /// A handshake is answered to an address that has not shown that it receives.
    fn worked(&mut self, at_us: u64, host: u32, answer: [u8; 8]) -> Option<Violation> {
        let known = self.work.get_mut(host as usize)?;
        if known.answers.contains(&answer) {
            return None;
        }
        known.answers.push_back(answer);
        if known.answers.len() > MOST_ANSWERS {
            known.answers.pop_front();
        }
        let second = at_us / 1_000_000;
        if known.second != second {
            (known.second, known.count) = (second, 0);
        }
        known.count += 1;
        (known.count > known.most).then(|| {
            let reason = format!(
                "node {host} answered {} handshakes within one second to addresses that have not proved that they \
                 receive; {} are allowed",
                known.count, known.most
            );
            Violation::resource("amplification", reason)
        })
    }

    /// `None` for everybody at once, and for one address too many.
    fn account(&mut self, host: u32, link: u32, addr: Addr) -> Option<&mut Account> {
        let key = (host, link, number_of(&addr)?);
        if self.accounts.len() >= MOST && !self.accounts.contains_key(&key) {
            return None;
        }
        Some(self.accounts.entry(key).or_default())
    }

    /// `host` has sealed something for `peer`: it has what `peer` answered it.
    fn sealed(&mut self, host: u32, peer: u32) {
        for (link, addr) in self.answered.remove(&(peer, host)).unwrap_or_default() {
            if let Some(account) = self.accounts.get_mut(&(peer, link, addr)) {
                account.proved = true;
            }
        }
    }

    /// `host` is given a packet from `sender`, which was sent to the address `to` of it.
    fn reached(&mut self, host: u32, link: u32, sender: u32, to: Addr, handshake: bool) {
        let Some(to) = number_of(&to) else { return };
        let Some(account) = self.accounts.get_mut(&(sender, link, to)) else { return };
        if account.proved {
            return;
        }
        let reached = self.reached.entry((sender, link, host)).or_default();
        if !reached.contains(&to) {
            reached.push(to);
        }
        if handshake {
            let ways = self.answered.entry((sender, host)).or_default();
            if !ways.contains(&(link, to)) {
                ways.push((link, to));
            }
        }
    }

    /// `host` sends to `peer`: every address at which that one has reached it is its own.
    fn answers(&mut self, host: u32, link: u32, peer: u32) {
        for addr in self.reached.remove(&(peer, link, host)).unwrap_or_default() {
            if let Some(account) = self.accounts.get_mut(&(peer, link, addr)) {
                account.proved = true;
            }
        }
    }

    /// `host` is given `bytes`, by whomever, from an address.
    fn brought(&mut self, host: u32, link: u32, from: Addr, bytes: &[u8]) {
        let stray = self.strays.get(&link).and_then(|strays| strays.get(bytes));
        if let Some(&Stray { place, answer }) = stray.filter(|stray| stray.place.0 != host) {
            add(self.carried.entry(host).or_default(), place, MOST_PLACES);
            let asked = self.asked.get(&host);
            if let Some((by, to)) = answer
                && asked.is_some_and(|asked| asked.contains(&to))
            {
                add(self.handed.entry(host).or_default(), (by, place), MOST_PLACES);
            }
        }
        let Some(place) = number_of(&from).map(|from| (host, link, from)) else { return };
        if self.answers.get(bytes).is_some_and(|places| places.contains(&place))
            && let Some(account) = self.accounts.get_mut(&place)
        {
            account.proved = true;
        }
    }

    /// `host` sends `bytes`: they may begin a handshake, or answer what was carried to it.
    fn spoke(&mut self, host: u32, bytes: &[u8]) {
        if let Some(index) = asker_in(bytes) {
            add(self.asked.entry(host).or_default(), index, MOST_ASKED);
        }
        if let Some(handed) = self.handed.get_mut(&host)
            && let Some(index) = sealed_for(bytes)
        {
            for (_, place) in handed.iter().filter(|(by, _)| *by == index) {
                if let Some(account) = self.accounts.get_mut(place) {
                    account.proved = true;
                }
            }
            handed.retain(|(by, _)| *by != index);
        }
        let Some(known) = self.carried.get_mut(&host) else { return };
        known.retain(|place| self.accounts.get(place).is_some_and(|account| !account.proved));
        if known.is_empty() {
            self.carried.remove(&host);
        } else {
            self.answers.keep(bytes, known.iter().copied().collect());
        }
    }

    /// `host` sends `bytes` to an address.
    fn sends(&mut self, at_us: u64, host: u32, link: u32, to: Addr, bytes: &[u8]) -> Option<Violation> {
        let account = self.account(host, link, to).filter(|account| !account.proved)?;
        account.sent += bytes.len() as u64;
        if is_handshake(bytes) {
            account.handshakes += bytes.len() as u64;
        }
        if account.sent > account.received {
            let reason = format!(
                "node {host} has sent {} bytes, {} of them in handshakes, to {to:?} on link {link}, which has not \
                 proved that it receives, after {} bytes from there",
                account.sent, account.handshakes, account.received
            );
            return Some(Violation::safety("amplification", reason));
        }
        if let Some(to) = number_of(&to) {
            let stray = Stray { place: (host, link, to), answer: answer_between(bytes) };
            self.strays.entry(link).or_default().keep(bytes, stray);
        }
        self.worked(at_us, host, answer_in(bytes)?)
    }
}

impl Checker for Amplification {
    fn name(&self) -> &'static str {
        "amplification"
    }

    fn wants(&self) -> u16 {
        want::BOOT | want::ENDPOINT | want::PACKET | want::TRANSMIT
    }

    fn see(&mut self, at_us: u64, sight: &Sight<'_>) -> Option<Violation> {
        match *sight {
            Sight::Boot { host, .. } => self.hosts = self.hosts.max(host + 1),
            Sight::Endpoint { host, link, to } => {
                if let Some(account) = self.account(host, link, to) {
                    account.proved = true;
                }
            }
            Sight::Packet { host, link, from, to, bytes } => {
                if let Some(account) = self.account(host, link, from) {
                    account.received += bytes.len() as u64;
                }
                self.brought(host, link, from, bytes);
                // The true owner of the sender's address has reached us with this.
                if let Some(sender) = owner_of(&from).filter(|sender| *sender < self.hosts) {
                    self.reached(host, link, sender, to, is_handshake(bytes));
                }
            }
            Sight::Transmit { host, link, to, bytes, .. } => {
                self.spoke(host, bytes);
                if let Some(peer) = owner_of(&to).filter(|peer| *peer < self.hosts) {
                    self.answers(host, link, peer);
                    if !is_handshake(bytes) {
                        self.sealed(host, peer);
                    }
                }
                return self.sends(at_us, host, link, to, bytes);
            }
            Sight::Off { .. }
            | Sight::Store { .. }
            | Sight::Durable { .. }
            | Sight::Event { .. }
            | Sight::Turn { .. } => {}
        }
        None
    }
}

/// Whether a packet belongs to the handshake family, by its first bit.
fn is_handshake(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0x80 == 0)
}

/// Adds what is not there, in place of the oldest when there are too many.
fn add<T: PartialEq>(known: &mut VecDeque<T>, new: T, most: usize) {
    if !known.contains(&new) {
        known.push_back(new);
    }
    if known.len() > most {
        known.pop_front();
    }
}

/// A handshake packet, or as much of one as begins in this fragment.
fn begun(bytes: &[u8]) -> &[u8] {
    let is_fragment = bytes.first() == Some(&wire::FRAGMENT);
    let first = is_fragment && bytes.get(wire::FRAGMENT_DATA - 2..wire::FRAGMENT_DATA) == Some(&[0; 2]);
    if first { &bytes[wire::FRAGMENT_DATA..] } else { bytes }
}

/// The index by which whoever begins an IK handshake wants to be addressed; `None` in other packets.
fn asker_in(bytes: &[u8]) -> Option<Index> {
    let question = begun(bytes);
    let asks = question.first() == Some(&wire::INIT_IK);
    question.get(wire::SENDER..).filter(|_| asks)?.first_chunk().copied()
}

/// Of the answer to a handshake: the index of its sender, and the one it is addressed to; `None` of other packets.
fn answer_between(bytes: &[u8]) -> Option<(Index, Index)> {
    let answer = begun(bytes);
    let indices = answer.get(wire::SENDER..).filter(|_| answer.first() == Some(&wire::RESPONSE))?;
    let (by, rest) = indices.split_first_chunk()?;
    Some((*by, *rest.first_chunk()?))
}

/// The index that a sealed packet is addressed to; `None` of those of handshakes.
fn sealed_for(bytes: &[u8]) -> Option<Index> {
    bytes.get(wire::INDEX..).filter(|_| !is_handshake(bytes))?.first_chunk().copied()
}

/// What sets the answer to a handshake apart from every other; `None` for other packets.
fn answer_in(bytes: &[u8]) -> Option<[u8; 8]> {
    let noise = bytes.get(wire::RESPONSE_NOISE..).filter(|_| bytes.first() == Some(&wire::RESPONSE))?;
    noise.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use proto_core::ids::Ticket;
    use proto_core::node::UsedNonce;

    use super::*;
    use crate::net::address::{address_of, translated};
    use crate::plan::NodePlan;

    const SEALED: [u8; 100] = [0x80; 100];

    fn watch() -> Amplification {
        let mut plan = Plan::new("watch", 1, 1);
        plan.add_node(NodePlan { count: 3, ..NodePlan::default() });
        Amplification::new(&plan)
    }

    fn given(watch: &mut Amplification, host: u32, from: Addr, to: Addr, bytes: &[u8]) {
        assert_eq!(watch.see(0, &Sight::Packet { host, link: 0, from, to, bytes }), None);
    }

    fn sends(watch: &mut Amplification, host: u32, to: Addr, bytes: &[u8]) -> bool {
        let after = Ticket(0);
        let sight = Sight::Transmit {
            host,
            link: 0,
            to,
            after,
            bytes,
            nonce: UsedNonce::default(),
            digest: 1,
            chain: 0,
        };
        watch.see(0, &sight).is_none()
    }

    /// A host that moved, by a translator's doing, is a stranger at its new address until it answers there.
    #[test]
    fn a_translated_address_has_to_prove_itself_like_any_other() {
        let mut watch = watch();
        let (server, client, port) = (address_of(0), translated(1, 7), translated(1, 8));
        given(&mut watch, 0, client, server, &SEALED[..40]);
        assert!(sends(&mut watch, 0, client, &SEALED[..40]));
        // The answer reaches the client behind its translator, and it answers: that address is its own.
        given(&mut watch, 1, server, client, &SEALED[..40]);
        assert!(sends(&mut watch, 1, server, &SEALED[..40]));
        given(&mut watch, 0, client, server, &SEALED[..40]);
        assert!(sends(&mut watch, 0, client, &SEALED));
        // Another port is another address.
        given(&mut watch, 0, port, server, &SEALED[..40]);
        assert!(!sends(&mut watch, 0, port, &SEALED[..41]));
    }

    /// An answer that is repeated cost nothing, whichever others went to whomever between.
    #[test]
    fn only_new_answers_are_work() {
        let mut watch = watch();
        let mut answer = [0; wire::RESPONSE_NOISE + 8];
        answer[0] = wire::RESPONSE;
        let most = watch.work[0].most as u8;
        let mut answers = |watch: &mut Amplification, number: u8, port: u16| {
            answer[wire::RESPONSE_NOISE] = number;
            given(watch, 0, translated(1, port), address_of(0), &SEALED);
            sends(watch, 0, translated(1, port), &answer)
        };
        for _ in 0..3 {
            assert!((0..most).all(|number| answers(&mut watch, number, 7)));
            assert!((0..most).all(|number| answers(&mut watch, number, 8)));
        }
        assert!(!answers(&mut watch, most, 7));
    }

    /// An attacker who hears what is sent to an address and answers from there with the words of the host that he
    /// asked receives there. Whoever only carries one way, or only sends from there, does not.
    #[test]
    fn who_carries_question_and_answer_receives() {
        let (client, forged, other) =
            (address_of(1), Addr::from_u32(0xc000_0001), Addr::from_u32(0xc000_0002));
        let (asked, answer) = (&[[0x80; 40], [1; 40]].concat(), &[[0x80; 40], [2; 40]].concat());
        for (carries, speaks, from, says, proves) in [
            (true, true, forged, answer, true),
            (false, true, forged, answer, false),
            (true, false, forged, answer, false),
            (true, true, other, answer, false),
            (true, true, forged, &SEALED[..80].to_vec(), false),
        ] {
            let mut watch = watch();
            given(&mut watch, 0, forged, address_of(0), &SEALED);
            assert!(sends(&mut watch, 0, forged, asked));
            given(&mut watch, 1, other, client, if carries { asked } else { &SEALED });
            assert!(!speaks || sends(&mut watch, 1, other, answer));
            given(&mut watch, 0, from, address_of(0), says);
            // At most 180 bytes came from there, and 80 are used.
            assert_eq!(sends(&mut watch, 0, forged, &[&SEALED[..], &[3; 8]].concat()), proves);
        }
    }

    const GONE: u16 = 7;

    fn handshake(kind: u8, sender: u8, receiver: u8) -> Vec<u8> {
        [&[kind, 1, 1, sender, 0, 0, receiver, 0, 0], &[sender; 91][..]].concat()
    }

    fn fragment(whole: &[u8], offset: u16) -> Vec<u8> {
        [&[wire::FRAGMENT, 1, 1, 9, 0, 0, 1, 2, 3, 4, 100, 0], &offset.to_le_bytes()[..], whole].concat()
    }

    fn sealed(receiver: u8) -> Vec<u8> {
        [&[0x80, receiver, 0, 0], &[1; 40][..]].concat()
    }

    /// Whether the port that a translator has given up is proved, once `asks` were sent by the first host to the server, the
    /// answer went to that port and was brought as `carried` by `link` to `host`, and `seals` was sent by that.
    fn proves(asks: &[Vec<u8>], answer: &[u8], carried: Option<(u32, u32, &[u8])>, seals: &[u8]) -> bool {
        let (server, gone) = (address_of(0), translated(1, GONE));
        let mut watch = watch();
        for host in [1, 2] {
            assert_eq!(watch.see(0, &Sight::Endpoint { host, link: 0, to: server }), None);
        }
        assert!(asks.iter().all(|ask| sends(&mut watch, 1, server, ask)));
        given(&mut watch, 0, gone, server, &[0; 120]);
        assert!(sends(&mut watch, 0, gone, answer));
        if let Some((host, link, bytes)) = carried {
            let sight = Sight::Packet { host, link, from: server, to: Addr::ANY, bytes };
            assert_eq!(watch.see(0, &sight), None);
        }
        assert!(sends(&mut watch, carried.map_or(1, |(host, ..)| host), server, seals));
        sends(&mut watch, 0, gone, &SEALED)
    }

    /// An attacker catches the answer to a host's handshake at the port that its translator has given up, and carries
    /// it to the host, which has the keys from it.
    #[test]
    fn who_carries_the_answer_to_a_handshake_receives() {
        let (asks, answer) = (handshake(wire::INIT_IK, 5, 0), handshake(wire::RESPONSE, 6, 5));
        let first = fragment(&answer, 0);
        // The tag is what remains of a copy that was changed; the host has the keys of the answer all the same.
        let mut changed = answer.clone();
        changed[3] = 99;
        let [seven, eight] = [7, 8].map(|index| handshake(wire::INIT_IK, index, 0));
        let others: Vec<_> = [asks.clone()]
            .into_iter()
            .chain((0..2_000).flat_map(|_| [seven.clone(), eight.clone()]))
            .collect();
        for (asks, answer, carried) in [
            (vec![asks.clone()], &answer, &answer),
            (vec![fragment(&asks, 0)], &first, &first),
            (vec![asks.clone()], &answer, &changed),
            // Others go on asking, in turn.
            (others, &answer, &answer),
        ] {
            assert!(proves(&asks, answer, Some((1, 0, carried)), &sealed(6)));
        }
    }

    /// Whatever gives no keys proves nothing: what is not sealed for whom answered, another's answer, one that nobody has
    /// carried, and one whose question has to be finished from the same place.
    #[test]
    fn what_gives_no_keys_proves_nothing() {
        let (asks, answer) = (handshake(wire::INIT_IK, 5, 0), handshake(wire::RESPONSE, 6, 5));
        let (asked, carried) = ([asks], Some((1, 0, &answer[..])));
        let later = [fragment(&answer, 8), fragment(&answer, 256)];
        assert!(proves(&asked, &answer, carried, &sealed(6)));
        assert!(!proves(&asked, &answer, carried, &sealed(7)), "sealed for another");
        assert!(!proves(&asked, &answer, carried, &handshake(4, 9, 6)), "not sealed");
        assert!(!proves(&asked, &answer, None, &sealed(6)), "not carried");
        assert!(!proves(&asked, &answer, Some((2, 0, &answer)), &sealed(6)), "carried to another");
        assert!(
            !proves(&asked, &answer, Some((1, 1, &answer)), &sealed(6)),
            "from a link that it was not on"
        );
        assert!(
            !proves(&[handshake(wire::INIT_IK, 7, 0)], &answer, carried, &sealed(6)),
            "another's question"
        );
        assert!(!proves(&[handshake(wire::INIT_XX, 5, 0)], &answer, carried, &sealed(6)), "to be finished");
        for kind in [wire::INIT_IK, 5] {
            let other = handshake(kind, 6, 5);
            assert!(!proves(&asked, &other, Some((1, 0, &other)), &sealed(6)), "no answer");
        }
        for later in &later {
            assert!(!proves(&asked, later, Some((1, 0, later)), &sealed(6)), "not its beginning");
        }
    }

    /// What is repeated is not forgotten for having been sent first long ago.
    #[test]
    fn what_is_repeated_is_recent() {
        let mut recent = Recent::default();
        let bytes = |number: u32| [number.to_le_bytes(), [0; 4]].concat();
        for number in 1..=MOST_CARRIED as u32 {
            recent.keep(&bytes(0), 0);
            recent.keep(&bytes(number), number);
        }
        assert_eq!((recent.get(&bytes(0)), recent.get(&bytes(1))), (Some(&0), None));
        assert_eq!((recent.known.len(), recent.order.len()), (MOST_CARRIED, MOST_CARRIED));
    }

    /// What an attacker says in the server's name proves nothing about whom the server reaches.
    #[test]
    fn a_forged_packet_has_reached_nobody() {
        let mut watch = watch();
        let (server, client) = (address_of(0), address_of(1));
        given(&mut watch, 0, client, server, &SEALED[..40]);
        assert!(sends(&mut watch, 0, client, &SEALED[..40]));
        given(&mut watch, 1, server, Addr::ANY, &SEALED[..40]);
        assert!(sends(&mut watch, 1, server, &SEALED[..40]));
        assert!(!sends(&mut watch, 0, client, &SEALED[..1]));
    }
}
