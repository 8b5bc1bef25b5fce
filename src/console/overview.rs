//! The page of the overview.

use super::Desk;
use super::trouble::Trouble;
use crate::response::Body;
use http::Response;
use maud::html;

/// Shows it.
pub(super) async fn show(desk: &Desk<'_>) -> Result<Response<Body>, Trouble> {
    let title = desk.language.say("Overview", "Resumen");
    Ok(desk.page(title, &html! { h1 { (title) } }))
}
