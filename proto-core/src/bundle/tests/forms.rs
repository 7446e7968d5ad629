//! What bundles look like, and what is not believed.

use super::super::message::Answer;
use super::super::record::{BundleError, decode_runs, encode_runs};
use super::*;

fn alone() -> Side {
    Side::new(1, 1, limits())
}

fn take(bundle: &Bytes) -> Bytes {
    Message::Take { lifetime: LIFETIME, handovers: 3, bundle: bundle.clone() }.encode()
}

fn answers(side: &mut Side) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(action) = side.bundles.poll() {
        match action {
            Action::Send { payload, .. } => {
                if let Ok(Message::Taken { answer, .. }) = Message::decode(&payload) {
                    answers.push(answer);
                }
            }
            Action::Store { slot, .. } => side.handle(Instant::from_micros(1), |_| Input::Stored { slot }),
            _ => {}
        }
    }
    answers
}

fn ask(side: &mut Side, payload: Bytes) -> Vec<Answer> {
    let from = RouterId::of(identity(9).device());
    side.handle(Instant::from_micros(1), |world| Input::Message { from, payload, world });
    answers(side)
}

#[test]
fn a_bundle_reads_as_it_was_written_and_only_its_destination_opens_it() {
    let bundle = bundle_of(0, 2, 77, Class::High, b"the text");
    let read = Bundle::decode(bundle.bytes.clone()).unwrap();
    assert_eq!(read, bundle);
    let (network, verifier) = (network().id(), Verifier::default());
    let (source, reader) = (identity(0), identity(2));
    assert!(read.is_signed_by(&verifier, &source.certificate().sign_key, network));
    assert!(!read.is_signed_by(&verifier, &reader.certificate().sign_key, network));
    assert_eq!(read.open(&reader.secrets().dh, network).unwrap(), b"the text");
    assert!(read.open(&identity(1).secrets().dh, network).is_err());
    let overhead = bundle.bytes.len() - b"the text".len();
    assert_eq!(overhead, 324, "bytes beside the text, as the specification says");
}

/// Whatever is changed, the signature or the seal does not hold; nothing panics.
#[test]
fn no_byte_can_be_changed() {
    let bundle = bundle_of(0, 2, 1, Class::High, b"text");
    let network = network().id();
    let (key, reader) = (identity(0).certificate().sign_key, identity(2));
    for at in 0..bundle.bytes.len() {
        let mut bytes = bundle.bytes.to_vec();
        bytes[at] ^= 1;
        let Ok(read) = Bundle::decode(Bytes::from(bytes)) else { continue };
        let is_signed = read.is_signed_by(&Verifier::default(), &key, network);
        let opens = read.open(&reader.secrets().dh, network).is_ok();
        let papers = (&read.certificate, &read.membership) != (&bundle.certificate, &bundle.membership);
        assert!(!is_signed || papers || (read.head == bundle.head && opens), "byte {at}");
    }
    // The papers come last: without them it cannot be checked.
    let papers = bundle.certificate.len() + 3;
    for len in 0..bundle.bytes.len() {
        let read = Bundle::decode(bundle.bytes.slice(..len));
        assert!(read.is_err() || len >= bundle.bytes.len() - papers, "{len}");
    }
}

/// Somebody puts his own name under a text that another sealed: it does not open.
#[test]
fn a_sealed_text_belongs_to_its_source() {
    use prost::Message as _;

    use super::super::wire;
    let stolen = bundle_of(0, 2, 1, Class::High, b"text");
    let signed = wire::Signed::decode(stolen.bytes.clone()).unwrap();
    let mut body = wire::Body::decode(signed.body).unwrap();
    let thief = identity(3);
    body.from = Bytes::copy_from_slice(&RouterId::of(thief.device()).0);
    let body = Bytes::from(body.encode_to_vec());
    let network = network().id();
    let signature =
        thief.secrets().sign.sign(&crate::identity::signed_bytes("thallus bundle v1", &network.0, &body));
    let signed = wire::Signed {
        body,
        signature: Bytes::copy_from_slice(&signature),
        certificate: thief.certificate_bytes().clone(),
        membership: Bytes::new(),
    };
    let bundle = Bundle::decode(Bytes::from(signed.encode_to_vec())).unwrap();
    assert!(bundle.is_signed_by(&Verifier::default(), &thief.certificate().sign_key, network));
    assert!(bundle.open(&identity(2).secrets().dh, network).is_err());
}

#[test]
fn each_kind_of_bad_bundle_is_told_apart() {
    use prost::Message as _;

    use super::super::wire;
    let good = wire::Signed::decode(bundle_of(0, 2, 1, Class::High, b"").bytes).unwrap();
    let body = wire::Body::decode(good.body.clone()).unwrap();
    let read = |change: &dyn Fn(&mut wire::Body)| {
        let mut body = body.clone();
        change(&mut body);
        let signed = wire::Signed { body: Bytes::from(body.encode_to_vec()), ..good.clone() };
        Bundle::decode(Bytes::from(signed.encode_to_vec())).map(|_| ())
    };
    let malformed = |why| Err(BundleError::Malformed(why));
    assert_eq!(read(&|_| {}), Ok(()));
    assert_eq!(read(&|body| body.version = 0), malformed("no version"));
    assert_eq!(read(&|body| body.version = 2), Err(BundleError::NewerVersion));
    assert_eq!(read(&|body| body.kind = 2), malformed("kind"));
    assert_eq!(read(&|body| body.class = 5), malformed("class"));
    assert_eq!(read(&|body| body.number = 1 << 62), malformed("number out of range"));
    assert_eq!(read(&|body| body.to = Bytes::from_static(b"short")), malformed("router is not 8 bytes"));
    assert_eq!(read(&|body| body.sealed = body.sealed.slice(..47)), malformed("sealed text is too short"));
}

#[test]
fn runs_are_read_as_they_were_written_and_bad_ones_are_refused() {
    let runs = [(0, 0), (2, 70), (100, 1 << 40)];
    assert_eq!(decode_runs(&encode_runs(&runs)).unwrap(), runs);
    assert_eq!(decode_runs(b"").unwrap(), []);
    assert_eq!(decode_runs(&encode_runs(&[(5, 4)])), None);
    assert_eq!(decode_runs(&encode_runs(&[(5, 6), (6, 7)])), None);
    assert_eq!(decode_runs(&[1]), None);
    let many: Vec<(u64, u64)> = (0..70).map(|n| (2 * n, 2 * n)).collect();
    assert_eq!(decode_runs(&encode_runs(&many)).unwrap().len(), 64);
}

/// Nobody is believed who is not a member, or has not signed it; and it is not kept.
#[test]
fn a_forged_bundle_is_refused() {
    let mut side = alone();
    let bundle = bundle_of(0, 2, 1, Class::High, b"text");
    let mut forged = bundle.bytes.to_vec();
    let at = forged.windows(64).position(|w| w == forged_signature(&bundle)).unwrap();
    forged[at] ^= 1;
    assert_eq!(ask(&mut side, take(&Bytes::from(forged))), [Answer::Refused]);
    assert_eq!(side.bundles.kept(), (0, 0));
    assert_eq!(ask(&mut side, take(&bundle.bytes)), [Answer::Stored]);
    assert_eq!(ask(&mut side, take(&bundle.bytes)), [Answer::Stored], "asked again, it is the same one");
    assert_eq!(side.bundles.kept().0, 1);
}

fn forged_signature(bundle: &Bundle) -> Vec<u8> {
    use prost::Message as _;

    super::super::wire::Signed::decode(bundle.bytes.clone()).unwrap().signature.to_vec()
}

/// A source whose device was revoked is not believed any more, however it is known.
#[test]
fn a_revoked_source_is_refused() {
    use crate::identity::cast::revocation;
    use crate::identity::install;
    let mut side = alone();
    let statement = revocation(0, 2);
    let Known { network, revocations, verifier, .. } = &mut side.known;
    install(&mut identity(1), network, revocations, verifier, &statement).unwrap();
    let bundle = bundle_of(0, 2, 1, Class::High, b"text");
    assert_eq!(ask(&mut side, take(&bundle.bytes)), [Answer::Refused]);
}

/// A custodian cannot take what is for us as its own answer: only who was given something is heard about it.
#[test]
fn only_who_was_asked_may_answer() {
    let mut world = World::new(4, &limits());
    world.relays.insert(2, std::vec![1]);
    world.sleeps(2, true);
    world.lose = Some(|message| matches!(message, Message::Taken { .. }));
    world.write(0, 2, 1, Class::Normal, b"x");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.kept(0), 1);
    let id = world.sides[0].bundles.shelf.ids().next().unwrap();
    let payload = Message::Taken { id, answer: Answer::Stored }.encode();
    let (now, stranger, asked) = (world.now, world.sides[3].router(), world.sides[1].router());
    world.sides[0].handle(now, |world| Input::Message { from: stranger, payload: payload.clone(), world });
    assert_eq!((world.kept(0), world.sides[0].entrusted.len()), (1, 0));
    world.sides[0].handle(now, |world| Input::Message { from: asked, payload, world });
    world.run();
    assert_eq!((world.kept(0), world.sides[0].entrusted.len()), (0, 1));
}

/// A receipt is believed of its source only, for messages to that source.
#[test]
fn an_older_receipt_gives_way_to_a_later_one() {
    let mut side = alone();
    let receipt = |number| {
        let (source, to) = (identity(0), identity(2));
        let head = Head {
            from: RouterId::of(source.device()),
            to: RouterId::of(to.device()),
            kind: Kind::Receipt,
            number,
            class: Class::High,
        };
        let rng = &mut Rng::fork(&[number as u8; 32], "test");
        Bundle::seal(rng, &source, network().id(), (head, &to.certificate().dh_key), b"").unwrap().bytes
    };
    assert_eq!(ask(&mut side, take(&receipt(5))), [Answer::Stored]);
    assert_eq!(ask(&mut side, take(&receipt(6))), [Answer::Stored]);
    assert_eq!(side.bundles.kept().0, 1);
    assert_eq!(ask(&mut side, take(&receipt(4))), [Answer::Refused]);
}

#[test]
fn nonsense_is_counted() {
    let mut side = alone();
    for payload in [&b""[..], &[0x10], &[0x10, 1, 3], &[0x11; 10], &[0x12]] {
        let before = side.drops.get(crate::drops::Drop::Malformed);
        assert_eq!(ask(&mut side, Bytes::copy_from_slice(payload)), []);
        assert_eq!(side.drops.get(crate::drops::Drop::Malformed), before + 1, "{payload:?}");
    }
}
