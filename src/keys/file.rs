//! The file of API keys: JSON with what is known of each key, and never the key itself.

use super::limits::Most;
use super::{PREFIX, Settings, hash};
use crate::policy::message::Audience;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

/// What is known of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Names it, to everyone.
    pub id: String,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Whose requests it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Who is served by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The upstream that serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Requests a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<NonZeroU32>,
    /// Bytes of requests' bodies a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_minute: Option<NonZeroU32>,
    /// Requests at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<NonZeroU32>,
    /// When it was made (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Until when it is valid (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    keys: Vec<Entry>,
}

impl Entry {
    /// That of a key of ours.
    #[must_use]
    pub fn of(key: &str) -> Option<Self> {
        let (id, _) = key.strip_prefix(PREFIX)?.split_once('_')?;
        Some(Self { id: id.to_owned(), sha256: HEXLOWER.encode(&hash(key)), ..Self::default() })
    }

    pub(super) fn hash(&self) -> Option<[u8; 32]> {
        HEXLOWER.decode(self.sha256.as_bytes()).ok()?.try_into().ok()
    }

    /// Until when it is valid, where it ends; nothing where that cannot be read.
    pub(super) fn expires(&self) -> Option<Option<SystemTime>> {
        self.expires.as_deref().map(humantime::parse_rfc3339).transpose().ok()
    }

    pub(super) const fn limits(&self) -> Most {
        Most {
            requests_per_minute: self.requests_per_minute,
            bytes_per_minute: self.bytes_per_minute,
            in_flight: self.in_flight,
        }
    }
}

/// A new key, which is known to nobody else.
///
/// # Errors
/// When the system has no randomness.
pub fn draw() -> io::Result<String> {
    let mut drawn = [0; 38];
    getrandom::fill(&mut drawn).map_err(|why| io::Error::other(why.to_string()))?;
    let (id, secret) = drawn.split_at(6);
    Ok(format!("{PREFIX}{}_{}", HEXLOWER.encode(id), HEXLOWER.encode(secret)))
}

/// The entries of a file.
///
/// # Errors
/// Where it is not one.
pub fn parse(text: &str) -> Result<Vec<Entry>, Vec<String>> {
    let content: Content = serde_json::from_str(text).map_err(|why| vec![format!("keys.file: {why}")])?;
    Ok(content.keys)
}

/// Whether entries make sense together with the rest of the configuration.
///
/// # Errors
/// Every fault that was found.
pub fn check(entries: &[Entry], settings: &Settings) -> Result<(), Vec<String>> {
    let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
    for entry in entries {
        let id = &entry.id;
        let mut fault = |what: &str| faults.push(format!("keys.file: key {id}: {what}"));
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if id.is_empty() || id.len() > 32 || !id.bytes().all(is_plain) {
            fault("ids are of a-z and 0-9, at most 32 bytes");
        }
        if !seen.insert(id) {
            fault("it is there twice");
        }
        if entry.hash().is_none() {
            fault("sha256 is not 64 hexadecimal digits");
        }
        if entry.expires().is_none() {
            fault("expires is no time such as 2026-12-01T00:00:00Z");
        }
        match &entry.tenant {
            Some(tenant) if !settings.tenants.contains(&**tenant) => fault("guard.tenants does not have its tenant"),
            None if settings.needs_tenant => fault("it must name a tenant (guard.tenant_required)"),
            _ => {}
        }
        if entry.audience.as_deref().is_some_and(|audience| Audience::named(audience).is_none()) {
            fault(&format!("audience is none of {}", Audience::names()));
        }
        if entry.upstream.as_deref().is_some_and(|upstream| !settings.upstreams.contains(upstream)) {
            fault("there is no [upstreams] of that name");
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Changes a file, whoever else does so too; it is made where there is none, and is whole at every moment.
///
/// # Errors
/// When it cannot be read or written, or `change` says why not.
pub fn edit<T>(path: &Path, change: impl FnOnce(&mut Vec<Entry>) -> Result<T, Vec<String>>) -> Result<T, Vec<String>> {
    let failed = |why: io::Error| vec![format!("{}: {why}", path.display())];
    let lock = File::create(beside(path, "lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let mut keys = match std::fs::read_to_string(path) {
        Ok(text) => parse(&text)?,
        Err(why) if why.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(why) => return Err(failed(why)),
    };
    let changed = change(&mut keys)?;
    let text = serde_json::to_string_pretty(&Content { keys }).map_err(|why| vec![why.to_string()])?;
    write(path, &text).map_err(failed)?;
    Ok(changed)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = beside(path, "new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    writeln!(file, "{text}")?;
    // Who may read it stays as the operator has it.
    if let Ok(known) = std::fs::metadata(path) {
        file.set_permissions(known.permissions())?;
    }
    file.sync_all()?;
    std::fs::rename(&new, path)
}

fn beside(path: &Path, ending: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            file: "keys.json".into(),
            watch: None,
            tenants: ["west".into()].into(),
            needs_tenant: false,
            upstreams: ["gpu-1".into()].into(),
        }
    }

    #[test]
    fn keys_are_drawn_anew_and_kept_as_hashes() {
        let (one, two) = (draw().unwrap(), draw().unwrap());
        assert!(one != two && one.len() == 4 + 12 + 1 + 64);
        let entry = Entry::of(&one).unwrap();
        assert!(one.starts_with(&format!("nnc_{}_", entry.id)));
        let text = serde_json::to_string(&entry).unwrap();
        assert!(!text.contains(one.rsplit('_').next().unwrap()), "{text}");
        assert!(check(&[entry], &settings()).is_ok());
    }

    #[test]
    fn every_fault_of_a_file_is_found_at_once() {
        let good = Entry::of("nnc_a_b").unwrap();
        let entries = [
            Entry { tenant: Some("east".into()), audience: Some("cats".into()), ..good.clone() },
            Entry { upstream: Some("gpu-9".into()), expires: Some("soon".into()), ..good.clone() },
            Entry { id: "A_b".into(), sha256: "00".into(), ..good.clone() },
        ];
        assert_eq!(
            check(&entries, &settings()).unwrap_err(),
            [
                "keys.file: key a: guard.tenants does not have its tenant",
                "keys.file: key a: audience is none of patient, clinician, staff, research",
                "keys.file: key a: it is there twice",
                "keys.file: key a: expires is no time such as 2026-12-01T00:00:00Z",
                "keys.file: key a: there is no [upstreams] of that name",
                "keys.file: key A_b: ids are of a-z and 0-9, at most 32 bytes",
                "keys.file: key A_b: sha256 is not 64 hexadecimal digits",
            ]
        );
        let strict = Settings { needs_tenant: true, ..settings() };
        assert_eq!(check(&[good], &strict).unwrap_err().len(), 1);
        assert!(
            parse("{\"keys\": [{\"id\": \"a\", \"sha256\": \"\", \"tennant\": \"west\"}]}").unwrap_err()[0]
                .contains("tennant")
        );
        assert!(parse("{\"keys\": [{\"id\": \"a\", \"sha256\": \"\", \"in_flight\": 0}]}").is_err());
    }

    #[test]
    fn a_file_is_changed_whole_and_keeps_who_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let add = |key: &str| {
            let entry = Entry::of(key).unwrap();
            edit(&path, |keys| {
                keys.push(entry);
                Ok(keys.len())
            })
        };
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!((add("nnc_a_b"), mode()), (Ok(1), 0o600));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!((add("nnc_b_b"), mode()), (Ok(2), 0o640));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(edit(&path, |_| Err::<(), _>(vec!["no".to_owned()])), Err(vec!["no".to_owned()]));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        std::fs::write(&path, "half").unwrap();
        assert!(add("nnc_c_b").unwrap_err()[0].starts_with("keys.file: "));
    }
}
