//! The keys that sign (ed25519, RFC 8032).

use crate::digest::hmac;
use data_encoding::BASE64;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use std::fmt;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A key that signs. Never shown.
#[derive(Clone)]
pub struct Signing(SigningKey);

/// A key that tells whether something was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public(VerifyingKey);

impl Signing {
    /// The key in a file, which is made where there is none.
    ///
    /// # Errors
    /// What is wrong with the file, and what to do.
    pub fn open(path: &Path) -> Result<Self, String> {
        let bytes = secret(path).map_err(|why| format!("audit.key: {why}"))?;
        Ok(Self(SigningKey::from_bytes(&bytes)))
    }

    /// A key that nobody knows.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> Result<Self, String> {
        Ok(Self(SigningKey::from_bytes(&random()?)))
    }

    /// The signature of a text, in base64.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        BASE64.encode(&self.0.sign(text.as_bytes()).to_bytes())
    }

    /// A secret for another purpose, from which neither this key nor another secret can be found.
    #[must_use]
    pub(super) fn secret_for(&self, purpose: &str) -> [u8; 32] {
        hmac(self.0.as_bytes(), &[purpose.as_bytes()])
    }

    /// The key that tells what this one signed.
    #[must_use]
    pub fn public(&self) -> Public {
        Public(self.0.verifying_key())
    }
}

impl Public {
    /// The key that is spelt so, in base64.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text.trim().as_bytes()).ok()?;
        VerifyingKey::from_bytes(&<[u8; 32]>::try_from(bytes).ok()?).ok().map(Self)
    }

    /// Whether a text was signed so.
    #[must_use]
    pub fn signed(&self, text: &str, signature: &str) -> bool {
        let bytes = BASE64.decode(signature.as_bytes()).ok();
        let signature = bytes.and_then(|bytes| Signature::from_slice(&bytes).ok());
        signature.is_some_and(|signature| self.0.verify_strict(text.as_bytes(), &signature).is_ok())
    }
}

impl fmt::Display for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.0.as_bytes()))
    }
}

/// The secret in a file, in base64, which is made where there is none: for its owner alone.
pub(super) fn secret(path: &Path) -> Result<[u8; 32], String> {
    let shown = path.display();
    let wrong = |why: &dyn fmt::Display| format!("{shown}: {why}");
    match std::fs::read_to_string(path) {
        Ok(text) => bytes(&text).ok_or_else(|| wrong(&"expected 32 bytes in base64; move it away to have one made")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = random().map_err(|why| wrong(&why))?;
            let mut options = std::fs::OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(path);
            let mut file = file.map_err(|error| wrong(&error))?;
            let written = writeln!(file, "{}", BASE64.encode(&key)).and_then(|()| file.sync_all());
            written.map_err(|error| wrong(&error))?;
            Ok(key)
        }
        Err(error) => Err(wrong(&error)),
    }
}

/// 32 bytes that are spelt so, in base64.
pub(super) fn bytes(text: &str) -> Option<[u8; 32]> {
    BASE64.decode(text.trim().as_bytes()).ok()?.try_into().ok()
}

fn random() -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random bytes: {error}"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.key");
        let (first, again) = (Signing::open(&path).unwrap(), Signing::open(&path).unwrap());
        assert_eq!(first.public(), again.public());
        assert_eq!(Public::parse(&first.public().to_string()), Some(first.public()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "short").unwrap();
        assert!(Signing::open(&path).map(|_| ()).unwrap_err().contains("expected 32 bytes"));
        let random = || Signing::random().unwrap().public();
        assert_ne!(random(), random());
    }
}
