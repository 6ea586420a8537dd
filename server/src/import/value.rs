//! What registers write, and what it means: numbers, dates, yes and no. What could mean two things is refused.

use jiff::civil::Date;
use serde_json::Value;

/// How the field of a record is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Text,
    Number,
    Date,
    YesNo,
}

/// How registers write that they do not know a number or a date.
const BLANKS: &[&str] = &["nan", "na", "n/a", "null", "none", "-", "0000-00-00"];

impl Form {
    /// The form of a field of the kinds that are imported.
    pub(super) fn of(field: &str) -> Self {
        match field {
            "latitude" | "longitude" => Self::Number,
            "since" => Self::Date,
            "left" => Self::YesNo,
            _ => Self::Text,
        }
    }

    /// The value as a record has it; null for none.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub(super) fn read(self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        let is_blank = BLANKS.iter().any(|blank| text.eq_ignore_ascii_case(blank));
        if text.is_empty() || (is_blank && self != Self::Text) {
            return Ok(Value::Null);
        }
        match self {
            Self::Text => Ok(text.into()),
            Self::Number => number(text),
            Self::Date => date(text).map(|date| date.to_string().into()),
            Self::YesNo => match text.to_ascii_lowercase().as_str() {
                "yes" | "y" | "true" | "1" => Ok(true.into()),
                "no" | "n" | "false" | "0" => Ok(Value::Null), // as a record says it: absent
                _ => Err(format!("{text:?} is neither yes nor no")),
            },
        }
    }
}

fn number(text: &str) -> Result<Value, String> {
    // A comma is a decimal one where it is the only mark: degrees have no thousands.
    let point = if text.contains('.') { text.to_owned() } else { text.replacen(',', ".", 1) };
    match point.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number.into()),
        _ => Err(format!("{text:?} is no number: write it as 40.760884")),
    }
}

/// Forms of a day that can be read in one way only.
const DAY_FORMS: &[&str] = &[
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%d",
    "%d.%m.%Y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%B %d, %Y",
];

fn date(text: &str) -> Result<Date, String> {
    let refused = |why: &str| Err(format!("{text:?} {why}: write it as 2026-11-22"));
    let day = without_time(text);
    // The year of `%Y` may have any number of digits; those of a register have four.
    let has_year = |date: &Date| (1000..=9999).contains(&date.year());
    for form in DAY_FORMS {
        if let Some(date) = Date::strptime(form, day).ok().filter(has_year) {
            return Ok(date);
        }
    }
    let month_first = Date::strptime("%m/%d/%Y", day).ok().filter(has_year);
    let day_first = Date::strptime("%d/%m/%Y", day).ok().filter(has_year);
    match (month_first, day_first) {
        (Some(one), Some(other)) if one == other => Ok(one),
        (Some(_), Some(_)) => refused("may be read with the day or the month first"),
        (Some(date), None) | (None, Some(date)) => Ok(date),
        (None, None) => refused("is no date"),
    }
}

/// The day, without the time that databases add when they write one.
fn without_time(text: &str) -> &str {
    for mark in ['T', ' '] {
        if let Some((day, time)) = text.split_once(mark)
            && time.starts_with(|char: char| char.is_ascii_digit())
            && time.contains(':')
        {
            return day;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_have_a_point_or_a_comma_and_must_be_one() {
        assert_eq!(Form::Number.read(" 40.760884847531415 "), Ok(40.760884847531415.into()));
        assert_eq!(Form::Number.read("-73,98"), Ok((-73.98).into()));
        for none in ["", " ", "NaN", "n/a", "NULL", "-"] {
            assert_eq!(Form::Number.read(none), Ok(Value::Null), "{none:?}");
        }
        for wrong in ["inf", "1e999", "40°45'", "1,234,5", "1.234,5", "forty"] {
            assert!(Form::Number.read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_date_is_read_where_it_can_be_read_in_one_way() {
        let day = Ok(Value::from("2015-09-18"));
        for text in [
            "2015-09-18",
            "2015/9/18",
            "20150918",
            "2015-09-18T00:00:00.000",
            "2015-09-18 00:00:00+00",
            "18.09.2015",
            "09/18/2015",
            "18/09/2015",
            "18 Sep 2015",
            "18-SEP-2015",
            "September 18, 2015",
        ] {
            assert_eq!(Form::Date.read(text), day, "{text:?}");
        }
        assert_eq!(Form::Date.read("04/04/2015"), Ok("2015-04-04".into()), "the same either way");
        for none in ["", "NA", "0000-00-00"] {
            assert_eq!(Form::Date.read(none), Ok(Value::Null), "{none:?}");
        }
        for wrong in
            ["03/04/2015", "2015-02-30", "18/09/15", "42265", "1443000000", "spring 2015", "15-09-18"]
        {
            let error = Form::Date.read(wrong).unwrap_err();
            assert!(error.contains("2026-11-22"), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn yes_and_no_are_read_in_the_usual_ways() {
        assert_eq!(Form::YesNo.read("Yes"), Ok(true.into()));
        assert_eq!(Form::YesNo.read("0"), Ok(Value::Null));
        assert!(Form::YesNo.read("perhaps").is_err());
    }

    #[test]
    fn a_text_is_what_the_register_says() {
        assert_eq!(Form::Text.read(" 2 Spp. :: "), Ok("2 Spp. ::".into()));
        assert_eq!(Form::Text.read("NA"), Ok("NA".into()));
        assert_eq!(Form::Text.read("  "), Ok(Value::Null));
    }
}
