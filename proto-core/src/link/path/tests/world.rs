//! A small deterministic world: flows that share one bottleneck each way.

use std::collections::{BTreeMap, BinaryHeap};
use std::vec;
use std::vec::Vec;

use core::cmp::Reverse;

use crate::codec::Writer;
use crate::ids::{Addr, PathId};
use crate::limits::Limits;
use crate::link::frame::{Frame, Frames, write_ping};
use crate::link::path::{Fate, Path, Piece};
use crate::node::input::{LinkInfo, Medium};
use crate::time::{Duration, Instant};
use crate::wake::Wake;

/// Header and tag of a data packet.
const OVERHEAD: usize = 24;

/// One direction of a link. Loss strikes behind the queue, as on the air.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    /// Bytes a second; 0 for no limit.
    pub(super) rate: u64,
    pub(super) queue_bytes: u64,
    pub(super) delay_us: u64,
    pub(super) jitter_us: u64,
    pub(super) loss_ppm: u64,
    pub(super) cut: bool,
    busy_until_ns: u64,
    pub(super) carried: u64,
    pub(super) dropped: u64,
    /// Queueing delay of each packet carried, in microseconds.
    pub(super) waits: Vec<u64>,
}

impl Channel {
    pub(super) fn new(rate_bps: u64, queue_bytes: u64, delay_ms: u64, loss_percent: u64) -> Channel {
        Channel {
            rate: rate_bps / 8,
            queue_bytes,
            delay_us: delay_ms * 1_000,
            jitter_us: 0,
            loss_ppm: loss_percent * 10_000,
            cut: false,
            busy_until_ns: 0,
            carried: 0,
            dropped: 0,
            waits: vec![],
        }
    }

    /// When a packet arrives, or `None` if it does not.
    fn carry(&mut self, now_us: u64, bytes: usize, draw: u64) -> Option<u64> {
        let now = now_us * 1_000;
        let start = self.busy_until_ns.max(now);
        let mut end = start;
        if self.rate > 0 {
            let backlog = u128::from(start - now) * u128::from(self.rate) / 1_000_000_000;
            if backlog as u64 + bytes as u64 > self.queue_bytes {
                self.dropped += 1;
                return None;
            }
            end = start + bytes as u64 * 1_000_000_000 / self.rate;
            self.busy_until_ns = end;
        }
        self.carried += bytes as u64;
        self.waits.push((start - now) / 1_000);
        if self.cut || draw % 1_000_000 < self.loss_ppm {
            return None;
        }
        let jitter = if self.jitter_us == 0 { 0 } else { (draw >> 24) % self.jitter_us };
        Some(end.div_ceil(1_000) + self.delay_us + jitter)
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    at: u64,
    order: u64,
    flow: usize,
    to: usize,
    number: u64,
    payload: Vec<u8>,
    eliciting: bool,
}

/// One end of a flow.
pub(super) struct End {
    pub(super) path: Path,
    number: u64,
    handle: u32,
    /// Bytes of each data packet; 0 sends nothing.
    pub(super) size: usize,
    /// At most this many packets more.
    pub(super) left: u64,
    pub(super) data_bytes: u64,
    pub(super) other_bytes: u64,
    pub(super) other_packets: u64,
    pub(super) arrived: u64,
    pub(super) acked: u64,
    pub(super) lost: u64,
    pub(super) late: u64,
    pub(super) died: u32,
    was_dead: bool,
    fates: BTreeMap<u32, Fate>,
}

pub(super) struct World {
    pub(super) now: u64,
    /// From the first ends to the second, and back.
    pub(super) channels: [Channel; 2],
    pub(super) flows: Vec<[End; 2]>,
    in_flight: BinaryHeap<Reverse<Packet>>,
    order: u64,
    seed: u64,
}

pub(super) fn link(rate_bps: Option<u64>, mtu: u16, delay_ms: u64) -> LinkInfo {
    LinkInfo {
        medium: Medium::PointToPoint,
        mtu,
        rate_bps,
        delay: Duration::from_millis(delay_ms),
        cost: 0,
        segments: 1,
        local: Addr::ANY,
        air: None,
        beacons: false,
    }
}

impl World {
    pub(super) fn new(forth: Channel, back: Channel, seed: u64) -> World {
        World { now: 0, channels: [forth, back], flows: vec![], in_flight: BinaryHeap::new(), order: 0, seed }
    }

    /// A flow whose first end sends packets of `size` as fast as it may.
    pub(super) fn add(&mut self, info: &LinkInfo, limits: &Limits, size: usize) -> usize {
        let end = |size| End {
            path: Path::new(info, limits, Instant::from_micros(self.now)),
            number: 0,
            handle: 0,
            size,
            left: u64::MAX,
            data_bytes: 0,
            other_bytes: 0,
            other_packets: 0,
            arrived: 0,
            acked: 0,
            lost: 0,
            late: 0,
            died: 0,
            was_dead: false,
            fates: BTreeMap::new(),
        };
        self.flows.push([end(size), end(0)]);
        self.flows.len() - 1
    }

    fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn transmit(&mut self, flow: usize, from: usize, data: bool) {
        let now = Instant::from_micros(self.now);
        let end = &mut self.flows[flow][from];
        let mut buf = vec![0; 1_400.max(end.size) - OVERHEAD];
        let mut writer = Writer::new(&mut buf);
        let mut pieces = vec![];
        if end.path.ack_due(now) || (!data && end.path.ack_pending()) {
            pieces.extend(end.path.write_ack(now, PathId(0), &mut writer));
        }
        let probe = !data && end.path.wants_probe();
        if probe {
            write_ping(&mut writer).unwrap();
            pieces.push(Piece::Ping);
        }
        let payload = writer.written().to_vec();
        let bytes = if data { end.size } else { OVERHEAD + payload.len() };
        if data {
            end.handle += 1;
            end.left -= 1;
            pieces.push(Piece::Message { handle: end.handle, cut: 0, symbol: 0 });
            end.data_bytes += bytes as u64;
        } else {
            end.other_bytes += bytes as u64;
            end.other_packets += 1;
        }
        let eliciting = data || probe;
        end.path.on_sent(now, end.number, bytes, eliciting, &pieces);
        let number = end.number;
        end.number += 1;
        self.order += 1;
        let draw = self.draw();
        if let Some(at) = self.channels[from].carry(self.now, bytes, draw) {
            let order = self.order;
            self.in_flight.push(Reverse(Packet {
                at,
                order,
                flow,
                to: 1 - from,
                number,
                payload,
                eliciting,
            }));
        }
    }

    fn deliver(&mut self, packet: &Packet) {
        let now = Instant::from_micros(self.now);
        let end = &mut self.flows[packet.flow][packet.to];
        end.arrived += 1;
        end.path.on_received(now, packet.number, packet.eliciting);
        for frame in Frames::new(&packet.payload) {
            if let Frame::Ack(ack) = frame.unwrap() {
                let mut acks = 0;
                let End { path, fates, acked, lost, late, .. } = end;
                let mut fate = |piece, fate| {
                    note(fates, piece, fate, [acked, lost, late]);
                    if let (Piece::Ack { largest, .. }, Fate::Acked | Fate::Late) = (piece, fate) {
                        acks = acks.max(largest + 1);
                    }
                };
                path.on_ack(now, &ack, &mut fate).unwrap();
                if acks > 0 {
                    path.on_ack_acked(acks - 1);
                }
            }
        }
        end.path.check();
    }

    /// Lets an end do all it wants now; returns when it wants to go on.
    fn pump(&mut self, flow: usize, side: usize) -> Wake {
        let now = Instant::from_micros(self.now);
        {
            let End { path, fates, acked, lost, late, .. } = &mut self.flows[flow][side];
            path.on_timeout(now, &mut |piece, fate| note(fates, piece, fate, [acked, lost, late]));
        }
        loop {
            let end = &mut self.flows[flow][side];
            if end.path.is_dead() && !end.was_dead {
                end.died += 1;
            }
            end.was_dead = end.path.is_dead();
            let mut wake = end.path.next_wake();
            if end.size > 0 && end.left > 0 {
                let size = end.size;
                match end.path.may_send(now, size) {
                    Wake::Now => {
                        self.transmit(flow, side, true);
                        continue;
                    }
                    later => wake = wake.min(later),
                }
            }
            let end = &self.flows[flow][side];
            if end.path.wants_probe() || end.path.ack_due(now) {
                self.transmit(flow, side, false);
                continue;
            }
            return wake;
        }
    }

    /// Runs until `until_ms`.
    pub(super) fn run(&mut self, until_ms: u64) {
        let until = until_ms * 1_000;
        let mut still = 0;
        while self.now < until {
            let mut next = until;
            for flow in 0..self.flows.len() {
                for side in 0..2 {
                    match self.pump(flow, side) {
                        Wake::Now => next = self.now,
                        Wake::At(at, _) => next = next.min(at.as_micros().max(self.now)),
                        Wake::Idle => {}
                    }
                }
            }
            if let Some(Reverse(packet)) = self.in_flight.peek() {
                next = next.min(packet.at);
            }
            still = if next == self.now { still + 1 } else { 0 };
            assert!(still < 1_000, "the world stands still at {} us", self.now);
            self.now = next;
            while let Some(Reverse(packet)) = self.in_flight.peek() {
                if packet.at > self.now {
                    break;
                }
                let Some(Reverse(packet)) = self.in_flight.pop() else { break };
                self.deliver(&packet);
            }
        }
    }

    /// Runs until `until_ms` and says what the first channel did meanwhile.
    pub(super) fn measure(&mut self, until_ms: u64) -> Measured {
        let (start, carried) = (self.now, self.channels[0].carried);
        let dropped = self.channels[0].dropped;
        self.channels[0].waits.clear();
        self.run(until_ms);
        let channel = &mut self.channels[0];
        channel.waits.sort_unstable();
        let waits = &channel.waits;
        let possible = u128::from(channel.rate) * u128::from(self.now - start) / 1_000_000;
        Measured {
            permille: (u128::from(channel.carried - carried) * 1_000 / possible.max(1)) as u64,
            wait_mean_us: waits.iter().sum::<u64>() / (waits.len() as u64).max(1),
            wait_99_us: waits.get(waits.len() * 99 / 100).copied().unwrap_or(0),
            dropped: channel.dropped - dropped,
        }
    }
}

/// What the bottleneck did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Of its capacity.
    pub(super) permille: u64,
    pub(super) wait_mean_us: u64,
    pub(super) wait_99_us: u64,
    pub(super) dropped: u64,
}

/// Checks the order of a message's fates: acked, or lost and late at most.
fn note(fates: &mut BTreeMap<u32, Fate>, piece: Piece, fate: Fate, counts: [&mut u64; 3]) {
    let Piece::Message { handle, .. } = piece else { return };
    let before = fates.insert(handle, fate);
    let [acked, lost, late] = counts;
    match (before, fate) {
        (None, Fate::Acked) => *acked += 1,
        (None, Fate::Lost) => *lost += 1,
        (Some(Fate::Lost), Fate::Late) => *late += 1,
        (before, fate) => panic!("{handle}: {before:?} then {fate:?}"),
    }
}
