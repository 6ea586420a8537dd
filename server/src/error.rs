//! What can go wrong with a call, and the one place that turns it into a gRPC status.
//!
//! Every status carries a `google.rpc.ErrorInfo` with a machine-readable reason; PROTOCOL lists them. What a database
//! driver says is logged and never sent.

use crate::limit::{RETRY_DELAY, VIOLATIONS_MAX};
use rounds_domain::limit::BATCH_OPS_MAX;
use rounds_domain::verdict::Reason;
use rounds_domain::{Refusal, Role};
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// The domain of all reasons.
pub const DOMAIN: &str = "rounds";

/// Why a call was not done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No token.
    #[error("sign in with the metadata \"authorization: Bearer TOKEN\"")]
    TokenMissing,
    /// A token that names nobody.
    #[error("this token names no device: it was replaced or never given out; enrol again")]
    TokenUnknown,
    /// The token of a revoked device.
    #[error("this device was revoked: sync once more, then wipe it")]
    DeviceRevoked,
    /// A code that enrols nobody.
    #[error("the code is unknown, was used before, or is past its time: ask a coordinator for another")]
    CodeInvalid,
    /// The role of the caller does not allow it.
    #[error("the role {} may not {what}", .role.name())]
    RoleForbids {
        /// The caller's role.
        role: Role,
        /// What it tried: "list devices".
        what: &'static str,
    },
    /// The caller's areas do not allow it.
    #[error("{0}")]
    AreaForbids(&'static str),
    /// Absent, or outside the caller's areas: there is no telling which.
    #[error("there is no such {0} in your areas")]
    NotFound(&'static str),
    /// The request, or ops in it, cannot be taken as they are.
    #[error("{}", summary(.0))]
    Refused(Vec<Violation>),
    /// A cursor that this server did not give out.
    #[error("the cursor is not one of this server: pull anew with an empty cursor")]
    CursorInvalid,
    /// Too many ops in one call.
    #[error("{0} ops in one call: split them into calls of at most {BATCH_OPS_MAX}")]
    BatchTooLarge(usize),
    /// A fork of a device that is no copy, or from an op before the one that the server told.
    #[error("the server does not know this device as a copy from that op on: sync first")]
    NotForked,
    /// As many copies of one phone have names of their own as there may be.
    #[error("this phone was copied too often: enrol it anew")]
    TooManyCopies,
    /// There is nobody to reach any more.
    #[error("the request is closed: contact data is not kept for it")]
    RequestClosed,
    /// The server has no key file.
    #[error("this server keeps no contact data: its operator gives it a key file with --contact-key")]
    ContactsNotKept,
    /// Whoever calls does so too often: again after this.
    #[error("too many calls: wait as long as RetryInfo says, then go on")]
    RateLimited(Duration),
    /// There is too much to do at this moment.
    #[error("the server is busy: call again soon")]
    Busy,
    /// The server ends.
    #[error("the server is stopping: call again soon")]
    Stopping,
    /// The system has no randomness to give.
    #[error("the server cannot make secrets now")]
    NoRandomness,
    /// The store could not do it.
    #[error("{}", store_message(.0))]
    Store(#[from] rounds_store::Error),
}

/// A fault in a request.
#[derive(Debug)]
pub struct Violation {
    /// Which of the ops it is in, if it is in one.
    pub op: Option<usize>,
    /// What is wrong and what to do.
    pub refusal: Refusal,
}

impl Violation {
    /// The field and what is wrong with it.
    fn parts(&self) -> (String, &str) {
        let (field, what) = self.refusal.detail.split_once(": ").unwrap_or(("", &self.refusal.detail));
        match self.op {
            Some(op) if field.is_empty() => (format!("ops[{op}]"), what),
            Some(op) => (format!("ops[{op}].{field}"), what),
            None => (field.to_owned(), what),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(vec![Violation { op: None, refusal }])
    }
}

impl Error {
    /// A field of the request is missing or out of range.
    pub fn invalid(field: &str, what: &str) -> Self {
        Refusal::invalid(field, what).into()
    }
}

fn summary(violations: &[Violation]) -> String {
    let Some(first) = violations.first() else { return "the request cannot be taken".to_owned() };
    let (field, what) = first.parts();
    let mut text = if field.is_empty() { what.to_owned() } else { format!("{field}: {what}") };
    if violations.len() > 1 {
        text.push_str(&format!("; and {} more faults", violations.len() - 1));
    }
    text
}

/// A stored value does not fit its kind, which is a fault in this program.
pub(crate) fn unreadable(refusal: Refusal) -> Error {
    Error::Store(rounds_store::Error::Unreadable(refusal.detail))
}

/// What a caller may know of a fault of the store.
fn store_message(error: &rounds_store::Error) -> &'static str {
    use rounds_store::Error;
    match error {
        Error::Unavailable(_) => "the database is not available: try again",
        Error::Unsuitable(_) | Error::Unreadable(_) => "a fault in the server: its log says more",
        Error::Busy => "the server is busy: call again soon",
        Error::Closed => "the server is stopping: call again soon",
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        use rounds_store::Error as StoreError;
        let (code, reason) = match &error {
            Error::TokenMissing => (Code::Unauthenticated, "TOKEN_MISSING"),
            Error::TokenUnknown => (Code::Unauthenticated, "TOKEN_UNKNOWN"),
            Error::DeviceRevoked => (Code::Unauthenticated, Reason::DeviceRevoked.as_str()),
            Error::CodeInvalid => (Code::Unauthenticated, "CODE_INVALID"),
            Error::RoleForbids { .. } => (Code::PermissionDenied, Reason::Forbidden.as_str()),
            Error::AreaForbids(_) => (Code::PermissionDenied, Reason::NotInScope.as_str()),
            Error::NotFound(_) => (Code::NotFound, "NOT_FOUND"),
            Error::Refused(violations) => refused(violations),
            Error::CursorInvalid => (Code::InvalidArgument, "CURSOR_INVALID"),
            Error::BatchTooLarge(_) => (Code::InvalidArgument, "BATCH_TOO_LARGE"),
            Error::NotForked => (Code::FailedPrecondition, "NOT_FORKED"),
            Error::TooManyCopies => (Code::FailedPrecondition, "TOO_MANY_COPIES"),
            Error::RequestClosed => (Code::FailedPrecondition, "REQUEST_CLOSED"),
            Error::ContactsNotKept => (Code::FailedPrecondition, "CONTACT_NOT_KEPT"),
            Error::RateLimited(_) => (Code::ResourceExhausted, "RATE_LIMITED"),
            Error::Busy | Error::Store(StoreError::Busy) => (Code::Unavailable, "BUSY"),
            Error::Stopping | Error::Store(StoreError::Closed) => (Code::Unavailable, "STOPPING"),
            Error::NoRandomness => (Code::Unavailable, "NO_RANDOMNESS"),
            Error::Store(StoreError::Unavailable(_)) => (Code::Unavailable, "STORE_UNAVAILABLE"),
            Error::Store(StoreError::Unsuitable(_) | StoreError::Unreadable(_)) => (Code::Internal, "FAULT"),
        };
        match code {
            Code::Internal => tracing::error!(?error, "a call failed"),
            Code::Unavailable => tracing::warn!(?error, "a call could not be done now"),
            _ => {}
        }
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, DOMAIN, std::collections::HashMap::new());
        match &error {
            Error::RateLimited(wait) => details.set_retry_info(Some(*wait)),
            _ if code == Code::Unavailable => details.set_retry_info(Some(RETRY_DELAY)),
            _ => &mut details,
        };
        if let Error::Refused(violations) = &error {
            let named = violations.iter().take(VIOLATIONS_MAX).map(|violation| {
                let (field, what) = violation.parts();
                FieldViolation::new(field, what)
            });
            details.set_bad_request(named.collect::<Vec<_>>());
        }
        Status::with_error_details(code, error.to_string(), details)
    }
}

/// What is not allowed outweighs what is not well-formed.
fn refused(violations: &[Violation]) -> (Code, &'static str) {
    let code = |reason| match reason {
        Reason::Forbidden | Reason::NotInScope | Reason::DeviceRevoked => Code::PermissionDenied,
        Reason::Malformed
        | Reason::UnknownSchema
        | Reason::UnknownKind
        | Reason::Invalid
        | Reason::GroupRefused
        | Reason::DependsOnQuarantined
        | Reason::UnknownRecord
        | Reason::AlreadyExists
        | Reason::Deleted
        | Reason::StepNotAllowed
        | Reason::FieldFixed
        | Reason::WrongKind
        | Reason::GroupIncomplete
        | Reason::SequenceGap
        | Reason::Behind => Code::InvalidArgument,
    };
    let reasons = || violations.iter().map(|violation| violation.refusal.reason);
    let weightiest =
        reasons().find(|reason| code(*reason) == Code::PermissionDenied).or_else(|| reasons().next());
    weightiest
        .map_or((Code::InvalidArgument, Reason::Invalid.as_str()), |reason| (code(reason), reason.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(error: Error) -> (Status, ErrorDetails) {
        let status = Status::from(error);
        let details = status.get_error_details();
        (status, details)
    }

    #[test]
    fn every_error_says_its_reason_in_the_domain_rounds() {
        let (status, details) = status(Error::CursorInvalid);
        assert_eq!(status.code(), Code::InvalidArgument);
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("CURSOR_INVALID", "rounds"));
        assert!(status.message().contains("empty cursor"), "it says what to do");
    }

    #[test]
    fn a_fault_in_an_op_names_the_op_and_the_field() {
        let refusal = Refusal::invalid("edit.reason", "say why this fact is amended");
        let (status, details) = status(Error::Refused(vec![Violation { op: Some(3), refusal }]));
        assert_eq!(status.code(), Code::InvalidArgument);
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, "ops[3].edit.reason");
        assert_eq!(violation.description, "say why this fact is amended");
    }

    #[test]
    fn what_is_not_allowed_outweighs_what_is_not_well_formed() {
        let violations = [Reason::Invalid, Reason::NotInScope]
            .map(|reason| Violation { op: None, refusal: Refusal::new(reason, "x") });
        let (status, details) = status(Error::Refused(violations.into()));
        assert_eq!(status.code(), Code::PermissionDenied);
        assert_eq!(details.error_info().unwrap().reason, "NOT_IN_SCOPE");
    }

    #[test]
    fn an_error_names_no_more_faults_than_fit_into_a_header() {
        let violations = |count: usize| {
            (0..count)
                .map(|op| Violation { op: Some(op), refusal: Refusal::invalid("area", "is needed") })
                .collect()
        };
        let (_, details) = status(Error::Refused(violations(VIOLATIONS_MAX)));
        assert_eq!(details.bad_request().unwrap().field_violations.len(), VIOLATIONS_MAX);
        let (status, details) = status(Error::Refused(violations(VIOLATIONS_MAX + 1)));
        assert_eq!(details.bad_request().unwrap().field_violations.len(), VIOLATIONS_MAX);
        assert!(status.message().ends_with(&format!("and {VIOLATIONS_MAX} more faults")));
    }

    #[test]
    fn a_database_that_is_gone_is_worth_another_try_and_its_words_stay_here() {
        let driver = sqlx_error();
        let text = driver.to_string();
        let (status, details) = status(Error::Store(rounds_store::Error::from(driver)));
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(RETRY_DELAY));
        assert!(!status.message().contains(&text));
        let unreadable = rounds_store::Error::Unreadable("row 7 of records".to_owned());
        let (status, _) = super::tests::status(Error::Store(unreadable));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("row 7"));
    }

    fn sqlx_error() -> sqlx::Error {
        sqlx::Error::PoolTimedOut
    }
}
