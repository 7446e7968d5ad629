//! Links that are radios: what the net asks of a channel, and what it does with the answers.

use super::air::{Came, Frame, Medium, OnAir, Tick};
use super::{Net, Outbox, Trip};
use crate::plan::LinkPlan;

/// The channel of a link, when the plan gives it one.
pub(super) fn medium(seed: u64, number: u32, link: &LinkPlan) -> Option<Box<Medium>> {
    let (spec, radio) = (link.radio_spec()?, link.radio.as_ref()?);
    Some(Box::new(Medium::new(seed, number, spec, &radio.places)))
}

impl Net {
    /// A member of a radio link has a packet for the air.
    pub(super) fn offer<E: Copy>(
        &mut self,
        now_us: u64,
        number: u32,
        from: usize,
        frame: Frame,
        out: &mut Outbox<'_, E>,
    ) {
        let link = &mut self.links[number as usize];
        let Some(air) = &mut link.air else { return };
        let came = air.offer(now_us, from, frame, &mut link.report);
        self.carry_out(now_us, number, from, came, out);
    }

    /// What a radio arranged becomes due.
    pub fn air<E: Copy>(&mut self, now_us: u64, tick: Tick, out: &mut Outbox<'_, E>) {
        let Some(link) = self.links.get_mut(tick.link as usize) else { return };
        let Some(air) = &mut link.air else { return };
        let came = air.tick(now_us, tick, &mut link.report);
        self.carry_out(now_us, tick.link, tick.member as usize, came, out);
    }

    fn carry_out<E: Copy>(
        &mut self,
        now_us: u64,
        number: u32,
        from: usize,
        came: Came,
        out: &mut Outbox<'_, E>,
    ) {
        self.note_idle(number, from);
        let link = &mut self.links[number as usize];
        let host = link.hosts[from];
        self.arranged.extend(came.next);
        self.began.extend(came.began.map(|(start_us, end_us)| OnAir {
            host,
            link: number,
            start_us,
            end_us,
        }));
        let Some((frame, heard)) = came.ended else { return };
        let chain = std::mem::replace(&mut out.pool.chain, frame.chain);
        for (&(receiver, n), what) in frame.receivers.iter().zip(heard) {
            if what != super::air::Heard::Whole {
                continue;
            }
            let other = link.hosts[receiver];
            let apart = self.apart.keeps(self.node_of[host as usize], self.node_of[other as usize]);
            let (source, to, departs_us) = (frame.source, frame.to, now_us);
            let trip =
                Trip { seed: self.seed, link: number, from, receiver, n, source, to, departs_us, apart };
            link.travel(&trip, &frame.bytes, out);
        }
        out.pool.chain = chain;
    }

    /// What radios have arranged since this was last asked, and when it is due.
    pub fn take_arranged(&mut self) -> Vec<(u64, Tick)> {
        std::mem::take(&mut self.arranged)
    }

    /// Notes that a radio, if it is one, has nothing to send.
    pub(super) fn note_idle(&mut self, number: u32, from: usize) {
        let link = &self.links[number as usize];
        if link.air.as_ref().is_some_and(|air| air.is_idle(from)) {
            self.idle.push((link.hosts[from], number));
        }
    }

    /// Hosts and links whose radio has nothing to send since this was last asked.
    pub fn take_idle(&mut self) -> Vec<(u32, u32)> {
        std::mem::take(&mut self.idle)
    }

    /// The transmissions that have begun since this was last asked.
    pub fn take_begun(&mut self) -> Vec<OnAir> {
        std::mem::take(&mut self.began)
    }

    /// The power of a host fails: its radios fall silent, and what waited in them is gone.
    pub fn switch_off(&mut self, now_us: u64, host: u32) {
        for link in &mut self.links {
            let Some(air) = &mut link.air else { continue };
            if let Some(member) = link.hosts.iter().position(|&other| other == host) {
                air.switch_off(now_us, member, &mut link.report);
            }
        }
    }

    /// The members of a radio link take new places.
    pub fn stand(&mut self, number: u32, places: &[(i32, i32)]) {
        if let Some(air) = self.links.get_mut(number as usize).and_then(|link| link.air.as_mut()) {
            air.stand(places);
        }
    }
}
