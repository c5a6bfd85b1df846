//! Keepalives and nothing else.

use std::time::Duration;

use super::{Begins, Terms, assert_understood, at, with_each};
use crate::lab::{Family, Side};
use crate::programs::until;

#[test]
fn keepalives_alone_make_a_session_and_tell_the_others_where_we_are() {
    let test = "keepalives_alone_make_a_session_and_tell_the_others_where_we_are";
    with_each(test, |lab, program| {
        let terms = Terms {
            keepalive: Some(1),
            ..Terms::new(Begins::Ours)
        };
        let (ours, theirs) = terms.meet(lab, program);
        let known = until(Duration::from_secs(10), || {
            theirs.endpoint() == Some(at(&ours, Family::V4))
        });
        assert!(known, "{program:?} has us at {:?}", theirs.endpoint());
        let (sent, received) = (
            || ours.peer(&theirs.key).unwrap().tx_bytes,
            || theirs.received(),
        );
        let before = (sent(), received());
        let grown = until(Duration::from_secs(6), || {
            sent() >= before.0 + 3 * 32
                && (!program.counts_keepalives() || received() >= before.1 + 3 * 32)
        });
        assert!(grown, "{program:?}: {before:?}, {}, {}", sent(), received());
        assert_eq!(lab.delivered(Side::B), 0, "{program:?}");
        assert_understood(&ours, program);
    });
}

#[test]
fn keepalives_of_others_make_a_session_and_tell_us_where_they_are() {
    let test = "keepalives_of_others_make_a_session_and_tell_us_where_they_are";
    with_each(test, |lab, program| {
        let terms = Terms {
            keepalive: Some(1),
            ..Terms::new(Begins::Theirs)
        };
        let (ours, theirs) = terms.meet(lab, program);
        let stats = || ours.peer(&theirs.key).unwrap();
        let known = until(Duration::from_secs(10), || {
            let stats = stats();
            stats.session && stats.endpoint == Some(theirs.at(Family::V4))
        });
        assert!(known, "{program:?}: {:?}", stats());
        let before = stats().rx_bytes;
        let grown = until(Duration::from_secs(6), || {
            stats().rx_bytes >= before + 3 * 32
        });
        assert!(grown, "{program:?}: {before}, {:?}", stats());
        assert_eq!(lab.delivered(Side::A), 0, "{program:?}");
        assert_understood(&ours, program);
    });
}
