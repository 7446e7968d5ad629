//! What others bring: for us, or to be kept.

use alloc::collections::BTreeMap;

use bytes::Bytes;

use super::message::{Answer, Message};
use super::record::{Bundle, BundleId, Head, Kind, decode_runs, encode_runs};
use super::shelf::{Disk, Given, Held, Origin};
use super::{AVOID, Action, Alarm, Bundles, LAST_GAP, MOST_HANDOVERS, PATIENCE, Signer, World};
use crate::carried::Carried;
use crate::drops::Drop;
use crate::ids::{DeviceId, NodeId, RouterId};
use crate::limits::Limits;
use crate::machine::Cx;
use crate::node::input::Class;
use crate::store::record::{Key, Record};
use crate::time::{Duration, Instant};

/// Receipts for one source are gathered for so long.
const GATHER_RECEIPTS: Duration = Duration::from_millis(100);
/// Bits of a receipt's number that count within one start.
const RECEIPT_BITS: u32 = 30;

/// A message that has come and is not on the disk yet.
#[derive(Debug)]
struct Coming {
    id: BundleId,
    by: RouterId,
    signer: (DeviceId, [u8; 32]),
    at: Instant,
}

/// A receipt that is to be written.
#[derive(Clone, Copy, Debug)]
struct Due {
    /// For which device, and its key.
    to: DeviceId,
    key: [u8; 32],
    /// Who brought the messages, and takes the receipt back.
    by: RouterId,
}

/// What has come for this node.
#[derive(Debug)]
pub(super) struct Incoming {
    coming: BTreeMap<(NodeId, u64), Coming>,
    due: BTreeMap<NodeId, Due>,
    next_receipt: u64,
}

impl Incoming {
    pub(super) fn new(boot: u32) -> Incoming {
        let next_receipt = u64::from(boot) << RECEIPT_BITS;
        Incoming { coming: BTreeMap::new(), due: BTreeMap::new(), next_receipt }
    }

    /// What was on its way to the disk is not coming any more.
    pub(super) fn forget(&mut self) {
        self.coming.clear();
    }

    pub(super) fn receipts(&self) -> usize {
        self.due.len()
    }

    pub(super) fn worst_case_bytes(limits: &Limits) -> u64 {
        let coming = 2 * size_of::<((NodeId, u64), Coming)>() as u64;
        let due = 2 * size_of::<(NodeId, Due)>() as u64;
        u64::from(limits.durable_messages)
            .saturating_mul(coming)
            .saturating_add(u64::from(limits.durable_peers).saturating_mul(due))
    }

    pub(super) fn check(&self, limits: &Limits) {
        assert!(self.coming.len() <= limits.durable_messages as usize);
        assert!(self.due.len() <= limits.durable_peers as usize);
    }
}

impl Bundles {
    /// A message from another carrier.
    pub(super) fn message(&mut self, cx: &mut Cx<'_>, from: RouterId, payload: &Bytes, world: &dyn World) {
        match Message::decode(payload) {
            Ok(Message::Take { lifetime, handovers, bundle }) => match Bundle::decode(bundle) {
                Ok(bundle) => self.asked(cx, from, bundle, (lifetime, handovers), world),
                Err(_) => cx.drops.count(Drop::Malformed),
            },
            Ok(Message::Taken { id, answer }) => self.answered(cx, from, id, answer),
            Err(_) => cx.drops.count(Drop::Malformed),
        }
    }

    /// Somebody wants a bundle taken.
    fn asked(
        &mut self,
        cx: &mut Cx<'_>,
        from: RouterId,
        bundle: Bundle,
        (lifetime, handovers): (Duration, u8),
        world: &dyn World,
    ) {
        let (id, head) = (bundle.id, bundle.head);
        if head.from == self.router {
            // Our own comes back: it is here in its first form.
            return self.answer(from, id, Answer::Refused);
        }
        if head.to == self.router {
            return self.for_us(cx, from, &bundle, world);
        }
        if let Some(held) = self.shelf.get(id) {
            let answer = if held.disk == Disk::Yes { Answer::Stored } else { Answer::Kept };
            if !matches!(held.disk, Disk::Writing(_)) {
                self.answer(from, id, answer);
            }
            return;
        }
        let origin = Origin::Others(from);
        let Ok(replaced) = self.shelf.replaced_by(&head) else {
            return self.answer(from, id, Answer::Refused);
        };
        // Looked at before the signature: what finds no room costs no more than that.
        if self.shelf.room_for(cx.limits, &head, bundle.bytes.len(), origin).is_none() {
            cx.drops.count(Drop::CustodyFull);
            return self.answer(from, id, Answer::Full);
        }
        if self.signer_of(cx, &bundle, world).is_none() {
            return self.answer(from, id, Answer::Refused);
        }
        if let Some(replaced) = replaced {
            self.let_go(replaced);
        }
        if !self.make_room(cx.limits, &bundle, origin) {
            return self.answer(from, id, Answer::Full);
        }
        let handovers = handovers.min(MOST_HANDOVERS);
        let lifetime = lifetime.min(head.class.lifetime());
        let expires = cx.now + lifetime;
        let disk = if self.has_disk {
            let bytes = bundle.bytes.clone();
            let lifetime_s = lifetime.as_micros() / 1_000_000;
            let slot = self.store(Record::Bundle { id: id.0, lifetime_s, handovers, bytes });
            self.writing.insert(slot, id);
            Disk::Writing(slot)
        } else {
            self.answer(from, id, Answer::Kept);
            Disk::No
        };
        self.keep(Held { bundle, origin, expires, handovers, disk, given: None, order: 0 });
        self.look(cx, head.to);
    }

    /// Puts out what has to go so that this finds room; false when it finds none.
    pub(super) fn make_room(&mut self, limits: &Limits, bundle: &Bundle, origin: Origin) -> bool {
        let room = self.shelf.room_for(limits, &bundle.head, bundle.bytes.len(), origin);
        let Some(out) = room else { return false };
        for id in out {
            self.let_go(id);
        }
        true
    }

    /// Who signed a bundle, if that holds; counted where not.
    fn signer_of(&self, cx: &mut Cx<'_>, bundle: &Bundle, world: &dyn World) -> Option<Signer> {
        let checker = world.checker();
        let signer = world.signer(bundle.head.from).or_else(|| {
            let membership = Some(bundle.membership.as_ref()).filter(|bytes| !bytes.is_empty());
            let shown = checker.verify(&bundle.certificate, membership).ok()?;
            let (node, device, sign_key, dh_key) = (shown.node, shown.device, shown.sign_key, shown.dh_key);
            Some(Signer { node, device, sign_key, dh_key })
        });
        let signer = signer.filter(|signer| {
            RouterId::of(signer.device) == bundle.head.from
                && bundle.is_signed_by(checker.verifier, &signer.sign_key, self.network)
        });
        if signer.is_none() {
            cx.drops.count(Drop::RecordInvalid);
        }
        signer
    }

    /// A bundle for this device.
    fn for_us(&mut self, cx: &mut Cx<'_>, by: RouterId, bundle: &Bundle, world: &dyn World) {
        let (id, head) = (bundle.id, bundle.head);
        let Some(signer) = self.signer_of(cx, bundle, world) else {
            return self.answer(by, id, Answer::Refused);
        };
        let Ok(text) = bundle.open(&world.identity().secrets().dh, self.network) else {
            cx.drops.count(Drop::AuthFailed);
            return self.answer(by, id, Answer::Refused);
        };
        match head.kind {
            Kind::Message => {
                let most = cx.limits.durable_messages as usize;
                if self.incoming.coming.len() >= most {
                    // What did not get to the disk in that time was forgotten on the way there.
                    self.incoming.coming.retain(|_, coming| coming.at + PATIENCE > cx.now);
                }
                if self.incoming.coming.len() >= most {
                    return self.answer(by, id, Answer::Full);
                }
                let (node, device, number) = (signer.node, signer.device, head.number);
                let coming = Coming { id, by, signer: (device, signer.dh_key), at: cx.now };
                self.incoming.coming.insert((node, number), coming);
                self.actions.push_back(Action::Arrived { node, device, number, payload: Bytes::from(text) });
            }
            Kind::Receipt => {
                let Some(runs) = decode_runs(&text) else {
                    cx.drops.count(Drop::Malformed);
                    return self.answer(by, id, Answer::Refused);
                };
                self.answer(by, id, Answer::Delivered);
                self.actions.push_back(Action::Receipted { node: signer.node, runs });
                self.look_soon(cx, signer.node);
            }
        }
    }

    /// What became of a message for this node.
    pub(super) fn arrived(&mut self, cx: &Cx<'_>, (node, number): (NodeId, u64), carried: Carried) {
        if carried == Carried::Writing {
            return;
        }
        let Some(Coming { id, by, signer: (to, key), .. }) = self.incoming.coming.remove(&(node, number))
        else {
            return;
        };
        let answer = match carried {
            Carried::Writing | Carried::Known => Answer::Delivered,
            Carried::Full => Answer::Full,
            Carried::Refused => Answer::Refused,
        };
        self.answer(by, id, answer);
        let has_room = self.incoming.due.len() < cx.limits.durable_peers as usize;
        if answer == Answer::Delivered && (has_room || self.incoming.due.contains_key(&node)) {
            // Whoever brought the first of them: one who repeats what is known would take the receipts of all.
            self.incoming.due.entry(node).or_insert(Due { to, key, by });
            self.alarms.set_at_latest(Alarm::Receipt(node), cx.now + GATHER_RECEIPTS);
        }
    }

    /// Asks what a receipt is to say.
    pub(super) fn receipt_due(&mut self, node: NodeId) {
        if let Some(due) = self.incoming.due.get(&node) {
            self.actions.push_back(Action::Receipt { node, device: due.to });
        }
    }

    /// Writes a receipt and gives it to whoever brought the messages.
    pub(super) fn receipt(&mut self, cx: &mut Cx<'_>, node: NodeId, runs: &[(u64, u64)], world: &dyn World) {
        let Some(Due { to, key, by }) = self.incoming.due.remove(&node) else { return };
        // What has come since it was asked for is in it.
        self.alarms.clear(Alarm::Receipt(node));
        if runs.is_empty() {
            return;
        }
        self.incoming.next_receipt += 1;
        let (kind, number, class) = (Kind::Receipt, self.incoming.next_receipt, Class::High);
        let head = Head { from: self.router, to: RouterId::of(to), kind, number, class };
        let text = encode_runs(runs);
        let Ok(bundle) = Bundle::seal(cx.rng, world.identity(), self.network, (head, &key), &text) else {
            return;
        };
        if let Ok(Some(replaced)) = self.shelf.replaced_by(&head) {
            self.let_go(replaced);
        }
        if !self.make_room(cx.limits, &bundle, Origin::OurReceipt) {
            cx.drops.count(Drop::CustodyFull);
            return;
        }
        let id = bundle.id;
        let expires = cx.now + class.lifetime();
        let (handovers, disk) = (MOST_HANDOVERS, Disk::No);
        self.keep(Held {
            bundle,
            origin: Origin::OurReceipt,
            expires,
            handovers,
            disk,
            given: None,
            order: 0,
        });
        self.give(cx, id, by);
    }

    /// Somebody says what became of a bundle that he was given.
    fn answered(&mut self, cx: &Cx<'_>, from: RouterId, id: BundleId, answer: Answer) {
        let Some(held) = self.shelf.get(id) else { return };
        let Some(Given { to, .. }) = held.given.filter(|given| given.to == from) else {
            return;
        };
        let (head, origin) = (held.bundle.head, held.origin);
        match answer {
            Answer::Kept | Answer::Stored | Answer::Delivered => {
                self.let_go(id);
                if let Origin::Ours(node) = origin {
                    self.entrusted(cx, node, head.number, answer == Answer::Stored);
                }
                if let Some(destination) = self.destinations.get_mut(&head.to) {
                    destination.gap = super::FIRST_GAP;
                }
                self.look(cx, head.to);
            }
            // Only the destination has the last word.
            Answer::Refused if from == head.to => {
                self.let_go(id);
                if let Origin::Ours(node) = origin {
                    self.not_entrusted(cx, node, head.number, Some((from, AVOID)));
                }
            }
            Answer::Full | Answer::Refused => {
                if let Some(destination) = self.destinations.get_mut(&head.to).filter(|_| to == head.to) {
                    destination.gap = LAST_GAP;
                }
                self.give_up_on(cx, id, Some(AVOID));
            }
        }
    }

    /// A bundle that was on the disk when this node started.
    pub(super) fn recovered(&mut self, cx: &Cx<'_>, bytes: Bytes, lifetime: Duration, handovers: u8) {
        let Ok(bundle) = Bundle::decode(bytes) else { return };
        let (head, id, origin) = (bundle.head, bundle.id, Origin::Others(bundle.head.from));
        let is_outdated = self.shelf.replaced_by(&head).is_err();
        let room = self.shelf.room_for(cx.limits, &head, bundle.bytes.len(), origin);
        if is_outdated || head.to == self.router || room.is_none_or(|out| !out.is_empty()) {
            self.store(Record::Erased { key: Key::Bundle(id.0) });
            return;
        }
        if let Ok(Some(replaced)) = self.shelf.replaced_by(&head) {
            self.let_go(replaced);
        }
        let expires = cx.now + lifetime.min(head.class.lifetime());
        let disk = Disk::Yes;
        self.keep(Held { bundle, origin, expires, handovers, disk, given: None, order: 0 });
        self.alarms.set_at_latest(Alarm::Destination(head.to), cx.now + super::GATHER);
    }
}
