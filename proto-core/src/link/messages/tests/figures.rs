//! What it reaches on an idealised path: paced at the link's rate, acknowledged packet by packet, with
//! the acknowledgements lost like everything else.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::println;

struct Link {
    rate_bps: u64,
    delay_us: u64,
    mtu: usize,
    loss_ppm: u64,
}

/// Bytes of a packet that are not frames: header and tag.
const OVERHEAD: usize = 24;

/// One bulk or trickle run between two ends over [`Link`]; returns when each delivery happened.
struct Bench {
    link: Link,
    a: End,
    b: End,
    rng: Rng,
    now: u64,
    free_at: u64,
    next: u64,
    sent: BTreeMap<u64, (Packet, u64)>,
    arriving: BTreeMap<(u64, u64), Packet>,
    acks: BTreeMap<(u64, u64), (BTreeSet<u64>, Option<Packet>)>,
    received: BTreeSet<u64>,
    loss_ppm: u64,
    delivered_at: Vec<u64>,
    packets: u64,
}

impl Bench {
    fn new(link: Link, fountain: bool, seed: u64) -> Bench {
        let (a, b) = pair(&Limits::SERVER, fountain);
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Bench {
            link,
            a,
            b,
            rng: Rng::fork(&bytes, "bench"),
            now: 1_000_000,
            free_at: 0,
            next: 0,
            sent: BTreeMap::new(),
            arriving: BTreeMap::new(),
            acks: BTreeMap::new(),
            received: BTreeSet::new(),
            loss_ppm: 0,
            delivered_at: vec![],
            packets: 0,
        }
    }

    fn info(&self, spare: bool) -> PathInfo {
        PathInfo {
            loss_ppm: self.loss_ppm as u32,
            srtt: Duration::from_micros(2 * self.link.delay_us),
            room: self.link.mtu - OVERHEAD,
            spare,
        }
    }

    fn lost(&mut self) -> bool {
        self.rng.below(1_000_000) < self.link.loss_ppm
    }

    /// Up to 100 us of the run: sends what the pacer allows, then whatever arrives.
    fn tick(&mut self) {
        self.now += 100;
        let now = Instant::from_micros(self.now);
        (self.a.now, self.b.now) = (now, now);
        self.a.wake(now);
        while self.free_at <= self.now {
            let info = self.info(true);
            let Some(packet) = self.a.packet(&info) else { break };
            let bytes = packet.bytes.len() + OVERHEAD;
            self.free_at =
                self.free_at.max(self.now - 100) + bytes as u64 * 8 * 1_000_000 / self.link.rate_bps;
            self.packets += 1;
            if !self.lost() {
                self.arriving.insert((self.free_at + self.link.delay_us, self.next), packet.clone());
            }
            self.sent.insert(self.next, (packet, self.now));
            self.next += 1;
        }
        while let Some((&(at, number), _)) = self.arriving.first_key_value() {
            if at > self.now {
                break;
            }
            let packet = self.arriving.remove(&(at, number)).unwrap();
            self.received.insert(number);
            let before = self.b.delivered.len();
            self.b.receive(&packet.bytes);
            self.delivered_at.extend(vec![at; self.b.delivered.len() - before]);
            let info = self.info(false);
            let back = self.b.packet(&info);
            if !self.lost() {
                let recent = self.received.iter().rev().take(250).copied().collect();
                self.acks.insert((at + self.link.delay_us, number), (recent, back));
            } else if let Some(back) = back {
                self.b.fate(&back, Fate::Lost);
            }
        }
        while let Some((&(at, number), _)) = self.acks.first_key_value() {
            if at > self.now {
                break;
            }
            let (received, back) = self.acks.remove(&(at, number)).unwrap();
            if let Some(back) = back {
                self.a.receive(&back.bytes);
                self.b.fate(&back, Fate::Acked);
            }
            self.on_ack(&received);
        }
        self.probe_timeout();
    }

    fn on_ack(&mut self, received: &BTreeSet<u64>) {
        let largest = *received.last().unwrap();
        let known: Vec<u64> = self.sent.range(..=largest).map(|(&number, _)| number).collect();
        for number in known {
            let arrived = received.contains(&number);
            if arrived || number + 3 <= largest {
                let (packet, _) = self.sent.remove(&number).unwrap();
                let sample = if arrived { 0 } else { 1_000_000 };
                self.loss_ppm = (self.loss_ppm * 63 + sample) / 64;
                self.a.fate(&packet, if arrived { Fate::Acked } else { Fate::Lost });
            }
        }
    }

    /// Nothing heard for long: everything older is called lost.
    fn probe_timeout(&mut self) {
        let timeout = 2 * self.link.delay_us * 10;
        while let Some((&number, &(_, at))) = self.sent.first_key_value() {
            if at + timeout > self.now {
                break;
            }
            let (packet, _) = self.sent.remove(&number).unwrap();
            self.a.fate(&packet, Fate::Lost);
        }
    }
}

/// Sends one message of `len` bytes. The time on an ideal erasure channel over the time taken, in thousandths, and the packets sent.
fn bulk(link: Link, len: u64, fountain: bool, seed: u64) -> (u64, u64) {
    let (loss_ppm, rate, delay) = (link.loss_ppm, link.rate_bps, link.delay_us);
    let mut bench = Bench::new(link, fountain, seed);
    // The path has been used before: its loss is known.
    bench.loss_ppm = loss_ppm;
    let start = bench.now;
    let ideal = delay + (len * 8 * 1_000_000 / rate) * 1_000_000 / (1_000_000 - loss_ppm);
    bench.a.push(1, Delivery::Message, Class::Normal, len as usize).unwrap();
    while bench.delivered_at.is_empty() {
        bench.tick();
        assert!(
            bench.now < start + 10 * ideal,
            "loss {loss_ppm}, seed {seed}: not delivered in ten times {ideal} us"
        );
    }
    let took = bench.delivered_at[0] - start;
    (ideal * 1_000 / took, bench.packets)
}

/// Over an MTU of 64 a message of 300 kB has a dozen blocks, of which three are under way at once: each has to end by itself. A third
/// of the bytes on the wire are headers.
#[test]
fn a_message_of_many_blocks_never_pauses() {
    for loss_ppm in [0, 2_000, 10_000, 11_000, 50_000, 200_000, 500_000] {
        for (fountain, delay_us) in [(true, 1_000), (true, 25_000), (false, 1_000)] {
            for seed in 0..2 {
                let link = Link { rate_bps: 10_000_000, delay_us, mtu: 64, loss_ppm };
                let (ratio, packets) = bulk(link, 300_000, fountain, seed);
                println!("fountain {fountain} loss {loss_ppm} delay {delay_us}: {ratio}, {packets} packets");
                assert!(
                    ratio >= 400,
                    "fountain {fountain} loss {loss_ppm} delay {delay_us} seed {seed}: {ratio}"
                );
            }
        }
    }
}

/// The ratio of the time on an ideal erasure channel to the time taken, in thousandths: with a given
/// loss the number of arrivals varies, so the mean of several runs is what is promised.
#[test]
fn one_mebibyte_uses_the_channel() {
    let link = |loss_ppm| Link { rate_bps: 10_000_000, delay_us: 25_000, mtu: 1_400, loss_ppm };
    for (fountain, loss_ppm, least) in [
        (true, 0, 950),
        (true, 200_000, 950),
        (true, 900_000, 800),
        (false, 0, 950),
        (false, 200_000, 0),
        (false, 900_000, 0),
    ] {
        let runs: Vec<(u64, u64)> = (0..if fountain { 4 } else { 1 })
            .map(|seed| bulk(link(loss_ppm), 1 << 20, fountain, seed))
            .collect();
        let mean = runs.iter().map(|run| run.0).sum::<u64>() / runs.len() as u64;
        let worst = runs.iter().map(|run| run.0).min().unwrap();
        let packets = runs.iter().map(|run| run.1).sum::<u64>() / runs.len() as u64;
        println!("fountain {fountain} loss {loss_ppm}: mean {mean}, worst {worst}, packets {packets}");
        assert!(mean >= least, "fountain {fountain} loss {loss_ppm}: {mean}");
    }
}

/// 100 bytes at 90 % loss: the median is at most three times that of sending as many copies at once.
#[test]
fn a_small_message_at_ninety_percent_loss() {
    let mut took = vec![];
    let mut sent = vec![];
    for seed in 0..101 {
        let link = Link { rate_bps: 10_000_000, delay_us: 25_000, mtu: 1_400, loss_ppm: 900_000 };
        let mut bench = Bench::new(link, true, seed);
        bench.loss_ppm = 900_000;
        let start = bench.now;
        bench.a.push(1, Delivery::Message, Class::Normal, 100).unwrap();
        while bench.delivered_at.is_empty() {
            bench.tick();
        }
        took.push(bench.delivered_at[0] - start);
        while bench.a.receipts.is_empty() {
            bench.tick();
        }
        sent.push(bench.packets);
    }
    took.sort_unstable();
    sent.sort_unstable();
    println!("median {} us, nine of ten {} us, packets {}", took[50], took[90], sent[50]);
    assert!(took[50] <= 3 * 25_000, "{}", took[50]);
}
