//! The console, as the configuration names it.

use super::oidc::{Oidc, RawOidc};
use super::value::{Span, url};
use http::Uri;
use ipnet::IpNet;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RawConsole {
    enabled: bool,
    url: String,
    session: Span,
    session_idle: Span,
    account_attempts: u32,
    address_attempts: u32,
    attempts_within: Span,
    trusted_proxies: Vec<String>,
    oidc: RawOidc,
}

/// How the console is served.
#[derive(Clone, Debug)]
pub struct Console {
    /// Whether there is one.
    pub enabled: bool,
    /// Its public address, where it has one.
    pub url: Option<Uri>,
    /// Whether its cookies are for HTTPS alone.
    pub secure: bool,
    /// How long a session may last.
    pub session: Duration,
    /// How long it may be idle.
    pub session_idle: Duration,
    /// How often signing in may be tried.
    pub attempts: Attempts,
    /// Proxies in front of it that say whose address a request is from.
    pub trusted_proxies: Vec<IpNet>,
    /// Who vouches for people beside their passwords.
    pub oidc: Option<Oidc>,
}

/// How often signing in may be tried.
#[derive(Clone, Copy, Debug)]
pub struct Attempts {
    /// For one account.
    pub account: NonZeroU32,
    /// From one address.
    pub address: NonZeroU32,
    /// Within so long.
    pub within: Duration,
}

impl RawConsole {
    pub(super) fn checked(self, admin: Option<SocketAddr>, faults: &mut Vec<String>) -> Console {
        let Self { enabled, session, session_idle, .. } = self;
        let url = url(&self.url, "console.url", faults);
        let spans = [("session", session), ("session_idle", session_idle), ("attempts_within", self.attempts_within)];
        for (key, _) in spans.iter().filter(|(_, span)| span.0.is_zero()) {
            faults.push(format!("console.{key}: expected more than 0s"));
        }
        let mut number = |key: &str, number: u32| {
            NonZeroU32::new(number).unwrap_or_else(|| {
                faults.push(format!("console.{key}: expected at least 1"));
                NonZeroU32::MIN
            })
        };
        let attempts = Attempts {
            account: number("account_attempts", self.account_attempts),
            address: number("address_attempts", self.address_attempts),
            within: self.attempts_within.0,
        };
        let is_plain = match &url {
            Some(url) => url.scheme_str() == Some("http"),
            None => admin.is_none_or(|admin| admin.ip().is_loopback()),
        };
        let trusted_proxies = networks(&self.trusted_proxies, faults);
        let oidc = self.oidc.checked(url.as_ref(), faults);
        let (secure, session, session_idle) = (!is_plain, session.0, session_idle.0);
        Console { enabled, url, secure, session, session_idle, attempts, trusted_proxies, oidc }
    }
}

/// Networks of proxies; one of all addresses would have everybody say who they are.
fn networks(texts: &[String], faults: &mut Vec<String>) -> Vec<IpNet> {
    let read = |text: &String| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let mut networks = Vec::new();
    for text in texts {
        match read(text).filter(|network| network.prefix_len() > 0) {
            Some(network) => networks.push(network),
            None => faults.push(format!(
                "console.trusted_proxies: expected addresses or networks such as 10.0.0.0/8, found {text:?}"
            )),
        }
    }
    networks
}

#[cfg(test)]
mod tests {
    use crate::config::tests::with_file;

    #[test]
    fn cookies_are_for_https_unless_nobody_else_can_listen() {
        for (text, is_secure) in [
            ("", false),
            ("[server]\nadmin_listen = \"0.0.0.0:8081\"", true),
            ("[console]\nurl = \"https://console.example\"", true),
            ("[server]\nadmin_listen = \"0.0.0.0:8081\"\n[console]\nurl = \"http://console.example\"", false),
        ] {
            assert_eq!(with_file(text).unwrap().console.secure, is_secure, "{text}");
        }
    }

    #[test]
    fn every_fault_of_a_console_is_found_at_once() {
        let text = "[console]\nurl = \"here\"\nsession = \"0s\"\nsession_idle = \"0s\"\naccount_attempts = 0\naddress_attempts = 0\nattempts_within = \"0s\"\n\
                    trusted_proxies = [\"10.0.0.0/8\", \"here\", \"0.0.0.0/0\", \"::1\"]\ncolour = 1";
        assert_eq!(
            with_file(text).unwrap_err(),
            [
                "console.colour: unknown key",
                "console.url: expected a URL such as http://localhost:8000/v1",
                "console.session: expected more than 0s",
                "console.session_idle: expected more than 0s",
                "console.attempts_within: expected more than 0s",
                "console.account_attempts: expected at least 1",
                "console.address_attempts: expected at least 1",
                "console.trusted_proxies: expected addresses or networks such as 10.0.0.0/8, found \"here\"",
                "console.trusted_proxies: expected addresses or networks such as 10.0.0.0/8, found \"0.0.0.0/0\"",
            ]
        );
    }

    #[test]
    fn proxies_are_trusted_by_address_or_network() {
        assert!(with_file("").unwrap().console.trusted_proxies.is_empty());
        let text = "[console]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]";
        let networks = with_file(text).unwrap().console.trusted_proxies;
        assert_eq!(networks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128"]);
    }
}
