//! What a user may with a bucket.

use super::{Room, USERS, bucket, policy, room};
use crate::raw::any;
use crate::rig::Rig;
use bytes::Bytes;
use swarm_bus::Topic;
use swarm_bus::client::{PublishError, RequestError, SubscribeError};
use swarm_bus::kv::{BucketConfig, KvError};
use swarm_bus::stream::{Ensured, StreamError};

#[tokio::test]
async fn a_reader_cannot_write_others_keys_and_a_stranger_can_do_nothing() {
    let Some(rig) = Rig::start_with("kv::permissions", &USERS, &policy()) else {
        return;
    };
    let hub = rig.client("hub").await;
    let all = bucket(&hub, 1).await;
    all.put(&room("hub", "a"), &1).await.unwrap();

    let edge = rig.client("n1").await;
    let own = edge.bucket::<Room>().await.unwrap();
    assert_eq!(own.get(&room("hub", "a")).await.unwrap().unwrap().value, 1);
    own.put(&room("n1", "a"), &2).await.unwrap();
    own.create(&room("n1", "b"), &2).await.unwrap();
    own.delete(&room("n1", "b"), None).await.unwrap();
    let foreign = room("hub", "a");
    for refused in [
        own.put(&foreign, &3).await,
        own.create(&foreign, &3).await,
        own.update(&foreign, &3, 1).await,
        own.delete(&foreign, None).await,
        own.purge(&foreign, None).await,
    ] {
        let denied = matches!(refused, Err(KvError::Publish(PublishError::Denied { .. })));
        assert!(denied, "{refused:?}");
    }
    assert_eq!(all.get(&foreign).await.unwrap().unwrap().value, 1);
    // It defines no consumers and no streams.
    let refused = edge.ensure_bucket(&BucketConfig::new::<Room>()).await;
    assert!(
        refused.is_ok_and(|e| e == Ensured::Unchanged),
        "it may look"
    );
    for subject in [
        "$JS.API.CONSUMER.CREATE.KV_rooms",
        "$JS.API.CONSUMER.DURABLE.CREATE.KV_rooms.x",
        "$JS.API.STREAM.UPDATE.KV_rooms",
        "$JS.API.STREAM.PURGE.KV_rooms",
        "$JS.API.STREAM.MSG.DELETE.KV_rooms",
        "$JS.API.STREAM.DELETE.KV_rooms",
        "$JS.API.STREAM.INFO.KV_other",
        "$JS.API.DIRECT.GET.KV_other",
        "$JS.API.STREAM.NAMES",
    ] {
        let refused = edge.publish_flushed(&any(subject), &Bytes::new()).await;
        assert!(
            matches!(refused, Err(PublishError::Denied { .. })),
            "{subject}"
        );
    }

    let stranger = rig.client("stranger").await;
    let refused = stranger.bucket::<Room>().await;
    assert!(matches!(
        refused,
        Err(KvError::Stream(StreamError::Request(
            RequestError::Publish(PublishError::Denied { .. })
        )))
    ));
    let refused = stranger.publish_flushed(&foreign, &9).await;
    assert!(matches!(refused, Err(PublishError::Denied { .. })));
    let refused = stranger.subscribe(Room::any()).unwrap().barrier().await;
    assert!(matches!(refused, Err(SubscribeError::Denied { .. })));
    for subject in [
        "$JS.API.DIRECT.GET.KV_rooms",
        "$JS.API.DIRECT.GET.KV_rooms.$KV.rooms.hub.a",
        "$JS.API.STREAM.MSG.GET.KV_rooms",
    ] {
        let refused = stranger.publish_flushed(&any(subject), &Bytes::new()).await;
        assert!(
            matches!(refused, Err(PublishError::Denied { .. })),
            "{subject}"
        );
    }
}

#[tokio::test]
async fn without_purges_a_writer_of_one_key_cannot_remove_the_others() {
    let Some(rig) = Rig::start_with("kv::rollup", &USERS, &policy()) else {
        return;
    };
    let (hub, edge) = (rig.client("hub").await, rig.client("n1").await);
    for (allowed, left) in [(true, None), (false, Some(1))] {
        let mut config = BucketConfig::new::<Room>();
        config.allow_purge = allowed;
        hub.ensure_bucket(&config).await.unwrap();
        let bucket = hub.bucket::<Room>().await.unwrap();
        bucket.put(&room("hub", "a"), &1).await.unwrap();
        let own = room("n1", "a");
        let message = edge.message(&own, &7).unwrap();
        let stored = message.header("Nats-Rollup", "all").unwrap().store().await;
        assert_eq!(stored.is_ok(), allowed, "{stored:?}");
        let read = bucket.get(&room("hub", "a")).await.unwrap();
        assert_eq!(read.map(|read| read.value), left);
        let purged = bucket.purge(&room("hub", "a"), None).await;
        assert_eq!(purged.is_ok(), allowed, "{purged:?}");
    }
}
