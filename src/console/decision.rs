//! The page of one decision.

use super::Desk;
use super::trouble::Trouble;
use crate::response::Body;
use http::Response;
use maud::html;

/// Shows it.
pub(super) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let title = desk.language.say("Decision", "Decisión");
    Ok(desk.page(title, &html! { h1 { (title) } }))
}

/// Shows its kept text, which is recorded.
pub(super) async fn text(_: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    Err(Trouble::NotFound)
}
