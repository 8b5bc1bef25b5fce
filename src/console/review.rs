//! The page of what waits for a reviewer.

use super::Desk;
use super::trouble::Trouble;
use crate::response::Body;
use http::Response;
use maud::html;

/// Shows it.
pub(super) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let title = desk.language.say("Review", "Revisión");
    Ok(desk.page(title, &html! { h1 { (title) } }))
}

/// Keeps what the reviewer says.
pub(super) async fn label(_: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    Err(Trouble::NotFound)
}
