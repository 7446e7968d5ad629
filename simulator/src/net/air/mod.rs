//! One radio channel and those who share it.
//!
//! A walkie-talkie has one button: who presses it does not hear. Each radio has a row of packets that wait; the first of them
//! waits until the law allows it and, where one listens first, until the channel sounds free; then it is on air for as long as
//! its bytes take. What each of the others got of it is decided when it ends ([`hearing`]), since until then somebody may spoil
//! it. What happens in between is arranged as ticks in the world's diary.

mod hearing;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use proto_core::ids::Addr;

use crate::draw::{Lot, Purpose, pair};
use crate::outcome::LinkReport;
use crate::plan::radio::{Csma, Duty, RadioSpec};

pub(super) use hearing::Heard;

/// Something becomes due at one radio. Void when the radio was switched off since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tick {
    /// The link, by its number in the plan.
    pub link: u32,
    /// The member, by its position on the link.
    pub member: u32,
    /// Which of the radio's ticks it is.
    pub stamp: u32,
}

/// A radio begins to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OnAir {
    /// The host whose radio it is.
    pub host: u32,
    /// The link, by its number in the plan.
    pub link: u32,
    /// When it begins, in world microseconds.
    pub start_us: u64,
    /// When it ends.
    pub end_us: u64,
}

/// A packet that waits for the air or is on it.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    pub(super) source: Addr,
    pub(super) to: Addr,
    /// Whom it is for, and which packet of that way it is.
    pub(super) receivers: Vec<(usize, u64)>,
    /// How many small packets in a row it ends.
    pub(super) chain: u32,
}

/// A transmission, while it lasts and as long as it may have spoiled another.
#[derive(Debug)]
struct Sent {
    number: u64,
    from: usize,
    start_us: u64,
    end_us: u64,
    frame: Option<Frame>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Doing {
    Nothing,
    /// Until the law allows the packet.
    Waiting,
    /// Before listening.
    Holding,
    Listening {
        since_us: u64,
    },
    /// From listening to sending.
    Turning,
    Sending {
        number: u64,
    },
    /// After a packet.
    Resting,
}

#[derive(Debug)]
struct Radio {
    waiting: VecDeque<Frame>,
    waiting_bytes: u64,
    doing: Doing,
    stamp: u32,
    /// How often the first packet has found the channel busy.
    busy: u8,
    /// Waits drawn so far.
    drawn: u64,
    /// Not before this, by its own pace.
    free_at_us: u64,
    /// When it sent within the law's window.
    past: VecDeque<(u64, u64)>,
}

/// The channel.
#[derive(Debug)]
pub(super) struct Medium {
    link: u32,
    seed: u64,
    spec: RadioSpec,
    /// Which of the plan's members each radio stands with: itself, or for a clone its original.
    like: Vec<usize>,
    /// How strong each hears each, by `from * width + to`, of the plan's members.
    strength: Vec<i32>,
    width: usize,
    radios: Vec<Radio>,
    on_air: Vec<Sent>,
    sent: u64,
}

/// What a tick came to, for the net to carry out.
#[derive(Debug, Default)]
pub(super) struct Came {
    /// When the radio wants to be called again.
    pub(super) next: Option<(u64, Tick)>,
    /// It began to send: from and until when.
    pub(super) began: Option<(u64, u64)>,
    /// A packet has ended, and what each receiver got of it.
    pub(super) ended: Option<(Frame, Vec<Heard>)>,
}

impl Medium {
    pub(super) fn new(seed: u64, link: u32, spec: RadioSpec, places: &[(i32, i32)]) -> Medium {
        let mut medium = Medium {
            link,
            seed,
            spec,
            like: Vec::new(),
            strength: Vec::new(),
            width: places.len(),
            radios: Vec::new(),
            on_air: Vec::new(),
            sent: 0,
        };
        medium.stand(places);
        (0..places.len()).for_each(|member| medium.join(member));
        medium
    }

    /// All members take these places. What is on air is judged by where they stand when it ends.
    pub(super) fn stand(&mut self, places: &[(i32, i32)]) {
        let ways = (0..self.width * self.width).map(|way| (way / self.width, way % self.width));
        self.strength = ways.map(|way| self.spec.between(self.seed, self.link, places, way)).collect();
    }

    /// One more radio, at the place of a member of the plan.
    pub(super) fn join(&mut self, like: usize) {
        self.like.push(like);
        self.radios.push(Radio {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            doing: Doing::Nothing,
            stamp: 0,
            busy: 0,
            drawn: 0,
            free_at_us: 0,
            past: VecDeque::new(),
        });
    }

    /// How strong `to` hears `from`, in thousandths of a dBm.
    fn strength(&self, from: usize, to: usize) -> i32 {
        self.strength[self.like[from] * self.width + self.like[to]]
    }

    /// Whether so many bytes more may wait.
    pub(super) fn has_room(&self, from: usize, bytes: u64, queue_bytes: u64) -> bool {
        self.radios[from].waiting_bytes.saturating_add(bytes) <= queue_bytes
    }

    /// Whether nothing waits and nothing is on air.
    pub(super) fn is_idle(&self, from: usize) -> bool {
        matches!(self.radios[from].doing, Doing::Nothing)
    }

    /// A packet is to be sent.
    pub(super) fn offer(&mut self, now_us: u64, from: usize, frame: Frame, report: &mut LinkReport) -> Came {
        let radio = &mut self.radios[from];
        radio.waiting_bytes += frame.bytes.len() as u64;
        radio.waiting.push_back(frame);
        match radio.doing {
            Doing::Nothing => self.begin(now_us, from, report),
            Doing::Waiting
            | Doing::Holding
            | Doing::Listening { .. }
            | Doing::Turning
            | Doing::Sending { .. }
            | Doing::Resting => Came::default(),
        }
    }

    /// What was arranged becomes due.
    pub(super) fn tick(&mut self, now_us: u64, tick: Tick, report: &mut LinkReport) -> Came {
        let from = tick.member as usize;
        let Some(radio) = self.radios.get(from).filter(|radio| radio.stamp == tick.stamp) else {
            return Came::default();
        };
        match (radio.doing, self.spec.csma) {
            (Doing::Nothing, _) => Came::default(),
            (Doing::Waiting | Doing::Resting, _) => self.begin(now_us, from, report),
            (Doing::Holding, Some(csma)) => {
                self.later(from, now_us + csma.listen_us, Doing::Listening { since_us: now_us })
            }
            (Doing::Listening { since_us }, Some(csma)) => {
                self.listened(now_us, from, since_us, csma, report)
            }
            (Doing::Holding | Doing::Listening { .. } | Doing::Turning, _) => self.send(now_us, from, report),
            (Doing::Sending { number }, _) => self.end(now_us, from, number, report),
        }
    }

    /// The power of a radio fails: what waits is gone, and what is on air breaks off.
    pub(super) fn switch_off(&mut self, now_us: u64, member: usize, report: &mut LinkReport) {
        let radio = &mut self.radios[member];
        // A tick that is still to come finds nothing to do, or a later stamp.
        radio.doing = Doing::Nothing;
        report.cut_off += radio.waiting.len() as u64;
        radio.waiting.clear();
        radio.waiting_bytes = 0;
        if let Some((_, end_us)) = radio.past.back_mut() {
            *end_us = now_us.min(*end_us);
        }
        for sent in self.on_air.iter_mut().filter(|sent| sent.from == member && sent.end_us > now_us) {
            report.cut_off += 1;
            report.airtime_us -= sent.end_us - now_us;
            sent.end_us = now_us;
            sent.frame = None;
        }
    }

    fn later(&mut self, member: usize, at_us: u64, doing: Doing) -> Came {
        let radio = &mut self.radios[member];
        radio.doing = doing;
        radio.stamp += 1;
        let tick = Tick { link: self.link, member: member as u32, stamp: radio.stamp };
        Came { next: Some((at_us, tick)), ..Came::default() }
    }

    /// Looks at the first packet that waits.
    fn begin(&mut self, now_us: u64, from: usize, report: &mut LinkReport) -> Came {
        while let Some(frame) = self.radios[from].waiting.front() {
            let airtime_us = self.spec.modem.airtime_us(frame.bytes.len() as u64);
            let lawful = self.radios[from].lawful_from(now_us, airtime_us, &self.spec);
            match (lawful, self.spec.duty) {
                (Some(at_us), _) if at_us <= now_us => {
                    return match self.spec.csma {
                        Some(csma) => self.hold(now_us, from, csma),
                        None => self.send(now_us, from, report),
                    };
                }
                (Some(at_us), Duty::Pace | Duty::Wait) => return self.later(from, at_us, Doing::Waiting),
                // Too long for the whole window, or too much by now.
                (None, _) | (Some(_), Duty::Refuse) => {
                    report.unlawful += 1;
                    self.drop_first(from);
                }
            }
        }
        self.radios[from].doing = Doing::Nothing;
        Came::default()
    }

    fn drop_first(&mut self, from: usize) -> Option<Frame> {
        let radio = &mut self.radios[from];
        radio.busy = 0;
        let frame = radio.waiting.pop_front()?;
        radio.waiting_bytes -= frame.bytes.len() as u64;
        Some(frame)
    }

    /// Waits for a random time before listening, the longer the more often somebody was heard.
    fn hold(&mut self, now_us: u64, from: usize, csma: Csma) -> Came {
        let radio = &mut self.radios[from];
        let power = csma.least.saturating_add(radio.busy).min(csma.most);
        let lot = Lot::new(self.seed, Purpose::Backoff, pair(self.link, from as u32));
        let units = lot.below(radio.drawn, 1 << power);
        radio.drawn += 1;
        self.later(from, now_us + units * csma.unit_us, Doing::Holding)
    }

    fn listened(
        &mut self,
        now_us: u64,
        from: usize,
        since_us: u64,
        csma: Csma,
        report: &mut LinkReport,
    ) -> Came {
        if !self.is_busy(from, since_us, now_us) {
            return if csma.turn_us == 0 {
                self.send(now_us, from, report)
            } else {
                self.later(from, now_us + csma.turn_us, Doing::Turning)
            };
        }
        self.radios[from].busy += 1;
        if self.radios[from].busy > csma.again {
            report.no_access += 1;
            self.drop_first(from);
            return self.begin(now_us, from, report);
        }
        self.hold(now_us, from, csma)
    }

    /// The first packet goes on air.
    fn send(&mut self, now_us: u64, from: usize, report: &mut LinkReport) -> Came {
        let Some(frame) = self.drop_first(from) else { return self.begin(now_us, from, report) };
        let airtime_us = self.spec.modem.airtime_us(frame.bytes.len() as u64);
        let end_us = now_us + airtime_us;
        // Until its end it takes room, as in the memory of a radio.
        let radio = &mut self.radios[from];
        radio.waiting_bytes += frame.bytes.len() as u64;
        if self.spec.law.share_ppm < 1_000_000 {
            radio.past.push_back((now_us, end_us));
            if self.spec.duty == Duty::Pace {
                let share = u128::from(self.spec.law.share_ppm.max(1));
                let cycle_us = (u128::from(airtime_us) * 1_000_000).div_ceil(share);
                radio.free_at_us = now_us.saturating_add(cycle_us as u64);
            }
        }
        let number = self.sent;
        self.sent += 1;
        self.on_air.push(Sent { number, from, start_us: now_us, end_us, frame: Some(frame) });
        report.airtime_us += airtime_us;
        Came { began: Some((now_us, end_us)), ..self.later(from, end_us, Doing::Sending { number }) }
    }

    /// The packet on air ends.
    fn end(&mut self, now_us: u64, from: usize, number: u64, report: &mut LinkReport) -> Came {
        let mut ended = None;
        if let Some(at) = self.on_air.iter().position(|sent| sent.number == number)
            && let Some(frame) = self.on_air[at].frame.take()
        {
            let heard = self.hear(at, &frame.receivers);
            for &what in &heard {
                match what {
                    Heard::Whole => {}
                    Heard::Weak => report.weak += 1,
                    Heard::Deaf => report.deaf += 1,
                    Heard::Collided => report.collided += 1,
                }
            }
            self.radios[from].waiting_bytes -= frame.bytes.len() as u64;
            ended = Some((frame, heard));
        }
        self.forget(now_us);
        let came = if self.spec.rest_us > 0 {
            self.later(from, now_us + self.spec.rest_us, Doing::Resting)
        } else {
            self.begin(now_us, from, report)
        };
        Came { ended, ..came }
    }
}

impl Radio {
    /// The first moment from now on at which a packet may go on air: so that no window holds more than its share. `None`
    /// when it alone is more.
    ///
    /// A window holds most when it ends with a packet, so those are looked at.
    fn lawful_from(&mut self, now_us: u64, airtime_us: u64, spec: &RadioSpec) -> Option<u64> {
        let law = spec.law;
        if law.share_ppm >= 1_000_000 {
            return Some(now_us);
        }
        let budget_us = (u128::from(law.window_us) * u128::from(law.share_ppm) / 1_000_000) as u64;
        if airtime_us > budget_us {
            return None;
        }
        let at_us = if spec.duty == Duty::Pace { now_us.max(self.free_at_us) } else { now_us };
        let window_from = (at_us + airtime_us).saturating_sub(law.window_us);
        while self.past.front().is_some_and(|&(_, end_us)| end_us <= window_from) {
            self.past.pop_front();
        }
        let within = |&(start_us, end_us): &(u64, u64)| end_us - start_us.max(window_from).min(end_us);
        let used_us: u64 = self.past.iter().map(within).sum();
        let mut excess_us = (used_us + airtime_us).saturating_sub(budget_us);
        if excess_us == 0 {
            return Some(at_us);
        }
        // So much of the oldest has to leave the window.
        for sent in &self.past {
            if within(sent) >= excess_us {
                return Some(
                    (sent.0.max(window_from) + excess_us + law.window_us).saturating_sub(airtime_us),
                );
            }
            excess_us -= within(sent);
        }
        None
    }
}
