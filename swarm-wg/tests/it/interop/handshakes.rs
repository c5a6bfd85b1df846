//! Sessions made, and refused.

use std::time::Duration;

use swarm_wg::{Event, PresharedKey};

use super::{Begins, Terms, assert_understood, at, with_each};
use crate::foreign::{Foreign, Known, Program};
use crate::lab::{Family, Lab, Side};
use crate::programs::until;

#[test]
fn sessions_are_made_whoever_begins_with_and_without_a_pre_shared_key_over_both_families() {
    let test =
        "sessions_are_made_whoever_begins_with_and_without_a_pre_shared_key_over_both_families";
    for begins in [Begins::Ours, Begins::Theirs] {
        for outer in [Family::V4, Family::V6] {
            for preshared in [None, Some(PresharedKey::generate().unwrap())] {
                let terms = Terms {
                    outer,
                    preshared,
                    ..Terms::new(begins)
                };
                with_each(test, |lab, program| assert_meets(&terms, lab, program));
            }
        }
    }
}

fn assert_meets(terms: &Terms, lab: &Lab, program: Program) {
    let (ours, theirs) = terms.meet(lab, program);
    let (begins, outer) = (terms.begins, terms.outer);
    let (first, second) = (begins.side(), begins.side().other());
    let what = format!("{program:?}, {begins:?} begins, {outer:?}");
    // Whoever pings first begins; the other one could not.
    assert!(lab.ping(first, second.inner()), "{what}");
    lab.assert_pings();
    let stats = ours.peer(&theirs.key).unwrap();
    assert_eq!(stats.endpoint, Some(theirs.at(outer)), "{what}");
    assert_eq!(theirs.endpoint(), Some(at(&ours, outer)), "{what}");
    assert_understood(&ours, program);
}

#[test]
fn a_wrong_pre_shared_key_keeps_others_out_whoever_begins_until_it_is_the_right_one() {
    let test = "a_wrong_pre_shared_key_keeps_others_out_whoever_begins_until_it_is_the_right_one";
    for begins in [Begins::Ours, Begins::Theirs] {
        with_each(test, |lab, program| assert_kept_out(begins, lab, program));
    }
}

fn assert_kept_out(begins: Begins, lab: &Lab, program: Program) {
    let [wrong, right] = [1, 2].map(|byte| PresharedKey::from_bytes([byte; 32]));
    let ours = lab.start(Side::A, lab.config(Side::A));
    let theirs = Foreign::start(lab, program);
    let mut peer = theirs.as_peer();
    peer.preshared_key = Some(wrong);
    let mut known = Known {
        preshared: Some(&right),
        ..Known::default()
    };
    match begins {
        Begins::Ours => peer.endpoint = Some(theirs.at(Family::V4)),
        Begins::Theirs => known.endpoint = Some(at(&ours, Family::V4)),
    }
    let events = ours.events();
    ours.add_peer(peer.clone()).unwrap();
    theirs.know(&ours, &known);
    let (first, second) = (begins.side(), begins.side().other());
    let what = format!("{program:?}, {begins:?} begins");
    assert!(!ping_in_vain(lab, first), "{what}");
    let completed = Event::HandshakeCompleted { peer: theirs.key };
    assert!(std::iter::from_fn(|| events.try_recv()).all(|event| event != completed));

    peer.preshared_key = Some(right.clone());
    ours.update_peer(peer).unwrap();
    let inside = until(Duration::from_secs(15), || lab.ping(first, second.inner()));
    assert!(inside, "{what}");
    assert!(std::iter::from_fn(|| events.try_recv()).any(|event| event == completed));
}

/// A ping that is not expected to be answered.
fn ping_in_vain(lab: &Lab, from: Side) -> bool {
    let to = from.other().inner().to_string();
    let ping = lab.exec(from, "ping", &["-c", "1", "-W", "1", "-n", &to]);
    ping.status.success()
}
