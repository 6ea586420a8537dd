//! Links that name something outside of Rounds, and can be revoked: calendars, pages for partners, keys of web hooks.
//!
//! What makes a link secret is computed from the one key of the database, from what the link is for, and from a
//! version that revoking it moves on. So there is no secret per link that could be lost or leak.

use crate::database::{read_on, write_on};
use crate::{Error, Store};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rounds_domain::RecordId;
use sha2::Sha256;
use sqlx::{query, query_scalar};

/// Length of the key, and of all that is made from it, in bytes.
pub const LINK_KEY_BYTES: usize = 32;

const SECOND_MS: i64 = 1_000;

/// Keeps what is computed here apart from whatever else may be computed with the same key one day.
const CONTEXT: &[u8] = b"rounds link 1";

const SECRET_CONTEXT: &[u8] = b"rounds secret 1";

/// What a link is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Purpose {
    /// The calendar of a worker, group or organization: the subject.
    Calendar = 1,
    /// The page on which an organization, the subject, answers for one request, the scope.
    Referral = 2,
    /// The key with which the messages to the web hook of an organization, the subject, are signed.
    WebHook = 3,
}

impl Purpose {
    /// The purpose as the command line and the database say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calendar => "calendar",
            Self::Referral => "referral",
            Self::WebHook => "web_hook",
        }
    }
}

/// What a link stands for. Revoking goes by purpose and subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// What it is for.
    pub purpose: Purpose,
    /// Whose it is.
    pub subject: RecordId,
    /// What of the subject's it is about, if not all.
    pub scope: Option<RecordId>,
    /// Until when it is good, in ms since 1970 UTC; for ever if none.
    pub expires_ms: Option<i64>,
}

impl Link {
    /// A link about all that is the subject's, good until it is revoked.
    pub fn of(purpose: Purpose, subject: RecordId) -> Self {
        Self { purpose, subject, scope: None, expires_ms: None }
    }

    /// The link by which an organization answers for a request. Its time is kept in seconds.
    pub fn referral(request: RecordId, organization: RecordId, expires_ms: i64) -> Self {
        let expires_ms = Some(expires_ms.div_euclid(SECOND_MS) * SECOND_MS);
        Self { purpose: Purpose::Referral, subject: organization, scope: Some(request), expires_ms }
    }

    /// The path of its page on the server, for those that have one.
    pub fn path(&self, token: &str) -> String {
        let subject = self.subject.0.simple();
        match (self.purpose, self.scope, self.expires_ms) {
            (Purpose::Referral, Some(request), Some(expires_ms)) => {
                format!("/r/{}/{subject}/{}/{token}", request.0.simple(), expires_ms / SECOND_MS)
            }
            _ => format!("/{}/{subject}/{token}", self.purpose.name()),
        }
    }
}

/// The key that all links of a database are made with.
#[derive(Clone)]
pub struct LinkKey([u8; LINK_KEY_BYTES]);

impl std::fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkKey")
    }
}

impl LinkKey {
    /// A key of these bytes, which no database has.
    pub fn of(bytes: [u8; LINK_KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Bytes that belong to `what`, the same ones each time, and that nobody can tell without the key.
    pub fn secret_of(&self, what: &[u8]) -> [u8; LINK_KEY_BYTES] {
        let mut code = self.mac();
        code.update(SECRET_CONTEXT);
        code.update(what);
        code.finalize().into_bytes().into()
    }

    /// Whether this is the token of a link in one of its versions. Compares in constant time.
    pub fn is_token(&self, link: &Link, version: u64, token: &str) -> bool {
        let claimed = BASE64_URL_SAFE_NO_PAD.decode(token);
        claimed.is_ok_and(|claimed| self.code(link, version).verify_slice(&claimed).is_ok())
    }

    /// The authentication code of a link in one of its versions: HMAC-SHA256 over fields of fixed lengths.
    fn code(&self, link: &Link, version: u64) -> Hmac<Sha256> {
        let mut code = self.mac();
        code.update(CONTEXT);
        code.update(&[link.purpose as u8]);
        code.update(link.subject.0.as_bytes());
        code.update(link.scope.map_or(uuid::Uuid::nil(), |id| id.0).as_bytes());
        code.update(&version.to_be_bytes());
        code.update(&link.expires_ms.unwrap_or(i64::MAX).to_be_bytes());
        code
    }

    fn mac(&self) -> Hmac<Sha256> {
        #[allow(clippy::expect_used)] // HMAC takes keys of every length
        Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of 32 bytes")
    }
}

impl Store {
    /// The key that all links of this database are made with; `new_key` becomes it if there is none yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn link_key(&self, new_key: [u8; LINK_KEY_BYTES]) -> Result<LinkKey, Error> {
        write_on!(&self.shared.database, tx => {
            query("INSERT INTO meta (key, value) VALUES ('link_key', $1) ON CONFLICT DO NOTHING")
                .bind(BASE64_URL_SAFE_NO_PAD.encode(new_key))
                .execute(&mut *tx)
                .await?;
        });
        let text: String = read_on!(&self.shared.database, pool => {
            query_scalar("SELECT value FROM meta WHERE key = 'link_key'").fetch_one(pool).await?
        });
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(LinkKey).ok_or_else(|| Error::Unreadable("the key of links".to_owned()))
    }

    /// What makes a link secret, in the version that is good now.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn link_secret(&self, key: &LinkKey, link: &Link) -> Result<[u8; LINK_KEY_BYTES], Error> {
        let version = self.link_version(link).await?;
        Ok(key.code(link, version).finalize().into_bytes().into())
    }

    /// The same as text that can be a part of a URL.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn link_token(&self, key: &LinkKey, link: &Link) -> Result<String, Error> {
        Ok(BASE64_URL_SAFE_NO_PAD.encode(self.link_secret(key, link).await?))
    }

    /// Whether this is the link's token in the version that is good now. Whether the link has expired is for the
    /// caller to say. Compares in constant time.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn is_link_token(&self, key: &LinkKey, link: &Link, token: &str) -> Result<bool, Error> {
        let version = self.link_version(link).await?;
        Ok(key.is_token(link, version, token))
    }

    /// Makes all links for this purpose and subject that were given out until now worthless.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn revoke_links(&self, purpose: Purpose, subject: RecordId) -> Result<(), Error> {
        write_on!(&self.shared.database, tx => {
            query(
                "INSERT INTO links (purpose, subject, version) VALUES ($1, $2, 2)
                 ON CONFLICT (purpose, subject) DO UPDATE SET version = links.version + 1",
            )
            .bind(purpose.name())
            .bind(subject.0)
            .execute(&mut *tx)
            .await?;
        });
        Ok(())
    }

    async fn link_version(&self, link: &Link) -> Result<u64, Error> {
        let version: Option<i64> = read_on!(&self.shared.database, pool => {
            query_scalar("SELECT version FROM links WHERE purpose = $1 AND subject = $2")
                .bind(link.purpose.name())
                .bind(link.subject.0)
                .fetch_optional(pool)
                .await?
        });
        Ok(version.unwrap_or(1) as u64)
    }
}
