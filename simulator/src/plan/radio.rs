//! A radio as a plan has it: where its members stand, what lies between them, and what the law allows.
//!
//! A hall full of people who all speak on one note. Who is far away is not heard; two who speak at once are heard by nobody
//! between them, but whoever stands beside one of them hears that one; who speaks does not hear; and two who do not hear each
//! other do not know that they speak at once. And nobody may speak for more than 36 seconds an hour.
//!
//! - Time on air: LoRa by Semtech AN1200.13, section 4 (as SX1276 data sheet, section 4.1.1.7); IEEE 802.15.4 by its frame at
//!   250 kbit/s (IEEE 802.15.4-2020, O-QPSK PHY at 2.4 GHz).
//! - Strength: transmitted power less a loss that grows with the logarithm of the distance, and less a shadow of each pair's
//!   own. Defaults for LoRa are those measured by Bor, Roedig, Voigt, Alonso, Do LoRa Low-Power Wide-Area Networks Scale?,
//!   MSWiM 2016, section 4 (127.41 dB at 40 m, exponent 2.08: about 115 m at SF7); for 802.15.4 those of IEEE 802.15.4-2006,
//!   annex E.5.3 (58.5 dB at 8 m, exponent 3.3: about 50 m).
//! - Sensitivity: SX1276 data sheet, table 10, 125 kHz in the upper band; 802.15.4: the -85 dBm that the standard asks for.
//! - Channel: all members of a link share one channel and one spreading factor. Other links are other channels: spreading
//!   factors are taken as orthogonal, which they nearly are (Bor et al., section 3; 16 dB and more between them).

use serde::{Deserialize, Serialize};

use super::units;
use super::{LinkKind, LinkPlan, lora_airtime_us};
use crate::draw::{Lot, Purpose, pair};
use crate::fixed::{LOG10_2, log2, normal};

/// The shared medium of a link: set under `radio`, it has collisions, hidden nodes and a law. Without it everybody hears
/// everybody, and packets wait for each other.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RadioPlan {
    /// Where each member stands, in metres east and north, in the order of `members`.
    pub places: Vec<(i32, i32)>,
    /// What everybody sends with, in thousandths of a dBm.
    #[serde(rename = "power", default, skip_serializing_if = "Option::is_none", with = "units::level_opt")]
    pub power_mdbm: Option<i32>,
    /// The weakest packet that is understood, in thousandths of a dBm.
    #[serde(
        rename = "sensitivity",
        default,
        skip_serializing_if = "Option::is_none",
        with = "units::level_opt"
    )]
    pub sensitivity_mdbm: Option<i32>,
    /// What is lost over `reference`, in thousandths of a dB.
    #[serde(rename = "loss", default, skip_serializing_if = "Option::is_none", with = "units::decibel_opt")]
    pub loss_mdb: Option<i32>,
    /// The distance at which that was measured, in metres.
    #[serde(rename = "reference", default, skip_serializing_if = "Option::is_none")]
    pub reference_m: Option<u32>,
    /// What is lost with each tenfold distance: ten times the exponent. In thousandths of a dB.
    #[serde(
        rename = "per_decade",
        default,
        skip_serializing_if = "Option::is_none",
        with = "units::decibel_opt"
    )]
    pub per_decade_mdb: Option<i32>,
    /// How far pairs differ from that: the standard deviation of what stands between two, in thousandths of a dB. Both ways
    /// alike, and the same for the whole run.
    #[serde(
        rename = "shadow",
        default,
        skip_serializing_if = "Option::is_none",
        with = "units::decibel_opt"
    )]
    pub shadow_mdb: Option<i32>,
    /// Whose law holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// What the driver does with a packet that the law does not allow yet.
    #[serde(default)]
    pub duty: Duty,
    /// Whether one listens before one sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// Where everybody stands later.
    #[serde(rename = "move", default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<Move>,
}

/// All members take new places.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// When.
    #[serde(rename = "at", with = "units::span")]
    pub at_us: u64,
    /// Where each member stands from then on.
    pub places: Vec<(i32, i32)>,
}

/// Whose law holds. Europe: ERC Recommendation 70-03, annex 1, and ETSI EN 300 220: so much of each hour. America: FCC
/// 15.247: no packet longer than 400 ms.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Region {
    /// 868.0 to 868.6 MHz: 1 %, 14 dBm.
    Eu868G1,
    /// 868.7 to 869.2 MHz: 0.1 %, 14 dBm.
    Eu868G2,
    /// 869.4 to 869.65 MHz: 10 %, 27 dBm.
    Eu868G3,
    /// 902 to 928 MHz: 400 ms a packet, 20 dBm (what an SX1276 can do).
    Us915,
    /// No law.
    Free,
}

/// What the driver does with a packet that the law does not allow yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duty {
    /// After each packet it is silent for so long that the share holds at once, as LoRaWAN devices do.
    Pace,
    /// It sends at once while there is something left of the hour's share, and else waits.
    #[default]
    Wait,
    /// It sends at once while there is something left, and else throws the packet away.
    Refuse,
}

/// Whether one listens before one sends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// No.
    Aloha,
    /// After a random wait, and when somebody is heard after a longer one: the unslotted CSMA-CA of IEEE 802.15.4, section
    /// 6.2.5.1.
    Csma,
}

/// What the law allows one radio.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Law {
    /// Share of each window in which it may send, in millionths; a million is all of it.
    pub share_ppm: u32,
    /// The window, in microseconds.
    pub window_us: u64,
    /// The longest packet on air, in microseconds; 0 is without limit.
    pub dwell_us: u64,
}

/// Listening before sending, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Csma {
    /// Waits are so many of these, drawn below a power of two.
    pub unit_us: u64,
    /// How long one listens.
    pub listen_us: u64,
    /// From listening to sending.
    pub turn_us: u64,
    /// The first power.
    pub least: u8,
    /// The last.
    pub most: u8,
    /// How often more one listens before the packet is given up.
    pub again: u8,
}

/// How bits become waves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Modem {
    /// LoRa at 125 kHz with this spreading factor.
    Lora(u8),
    /// O-QPSK of IEEE 802.15.4 at 250 kbit/s.
    Oqpsk,
}

/// A radio, resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RadioSpec {
    /// How bits become waves.
    pub modem: Modem,
    /// What everybody sends with, in thousandths of a dBm, like the next.
    pub power_mdbm: i32,
    /// The weakest packet that is understood.
    pub sensitivity_mdbm: i32,
    /// The weakest that a listener before sending notices.
    pub busy_mdbm: i32,
    /// By how much a packet must be stronger than each that it meets, in thousandths of a dB.
    pub capture_mdb: i32,
    /// The beginning of a packet that may be lost without harm.
    pub lead_us: u64,
    /// Silence after each packet.
    pub rest_us: u64,
    /// What is lost over `reference_m`.
    pub loss_mdb: i32,
    /// In metres.
    pub reference_m: u32,
    /// And with each tenfold distance.
    pub per_decade_mdb: i32,
    /// The standard deviation of what stands between two.
    pub shadow_mdb: i32,
    /// What is allowed.
    pub law: Law,
    /// What happens to what is not.
    pub duty: Duty,
    /// Listening before sending; `None` for those who do not.
    pub csma: Option<Csma>,
}

impl Region {
    /// What it allows, and the power that goes with it in thousandths of a dBm, if it says one.
    #[must_use]
    pub fn law(self) -> (Law, Option<i32>) {
        const HOUR_US: u64 = 3_600_000_000;
        let share = |share_ppm| Law { share_ppm, window_us: HOUR_US, dwell_us: 0 };
        match self {
            Region::Eu868G1 => (share(10_000), Some(14_000)),
            Region::Eu868G2 => (share(1_000), Some(14_000)),
            Region::Eu868G3 => (share(100_000), Some(27_000)),
            Region::Us915 => (Law { dwell_us: 400_000, ..share(1_000_000) }, Some(20_000)),
            Region::Free => (share(1_000_000), None),
        }
    }
}

impl Modem {
    /// The modem of a kind of link, if the medium of that kind is modelled.
    #[must_use]
    pub fn of(kind: LinkKind) -> Option<Modem> {
        match kind {
            LinkKind::LoraSf7 => Some(Modem::Lora(7)),
            LinkKind::LoraSf8 => Some(Modem::Lora(8)),
            LinkKind::LoraSf9 => Some(Modem::Lora(9)),
            LinkKind::LoraSf10 => Some(Modem::Lora(10)),
            LinkKind::LoraSf11 => Some(Modem::Lora(11)),
            LinkKind::LoraSf12 => Some(Modem::Lora(12)),
            LinkKind::Ieee802154 => Some(Modem::Oqpsk),
            LinkKind::Plain
            | LinkKind::Ethernet
            | LinkKind::Wifi
            | LinkKind::Cellular
            | LinkKind::Bluetooth
            | LinkKind::Ble
            | LinkKind::PacketRadio
            | LinkKind::Shortwave
            | LinkKind::Satellite
            | LinkKind::Serial
            | LinkKind::Dialup => None,
        }
    }

    /// How long a packet of so many bytes is on air, in microseconds.
    ///
    /// 802.15.4: 4 bytes of preamble, 1 that ends it, 1 of length, and a frame of at most 127 bytes, of which headers and the
    /// check take 25 (RFC 4944, section 4: what leaves 102); 32 us a byte.
    #[must_use]
    pub fn airtime_us(self, bytes: u64) -> u64 {
        match self {
            Modem::Lora(spreading) => lora_airtime_us(spreading, bytes),
            Modem::Oqpsk => (6 + 25 + bytes) * 32,
        }
    }

    /// A line that the time on air of no packet lies above: microseconds of a packet without bytes, nanoseconds of each byte.
    #[must_use]
    pub fn airtime_line(self) -> (u64, u64) {
        match self {
            // 12.25 symbols of preamble, 8 and, rounded up, 5 for each 4 SF bits (SX1276 data sheet, section 4.1.1.7; two bits less in a
            // symbol of SF11 and SF12).
            Modem::Lora(spreading) => {
                let bits = u64::from(spreading) - if spreading >= 11 { 2 } else { 0 };
                let symbol_us = 8_u64 << spreading;
                let byte_ns = (symbol_us * 1_000 * 5 * 8).div_ceil(4 * bits);
                // Beside the bytes: preamble, 8 symbols, 44 bits less what the header's symbols hold, and what is rounded up.
                let rest = 44_u64.saturating_sub(4 * u64::from(spreading)) * symbol_us * 5;
                (symbol_us * 101 / 4 + rest.div_ceil(4 * bits), byte_ns)
            }
            Modem::Oqpsk => ((6 + 25) * 32, 32_000),
        }
    }

    /// The radio of this modem with nothing set.
    fn spec(self) -> RadioSpec {
        let (law, _) = Region::Free.law();
        match self {
            Modem::Lora(spreading) => {
                let symbol_us = 8_u64 << spreading;
                // From SF7 on, in dBm.
                let sensitivities = [-123, -126, -129, -132, -133, -136];
                let sensitivity = sensitivities[usize::from(spreading.clamp(7, 12)) - 7] * 1_000;
                RadioSpec {
                    modem: self,
                    power_mdbm: 14_000,
                    sensitivity_mdbm: sensitivity,
                    // Channel activity detection hears what can be understood (Semtech AN1200.85).
                    busy_mdbm: sensitivity,
                    // 6 dB, and all but the last five of eight symbols of preamble (Bor et al., section 3.2).
                    capture_mdb: 6_000,
                    lead_us: 3 * symbol_us,
                    rest_us: 0,
                    loss_mdb: 127_410,
                    reference_m: 40,
                    per_decade_mdb: 20_800,
                    shadow_mdb: 0,
                    law,
                    duty: Duty::Wait,
                    csma: None,
                }
            }
            Modem::Oqpsk => RadioSpec {
                modem: self,
                power_mdbm: 0,
                sensitivity_mdbm: -85_000,
                // The threshold of energy detection lies at most 10 dB above the sensitivity (section 10.2.8).
                busy_mdbm: -75_000,
                // What a CC2420 rejects on its own channel: 3 dB (its data sheet, section 4.3).
                capture_mdb: 3_000,
                lead_us: 0,
                // The long spacing of 40 symbols: every frame is longer than 18 bytes.
                rest_us: 640,
                loss_mdb: 58_500,
                reference_m: 8,
                per_decade_mdb: 33_000,
                shadow_mdb: 0,
                law,
                duty: Duty::Wait,
                csma: None,
            },
        }
    }

    /// Listening before sending. 802.15.4: backoffs of 20 symbols, 8 of listening and 12 to turn round, of 16 us each,
    /// macMinBE 3, macMaxBE 5, macMaxCSMABackoffs 4. LoRa: the same with 2 symbols of listening (Semtech AN1200.85) and waits
    /// of 32 (guess: a tenth of a packet of some 100 bytes).
    fn csma(self) -> Csma {
        match self {
            Modem::Lora(spreading) => {
                let symbol_us = 8_u64 << spreading;
                Csma {
                    unit_us: 32 * symbol_us,
                    listen_us: 2 * symbol_us,
                    turn_us: 0,
                    least: 3,
                    most: 5,
                    again: 4,
                }
            }
            Modem::Oqpsk => Csma { unit_us: 320, listen_us: 128, turn_us: 192, least: 3, most: 5, again: 4 },
        }
    }
}

impl RadioSpec {
    /// How strong a packet arrives over `square_m2` square metres and through a shadow of `deviate` standard deviations (in
    /// units of 2^-32), in thousandths of a dBm. Nearer than a metre is a metre.
    #[must_use]
    pub fn strength_mdbm(&self, square_m2: u64, deviate: i64) -> i32 {
        let distance = log2(square_m2) / 2 - log2(u64::from(self.reference_m));
        let decades = (i128::from(distance) * i128::from(LOG10_2)) >> 32;
        let farther = ((decades * i128::from(self.per_decade_mdb)) >> 32) as i64;
        let shadow = ((i128::from(deviate) * i128::from(self.shadow_mdb)) >> 32) as i64;
        let strength = i64::from(self.power_mdbm) - i64::from(self.loss_mdb) - farther - shadow;
        i32::try_from(strength).unwrap_or(i32::MIN)
    }

    /// How strong members `a` and `b` of link number `link` hear each other from these places.
    #[must_use]
    pub fn between(&self, seed: u64, link: u32, places: &[(i32, i32)], (a, b): (usize, usize)) -> i32 {
        let (Some(from), Some(to)) = (places.get(a), places.get(b)) else { return i32::MIN };
        let (east, north) = (u64::from(from.0.abs_diff(to.0)), u64::from(from.1.abs_diff(to.1)));
        let lot = Lot::new(seed, Purpose::Shadow, pair(link, (a.min(b) as u32) << 16 | a.max(b) as u32));
        self.strength_mdbm(east * east + north * north, normal(lot, 0))
    }
}

impl LinkPlan {
    /// The radio of this link: its kind's, with what the plan sets. `None` for links without `radio`.
    #[must_use]
    pub fn radio_spec(&self) -> Option<RadioSpec> {
        let (radio, modem) = (self.radio.as_ref()?, Modem::of(self.kind)?);
        let (region, access) = match modem {
            Modem::Lora(_) => (Region::Eu868G1, Access::Aloha),
            Modem::Oqpsk => (Region::Free, Access::Csma),
        };
        let base = modem.spec();
        let (law, power_mdbm) = radio.region.unwrap_or(region).law();
        let sensitivity_mdbm = radio.sensitivity_mdbm.unwrap_or(base.sensitivity_mdbm);
        Some(RadioSpec {
            power_mdbm: radio.power_mdbm.or(power_mdbm).unwrap_or(base.power_mdbm),
            sensitivity_mdbm,
            busy_mdbm: base.busy_mdbm - base.sensitivity_mdbm + sensitivity_mdbm,
            loss_mdb: radio.loss_mdb.unwrap_or(base.loss_mdb),
            reference_m: radio.reference_m.unwrap_or(base.reference_m).max(1),
            per_decade_mdb: radio.per_decade_mdb.unwrap_or(base.per_decade_mdb),
            shadow_mdb: radio.shadow_mdb.unwrap_or(base.shadow_mdb),
            law,
            duty: radio.duty,
            csma: (radio.access.unwrap_or(access) == Access::Csma).then(|| modem.csma()),
            ..base
        })
    }

    /// The largest packet that the law lets on air, of at most `most` bytes.
    pub(super) fn lawful_mtu(&self, most: u16) -> u16 {
        let Some(spec) = self.radio_spec().filter(|spec| spec.law.dwell_us > 0) else { return most };
        let fits = |bytes: &u16| spec.modem.airtime_us(u64::from(*bytes)) <= spec.law.dwell_us;
        (0..=most).rev().find(fits).unwrap_or(0)
    }

    /// Whether two members hear each other where they stand in the end. Always so without `radio`.
    #[must_use]
    pub fn hears(&self, seed: u64, link: u32, (a, b): (u32, u32)) -> bool {
        let (Some(spec), Some(radio)) = (self.radio_spec(), &self.radio) else { return true };
        let at = |node: u32| self.members.iter().position(|&member| member == node);
        let (Some(a), Some(b)) = (at(a), at(b)) else { return false };
        let places = radio.moves.last().map_or(&radio.places, |last| &last.places);
        spec.between(seed, link, places, (a, b)) >= spec.sensitivity_mdbm
    }

    /// What is wrong with the radio: the key and what to do.
    pub(super) fn radio_trouble(&self) -> Option<(&'static str, String)> {
        let radio = self.radio.as_ref()?;
        if Modem::of(self.kind).is_none() {
            return Some((
                "radio",
                "only the kinds `lora-sf7` to `lora-sf12` and `802154` have a radio".to_owned(),
            ));
        }
        if self.rate_bps.is_some() {
            return Some(("rate", "a radio has the rate of its kind; take `rate` or `radio` out".to_owned()));
        }
        if self.shared == Some(false) {
            return Some(("shared", "a radio is shared by its members".to_owned()));
        }
        let count = self.members.len();
        let misplaced = |places: &[(i32, i32)]| {
            let far = |at: i32| at.unsigned_abs() > FARTHEST_M;
            if places.len() != count {
                return Some(format!("{} places for {count} members", places.len()));
            }
            let beyond = places.iter().any(|&(east, north)| far(east) || far(north));
            beyond.then(|| format!("a place lies within {FARTHEST_M} m of the middle"))
        };
        if let Some(message) = misplaced(&radio.places) {
            return Some(("radio.places", message));
        }
        if let Some(message) = radio.moves.iter().find_map(|step| misplaced(&step.places)) {
            return Some(("radio.move", message));
        }
        if !radio.moves.is_sorted_by(|one, next| one.at_us < next.at_us) {
            return Some(("radio.move", "moves must be in order of time".to_owned()));
        }
        let ranges = [
            ("radio.power", radio.power_mdbm, -40, 40),
            ("radio.sensitivity", radio.sensitivity_mdbm, -160, -40),
            ("radio.loss", radio.loss_mdb, 0, 200),
            ("radio.per_decade", radio.per_decade_mdb, 0, 80),
            ("radio.shadow", radio.shadow_mdb, 0, 30),
        ];
        for (key, value, least, most) in ranges {
            if value.is_some_and(|value| !(least * 1_000..=most * 1_000).contains(&value)) {
                return Some((key, format!("must be {least} to {most} decibels")));
            }
        }
        if radio.reference_m.is_some_and(|metres| !(1..=FARTHEST_M).contains(&metres)) {
            return Some(("radio.reference", format!("must be 1 to {FARTHEST_M} metres")));
        }
        None
    }
}

/// How far from the middle a radio may stand, in metres: the other side of the world.
const FARTHEST_M: u32 = 20_000_000;

#[cfg(test)]
mod tests;
