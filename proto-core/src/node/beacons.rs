//! Beacons among the machines: `beacon` knows when, `session` how they look and whom to call, and this page who hears of what.

use crate::beacon::{Action, Beacons, Input};
use crate::ids::{LinkId, PeerSlot};
use crate::machine::Machine;
use crate::node::Node;
use crate::node::input::LinkState;
use crate::node::output::Found;
use crate::rng::Rng;
use crate::session;
use crate::time::Instant;

/// The machine, and its generator.
#[derive(Debug)]
pub(super) struct Ringing {
    pub(super) machine: Beacons,
    rng: Rng,
}

impl Ringing {
    pub(super) fn new(seed: &[u8; 32]) -> Ringing {
        Ringing { machine: Beacons::default(), rng: Rng::fork(seed, "beacon") }
    }
}

impl Node {
    pub(super) fn beacons_handle(&mut self, now: Instant, input: Input) {
        let ringing = &mut self.beacons;
        let mut cx = super::cx(now, &mut ringing.rng, &self.limits, &mut self.drops, self.zoo);
        ringing.machine.handle(&mut cx, input);
    }

    /// A link has changed.
    pub(super) fn link_for_beacons(&mut self, now: Instant, link: LinkId, state: LinkState) {
        self.beacons_handle(
            now,
            match state {
                LinkState::Up(info) => Input::LinkUp { link, info },
                LinkState::Down => Input::LinkDown { link },
            },
        );
    }

    pub(super) fn beacons_wake(&mut self, now: Instant) {
        let ringing = &mut self.beacons;
        if ringing.machine.next_wake().is_due(now) {
            let mut cx = super::cx(now, &mut ringing.rng, &self.limits, &mut self.drops, self.zoo);
            ringing.machine.wake(&mut cx);
        }
    }

    pub(super) fn route_beacons(&mut self, now: Instant, action: Action) {
        self.sessions_handle(
            now,
            match action {
                Action::Say { link, span } => session::Input::Beacon { link, span },
                Action::Meet { link, addr, new } => session::Input::Meet { link, addr, new },
                Action::Part { link, addr } => session::Input::Part { link, addr },
            },
        );
    }

    /// Whether a peer that has fallen silent is gone: nobody asked for it, and where it was nobody is heard any more.
    pub(super) fn is_out_of_earshot(&self, peer: PeerSlot) -> bool {
        let mut places = self.sessions.endpoints(peer).peekable();
        !self.sessions.is_wanted(peer)
            && self.sessions.found(peer) == Found::Beacon
            && self.links.status(peer).is_none_or(|status| status.unsent_messages == 0)
            && places.peek().is_some()
            && places.all(|(link, addr)| self.beacons.machine.misses(link, addr))
    }
}
