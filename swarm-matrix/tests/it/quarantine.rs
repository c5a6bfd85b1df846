//! Accounts cut off, let back in, and identities lost.

use std::time::Duration;

use serde_json::json;
use swarm_matrix::{
    Admin, Error, Identity, IdentityPermit, Localpart, NodeState, NodeStatus, RoomSpec, ServerName,
    Session, SessionState, SharedSecret,
};

use crate::swarm::{Bare, config, next, now_ms, session, soon, state, user};
use crate::synapse::{SERVER_NAME, SHARED_SECRET, Synapse, shared};

async fn admin(synapse: &Synapse) -> Admin {
    let server = ServerName::parse(SERVER_NAME).unwrap();
    let name = Localpart::parse("swarm-admin").unwrap();
    let secret = SharedSecret::new(SHARED_SECRET);
    soon(
        "admin",
        Admin::connect(synapse.endpoint(), server, name, secret),
    )
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_cut_off_is_out_at_once_and_can_come_back() {
    let Some(synapse) = shared("an_account_cut_off_is_out_at_once_and_can_come_back") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let captain = session(synapse, "captain", &dir.path().join("captain")).await;
    let rogue = session(synapse, "rogue", &dir.path().join("rogue")).await;
    let room = soon("room", captain.ensure_room(&RoomSpec::new("deck")))
        .await
        .unwrap();
    soon("join", rogue.join_room("deck", &user("captain")))
        .await
        .unwrap();
    rogue
        .publish_state(&room, &NodeState::new(NodeStatus::Up, now_ms()))
        .await
        .unwrap();
    let admin = admin(synapse).await;
    assert_eq!(admin.whoami().await.unwrap(), user("swarm-admin"));
    admin.set_ratelimit(&user("captain"), 0, 0).await.unwrap();

    let began = tokio::time::Instant::now();
    assert_eq!(admin.cut_off(&user("rogue")).await.unwrap().devices, 1);
    let lock_took = began.elapsed();
    state(&rogue, "revoked", |state| {
        matches!(state, SessionState::Revoked { .. })
    })
    .await;
    let took = began.elapsed();
    // sooner than the next poll, which is after half a minute
    assert!(took < Duration::from_secs(15), "{took:?}");
    println!("cut off in {lock_took:?}, the session knew after {took:?}");
    let refused = rogue.send_text(&room, "still here").await.unwrap_err();
    assert!(matches!(refused, Error::Revoked(_)), "{refused}");
    assert_eq!(admin.is_cut_off(&user("rogue")).await.unwrap(), Some(true));
    assert_eq!(admin.cut_off(&user("rogue")).await.unwrap().devices, 0);
    let refused = Session::login(config(synapse, "rogue", &dir.path().join("other"))).await;
    assert!(matches!(refused.err().unwrap(), Error::Revoked(_)));
    rogue.close().await;

    // The hub's ban shows on what the node last said.
    captain
        .ban(&room, &user("rogue"), "certificate revoked")
        .await
        .unwrap();
    let mut watch = captain.watch_states::<NodeState>(&room).unwrap();
    soon(
        "ban",
        watch.wait_for(|all| all.entries[&user("rogue")].status() == NodeStatus::Revoked),
    )
    .await
    .unwrap();

    // Back in: a new device under the same identity, which others give keys.
    admin.restore(&user("rogue")).await.unwrap();
    captain.unban(&room, &user("rogue")).await.unwrap();
    let rogue = session(synapse, "rogue", &dir.path().join("rogue")).await;
    assert_eq!(*rogue.identity().borrow(), Identity::CrossSigned);
    soon("join", rogue.join_room("deck", &user("captain")))
        .await
        .unwrap();
    let mut messages = rogue.messages(&room).unwrap();
    soon("seen joined", async {
        while captain.membership(&room, &user("rogue")).unwrap() != swarm_matrix::Membership::Joined
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    captain.send_text(&room, "welcome back").await.unwrap();
    assert_eq!(next(&mut messages).await.text(), Some("welcome back"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_never_was_can_be_cut_off_and_the_administrator_cannot() {
    let test = "an_account_that_never_was_can_be_cut_off_and_the_administrator_cannot";
    let Some(synapse) = shared(test) else { return };
    let admin = admin(synapse).await;
    assert_eq!(admin.is_cut_off(&user("unborn")).await.unwrap(), None);
    assert!(admin.restore(&user("unborn")).await.is_err());
    let failed = admin.cut_off_all([&user("unborn")]).await;
    assert!(failed.is_empty(), "{failed:?}");
    let dir = tempfile::tempdir().unwrap();
    let refused = Session::login(config(synapse, "unborn", dir.path()))
        .await
        .err()
        .unwrap();
    assert!(matches!(refused, Error::Revoked(_)), "{refused}");
    assert!(admin.cut_off(&user("swarm-admin")).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_store_is_a_lost_identity_until_an_administrator_permits_a_new_one() {
    let test = "a_lost_store_is_a_lost_identity_until_an_administrator_permits_a_new_one";
    let Some(synapse) = shared(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let friend = session(synapse, "friend", &dir.path().join("friend")).await;
    let room = soon("room", friend.ensure_room(&RoomSpec::new("attic")))
        .await
        .unwrap();
    session(synapse, "forgetful", &dir.path().join("first"))
        .await
        .close()
        .await;

    let forgetful = session(synapse, "forgetful", &dir.path().join("second")).await;
    assert_eq!(*forgetful.identity().borrow(), Identity::Lost);
    let admin = admin(synapse).await;
    let permit = admin.permit_new_identity(&user("forgetful")).await.unwrap();
    let forged = IdentityPermit::new("guess");
    assert!(
        soon("forged", forgetful.renew_identity(&forged))
            .await
            .is_err()
    );
    assert_eq!(*forgetful.identity().borrow(), Identity::Lost);
    let renewed = soon("renew", forgetful.renew_identity(&permit))
        .await
        .unwrap();
    assert_eq!(renewed, Identity::CrossSigned);
    // A permit that is taken back is worth nothing.
    let login = json!({
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "forgetful"},
        "password": permit.expose(),
    });
    let bare = Bare::new(synapse);
    assert_eq!(bare.call("POST", "login", Some(login.clone())).await.0, 200);
    admin.withdraw(&user("forgetful")).await.unwrap();
    assert_eq!(bare.call("POST", "login", Some(login)).await.0, 403);

    soon("join", forgetful.join_room("attic", &user("friend")))
        .await
        .unwrap();
    let mut messages = forgetful.messages(&room).unwrap();
    soon("seen joined", async {
        while friend.membership(&room, &user("forgetful")).unwrap()
            != swarm_matrix::Membership::Joined
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    friend.send_text(&room, "remember").await.unwrap();
    assert_eq!(next(&mut messages).await.text(), Some("remember"));
}
