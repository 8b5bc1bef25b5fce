//! The pages of the policy: [what is in force](in_force), read aloud, and what was done; [drafts], and the [editor] of one; what a draft
//! [would do](trial); and how it is [brought](bring) in force.

mod bring;
mod chart;
mod difference;
mod drafts;
mod editor;
mod forms;
mod in_force;
mod objection;
mod tests_of;
mod trial;
mod workshop;

pub(super) use bring::{approve, promote, propose, roll_back};
pub(super) use chart::{curve, numbers};
pub(super) use difference::proposal;
pub(super) use drafts::{begin, download, save};
pub(super) use editor::show as show_draft;
pub(super) use in_force::show;
pub(super) use trial::{begin as measure, show as show_trial};
pub(super) use workshop::Workshop;

use super::Desk;
use super::trouble::Trouble;
use crate::audit::drafts::Draft;
use crate::policy::Policy;
use crate::policy::draft::Ground;
use crate::policy::file::Fault;
use std::sync::Arc;

/// What is in force, and drafts.
const PATH: &str = "/console/policy";

/// Where a draft is.
pub(super) fn path_of(draft: &str) -> String {
    format!("{PATH}/drafts/{draft}")
}

/// The draft that the path names.
async fn named(desk: &Desk<'_>) -> Result<Draft, Trouble> {
    desk.records.store.draft(desk.param("name")).await?.ok_or(Trouble::NotFound)
}

/// The policy that a draft began as: the version, where it can still be had, or what is in force.
async fn base(desk: &Desk<'_>, draft: &Draft) -> Arc<Policy> {
    let live = &desk.console.proxy.policy;
    let in_force = live.in_force();
    let Some(standing) = &in_force.standing else { return Arc::clone(&in_force.policy) };
    let based_on = draft.based_on.filter(|version| Some(*version) != standing.stable);
    if let (Some(version), Some(versions)) = (based_on, live.versions())
        && let Ok(policy) = versions.policy(version, standing).await
    {
        return Arc::new(policy);
    }
    Arc::clone(&in_force.policy)
}

/// The policy that a draft is, or what is wrong with its text.
pub(super) async fn read(desk: &Desk<'_>, draft: &Draft) -> Result<Policy, Vec<Fault>> {
    let ground = Ground::of(&*base(desk, draft).await, draft.based_on);
    desk.console.workshop.read(ground, (draft.name.clone(), draft.text.clone())).await
}
