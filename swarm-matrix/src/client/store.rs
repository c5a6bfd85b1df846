//! A session on disk.
//!
//! ```text
//! <dir>/                0700, locked while a session has it open
//! ├── key               32 random bytes, 0600: encrypts the databases
//! ├── session.json      0600: who, which device, its access token; versioned; replaced atomically
//! └── devices/<id>/     the databases of one device: rooms, keys
//! ```
//! A device's databases and its id belong together: the id with fresh databases decrypts nothing
//! and says nothing, and databases under another id are refused. So a device that the homeserver
//! has forgotten is never revived: a new one takes over its cross-signing keys, and the old one's
//! directory is removed.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::id::UserId;

/// What is kept of a login.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SavedLogin {
    /// Of this form: 1.
    pub(crate) version: u32,
    pub(crate) user: UserId,
    pub(crate) device: String,
    pub(crate) access_token: String,
}

impl Drop for SavedLogin {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.access_token);
    }
}

/// The directory of a session, locked.
pub(crate) struct Store {
    dir: PathBuf,
    pub(crate) key: Zeroizing<[u8; 32]>,
    _lock: File,
}

impl Store {
    /// Opens the directory, making it when there is none.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let devices = dir.join("devices");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&devices)
            .map_err(failed("create", &devices))?;
        // A directory that was there before keeps no looser mode than ours.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .map_err(failed("set the mode of", dir))?;
        let path = dir.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::StoreInUse(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        let key = load_or_make_key(&dir.join("key"))?;
        Ok(Self {
            dir: dir.to_owned(),
            key,
            _lock: lock,
        })
    }

    /// The login that was saved, unless there is none.
    pub(crate) fn load(&self, user: &UserId) -> Result<Option<SavedLogin>, Error> {
        let path = self.dir.join("session.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let saved: SavedLogin =
            serde_json::from_str(&text).map_err(|error| failed("read", &path)(error.into()))?;
        if saved.version != 1 {
            let text = format!("version {} is newer than this build", saved.version);
            return Err(failed("read", &path)(std::io::Error::other(text)));
        }
        if saved.user != *user {
            return Err(Error::StoreOwner {
                found: saved.user.clone(),
                wanted: user.clone(),
            });
        }
        // The id without its databases is worth nothing.
        Ok(self.device_dir(&saved.device).is_dir().then_some(saved))
    }

    /// Saves a login in place of the one before, and removes other devices' databases.
    pub(crate) fn save(&self, login: &SavedLogin) -> Result<(), Error> {
        let path = self.dir.join("session.json");
        let text = serde_json::to_string(login).map_err(|e| failed("write", &path)(e.into()))?;
        replace(&path, Zeroizing::new(text).as_bytes())?;
        let keep = self.device_dir(&login.device);
        let devices = fs::read_dir(self.dir.join("devices"))
            .into_iter()
            .flatten()
            .flatten();
        for other in devices
            .map(|entry| entry.path())
            .filter(|path| *path != keep)
        {
            if let Err(error) = fs::remove_dir_all(&other) {
                tracing::warn!(path = %other.display(), %error, "an old device stays on disk");
            }
        }
        Ok(())
    }

    /// Forgets the login and every device.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        for path in [self.dir.join("session.json")] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed("remove", &path)(error));
                }
                _ => {}
            }
        }
        let devices = self.dir.join("devices");
        fs::remove_dir_all(&devices).map_err(failed("remove", &devices))
    }

    /// Where a device's databases are. The id is the homeserver's word: only what is a file name
    /// as it stands is used as one.
    pub(crate) fn device_dir(&self, device: &str) -> PathBuf {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        let name = if !device.is_empty() && device.len() <= 64 && device.bytes().all(plain) {
            device.to_owned()
        } else {
            use base64::Engine;
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, device.as_bytes());
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
        };
        self.dir.join("devices").join(name)
    }
}

fn load_or_make_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut key = Zeroizing::new([0; 32]);
    match File::open(path) {
        Ok(mut file) => {
            let whole = file.metadata().is_ok_and(|metadata| metadata.len() == 32);
            if !whole {
                let error = std::io::Error::other("not 32 bytes");
                return Err(failed("read", path)(error));
            }
            file.read_exact(key.as_mut())
                .map_err(failed("read", path))?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            aws_lc_rs::rand::fill(key.as_mut())
                .map_err(|_| failed("make", path)(std::io::Error::other("no randomness")))?;
            replace(path, key.as_ref())?;
        }
        Err(error) => return Err(failed("open", path)(error)),
    }
    Ok(key)
}

/// Writes a file so that after a crash either the old or the new one is there, whole.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(failed("write", path))
}

fn failed<'a>(verb: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> Error + 'a {
    move |cause| Error::Store {
        verb,
        path: path.to_owned(),
        cause: cause.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(device: &str) -> SavedLogin {
        SavedLogin {
            version: 1,
            user: UserId::parse("@a:s").unwrap(),
            device: device.into(),
            access_token: "secret".into(),
        }
    }

    #[test]
    fn a_saved_login_comes_back_with_its_device_alone() {
        let dir = tempfile::tempdir().unwrap();
        let user = UserId::parse("@a:s").unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(store.load(&user).unwrap().is_none());
        for device in ["ONE", "TWO"] {
            fs::create_dir_all(store.device_dir(device)).unwrap();
        }
        store.save(&login("TWO")).unwrap();
        assert_eq!(store.load(&user).unwrap().unwrap().device, "TWO");
        assert!(!store.device_dir("ONE").exists());
        let mode = fs::metadata(dir.path().join("session.json"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_key_stays_and_nobody_opens_the_store_twice() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let key = store.key.clone();
        assert!(matches!(Store::open(dir.path()), Err(Error::StoreInUse(_))));
        drop(store);
        assert_eq!(*Store::open(dir.path()).unwrap().key, *key);
    }

    #[test]
    fn a_device_id_without_its_databases_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        fs::create_dir_all(store.device_dir("ONE")).unwrap();
        store.save(&login("ONE")).unwrap();
        fs::remove_dir_all(store.device_dir("ONE")).unwrap();
        assert!(
            store
                .load(&UserId::parse("@a:s").unwrap())
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn somebody_elses_store_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.save(&login("ONE")).unwrap();
        let other = UserId::parse("@b:s").unwrap();
        assert!(matches!(store.load(&other), Err(Error::StoreOwner { .. })));
    }

    #[test]
    fn a_hostile_device_id_stays_inside_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for id in ["../../etc", "", "a/b", "."] {
            assert_eq!(
                store.device_dir(id).parent().unwrap(),
                dir.path().join("devices")
            );
        }
    }
}
