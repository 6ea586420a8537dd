//! Records as rows of a table: what the columns of each kind are called, and how their values are written. Exports and
//! SQL views have the same, and both follow the fields of the bodies by themselves.

use crate::body::Body;
use crate::kind::Kind;
use std::ops::RangeInclusive;

/// The moments that a table can tell, in ms since 1970 UTC: those of the years 1 to 9999. A device may have sent others;
/// they are left out, so that one of them keeps nobody from the rest.
pub const MOMENTS_MS: RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// How the values of a column are written. Any may be missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Words.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Yes or no.
    YesNo,
    /// A day.
    Date,
    /// A moment, which records keep in ms since 1970 UTC.
    Moment,
    /// The id of a record.
    Reference,
    /// A list, as JSON.
    List,
}

/// A column of the table of a kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Column {
    /// What it is called: as its field, without `_ms` where that is a moment.
    pub name: &'static str,
    /// How its values are written.
    pub form: Form,
    /// Where they come from.
    pub source: Source,
}

/// What a column tells of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Its id.
    Id,
    /// The area that it is in.
    Area,
    /// What that area is called.
    AreaName,
    /// Its number in the feed of its area.
    Number,
    /// Its stage.
    Status,
    /// When it began.
    CreatedAt,
    /// When the last op that changed it happened.
    ChangedAt,
    /// A field of its body.
    Field(&'static str),
}

/// The columns that every kind has, before those of its fields.
const COMMON: [Column; 7] = [
    Column { name: "id", form: Form::Reference, source: Source::Id },
    Column { name: "area", form: Form::Reference, source: Source::Area },
    Column { name: "area_name", form: Form::Text, source: Source::AreaName },
    Column { name: "number", form: Form::Integer, source: Source::Number },
    Column { name: "status", form: Form::Text, source: Source::Status },
    Column { name: "created_at", form: Form::Moment, source: Source::CreatedAt },
    Column { name: "changed_at", form: Form::Moment, source: Source::ChangedAt },
];

/// Never a column. Who did a visit or took a step is not in the fields of a body; who a plan, follow-up or notice is
/// given to is, and beside what came of it a table of that would rank workers. Where the work is, the app tells.
const WORKER: &str = "worker";

/// The columns of a kind: those that every kind has, then one for each field.
pub fn columns(kind: Kind) -> Vec<Column> {
    let fields = Body::field_forms(kind).iter().filter(|(field, _)| *field != WORKER);
    let of_fields = fields.map(|&(field, form)| {
        let source = Source::Field(field);
        match (form, field.strip_suffix("_ms")) {
            (Form::Integer, Some(name)) => Column { name, form: Form::Moment, source },
            _ => Column { name: field, form, source },
        }
    });
    COMMON.into_iter().chain(of_fields).collect()
}
