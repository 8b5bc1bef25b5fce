//! The texts of decisions, for reviewers: sealed (XChaCha20-Poly1305, with the decision that each belongs to), kept for days
//! and not for years, and read only on record.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use data_encoding::BASE64;
use std::path::Path;
use std::time::Duration;

/// Seals texts, and opens them.
pub struct Vault {
    cipher: XChaCha20Poly1305,
    /// How long a text is kept, in microseconds.
    keep: i64,
    /// Names the key, so that it is known which one a text needs.
    id: String,
}

/// A sealed text, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The event that it belongs to.
    pub event: String,
    /// `prompt` or `completion`.
    pub direction: String,
    /// When, in microseconds since 1970.
    pub time: i64,
    /// Until when it is kept, by whoever sealed it.
    pub until: i64,
    /// The text.
    pub text: String,
}

const NONCE: usize = 24;

impl Vault {
    /// The vault whose key is `secret`, in base64, or where that is empty, in the file at `path`, which is made where there is
    /// none and one may be made. Texts are kept for `keep`.
    ///
    /// # Errors
    /// What is wrong with the key, and what to do.
    pub fn open((path, may_make): (&Path, bool), secret: &str, keep: Duration) -> Result<Self, String> {
        let bytes = match secret {
            "" if !may_make && !path.exists() => {
                return Err(format!(
                    "audit.vault_key: {} is not there, and texts are kept that need it",
                    path.display()
                ));
            }
            "" => super::key::secret(path).map_err(|why| format!("audit.vault_key: {why}"))?,
            secret => super::key::bytes(secret)
                .ok_or("audit.vault_secret: expected 32 bytes in base64, as `openssl rand -base64 32` makes them")?,
        };
        Ok(Self::new(&bytes, keep))
    }

    /// The vault with this key.
    #[must_use]
    pub fn new(key: &[u8; 32], keep: Duration) -> Self {
        let id = crate::digest::short(&[b"nonnocere vault ".as_slice(), key].concat());
        let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
        Self { cipher: XChaCha20Poly1305::new(Key::from_slice(key)), keep, id }
    }

    /// What names the key, and betrays nothing of it.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.id
    }

    /// Seals the text of a decision.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn seal(&self, (event, direction): (&str, &str), time: i64, text: &str) -> Result<Sealed, String> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|error| format!("no random bytes: {error}"))?;
        let belongs = belongs(event, direction, time);
        let payload = Payload { msg: text.as_bytes(), aad: belongs.as_bytes() };
        let sealed = self.cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|error| error.to_string())?;
        let sealed = BASE64.encode(&[&nonce, sealed.as_slice()].concat());
        let text = format!("{}:{sealed}", self.id);
        let until = time.saturating_add(self.keep);
        Ok(Sealed { event: event.to_owned(), direction: direction.to_owned(), time, until, text })
    }

    /// The text that was sealed.
    ///
    /// # Errors
    /// When it was sealed by another key, for another decision, or changed.
    pub fn unseal(&self, sealed: &Sealed) -> Result<String, String> {
        let Sealed { event, direction, time, text, .. } = sealed;
        let (id, text) = text.split_once(':').ok_or("it is not a sealed text")?;
        if id != self.id {
            return Err(format!("it was sealed by the key {id}, and this is the key {}", self.id));
        }
        let bytes = BASE64.decode(text.as_bytes()).map_err(|error| error.to_string())?;
        let (nonce, bytes) = bytes.split_at_checked(NONCE).ok_or("it is cut short")?;
        let belongs = belongs(event, direction, *time);
        let payload = Payload { msg: bytes, aad: belongs.as_bytes() };
        let opened = self.cipher.decrypt(XNonce::from_slice(nonce), payload);
        let opened = opened.map_err(|_| "it was changed, or belongs to another decision")?;
        String::from_utf8(opened).map_err(|error| error.to_string())
    }
}

fn belongs(event: &str, direction: &str, time: i64) -> String {
    format!("{event} {direction} {time}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_opened_by_its_key_for_its_decision_as_it_was_sealed() {
        let [vault, other] = [7, 8].map(|byte| Vault::new(&[byte; 32], Duration::from_micros(3)));
        let sealed = vault.seal(("e", "prompt"), 5, "a text").unwrap();
        assert!(!sealed.text.contains("text") && sealed.until == 8);
        assert_ne!(sealed, vault.seal(("e", "prompt"), 5, "a text").unwrap(), "twice the same text looks different");
        assert_eq!(vault.unseal(&sealed).as_deref(), Ok("a text"));
        assert!(other.unseal(&sealed).unwrap_err().contains("sealed by the key"));
        let moved = Sealed { event: "f".into(), ..sealed.clone() };
        assert!(vault.unseal(&moved).unwrap_err().contains("belongs to another decision"));
        let mut bytes = BASE64.decode(sealed.text.split_once(':').unwrap().1.as_bytes()).unwrap();
        bytes[30] ^= 1;
        let changed = Sealed { text: format!("{}:{}", vault.id, BASE64.encode(&bytes)), ..sealed.clone() };
        assert!(vault.unseal(&changed).unwrap_err().contains("it was changed"));
        let short = Sealed { text: format!("{}:AAAA", vault.id), ..sealed };
        assert!(vault.unseal(&short).unwrap_err().contains("cut short"));
    }

    #[test]
    fn the_key_comes_from_the_environment_or_from_a_file_that_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.key");
        let open = |may_make, secret: &str| Vault::open((&path, may_make), secret, Duration::from_secs(1));
        assert!(open(false, "").map(|_| ()).unwrap_err().contains("is not there, and texts are kept that need it"));
        let sealed = open(true, "").unwrap().seal(("e", "prompt"), 5, "a text").unwrap();
        assert_eq!(open(false, "").unwrap().unseal(&sealed).as_deref(), Ok("a text"));
        let secret = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(open(false, secret.trim()).unwrap().unseal(&sealed).as_deref(), Ok("a text"));
        assert!(open(true, "short").map(|_| ()).unwrap_err().contains("openssl rand"));
    }
}
