//! Decisions that were not made: a realistic mix, the same in each run.

#![allow(dead_code, reason = "each bench uses its own part")]

use nonnocere::audit::decision::{Decision, Seen};
use nonnocere::classify::Scores;
use nonnocere::policy::taxonomy::VIOLATION_TYPES;

/// 30 days, in microseconds.
pub const MONTH: i64 = 30 * 86_400_000_000;

/// Decisions that were made up to now.
#[derive(Clone, Copy)]
pub struct Month {
    /// When the first was made, in microseconds since 1970.
    pub begin: i64,
    /// How many there are.
    pub all: i64,
}

const TENANTS: [&str; 5] = ["cardiology", "emergency", "oncology", "paediatrics", "pharmacy"];
const AUDIENCES: [&str; 4] = ["patient", "clinician", "research", "student"];

/// A number between 0 and 1 that looks like chance (splitmix64).
pub fn chance(number: i64, salt: u64) -> f64 {
    let mixed =
        (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt.wrapping_mul(0xd1b5_4a32_d192_ed03));
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// One decision of a month: prompts and answers by turns, a twentieth stopped, most scores low.
pub fn decision(number: i64, Month { begin, all }: Month) -> Decision {
    let dice = |salt| chance(number, salt);
    let is_prompt = number % 2 == 0;
    let violation = if dice(1) < 0.05 { 0.5 + 0.5 * dice(2) } else { 0.6 * dice(2).powi(4) };
    let stops = violation >= 0.5;
    let kind = &VIOLATION_TYPES[(dice(3).powi(2) * VIOLATION_TYPES.len() as f64) as usize];
    let action = match dice(4) {
        _ if dice(5) < 0.0005 => "unavailable",
        part if stops => {
            if part < 0.04 {
                "escalate"
            } else if part < 0.1 {
                "rewrite"
            } else {
                "block"
            }
        }
        part if part < 0.01 => "flag",
        _ => "allow",
    };
    let refusal = if !is_prompt && dice(6) < 0.03 { 0.9 } else { 0.02 };
    let mut scores = Scores { violation: violation as f32, manipulation: 0.01, crisis: 0.002, refusal, ..Scores::NONE };
    if let Some(share) = scores.types.get_mut((dice(3).powi(2) * 56.0) as usize) {
        *share = 0.9;
    }
    let tenant = TENANTS[(dice(7).powi(2) * 5.0) as usize];
    let audience = AUDIENCES[(dice(8).powi(2) * 4.0) as usize];
    Decision {
        time: begin + MONTH / all * number,
        event: format!("{:012x}7{:019x}", (begin + MONTH / all * (number / 2)) / 1000, number / 2),
        direction: if is_prompt { "prompt" } else { "completion" }.into(),
        surface: "chat".into(),
        stream: number % 3 == 0,
        audience: Some(audience.into()),
        action: action.into(),
        rule: stops.then(|| if is_prompt { "violating-prompt" } else { "violating-completion" }.into()),
        principle: stops.then(|| kind.principle.id().into()),
        kind: stops.then(|| kind.id.into()),
        scan: if dice(9) < 0.01 {
            "partial"
        } else if dice(9) < 0.0105 {
            "none"
        } else {
            "full"
        }
        .into(),
        alone: Some(Seen::from(&scores)),
        context: (number % 4 == 0).then(|| Seen::from(&scores)),
        policy: if number < all / 10 { "ama@260ba033ee84" } else { "clinic@77aa0133ee84" }.into(),
        model: "c5cf38aa6488".into(),
        status: Some(200),
        took_ms: Some(2.0 + 40.0 * dice(10).powi(6)),
        tenant: Some(tenant.into()),
        ..Decision::default()
    }
}
