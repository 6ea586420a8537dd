//! The key file: the server's half of the keys of contact data, and what was erased. It is in no database, so a copy of
//! the database alone can be read by nobody, and a backup that is restored brings back nothing that was erased since.
//!
//! Lines of text: the key on the first, then a line for each request whose contact data was erased, with when that was
//! given and when it was erased. What was erased before the oldest backup that anybody could restore may be cut away by
//! hand.

use crate::Error;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rounds_domain::{ContactData, RecordId};
use sha2::Sha256;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Length of each half of a key, in bytes.
pub const KEY_BYTES: usize = 32;
/// How the first line begins, before the key in base 64.
const KEY_MARK: &str = "rounds-contact-key-1 ";
/// How the lines begin that say what was erased: then the request, when the last of it was given, and when that was
/// erased, in ms since 1970 UTC. Lines of before have one time for both.
const ERASED_MARK: &str = "erased ";
/// What keys are made for, so that the file's key is of no use for anything else.
const CONTEXT: &[u8] = b"rounds contact 1";
/// What tells a key file from another without giving the key away.
const CHECK: &[u8] = b"rounds contact check 1";
/// How many bytes of that are kept in the database.
const CHECK_BYTES: usize = 8;

/// How contact data is kept.
#[derive(Clone, Debug)]
pub struct ContactKeeping {
    /// Where the server's half of the keys is.
    pub vault: Arc<Vault>,
    /// How long after a request was closed contact data is kept.
    pub kept: Duration,
}

impl ContactKeeping {
    /// What was over by then has to be erased by now. Both in ms since 1970 UTC.
    pub(crate) fn over_by_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(i64::try_from(self.kept.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A key file, opened.
pub struct Vault {
    path: PathBuf,
    key: [u8; KEY_BYTES],
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({})", self.path.display()) // the key is a secret
    }
}

impl Vault {
    /// Opens a key file, or makes one that only its owner can read; `new_key` becomes its key then. Several processes may
    /// have it open.
    ///
    /// # Errors
    /// [`Error::Unsuitable`] says what is wrong with the file.
    pub fn open(path: impl Into<PathBuf>, new_key: [u8; KEY_BYTES]) -> Result<Self, Error> {
        let path = path.into();
        let read = || -> io::Result<Option<[u8; KEY_BYTES]>> {
            let mut file = open_locked(&path)?;
            if file.metadata()?.len() == 0 {
                file.write_all(format!("{KEY_MARK}{}\n", BASE64_STANDARD.encode(new_key)).as_bytes())?;
                file.sync_all()?;
                return Ok(Some(new_key));
            }
            let mut line = String::new();
            BufReader::new(&file).read_line(&mut line)?;
            let key = line.trim_end().strip_prefix(KEY_MARK).and_then(|key| BASE64_STANDARD.decode(key).ok());
            Ok(key.and_then(|key| key.try_into().ok()))
        };
        match read() {
            Ok(Some(key)) => Ok(Self { path, key }),
            Ok(None) => Err(Error::Unsuitable(format!(
                "{} is no key file for contact data: it does not begin with a key",
                path.display()
            ))),
            Err(error) => Err(unsuitable(&path, &error)),
        }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the database keeps to know this key by, in base 64.
    pub(crate) fn check(&self) -> String {
        let check = mac(&self.key, &[CHECK]);
        BASE64_STANDARD.encode(&check[..CHECK_BYTES])
    }

    /// Encrypts what belongs to a request. `half` is random, and never used before.
    pub(crate) fn seal(
        &self,
        request: RecordId,
        half: &[u8; KEY_BYTES],
        contact: &ContactData,
    ) -> Result<Vec<u8>, Error> {
        let mut sealed = serde_json::to_vec(contact).map_err(|error| Error::Unreadable(error.to_string()))?;
        let done = self.cipher(request, half)?.seal_in_place_append_tag(once(), bound(request), &mut sealed);
        done.map_err(|_| Error::Unreadable("contact data cannot be encrypted".to_owned()))?;
        Ok(sealed)
    }

    /// Decrypts it. `None`: the halves do not belong together, or somebody changed what was encrypted.
    pub(crate) fn open_sealed(
        &self,
        request: RecordId,
        half: &[u8],
        mut sealed: Vec<u8>,
    ) -> Result<Option<ContactData>, Error> {
        let Ok(half) = half.try_into() else { return Ok(None) };
        match self.cipher(request, half)?.open_in_place(once(), bound(request), &mut sealed) {
            Ok(plain) => Ok(serde_json::from_slice(plain).ok()),
            Err(_) => Ok(None),
        }
    }

    fn cipher(&self, request: RecordId, half: &[u8; KEY_BYTES]) -> Result<LessSafeKey, Error> {
        let key = mac(&self.key, &[CONTEXT, request.0.as_bytes(), half]);
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key);
        key.map(LessSafeKey::new).map_err(|_| Error::Unreadable("no key for contact data".to_owned()))
    }

    /// Writes down that what was given of these requests, of each until its time, is erased at `at_ms`. On disk when it
    /// answers.
    pub(crate) fn note_erased(&self, requests: &[(RecordId, i64)], at_ms: i64) -> Result<(), Error> {
        let line = |(id, put_ms): &(RecordId, i64)| format!("{ERASED_MARK}{id} {put_ms} {at_ms}\n");
        let lines: String = requests.iter().map(line).collect();
        let write = || -> io::Result<()> {
            let mut file = open_locked(&self.path)?;
            let length = file.seek(SeekFrom::End(0))?;
            // A line that was cut short must not take this one along.
            let mut last = [b'\n'];
            if length > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            if last != [b'\n'] {
                file.write_all(b"\n")?;
            }
            file.write_all(lines.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|error| unsuitable(&self.path, &error))
    }

    /// Requests whose contact data was erased, each with when the last of that was given.
    pub(crate) fn erased(&self) -> Result<HashMap<RecordId, i64>, Error> {
        let read = || -> io::Result<HashMap<RecordId, i64>> {
            let mut erased: HashMap<RecordId, i64> = HashMap::new();
            for line in BufReader::new(open_locked(&self.path)?).lines() {
                let line = line?;
                // A line that was cut short by a crash was followed by no erasure: it need not count.
                let mut said = line.strip_prefix(ERASED_MARK).unwrap_or_default().split(' ');
                let (Some(id), Some(put_ms)) = (said.next(), said.next()) else { continue };
                if let (Ok(id), Ok(put_ms)) = (id.parse::<RecordId>(), put_ms.parse::<i64>()) {
                    let last = erased.entry(id).or_insert(put_ms);
                    *last = (*last).max(put_ms);
                }
            }
            Ok(erased)
        };
        read().map_err(|error| unsuitable(&self.path, &error))
    }
}

/// Opens the file and waits until no other process has it. Closing it lets go of it.
fn open_locked(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    file.lock()?;
    Ok(file)
}

fn unsuitable(path: &Path, error: &io::Error) -> Error {
    Error::Unsuitable(format!("the key file {}: {error}", path.display()))
}

fn mac(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> [u8; 32] {
    #[allow(clippy::expect_used)] // HMAC takes keys of every length
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of 32 bytes");
    parts.iter().for_each(|part| mac.update(part)); // of fixed lengths
    mac.finalize().into_bytes().into()
}

/// Each key encrypts one thing only, so this is never used twice with one.
fn once() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// What was encrypted for one request cannot be passed off as that of another.
fn bound(request: RecordId) -> Aad<[u8; 16]> {
    Aad::from(*request.0.as_bytes())
}
