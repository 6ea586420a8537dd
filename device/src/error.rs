//! What can go wrong on the device itself.

use rounds_domain::{DeviceId, OpId, Refusal};

/// Why the device could not do what was asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is no device of any server yet.
    #[error("this device is not enrolled: enrol it with a one-time code first")]
    NotEnrolled,
    /// The file has an identity already.
    #[error("this file belongs to device {0}: use another file to enrol another device")]
    AlreadyEnrolled(DeviceId),
    /// The device was revoked: it takes in nothing new.
    #[error("this device was revoked: ask a coordinator for a code, and enrol with another file")]
    Revoked,
    /// An op that the server would not take in either.
    #[error("op {at} of the group: {refusal}")]
    Refused {
        /// Its place in the group, from 0.
        at: usize,
        /// What is wrong with it and what to do.
        refusal: Refusal,
    },
    /// There is no such op here.
    #[error("there is no op {0} here")]
    UnknownOp(OpId),
    /// The op still waits for its verdict.
    #[error("op {0} was not acknowledged yet: sync, or export it")]
    NotAcknowledged(OpId),
    /// The server's answer cannot be read. Asking again with a newer version of this program may help.
    #[error("the server's answer cannot be read: {0}")]
    Answer(Refusal),
    /// The file was written by a newer version of this program.
    #[error("the file has format {found}, this program knows up to {known}: upgrade it")]
    Newer {
        /// The format of the file.
        found: i64,
        /// The latest format known here.
        known: i64,
    },
    /// A stored value cannot be read: a fault in this program or in the disk.
    #[error("a stored value cannot be read: {0}")]
    Unreadable(String),
    /// The file cannot be read or written: disk full, no permission, no database.
    #[error("the device's file: {0}")]
    Store(#[from] rusqlite::Error),
    /// The file cannot be opened.
    #[error("the device's file cannot be opened: {0}")]
    File(#[from] std::io::Error),
}
