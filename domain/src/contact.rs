//! How to reach who raised a request.
//!
//! No record has it, and no op: see `Body`. It is given beside a request, kept encrypted, shown to those who handle the
//! request, and erased some days after the request was closed.

use crate::kind::Kind;
use crate::limit::{NAME_CHARS_MAX, PHONE_CHARS_MAX};
use crate::record::{Record, Standing};
use crate::verdict::Refusal;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A name and a phone number, as far as they were given.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ContactData {
    /// What to call them.
    pub name: String,
    /// Where they can be called.
    pub phone: String,
}

impl fmt::Debug for ContactData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContactData") // what is in it must not get into a log
    }
}

impl ContactData {
    /// Whether it says nothing: to give this is to take back what was given.
    pub fn is_empty(&self) -> bool {
        self.name.is_empty() && self.phone.is_empty()
    }

    /// Whether it can be kept.
    ///
    /// # Errors
    /// A [`Refusal`] that names the field; it does not repeat what the field says.
    pub fn check(&self) -> Result<(), Refusal> {
        let fields =
            [("contact.name", &self.name, NAME_CHARS_MAX), ("contact.phone", &self.phone, PHONE_CHARS_MAX)];
        for (field, value, chars_max) in fields {
            if value.chars().count() > chars_max {
                let what = format!("longer than {chars_max} characters: shorten it");
                return Err(Refusal::invalid(field, &what));
            }
            if value.chars().any(char::is_control) {
                return Err(Refusal::invalid(field, "contains a control character: remove it"));
            }
        }
        Ok(())
    }
}

/// Since when nobody needs to reach who raised this request, in ms since 1970 UTC: when it was closed or rejected; always
/// if it was deleted, so that nothing is kept. `None`: it is not over, and what was given is kept.
pub fn over_since_ms(request: &Record) -> Option<i64> {
    if request.deleted.is_some() || request.kind != Kind::Request {
        return Some(i64::MIN);
    }
    if !matches!(request.status.as_str(), "closed" | "rejected") {
        return None;
    }
    let applied = request.steps.iter().rev().find(|taken| taken.standing == Standing::Applied);
    Some(applied.map_or(request.changed.at_ms, |taken| taken.trace.at_ms))
}
