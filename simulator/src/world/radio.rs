//! The world's part in radios: their diary, their places, and who watches them.

use super::{Event, World};
use crate::check::Sight;
use crate::net::{Outbox, Tick};
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
            let complaint = self.registry.show(self.now_us, &Sight::Air(on_air));
            self.complain(complaint);
        }
    }
}
