//! What is around the content of every page, and how pages are answered.

use super::reader::{Reader, link};
use super::text::{Text, text};
use askama::Template;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use rounds_domain::{Language, Role};

/// The cookie that remembers a language that was chosen.
pub(super) const LANGUAGE_COOKIE: &str = "rounds_language";

/// The page that somebody asked for, to come back to.
#[derive(Clone)]
pub(super) struct Here {
    /// Path and query. For a form that was sent, the start.
    pub(super) path: String,
    /// A link on another site led here, and the browser kept the cookie back.
    pub(super) from_elsewhere: bool,
    /// It is what a form was answered with: asked for again it would be another page.
    is_answer: bool,
}

impl Here {
    pub(super) fn of(parts: &Parts) -> Self {
        let is_page = parts.method == Method::GET;
        let path = parts.uri.path_and_query().filter(|_| is_page).map_or("/", |path| path.as_str());
        let site = parts.headers.get("sec-fetch-site").map(|site| site.as_bytes());
        Self {
            path: path.to_owned(),
            from_elsewhere: is_page && site == Some(b"cross-site"),
            is_answer: !is_page,
        }
    }
}

/// A path on this server that a form said to go on to; the start if it is none.
pub(super) fn own_path(path: &str) -> &str {
    let is_own = path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n']);
    if is_own { path } else { "/" }
}

/// What is around the content of a page.
pub(super) struct Frame {
    pub(super) text: &'static Text,
    pub(super) tag: &'static str,
    pub(super) title: String,
    pub(super) pages: Vec<Link>,
    pub(super) languages: [Choice; 3],
    pub(super) area: String,
    pub(super) areas: Vec<Branch>,
    pub(super) here: String,
    pub(super) device: String,
    pub(super) role: &'static str,
    pub(super) zone: String,
    /// What was done just now; empty if nothing was.
    pub(super) said: &'static str,
    /// How far the caller's areas were when this was read.
    pub(super) at: u64,
    /// It must not be read anew by itself.
    pub(super) is_still: bool,
}

/// A link of the navigation.
pub(super) struct Link {
    pub(super) name: String,
    pub(super) href: String,
    pub(super) is_current: bool,
}

/// A line of the area chooser.
pub(super) struct Branch {
    pub(super) link: Link,
    pub(super) depth: usize,
}

/// A language that can be chosen.
pub(super) struct Choice {
    pub(super) tag: &'static str,
    pub(super) name: &'static str,
    pub(super) is_current: bool,
}

pub(super) fn languages(current: Language) -> [Choice; 3] {
    Language::ALL.map(|language| Choice {
        tag: language.tag(),
        name: language.of(["English", "简体中文", "繁體中文"]),
        is_current: language == current,
    })
}

impl Frame {
    pub(super) fn of(reader: &Reader, title: &str, path: &str, here: &Here, said: &str) -> Self {
        let text = reader.text;
        let role = reader.caller.device.role;
        let everybody = [
            (text.overview, "/", true),
            (text.follow_ups, "/follow-ups", true),
            (text.referrals, "/referrals", true),
            (text.conflicts, "/conflicts", role.coordinates()),
            (text.quarantine, "/quarantine", role.coordinates()),
            (text.devices, "/devices", role.coordinates()),
            (text.jobs, "/jobs", role == Role::Admin),
        ];
        let pages = everybody.into_iter().filter(|(_, _, is_open)| *is_open).map(|(name, of_page, _)| Link {
            name: name.to_owned(),
            href: reader.link(of_page, &[]),
            is_current: of_page == path,
        });
        // Another area is looked at on the same page, from its beginning.
        let in_area = |name: &str, area: &str, is_current| {
            let page = if path.is_empty() { "/" } else { path };
            Link { name: name.to_owned(), href: link(page, &[("area", area)]), is_current }
        };
        let mut areas = vec![Branch { link: in_area(text.all_areas, "", reader.chosen.is_none()), depth: 0 }];
        areas.extend(reader.tree.around(reader.chosen).into_iter().map(|line| Branch {
            link: in_area(&line.name, &line.area.to_string(), reader.chosen == Some(line.area)),
            depth: line.depth + 1,
        }));
        Self {
            text,
            tag: reader.language.tag(),
            title: title.to_owned(),
            pages: pages.collect(),
            languages: languages(reader.language),
            area: reader.chosen.map_or(text.all_areas, |area| reader.tree.name(area)).to_owned(),
            areas,
            here: here.path.clone(),
            device: reader.caller.device.label.clone(),
            role: reader.language.role(role),
            zone: reader.zone.iana_name().unwrap_or("UTC").to_owned(),
            said: done(text, said),
            is_still: here.is_answer,
            at: reader.caller.scope.iter().map(|scoped| scoped.head).sum(),
        }
    }
}

/// What was done, by the word that a redirect carries.
fn done(text: &Text, said: &str) -> &'static str {
    match said {
        "settled" => text.done_settled,
        "changed_meanwhile" => text.done_changed_meanwhile,
        "released" => text.done_released,
        "dismissed" => text.done_dismissed,
        "revoked" => text.done_revoked,
        "retried" => text.done_retried,
        "dropped" => text.done_dropped,
        "paused" => text.done_paused,
        "resumed" => text.done_resumed,
        "nothing" => text.done_nothing,
        _ => "",
    }
}

/// The language that was chosen, or that the browser would rather read.
pub(super) fn language(headers: &HeaderMap) -> Language {
    if let Some(chosen) = cookie(headers, LANGUAGE_COOKIE).and_then(|tag| Language::from_tag(&tag)) {
        return chosen;
    }
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    Language::preferred(accepted.unwrap_or_default())
}

/// The value of a cookie.
pub(super) fn cookie(headers: &HeaderMap, wanted: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned())
}

/// A page that says one thing, for whoever sees no other.
pub(super) fn plain(status: StatusCode, language: Language, said: &'static str) -> Response {
    rendered(status, &PlainPage { tag: language.tag(), text: text(language), said })
}

#[derive(Template)]
#[template(path = "dashboard/plain.html")]
struct PlainPage {
    tag: &'static str,
    text: &'static Text,
    said: &'static str,
}

/// Answers a page.
pub(super) fn rendered(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a page cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_on_to_this_server_only() {
        for path in ["/", "/record/7?area=1", "/a/b"] {
            assert_eq!(own_path(path), path);
        }
        for path in
            ["", "//elsewhere.example.org", "https://elsewhere.example.org", "/\\elsewhere", "/a\r\nb"]
        {
            assert_eq!(own_path(path), "/", "{path:?}");
        }
    }

    #[test]
    fn a_language_that_was_chosen_outweighs_the_browsers() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, "zh-CN".parse().unwrap());
        assert_eq!(language(&headers), Language::SimplifiedChinese);
        headers.insert(header::COOKIE, "a=b; rounds_language=zh-Hant".parse().unwrap());
        assert_eq!(language(&headers), Language::TraditionalChinese);
        headers.insert(header::COOKIE, "rounds_language=xx".parse().unwrap());
        assert_eq!(language(&headers), Language::SimplifiedChinese);
    }
}
