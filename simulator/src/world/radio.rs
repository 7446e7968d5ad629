//! The world's part in radios: their diary, their places, and who watches them.

use proto_core::node::{Air, Input};
use proto_core::time::Duration;

use super::{Event, World};
use crate::check::Sight;
use crate::net::{Outbox, Tick};
use crate::plan::radio::RadioSpec;
use crate::subject::Subject;

impl<S: Subject> World<S> {
    /// Writes the moves of all radios into the diary.
    pub(super) fn arrange_moves(&mut self) {
        for (planned, link) in self.plan.links.iter().zip(0..) {
            let moves = planned.radio.iter().flat_map(|radio| &radio.moves);
            for (step, number) in moves.zip(0..) {
                self.agenda.push(step.at_us, Event::Move { link, number });
            }
        }
    }

    pub(super) fn stand(&mut self, link: u32, number: u32) {
        let radio = self.plan.links[link as usize].radio.as_ref();
        if let Some(step) = radio.and_then(|radio| radio.moves.get(number as usize)) {
            self.net.stand(link, &step.places);
        }
    }

    /// Something becomes due at a radio.
    pub(super) fn air(&mut self, tick: Tick) {
        let mut out = Outbox { pool: &mut self.pool, agenda: &mut self.agenda, wrap: Event::Arrive };
        self.net.air(self.now_us, tick, &mut out);
        self.watch_air();
    }

    /// Writes down what radios have arranged, and shows what they have begun.
    pub(super) fn watch_air(&mut self) {
        for (at_us, tick) in self.net.take_arranged() {
            self.agenda.push(at_us, Event::Air(tick));
        }
        for on_air in self.net.take_begun() {
            self.hosts[on_air.host as usize].report.airtime_us += on_air.end_us - on_air.start_us;
            let quarter = self.quarter;
            self.hosts[on_air.host as usize].report.airtime_by_quarter_us[quarter] +=
                on_air.end_us - on_air.start_us;
            let complaint = self.registry.show(self.now_us, &Sight::Air(on_air));
            self.complain(complaint);
        }
        for (host, link) in self.net.take_idle() {
            let life = self.hosts[host as usize].life;
            self.agenda.push(self.now_us, Event::AirFree { host, link, life });
        }
    }

    /// A host's radio has nothing to send any more: its driver says so.
    pub(super) fn air_free(&mut self, host: u32, link: u32, life: u32) {
        let known = &self.hosts[host as usize];
        if known.life != life || known.subject.is_none() || known.frozen {
            return;
        }
        if known.is_busy(self.now_us) {
            let at_us = known.busy_until_us.max(self.now_us + 1_000);
            return self.agenda.push(at_us, Event::AirFree { host, link, life });
        }
        let link = self.local(host, link);
        self.turn(host, Input::AirFree { link });
    }
}

/// What nodes are told of a radio: its rate on air in bits a second, and the rest. Time on air is a line that no packet lies above.
pub(super) fn air_of(spec: &RadioSpec) -> (u64, Air) {
    let share_ppm = spec.law.share_ppm.clamp(1, 1_000_000);
    let window = Duration::from_micros(spec.law.window_us);
    let (packet_us, byte_ns) = spec.modem.airtime_line();
    let air = Air { packet: Duration::from_micros(packet_us + spec.rest_us), share_ppm, window };
    (8_000_000_000 / byte_ns, air)
}
