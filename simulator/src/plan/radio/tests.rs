use super::*;
use crate::plan::{Plan, PlanError};

fn link(kind: LinkKind, places: &[(i32, i32)]) -> LinkPlan {
    let members: Vec<u32> = (0..places.len() as u32).collect();
    let radio = Some(RadioPlan { places: places.to_vec(), ..RadioPlan::default() });
    LinkPlan { radio, ..LinkPlan::new(kind, &members) }
}

/// The Things Network's calculator for 10 bytes under LoRaWAN's 13, and the sheet that goes with Semtech's AN1200.13 for 13
/// bytes at SF9: 125 kHz, coding rate 4/5, eight symbols of preamble, header and checksum.
#[test]
fn time_on_air_is_what_published_calculators_say() {
    for (spreading, us) in
        [(7, 61_696), (8, 113_152), (9, 205_824), (10, 370_688), (11, 823_296), (12, 1_482_752)]
    {
        assert_eq!(Modem::Lora(spreading).airtime_us(23), us, "SF{spreading}");
    }
    assert_eq!(Modem::Lora(9).airtime_us(13), 164_864);
    // The longest frame of 802.15.4: 133 bytes of 32 us.
    assert_eq!(Modem::Oqpsk.airtime_us(102), 4_256);
}

/// 14 dBm less 127.41 dB at 40 m, 20.8 dB a decade; 0 dBm less 58.5 dB at 8 m, 33 dB a decade.
#[test]
fn strength_falls_with_the_logarithm_of_the_distance() {
    let lora = link(LinkKind::LoraSf7, &[(0, 0), (0, 0)]).radio_spec().unwrap();
    for (metres, mdbm) in
        [(40, -113_410), (400, -134_210), (4_000, -155_010), (80, -119_671), (0, -80_087), (1, -80_087)]
    {
        let seen = lora.strength_mdbm(metres * metres, 0);
        assert!(seen.abs_diff(mdbm) <= 1, "{metres} m: {seen} for {mdbm}");
    }
    assert_eq!(lora.strength_mdbm(30 * 30 + 40 * 40, 0), lora.strength_mdbm(50 * 50, 0));
    let oqpsk = link(LinkKind::Ieee802154, &[(0, 0), (0, 0)]).radio_spec().unwrap();
    assert!(oqpsk.strength_mdbm(80 * 80, 0).abs_diff(-91_500) <= 1);
    let shadowed = RadioSpec { shadow_mdb: 3_570, ..lora };
    assert!(shadowed.strength_mdbm(1_600, crate::fixed::ONE).abs_diff(-116_980) <= 1);
}

#[test]
fn who_is_near_is_heard_and_a_larger_spreading_factor_reaches_farther() {
    let reach = |kind| {
        (1..2_000).take_while(|&metres| link(kind, &[(0, 0), (metres, 0)]).hears(1, 0, (0, 1))).count()
    };
    assert_eq!(
        (reach(LinkKind::LoraSf7), reach(LinkKind::LoraSf12), reach(LinkKind::Ieee802154)),
        (115, 487, 50)
    );
    let mut walks = link(LinkKind::LoraSf7, &[(0, 0), (100, 0)]);
    assert!(walks.hears(1, 0, (0, 1)));
    walks.radio.as_mut().unwrap().moves = vec![Move { at_us: 5, places: vec![(0, 0), (200, 0)] }];
    assert!(!walks.hears(1, 0, (1, 0)), "where it stands in the end");
    assert!(LinkPlan::new(LinkKind::LoraSf7, &[0, 1]).hears(1, 0, (0, 1)), "without a radio everybody is");
}

#[test]
fn shadows_are_a_pairs_own_both_ways_alike_and_spread_as_asked() {
    let places = vec![(0, 0); 60];
    let mut link = link(LinkKind::LoraSf7, &places);
    link.radio.as_mut().unwrap().shadow_mdb = Some(4_000);
    let spec = link.radio_spec().unwrap();
    let bare = spec.strength_mdbm(0, 0);
    let mut squares = 0_i64;
    for a in 0..60 {
        for b in 0..a {
            let seen = spec.between(9, 3, &places, (a, b));
            assert_eq!(seen, spec.between(9, 3, &places, (b, a)));
            squares += i64::from(seen - bare).pow(2);
        }
    }
    let deviation = (squares / (60 * 59 / 2)).isqrt();
    assert!((3_800..4_200).contains(&deviation), "{deviation} for 4000");
    assert_ne!(spec.between(9, 3, &places, (1, 2)), spec.between(9, 4, &places, (1, 2)));
    assert_ne!(spec.between(9, 3, &places, (1, 2)), spec.between(8, 3, &places, (1, 2)));
}

#[test]
fn the_law_goes_with_the_region() {
    let mut link = link(LinkKind::LoraSf9, &[(0, 0), (0, 0)]);
    let mut spec = |region| {
        link.radio.as_mut().unwrap().region = region;
        (link.radio_spec().unwrap(), link.spec())
    };
    let (radio, as_told) = spec(None);
    assert_eq!((radio.law.share_ppm, radio.law.window_us, radio.power_mdbm), (10_000, 3_600_000_000, 14_000));
    assert_eq!((as_told.duty_ppm, as_told.mtu, as_told.delay_us, as_told.shared), (10_000, 240, 0, true));
    assert_eq!(spec(Some(Region::Eu868G2)).0.law.share_ppm, 1_000);
    let (radio, _) = spec(Some(Region::Eu868G3));
    assert_eq!((radio.law.share_ppm, radio.power_mdbm), (100_000, 27_000));
    // The longest that is over in 400 ms.
    let (radio, as_told) = spec(Some(Region::Us915));
    assert_eq!((as_told.mtu, as_told.duty_ppm), (66, 1_000_000));
    assert!(radio.modem.airtime_us(66) <= 400_000 && radio.modem.airtime_us(67) > 400_000);
}

const GOOD: &str = r#"
name = "hall"
duration = "10s"
[[node]]
count = 2
[[link]]
members = [0, 1]
kind = "lora-sf9"
radio.places = [[0, 0], [100, -20]]
radio.power = "20dBm"
radio.sensitivity = "-130.5dBm"
radio.per_decade = "35dB"
radio.region = "eu868-g3"
radio.duty = "refuse"
radio.access = "csma"
radio.move = [{ at = "5s", places = [[0, 0], [50, 0]] }]
"#;

fn error(text: &str) -> PlanError {
    Plan::from_toml(text).expect_err("a mistake")
}

#[test]
fn a_radio_reads_as_it_is_written() {
    let plan = Plan::from_toml(GOOD).unwrap();
    let spec = plan.links[0].radio_spec().unwrap();
    assert_eq!((spec.power_mdbm, spec.sensitivity_mdbm, spec.per_decade_mdb), (20_000, -130_500, 35_000));
    assert_eq!((spec.law.share_ppm, spec.duty, spec.csma.is_some()), (100_000, Duty::Refuse, true));
    assert_eq!(plan.links[0].radio.as_ref().unwrap().moves[0].places[1], (50, 0));
    assert_eq!(Plan::from_toml(&plan.to_toml()), Ok(plan));
}

#[test]
fn what_no_radio_can_be_is_refused_with_its_place() {
    let cases = [
        ("[100, -20]]", "[100, -20], [1, 1]]", (9, 16), "3 places for 2 members"),
        ("[100, -20]]", "[100, 20000001]]", (9, 16), "within 20000000 m"),
        ("\"20dBm\"", "\"41dBm\"", (10, 15), "-40 to 40 decibels"),
        ("\"20dBm\"", "20", (10, 15), "a level such as"),
        ("\"-130.5dBm\"", "\"-130.5dB\"", (11, 21), "dBm"),
        ("\"35dB\"", "\"81dB\"", (12, 20), "0 to 80 decibels"),
        ("\"eu868-g3\"", "\"eu868-g4\"", (13, 16), "did you mean `eu868-g1`"),
        ("\"refuse\"", "\"refused\"", (14, 14), "did you mean `refuse`"),
        ("\"csma\"", "\"csma\"\nradio.reference = 0", (16, 19), "1 to 20000000 metres"),
        ("places = [[0, 0], [50, 0]]", "places = []", (16, 14), "0 places for 2 members"),
        ("radio.access", "rate = \"1kbit\"\nradio.access", (15, 8), "take `rate` or `radio` out"),
        ("radio.access", "shared = false\nradio.access", (15, 10), "a radio is shared"),
        ("radio.access", "radio.acess", (15, 7), "did you mean `access`"),
        ("\"lora-sf9\"", "\"wifi\"", (9, 1), "only the kinds `lora-sf7`"),
        ("\"lora-sf9\"", "\"lora-sf10\"\nmtu = 63", (9, 7), "64 to 65507"),
    ];
    for (from, to, place, part) in cases {
        let wrong = error(&GOOD.replacen(from, to, 1));
        assert!(wrong.message.contains(part), "{to}: {wrong}");
        assert_eq!((wrong.line, wrong.column), place, "{to}: {wrong}");
    }
    let mut plan = Plan::from_toml(GOOD).unwrap();
    let radio = plan.links[0].radio.as_mut().unwrap();
    radio.moves.push(radio.moves[0].clone());
    assert!(plan.check().unwrap_err().1.contains("in order of time"));
    plan.links[0].radio.as_mut().unwrap().moves.clear();
    plan.links[0].radio.as_mut().unwrap().region = Some(Region::Us915);
    assert_eq!(plan.check(), Ok(()));
    plan.links[0].kind = LinkKind::LoraSf10;
    assert!(plan.check().unwrap_err().1.contains("no packet of 64 bytes"));
}
