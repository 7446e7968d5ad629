use prost::Message as _;

use super::*;
use crate::identity::wire::{self, statement::Kind};

fn show(
    network: &Network,
    revocations: &Revocations,
    membership: Option<&[u8]>,
) -> Result<PeerIdentity, IdentityError> {
    verify_peer(&certificate(&root(1)), membership, network, revocations, None)
}

#[test]
fn a_closed_network_lets_members_in_and_nobody_else() {
    let network = closed_network();
    let nothing_revoked = Revocations::new(4);
    let paper = membership(&network, root(1).node(), 3).certificate();
    let peer = show(&network, &nothing_revoked, Some(&paper)).unwrap();
    assert_eq!(peer.membership_serial, Some(3));
    assert_eq!(show(&network, &nothing_revoked, None), Err(IdentityError::MembershipMissing));
    let other = membership(&network, root(2).node(), 3).certificate();
    assert_eq!(show(&network, &nothing_revoked, Some(&other)), Err(IdentityError::WrongNode));
    let elsewhere = Genesis { salt: [1; 16], ..genesis(true) };
    let elsewhere = Network::closed(elsewhere.encode().unwrap(), 1, secret(50)).unwrap();
    let foreign = membership(&elsewhere, root(1).node(), 3).certificate();
    let outcome = show(&network, &nothing_revoked, Some(&foreign));
    assert_eq!(outcome, Err(IdentityError::BadSignature("authorities' statement")));
    assert!(show(&open_network(), &nothing_revoked, Some(b"not looked at")).is_ok());
}

/// A rotated node stays a member: membership is about its name.
#[test]
fn membership_survives_rotation() {
    let network = closed_network();
    let paper = membership(&network, root(1).node(), 3).certificate();
    let rotated = certificate(&root(1).rotate(&secret(2)).unwrap());
    assert!(verify_peer(&rotated, Some(&paper), &network, &Revocations::new(4), None).is_ok());
}

/// Three signatures of one key must not pass a threshold of three.
#[test]
fn a_threshold_counts_signers_not_signatures() {
    let network = closed_network();
    let one = endorse(Endorsement::membership(network.id(), root(1).node(), 1, Validity::ALWAYS), &[4]);
    let verify = |endorsed: &wire::Endorsed| {
        Membership::verify(&endorsed.encode_to_vec(), &network.id(), network.genesis())
    };
    let mut endorsed = wire::Endorsed::decode(one.certificate()).unwrap();
    assert_eq!(verify(&endorsed), Err(IdentityError::ThresholdNotMet { have: 1, need: 3 }));
    let signature = endorsed.signatures[0].clone();
    endorsed.signatures = vec![signature.clone(); 3];
    assert_eq!(verify(&endorsed), Err(IdentityError::Malformed("authorities must ascend, each once")));
    // The same signature under the places of others.
    for (place, signature) in endorsed.signatures.iter_mut().enumerate() {
        signature.authority = place as u32;
    }
    assert_eq!(verify(&endorsed), Err(IdentityError::BadSignature("authorities' statement")));
    endorsed.signatures = vec![wire::AuthoritySignature { authority: 5, ..signature }];
    assert_eq!(verify(&endorsed), Err(IdentityError::Malformed("no such authority")));
    // And a charter cannot list one key three times.
    let twice = Genesis { authorities: vec![authority(1).public(); 3], ..genesis(true) };
    assert_eq!(twice.encode(), Err(IdentityError::Malformed("an authority is listed twice")));
}

#[test]
fn any_three_of_five_suffice_and_two_do_not() {
    let network = closed_network();
    let with = |places: &[u8]| {
        let open = Endorsement::membership(network.id(), root(1).node(), 1, Validity::ALWAYS);
        Membership::verify(&endorse(open, places).certificate(), &network.id(), network.genesis())
    };
    for places in [&[0, 1, 2][..], &[4, 2, 0], &[0, 1, 2, 3, 4], &[3, 3, 1, 4]] {
        assert!(with(places).is_ok(), "{places:?}");
    }
    for (places, have) in [(&[][..], 0), (&[0, 4], 2), (&[2, 2, 2], 1)] {
        assert_eq!(with(places), Err(IdentityError::ThresholdNotMet { have, need: 3 }));
    }
}

#[test]
fn a_membership_with_a_flipped_bit_is_refused() {
    let network = closed_network();
    let good = membership(&network, root(1).node(), 3).certificate();
    for bit in 0..good.len() * 8 {
        assert!(
            Membership::verify(&flip(&good, bit), &network.id(), network.genesis()).is_err(),
            "bit {bit}"
        );
    }
}

#[test]
fn memberships_end() {
    let network = closed_network();
    let validity = Validity { not_before_s: 0, not_after_s: 2_000 };
    let paper =
        endorse(Endorsement::membership(network.id(), root(1).node(), 1, validity), &[0, 1, 2]).certificate();
    let verify =
        |wall| verify_peer(&certificate(&root(1)), Some(&paper), &network, &Revocations::new(4), wall);
    assert_eq!(verify(at(3_000, 0)), Err(IdentityError::Expired));
    assert_eq!(verify(at(1_000, 0)).unwrap().not_after_s, 2_000);
    assert!(!verify(None).unwrap().dates_checked);
}

#[test]
fn exclusion_ends_memberships_up_to_a_serial_for_good() {
    let mut home = Home::new(closed_network());
    let node = root(1).node();
    let exclude = |network: NetworkId, serial, places: &[u8]| {
        endorse(Endorsement::exclusion(network, node, serial), places).statement()
    };
    let id = home.network.id();
    let too_few = exclude(id, 3, &[0, 1]);
    assert_eq!(home.install(&too_few), Err(IdentityError::ThresholdNotMet { have: 2, need: 3 }));
    let exclusion = exclude(id, 3, &[0, 1, 2]);
    assert_eq!(home.install(&exclusion).unwrap().taken, Taken::Excluded(node));
    let old = membership(&home.network, node, 3).certificate();
    let new = membership(&home.network, node, 4).certificate();
    assert_eq!(show(&home.network, &home.revocations, Some(&old)), Err(IdentityError::Revoked));
    assert!(show(&home.network, &home.revocations, Some(&new)).is_ok(), "admitted again");
    assert_eq!(home.install(&exclude(id, 2, &[0, 1, 2])).unwrap().taken, Taken::Known, "never lowered");
    assert_eq!(show(&home.network, &home.revocations, Some(&old)), Err(IdentityError::Revoked));
    let wider = home.install(&exclude(id, u64::MAX, &[2, 3, 4])).unwrap();
    assert_eq!(wider.replaces, [statement_hash(&exclusion)]);
    assert_eq!(show(&home.network, &home.revocations, Some(&new)), Err(IdentityError::Revoked));
}

#[test]
fn our_own_membership_is_renewed_and_never_goes_back() {
    let mut home = Home::new(closed_network());
    let ours = |network: &Network, serial| membership(network, root(2).node(), serial).statement();
    let first = ours(&home.network, 3);
    assert_eq!(home.install(&first).unwrap().taken, Taken::Membership);
    assert_eq!(home.install(&first).unwrap().taken, Taken::Known);
    assert_eq!(home.install(&ours(&home.network, 2)), Err(IdentityError::Stale));
    let renewed = home.install(&ours(&home.network, 4)).unwrap();
    assert_eq!(renewed.replaces, [statement_hash(&first)]);
    let shown = home.local.membership().unwrap();
    let shown = Membership::verify(shown, &home.network.id(), home.network.genesis()).unwrap();
    assert_eq!(shown.serial, 4);
    let others = membership(&home.network, root(1).node(), 9).statement();
    assert_eq!(home.install(&others), Err(IdentityError::WrongNode));
    let local = LocalIdentity::new(device(10), certificate(&root(1))).unwrap();
    let wrong = membership(&home.network, root(2).node(), 1).certificate();
    assert_eq!(local.with_membership(wrong, &home.network).unwrap_err(), IdentityError::WrongNode);
}

/// A membership's signatures do not make an exclusion or a key: contexts are apart.
#[test]
fn one_kind_of_statement_cannot_pass_for_another() {
    let mut home = Home::new(closed_network());
    let endorsed =
        wire::Endorsed::decode(membership(&home.network, root(2).node(), 3).certificate()).unwrap();
    let kinds = [Kind::Exclusion(endorsed.clone()), Kind::NetworkKey(endorsed.clone())];
    for kind in kinds {
        let bytes = wire::Statement { kind: Some(kind) }.encode_to_vec();
        assert!(home.install(&bytes).is_err());
    }
    let bytes = wire::Statement { kind: Some(Kind::Membership(endorsed)) }.encode_to_vec();
    assert!(home.install(&bytes).is_ok());
}

/// A member of a network of 32 authorities, all of whom must sign, with so many rotations: its identity, and
/// what the authorities signed.
fn in_a_large_network(rotations: u8) -> (LocalIdentity, Network, Endorsement) {
    in_a_network_of(32, rotations)
}

fn in_a_network_of(signers: u8, rotations: u8) -> (LocalIdentity, Network, Endorsement) {
    let authorities: Vec<_> = (0..signers).map(|place| authority(place).public()).collect();
    let genesis = Genesis { authorities, threshold: u32::from(signers), ..genesis(true) };
    let network = Network::closed(genesis.encode().unwrap(), 1, secret(50)).unwrap();
    let root = (0..rotations).fold(root(2), |root, nth| root.rotate(&secret(70 + nth)).unwrap());
    let validity = Validity { not_before_s: 1_700_000_000, not_after_s: 1_900_000_000 };
    let places: Vec<u8> = (0..signers).collect();
    let paper = endorse(Endorsement::membership(network.id(), root.node(), 1, validity), &places);
    let local = LocalIdentity::new(device(20), certify(&root, &device(20), 1, validity)).unwrap();
    (local, network, paper)
}

/// Who had papers for which a handshake has no room was one whom nobody answered, and nothing told him why.
#[test]
fn papers_that_cannot_be_shown_are_refused_wherever_they_come_from() {
    let (local, network, paper) = in_a_large_network(9);
    assert!(local.clone().with_membership(paper.certificate(), &network).is_ok());
    let mut home = Home { local, network, revocations: Revocations::new(4) };
    assert_eq!(home.install(&paper.statement()).unwrap().taken, Taken::Membership);

    let (local, network, paper) = in_a_large_network(10);
    let error = local.clone().with_membership(paper.certificate(), &network).unwrap_err();
    let IdentityError::PapersTooLong { bytes, limit: 3_840 } = error else { panic!("{error:?}") };
    assert_eq!(bytes as usize, local.certificate_bytes().len() + paper.certificate().len());
    let mut home = Home { local, network, revocations: Revocations::new(4) };
    assert_eq!(home.install(&paper.statement()), Err(error));
    assert_eq!(home.local.membership(), None, "nothing has changed");
}

#[test]
fn a_certificate_with_every_rotation_can_be_shown() {
    let (local, network, paper) = in_a_network_of(18, 16);
    assert!(local.with_membership(paper.certificate(), &network).is_ok());
    let (local, network, paper) = in_a_network_of(19, 16);
    assert!(local.with_membership(paper.certificate(), &network).is_err());
}
