//! Codes, tokens and new ids. The server keeps only the SHA-256 of a code or token: both are random, so nothing
//! slower is needed to keep them from being guessed.

use crate::error::Error;
use rounds_store::{LINK_KEY_BYTES, LinkKey};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use uuid::Uuid;

/// Crockford's base 32: no letter can be taken for a digit.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a one-time code: 100 bits, and still typed in half a minute.
const CODE_CHARS: usize = 20;
/// Characters between two hyphens of a code.
const CODE_GROUP_CHARS: usize = 5;
/// Characters of a token: 260 bits.
const TOKEN_CHARS: usize = 52;

/// Where randomness comes from: the system in `main`, a seed in tests.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

type Fill = dyn Fn(&mut [u8]) -> Result<(), Error> + Send + Sync;

impl Random {
    /// A source that fills buffers with random bytes.
    pub fn new(fill: impl Fn(&mut [u8]) -> Result<(), Error> + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    /// The system's source.
    pub fn system() -> Self {
        Self::new(|buffer| getrandom::fill(buffer).map_err(|_| Error::NoRandomness))
    }

    /// A source that gives the same bytes for the same `what` each time, which nobody can tell without the key: for an
    /// answer that must be the same when it is asked for again.
    pub(crate) fn of_secret(key: &LinkKey, what: Vec<u8>) -> Self {
        let (key, turns) = (key.clone(), AtomicU32::new(0));
        Self::new(move |buffer| {
            for piece in buffer.chunks_mut(LINK_KEY_BYTES) {
                let turn = turns.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                let bytes = key.secret_of(&[&turn[..], &what].concat());
                piece.copy_from_slice(&bytes[..piece.len()]);
            }
            Ok(())
        })
    }

    /// A new id, of version 7, so that ids sort by age.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn id(&self, now_ms: i64) -> Result<Uuid, Error> {
        let mut bytes = [0; 10];
        (self.0)(&mut bytes)?;
        let ms = u64::try_from(now_ms).unwrap_or_default();
        Ok(uuid::Builder::from_unix_timestamp_millis(ms, &bytes).into_uuid())
    }

    /// A new one-time code as people read and type it: `7K2MX-...`.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn code(&self) -> Result<String, Error> {
        let chars = self.chars::<CODE_CHARS>()?;
        Ok(chars.chunks(CODE_GROUP_CHARS).map(String::from_utf8_lossy).collect::<Vec<_>>().join("-"))
    }

    /// A new token.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn token(&self) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.chars::<TOKEN_CHARS>()?).into_owned())
    }

    /// A new key, in case the database has none yet to sign links with.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn key(&self) -> Result<[u8; LINK_KEY_BYTES], Error> {
        let mut bytes = [0; LINK_KEY_BYTES];
        (self.0)(&mut bytes)?;
        Ok(bytes)
    }

    fn chars<const N: usize>(&self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        (self.0)(&mut bytes)?;
        // 256 is a multiple of 32, so every character is as likely as any other.
        Ok(bytes.map(|byte| ALPHABET[usize::from(byte % 32)]))
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random")
    }
}

/// The hash under which a code is kept, however it was typed: case, spaces and hyphens do not matter, and O is read
/// as 0, I and L as 1.
pub fn code_hash(typed: &str) -> [u8; 32] {
    let code: String = typed
        .chars()
        .filter(|char| !char.is_whitespace() && *char != '-')
        .map(|char| match char.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .collect();
    Sha256::digest(code.as_bytes()).into()
}

/// The hash under which a token is kept.
pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting() -> Random {
        Random::new(|buffer| {
            buffer.iter_mut().zip(0u8..).for_each(|(byte, at)| *byte = at.wrapping_mul(37));
            Ok(())
        })
    }

    #[test]
    fn a_code_may_be_typed_in_any_case_with_or_without_hyphens() {
        let code = counting().code().unwrap();
        assert_eq!(code.len(), CODE_CHARS + 3);
        let typed = format!(" {} ", code.to_lowercase().replace('-', " "));
        assert_eq!(code_hash(&typed), code_hash(&code));
        assert_eq!(code_hash("oil-01"), code_hash("01101"));
        assert_ne!(code_hash("01102"), code_hash("01101"));
    }

    #[test]
    fn a_token_has_at_least_256_bits() {
        const { assert!(TOKEN_CHARS * 5 >= 256) };
        assert_eq!(Random::system().token().unwrap().len(), TOKEN_CHARS);
        assert_ne!(Random::system().token().unwrap(), Random::system().token().unwrap());
    }

    #[test]
    fn a_new_id_is_of_version_7_and_carries_the_time() {
        let id = counting().id(1_795_000_000_000).unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_timestamp().unwrap().to_unix().0, 1_795_000_000);
        assert_eq!(counting().id(-5).unwrap().get_version_num(), 7, "a clock before 1970");
    }
}
