//! The page on which a text is tried.

use super::Desk;
use super::trouble::Trouble;
use crate::response::Body;
use http::Response;
use maud::html;

/// Shows it.
pub(super) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let title = desk.language.say("Try a text", "Probar un texto");
    Ok(desk.page(title, &html! { h1 { (title) } }))
}
