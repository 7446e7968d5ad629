//! How often a packet is sent again, and how long to wait for one.

use super::message::FRAGMENT_OVERHEAD;
use crate::node::input::LinkInfo;
use crate::time::Duration;

/// The shortest time between two copies of a packet. With 50 ms, 60 s at 90 % loss each way fail
/// for one handshake in 170,000.
pub(super) const SHORTEST_GAP: Duration = Duration::from_millis(50);
/// Calls are frequent for so long.
const EAGER: Duration = Duration::from_secs(60);
/// And then at least this often, where the link can carry it.
pub(super) const LONGEST_GAP: Duration = Duration::from_secs(10);

/// On a radio with a share of the air the gap doubles so often at most (guess): from 20 s to ten minutes at SF9.
const MOST_DOUBLINGS: u32 = 5;

/// How long a half-received packet may rest before another takes its place: on a radio that has spent its share the next part comes when that
/// has grown again, and one packet may come between.
pub(super) fn patience(info: &LinkInfo) -> Duration {
    let airtime = info.airtime(usize::from(info.mtu));
    let usual = info.with_silence(airtime).mul_ratio(8, 1) + info.delay.mul_ratio(2, 1);
    let share_ppm = info.air.map_or(1_000_000, |air| u64::from(air.share_ppm.max(1)));
    usual.max(airtime.mul_ratio(2 * 1_000_000, share_ppm)).max(Duration::from_secs(1))
}

/// However busy it is, nobody holds the place of a half-received packet for longer. A guess: 30 tries of a slow radio.
pub(super) fn longest(info: &LinkInfo) -> Duration {
    const LONGEST: Duration = Duration::from_secs(30);
    let of_radio = info.air.map_or(Duration::ZERO, |_| patience(info).mul_ratio(3, 1));
    LONGEST.max(of_radio)
}

/// Airtime of a handshake packet, in fragments where it needs them.
fn wire_time(info: &LinkInfo, bytes: usize) -> Duration {
    let fragments = if bytes <= usize::from(info.mtu) {
        0
    } else {
        bytes.div_ceil(usize::from(info.mtu).saturating_sub(FRAGMENT_OVERHEAD + 7).max(8))
    };
    let preambles =
        info.air.map_or(Duration::ZERO, |air| air.packet.mul_ratio(fragments.saturating_sub(1) as u64, 1));
    info.with_silence(info.airtime(bytes + fragments * FRAGMENT_OVERHEAD) + preambles)
}

/// The time in which a question and an answer of `bytes` bytes have passed, where nothing is lost.
pub(super) fn answer_time(info: &LinkInfo, bytes: usize) -> Duration {
    info.delay.mul_ratio(5, 2) + wire_time(info, bytes).mul_ratio(2, 1)
}

/// The time until the next copy: after `sent` copies of `bytes` bytes, `elapsed` after the first.
pub(super) fn gap(info: &LinkInfo, bytes: usize, sent: u32, elapsed: Duration) -> Duration {
    let airtime = wire_time(info, bytes);
    let round_trip = info.delay.mul_ratio(2, 1);
    let steady = SHORTEST_GAP.max(airtime.mul_ratio(10, 1)).max(round_trip.mul_ratio(1, 4));
    if sent <= 1 {
        // Where nothing is lost, one copy is enough: wait for its answer.
        return steady.max(answer_time(info, bytes));
    }
    if info.air.is_some() {
        // Who does not answer is not there, or nobody is heard in the noise: calling on would add to it.
        return steady.max(round_trip).mul_ratio(1 << (sent - 1).min(MOST_DOUBLINGS), 1);
    }
    if elapsed < EAGER {
        return steady;
    }
    // As long as has passed since the eager phase ended: each gap is twice the last.
    steady.max(elapsed.saturating_sub(EAGER).min(LONGEST_GAP))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::ids::Addr;
    use crate::node::input::{Air, Medium};

    /// LoRa at SF9: 240 bytes take 1.2 s.
    fn radio(share_ppm: u32) -> LinkInfo {
        LinkInfo {
            medium: Medium::Shared { half_duplex: true },
            mtu: 240,
            rate_bps: Some(1_757),
            delay: Duration::ZERO,
            cost: 0,
            segments: 1,
            local: Addr::ANY,
            air: Some(Air {
                packet: Duration::from_millis(108),
                share_ppm,
                window: Duration::from_secs(3_600),
            }),
            beacons: false,
        }
    }

    /// The first copy is waited for as on a cable, the second 20 airtimes, and each further one twice as long as the one before, up to 32 times the
    /// first. On a cable of the same rate copies go on at the pace of the second, and after a minute ever more slowly.
    #[test]
    fn copies_on_a_radio_come_ever_more_slowly() {
        let gaps = |info: &LinkInfo| -> Vec<u64> {
            (1..9).map(|sent| gap(info, 240, sent, Duration::ZERO).as_micros() / 100_000).collect()
        };
        assert_eq!(gaps(&radio(100_000)), [120, 240, 480, 960, 1_921, 3_842, 3_842, 3_842]);
        assert_eq!(gaps(&LinkInfo { air: None, ..radio(1) }), [109; 8]);
        // With 1 % each is ten times as long: that is how long the radio is silent.
        assert_eq!(gaps(&radio(10_000))[..2], [1_200, 2_401]);
    }

    /// Each part has a preamble of its own, and with a small share its silence.
    #[test]
    fn parts_of_a_packet_take_longer_than_one() {
        let time = |info: &LinkInfo, bytes| wire_time(info, bytes).as_micros() / 1_000;
        assert_eq!(time(&radio(100_000), 240), 1_200);
        let (parts, cable) = (time(&radio(100_000), 390), time(&LinkInfo { air: None, ..radio(1) }, 390));
        assert_eq!(parts - cable, 216, "two preambles");
        assert_eq!(wire_time(&radio(10_000), 390), wire_time(&radio(100_000), 390).mul_ratio(10, 1));
        // What is put together waits for its next part until a share that was spent has grown by two packets, and three times that in all.
        assert_eq!(patience(&radio(10_000)).as_micros() / 1_000_000, 240);
        assert_eq!(longest(&radio(10_000)), patience(&radio(10_000)).mul_ratio(3, 1));
        assert_eq!(longest(&LinkInfo { air: None, ..radio(1) }), Duration::from_secs(30));
    }
}
