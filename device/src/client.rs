//! The device and its server over gRPC.

use crate::ANSWER_BYTES_MAX;
use crate::device::{Asked, Device, Identity, Next, Progress, Size};
use crate::error::Error;
use rounds_domain::{ClockReading, ContactData, DeviceId, RecordId, Refusal};
use rounds_proto::v1::contact_service_client::ContactServiceClient;
use rounds_proto::v1::device_service_client::DeviceServiceClient;
use rounds_proto::v1::sync_service_client::SyncServiceClient;
use rounds_proto::{id_from_wire, role_from_wire, v1};
use std::time::Duration;
use tonic::codec::CompressionEncoding::Zstd;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt as _;
use uuid::Uuid;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A full batch over a bad link takes a while.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// Finds out that the link is gone though nobody said so.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// What only the phone can tell.
pub trait Phone: Sync {
    /// Its clocks at this moment.
    fn clock(&self) -> ClockReading;
    /// Chance, evenly spread.
    fn random(&self) -> u64;
}

/// Why a call to the server came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The device itself could not.
    #[error(transparent)]
    Device(#[from] Error),
    /// The server's address or certificates are no good.
    #[error("{0}")]
    Address(String),
    /// The server cannot be reached, or cannot do it now. Worth another try.
    #[error("the server cannot be reached now: {detail}")]
    NotNow {
        /// What happened.
        detail: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// The server does not know this device, or the one-time code.
    #[error("{detail} ({reason})")]
    SignedOut {
        /// Machine-readable.
        reason: String,
        /// For people.
        detail: String,
    },
    /// The server does not do this, today or tomorrow.
    #[error("{detail} ({reason})")]
    Refused {
        /// Machine-readable.
        reason: String,
        /// For people.
        detail: String,
    },
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let detail = with_causes(&status);
        let reason = match status.get_details_error_info() {
            Some(info) => info.reason,
            None => status.code().description().to_owned(),
        };
        match status.code() {
            Code::Unauthenticated => CallError::SignedOut { reason, detail },
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
            | Code::DataLoss => {
                let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
                CallError::NotNow { detail, retry_after }
            }
            Code::Ok
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented => CallError::Refused { reason, detail },
        }
    }
}

/// What the server said, or, where nothing came back, what happened to the line.
fn with_causes(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// Turns a one-time code into the identity of this file's device. `label` is what people call the device.
///
/// `server_url` is `https://...`, or `http://...` for a server on this machine. `ca_pem` holds the certificates that
/// vouch for it, if those of the web do not.
///
/// A device that was enrolled at this URL before is enrolled anew if the server does not know it any more, because it
/// was restored from a backup that is older: what the device still holds goes out again under the new name.
///
/// # Errors
/// [`Error::AlreadyEnrolled`] if the server knows the device; [`CallError::SignedOut`] for a code that is wrong, used or too old; the file stays as it is.
pub async fn enrol(
    device: &mut Device,
    server_url: &str,
    ca_pem: Option<Vec<u8>>,
    code: &str,
    label: &str,
) -> Result<Identity, CallError> {
    let before = match device.identity() {
        Ok(before) if before.server_url == server_url && !Line::of(&before)?.is_known().await? => {
            Some(before)
        }
        Ok(before) => return Err(Error::AlreadyEnrolled(before.device).into()),
        Err(Error::NotEnrolled) => None,
        Err(error) => return Err(error.into()),
    };
    let ca_pem = ca_pem.or_else(|| before.as_ref().and_then(|before| before.ca_pem.clone()));
    let channel = channel(server_url, ca_pem.as_deref())?;
    let first_device = before.as_ref().map(|_| device.first_device()).transpose()?;
    let request = v1::EnrolRequest {
        code: code.to_owned(),
        label: label.to_owned(),
        first_device: first_device.map(|id| id.to_string()).unwrap_or_default(),
    };
    let answer = DeviceServiceClient::new(channel).enrol(request).await?.into_inner();
    let unreadable = |refusal: Refusal| CallError::Device(Error::Answer(refusal));
    let worker = Some(answer.worker.as_str()).filter(|worker| !worker.is_empty());
    let identity = Identity {
        device: id_from_wire("device", &answer.device).map_err(unreadable)?,
        token: answer.token,
        role: role_from_wire(answer.role).map_err(unreadable)?,
        worker: worker.map(|worker| id_from_wire("worker", worker)).transpose().map_err(unreadable)?,
        server_url: server_url.to_owned(),
        ca_pem,
    };
    match before {
        Some(_) => device.enrolled_again(identity.clone())?,
        None => device.enrolled(identity.clone())?,
    }
    Ok(identity)
}

/// What a sync did, in all its calls.
#[derive(Clone, PartialEq, Debug)]
pub struct Summary {
    /// Calls that were answered.
    pub calls: u32,
    /// Ops that got their verdict.
    pub acknowledged: usize,
    /// Entries of the feed that were taken in.
    pub pulled: usize,
    /// The device turned out to be a copy, and has another name now.
    pub forked: bool,
    /// Why nothing was pulled, if the records cannot be read by this program: it needs an upgrade.
    pub unreadable: Option<Refusal>,
    /// How it ended: [`Next::Rest`], [`Next::AskLater`] or [`Next::Wiped`].
    pub next: Next,
}

/// An enrolled device with a line to its server. Connects when it is needed, and again when the line was lost.
#[derive(Debug)]
pub struct Client {
    device: Device,
    line: Line,
    /// How much goes into the next call: a slow line carries less in the time that a call has.
    size: Size,
}

impl Client {
    /// A client for an enrolled device. Must be called within a tokio runtime; connects to nobody yet.
    ///
    /// # Errors
    /// When the device is not enrolled, or the address that it was enrolled with is no good.
    pub fn new(device: Device) -> Result<Self, CallError> {
        let line = Line::of(&device.identity()?)?;
        Ok(Self { device, line, size: Size::default() })
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The device, to record.
    pub fn device_mut(&mut self) -> &mut Device {
        &mut self.device
    }

    /// The device back.
    pub fn into_device(self) -> Device {
        self.device
    }

    /// The line to the server.
    pub(crate) fn line(&self) -> &Line {
        &self.line
    }

    /// Pushes and pulls until the outbox is empty and there is nothing more to pull, or the server puts ops off.
    ///
    /// It may be dropped at any moment: what was answered is on disk, the rest is asked again.
    ///
    /// # Errors
    /// [`CallError`]; what was done until then stays done.
    pub async fn sync_until_quiet(&mut self, phone: &impl Phone) -> Result<Summary, CallError> {
        let mut summary = Summary {
            calls: 0,
            acknowledged: 0,
            pulled: 0,
            forked: false,
            unreadable: None,
            next: Next::AskAgain,
        };
        let mut may_grow = true;
        loop {
            // Somebody else with the same file may have got it another name meanwhile.
            let identity = self.device.identity()?;
            let asked = self.device.request(phone.clock(), self.size)?;
            if asked.device != identity.device {
                continue;
            }
            self.line.authorization = authorization(&identity.token)?;
            let answer = match self.line.ask(&asked).await {
                Ok(answer) => answer,
                Err(status) => {
                    self.recover(&asked, status)?;
                    may_grow = false; // it would be too large again
                    continue;
                }
            };
            if may_grow {
                self.size = self.size.doubled();
            }
            let Progress { acknowledged, pulled, next, unreadable, .. } = self.device.take(&asked, answer)?;
            summary.calls += 1;
            summary.acknowledged += acknowledged;
            summary.pulled += pulled;
            summary.unreadable = unreadable;
            summary.next = next;
            match next {
                Next::AskAgain => {}
                Next::Fork { at_seq } => {
                    self.fork(identity.device, at_seq).await?;
                    summary.forked = true;
                }
                Next::Rest | Next::AskLater | Next::Wiped => {
                    if next != Next::Wiped && !self.hand_over_contacts().await? {
                        summary.next = Next::AskLater;
                    }
                    tracing::debug!(?summary, "synced");
                    return Ok(summary);
                }
            }
        }
    }

    /// Sees to it that asking again can help.
    ///
    /// # Errors
    /// When it cannot, or not now.
    fn recover(&mut self, asked: &Asked, status: Status) -> Result<(), CallError> {
        // Question or answer is too large: there is no telling which. tonic has another code for what is too large once it
        // is unpacked.
        let is_too_large = match status.code() {
            Code::OutOfRange => true,
            Code::ResourceExhausted => status.message().starts_with("Error decompressing: size limit"),
            _ => false,
        };
        // Or the line broke on the way, as slow ones do.
        let took_too_long = matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled | Code::Unknown);
        if is_too_large || took_too_long {
            let smaller = self.size.halved(asked.request.ops.len());
            let is_smaller = smaller != std::mem::replace(&mut self.size, smaller);
            if is_too_large && is_smaller {
                tracing::info!(?smaller, "a message was too large");
                return Ok(());
            }
        }
        let error = CallError::from(status);
        match &error {
            CallError::Refused { reason, .. }
                if reason == "CURSOR_INVALID" && !asked.request.cursor.is_empty() =>
            {
                tracing::warn!("the server does not know the cursor: pulling everything anew");
                self.device.pull_anew()?;
                Ok(())
            }
            _ => Err(error),
        }
    }

    async fn fork(&mut self, from: DeviceId, at_seq: u64) -> Result<(), CallError> {
        let answer = self.line.fork(self.device.fork_request(at_seq)?).await?;
        let device = id_from_wire("device", &answer.device).map_err(Error::Answer)?;
        self.device.fork(from, device, answer.token)?;
        tracing::warn!(%device, "another phone uses this device's name: this one has a name of its own now");
        Ok(())
    }
}

/// The calls that a device makes, signed with its token.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    channel: Channel,
    authorization: MetadataValue<Ascii>,
}

impl Line {
    fn of(identity: &Identity) -> Result<Self, CallError> {
        Ok(Self {
            channel: channel(&identity.server_url, identity.ca_pem.as_deref())?,
            authorization: authorization(&identity.token)?,
        })
    }

    /// Whether the server knows whose token this is.
    async fn is_known(&self) -> Result<bool, CallError> {
        let request = self.signed(v1::SyncRequest { page_records_max: 1, ..v1::SyncRequest::default() });
        match SyncServiceClient::new(self.channel.clone()).sync(request).await.map_err(CallError::from) {
            Ok(_) => Ok(true),
            Err(CallError::SignedOut { reason, .. }) if reason == "TOKEN_UNKNOWN" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A stream of hints that an area moved; the first comes at once.
    pub(crate) async fn watch(&self) -> Result<Streaming<v1::WatchResponse>, Status> {
        let request = self.signed(v1::WatchRequest {});
        Ok(SyncServiceClient::new(self.channel.clone()).watch(request).await?.into_inner())
    }

    async fn ask(&self, asked: &Asked) -> Result<v1::SyncResponse, Status> {
        let mut request = self.signed(asked.request.clone());
        request.set_timeout(CALL_TIMEOUT);
        let mut service = SyncServiceClient::new(self.channel.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
            .accept_compressed(Zstd)
            .send_compressed(Zstd);
        Ok(service.sync(request).await?.into_inner())
    }

    pub(crate) async fn put_contact(
        &self,
        request: RecordId,
        key: Uuid,
        ContactData { name, phone }: ContactData,
    ) -> Result<v1::PutContactResponse, Status> {
        let contact = Some(v1::Contact { name, phone });
        let (request, idempotency_key) = (request.to_string(), key.to_string());
        let mut request = self.signed(v1::PutContactRequest { request, contact, idempotency_key });
        request.set_timeout(CALL_TIMEOUT);
        Ok(ContactServiceClient::new(self.channel.clone()).put_contact(request).await?.into_inner())
    }

    pub(crate) async fn read_contact(&self, request: RecordId) -> Result<v1::ReadContactResponse, Status> {
        let mut request = self.signed(v1::ReadContactRequest { request: request.to_string() });
        request.set_timeout(CALL_TIMEOUT);
        Ok(ContactServiceClient::new(self.channel.clone()).read_contact(request).await?.into_inner())
    }

    async fn fork(&self, request: v1::ForkRequest) -> Result<v1::ForkResponse, Status> {
        let mut request = self.signed(request);
        request.set_timeout(CALL_TIMEOUT);
        Ok(DeviceServiceClient::new(self.channel.clone()).fork(request).await?.into_inner())
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        request
    }
}

fn authorization(token: &str) -> Result<MetadataValue<Ascii>, CallError> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
        .parse()
        .map_err(|_| Error::Answer(Refusal::invalid("token", "holds characters that no token has")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A line to the server, not yet connected. Without TLS only to this machine: the token must not be read on the way.
fn channel(server_url: &str, ca_pem: Option<&[u8]>) -> Result<Channel, CallError> {
    let no_good =
        |what: &dyn std::fmt::Display| CallError::Address(format!("the address {server_url:?}: {what}"));
    let endpoint = Endpoint::from_shared(server_url.to_owned()).map_err(|error| no_good(&error))?;
    let (scheme, host) = (endpoint.uri().scheme_str(), endpoint.uri().host().unwrap_or_default());
    let endpoint = match scheme {
        Some("https") => {
            let tls = match ca_pem {
                Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
                None => ClientTlsConfig::new().with_webpki_roots(),
            };
            endpoint.tls_config(tls).map_err(|error| no_good(&error))?
        }
        Some("http") if is_this_machine(host) => endpoint,
        Some("http") => return Err(no_good(&"the token would go in plain text; use https")),
        _ => return Err(no_good(&"write it as https://rounds.example.org")),
    };
    let endpoint = endpoint
        .user_agent(concat!("rounds-device/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| no_good(&error))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    Ok(endpoint.connect_lazy())
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_token_goes_in_plain_text_to_this_machine_only() {
        for good in
            ["http://127.0.0.1:7117", "http://localhost:7117", "http://[::1]:7117", "https://example.org"]
        {
            assert!(channel(good, None).is_ok(), "{good}");
        }
        for bad in
            ["http://192.0.2.1:7117", "http://localhost.example.org", "example.org", "ftp://localhost", ""]
        {
            assert!(matches!(channel(bad, None), Err(CallError::Address(_))), "{bad}");
        }
    }
}
