//! The kinds of link that Thallus is meant for, as presets.

use serde::{Deserialize, Serialize};

use super::LinkPlan;

/// What a link is made of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum LinkKind {
    /// No rate, 1 ms: for plans that set what they need.
    #[default]
    #[serde(rename = "plain")]
    Plain,
    /// 100 Mbit/s, 1 ms.
    #[serde(rename = "ethernet")]
    Ethernet,
    /// 100 Mbit/s, 1 to 5 ms.
    #[serde(rename = "wifi")]
    Wifi,
    /// 50 Mbit/s, 40 ms.
    #[serde(rename = "cellular")]
    Cellular,
    /// 3 Mbit/s, 50 ms.
    #[serde(rename = "bluetooth")]
    Bluetooth,
    /// 1 Mbit/s, 100 ms, 247 B.
    #[serde(rename = "ble")]
    Ble,
    /// IEEE 802.15.4: 250 kbit/s, 10 ms, 102 B.
    #[serde(rename = "802154")]
    Ieee802154,
    /// LoRa at spreading factor 7, 125 kHz, 1 % duty cycle.
    #[serde(rename = "lora-sf7")]
    LoraSf7,
    /// Spreading factor 8.
    #[serde(rename = "lora-sf8")]
    LoraSf8,
    /// Spreading factor 9.
    #[serde(rename = "lora-sf9")]
    LoraSf9,
    /// Spreading factor 10.
    #[serde(rename = "lora-sf10")]
    LoraSf10,
    /// Spreading factor 11.
    #[serde(rename = "lora-sf11")]
    LoraSf11,
    /// Spreading factor 12.
    #[serde(rename = "lora-sf12")]
    LoraSf12,
    /// APRS and the like: 1,200 bit/s, 3 s.
    #[serde(rename = "packet-radio")]
    PacketRadio,
    /// 300 bit/s, 5 s.
    #[serde(rename = "shortwave")]
    Shortwave,
    /// 1 Mbit/s, 300 ms.
    #[serde(rename = "satellite")]
    Satellite,
    /// 115 kbit/s over a wire, 100 ms.
    #[serde(rename = "serial")]
    Serial,
    /// 2.4 kbit/s over a telephone, 100 ms.
    #[serde(rename = "dialup")]
    Dialup,
}

/// Every property of a link, resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkSpec {
    /// Largest packet in bytes.
    pub mtu: u16,
    /// Bits a second each way; 0 means without limit.
    pub rate_bps: u64,
    /// Whether the nodes are told the rate.
    pub rate_known: bool,
    /// One way.
    pub delay_us: u64,
    /// Up to this much more.
    pub jitter_us: u64,
    /// Bytes that may wait.
    pub queue_bytes: u64,
    /// Whether everybody hears everybody.
    pub shared: bool,
    /// Whether sending blocks receiving.
    pub half_duplex: bool,
    /// LoRa spreading factor, 7 to 12; 0 for other links. Sets the time on air instead of the rate.
    pub spreading: u8,
    /// Share of time in which one node may send, in millionths.
    pub duty_ppm: u32,
}

/// A hundred milliseconds at 100 Mbit/s: twice the bandwidth-delay product of a continent.
const FAST_QUEUE: u64 = 1_250_000;

impl LinkKind {
    /// Every kind, in order of its declaration.
    pub const ALL: [LinkKind; 18] = [
        LinkKind::Plain,
        LinkKind::Ethernet,
        LinkKind::Wifi,
        LinkKind::Cellular,
        LinkKind::Bluetooth,
        LinkKind::Ble,
        LinkKind::Ieee802154,
        LinkKind::LoraSf7,
        LinkKind::LoraSf8,
        LinkKind::LoraSf9,
        LinkKind::LoraSf10,
        LinkKind::LoraSf11,
        LinkKind::LoraSf12,
        LinkKind::PacketRadio,
        LinkKind::Shortwave,
        LinkKind::Satellite,
        LinkKind::Serial,
        LinkKind::Dialup,
    ];

    /// The properties of this kind.
    #[must_use]
    pub fn spec(self) -> LinkSpec {
        let wire = |mtu, rate_bps, delay_us, jitter_us| LinkSpec {
            mtu,
            rate_bps,
            rate_known: false,
            delay_us,
            jitter_us,
            // Half a second of the link, at least four packets.
            queue_bytes: (rate_bps / 16).clamp(4 * u64::from(mtu), FAST_QUEUE),
            shared: false,
            half_duplex: false,
            spreading: 0,
            duty_ppm: 1_000_000,
        };
        let radio = |mtu, rate_bps, delay_us| LinkSpec {
            rate_known: true,
            shared: true,
            half_duplex: true,
            ..wire(mtu, rate_bps, delay_us, 0)
        };
        // Bit rates of LoRa at 125 kHz and coding rate 4/5: SF * BW / 2^SF * 4/5 (SX1276 data sheet, 4.1.1).
        let lora = |spreading: u8| {
            let raw = u64::from(spreading) * 125_000 * 4 / 5 / (1 << spreading);
            LinkSpec { spreading, duty_ppm: 10_000, queue_bytes: 2_048, ..radio(240, raw, 0) }
        };
        match self {
            LinkKind::Plain => LinkSpec { queue_bytes: FAST_QUEUE, ..wire(1_400, 0, 1_000, 0) },
            LinkKind::Ethernet => wire(1_400, 100_000_000, 1_000, 0),
            LinkKind::Wifi => wire(1_400, 100_000_000, 1_000, 4_000),
            LinkKind::Cellular => wire(1_400, 50_000_000, 40_000, 10_000),
            LinkKind::Bluetooth => wire(1_000, 3_000_000, 50_000, 5_000),
            LinkKind::Ble => wire(247, 1_000_000, 100_000, 10_000),
            LinkKind::Ieee802154 => radio(102, 250_000, 10_000),
            LinkKind::LoraSf7 => lora(7),
            LinkKind::LoraSf8 => lora(8),
            LinkKind::LoraSf9 => lora(9),
            LinkKind::LoraSf10 => lora(10),
            LinkKind::LoraSf11 => lora(11),
            LinkKind::LoraSf12 => lora(12),
            LinkKind::PacketRadio => radio(256, 1_200, 3_000_000),
            LinkKind::Shortwave => radio(240, 300, 5_000_000),
            LinkKind::Satellite => wire(1_400, 1_000_000, 300_000, 5_000),
            LinkKind::Serial => LinkSpec { rate_known: true, ..wire(1_500, 115_200, 100_000, 0) },
            LinkKind::Dialup => LinkSpec { rate_known: true, ..wire(1_500, 2_400, 100_000, 0) },
        }
    }
}

impl LinkPlan {
    /// A link of one kind between two or more nodes.
    #[must_use]
    pub fn new(kind: LinkKind, members: &[u32]) -> LinkPlan {
        LinkPlan { members: members.to_vec(), kind, segments: 1, ..LinkPlan::default() }
    }

    /// The properties of this link: its kind's, with what the plan sets.
    #[must_use]
    pub fn spec(&self) -> LinkSpec {
        let base = self.kind.spec();
        let shared = self.members.len() > 2 || self.shared.unwrap_or(base.shared);
        let radio = self.radio_spec();
        LinkSpec {
            mtu: self.lawful_mtu(self.mtu.unwrap_or(base.mtu)),
            rate_bps: self.rate_bps.unwrap_or(base.rate_bps),
            rate_known: self.rate_known.unwrap_or(base.rate_known),
            // With its medium modelled, a radio's delay is the time on air and what one waits for it.
            delay_us: self.delay_us.unwrap_or(if radio.is_some() { 0 } else { base.delay_us }),
            jitter_us: self.jitter_us.unwrap_or(base.jitter_us),
            queue_bytes: self.queue_bytes.unwrap_or(base.queue_bytes),
            shared,
            half_duplex: shared && base.half_duplex,
            // A plan that sets a rate means it: the airtime formula is for those that do not.
            spreading: if self.rate_bps.is_some() { 0 } else { base.spreading },
            duty_ppm: match radio {
                Some(radio) => radio.law.share_ppm,
                None if self.rate_bps.is_some() => 1_000_000,
                None => base.duty_ppm,
            },
        }
    }
}

/// Time on air of a LoRa packet at 125 kHz, coding rate 4/5, explicit header, checksum and eight symbols
/// of preamble (Semtech AN1200.13, section 4; low data rate optimisation from spreading factor 11 on).
#[must_use]
pub fn lora_airtime_us(spreading: u8, bytes: u64) -> u64 {
    let sf = u64::from(spreading.clamp(7, 12));
    let symbol_us = (1 << sf) * 8;
    let low_rate = if sf >= 11 { 2 } else { 0 };
    let bits = (8 * bytes + 28 + 16).saturating_sub(4 * sf);
    let payload_symbols = 8 + bits.div_ceil(4 * (sf - low_rate)) * 5;
    // The preamble is 8 + 4.25 symbols.
    symbol_us * 49 / 4 + payload_symbols * symbol_us
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of Semtech's LoRa calculator for 10 and 51 bytes.
    #[test]
    fn airtime_agrees_with_the_makers_calculator() {
        assert_eq!(lora_airtime_us(7, 10), 41_216);
        assert_eq!(lora_airtime_us(7, 51), 102_656);
        assert_eq!(lora_airtime_us(12, 10), 991_232);
        assert_eq!(lora_airtime_us(12, 51), 2_465_792);
    }

    #[test]
    fn lora_rates_span_the_range_of_the_specification() {
        assert_eq!(LinkKind::LoraSf7.spec().rate_bps, 5_468);
        assert_eq!(LinkKind::LoraSf12.spec().rate_bps, 292);
    }

    #[test]
    fn every_kind_can_queue_a_packet() {
        for kind in LinkKind::ALL {
            let spec = kind.spec();
            assert!(spec.queue_bytes >= u64::from(spec.mtu), "{kind:?}");
            assert!(spec.mtu >= 64, "{kind:?}");
        }
    }

    #[test]
    fn what_the_plan_sets_wins() {
        let mut link = LinkPlan::new(LinkKind::Ble, &[0, 1]);
        link.mtu = Some(100);
        link.rate_bps = Some(0);
        let spec = link.spec();
        assert_eq!((spec.mtu, spec.rate_bps, spec.delay_us), (100, 0, 100_000));
        assert!(!spec.shared);
        link.members.push(2);
        assert!(link.spec().shared);
    }
}
