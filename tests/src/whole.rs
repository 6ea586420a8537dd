//! Bodies in which every field says something, made from what is known of the fields, so that a new one is in them.

use rounds_domain::body::Fields;
use rounds_domain::column::Form;
use rounds_domain::{Body, Kind, RecordId};
use serde_json::{Value, json};
use uuid::Uuid;

/// A text that is hard to write down: it begins like a formula, and has quotes, commas, lines and two scripts.
pub const HARD_TEXT: &str = "=1+1, \"二号楼\"; it's\nü\\n";
/// A moment with a fraction of a second: 2026-11-22T08:00:00.123Z, in ms since 1970 UTC.
pub const MOMENT_MS: i64 = 1_795_334_400_123;

/// A body of this kind in which every field says something. What it says fits the types of the fields, not always
/// their rules, but for an area's time zone.
///
/// # Panics
/// If there is a new type of list: add one to those below.
pub fn whole_body(kind: Kind) -> Body {
    let mut fields = Fields::new();
    for (field, form) in Body::field_forms(kind) {
        let value = match form {
            Form::Text if *field == "time_zone" => json!("Asia/Shanghai"),
            Form::Text => json!(HARD_TEXT),
            Form::Integer if field.ends_with("_ms") => json!(MOMENT_MS),
            Form::Integer | Form::Moment => json!(12),
            Form::Number => json!(40.760_884_847_531_415),
            Form::YesNo => json!(true),
            Form::Date => json!("2026-11-22"),
            Form::Reference => json!(RecordId(Uuid::from_u128(7))),
            Form::List => list(kind, field),
        };
        fields.insert((*field).to_owned(), value);
    }
    Body::from_fields(kind, fields).expect("each value fits the type of its field")
}

/// The list that this field may have.
fn list(kind: Kind, field: &str) -> Value {
    let lists = [
        json!([1, 12]),
        json!([RecordId(Uuid::from_u128(8))]),
        json!([{ "name": "capacity_lbs", "value": HARD_TEXT }]),
        json!([{ "key": "door", "value": "yes" }]),
        json!([{ "key": "door", "text": HARD_TEXT, "required": true }]),
        json!([{ "until_day": 84, "rule": "FREQ=DAILY" }]),
        json!([{ "offset_minutes": -60, "to": "supervisor" }]),
    ];
    let fits = |list: &Value| {
        let fields = Fields::from_iter([(field.to_owned(), list.clone())]);
        Body::from_fields(kind, fields.clone()).is_ok_and(|body| body.fields() == fields)
    };
    lists.into_iter().find(fits).unwrap_or_else(|| panic!("no list fits {kind:?}.{field}"))
}
