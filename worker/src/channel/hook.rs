//! Web hooks: a signed POST, as <https://www.standardwebhooks.com> describes it.

use super::NotSent;
use super::trust::Trust;
use crate::with_causes;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url, redirect};
use rounds_store::Delivery;
use rustls::ClientConfig;
use sha2::Sha256;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Posts to web hooks.
#[derive(Debug)]
pub(super) struct Hook {
    client: Client,
    allow_private: bool,
}

impl Hook {
    /// Waits no longer than `answer_time` for an answer; its body is not read.
    pub(super) fn new(allow_private: bool, trust: &Trust, answer_time: Duration) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be used: {error}"))?
            .with_root_certificates(trust.roots()?)
            .with_no_client_auth();
        let mut client = Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(!allow_private)
            .redirect(redirect::Policy::none()) // it might lead into our own network
            .no_proxy()
            .referer(false)
            .pool_max_idle_per_host(0)
            .user_agent(concat!("Rounds/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(answer_time);
        if !allow_private {
            client = client.dns_resolver(PublicOnly);
        }
        let client = client.build().map_err(|error| with_causes(&error))?;
        Ok(Self { client, allow_private })
    }

    /// Posts a message under the delivery's name, signed with this key.
    pub(super) async fn post(
        &self,
        delivery: &Delivery,
        body: &str,
        key: &[u8],
        now_ms: i64,
    ) -> Result<(), NotSent> {
        let url = self.checked(&delivery.address).map_err(NotSent::Ever)?;
        let id = delivery.id.to_string();
        let timestamp = (now_ms / 1_000).to_string();
        let answer = self
            .client
            .post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("idempotency-key", &id)
            .header("webhook-id", &id)
            .header("webhook-timestamp", &timestamp)
            .header("webhook-signature", signature(&id, &timestamp, body, key))
            .body(body.to_owned())
            .send()
            .await
            // The address may hold a secret of the receiver's, and errors are shown.
            .map_err(|error| NotSent::Yet(with_causes(&error.without_url())))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status if status.as_u16() == 410 => {
                Err(NotSent::Ever(format!("the web hook answered {status}: it is gone for ever")))
            }
            status => Err(NotSent::Yet(format!("the web hook answered {status}"))),
        }
    }

    /// The address of a web hook, if a message may go there.
    fn checked(&self, address: &str) -> Result<Url, String> {
        let url = Url::parse(address).map_err(|error| format!("the web hook is no URL: {error}"))?;
        if self.allow_private {
            return Ok(url);
        }
        if url.scheme() != "https" {
            return Err("the web hook must begin with https://".to_owned());
        }
        let literal = url
            .host_str()
            .and_then(|host| host.trim_matches(|char| matches!(char, '[' | ']')).parse::<IpAddr>().ok());
        match literal {
            Some(address) if !is_public(address) => Err(refused(&address.to_string())),
            _ => Ok(url),
        }
    }
}

/// `v1,` and the HMAC-SHA256 over name, time and body, in base 64.
fn signature(id: &str, timestamp: &str, body: &str, key: &[u8]) -> String {
    #[allow(clippy::expect_used)] // HMAC takes keys of every length
    let mut code = Hmac::<Sha256>::new_from_slice(key).expect("a key");
    code.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", BASE64_STANDARD.encode(code.finalize().into_bytes()))
}

/// Finds the addresses of a host, without those that are not of the open Internet. The same addresses are connected
/// to, so that a name that answers otherwise a moment later gains nothing.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(refused(name.as_str()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

fn refused(host: &str) -> String {
    format!(
        "{host} is not of the open Internet: start the worker with --allow-private-hooks if it should be called"
    )
}

/// Whether the address is of the open Internet: not of this machine, its network, or set aside for anything else.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(v6),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_carrier_grade = a == 100 && (64..128).contains(&b);
    let is_protocol_assignment = (a, b, c) == (192, 0, 0);
    let is_benchmark = a == 198 && (b == 18 || b == 19);
    !(a == 0
        || a >= 224 // multicast, reserved, broadcast
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || is_carrier_grade
        || is_protocol_assignment
        || is_benchmark)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let is_global = a & 0xe000 == 0x2000;
    let is_translated = a == 0x2002 || (a, b) == (0x2001, 0); // 6to4 and Teredo lead to any IPv4 address
    let is_documentation = (a, b) == (0x2001, 0xdb8);
    is_global && !is_translated && !is_documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_standard_s_own_example() {
        // From the specification of Standard Webhooks, "Signature scheme".
        let key = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#, &key);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_message_goes_to_addresses_of_the_open_internet_only() {
        for public in ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        let others = [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "::127.0.0.1",
        ];
        for other in others {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn an_address_may_not_be_written_so_that_it_escapes_notice() {
        let hook = Hook::new(false, &Trust::default(), CONNECT_TIMEOUT).unwrap();
        let written = [
            "http://example.org/",
            "ftp://example.org/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]:8443/",
            "https://[::ffff:7f00:1]/",
            "https://017700000001/",
            "nonsense",
        ];
        for address in written {
            assert!(hook.checked(address).is_err(), "{address}");
        }
        assert!(hook.checked("https://example.org/hooks/7?x=1").is_ok());
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_not_called() {
        let hook = Hook::new(false, &Trust::default(), CONNECT_TIMEOUT).unwrap();
        let url = hook.checked("https://localhost:1/").unwrap();
        let error = hook.client.post(url).send().await.unwrap_err();
        assert!(with_causes(&error).contains("not of the open Internet"), "{}", with_causes(&error));
    }
}
