//! Nobody can use a node to hit somebody else harder than they could themselves.
//!
//! Whoever asks under a false address must not have a larger answer sent there. Until an address has
//! shown that it receives, the bytes sent to it never exceed the bytes that came from it: neither in
//! handshakes, nor in sealed packets, since a captured authentic packet can be sent on from a false
//! address (RFC 9000, section 8.1, would allow three times as many). An address has shown it once the host
//! that truly owns it has sent something back that way after it was given something by this node, or has
//! sealed something, whichever way it went, after it was given a handshake there: it has the keys from
//! that answer. Addresses that the operator named need no proof, nor do those
//! whose owner has said by a beacon of its own, from there, that it is to be called. Whoever carries what was sent to an address to
//! another host, and then brings an answer of that host from that address, receives there as well: nobody can tell
//! him from a translator.
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
    /// By link: the last packets to addresses that had proved nothing, and whose they were.
    strays: BTreeMap<u32, Recent<Place>>,
    /// By host: the places of the last strays that it was given.
    carried: BTreeMap<u32, VecDeque<Place>>,
    /// By link: the last beacons, and who sent them.
    beacons: BTreeMap<u32, Recent<u32>>,
    /// The last packets of such hosts, and what they had been given.
    answers: Recent<Vec<Place>>,
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

/// A host, a link of it, and the number of an address there.
type Place = (u32, u32, u64);

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
            beacons: BTreeMap::new(),
            answers: Recent::default(),
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
        if let Some(&place) = stray.filter(|place| place.0 != host) {
            let known = self.carried.entry(host).or_default();
            if !known.contains(&place) {
                known.push_back(place);
            }
            if known.len() > MOST_PLACES {
                known.pop_front();
            }
        }
        let Some(place) = number_of(&from).map(|from| (host, link, from)) else { return };
        if self.answers.get(bytes).is_some_and(|places| places.contains(&place))
            && let Some(account) = self.accounts.get_mut(&place)
        {
            account.proved = true;
        }
    }

    /// `host` is given `bytes`: perhaps a beacon of the owner of the address from which they came.
    fn rang(&mut self, host: u32, link: u32, from: Addr, bytes: &[u8]) {
        if !is_beacon(bytes) {
            return;
        }
        let sender = self.beacons.get(&link).and_then(|beacons| beacons.get(bytes)).copied();
        if sender.is_some()
            && sender == owner_of(&from)
            && let Some(account) = self.account(host, link, from)
        {
            account.proved = true;
        }
    }

    /// `host` sends `bytes`: they may answer what was carried to it.
    fn spoke(&mut self, host: u32, bytes: &[u8]) {
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
            self.strays.entry(link).or_default().keep(bytes, (host, link, to));
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
                self.rang(host, link, from, bytes);
                // The true owner of the sender's address has reached us with this.
                if let Some(sender) = owner_of(&from).filter(|sender| *sender < self.hosts) {
                    self.reached(host, link, sender, to, is_handshake(bytes));
                }
            }
            Sight::Transmit { host, link, to, bytes, .. } => {
                self.spoke(host, bytes);
                if is_beacon(bytes) {
                    self.beacons.entry(link).or_default().keep(bytes, host);
                }
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
            | Sight::Turn { .. }
            | Sight::Air(_) => {}
        }
        None
    }
}

/// Whether a packet belongs to the handshake family, by its first bit.
fn is_handshake(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0x80 == 0)
}

/// Whether a packet is a beacon.
fn is_beacon(bytes: &[u8]) -> bool {
    bytes.first() == Some(&wire::BEACON)
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
        plan.add_node(NodePlan { count: 2, ..NodePlan::default() });
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
