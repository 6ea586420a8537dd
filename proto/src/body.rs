//! Bodies: one line per kind, field names as in the domain and in the proto.

use crate::v1;
use crate::word::{id_from_wire, optional_id_from_wire, optional_id_to_wire};
use rounds_domain::verdict::Reason;
use rounds_domain::{Body, Kind, RecordId, Refusal, body};

/// A value of a field on the wire, which is a `D` in the domain.
trait Wire<D>: Sized {
    fn read(self, field: &str) -> Result<D, Refusal>;
    fn write(value: D) -> Self;
}

macro_rules! same {
    ($($type:ty),*) => {
        $(impl Wire<$type> for $type {
            fn read(self, _: &str) -> Result<$type, Refusal> {
                Ok(self)
            }
            fn write(value: $type) -> Self {
                value
            }
        })*
    };
}

same!(String, bool, Option<i64>, Option<u32>, Vec<u32>);

impl Wire<Option<RecordId>> for String {
    fn read(self, field: &str) -> Result<Option<RecordId>, Refusal> {
        optional_id_from_wire(field, &self)
    }
    fn write(id: Option<RecordId>) -> Self {
        optional_id_to_wire(id)
    }
}

impl Wire<Vec<RecordId>> for Vec<String> {
    fn read(self, field: &str) -> Result<Vec<RecordId>, Refusal> {
        self.iter().map(|id| id_from_wire(field, id)).collect()
    }
    fn write(ids: Vec<RecordId>) -> Self {
        ids.iter().map(RecordId::to_string).collect()
    }
}

impl Wire<Option<f64>> for Option<f64> {
    fn read(self, field: &str) -> Result<Option<f64>, Refusal> {
        match self {
            // JSON, in which records are kept and compared, cannot say them.
            Some(number) if !number.is_finite() => Err(Refusal::invalid(field, "must be a finite number")),
            number => Ok(number),
        }
    }
    fn write(number: Option<f64>) -> Self {
        number
    }
}

macro_rules! entries {
    ($($entry:ident { $($field:ident),* })*) => {
        $(impl Wire<Vec<body::$entry>> for Vec<v1::$entry> {
            fn read(self, _: &str) -> Result<Vec<body::$entry>, Refusal> {
                Ok(self.into_iter().map(|v1::$entry { $($field),* }| body::$entry { $($field),* }).collect())
            }
            fn write(entries: Vec<body::$entry>) -> Self {
                entries.into_iter().map(|body::$entry { $($field),* }| v1::$entry { $($field),* }).collect()
            }
        })*
    };
}

entries! {
    Attribute { name, value }
    Question { key, text, required }
    Answer { key, value }
    Phase { until_day, rule }
    ReminderStep { offset_minutes, to }
}

macro_rules! bodies {
    ($($kind:ident { $($field:ident),* $(,)? })*) => {
        /// Reads a body.
        ///
        /// # Errors
        /// `UNKNOWN_KIND` for a body of no kind known here, or a [`Refusal`] that names the field.
        pub fn body_from_wire(wire: v1::Body) -> Result<Body, Refusal> {
            let body = wire.body.ok_or_else(|| {
                Refusal::new(Reason::UnknownKind, "body: says nothing, or is of a kind not known here")
            })?;
            Ok(match body {
                $(v1::body::Body::$kind(v1::$kind { $($field),* }) => Body::$kind(body::$kind {
                    $($field: Wire::read($field, concat!(stringify!($kind), ".", stringify!($field)))?),*
                })),*
            })
        }

        /// Writes a body.
        pub fn body_to_wire(body: Body) -> v1::Body {
            let body = match body {
                $(Body::$kind(body::$kind { $($field),* }) => v1::body::Body::$kind(v1::$kind {
                    $($field: Wire::write($field)),*
                })),*
            };
            v1::Body { body: Some(body) }
        }
    };
}

bodies! {
    Area { name, parent, level, time_zone, code }
    Place { name, sort, parent, code, address, latitude, longitude, external_ref }
    Asset { name, sort, place, code, latitude, longitude, external_ref, attributes, since }
    Organization { name, sort, email, web_hook, external_ref }
    Commitment { organization, goal, quantity, unit, tasks, group, due }
    Contract { organization, subject, covers, from, until }
    Worker { name, external_ref, left }
    Group { name, skill, members }
    Visit { subject, purpose, outcome, note, follow_up, violation }
    Inspection { subject, checklist, answers, result, findings, follow_up, sort, commitment, quantity }
    Request { subject, category, channel, description, visit, referred_to, due_at_ms }
    Violation { subject, sort, description, visit, latitude, longitude }
    Plan {
        subject, sort, rule, from, until, resting_months, after_completion, gap_days_max, opens_days, expires_days,
        worker, group, organization, mandated, phases, catch_up, resting,
    }
    FollowUp {
        subject, source, sort, opens_at_ms, due_at_ms, expires_at_ms, worker, group, organization, adoption, cause,
        rule,
    }
    Adoption { asset, place, group, confirm_by }
    Attachment { subject, media_type, size_bytes, sha256, stage }
    Checklist { name, series, version, questions }
    Term { vocabulary, word, label_en, label_zh_hans, label_zh_hant, retired, due_hours }
    Notice { subject, sort, at_ms, due_at_ms, worker, group, organization, role }
    Policy { sort, steps, quiet_from, quiet_until, coordinator_email, supervisor_email, digest, due_days }
}

/// Reads a body that has to be of this kind.
pub(crate) fn body_of_kind(kind: Kind, wire: v1::Body, part: &str) -> Result<Body, Refusal> {
    let body = body_from_wire(wire)?;
    if body.kind() == kind {
        return Ok(body);
    }
    let detail = format!("{part}: says {}, where the op says {}", body.kind().name(), kind.name());
    Err(Refusal::new(Reason::WrongKind, detail))
}

/// Writes the fields of a record or an edit as a body.
pub(crate) fn fields_to_wire(kind: Kind, fields: body::Fields) -> Result<v1::Body, Refusal> {
    let body = Body::from_fields(kind, fields)
        .map_err(|error| Refusal::invalid(kind.name(), &format!("the fields do not fit: {error}")))?;
    Ok(body_to_wire(body))
}
