//! What a visitor sends: the fields of a query or of a posted form.

use super::trouble::Trouble;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use std::time::Duration;

/// The largest form, in bytes.
pub const LARGEST: usize = 256 * 1024;

const FORM: &str = "application/x-www-form-urlencoded";
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The fields of a query or a form, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The fields that are spelt so.
    #[must_use]
    pub fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The first value of a field; nothing where there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// All values of a field.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The fields of a posted form.
pub(super) async fn posted(request: Request<Incoming>, patience: Duration) -> Result<Fields, Trouble> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(FORM) {
        return Err(Trouble::NoForm);
    }
    let whole = Limited::new(request.into_body(), LARGEST).collect();
    let whole = tokio::time::timeout(patience, whole).await.map_err(|_| Trouble::NoForm)?;
    let whole = whole.map_err(|error| match error.is::<LengthLimitError>() {
        true => Trouble::TooLarge,
        false => Trouble::NoForm,
    })?;
    Ok(Fields::parse(&whole.to_bytes()))
}

/// Refuses a post that another site had a browser send. Who is no browser says neither header, and has no cookie to abuse.
pub(super) fn from_here(headers: &HeaderMap, url: Option<&http::Uri>) -> Result<(), Trouble> {
    let said = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if said(&SITE).is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Err(Trouble::OtherSite);
    }
    let Some(origin) = said(&http::header::ORIGIN) else { return Ok(()) };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let ours = [said(&http::header::HOST), url.and_then(|url| url.authority()).map(|authority| authority.as_str())];
    match authority.is_some_and(|authority| ours.contains(&Some(authority))) {
        true => Ok(()),
        false => Err(Trouble::OtherSite),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_kept_in_their_order() {
        let fields = Fields::parse(b"a=1&b=%C3%B1+x&a=2");
        assert_eq!((fields.get("a"), fields.get("b"), fields.get("c")), ("1", "ñ x", ""));
        assert_eq!(fields.all("a").collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn posts_of_other_sites_are_told() {
        let url = "https://console.example/x".parse().unwrap();
        for (headers, is_ours) in [
            (vec![("host", "a:1")], true),
            (vec![("host", "a:1"), ("origin", "http://a:1")], true),
            (vec![("host", "a:1"), ("origin", "http://a:2")], false),
            (vec![("host", "a:1"), ("origin", "null")], false),
            (vec![("host", "a:1"), ("origin", "https://console.example")], true),
            (vec![("host", "a:1"), ("origin", "http://a:1"), ("sec-fetch-site", "same-origin")], true),
            (vec![("host", "a:1"), ("sec-fetch-site", "cross-site")], false),
            (vec![("host", "a:1"), ("sec-fetch-site", "same-site")], false),
        ] {
            let map = headers.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()));
            assert_eq!(from_here(&map.collect(), Some(&url)).is_ok(), is_ours, "{headers:?}");
        }
    }
}
