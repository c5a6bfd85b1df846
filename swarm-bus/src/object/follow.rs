//! Makes links and follows them.

use super::info::Described;
use super::link::{Astray, Link, LinkTarget, MAX_LINKS, Trail, check};
use super::store::ATTEMPTS;
use super::{ObjectError, ObjectInfo, ObjectName, ObjectStore};
use bytes::Bytes;
use std::time::SystemTime;

/// Where links lead.
enum End {
    Object(ObjectStore, ObjectInfo),
    Bucket(Link),
}

impl ObjectStore {
    /// Has a name stand for an object elsewhere or for a whole bucket, in place of a link that it was
    /// before. Whether there is what it points to is not looked at.
    ///
    /// # Errors
    /// [`ObjectError::Occupied`] when the name is an object's: delete that first.
    /// [`LinkLoop`](ObjectError::LinkLoop) when it would point to itself.
    pub async fn link(&self, name: &ObjectName, target: LinkTarget) -> Result<Link, ObjectError> {
        check(target.bucket())?;
        let own = LinkTarget::Object {
            bucket: self.bucket.clone(),
            name: name.clone(),
        };
        if target == own {
            return Err(ObjectError::LinkLoop { name: name.clone() });
        }
        let subject = name.subject(&self.bucket);
        let mut link = Link {
            name: name.clone(),
            description: String::new(),
            target,
            modified: SystemTime::UNIX_EPOCH,
        };
        let json = Bytes::from(link.to_json(&self.bucket, &self.random_id()));
        for _ in 0..ATTEMPTS {
            let before = self.reader.last_of_leader(&subject).await?;
            let revision = before.as_ref().map_or(0, |stored| stored.sequence);
            if let Some(Ok(Described::Object(_))) = before.map(|stored| self.describe(&stored)) {
                return Err(ObjectError::Occupied { name: name.clone() });
            }
            if self
                .write(&subject, json.clone(), revision)
                .await?
                .is_some()
            {
                if let Some(stored) = self.reader.last_of_leader(&subject).await? {
                    link.modified = stored.time;
                }
                return Ok(link);
            }
        }
        Err(ObjectError::Contended { name: name.clone() })
    }

    /// Finds the object that a name stands for, through up to eight links, and the bucket that it is
    /// in.
    ///
    /// # Errors
    /// [`ObjectError::LinkLoop`], [`TooManyLinks`](ObjectError::TooManyLinks);
    /// [`Link`](ObjectError::Link) when it is a bucket in the end;
    /// [`NotFound`](ObjectError::NotFound) with the name that was looked for in the end; otherwise
    /// as [`Client::object_store`](crate::client::Client::object_store) and [`info`](Self::info).
    pub async fn resolve(&self, name: &ObjectName) -> Result<(Self, ObjectInfo), ObjectError> {
        match self.follow(name).await? {
            End::Object(store, info) => Ok((store, info)),
            End::Bucket(link) => Err(ObjectError::Link {
                name: link.name,
                target: link.target,
            }),
        }
    }

    /// Opens the bucket that a name stands for, through up to eight links.
    ///
    /// # Errors
    /// [`ObjectError::NoLink`] when it is an object in the end; otherwise as
    /// [`resolve`](Self::resolve).
    pub async fn linked_store(&self, name: &ObjectName) -> Result<Self, ObjectError> {
        match self.follow(name).await? {
            End::Bucket(link) => self.open(link.target.bucket()).await,
            End::Object(_, info) => Err(ObjectError::NoLink { name: info.name }),
        }
    }

    async fn follow(&self, name: &ObjectName) -> Result<End, ObjectError> {
        let (mut store, mut at) = (self.clone(), name.clone());
        let mut trail = Trail::new(&self.bucket, name);
        loop {
            let link = match store.described(&at).await? {
                Described::Object(info) => return Ok(End::Object(store, info)),
                Described::Link(link) => link,
                Described::Deleted => return Err(ObjectError::NotFound { name: at }),
            };
            let LinkTarget::Object { bucket, name: next } = &link.target else {
                return Ok(End::Bucket(link));
            };
            trail.follow(bucket, next).map_err(|astray| match astray {
                Astray::Loop => ObjectError::LinkLoop { name: name.clone() },
                Astray::TooLong => ObjectError::TooManyLinks {
                    name: name.clone(),
                    max: MAX_LINKS,
                },
            })?;
            if *bucket != store.bucket {
                store = self.open(bucket).await?;
            }
            at = next.clone();
        }
    }

    async fn open(&self, bucket: &crate::Token) -> Result<Self, ObjectError> {
        self.reader.client.object_store(bucket).await
    }
}
