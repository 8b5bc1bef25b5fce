//! Who a provider says that someone is, and what they may do here.

use crate::config::Oidc;
use crate::console::account::{Role, named};
use crate::console::language::Language;
use serde_json::Value;

/// Someone whom the provider vouches for, and who may use the console.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Person {
    /// Who they are, for good: the issuer and its `sub`.
    pub(super) subject: String,
    /// The name of an account that is made for them.
    pub(super) name: String,
    /// What they may do.
    pub(super) role: Role,
}

/// Someone whom the provider vouches for, and who may not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stranger {
    /// Who they are.
    pub(super) subject: String,
    /// Why they may not, for the log.
    pub(super) why: &'static str,
}

const NO_ROLE: &str = "no group of theirs has a role in console.oidc.roles";
const NO_NAME: &str = "no claim of theirs can be the name of an account; set console.oidc.account_claim";

impl Person {
    /// The person of whom these claims are.
    pub(super) fn of(claims: &Value, settings: &Oidc) -> Result<Self, Stranger> {
        let subject = format!("{} {}", settings.issuer.as_str(), text(claims, "sub").unwrap_or_default());
        let Some(role) = role(claims, settings) else { return Err(Stranger { subject, why: NO_ROLE }) };
        let usual = ["preferred_username", "email", "sub"];
        let names = settings.account_claim.as_deref().map_or_else(|| usual.to_vec(), |claim| vec![claim]);
        let is_proven = |claim: &&str| *claim != "email" || claims.get("email_verified") == Some(&Value::Bool(true));
        let mut names = names.into_iter().filter(is_proven).filter_map(|claim| text(claims, claim));
        match names.find_map(|name| named(name).ok()) {
            Some(name) => Ok(Self { subject, name, role }),
            None => Err(Stranger { subject, why: NO_NAME }),
        }
    }
}

impl Stranger {
    /// What is wrong, and what to do.
    pub(super) fn told(&self, language: Language) -> &'static str {
        match self.why {
            NO_ROLE => language.say(
                "You are known, but none of your groups may use this console. Ask whoever looks after groups in your organisation.",
                "Se le reconoce, pero ninguno de sus grupos puede usar esta consola. Pídalo a quien administra los grupos en su organización.",
            ),
            _ => language.say(
                "You are known, but under no name that an account here can have. Ask whoever runs nonnocere.",
                "Se le reconoce, pero con un nombre que aquí no puede tener una cuenta. Consulte a quien administra nonnocere.",
            ),
        }
    }
}

/// A claim by its name, or by a path of names that lead into objects.
fn claim<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| name.split('.').try_fold(claims, |value, part| value.get(part)))
}

fn text<'a>(claims: &'a Value, name: &str) -> Option<&'a str> {
    claim(claims, name)?.as_str().filter(|text| !text.is_empty())
}

/// The highest role of all groups.
fn role(claims: &Value, settings: &Oidc) -> Option<Role> {
    let groups = match claim(claims, &settings.roles_claim)? {
        Value::Array(groups) => groups.iter().filter_map(Value::as_str).collect(),
        Value::String(group) => vec![group.as_str()],
        _ => Vec::new(),
    };
    groups.into_iter().filter_map(|group| settings.roles.get(group).copied()).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use openidconnect::{ClientId, IssuerUrl, RedirectUrl};
    use serde_json::json;

    fn settings(account_claim: Option<&str>, roles_claim: &str) -> Oidc {
        Oidc {
            issuer: IssuerUrl::new("https://i".to_owned()).unwrap(),
            client_id: ClientId::new("c".to_owned()),
            client_secret: None,
            scopes: Vec::new(),
            name: None,
            account_claim: account_claim.map(str::to_owned),
            roles_claim: roles_claim.to_owned(),
            roles: [("a".to_owned(), Role::Admin), ("v".to_owned(), Role::Viewer)].into(),
            redirect: RedirectUrl::new("https://c/b".to_owned()).unwrap(),
        }
    }

    #[test]
    fn the_highest_group_counts_and_none_does_not() {
        let role = |claims: Value, path: &str| Person::of(&claims, &settings(None, path)).map(|person| person.role);
        assert_eq!(role(json!({"sub": "s", "groups": ["v", "a", "x", 1]}), "groups"), Ok(Role::Admin));
        assert_eq!(role(json!({"sub": "s", "roles": "v"}), "roles"), Ok(Role::Viewer));
        assert_eq!(role(json!({"sub": "s", "realm_access": {"roles": ["v"]}}), "realm_access.roles"), Ok(Role::Viewer));
        assert_eq!(role(json!({"sub": "s", "https://x.y/z": ["v"]}), "https://x.y/z"), Ok(Role::Viewer));
        for claims in [
            json!({"sub": "s"}),
            json!({"sub": "s", "groups": []}),
            json!({"sub": "s", "groups": ["A", {"a": 1}]}),
            json!({"sub": "s", "groups": {"a": true}}),
        ] {
            let stranger = Stranger { subject: "https://i s".to_owned(), why: NO_ROLE };
            assert_eq!(Person::of(&claims, &settings(None, "groups")), Err(stranger), "{claims}");
        }
    }

    #[test]
    fn a_name_is_one_that_the_provider_has_proven() {
        let name = |mut claims: Value, claim: Option<&str>| {
            claims["g"] = json!("v");
            Person::of(&claims, &settings(claim, "g")).map(|person| person.name).ok()
        };
        let is = |name: &str| Some(name.to_owned());
        let all =
            json!({"sub": "S-1", "preferred_username": "Ana", "email": "a@b", "email_verified": true, "upn": "u"});
        assert_eq!((name(all.clone(), None), name(all.clone(), Some("upn"))), (is("ana"), is("u")));
        assert_eq!((name(all.clone(), Some("email")), name(all, Some("none"))), (is("a@b"), None));
        assert_eq!(name(json!({"sub": "S-1", "email": "a@b", "email_verified": true}), None), is("a@b"));
        for verified in [json!(false), json!("true"), json!(null)] {
            assert_eq!(name(json!({"sub": "S-1", "email": "a@b", "email_verified": verified}), None), is("s-1"));
        }
        assert_eq!(name(json!({"sub": "S-1", "preferred_username": "María L."}), None), is("s-1"));
        // Nobody is the proxy itself.
        assert_eq!(name(json!({"sub": "nonnocere", "preferred_username": "Nonnocere"}), None), None);
    }
}
