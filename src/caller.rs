//! Who calls, as far as a trusted gateway in front says it by headers, or an API key: whose request it is, and for which user.
//!
//! A tenant is one of a closed list, so that nobody can make up another by a typing error, and rules for it be passed by
//! unseen. What these headers say is said to us: the upstream does not get them.

use crate::error::ProxyError;
use crate::keys::Key;
use crate::policy::Policy;
use crate::policy::message::{Audience, Languages, Reader};
use crate::route::Flow;
use http::{HeaderMap, HeaderName};
use std::collections::BTreeSet;
use std::sync::Arc;

/// By this header a caller says that a request is about records of substance-use treatment (42 CFR Part 2). It only ever makes
/// what is kept less, so that anybody may say it.
pub const PART2: HeaderName = HeaderName::from_static("x-nonnocere-part2");

/// How callers are told apart.
#[derive(Clone, Debug, Default)]
pub struct Callers {
    /// The header that names the tenant; without one there are no tenants.
    pub tenant_header: Option<HeaderName>,
    /// The tenants that there are.
    pub tenants: BTreeSet<Arc<str>>,
    /// Whether every request must have one.
    pub tenant_required: bool,
    /// The header that names the user, where the body does not.
    pub user_header: Option<HeaderName>,
}

/// Who calls.
#[derive(Clone, Default)]
pub struct Caller {
    /// Whose request it is.
    pub tenant: Option<Arc<str>>,
    /// The user, as the gateway calls them: never stored, logged or counted as it is.
    pub user: Option<String>,
    /// Whether it says that the request is about records of substance-use treatment.
    pub part2: bool,
    /// The id of the API key that was shown.
    pub key: Option<Arc<str>>,
    /// Who is served, where the key says so.
    pub audience: Option<Audience>,
    /// Which upstream serves it, where the key says so.
    pub upstream: Option<Arc<str>>,
}

impl Callers {
    /// Who calls, by headers that are taken out, and by an API key.
    ///
    /// # Errors
    /// When no tenant is named where one must be, or one that is not known, or another than the key's.
    pub fn take(&self, headers: &mut HeaderMap, key: Option<&Key>) -> Result<Caller, ProxyError> {
        let tenant = self.tenant(headers, key.and_then(|key| key.tenant.as_ref()))?;
        let user = self.user_header.as_ref().and_then(|name| headers.get(name)?.to_str().ok());
        let user = user.map(str::trim).filter(|user| !user.is_empty()).map(str::to_owned);
        // Whatever is not a plain no is meant to be careful.
        let part2 = headers.get_all(PART2).iter().any(|said| !said.as_bytes().eq_ignore_ascii_case(b"false"));
        for name in [self.tenant_header.as_ref(), self.user_header.as_ref(), Some(&PART2)].into_iter().flatten() {
            headers.remove(name);
        }
        let (audience, upstream) = (key.and_then(|key| key.audience), key.and_then(|key| key.upstream.clone()));
        Ok(Caller { tenant, user, part2, key: key.map(|key| key.id.as_str().into()), audience, upstream })
    }

    fn tenant(&self, headers: &HeaderMap, of_key: Option<&Arc<str>>) -> Result<Option<Arc<str>>, ProxyError> {
        let Some(header) = &self.tenant_header else { return Ok(of_key.cloned()) };
        let mut named = headers.get_all(header).iter();
        match (named.next(), named.next()) {
            // What the key says needs no header, and none can say otherwise.
            (None, _) if of_key.is_some() => Ok(of_key.cloned()),
            (Some(name), _) if of_key.is_some_and(|tenant| name != &**tenant) => {
                Err(ProxyError::UnknownTenant(header.clone()))
            }
            (None, _) if self.tenant_required => Err(ProxyError::NoTenant(header.clone())),
            (None, _) => Ok(None),
            (Some(name), None) => {
                let known = name.to_str().ok().and_then(|name| self.tenants.get(name));
                known.map(|tenant| Some(Arc::clone(tenant))).ok_or_else(|| ProxyError::UnknownTenant(header.clone()))
            }
            // A gateway that adds its header to the client's leaves open which of them is its own.
            (Some(_), Some(_)) => Err(ProxyError::UnknownTenant(header.clone())),
        }
    }

    /// Warns of tenants that `policy` names and that are not known here: its rules for them never apply.
    pub fn warn_of(&self, policy: &Policy) {
        for tenant in self.unknown_in(policy) {
            tracing::warn!(%policy, tenant, "the policy names a tenant that guard.tenants does not");
        }
    }

    /// The tenants that `policy` names and that are not known here.
    #[must_use]
    pub fn unknown_in<'a>(&self, policy: &'a Policy) -> BTreeSet<&'a str> {
        policy.tenants().filter(|tenant| !self.tenants.contains(*tenant)).map(AsRef::as_ref).collect()
    }
}

impl Caller {
    /// Who the answer is for, where it flows so.
    #[must_use]
    pub fn reader(&self, languages: Languages, flow: Flow) -> Reader {
        let Flow { audience, part2, .. } = flow;
        Reader {
            languages,
            audience: self.audience.or(audience),
            tenant: self.tenant.clone(),
            part2: part2 || self.part2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::file::parse;
    use http::HeaderValue;

    fn callers() -> Callers {
        Callers {
            tenant_header: Some(HeaderName::from_static("x-tenant")),
            tenants: ["st-anna", "west"].map(Arc::from).into(),
            tenant_required: false,
            user_header: Some(HeaderName::from_static("x-user")),
        }
    }

    fn headers(named: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in named {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_tenant_is_one_of_the_list_and_named_once() {
        let of = |named: &[(&'static str, &'static str)]| callers().take(&mut headers(named), None);
        assert_eq!(of(&[("x-tenant", "west")]).ok().and_then(|caller| caller.tenant).as_deref(), Some("west"));
        assert!(of(&[]).is_ok_and(|caller| caller.tenant.is_none()));
        for wrong in ["", "West", "west,st-anna", "other", "west/../st-anna"] {
            assert!(matches!(of(&[("x-tenant", wrong)]), Err(ProxyError::UnknownTenant(_))), "{wrong}");
        }
        assert!(matches!(of(&[("x-tenant", "west"), ("x-tenant", "west")]), Err(ProxyError::UnknownTenant(_))));
        let strict = Callers { tenant_required: true, ..callers() };
        assert!(matches!(strict.take(&mut HeaderMap::new(), None), Err(ProxyError::NoTenant(_))));
        // Without a header of the operator's, nobody can name a tenant.
        assert!(
            Callers::default().take(&mut headers(&[("x-tenant", "west")]), None).is_ok_and(|one| one.tenant.is_none())
        );
    }

    #[test]
    fn what_is_said_to_us_goes_no_further() {
        let mut all =
            headers(&[("x-tenant", "west"), ("x-user", " maria "), ("x-nonnocere-part2", "true"), ("a", "b")]);
        let caller = callers().take(&mut all, None).unwrap();
        assert_eq!((caller.user.as_deref(), caller.part2), (Some("maria"), true));
        assert_eq!(all.keys().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn whatever_is_not_a_plain_no_is_careful() {
        let of = |said: &'static str| callers().take(&mut headers(&[("x-nonnocere-part2", said)]), None).unwrap().part2;
        assert_eq!(["true", "TRUE", "1", "yes", ""].map(of), [true; 5]);
        assert_eq!(["false", "False"].map(of), [false; 2]);
    }

    #[test]
    fn tenants_of_a_policy_that_nobody_knows_are_found() {
        let text = "name = \"p\"\nextends = \"ama\"\n[[rules]]\nname = \"violating-prompt\"\ntenants = [\"west\", \"wset\"]\n\
                    [[tests]]\nname = \"t\"\nprompt = \"x\"\ntenant = \"east\"\nexpect = \"pass\"";
        let policy = parse("p.toml", text).unwrap();
        assert_eq!(callers().unknown_in(&policy), BTreeSet::from(["east", "wset"]));
        assert!(callers().unknown_in(&parse("ama.toml", crate::policy::file::EMBEDDED).unwrap()).is_empty());
    }
}
