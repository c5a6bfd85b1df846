//! A bucket of objects.

use super::config::stream_name;
use super::info::{Described, deleted_json};
use super::name::descriptions;
use super::{
    Download, Link, ObjectError, ObjectInfo, ObjectName, ObjectStoreConfig, ParseInfoError, Upload,
    UploadId,
};
use crate::client::{Client, PublishError};
use crate::stream::{Cursor, Ensured, Reader, Stored, WRONG_SEQUENCE};
use crate::{Headers, Subject, Token};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use std::fmt;
use tokio::io::{AsyncRead, AsyncWrite};

/// The header of the revision that a description must be at for a new one to be taken.
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
/// The header that asks a stream to drop what stood under a subject before.
const ROLLUP: &str = "Nats-Rollup";
/// How many objects are held at a time.
pub(super) const MAX_OBJECTS: usize = 1 << 20;
/// How often a description is written anew where others write it at the same time.
pub(super) const ATTEMPTS: usize = 16;

/// A bucket of objects. Clones are alike.
#[derive(Clone)]
pub struct ObjectStore {
    pub(super) reader: Reader,
    pub(super) bucket: Token,
}

/// What a list of objects holds.
#[derive(Debug)]
#[non_exhaustive]
pub enum Listed {
    /// An object.
    Object(ObjectInfo),
    /// A link to an object elsewhere, or to a bucket.
    Link(Link),
    /// A description that cannot be read.
    Unreadable {
        /// The subject that it stands under.
        subject: String,
        /// Why.
        error: ParseInfoError,
    },
}

impl Client {
    /// Makes an object store what it shall be. Needs the right to make streams
    /// ([`with_stream_keeper`](crate::permissions::Policy::with_stream_keeper)).
    ///
    /// # Errors
    /// [`ObjectError::Stream`], as [`ensure_stream`](Self::ensure_stream).
    pub async fn ensure_object_store(
        &self,
        config: &ObjectStoreConfig,
    ) -> Result<Ensured, ObjectError> {
        Ok(self.ensure_stream(&config.stream()).await?)
    }

    /// Opens an object store that exists.
    ///
    /// # Errors
    /// [`ObjectError::Stream`]; with [`NoStream`](crate::stream::StreamError::NoStream) when there is
    /// no such bucket.
    pub async fn object_store(&self, bucket: &Token) -> Result<ObjectStore, ObjectError> {
        let (reader, _) = Reader::open(self, stream_name(bucket)?).await?;
        Ok(ObjectStore {
            reader,
            bucket: bucket.clone(),
        })
    }
}

impl ObjectStore {
    /// Returns the name of the bucket.
    #[must_use]
    pub fn name(&self) -> &Token {
        &self.bucket
    }

    /// Says what there is under a name. A link is not followed; [`resolve`](Self::resolve) does.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`], [`Link`](ObjectError::Link) with what it points to,
    /// [`Description`](ObjectError::Description) when it cannot be read.
    pub async fn info(&self, name: &ObjectName) -> Result<ObjectInfo, ObjectError> {
        match self.described(name).await? {
            Described::Object(info) => Ok(info),
            Described::Deleted => Err(ObjectError::NotFound { name: name.clone() }),
            Described::Link(Link { name, target, .. }) => Err(ObjectError::Link { name, target }),
        }
    }

    /// Reads what stands under a name.
    pub(super) async fn described(&self, name: &ObjectName) -> Result<Described, ObjectError> {
        let subject = name.subject(&self.bucket);
        let Some(stored) = self.reader.last_of_leader(&subject).await? else {
            return Err(ObjectError::NotFound { name: name.clone() });
        };
        self.describe(&stored)
            .map_err(|source| ObjectError::Description {
                name: name.clone(),
                source,
            })
    }

    /// Lists what there is, in the order in which it was stored; what was deleted is left out.
    ///
    /// # Errors
    /// [`ObjectError`]; [`TooMany`](ObjectError::TooMany) beyond a million.
    pub async fn list(&self) -> Result<Vec<Listed>, ObjectError> {
        let mut cursor = Cursor::new(self.reader.clone(), descriptions(&self.bucket), 0);
        let mut list = Vec::new();
        while let Some(stored) = cursor.next().await? {
            if list.len() == MAX_OBJECTS {
                return Err(ObjectError::TooMany { max: MAX_OBJECTS });
            }
            list.push(match self.describe(&stored) {
                Ok(Described::Object(info)) => Listed::Object(info),
                Ok(Described::Deleted) => continue,
                Ok(Described::Link(link)) => Listed::Link(link),
                Err(error) => Listed::Unreadable {
                    subject: stored.subject,
                    error,
                },
            });
        }
        Ok(list)
    }

    /// Stores an object, in place of what the name stands for.
    ///
    /// What it cannot finish it removes; for an upload that can be resumed see
    /// [`upload`](Self::upload).
    ///
    /// # Errors
    /// [`ObjectError`]. After [`LeftOver`](ObjectError::LeftOver) the object is stored.
    pub async fn put(
        &self,
        name: &ObjectName,
        source: impl AsyncRead + Unpin,
    ) -> Result<ObjectInfo, ObjectError> {
        let mut upload = self.upload(name);
        let id = upload.id().clone();
        let result = upload.send(source).await;
        if result.is_err() && !upload.may_be_described() {
            // The first error is the one that matters; what stays is swept sooner or later.
            let _ = self.abandon(&id).await;
        }
        result
    }

    /// Reads an object, also through [links](Self::resolve).
    ///
    /// # Errors
    /// [`ObjectError`]. What was written is the object only when there is none.
    pub async fn get(
        &self,
        name: &ObjectName,
        sink: impl AsyncWrite + Unpin,
    ) -> Result<ObjectInfo, ObjectError> {
        self.download(name).receive(sink).await
    }

    /// Prepares an upload.
    pub fn upload(&self, name: &ObjectName) -> Upload<'_> {
        Upload::new(self, name.clone(), self.random_id(), false)
    }

    pub(super) fn random_id(&self) -> UploadId {
        let token = self.reader.client.random_token();
        token.parse().expect("hexadecimal digits are an id")
    }

    /// Prepares to go on with an upload that was interrupted, here or in another process. What is
    /// uploaded then must begin with what was uploaded before; it is held against it.
    pub fn resume_upload(&self, name: &ObjectName, id: UploadId) -> Upload<'_> {
        Upload::new(self, name.clone(), id, true)
    }

    /// Removes what an upload has stored that is not to be resumed.
    ///
    /// # Errors
    /// [`ObjectError::Stream`].
    pub async fn abandon(&self, id: &UploadId) -> Result<(), ObjectError> {
        self.purge(&id.subject(&self.bucket)).await
    }

    /// Prepares a download, also through [links](Self::resolve).
    pub fn download(&self, name: &ObjectName) -> Download<'_> {
        Download::new(self, name.clone())
    }

    /// Deletes an object, or a link and not what it points to; says whether there was one.
    ///
    /// # Errors
    /// [`ObjectError`]. After [`LeftOver`](ObjectError::LeftOver) it is deleted.
    pub async fn delete(&self, name: &ObjectName) -> Result<bool, ObjectError> {
        let subject = name.subject(&self.bucket);
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.reader.last_of_leader(&subject).await? else {
                return Ok(false);
            };
            let upload = match self.describe(&stored) {
                Ok(Described::Object(info)) => Some(info.upload),
                Ok(Described::Link(_)) => None,
                Ok(Described::Deleted) => return Ok(false),
                Err(_) => {
                    // Nothing but the description stands for it.
                    self.purge(&subject).await?;
                    return Ok(true);
                }
            };
            let id = upload.clone().unwrap_or_else(|| self.random_id());
            let json = deleted_json(name, &self.bucket, &id);
            if self
                .write(&subject, json.into(), stored.sequence)
                .await?
                .is_some()
            {
                if let Some(upload) = upload {
                    self.leave(&upload).await?;
                }
                return Ok(true);
            }
        }
        Err(ObjectError::Contended { name: name.clone() })
    }

    /// Writes the description of an object whose chunks are there, and removes the chunks of what
    /// the name stood for before, of which it takes note in `former`: where it is called again, the
    /// name may stand for the new object already.
    pub(super) async fn describe_as(
        &self,
        mut info: ObjectInfo,
        chunk_size: usize,
        former: &mut Vec<UploadId>,
    ) -> Result<ObjectInfo, ObjectError> {
        let subject = info.name.subject(&self.bucket);
        let json = Bytes::from(info.to_json(&self.bucket, chunk_size));
        for _ in 0..ATTEMPTS {
            let before = self.reader.last_of_leader(&subject).await?;
            let revision = before.as_ref().map_or(0, |stored| stored.sequence);
            match before.map(|stored| self.describe(&stored)) {
                Some(Ok(Described::Object(before))) if before.upload != info.upload => {
                    former.push(before.upload);
                }
                _ => {}
            }
            if self
                .write(&subject, json.clone(), revision)
                .await?
                .is_none()
            {
                continue;
            }
            if let Some(stored) = self.reader.last_of_leader(&subject).await? {
                info.modified = stored.time;
            }
            for upload in former.iter() {
                self.leave(upload).await?;
            }
            return Ok(info);
        }
        Err(ObjectError::Contended { name: info.name })
    }

    /// Writes a description in place of a revision; `None` where it is at another one.
    pub(super) async fn write(
        &self,
        subject: &Subject,
        json: Bytes,
        revision: u64,
    ) -> Result<Option<u64>, ObjectError> {
        let mut headers = Headers::new();
        headers.set(ROLLUP, "sub")?;
        headers.set(EXPECTED, &revision.to_string())?;
        let message = self.reader.client.bytes(subject.clone(), headers, json);
        match message.store_bytes().await {
            Ok(stored) => Ok(Some(stored.sequence)),
            Err(PublishError::Refused { code, .. }) if WRONG_SEQUENCE.contains(&code) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn leave(&self, upload: &UploadId) -> Result<(), ObjectError> {
        self.abandon(upload)
            .await
            .map_err(|error| ObjectError::LeftOver {
                upload: upload.clone(),
                source: Box::new(error),
            })
    }

    pub(super) async fn purge(&self, subject: &Subject) -> Result<(), ObjectError> {
        #[derive(Deserialize)]
        struct Answer {}
        let request = self
            .reader
            .client
            .api(format_args!("STREAM.PURGE.{}", self.reader.stream));
        let body = json!({"filter": subject});
        let Answer {} = self.reader.client.stream_request(&request, &body).await?;
        Ok(())
    }

    pub(super) fn describe(&self, stored: &Stored) -> Result<Described, ParseInfoError> {
        Described::parse(&stored.payload, &self.bucket, &stored.subject, stored.time)
    }
}

impl fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectStore").field(&self.bucket).finish()
    }
}
