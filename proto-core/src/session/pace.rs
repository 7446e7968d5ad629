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

/// How long a half-received packet may rest before another takes its place.
pub(super) fn patience(info: &LinkInfo) -> Duration {
    let usual =
        info.with_silence(info.airtime(usize::from(info.mtu))).mul_ratio(8, 1) + info.delay.mul_ratio(2, 1);
    usual.max(Duration::from_secs(1))
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
