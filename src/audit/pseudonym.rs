//! Names for users that tell one from another, and not who they are.

use super::key::Signing;
use crate::digest::hmac;
use data_encoding::HEXLOWER;

/// What the secret is for; another word gives all users other names.
const PURPOSE: &str = "nonnocere pseudonyms of users 1";

/// Makes the names. Whoever has the key that signs can find out whether a name is that of an id, and nobody else.
pub struct Pseudonyms([u8; 32]);

impl Pseudonyms {
    /// Those of a key that signs: the same names wherever the key is the same.
    #[must_use]
    pub fn new(key: &Signing) -> Self {
        Self(key.secret_for(PURPOSE))
    }

    /// The name of the user whom a tenant calls `id`, 16 hexadecimal digits: with another tenant, the same id is someone else.
    #[must_use]
    pub fn of(&self, tenant: Option<&str>, id: &str) -> String {
        // A length before the tenant, so that no two pairs give the same bytes.
        let length = tenant.map_or(0, |tenant| tenant.len() as u64 + 1).to_be_bytes();
        let hash = hmac(&self.0, &[&length, tenant.unwrap_or_default().as_bytes(), id.as_bytes()]);
        HEXLOWER.encode(hash.get(..8).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_one_name_by_a_key_and_a_tenant() {
        let key = Signing::random().unwrap();
        let names = Pseudonyms::new(&key);
        let name = names.of(Some("st-anna"), "maria");
        assert!(name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        assert_eq!(name, Pseudonyms::new(&key).of(Some("st-anna"), "maria"));
        let others = [
            names.of(None, "maria"),
            names.of(None, "st-annamaria"),
            names.of(Some("st-ann"), "amaria"),
            names.of(Some("st-anna"), "Maria"),
            Pseudonyms::new(&Signing::random().unwrap()).of(Some("st-anna"), "maria"),
        ];
        assert!(!others.contains(&name), "{others:?}");
        assert_ne!(key.secret_for("one"), key.secret_for("other"));
    }
}
