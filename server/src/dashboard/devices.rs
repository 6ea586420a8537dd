//! Devices: who is in contact, what they still hold, and revoking them.

use super::frame::{Frame, Link};
use super::reader::Reader;
use crate::access;
use crate::error::Error;
use crate::page::{after_device, device_token, next};
use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;
use rounds_domain::Role;
use rounds_proto::v1;
use rounds_store::{Device, DeviceFilter};
use serde::Deserialize;

/// Devices of a page.
const ROWS: u32 = 50;
/// A phone that did not call for so long is silent, in ms: three days.
const SILENT_MS: i64 = 3 * 24 * 60 * 60 * 1_000;

/// What the page is asked for.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    after: String,
    /// `silent`, or all.
    show: String,
}

/// Shows the page.
pub(super) async fn show(reader: Reader, Query(asked): Query<Asked>) -> Response {
    let page = page(&reader, &asked).await;
    reader.answer(page)
}

/// Revokes a device.
pub(super) async fn revoke(reader: Reader, Path(device): Path<String>) -> Response {
    match reader.shared.revoke(&reader.caller, v1::RevokeRequest { device }).await {
        Ok(_) => reader.done("/devices", "revoked"),
        Err(error) => reader.failed(&error),
    }
}

/// Devices of the reader's areas; only phones that should have called, if so.
pub(super) fn filter(reader: &Reader, only_silent: bool) -> DeviceFilter<'_> {
    let silent_since_ms = only_silent.then(|| reader.now_ms().saturating_sub(SILENT_MS));
    DeviceFilter { areas: reader.areas_or_all(), silent_since_ms }
}

/// The same of a device that was read: it is a phone, it was not revoked, and nobody has heard of it for too long.
fn is_silent(device: &Device, now_ms: i64) -> bool {
    let heard_ms = device.seen_ms.max(device.enrolled_ms);
    device.role == Role::Field && device.revoked_ms.is_none() && heard_ms <= now_ms.saturating_sub(SILENT_MS)
}

#[derive(Template)]
#[template(path = "dashboard/devices.html")]
struct DevicesPage {
    frame: Frame,
    enrol: String,
    lists: [Link; 2],
    rows: Vec<Row>,
    more: String,
}

struct Row {
    label: String,
    is_own: bool,
    role: &'static str,
    worker: String,
    areas: String,
    contact: String,
    contact_at: String,
    unsent: u64,
    standing: Vec<Standing>,
    /// Where to revoke it; empty if the reader may not.
    revoke: String,
    id: String,
}

/// How a device is, and how that is shown.
struct Standing {
    text: String,
    mark: &'static str,
}

async fn page(reader: &Reader, asked: &Asked) -> Result<DevicesPage, Error> {
    let Reader { shared, caller, text, .. } = reader;
    access::coordinates(caller, "list devices")?;
    let now_ms = reader.now_ms();
    let only_silent = asked.show == "silent";
    let after = after_device(&asked.after)?;
    let found = shared.store.devices(&filter(reader, only_silent), after, ROWS).await?;
    let after = next(&found, ROWS, |device| device_token(device.id));
    let show = if only_silent { "silent" } else { "" };
    let named = found.iter().flat_map(|device| [device.worker, device.organization]).flatten();
    let named = reader.named(named.collect()).await?;
    // Those of the server itself cannot be revoked.
    let rows = found.iter().filter(|device| device.role != Role::System).map(|device| {
        let holder = device.organization.or(device.worker);
        let areas = device.areas.iter().map(|area| match reader.tree.name(*area) {
            "" => text.not_visible,
            name => name,
        });
        let areas: Vec<_> = areas.collect();
        let may_revoke = device.revoked_ms.is_none() && access::may_manage(caller, device).is_ok();
        Row {
            label: device.label.clone(),
            is_own: device.id == caller.device.id,
            role: reader.language.role(device.role),
            worker: holder.map(|id| reader.piece(&named, id).text).unwrap_or_default(),
            areas: if areas.is_empty() { text.everywhere.to_owned() } else { areas.join(", ") },
            contact: if device.seen_ms == 0 { text.never.to_owned() } else { reader.ago(device.seen_ms) },
            contact_at: if device.seen_ms == 0 { String::new() } else { reader.moment(device.seen_ms) },
            unsent: device.unsent_ops,
            standing: standing(reader, device, now_ms),
            revoke: if may_revoke {
                reader.link(&format!("/devices/{}/revoke", device.id), &[])
            } else {
                String::new()
            },
            id: device.id.to_string(),
        }
    });
    Ok(DevicesPage {
        frame: reader.frame(text.devices, "/devices"),
        enrol: reader.link("/devices/enrol", &[]),
        rows: rows.collect(),
        lists: [("", text.all), ("silent", text.standing_silent)].map(|(word, name)| Link {
            name: name.to_owned(),
            href: reader.link("/devices", &[("show", word)]),
            is_current: word == show,
        }),
        more: match after.is_empty() {
            true => after,
            false => reader.link("/devices", &[("show", show), ("after", &after)]),
        },
    })
}

fn standing(reader: &Reader, device: &Device, now_ms: i64) -> Vec<Standing> {
    let text = reader.text;
    let mut standing = Vec::new();
    if let Some(at_ms) = device.revoked_ms {
        let text = format!("{} {}", text.standing_revoked, reader.moment(at_ms));
        standing.push(Standing { text, mark: "" });
    }
    if is_silent(device, now_ms) {
        standing.push(Standing { text: text.standing_silent.to_owned(), mark: "bad" });
    }
    if device.copy_of.is_some() {
        standing.push(Standing { text: text.standing_copy.to_owned(), mark: "warn" });
    }
    if device.forked_at.is_some() {
        standing.push(Standing { text: text.standing_copied.to_owned(), mark: "warn" });
    }
    if device.lost_ops > 0 {
        let text = format!("{}: {}", text.standing_lost, device.lost_ops);
        standing.push(Standing { text, mark: "bad" });
    }
    if standing.is_empty() {
        standing.push(Standing { text: text.standing_good.to_owned(), mark: "good" });
    }
    standing
}
