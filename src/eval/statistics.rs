//! What figures are worth: means with bootstrap intervals, permutation tests, agreement. All of it is the same for the same seed.

use serde::Serialize;

/// Resamples of a bootstrap, and draws of a permutation test.
const RESAMPLES: usize = 2_000;
const DRAWS: usize = 10_000;

/// Random numbers that are the same for a seed: [SplitMix64](https://doi.org/10.1145/2714064.2660195).
struct Dice(u64);

impl Dice {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0; the bias is below `end` / 2^64.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from((u128::from(self.next()) * end as u128) >> 64).unwrap_or_default()
    }
}

/// A mean with its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Of how many values.
    pub n: usize,
}

/// The mean of some values.
#[must_use]
pub fn average(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The mean with its percentile bootstrap interval (Efron, 1979); nothing of nothing.
#[must_use]
pub fn mean(values: &[f64], seed: u64) -> Option<Mean> {
    let mean = average(values)?;
    let mut dice = Dice(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn = (0..values.len()).filter_map(|_| values.get(dice.below(values.len())));
            drawn.sum::<f64>() / values.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share| percentile(&means, share).unwrap_or(mean);
    Some(Mean { mean, low: at(0.025), high: at(0.975), n: values.len() })
}

/// The value below which such a share of sorted values lies.
#[must_use]
pub fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((share * last as f64).round() as usize).copied()
}

/// How likely a mean difference at least as far from zero is if it were chance which value of a pair is which: a paired permutation test
/// on both sides (Fisher, 1935), by random draws. 1 where nothing differs.
#[must_use]
pub fn paired(differences: &[f64], seed: u64) -> f64 {
    // What does not differ cannot be turned round.
    let differences: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    if differences.is_empty() {
        return 1.0;
    }
    let found = differences.iter().sum::<f64>().abs();
    let mut dice = Dice(seed);
    let as_far = (0..DRAWS).filter(|_| {
        let mut signs = (0, 0);
        let turned = differences.iter().map(|difference| {
            if signs.1 == 0 {
                signs = (dice.next(), 64);
            }
            let sign = if signs.0 & 1 == 0 { 1.0 } else { -1.0 };
            signs = (signs.0 >> 1, signs.1 - 1);
            sign * difference
        });
        turned.sum::<f64>().abs() >= found - 1e-9
    });
    (as_far.count() + 1) as f64 / (DRAWS + 1) as f64
}

/// The same for values of two groups that are not paired.
#[must_use]
pub fn unpaired(one: &[f64], other: &[f64], seed: u64) -> f64 {
    let (Some(first), Some(second)) = (average(one), average(other)) else { return 1.0 };
    let found = (first - second).abs();
    let mut all = [one, other].concat();
    let mut dice = Dice(seed);
    let as_far = (0..DRAWS / 5).filter(|_| {
        for place in 0..one.len() {
            let with = place + dice.below(all.len() - place);
            all.swap(place, with);
        }
        let (first, second) = all.split_at(one.len());
        average(first).zip(average(second)).is_some_and(|(first, second)| (first - second).abs() >= found - 1e-9)
    });
    (as_far.count() + 1) as f64 / (DRAWS / 5 + 1) as f64
}

/// How far two judges agree on scores from 1 to 5, less what chance would give, where scores that lie far apart weigh more (Cohen's
/// kappa with quadratic weights, 1968): 1 is always, 0 is chance. Nothing where there is nothing, or chance alone would always agree.
#[must_use]
pub fn weighted_kappa(pairs: &[(u8, u8)]) -> Option<f64> {
    let weight = |one: u8, other: u8| (f64::from(one) - f64::from(other)).powi(2) / 16.0;
    let total = pairs.len() as f64;
    let found: f64 = pairs.iter().map(|(one, other)| weight(*one, *other)).sum::<f64>() / total;
    let share = |of: &dyn Fn(&(u8, u8)) -> bool| pairs.iter().filter(|pair| of(pair)).count() as f64 / total;
    let mut chance = 0.0;
    for one in 1..=5 {
        for other in 1..=5 {
            chance += weight(one, other) * share(&|pair| pair.0 == one) * share(&|pair| pair.1 == other);
        }
    }
    (!pairs.is_empty() && chance > 0.0).then(|| 1.0 - found / chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_lies_within_its_interval_which_narrows() {
        let few: Vec<f64> = (0..20).map(|place| f64::from(place % 5 + 1)).collect();
        let many = few.repeat(50);
        let [few, many] = [few, many].map(|values| mean(&values, 7).unwrap());
        assert_eq!((few.mean, many.mean, few.n), (3.0, 3.0, 20));
        // The standard error of 20 is sqrt(2 / 20); of 1000 it is sqrt(2 / 1000).
        for (found, error) in [(few, 0.316), (many, 0.0447)] {
            let (below, above) = (3.0 - found.low, found.high - 3.0);
            assert!((below / error - 1.96).abs() < 0.3 && (above / error - 1.96).abs() < 0.3, "{found:?}");
        }
        let same = mean(&[5.0; 9], 7).unwrap();
        assert_eq!((same.low, same.high), (5.0, 5.0));
        assert_eq!(mean(&[], 7), None);
        assert_eq!(mean(&[1.0, 2.0, 5.0], 3), mean(&[1.0, 2.0, 5.0], 3));
    }

    #[test]
    fn permutation_tests_give_what_counting_gives() {
        // Of 2^5 ways to turn five equal differences, two are as far.
        assert!((paired(&[1.0; 5], 1) - 2.0 / 32.0).abs() < 0.01, "{}", paired(&[1.0; 5], 1));
        assert_eq!(paired(&[0.0; 5], 1), 1.0);
        assert!(paired(&[1.0, -1.0, 2.0, -2.0], 1) > 0.9);
        assert!(paired(&[3.0; 200], 1) < 0.001);
        // Of the 20 ways to choose three of six, two are as far.
        let p = unpaired(&[1.0, 1.0, 1.0], &[5.0, 5.0, 5.0], 1);
        assert!((p - 0.1).abs() < 0.02, "{p}");
    }

    #[test]
    fn kappa_weighs_how_far_judges_differ() {
        assert_eq!(weighted_kappa(&[(1, 1), (5, 5), (3, 3)]), Some(1.0));
        assert_eq!(weighted_kappa(&[(1, 5), (5, 1)]), Some(-1.0));
        assert_eq!(weighted_kappa(&[]), None);
        assert_eq!(weighted_kappa(&[(1, 1), (1, 1)]), None);
        let near = weighted_kappa(&[(1, 2), (5, 4), (1, 1), (5, 5)]).unwrap();
        let far = weighted_kappa(&[(1, 5), (5, 5), (1, 1), (5, 5)]).unwrap();
        assert!(near > 0.8 && far < near, "{near} {far}");
        // By hand: disagreement (0 + 1 + 0 + 4) / 16 / 4, by chance 31 / 16 / 8.
        let by_hand = weighted_kappa(&[(1, 1), (2, 3), (4, 4), (5, 3)]).unwrap();
        let chance: f64 =
            [1, 2, 4, 5].iter().flat_map(|one| [1, 3, 4, 3].map(|other: i32| f64::from((one - other).pow(2)))).sum();
        assert!((by_hand - (1.0 - (5.0 / 4.0) / (chance / 16.0))).abs() < 1e-9);
    }
}
