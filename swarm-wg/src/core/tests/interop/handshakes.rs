//! Handshakes with boringtun, whoever begins.

use std::time::Duration;

use super::{Pair, REKEY, SIDES, Setup, Side};
use crate::core::DropReason;

#[test]
fn a_session_is_made_with_boringtun_whoever_begins_with_and_without_a_pre_shared_key() {
    for begins in SIDES {
        for preshared in [None, Some([9; 32])] {
            let mut pair = Pair::new(Setup {
                ours_preshared: preshared,
                theirs_preshared: preshared,
                ..Setup::default()
            });
            pair.assert_passes(begins);
            assert_eq!(pair.completed(), 1, "{begins:?} {preshared:?}");
            assert_eq!(pair.sent(begins, 1).len(), 1);
            assert_eq!(pair.sent(begins.other(), 1).len(), 0);
            assert_eq!(pair.sent(begins.other(), 2).len(), 1);
            assert_eq!(pair.ours.drops().total(), 0);
        }
    }
}

#[test]
fn a_pre_shared_key_that_boringtun_has_otherwise_keeps_it_out_whoever_begins() {
    for begins in SIDES {
        for theirs in [None, Some([8; 32])] {
            let mut pair = Pair::new(Setup {
                ours_preshared: Some([9; 32]),
                theirs_preshared: theirs,
                ..Setup::default()
            });
            pair.send(begins, &begins.packet(b"let me in"));
            assert_eq!(pair.completed(), 0, "{begins:?} {theirs:?}");
            assert!(pair.received(begins.other()).is_empty());
            // The response is what the key is mixed into: its receiver notices.
            let noticed = u64::from(begins == Side::Ours);
            assert_eq!(pair.drops(DropReason::BadHandshake), noticed);
        }
    }
}

#[test]
fn sessions_with_boringtun_follow_each_other_whoever_renews_them() {
    let mut pair = Pair::new(Setup::default());
    pair.assert_passes(Side::Ours);
    pair.completed();
    // More than the eight sessions that boringtun keeps.
    for round in 0..21 {
        pair.now += REKEY;
        match round % 3 {
            0 => {
                pair.theirs_initiates();
                pair.assert_passes(Side::Theirs);
            }
            // The responder does not renew a session, but lets it run out.
            1 => {
                pair.now += REKEY;
                pair.ours.handle_timeout(pair.now);
                pair.assert_passes(Side::Ours);
            }
            // The initiator renews it when it sends.
            _ => pair.assert_passes(Side::Ours),
        }
        assert_eq!(pair.completed(), 1, "{round}");
    }
    assert_eq!(pair.ours.drops().total(), 0);
}

#[test]
fn packets_that_waited_for_boringtun_are_sent_in_order() {
    for begins in SIDES {
        let mut pair = Pair::new(Setup::default());
        // The first message of the one that begins is lost.
        let mut expected = Vec::new();
        for n in 0..100u8 {
            let packet = begins.packet(&[n; 40]);
            match begins {
                Side::Ours => pair.ours.handle_inner(&packet, pair.now),
                Side::Theirs => {
                    pair.theirs.encapsulate(&packet, &mut [0; 148]);
                }
            }
            expected.push(packet);
        }
        match begins {
            Side::Ours => {
                let mut lost = crate::core::TransmitBatch::default();
                assert!(pair.ours.poll_transmit(&mut lost));
                assert_eq!(lost.len(), 1);
                pair.now += Duration::from_secs(6);
                pair.ours.handle_timeout(pair.now);
                pair.settle();
            }
            Side::Theirs => pair.theirs_initiates(),
        }
        assert_eq!(pair.received(begins.other()), expected, "{begins:?}");
    }
}
