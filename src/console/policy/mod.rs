//! The pages of the policy.

use super::Desk;
use super::trouble::Trouble;
use crate::response::Body;
use http::Response;
use maud::html;

/// Shows it.
pub(super) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let title = desk.language.say("Policy", "Política");
    Ok(desk.page(title, &html! { h1 { (title) } }))
}

/// Keeps a draft.
pub(super) async fn draft(_: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    Err(Trouble::NotFound)
}

/// Approves of a proposal.
pub(super) async fn approve(_: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    Err(Trouble::NotFound)
}

/// Puts a version in force.
pub(super) async fn promote(_: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    Err(Trouble::NotFound)
}

/// Takes a version back.
pub(super) async fn rollback(_: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    Err(Trouble::NotFound)
}
