//! How callers are told apart.

use super::RawGuard;
use crate::caller::Callers;
use crate::policy::message::{TENANT_NAMES, is_tenant};
use http::HeaderName;
use std::sync::Arc;

/// What `[guard]` says of callers.
pub(super) fn checked(guard: &RawGuard, has_keys: bool, faults: &mut Vec<String>) -> Callers {
    let RawGuard { tenant_header, tenants, tenant_required, user_header, .. } = guard;
    for name in tenants.iter().filter(|name| !is_tenant(name)) {
        faults.push(format!("guard.tenants: {name:?}: {TENANT_NAMES}"));
    }
    match (tenant_header.is_empty(), tenants.is_empty()) {
        (true, false) if !has_keys => {
            faults.push("guard.tenants: there are none without guard.tenant_header or keys.file".to_owned());
        }
        (false, true) => faults.push("guard.tenants: expected at least one name, for guard.tenant_header".to_owned()),
        _ => {}
    }
    if tenant_header.is_empty() && *tenant_required && !has_keys {
        faults.push("guard.tenant_required: there are no tenants without guard.tenant_header or keys.file".to_owned());
    }
    Callers {
        tenant_header: header("guard.tenant_header", tenant_header, faults),
        tenants: tenants.iter().map(|name| Arc::from(name.as_str())).collect(),
        tenant_required: *tenant_required,
        user_header: header("guard.user_header", user_header, faults),
    }
}

fn header(key: &str, name: &str, faults: &mut Vec<String>) -> Option<HeaderName> {
    if name.is_empty() {
        return None;
    }
    let header = name.parse().ok();
    if header.is_none() {
        faults.push(format!("{key}: expected the name of a header such as x-tenant, or nothing, found {name:?}"));
    }
    header
}
