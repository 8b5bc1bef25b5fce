//! Where a visitor is: at the other end of the connection, or, where that is a proxy that is trusted, where it says that they are.
//!
//! A proxy appends to what its visitor sent. So the list is read from its end, up to the first address that is not one of ours: what
//! stands before it, anyone could have written.

use http::header::{FORWARDED, HeaderMap, HeaderName};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address by which a visitor is known.
pub(super) fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    let said = |name: &HeaderName, read: fn(&str) -> Option<IpAddr>| {
        headers.contains_key(name).then(|| first_stranger(peer, parts(headers, name).map(read), is_trusted))
    };
    match (said(&X_FORWARDED_FOR, plain), said(&FORWARDED, tagged)) {
        // A proxy that appends to one of them may hand on the other as its visitor wrote it.
        (Some(one), Some(other)) if one != other => peer,
        (Some(found), _) | (None, Some(found)) => found,
        (None, None) => peer,
    }
}

/// What stands between the commas, the last first.
fn parts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().collect::<Vec<_>>().into_iter().rev();
    // A line that is no text is one part that names nobody.
    lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(',').map(str::trim))
}

/// The first address that is not trusted; where all are, or one cannot be read, the last before.
fn first_stranger(
    peer: IpAddr,
    parts: impl Iterator<Item = Option<IpAddr>>,
    is_trusted: impl Fn(&IpAddr) -> bool,
) -> IpAddr {
    let mut found = peer;
    for part in parts {
        let Some(address) = part else { break };
        found = address;
        if !is_trusted(&found) {
            break;
        }
    }
    found
}

/// An address, perhaps with a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn plain(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address| address.to_canonical())
}

/// The address of a part of `Forwarded` (RFC 7239): `for=192.0.2.1;proto=https`, `For="[2001:db8::1]:80"`.
fn tagged(text: &str) -> Option<IpAddr> {
    let pairs = text.split(';').filter_map(|pair| pair.trim().split_once('='));
    let mut nodes = pairs.filter(|(name, _)| name.eq_ignore_ascii_case("for")).map(|(_, node)| node);
    let (node, None) = (nodes.next()?, nodes.next()) else { return None };
    plain(node.strip_prefix('"').and_then(|node| node.strip_suffix('"')).unwrap_or(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address of someone whose connection comes from `peer`, behind proxies of 10.0.0.0/8 and fd00::/8.
    fn found(peer: &str, headers: &[(&str, &str)]) -> String {
        let name = |name: &str| name.parse::<HeaderName>().unwrap();
        let headers: HeaderMap = headers.iter().map(|(header, value)| (name(header), value.parse().unwrap())).collect();
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        of(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    const XFF: &str = "x-forwarded-for";

    #[test]
    fn who_is_not_behind_a_proxy_is_who_connects() {
        assert_eq!(found("192.0.2.9", &[]), "192.0.2.9");
        assert_eq!(found("192.0.2.9", &[(XFF, "192.0.2.1"), ("forwarded", "for=192.0.2.1")]), "192.0.2.9");
        assert_eq!(found("::ffff:10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_trusted_proxy_says_who_it_is() {
        for (said, is) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, 10.1.1.1 , fd00::1", "192.0.2.1"),
            ("10.3.3.3, 10.2.2.2", "10.3.3.3"),
        ] {
            assert_eq!(found("10.0.0.1", &[(XFF, said)]), is, "{said}");
        }
        assert_eq!(found("::ffff:10.0.0.1", &[(XFF, "192.0.2.1")]), "192.0.2.1");
        assert_eq!(found("10.0.0.1", &[(XFF, "192.0.2.1"), (XFF, "10.2.2.2")]), "192.0.2.1");
        for (said, is) in [
            ("for=192.0.2.1;proto=https;by=10.0.0.1", "192.0.2.1"),
            ("proto=https; For=\"192.0.2.1:80\"", "192.0.2.1"),
            ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=192.0.2.1, for=10.2.2.2", "192.0.2.1"),
        ] {
            assert_eq!(found("10.0.0.1", &[("forwarded", said)]), is, "{said}");
        }
    }

    #[test]
    fn nobody_writes_an_address_of_their_own() {
        // What the visitor sent stands before what the proxy appended.
        assert_eq!(found("10.0.0.1", &[(XFF, "198.51.100.7, 192.0.2.1")]), "192.0.2.1");
        assert_eq!(found("10.0.0.1", &[(XFF, "10.9.9.9, 192.0.2.1, 10.2.2.2")]), "192.0.2.1");
        assert_eq!(found("10.0.0.1", &[(XFF, "198.51.100.7"), (XFF, "192.0.2.1")]), "192.0.2.1");
        for sent in ["for=\"", "for=198.51.100.7;x=\"", "for=198.51.100.7", "\\"] {
            assert_eq!(found("10.0.0.1", &[("forwarded", &format!("{sent}, for=192.0.2.1"))]), "192.0.2.1", "{sent}");
        }
        // Where one is theirs and one is the proxy's, neither counts.
        let both = [(XFF, "198.51.100.7"), ("forwarded", "for=192.0.2.1")];
        assert_eq!(found("10.0.0.1", &both), "10.0.0.1");
        assert_eq!(found("10.0.0.1", &[(XFF, "192.0.2.1"), ("forwarded", "for=192.0.2.1")]), "192.0.2.1");
    }

    #[test]
    fn what_names_nobody_ends_the_list() {
        for said in ["", "unknown", "_hidden", "192.0.2.300", "192.0.2.1,", "198.51.100.7, unknown"] {
            assert_eq!(found("10.0.0.1", &[(XFF, said)]), "10.0.0.1", "{said}");
        }
        assert_eq!(found("10.0.0.1", &[(XFF, "192.0.2.1, unknown, 10.2.2.2")]), "10.2.2.2");
        for said in ["for=unknown", "for=_secret", "by=192.0.2.1", "for=192.0.2.1;for=192.0.2.2", "192.0.2.1"] {
            assert_eq!(found("10.0.0.1", &[("forwarded", said)]), "10.0.0.1", "{said}");
        }
    }
}
