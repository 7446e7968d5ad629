//! A device of the sender is replaced by another, which counts its durable messages from zero.

use super::*;

const SECOND: DeviceId = DeviceId([8; 32]);

/// What `from` has to say arrives, until something is not taken.
fn carry(from: &mut End, to: &mut End) {
    while let Some(packet) = from.packet(&clean(1_200)) {
        let fate = if to.receive(&packet.bytes) { Fate::Acked } else { Fate::Lost };
        from.fate(&packet, fate);
        if fate == Fate::Lost {
            return;
        }
    }
}

/// So much time passes that whatever has no receipt is asked after.
fn ask(end: &mut End) {
    let later = end.now + Duration::from_secs(61);
    end.wake(later);
}

fn sender(tags: core::ops::Range<u64>) -> End {
    let limits = Limits::SMALL;
    let (mut end, _) = pair(&limits, false);
    for tag in tags {
        end.push(tag, Delivery::Durable, Class::Normal, 40).unwrap();
    }
    end
}

fn tags(end: &End) -> Vec<u64> {
    end.delivered.iter().map(|(.., payload)| tag_of(payload)).collect()
}

/// Its numbers are not taken for those of the first one, before and after a restart of the receiver.
#[test]
fn messages_of_a_replacement_are_shown() {
    for (taken, crash) in [(0, false), (0, true), (5, false), (5, true)] {
        let mut b = End::new(Limits::SMALL, 2);
        carry(&mut sender(0..5), &mut b);
        assert_eq!(tags(&b), [0, 1, 2, 3, 4]);
        (0..taken).for_each(|seq| b.consume(seq));
        b.connected(SECOND);
        if crash {
            b.crash(0);
        }
        b.delivered.clear();
        let mut second = sender(10..15);
        carry(&mut second, &mut b);
        if taken == 0 {
            assert_eq!(tags(&b), [], "crash {crash}: their places on the disk are not free yet");
            (0..5).for_each(|seq| b.consume(seq));
            ask(&mut second);
            carry(&mut second, &mut b);
        }
        assert_eq!(tags(&b), [10, 11, 12, 13, 14], "taken {taken}, crash {crash}");
        // The receipts were lost, and all of it is sent again, also to a receiver that has crashed.
        for _ in 0..2 {
            second.peer_restarted();
            carry(&mut second, &mut b);
            assert_eq!(b.delivered.len(), 5, "taken {taken}, crash {crash}");
            let shown = |again: &bool| *again;
            b.crash(0);
            assert_eq!(b.delivered.split_off(5).iter().filter(|(_, _, again, _)| shown(again)).count(), 5);
        }
    }
}

/// What was on its way to the disk was nobody's yet: its own device has it still.
#[test]
fn what_is_not_on_the_disk_when_the_device_changes_is_dropped() {
    let mut b = End::new(Limits::SMALL, 2);
    b.quick_disk = false;
    carry(&mut sender(0..3), &mut b);
    assert_eq!(tags(&b), []);
    b.connected(SECOND);
    while b.confirm() {
        b.settle();
    }
    assert_eq!(tags(&b), []);
    b.crash(0);
    assert_eq!(tags(&b), []);
    b.quick_disk = true;
    carry(&mut sender(7..9), &mut b);
    assert_eq!(tags(&b), [7, 8]);
}
