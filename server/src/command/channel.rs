//! How people outside are told: the options of `rounds serve` and `rounds worker`.

use super::{web_url, with_causes};
use clap::{Args, ValueEnum};
use rounds_server::Random;
use rounds_store::Store;
use rounds_worker::{ANSWER_TIME_MAX, ChannelOptions, Channels, MailOptions};
use std::path::PathBuf;
use std::sync::Arc;

/// Says how to reach the mail server. Never an option: the command line of a process is there for all to read.
const SMTP_URL_VARIABLE: &str = "ROUNDS_SMTP_URL";

const HEADING: &str = "Telling people outside";

/// How people outside are told.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChannelArgs {
    /// Where people outside find this server, for links in messages: https://rounds.example.org
    #[arg(help_heading = HEADING, long, value_name = "URL", env = "ROUNDS_PUBLIC_URL", value_parser = web_url)]
    public_url: Option<String>,
    /// The sender of mails, such as "Rounds <rounds@example.org>". The mail server is named by the environment variable
    /// ROUNDS_SMTP_URL or by --smtp-url-file: smtps://USER:PASSWORD@HOST
    #[arg(help_heading = HEADING, long, value_name = "MAILBOX")]
    mail_from: Option<String>,
    /// A file with the URL of the mail server, instead of ROUNDS_SMTP_URL.
    #[arg(help_heading = HEADING, long, value_name = "FILE", requires = "mail_from")]
    smtp_url_file: Option<PathBuf>,
    /// The language of mails.
    #[arg(help_heading = HEADING, long, value_enum, default_value = "en")]
    language: Language,
    /// Call web hooks without encryption, and at addresses of this machine and its network, too. Whoever may edit
    /// organizations can then make this machine call others of its network.
    #[arg(help_heading = HEADING, long)]
    allow_private_hooks: bool,
    /// A file with certificates (PEM) of authorities of your own, which the mail server and web hooks may have theirs
    /// from. Those that browsers trust are trusted anyway.
    #[arg(help_heading = HEADING, long, value_name = "FILE")]
    trusted_certificates: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum Language {
    En,
    ZhHans,
    ZhHant,
}

impl ChannelArgs {
    /// The channels of a worker on this database.
    pub(crate) async fn channels(&self, store: &Store, random: &Random) -> Result<Arc<Channels>, String> {
        let new_key = random.key().map_err(|error| error.to_string())?;
        let link_key = store.link_key(new_key).await.map_err(|error| with_causes(&error))?;
        let channels = Channels::new(ChannelOptions {
            link_key,
            public_url: self.public_url.clone(),
            mail: self.mail()?,
            language: match self.language {
                Language::En => rounds_domain::Language::English,
                Language::ZhHans => rounds_domain::Language::SimplifiedChinese,
                Language::ZhHant => rounds_domain::Language::TraditionalChinese,
            },
            allow_private_hooks: self.allow_private_hooks,
            trusted_certificates: self
                .trusted_certificates
                .as_ref()
                .map(|path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display())))
                .transpose()?,
            answer_time: ANSWER_TIME_MAX,
        });
        channels.map(Arc::new)
    }

    fn mail(&self) -> Result<Option<MailOptions>, String> {
        let Some(from) = &self.mail_from else { return Ok(None) };
        let smtp_url = match &self.smtp_url_file {
            Some(path) => {
                std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?
            }
            None => {
                #[allow(clippy::disallowed_methods)] // it holds a password, which must not be an option
                let url = std::env::var(SMTP_URL_VARIABLE);
                url.map_err(|_| {
                    format!("--mail-from needs {SMTP_URL_VARIABLE} in the environment, or --smtp-url-file")
                })?
            }
        };
        Ok(Some(MailOptions { from: from.clone(), smtp_url: smtp_url.trim().to_owned() }))
    }
}
