use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::ids::Addr;
use crate::node::input::Medium;

const HOUR: Duration = Duration::from_secs(3_600);

/// LoRa at SF9, of which `share_ppm` of an hour may be used.
fn radio(share_ppm: u32) -> LinkInfo {
    LinkInfo {
        medium: Medium::Shared { half_duplex: true },
        mtu: 240,
        rate_bps: Some(1_757),
        delay: Duration::ZERO,
        cost: 0,
        segments: 1,
        local: Addr::ANY,
        air: Some(Air { packet: Duration::from_millis(108), share_ppm, window: HOUR }),
        beacons: false,
    }
}

#[test]
fn a_packet_takes_its_preamble_and_its_bytes() {
    // 50.2 ms of preamble, 8 + 12 * 5 symbols of 4.096 ms by the formula: 328.7 ms; the line above its steps is 7 ms longer.
    assert_eq!(radio(100_000).airtime(50).as_micros() / 1_000, 335);
    assert_eq!(LinkInfo { air: None, rate_bps: None, ..radio(1) }.airtime(50), Duration::ZERO);
}

#[test]
fn the_driver_has_one_packet_at_a_time() {
    let mut budget = Budget::new(Instant::ZERO, &radio(1_000_000), None).unwrap();
    assert_eq!(budget.opens(), Wake::Now);
    budget.spend(Instant::ZERO, Duration::from_millis(300));
    assert_eq!(budget.opens(), Wake::Idle);
    budget.is_busy = false;
    assert!(budget.opens().is_due(Instant::ZERO + Duration::from_millis(300)));
}

#[test]
fn a_start_begins_with_nothing_and_a_link_that_comes_again_with_what_was_left() {
    let info = radio(100_000);
    let first = Budget::new(Instant::ZERO, &info, None).unwrap();
    let Wake::At(opens, Reason::Pacing) = first.opens() else { panic!("it has to wait") };
    // 31 parts of 32 of 10 % come in evenly: 1.2 s of air take 12.4 s.
    assert_eq!(opens.as_micros() / 100_000, 123);
    let mut used = first;
    used.spend(Instant::ZERO + HOUR, Duration::from_secs(8));
    let again = Budget::new(Instant::ZERO + HOUR, &info, Some(&used)).unwrap();
    assert_eq!(again.level, used.level);
    assert_eq!(again.opens(), Wake::Now);
}

#[test]
fn a_share_that_holds_no_packet_is_refused() {
    assert!(is_possible(&radio(1_000)) && is_possible(&radio(1_000_000)));
    assert!(!is_possible(&radio(300)), "1.08 s of an hour, and a packet takes 1.2 s");
    assert!(is_possible(&LinkInfo { air: None, ..radio(1) }));
}

proptest! {
    /// Whoever sends whenever he may, whatever the sizes and pauses, and starts anew now and then: no hour holds more than its share.
    #[test]
    fn no_window_holds_more_than_its_share(
        share_ppm in prop_oneof![Just(1_000_u32), Just(10_000), Just(100_000), 1_000_u32..1_000_000],
        packets in prop::collection::vec((1_usize..=240, 0_u64..40_000_000, 0_u32..200), 1..600),
    ) {
        let info = radio(share_ppm);
        let mut budget = Budget::new(Instant::ZERO, &info, None).unwrap();
        let mut now = Instant::ZERO;
        let mut sent: Vec<(u64, u64)> = Vec::new();
        for (bytes, pause_us, chance) in packets {
            if chance == 0 {
                budget = Budget::new(now, &info, None).unwrap();
            }
            now += Duration::from_micros(pause_us);
            if let Wake::At(at, _) = budget.opens() {
                now = now.max(at);
            }
            let airtime = info.airtime(bytes);
            budget.spend(now, airtime);
            budget.is_busy = false;
            sent.push((now.as_micros(), airtime.as_micros()));
            now += airtime;
        }
        let allowed = HOUR.as_micros() * u64::from(share_ppm) / 1_000_000;
        for &(end, last) in &sent {
            let end = end + last;
            let within: u64 = sent
                .iter()
                .filter(|(start, _)| *start < end)
                .map(|&(start, us)| us.min((start + us).saturating_sub(end.saturating_sub(HOUR.as_micros()))))
                .sum();
            prop_assert!(within <= allowed, "{} us of {} allowed", within, allowed);
        }
    }
}
