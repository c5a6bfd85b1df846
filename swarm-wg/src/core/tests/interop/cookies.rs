//! Cookies asked of boringtun, and by it: for initiations and for responses alike.

use super::{Pair, SIDES, Setup, Side};
use crate::core::DropReason;
use crate::core::timers::RETRY;

/// The second MAC of a handshake message.
fn mac2(message: &[u8]) -> &[u8] {
    &message[message.len() - 16..]
}

fn assert_asked_once_and_then_proved(pair: &Pair, asked: Side, kind: u8) {
    assert_eq!(pair.sent(asked.other(), 3).len(), 1, "one cookie reply");
    let messages = pair.sent(asked, kind);
    assert_eq!(messages.len(), 2);
    assert_eq!(mac2(messages[0]), [0; 16]);
    assert_ne!(mac2(messages[1]), [0; 16], "the cookie was not used");
    assert_eq!(pair.drops(DropReason::BadCookie), 0);
}

#[test]
fn our_initiation_that_boringtun_asks_a_cookie_for_is_accepted_with_it() {
    let mut pair = Pair::new(Setup {
        theirs_under_load: true,
        ..Setup::default()
    });
    let packet = Side::Ours.packet(b"through the load");
    pair.send(Side::Ours, &packet);
    assert_eq!(pair.sent(Side::Theirs, 3).len(), 1);
    assert!(pair.received(Side::Theirs).is_empty());
    assert_eq!(pair.completed(), 0);
    pair.ours_waits();
    assert_asked_once_and_then_proved(&pair, Side::Ours, 1);
    assert_eq!(pair.received(Side::Theirs), [packet]);
    assert_eq!(pair.completed(), 1);
}

#[test]
fn our_response_that_boringtun_asks_a_cookie_for_is_accepted_with_it() {
    let mut pair = Pair::new(Setup {
        theirs_under_load: true,
        ..Setup::default()
    });
    let packet = Side::Theirs.packet(b"through the load");
    pair.send(Side::Theirs, &packet);
    assert_eq!(pair.sent(Side::Theirs, 3).len(), 1);
    assert_eq!(pair.drops(DropReason::UnknownIndex), 0);
    // It begins again, after a while.
    pair.now += RETRY;
    pair.theirs_initiates();
    assert_asked_once_and_then_proved(&pair, Side::Ours, 2);
    assert_eq!(pair.received(Side::Ours), [packet]);
    assert_eq!(pair.completed(), 1);
}

#[test]
fn an_initiation_of_boringtun_that_ours_asks_a_cookie_for_is_accepted_with_it() {
    let mut pair = Pair::new(Setup {
        ours_under_load: true,
        ..Setup::default()
    });
    let packet = Side::Theirs.packet(b"through the load");
    pair.send(Side::Theirs, &packet);
    assert_eq!(pair.drops(DropReason::CookieSent), 1);
    pair.now += RETRY;
    pair.theirs_initiates();
    assert_asked_once_and_then_proved(&pair, Side::Theirs, 1);
    assert_eq!(pair.received(Side::Ours), [packet]);
    assert_eq!(pair.completed(), 1);
}

#[test]
fn a_response_of_boringtun_that_ours_asks_a_cookie_for_is_accepted_with_it() {
    let mut pair = Pair::new(Setup {
        ours_under_load: true,
        ..Setup::default()
    });
    let packet = Side::Ours.packet(b"through the load");
    pair.send(Side::Ours, &packet);
    assert_eq!(pair.drops(DropReason::CookieSent), 1);
    assert_eq!(pair.completed(), 0);
    pair.ours_waits();
    assert_asked_once_and_then_proved(&pair, Side::Theirs, 2);
    assert_eq!(pair.received(Side::Theirs), [packet]);
    assert_eq!(pair.completed(), 1);
}

#[test]
fn with_both_under_load_a_session_is_made_whoever_begins() {
    for begins in SIDES {
        let mut pair = Pair::new(Setup {
            ours_under_load: true,
            theirs_under_load: true,
            ..Setup::default()
        });
        let packet = begins.packet(b"through the load");
        pair.send(begins, &packet);
        // One cookie for the initiation, and one for the response.
        for _ in 0..2 {
            match begins {
                Side::Ours => pair.ours_waits(),
                Side::Theirs => {
                    pair.now += RETRY;
                    pair.theirs_initiates();
                }
            }
        }
        assert_eq!(pair.received(begins.other()), [packet], "{begins:?}");
        assert_eq!(pair.completed(), 1);
        pair.assert_passes(begins.other());
    }
}
