//! Files to send on: the figures that the overview shows, and the records of its areas in the same period.

use super::figures::Asked as Of;
use super::reader::Reader;
use crate::brief::brief;
use crate::error::Error;
use crate::export::{self, Export, Format, TableFormat, export};
use crate::limit::FILE_CHUNK_BYTES;
use crate::summary::Division;
use crate::summary_file::summary_file;
use axum::body::Body;
use axum::extract::Query;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::try_unfold;
use prost::bytes::BytesMut;
use rounds_domain::{AreaId, Kind, Role};
use rounds_store::AuditAction;
use serde::Deserialize;
use std::io::BufWriter;
use tokio::io::AsyncReadExt as _;

/// Kinds whose records can be had here; all others with `rounds export`.
pub(super) const KINDS: &[Kind] = &[
    Kind::Visit,
    Kind::Inspection,
    Kind::Request,
    Kind::Violation,
    Kind::FollowUp,
    Kind::Asset,
    Kind::Place,
    Kind::Commitment,
];

/// Which file.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    /// `summary`, or the plural of a kind.
    what: String,
    /// `csv`, `xlsx` or `parquet`; `md` for a summary, `geojson` for records.
    format: String,
    period: String,
    day: String,
}

/// Whether this role may take files away. Whoever walks the rounds has the records on the phone.
pub(super) fn may_download(role: Role) -> bool {
    role.coordinates() || role == Role::Supervisor
}

/// Answers the file.
pub(super) async fn file(reader: Reader, Query(asked): Query<Asked>) -> Response {
    let role = reader.caller.device.role;
    if !may_download(role) {
        return reader.failed(&Error::RoleForbids { role, what: "download files" });
    }
    let done = match asked.what.as_str() {
        "summary" => summary(&reader, &asked).await,
        what => match KINDS.iter().find(|kind| kind.plural() == what) {
            Some(kind) => records(&reader, &asked, *kind).await,
            None => Err(Error::NotFound("file")),
        },
    };
    done.unwrap_or_else(|error| reader.failed(&error))
}

async fn summary(reader: &Reader, asked: &Asked) -> Result<Response, Error> {
    let of = Of { period: asked.period.clone(), day: asked.day.clone() };
    let ground = reader.ground(&of).await?;
    let report = reader.shared.summarize(&reader.caller, &ground, Division::None, 0, None).await?;
    let content = match asked.format.as_str() {
        "md" => {
            let area = reader.chosen.map_or(reader.text.all_areas, |area| reader.tree.name(area));
            brief(area, &report, &reader.words).map_err(|error| fault(&error))?.into_bytes()
        }
        format => summary_file(&report, &reader.words, table(format)?).map_err(unwritten)?,
    };
    let name = format!("summary_{}_{}.{}", ground.period.first, ground.period.last, asked.format);
    Ok(attached(&name, &asked.format, content.into()))
}

async fn records(reader: &Reader, asked: &Asked, kind: Kind) -> Result<Response, Error> {
    let area = area(reader)?;
    let of = Of { period: asked.period.clone(), day: asked.day.clone() };
    let period = reader.ground(&of).await?.period;
    let format = match asked.format.as_str() {
        "geojson" => Format::GeoJson,
        format => Format::Table(table(format)?),
    };
    // Things that stand somewhere did not happen in a period.
    let happened = !matches!(kind, Kind::Asset | Kind::Place | Kind::Commitment);
    let (from, until) = (happened.then_some(period.first), happened.then_some(period.last));
    let asked_for = Export { kind, area, from, until, format };
    reader.shared.note(&reader.caller, AuditAction::Export, area, kind.plural()).await?;
    // A file at first: what cannot be written ends in an error, not in half of it; and who reads slowly holds no
    // moment of the database.
    let _turn = reader.shared.exports.acquire().await;
    let mut file = tempfile::tempfile().map_err(|error| fault(&error))?;
    let out = BufWriter::new(&mut file);
    export(&reader.shared.store, &asked_for, out, &reader.shared.clock, |_| {}).await.map_err(unwritten)?;
    std::io::Seek::rewind(&mut file).map_err(|error| fault(&error))?;
    let chunks = try_unfold(tokio::fs::File::from_std(file), async |mut file| {
        let mut chunk = BytesMut::with_capacity(FILE_CHUNK_BYTES);
        let read = file.read_buf(&mut chunk).await?;
        Ok::<_, std::io::Error>((read > 0).then(|| (chunk.freeze(), file)))
    });
    let name = match happened {
        true => format!("{}_{}_{}.{}", kind.plural(), period.first, period.last, asked.format),
        false => format!("{}.{}", kind.plural(), asked.format),
    };
    Ok(attached(&name, &asked.format, Body::from_stream(chunks)))
}

/// The area that was chosen; all of the reader's areas have no records of their own unless one is above the others.
fn area(reader: &Reader) -> Result<AreaId, Error> {
    let area = reader.chosen.or_else(|| reader.tree.only_top());
    area.ok_or_else(|| {
        Error::invalid("area", "choose one: a file has the records of one area and those below it")
    })
}

fn table(format: &str) -> Result<TableFormat, Error> {
    match format {
        "csv" => Ok(TableFormat::Csv { byte_order_mark: true }),
        "xlsx" => Ok(TableFormat::Xlsx),
        "parquet" => Ok(TableFormat::Parquet),
        _ => Err(Error::NotFound("format")),
    }
}

fn unwritten(error: export::Error) -> Error {
    match error {
        export::Error::Store(error) => error.into(),
        export::Error::TooManyRows(_) => Error::invalid("format", &error.to_string()),
        _ => fault(&error),
    }
}

/// A fault of this program or its machine.
fn fault(error: &dyn std::fmt::Display) -> Error {
    Error::Store(rounds_store::Error::Unreadable(error.to_string()))
}

fn attached(name: &str, format: &str, content: Body) -> Response {
    let media_type = match format {
        "csv" => "text/csv; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "geojson" => "application/geo+json",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _ => "application/vnd.apache.parquet",
    };
    let headers = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    (headers, content).into_response()
}
