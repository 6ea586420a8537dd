//! Mail over SMTP.

use super::trust::Trust;
use super::{MailOptions, NotSent};
use crate::with_causes;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use reqwest::Url;
use rounds_store::Delivery;
use std::time::{Duration, SystemTime};

/// Answers to the recipient: no such mailbox, not local, name not allowed (RFC 5321, 4.2.3), no mail there (RFC 7504).
const MAILBOX_REFUSED: [u16; 4] = [550, 551, 553, 556];

/// Sends mail.
#[derive(Debug)]
pub(super) struct Mail {
    from: Mailbox,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    answer_time: Duration,
}

impl Mail {
    /// Waits no longer than `answer_time` until a mail is taken.
    pub(super) fn new(options: &MailOptions, trust: &Trust, answer_time: Duration) -> Result<Self, String> {
        let from: Mailbox = options.from.parse().map_err(|error| {
            format!("the sender of mails is no mailbox, such as rounds@example.org: {error}")
        })?;
        let url = checked(&options.smtp_url)?;
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&options.smtp_url)
            .map_err(|_| "the SMTP URL cannot be used: write it as smtps://USER:PASSWORD@HOST".to_owned())?
            .timeout(Some(answer_time));
        if let Some(tls) = trust.of_mail(&url)? {
            transport = transport.tls(tls);
        }
        Ok(Self { from, transport: transport.build(), answer_time })
    }

    /// Sends a text to the delivery's address, under the delivery's name.
    pub(super) async fn send(&self, delivery: &Delivery, title: &str, text: String) -> Result<(), NotSent> {
        let to: Mailbox = delivery
            .address
            .parse()
            .map_err(|error| NotSent::Ever(format!("{} is no mailbox: {error}", delivery.address)))?;
        // The same each time, or a second try would not look like the same message.
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(delivery.created_ms.max(0).unsigned_abs());
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .date(at)
            .message_id(Some(format!("<{}@{}>", delivery.id, self.from.email.domain())))
            .subject(title)
            .header(ContentType::TEXT_PLAIN)
            .body(text)
            .map_err(|error| NotSent::Ever(format!("the mail cannot be written: {error}")))?;
        // Else those who are away would answer it.
        message.headers_mut().insert_raw(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
        match tokio::time::timeout(self.answer_time, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if is_about_mailbox(&error) => Err(NotSent::Ever(with_causes(&error))),
            Ok(Err(error)) => Err(NotSent::Yet(with_causes(&error))),
            Err(_) => Err(NotSent::Yet(format!(
                "the mail server took longer than {} s",
                self.answer_time.as_secs()
            ))),
        }
    }
}

/// Whether the server says that there is no such mailbox, or never will be mail for it. What else it refuses for good is
/// between it and us: a password that was changed, a sender that it does not know. That is put right, and mail goes on.
fn is_about_mailbox(error: &lettre::transport::smtp::Error) -> bool {
    error.status().is_some_and(|code| MAILBOX_REFUSED.contains(&u16::from(code)))
}

/// The URL of a mail server; a password is not sent in the open.
fn checked(smtp_url: &str) -> Result<Url, String> {
    let url = Url::parse(smtp_url)
        .map_err(|_| "the SMTP URL is none: write it as smtps://USER:PASSWORD@HOST".to_owned())?;
    let is_encrypted = url.scheme() == "smtps"
        || url.query_pairs().any(|(name, value)| name == "tls" && value == "required");
    let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.password().is_some() && !is_encrypted && !is_here {
        return Err("the password for the mail server would travel in the open: \
                    use smtps://, or smtp:// with ?tls=required"
            .to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(from: &str, smtp_url: &str) -> Result<Mail, String> {
        let options = MailOptions { from: from.to_owned(), smtp_url: smtp_url.to_owned() };
        Mail::new(&options, &Trust::default(), Duration::from_secs(1))
    }

    #[test]
    fn what_cannot_be_a_mail_server_or_sender_is_said_at_the_start_without_the_password() {
        for url in ["smtps://me:secret@mail.example.org", "smtp://mail:25", "smtp://me:secret@localhost:2525"]
        {
            assert!(mail("Rounds <rounds@example.org>", url).is_ok(), "{url}");
        }
        assert!(mail("nobody", "smtp://mail").unwrap_err().contains("rounds@example.org"));
        for url in [
            "smtp://me:secret@mail.example.org",
            "imap://me:secret@mail",
            "me:secret@mail",
            "smtp://me:secret@mail?tls=opportunistic",
        ] {
            let error = mail("rounds@example.org", url).unwrap_err();
            assert!(error.contains("smtps://") && !error.contains("secret"), "{error}");
        }
    }
}
