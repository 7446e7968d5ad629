use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// The four examples of RFC 9000, appendix A.1.
#[test]
fn varint_examples_of_rfc_9000() {
    let cases: [(&[u8], u64); 5] = [
        (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
        (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
        (&[0x7b, 0xbd], 15_293),
        (&[0x25], 37),
        (&[0x40, 0x25], 37),
    ];
    for (bytes, value) in cases {
        let mut reader = Reader::new(bytes);
        assert_eq!(reader.varint(), Ok(value));
        assert!(reader.is_empty());
    }
}

#[test]
fn a_varint_above_the_range_is_not_written() {
    let mut buf = [0; 8];
    let mut writer = Writer::new(&mut buf);
    assert_eq!(writer.varint(VARINT_MAX + 1), Err(NoRoom));
    assert!(writer.is_empty());
    assert_eq!(writer.varint(VARINT_MAX), Ok(()));
}

proptest! {
    #[test]
    fn varint_round_trips_in_its_stated_length(value in 0..=VARINT_MAX) {
        let mut buf = [0; 8];
        let mut writer = Writer::new(&mut buf);
        writer.varint(value).unwrap();
        prop_assert_eq!(writer.len(), varint_len(value));
        let len = writer.len();
        prop_assert_eq!(Reader::new(&buf[..len]).varint(), Ok(value));
        for cut in 0..len {
            let mut reader = Reader::new(&buf[..cut]);
            prop_assert_eq!(reader.varint(), Err(Malformed));
            prop_assert_eq!(reader.rest().len(), cut, "a failed read consumes nothing");
        }
    }

    #[test]
    fn fields_round_trip(a: u8, b: u16, c: u32, d: u64, bytes: Vec<u8>) {
        let mut buf = vec![0; 32 + bytes.len()];
        let mut writer = Writer::new(&mut buf);
        writer.u8(a).unwrap();
        writer.u16(b).unwrap();
        writer.u32(c).unwrap();
        writer.u64(d).unwrap();
        writer.prefixed(&bytes).unwrap();
        let len = writer.len();
        let mut reader = Reader::new(&buf[..len]);
        prop_assert_eq!(reader.u8(), Ok(a));
        prop_assert_eq!(reader.u16(), Ok(b));
        prop_assert_eq!(reader.u32(), Ok(c));
        prop_assert_eq!(reader.u64(), Ok(d));
        prop_assert_eq!(reader.prefixed(), Ok(&bytes[..]));
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn a_full_writer_keeps_what_it_had(size in 0usize..16, bytes: Vec<u8>) {
        let mut buf = vec![0; size];
        let mut writer = Writer::new(&mut buf);
        let fits = varint_len(bytes.len() as u64) + bytes.len() <= size;
        prop_assert_eq!(writer.prefixed(&bytes).is_ok(), fits);
        prop_assert_eq!(writer.is_empty(), !fits);
    }
}
