//! The OpenID Connect provider of the console, as the configuration names it.

use super::value::Secret;
use crate::console::account::Role;
use crate::console::oidc::BACK;
use http::Uri;
use openidconnect::{ClientId, ClientSecret, IssuerUrl, RedirectUrl, Scope};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RawOidc {
    issuer: String,
    client_id: String,
    client_secret: Secret,
    scopes: Vec<String>,
    name: String,
    account_claim: String,
    roles_claim: String,
    #[serde(default)]
    roles: BTreeMap<String, String>,
}

/// A provider that vouches for people.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// Its name among providers.
    pub issuer: IssuerUrl,
    /// What it calls the console.
    pub client_id: ClientId,
    /// What the console shows to be that; nothing for a public client.
    pub client_secret: Option<ClientSecret>,
    /// What is asked for beside `openid`.
    pub scopes: Vec<Scope>,
    /// What people call it, where it is named.
    pub name: Option<String>,
    /// The claim that names the account; the usual ones where it is not said.
    pub account_claim: Option<String>,
    /// The claim that holds groups.
    pub roles_claim: String,
    /// What groups may do.
    pub roles: BTreeMap<String, Role>,
    /// Where people are sent back to.
    pub redirect: RedirectUrl,
}

impl RawOidc {
    pub(super) fn checked(self, console: Option<&Uri>, faults: &mut Vec<String>) -> Option<Oidc> {
        if self.issuer.is_empty() {
            return None;
        }
        let mut fault = |key: &str, what: &str| faults.push(format!("console.oidc.{key}: {what}"));
        let issuer = IssuerUrl::new(self.issuer).ok().filter(is_trustworthy);
        if issuer.is_none() {
            fault("issuer", "expected a URL such as https://login.hospital.example/realms/staff, by https");
        }
        let redirect = console.and_then(redirect);
        if redirect.is_none() {
            fault("issuer", "needs console.url, the public address to which people are sent back");
        }
        for (key, value) in [("client_id", &self.client_id), ("roles_claim", &self.roles_claim)] {
            if value.is_empty() {
                fault(key, "expected what the provider calls it");
            }
        }
        if self.roles.is_empty() {
            fault("roles", "expected at least one group, such as \"guardrail admins\" = \"admin\", or nobody gets in");
        }
        let mut roles = BTreeMap::new();
        for (group, word) in self.roles {
            match Role::from_id(&word) {
                Some(role) => drop(roles.insert(group, role)),
                None => fault(
                    "roles",
                    &format!("{group:?}: expected one of {}, found {word:?}", Role::ALL.map(Role::id).join(", ")),
                ),
            }
        }
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        Some(Oidc {
            issuer: issuer?,
            client_id: ClientId::new(self.client_id),
            client_secret: said(self.client_secret.0).map(ClientSecret::new),
            scopes: self.scopes.into_iter().map(Scope::new).collect(),
            name: said(self.name),
            account_claim: said(self.account_claim),
            roles_claim: self.roles_claim,
            roles,
            redirect: redirect?,
        })
    }
}

/// Whether nobody on the way can say what the provider does.
fn is_trustworthy(issuer: &IssuerUrl) -> bool {
    let url = issuer.url();
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    match url.scheme() {
        "https" => !host.is_empty(),
        "http" => is_here,
        _ => false,
    }
}

/// Where people are sent back to, below the console's public address.
fn redirect(console: &Uri) -> Option<RedirectUrl> {
    RedirectUrl::new(format!("{}://{}{BACK}", console.scheme_str()?, console.authority()?)).ok()
}

#[cfg(test)]
mod tests {
    use crate::config::tests::with_file;
    use crate::console::account::Role;

    #[test]
    fn a_provider_is_told_by_its_issuer() {
        assert!(with_file("").unwrap().console.oidc.is_none());
        let text = "[console]\nurl = \"https://console.example/console/\"\n[console.oidc]\nissuer = \"https://login.example/realms/x/\"\n\
                    client_id = \"guardrail\"\nclient_secret = \"hush\"\nname = \"St. Mary\"\n[console.oidc.roles]\n\"/Staff/Dr. A-B\" = \"admin\"\n\"*x\" = \"viewer\"";
        let oidc = with_file(text).unwrap().console.oidc.unwrap();
        assert_eq!(oidc.redirect.as_str(), "https://console.example/console/sign-in/oidc/back");
        assert_eq!((oidc.issuer.as_str(), oidc.name.as_deref()), ("https://login.example/realms/x/", Some("St. Mary")));
        assert_eq!(
            oidc.roles.into_iter().collect::<Vec<_>>(),
            [("*x".to_owned(), Role::Viewer), ("/Staff/Dr. A-B".to_owned(), Role::Admin)]
        );
        assert!(!format!("{:?}", with_file(text).unwrap().console).contains("hush"));
    }

    #[test]
    fn every_fault_of_a_provider_is_found_at_once() {
        let issuer =
            "console.oidc.issuer: expected a URL such as https://login.hospital.example/realms/staff, by https";
        let text = "[console.oidc]\nissuer = \"http://login.example\"\nroles_claim = \"\"\ncolour = 1\n[console.oidc.roles]\nx = \"root\"";
        assert_eq!(
            with_file(text).unwrap_err(),
            [
                "console.oidc.colour: unknown key",
                issuer,
                "console.oidc.issuer: needs console.url, the public address to which people are sent back",
                "console.oidc.client_id: expected what the provider calls it",
                "console.oidc.roles_claim: expected what the provider calls it",
                "console.oidc.roles: \"x\": expected one of viewer, reviewer, editor, approver, admin, found \"root\"",
            ]
        );
        let text = "[console]\nurl = \"https://a\"\n[console.oidc]\nissuer = \"https://b\"\nclient_id = \"c\"";
        assert_eq!(
            with_file(text).unwrap_err(),
            [
                "console.oidc.roles: expected at least one group, such as \"guardrail admins\" = \"admin\", or nobody gets in"
            ]
        );
        for issuer in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost/x", "https://x"] {
            let text = text.replace("https://b", issuer) + "\nroles = {a = \"viewer\"}";
            assert!(with_file(&text).is_ok(), "{issuer}");
        }
    }
}
