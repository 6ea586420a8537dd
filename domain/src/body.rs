//! What each noun of the field says. Every field may be empty unless its rule says that it is needed.
//!
//! There are no fields about persons here, and there must be none: records belong to places, assets and requests.

#![allow(clippy::ptr_arg)] // a rule takes a reference to the field as it is: fn(&str, &String)

use crate::column::Form;
use crate::id::RecordId;
use crate::kind::{Kind, Nature};
use crate::limit::{DUE_DAYS_MAX, LIST_ENTRIES_MAX, QUANTITY_MAX};
use crate::op::{Change, name, text};
use crate::verdict::{Reason, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The fields of a record as JSON: names as on the wire, empty fields absent.
pub type Fields = Map<String, Value>;

/// A field that can be empty, which is how "not said" is written.
trait Empty {
    fn empty(&self) -> bool;
}

impl Empty for String {
    fn empty(&self) -> bool {
        self.is_empty()
    }
}

impl<T> Empty for Option<T> {
    fn empty(&self) -> bool {
        self.is_none()
    }
}

impl<T> Empty for Vec<T> {
    fn empty(&self) -> bool {
        self.is_empty()
    }
}

impl Empty for bool {
    fn empty(&self) -> bool {
        !self
    }
}

fn is_empty<T: Empty>(value: &T) -> bool {
    value.empty()
}

/// How the values of a type are written.
trait Formed {
    const FORM: Form;
}

macro_rules! formed {
    ($($type:ty: $form:ident),*) => {
        $(impl Formed for $type {
            const FORM: Form = Form::$form;
        })*
    };
}

formed! {
    String: Text, bool: YesNo, Option<f64>: Number, Option<i64>: Integer, Option<u32>: Integer,
    Option<RecordId>: Reference
}

impl<T> Formed for Vec<T> {
    const FORM: Form = Form::List;
}

/// The form of a field: that of its type, but of a text that has to be a date.
macro_rules! form {
    (date, $type:ty) => {
        Form::Date
    };
    ($rule:ident, $type:ty) => {
        <$type as Formed>::FORM
    };
}

macro_rules! bodies {
    ($($(#[$doc:meta])* $body:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $rule:ident),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
            #[serde(default)]
            pub struct $body {
                $($(#[$field_doc])* #[serde(skip_serializing_if = "is_empty")] pub $field: $type),*
            }

            impl $body {
                fn check_field(&self, field: &str) -> Result<(), Refusal> {
                    match field {
                        $(stringify!($field) => {
                            let rule: fn(&str, &$type) -> Result<(), Refusal> = $rule;
                            rule(concat!(stringify!($body), ".", stringify!($field)), &self.$field)
                        })*
                        _ => Err(Refusal::invalid(stringify!($body), "no such field")),
                    }
                }
            }
        )*

        /// What a record of some kind says.
        #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Body {
            $($(#[$doc])* $body($body)),*
        }

        impl Body {
            /// The kind of the record.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Body::$body(_) => Kind::$body),*
                }
            }

            /// The names of a kind's fields.
            pub fn field_names(kind: Kind) -> &'static [&'static str] {
                match kind {
                    $(Kind::$body => &[$(stringify!($field)),*]),*
                }
            }

            /// The names of a kind's fields, and how their values are written.
            pub fn field_forms(kind: Kind) -> &'static [(&'static str, Form)] {
                match kind {
                    $(Kind::$body => &[$((stringify!($field), form!($rule, $type))),*]),*
                }
            }

            /// The fields that are not empty.
            pub fn fields(&self) -> Fields {
                let value = match self {
                    $(Body::$body(body) => serde_json::to_value(body)),*
                };
                match value {
                    Ok(Value::Object(fields)) => fields,
                    _ => Fields::new(), // a struct of strings, numbers and lists is always an object
                }
            }

            /// The body that has these fields.
            ///
            /// # Errors
            /// When a field has a value of another type.
            pub fn from_fields(kind: Kind, fields: Fields) -> Result<Self, serde_json::Error> {
                Ok(match kind {
                    $(Kind::$body => Body::$body(serde_json::from_value(Value::Object(fields))?)),*
                })
            }

            fn check_field(&self, field: &str) -> Result<(), Refusal> {
                match self {
                    $(Body::$body(body) => body.check_field(field)),*
                }
            }
        }
    };
}

bodies! {
    /// A node of the tree of areas: district, sub-district, community, grid cell.
    Area {
        /// What people call it.
        name: String = need_name,
        /// The area above; empty for a root. Set once.
        parent: Option<RecordId> = any,
        /// A word for its level, such as `community`.
        level: String = name_rule,
        /// IANA time zone, such as `Asia/Shanghai`. Set once.
        time_zone: String = time_zone,
        /// The city's own code for it.
        code: String = name_rule,
    }

    /// Building, entrance, dwelling, green space or public ground.
    Place {
        /// What people call it: "Building 4", "4-2-301".
        name: String = need_name,
        /// `building`, `entrance`, `dwelling`, `green_space`, `public_ground` or another word of the vocabulary.
        sort: String = need_name,
        /// The place around it: the building of an entrance.
        parent: Option<RecordId> = any,
        /// The printed code (QR) at the door.
        code: String = name_rule,
        /// Street address.
        address: String = name_rule,
        /// WGS 84, degrees north.
        latitude: Option<f64> = latitude,
        /// WGS 84, degrees east.
        longitude: Option<f64> = longitude,
        /// Its key in the register that it was imported from.
        external_ref: String = name_rule,
    }

    /// Something looked after at a place.
    Asset {
        /// What people call it.
        name: String = need_name,
        /// `elevator`, `tree`, `bed`, `lawn`, `pots`, `climbing_plants`, `pipe`, `meter`, `heating_line`, `bench`, ...
        sort: String = need_name,
        /// Where it is.
        place: Option<RecordId> = any,
        /// The printed code (QR) on it.
        code: String = name_rule,
        /// WGS 84, degrees north.
        latitude: Option<f64> = latitude,
        /// WGS 84, degrees east.
        longitude: Option<f64> = longitude,
        /// Its key in the register that it was imported from.
        external_ref: String = name_rule,
        /// Technical data: manufacturer, capacity, species.
        attributes: Vec<Attribute> = attributes,
        /// Since when it stands or grows there, as an ISO date.
        since: String = date,
    }

    /// A partner: water, power, heating, property manager, housing office, school, bank.
    Organization {
        /// Its name.
        name: String = need_name,
        /// A word for what it does, such as `water`.
        sort: String = name_rule,
        /// Where referrals are sent: the organization's mailbox, not a person's.
        email: String = name_rule,
        /// Where referrals are posted.
        web_hook: String = name_rule,
        /// Its key in the register that it was imported from.
        external_ref: String = name_rule,
    }

    /// What a partner promised.
    Commitment {
        /// Who promised.
        organization: Option<RecordId> = need,
        /// What for.
        goal: String = need_name,
        /// How much.
        quantity: Option<f64> = amount,
        /// Of what: `pots`.
        unit: String = name_rule,
        /// What has to be done.
        tasks: String = text_rule,
        /// The group that answers for it on our side.
        group: Option<RecordId> = any,
        /// Until when, as an ISO date.
        due: String = date,
    }

    /// A partner looks after a place or an asset.
    Contract {
        /// Who.
        organization: Option<RecordId> = need,
        /// The place or asset.
        subject: Option<RecordId> = need,
        /// What it covers: `maintenance`.
        covers: String = need_name,
        /// First day, as an ISO date.
        from: String = date,
        /// Last day, as an ISO date.
        until: String = date,
    }

    /// Someone that work is given to. Nothing is kept here but how to call them at work.
    Worker {
        /// The name that is used at work.
        name: String = need_name,
        /// The key in the register that it was imported from.
        external_ref: String = name_rule,
        /// No longer with the team.
        left: bool = any,
    }

    /// Volunteers with a common skill.
    Group {
        /// Its name.
        name: String = need_name,
        /// `environment`, `medical`, `property`, `mediation`, `hardship_support`, `safety`, ...
        skill: String = need_name,
        /// Who belongs to it.
        members: Vec<RecordId> = list,
    }

    /// One call at a dwelling or organization.
    Visit {
        /// The dwelling or organization.
        subject: Option<RecordId> = need,
        /// What for: `routine`, `recheck`, `persuasion`, ...
        purpose: String = need_name,
        /// `met`, `no_answer`, `refused`, `moved`, ...
        outcome: String = need_name,
        /// What there is to say about the place or the service.
        note: String = text_rule,
        /// The follow-up that it does.
        follow_up: Option<RecordId> = any,
        /// The violation that it is about.
        violation: Option<RecordId> = any,
    }

    /// One check of an asset or place.
    Inspection {
        /// The asset or place.
        subject: Option<RecordId> = need,
        /// The checklist; each version is a record of its own.
        checklist: Option<RecordId> = any,
        /// The answers to its questions.
        answers: Vec<Answer> = answers,
        /// `pass`, `fail` or `needs_attention`.
        result: String = need_name,
        /// What was found.
        findings: String = text_rule,
        /// The follow-up that it does.
        follow_up: Option<RecordId> = any,
        /// What was done with it, in the words of plans: `maintenance`, `watering`; empty for a check only.
        sort: String = name_rule,
        /// The commitment that the work is a part of.
        commitment: Option<RecordId> = any,
        /// How much of it was done, in the commitment's unit; 1 if not said.
        quantity: Option<f64> = amount,
    }

    /// Something residents ask for or complain of.
    Request {
        /// Where the trouble is.
        subject: Option<RecordId> = any,
        /// `water`, `power`, `heating`, `elevator`, `noise`, ...
        category: String = need_name,
        /// `visit`, `meeting`, `phone`, `walk_in`, ...
        channel: String = need_name,
        /// What is asked for.
        description: String = text_rule,
        /// The visit in which it was raised.
        visit: Option<RecordId> = any,
        /// Who has it now. Set by referring it.
        referred_to: Option<RecordId> = any,
        /// Until when, in ms since 1970 UTC. Set by referring it.
        due_at_ms: Option<i64> = any,
    }

    /// Illegal structure, occupied or destroyed green, dumping, graffiti, damaged wall, obstructing vehicle.
    Violation {
        /// Where.
        subject: Option<RecordId> = any,
        /// `illegal_structure`, `occupied_green`, `dumping`, `graffiti`, ...
        sort: String = need_name,
        /// What is there to see.
        description: String = text_rule,
        /// The visit in which it was found.
        visit: Option<RecordId> = any,
        /// WGS 84, degrees north.
        latitude: Option<f64> = latitude,
        /// WGS 84, degrees east.
        longitude: Option<f64> = longitude,
    }

    /// A recurrence rule on an asset or place.
    Plan {
        /// The asset or place.
        subject: Option<RecordId> = need,
        /// What is due: `maintenance`, `statutory_inspection`, `watering`, ...
        sort: String = need_name,
        /// RFC 5545 RRULE, in the area's time zone.
        rule: String = rule,
        /// First day, as an ISO date.
        from: String = date,
        /// Last day, as an ISO date; empty if it has none.
        until: String = date,
        /// Months (1 to 12) in which it rests.
        resting_months: Vec<u32> = months,
        /// The next one counts from the last completion, not from the calendar.
        after_completion: bool = any,
        /// Longest time that the law allows between two, in days.
        gap_days_max: Option<u32> = gap_days,
        /// How many days before it is due it may be done.
        opens_days: Option<u32> = any,
        /// How many days after it is due it counts as missed.
        expires_days: Option<u32> = any,
        /// Who does it.
        worker: Option<RecordId> = any,
        /// Or which group.
        group: Option<RecordId> = any,
        /// Or which partner.
        organization: Option<RecordId> = any,
        /// Required by law: cannot be switched off in silence.
        mandated: bool = any,
        /// Other rules while it is young: the first whose age it has not reached. `rule` is that of the time after.
        phases: Vec<Phase> = phases,
        /// What happens to those that fell due while no worker ran: `latest` (or empty), `all` or `skip`.
        catch_up: String = catch_up,
        /// Switched off by a coordinator until it is switched on again.
        resting: bool = any,
    }

    /// One thing due.
    FollowUp {
        /// The place or asset where it has to be done.
        subject: Option<RecordId> = any,
        /// What it follows from: a plan, violation, request, visit or contract.
        source: Option<RecordId> = need,
        /// `recheck`, `second_call`, `maintenance`, `watering`, ...
        sort: String = need_name,
        /// From when it may be done, in ms since 1970 UTC.
        opens_at_ms: Option<i64> = any,
        /// When it is due, in ms since 1970 UTC.
        due_at_ms: Option<i64> = need,
        /// When it counts as missed, in ms since 1970 UTC.
        expires_at_ms: Option<i64> = any,
        /// Who does it.
        worker: Option<RecordId> = any,
        /// Or which group.
        group: Option<RecordId> = any,
        /// Or which partner.
        organization: Option<RecordId> = any,
        /// Or the household or group that adopted the planting, until it is due.
        adoption: Option<RecordId> = any,
        /// The op that called for it, as device/number: of a plan, the version that it follows.
        cause: String = name_rule,
        /// The rule that called for it: a plan's RRULE, or words such as `30 days after removal`.
        rule: String = text_rule,
    }

    /// A resident household or a group takes on a planting.
    Adoption {
        /// The planting.
        asset: Option<RecordId> = need,
        /// The dwelling that takes it on: a place, not a person.
        place: Option<RecordId> = any,
        /// Or the group.
        group: Option<RecordId> = any,
        /// Until when it has to be confirmed, as an ISO date.
        confirm_by: String = date,
    }

    /// What is known of a photo or file. Its bytes travel on their own.
    Attachment {
        /// The record that it belongs to.
        subject: Option<RecordId> = need,
        /// Media type: `image/jpeg`.
        media_type: String = need_name,
        /// Size in bytes.
        size_bytes: Option<i64> = need,
        /// SHA-256 of its bytes, in lower-case hex.
        sha256: String = sha256,
        /// `before`, `after` or empty.
        stage: String = name_rule,
    }

    /// One version of a list of questions. Another version is another record of the same series.
    Checklist {
        /// Its name.
        name: String = need_name,
        /// The same for every version of it.
        series: String = need_name,
        /// From 1.
        version: Option<u32> = need,
        /// What is asked.
        questions: Vec<Question> = questions,
    }

    /// A word of a vocabulary.
    Term {
        /// The vocabulary: `request_category`, `violation_sort`, `visit_outcome`, ...
        vocabulary: String = need_name,
        /// The word as records say it: `water`.
        word: String = need_name,
        /// What people read, in English.
        label_en: String = name_rule,
        /// In Simplified Chinese.
        label_zh_hans: String = name_rule,
        /// In Traditional Chinese.
        label_zh_hant: String = name_rule,
        /// No longer offered.
        retired: bool = any,
        /// Of a category of requests: how long a partner may take, in hours.
        due_hours: Option<u32> = any,
    }

    /// Something that somebody should know: a reminder, an alert. The inbox of a phone is a list of these.
    Notice {
        /// The follow-up, plan, contract or request that it is about.
        subject: Option<RecordId> = need,
        /// `reminder`, `overdue`, `gap`, `plan_off`, `referral`, `digest`, ...
        sort: String = need_name,
        /// When it was called for, in ms since 1970 UTC.
        at_ms: Option<i64> = need,
        /// When what it is about is or was due, in ms since 1970 UTC.
        due_at_ms: Option<i64> = any,
        /// Who should know: this worker,
        worker: Option<RecordId> = any,
        /// or this group,
        group: Option<RecordId> = any,
        /// or this partner,
        organization: Option<RecordId> = any,
        /// or those with this role in the area: `coordinator`, `supervisor`.
        role: String = name_rule,
    }

    /// Who is told when, in an area and those below it that have none of their own.
    Policy {
        /// The sort of follow-ups that it is for; empty for all that have none of their own.
        sort: String = name_rule,
        /// Who is told when.
        steps: Vec<ReminderStep> = steps,
        /// Nobody is told from this local time on, such as `21:00`,
        quiet_from: String = time_of_day,
        /// until this one, such as `07:00`; if empty, until 7 o'clock.
        quiet_until: String = time_of_day,
        /// The coordinators' mailbox: of the function, not of a person.
        coordinator_email: String = name_rule,
        /// The supervisors' mailbox: of the function, not of a person.
        supervisor_email: String = name_rule,
        /// `daily`, `weekly` or empty: how often coordinators and supervisors get a digest.
        digest: String = digest,
        /// Of follow-ups of what happened once, how many days after it they are due; 0 alone: there are none. Empty: as
        /// the next policy above says, or as is built in. It counts in a policy for one sort: `recheck` (7, 30 and 90
        /// days after the removal of a violation), `second_call` (3 after nobody answered) or `verification` (7 after a
        /// partner called a request resolved); of the last two, which are due once, the first counts.
        due_days: Vec<u32> = due_days,
    }
}

/// Another rule while something is young.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Phase {
    /// It holds until this age, in days since the plan began.
    pub until_day: u32,
    /// RFC 5545 RRULE, in the area's time zone.
    pub rule: String,
}

/// Somebody is told at some time before or after something is due.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ReminderStep {
    /// Minutes after it is due; negative before.
    pub offset_minutes: i32,
    /// `responsible`, `coordinator` or `supervisor`.
    pub to: String,
}

/// A piece of technical data.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Attribute {
    /// Its name: `capacity_lbs`.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A question of a checklist.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Question {
    /// Its short name, which the answer repeats.
    pub key: String,
    /// What is asked.
    pub text: String,
    /// Has to be answered.
    pub required: bool,
}

/// An answer to a question of a checklist.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    /// The short name of the question.
    pub key: String,
    /// `yes`, `no`, a number, a word.
    pub value: String,
}

impl Body {
    /// Whether everything needed is there and within its limits.
    ///
    /// # Errors
    /// A [`Refusal`] that names the field.
    pub fn check(&self) -> Result<(), Refusal> {
        Self::field_names(self.kind()).iter().try_for_each(|field| self.check_field(field))
    }
}

/// Whether these changes fit a kind: the fields exist, may change, and the values are within their limits.
pub(crate) fn check_changes(kind: Kind, changes: &[Change], reason: &str) -> Result<(), Refusal> {
    match kind.nature() {
        Nature::Fixed => {
            return Err(Refusal::new(
                Reason::WrongKind,
                format!("edit: a {} is not changed; create its next version", kind.name()),
            ));
        }
        Nature::Fact if reason.trim().is_empty() => {
            return Err(Refusal::invalid("edit.reason", "say why this fact is amended"));
        }
        Nature::Fact | Nature::Described => {}
    }
    for change in changes {
        let field = change.field.as_str();
        if kind == Kind::Plan && SCHEDULE.contains(&field) && reason.trim().is_empty() {
            let what = format!(
                "say why the plan's {field} changes: what the law requires is not changed in silence"
            );
            return Err(Refusal::invalid("edit.reason", &what));
        }
        if !Body::field_names(kind).contains(&field) {
            return Err(Refusal::invalid("edit.fields", &format!("a {} has no such field", kind.name())));
        }
        if is_fixed(kind, field) {
            return Err(Refusal::new(
                Reason::FieldFixed,
                format!("edit.{field}: cannot be changed by an edit"),
            ));
        }
        let mut fields = Fields::new();
        if !change.value.is_null() {
            fields.insert(field.to_owned(), change.value.clone());
        }
        let body = Body::from_fields(kind, fields)
            .map_err(|_| Refusal::invalid(field, "the value has the wrong type"))?;
        body.check_field(field)?;
        // One way to write a value, or the fold would see changes and conflicts where there are none.
        if body.fields().remove(field).unwrap_or(Value::Null) != change.value {
            return Err(Refusal::invalid(field, "write the value as a record has it, and empty as null"));
        }
    }
    Ok(())
}

/// Fields that no edit changes: they shape the tree, or belong to the stages.
fn is_fixed(kind: Kind, field: &str) -> bool {
    matches!(
        (kind, field),
        (Kind::Area, "parent" | "time_zone")
            | (Kind::Request, "referred_to" | "due_at_ms")
            | (Kind::FollowUp, "source")
            | (Kind::Term, "vocabulary" | "word")
    )
}

/// The fields of a plan that say whether, where and when something falls due. An edit of them needs a reason.
const SCHEDULE: [&str; 10] = [
    "subject",
    "sort",
    "rule",
    "phases",
    "from",
    "until",
    "resting_months",
    "resting",
    "gap_days_max",
    "mandated",
];

/// Length of `2026-11-22`, in characters.
const ISO_DATE_CHARS: usize = 10;

type Checked = Result<(), Refusal>;

fn any<T>(_: &str, _: &T) -> Checked {
    Ok(())
}

fn need<T>(field: &str, value: &Option<T>) -> Checked {
    if value.is_none() { Err(Refusal::invalid(field, "is needed")) } else { Ok(()) }
}

fn need_name(field: &str, value: &String) -> Checked {
    if value.trim().is_empty() {
        return Err(Refusal::invalid(field, "is needed"));
    }
    name(field, value)
}

fn name_rule(field: &str, value: &String) -> Checked {
    name(field, value)
}

fn text_rule(field: &str, value: &String) -> Checked {
    text(field, value)
}

fn list<T>(field: &str, value: &Vec<T>) -> Checked {
    if value.len() > LIST_ENTRIES_MAX {
        return Err(Refusal::invalid(field, "more than 256 entries"));
    }
    Ok(())
}

fn attributes(field: &str, value: &Vec<Attribute>) -> Checked {
    list(field, value)?;
    value.iter().try_for_each(|it| need_name(field, &it.name).and_then(|()| name(field, &it.value)))
}

fn answers(field: &str, value: &Vec<Answer>) -> Checked {
    list(field, value)?;
    value.iter().try_for_each(|it| need_name(field, &it.key).and_then(|()| text(field, &it.value)))
}

fn questions(field: &str, value: &Vec<Question>) -> Checked {
    list(field, value)?;
    value.iter().try_for_each(|it| need_name(field, &it.key).and_then(|()| text(field, &it.text)))
}

fn latitude(field: &str, value: &Option<f64>) -> Checked {
    degrees(field, *value, 90.0)
}

fn longitude(field: &str, value: &Option<f64>) -> Checked {
    degrees(field, *value, 180.0)
}

fn finite(field: &str, value: &Option<f64>) -> Checked {
    match value {
        Some(number) if !number.is_finite() => Err(Refusal::invalid(field, "must be a finite number")),
        _ => Ok(()),
    }
}

fn amount(field: &str, value: &Option<f64>) -> Checked {
    match value {
        Some(number) if *number < 0.0 => Err(Refusal::invalid(field, "must not be negative")),
        Some(number) if *number > QUANTITY_MAX => {
            Err(Refusal::invalid(field, &format!("must not be more than {QUANTITY_MAX}")))
        }
        _ => finite(field, value),
    }
}

fn degrees(field: &str, value: Option<f64>, max: f64) -> Checked {
    match value {
        Some(degrees) if !(-max..=max).contains(&degrees) => {
            Err(Refusal::invalid(field, &format!("must be between -{max} and {max} degrees")))
        }
        _ => Ok(()),
    }
}

fn months(field: &str, value: &Vec<u32>) -> Checked {
    if value.len() > 12 || value.iter().any(|month| !(1..=12).contains(month)) {
        return Err(Refusal::invalid(field, "months are 1 to 12"));
    }
    Ok(())
}

fn phases(field: &str, value: &Vec<Phase>) -> Checked {
    list(field, value)?;
    if !value.is_sorted_by_key(|phase| phase.until_day) {
        return Err(Refusal::invalid(field, "give the phases in the order of their ages"));
    }
    value.iter().try_for_each(|phase| rule(field, &phase.rule))
}

fn rule(field: &str, value: &String) -> Checked {
    need_name(field, value)?;
    crate::recurrence::Rule::parse(value).map(drop).map_err(|what| Refusal::invalid(field, &what))
}

fn catch_up(field: &str, value: &String) -> Checked {
    one_of(field, value, &["", "latest", "all", "skip"])
}

fn digest(field: &str, value: &String) -> Checked {
    one_of(field, value, &["", "daily", "weekly"])
}

fn gap_days(field: &str, value: &Option<u32>) -> Checked {
    match value {
        Some(0) => Err(Refusal::invalid(field, "give days from 1, or leave it out if the law names none")),
        _ => Ok(()),
    }
}

fn due_days(field: &str, value: &Vec<u32>) -> Checked {
    list(field, value)?;
    let in_order = value.is_sorted_by(|day, next| day < next);
    if !in_order || (value.len() > 1 && value[0] == 0) || value.iter().any(|days| *days > DUE_DAYS_MAX) {
        let what = "give days from 1 to 3650, each once and in their order, or 0 alone for none";
        return Err(Refusal::invalid(field, what));
    }
    Ok(())
}

fn one_of(field: &str, value: &str, words: &[&str]) -> Checked {
    if words.contains(&value) {
        return Ok(());
    }
    Err(Refusal::invalid(field, &format!("use one of {}, or leave it empty", words[1..].join(", "))))
}

fn steps(field: &str, value: &Vec<ReminderStep>) -> Checked {
    list(field, value)?;
    value.iter().try_for_each(|step| {
        one_of(field, &step.to, &["responsible", "coordinator", "supervisor"])
            .map_err(|_| Refusal::invalid(field, "tell one of responsible, coordinator, supervisor"))
    })
}

fn time_of_day(field: &str, value: &String) -> Checked {
    // Length and colon shut out the other forms that the parser knows: T2100, 21:00:00.
    let hours_and_minutes = value.len() == 5 && value.get(2..3) == Some(":");
    if value.is_empty() || (hours_and_minutes && value.parse::<jiff::civil::Time>().is_ok()) {
        return Ok(());
    }
    Err(Refusal::invalid(field, "is no time of day: write it as 21:00"))
}

fn date(field: &str, value: &String) -> Checked {
    // The length shuts out the other forms that the parser knows: without hyphens, with a time, with a zone.
    if value.is_empty() || (value.len() == ISO_DATE_CHARS && value.parse::<jiff::civil::Date>().is_ok()) {
        return Ok(());
    }
    Err(Refusal::invalid(field, "is no date: write it as 2026-11-22"))
}

fn time_zone(field: &str, value: &String) -> Checked {
    match jiff::tz::TimeZone::get(value) {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::invalid(field, "is no IANA time zone: write it as Asia/Shanghai")),
    }
}

fn sha256(field: &str, value: &String) -> Checked {
    if value.len() == 64 && value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    Err(Refusal::invalid(field, "must be 64 lower-case hexadecimal digits"))
}
