//! Nobody sends longer than the law allows, nor twice at once.
//!
//! A referee with a stopwatch beside each transmitter, who knows the law of the place and nothing of how its driver keeps it.
//! Watched are links with a `radio`: each packet against the longest that is allowed, each window that ends with a packet
//! against its share (a window holds most when it does), and that a radio has ended one packet before it begins the next.

use std::collections::{BTreeMap, VecDeque};

use super::{Checker, Sight, Violation, want};
use crate::net::OnAir;
use crate::plan::Plan;
use crate::plan::radio::Law;

/// See the module's header.
#[derive(Debug)]
pub struct Airtime {
    /// The law on each link that is a radio.
    laws: BTreeMap<u32, Law>,
    /// The last transmissions of each radio, by link and host: from and until when.
    sent: BTreeMap<(u32, u32), VecDeque<(u64, u64)>>,
}

impl Airtime {
    /// For the radios of this plan.
    #[must_use]
    pub fn new(plan: &Plan) -> Airtime {
        let law = |(link, number): (&crate::plan::LinkPlan, u32)| Some((number, link.radio_spec()?.law));
        Airtime { laws: plan.links.iter().zip(0..).filter_map(law).collect(), sent: BTreeMap::new() }
    }

    fn on_air(&mut self, on_air: &OnAir) -> Option<Violation> {
        let OnAir { host, link, start_us, end_us } = *on_air;
        let law = *self.laws.get(&link)?;
        let sent = self.sent.entry((link, host)).or_default();
        if let Some(&(_, until_us)) = sent.back().filter(|last| last.1 > start_us) {
            let reason =
                format!("node {host} begins to send on link {link} while it sends until {until_us} us");
            return Some(Violation::safety("airtime", reason));
        }
        if law.dwell_us > 0 && end_us - start_us > law.dwell_us {
            let length_us = end_us - start_us;
            let reason = format!(
                "node {host} sends a packet of {length_us} us on link {link}; the law allows {} us",
                law.dwell_us
            );
            return Some(Violation::safety("airtime", reason));
        }
        sent.push_back((start_us, end_us));
        if law.share_ppm >= 1_000_000 {
            // Only the last one is looked at again.
            sent.drain(..sent.len() - 1);
            return None;
        }
        let from_us = end_us.saturating_sub(law.window_us);
        while sent.front().is_some_and(|(_, until_us)| *until_us <= from_us) {
            sent.pop_front();
        }
        let used_us: u64 = sent.iter().map(|(start_us, end_us)| end_us - start_us.max(&from_us)).sum();
        let allowed_us = u128::from(law.window_us) * u128::from(law.share_ppm) / 1_000_000;
        (u128::from(used_us) > allowed_us).then(|| {
            let reason = format!(
                "node {host} has sent for {used_us} us of the last {} us on link {link}; the law allows {allowed_us} us",
                law.window_us
            );
            Violation::safety("airtime", reason)
        })
    }
}

impl Checker for Airtime {
    fn name(&self) -> &'static str {
        "airtime"
    }

    fn wants(&self) -> u16 {
        want::AIR | want::OFF
    }

    fn see(&mut self, at_us: u64, sight: &Sight<'_>) -> Option<Violation> {
        match sight {
            Sight::Air(on_air) => self.on_air(on_air),
            // Its power failed: what was on air breaks off.
            Sight::Off { host } => {
                let own = self.sent.iter_mut().filter(|((_, other), _)| other == host);
                for (_, until_us) in own.filter_map(|(_, sent)| sent.back_mut()) {
                    *until_us = at_us.min(*until_us);
                }
                None
            }
            Sight::Boot { .. }
            | Sight::Endpoint { .. }
            | Sight::Packet { .. }
            | Sight::Transmit { .. }
            | Sight::Store { .. }
            | Sight::Durable { .. }
            | Sight::Event { .. }
            | Sight::Turn { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{LinkKind, LinkPlan, RadioPlan};

    const SECOND: u64 = 1_000_000;

    fn watchman(region: crate::plan::radio::Region) -> Airtime {
        let mut plan = Plan::new("air", 1, 1);
        let mut link = LinkPlan::new(LinkKind::LoraSf7, &[0, 1]);
        link.radio = Some(RadioPlan { region: Some(region), ..RadioPlan::default() });
        plan.links = vec![LinkPlan::new(LinkKind::Ethernet, &[0, 1]), link];
        Airtime::new(&plan)
    }

    fn see(airtime: &mut Airtime, link: u32, host: u32, start_us: u64, length_us: u64) -> Option<String> {
        let on_air = OnAir { host, link, start_us, end_us: start_us + length_us };
        airtime.see(start_us, &Sight::Air(on_air)).map(|violation| {
            assert_eq!(violation.checker, "airtime");
            violation.reason
        })
    }

    #[test]
    fn a_window_holds_its_share_and_not_a_microsecond_more() {
        use crate::plan::radio::Region::Eu868G1;
        let mut airtime = watchman(Eu868G1);
        assert_eq!((0..36).find_map(|n| see(&mut airtime, 1, 0, n * 10 * SECOND, SECOND)), None);
        assert_eq!(see(&mut airtime, 1, 1, 400 * SECOND, SECOND), None, "another radio");
        assert_eq!(see(&mut airtime, 0, 0, 400 * SECOND, SECOND), None, "a cable");
        // The first second leaves the window when it ends an hour later.
        assert_eq!(see(&mut airtime, 1, 0, 3_600 * SECOND, SECOND), None);
        let reason = see(&mut airtime, 1, 0, 3_610 * SECOND, SECOND + 1).unwrap_or_default();
        assert!(reason.contains("36000001 us") && reason.contains("allows 36000000 us"), "{reason}");
    }

    #[test]
    fn nobody_sends_twice_at_once_unless_the_power_failed() {
        use crate::plan::radio::Region::Free;
        let mut airtime = watchman(Free);
        assert_eq!(see(&mut airtime, 1, 0, 0, 10), None);
        assert_eq!(see(&mut airtime, 1, 0, 10, 10), None);
        assert_eq!(see(&mut airtime, 1, 1, 15, 10), None);
        assert!(see(&mut airtime, 1, 0, 19, 10).is_some_and(|reason| reason.contains("until 20 us")));
        assert_eq!(airtime.see(18, &Sight::Off { host: 0 }), None);
        assert_eq!(see(&mut airtime, 1, 0, 19, 10), None);
    }

    #[test]
    fn no_packet_is_longer_than_the_law_has_it() {
        let mut airtime = watchman(crate::plan::radio::Region::Us915);
        assert_eq!(see(&mut airtime, 1, 0, 0, 400_000), None);
        assert!(see(&mut airtime, 1, 0, SECOND, 400_001).is_some_and(|reason| reason.contains("400001 us")));
    }
}
