//! Enrolment: who gets which role where, and the one-time code for it, to read and to scan.

use super::frame::{Frame, rendered};
use super::reader::Reader;
use super::show::title;
use crate::access;
use crate::error::Error;
use crate::limit::LIST_MAX;
use askama::Template;
use axum::extract::RawForm;
use axum::http::StatusCode;
use axum::response::Response;
use qrcode::QrCode;
use qrcode::render::svg;
use rounds_domain::{AreaId, Kind, Role};
use rounds_proto::{role_to_wire, v1};
use rounds_store::RecordFilter;

/// Length of the sides of a QR code, in CSS pixels, at least.
const QR_PIXELS: u32 = 240;
/// After so many workers, or organizations, the list of them ends, and says so.
const CHOICES_MAX: usize = 5_000;

/// Shows the form.
pub(super) async fn show(reader: Reader) -> Response {
    let page = form(&reader, &Entry::default(), String::new()).await;
    reader.answer(page)
}

/// Makes a code, and shows it.
pub(super) async fn make(reader: Reader, RawForm(form_bytes): RawForm) -> Response {
    let entry = Entry::read(&form_bytes);
    match code(&reader, &entry).await {
        Ok(page) => rendered(StatusCode::OK, &page),
        Err(error @ Error::Refused(_)) => match form(&reader, &entry, error.to_string()).await {
            Ok(page) => rendered(StatusCode::UNPROCESSABLE_ENTITY, &page),
            Err(error) => reader.failed(&error),
        },
        Err(error) => reader.failed(&error),
    }
}

/// What was entered.
#[derive(Default)]
struct Entry {
    role: String,
    areas: Vec<String>,
    worker: String,
    organization: String,
}

impl Entry {
    /// Reads the form: areas come as often as there are.
    fn read(form: &[u8]) -> Self {
        let mut entry = Self::default();
        for (name, value) in form_urlencoded::parse(form) {
            let value = value.into_owned();
            match name.as_ref() {
                "role" => entry.role = value,
                "areas" => entry.areas.push(value),
                "worker" => entry.worker = value,
                "organization" => entry.organization = value,
                _ => {}
            }
        }
        entry
    }
}

#[derive(Template)]
#[template(path = "dashboard/enrol.html")]
struct EnrolPage {
    frame: Frame,
    action: String,
    refused: String,
    roles: Vec<Choice>,
    areas: Vec<Choice>,
    workers: Vec<Choice>,
    organizations: Vec<Choice>,
    /// There are more of them than are listed.
    is_cut: bool,
}

struct Choice {
    value: String,
    name: String,
    depth: usize,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "dashboard/code.html")]
struct CodePage {
    frame: Frame,
    code: String,
    qr: String,
    until: String,
    role: &'static str,
    areas: String,
    another: String,
}

async fn form(reader: &Reader, entry: &Entry, refused: String) -> Result<EnrolPage, Error> {
    let Reader { caller, language, .. } = reader;
    access::coordinates(caller, "make enrolment codes")?;
    let roles = [Role::Field, Role::Coordinator, Role::Supervisor, Role::Partner, Role::Admin];
    let roles = roles.into_iter().filter(|role| *role != Role::Admin || caller.device.role == Role::Admin);
    let choice = |value: String, name: &str, depth, chosen: &[String]| Choice {
        is_chosen: chosen.contains(&value),
        name: name.to_owned(),
        depth,
        value,
    };
    let chosen_role = if entry.role.is_empty() { Role::Field.name() } else { &entry.role };
    let chosen_role = [chosen_role.to_owned()];
    let default_area = reader.chosen.map(|area| area.to_string()).filter(|_| entry.role.is_empty());
    let chosen_areas: Vec<String> = entry.areas.iter().cloned().chain(default_area).collect();
    let (workers, workers_cut) = records(reader, Kind::Worker, &entry.worker).await?;
    let (organizations, organizations_cut) = records(reader, Kind::Organization, &entry.organization).await?;
    Ok(EnrolPage {
        frame: reader.frame(reader.text.enrol, "/devices"),
        action: reader.link("/devices/enrol", &[]),
        refused,
        roles: roles
            .map(|role| choice(role.name().to_owned(), language.role(role), 0, &chosen_role))
            .collect(),
        areas: reader
            .tree
            .all()
            .iter()
            .map(|line| choice(line.area.to_string(), &line.name, line.depth, &chosen_areas))
            .collect(),
        workers,
        organizations,
        is_cut: workers_cut || organizations_cut,
    })
}

/// Records of a kind that a code may be for, by name, and whether there are more.
async fn records(reader: &Reader, kind: Kind, chosen: &str) -> Result<(Vec<Choice>, bool), Error> {
    let mut filter = RecordFilter::of(kind, access::readable_areas(&reader.caller, kind), LIST_MAX);
    let mut choices: Vec<Choice> = Vec::new();
    let is_cut = loop {
        let page = reader.shared.store.records(&filter).await?;
        let records = page.iter().map(|numbered| &numbered.record);
        let records = records.filter(|record| !record.fields.contains_key("left"));
        choices.extend(records.map(|record| Choice {
            value: record.id.to_string(),
            name: title(&reader.words, record),
            depth: 0,
            is_chosen: record.id.to_string() == chosen,
        }));
        match page.last().filter(|_| page.len() == LIST_MAX as usize) {
            Some(_) if choices.len() >= CHOICES_MAX => break true,
            Some(last) => filter.after = Some(filter.place(last)),
            None => break false,
        }
    };
    choices.sort_by(|one, other| (&one.name, &one.value).cmp(&(&other.name, &other.value)));
    Ok((choices, is_cut))
}

async fn code(reader: &Reader, entry: &Entry) -> Result<CodePage, Error> {
    let role = Role::ALL.iter().copied().find(|role| role.name() == entry.role);
    let role = role.ok_or_else(|| Error::invalid("role", "choose one"))?;
    let request = v1::CreateCodeRequest {
        role: role_to_wire(role).into(),
        areas: entry.areas.clone(),
        worker: entry.worker.clone(),
        organization: entry.organization.clone(),
        valid_seconds: 0,
    };
    let made = reader.shared.create_code(&reader.caller, request).await?;
    let until = made.expires.map(|at| reader.moment(at.seconds * 1_000)).unwrap_or_default();
    let areas = entry.areas.iter().filter_map(|area| area.parse::<AreaId>().ok());
    let areas: Vec<_> = areas.map(|area| reader.tree.name(area).to_owned()).collect();
    Ok(CodePage {
        frame: reader.frame(reader.text.enrol, "/devices"),
        qr: qr(&made.code),
        code: made.code,
        until,
        role: reader.language.role(role),
        areas: if areas.is_empty() { reader.text.everywhere.to_owned() } else { areas.join(", ") },
        another: reader.link("/devices/enrol", &[]),
    })
}

/// The code as a picture in the page, black on white whatever the page's colours are; empty if it cannot be drawn,
/// which no code is too long for.
fn qr(code: &str) -> String {
    let Ok(qr) = QrCode::new(code) else { return String::new() };
    let drawn = qr.render::<svg::Color<'_>>().min_dimensions(QR_PIXELS, QR_PIXELS).build();
    // Within a page it begins with its element.
    drawn.find("<svg").map_or_else(String::new, |at| drawn[at..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_drawn_as_an_element_of_the_page_without_styles_or_scripts() {
        let drawn = qr("7K2MX-00000-ABCDE-ZZZZZ");
        assert!(drawn.starts_with("<svg") && drawn.ends_with("</svg>"), "{drawn}");
        assert!(!drawn.contains("style") && !drawn.contains("script"));
    }

    #[test]
    fn areas_may_be_named_several_times() {
        let entry = Entry::read(b"role=field&areas=a&areas=b&worker=&x=y");
        assert_eq!((entry.role.as_str(), entry.areas), ("field", vec!["a".to_owned(), "b".to_owned()]));
    }
}
