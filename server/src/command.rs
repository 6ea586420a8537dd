//! What the command line can do. Each command says in words what went wrong, and answers the exit code.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod channel;
pub(crate) mod code;
pub(crate) mod contact;
pub(crate) mod coordinate;
pub(crate) mod delivery;
pub(crate) mod demo;
pub(crate) mod device;
pub(crate) mod export;
pub(crate) mod follow_up;
pub(crate) mod import;
pub(crate) mod jobs;
pub(crate) mod link;
pub(crate) mod phone;
pub(crate) mod plan;
pub(crate) mod print;
pub(crate) mod progress;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod summary;
pub(crate) mod verify;
pub(crate) mod worker;

use axum::http::Uri;
use rounds_device::Device;
use rounds_domain::{AreaId, Kind};
use rounds_server::{Clock, Random};
use rounds_store::{RecordFilter, Store};
use std::io::ErrorKind;
use std::path::Path;
use tempfile::NamedTempFile;
use uuid::Uuid;

/// Where data is kept if nothing else is said.
pub(crate) const DATABASE_DEFAULT: &str = "sqlite:rounds-data/rounds.db";

/// Opens the database, which has to be there: what a mistyped name finds is not to be taken for an empty one.
pub(crate) async fn open(url: &str) -> Result<Store, String> {
    if let Some(path) = url.strip_prefix("sqlite:")
        && !Path::new(path).exists()
    {
        return Err(format!(
            "there is no database {path}: say which with --database, or start the server once"
        ));
    }
    open_or_make(url).await
}

/// Opens the database, or makes it if it is not there yet.
pub(crate) async fn open_or_make(url: &str) -> Result<Store, String> {
    Store::open(url, new_epoch()?).await.map_err(|error| with_causes(&error))
}

/// Opens a device's file, which has to be there.
pub(crate) fn open_device(path: &Path) -> Result<Device, String> {
    if !path.exists() {
        return Err(format!(
            "there is no file {} of a device: say which with --store, or make it with `rounds device enrol`",
            path.display()
        ));
    }
    Device::open(path).map_err(|error| with_causes(&error))
}

/// The identity of a database that is new, or was restored.
pub(crate) fn new_epoch() -> Result<Uuid, String> {
    Random::system().id(Clock::system().now_ms()).map_err(|error| error.to_string())
}

/// An error and what caused it, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}

/// A new file beside the one of this name, to take its place once it is whole.
pub(crate) fn file_beside(path: &Path) -> Result<NamedTempFile, String> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".rounds-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(0o666)); // less what the user's mask takes
    }
    builder.tempfile_in(folder).map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("there is no folder {}: make it first", folder.display()),
        _ => format!("{}: {error}", folder.display()),
    })
}

/// The address of a web page, where an option wants one.
pub(crate) fn web_url(text: &str) -> Result<String, String> {
    let is_web = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some();
    match text.parse::<Uri>() {
        Ok(uri) if is_web(&uri) && !text.contains(['?', '#']) => Ok(text.to_owned()),
        _ => Err("write it as https://rounds.example.org".to_owned()),
    }
}

/// A moment as people read it, in UTC.
pub(crate) fn moment(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        Err(_) => format!("{ms} ms"),
    }
}

/// The area with this id or name.
pub(crate) async fn find_area(store: &Store, wanted: &str) -> Result<AreaId, String> {
    let ids = store.areas().await.map_err(|error| with_causes(&error))?;
    let limit = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    let areas = store
        .records(&RecordFilter::of(Kind::Area, ids, limit))
        .await
        .map_err(|error| with_causes(&error))?;
    let is_wanted =
        |record: &rounds_domain::Record| record.id.to_string() == wanted || record.text("name") == wanted;
    let found: Vec<_> =
        areas.iter().map(|numbered| &numbered.record).filter(|record| is_wanted(record)).collect();
    match found.as_slice() {
        [one] => Ok(one.area),
        [] => {
            let names: Vec<_> = areas.iter().take(20).map(|numbered| numbered.record.text("name")).collect();
            Err(format!("there is no area {wanted}; there are: {}", names.join(", ")))
        }
        several => {
            let ids: Vec<_> = several.iter().map(|record| record.id.to_string()).collect();
            Err(format!("there are several areas {wanted}; say which by its id: {}", ids.join(", ")))
        }
    }
}
