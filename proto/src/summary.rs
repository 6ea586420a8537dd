//! Summaries between wire and domain.

use crate::{id_from_wire, v1};
use jiff::civil::Date;
use rounds_domain::summary::{Figure, Freshness, Late, Period, Progress, Report, Spread, Summary};
use rounds_domain::{RecordId, Refusal};

/// A summary, as it is sent.
pub fn report_to_wire(report: Report) -> v1::SummarizeResponse {
    let late = report.late.iter().map(|late| v1::LateDay {
        day: late.day.to_string(),
        ops: late.ops,
        received_ms: late.received_ms,
    });
    let commitments = report.commitments.into_iter().map(|progress| v1::CommitmentProgress {
        commitment: progress.commitment.to_string(),
        organization: progress.organization.map(|id| id.to_string()).unwrap_or_default(),
        goal: progress.goal,
        quantity: progress.quantity,
        unit: progress.unit,
        due: progress.due,
        done: progress.done,
    });
    let part = |(key, summary)| v1::SummaryPart { key, summary: Some(summary_to_wire(summary)) };
    v1::SummarizeResponse {
        first: report.period.first.to_string(),
        last: report.period.last.to_string(),
        before_first: report.before.first.to_string(),
        before_last: report.before.last.to_string(),
        time_zone: report.time_zone,
        as_of_ms: report.as_of_ms,
        summary: Some(summary_to_wire(report.summary)),
        parts: report.parts.into_iter().map(part).collect(),
        freshness: Some(v1::SummaryFreshness {
            devices: report.freshness.devices,
            silent_devices: report.freshness.silent_devices,
            silent_hours: report.freshness.silent_hours,
            unsent_ops: report.freshness.unsent_ops,
            quarantined_ops: report.freshness.quarantined_ops,
            disputed_records: report.freshness.disputed_records,
            heard_ms: report.freshness.heard_ms,
            late: late.collect(),
        }),
        commitments: commitments.collect(),
        names: report.names.into_iter().collect(),
    }
}

/// Reads a summary that a server answered.
///
/// # Errors
/// A [`Refusal`] that names the field which cannot be read.
pub fn report_from_wire(answer: v1::SummarizeResponse) -> Result<Report, Refusal> {
    let period = |first: &str, last: &str| -> Result<Period, Refusal> {
        Ok(Period { first: day("first", first)?, last: day("last", last)? })
    };
    let freshness = answer.freshness.unwrap_or_default();
    let late = freshness.late.iter().map(|late| {
        Ok(Late { day: day("late.day", &late.day)?, ops: late.ops, received_ms: late.received_ms })
    });
    let commitments = answer.commitments.into_iter().map(|progress| {
        let organization: Option<RecordId> = match progress.organization.as_str() {
            "" => None,
            id => Some(id_from_wire("commitments.organization", id)?),
        };
        Ok(Progress {
            commitment: id_from_wire("commitments.commitment", &progress.commitment)?,
            organization,
            goal: progress.goal,
            quantity: progress.quantity,
            unit: progress.unit,
            due: progress.due,
            done: progress.done,
        })
    });
    Ok(Report {
        period: period(&answer.first, &answer.last)?,
        before: period(&answer.before_first, &answer.before_last)?,
        time_zone: answer.time_zone,
        as_of_ms: answer.as_of_ms,
        summary: summary_from_wire(answer.summary.unwrap_or_default()),
        parts: answer
            .parts
            .into_iter()
            .map(|part| (part.key, summary_from_wire(part.summary.unwrap_or_default())))
            .collect(),
        late: late.collect::<Result<_, Refusal>>()?,
        freshness: Freshness {
            devices: freshness.devices,
            silent_devices: freshness.silent_devices,
            silent_hours: freshness.silent_hours,
            unsent_ops: freshness.unsent_ops,
            heard_ms: freshness.heard_ms,
            quarantined_ops: freshness.quarantined_ops,
            disputed_records: freshness.disputed_records,
        },
        commitments: commitments.collect::<Result<_, Refusal>>()?,
        names: answer.names.into_iter().collect(),
    })
}

fn day(field: &str, text: &str) -> Result<Date, Refusal> {
    text.parse().map_err(|_| Refusal::invalid(field, "is no date: write it as 2026-11-22"))
}

fn summary_to_wire(summary: Summary) -> v1::Summary {
    let figure = |figure: Figure| v1::Figure {
        name: figure.name,
        value: figure.value,
        before: figure.before,
        of: figure.of,
    };
    let spread = |spread: Spread| v1::Spread {
        name: spread.name,
        count: spread.count,
        median_ms: spread.median_ms,
        p90_ms: spread.p90_ms,
        median_before_ms: spread.median_before_ms,
    };
    v1::Summary {
        figures: summary.figures.into_iter().map(figure).collect(),
        spreads: summary.spreads.into_iter().map(spread).collect(),
    }
}

fn summary_from_wire(summary: v1::Summary) -> Summary {
    let figure = |figure: v1::Figure| Figure {
        name: figure.name,
        value: figure.value,
        before: figure.before,
        of: figure.of,
    };
    let spread = |spread: v1::Spread| Spread {
        name: spread.name,
        count: spread.count,
        median_ms: spread.median_ms,
        p90_ms: spread.p90_ms,
        median_before_ms: spread.median_before_ms,
    };
    Summary {
        figures: summary.figures.into_iter().map(figure).collect(),
        spreads: summary.spreads.into_iter().map(spread).collect(),
    }
}
