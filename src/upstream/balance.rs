//! Which of several endpoints is asked next: the one with the least in flight for its weight; among equals they take turns
//! by weight.

/// How busy an endpoint is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Its place among all endpoints.
    pub(super) place: usize,
    /// Requests in flight.
    pub(super) in_flight: usize,
    /// Its part of the requests.
    pub(super) weight: u32,
}

/// Whose turn it is, for each endpoint by its place: smooth weighted round robin, as nginx has it.
pub(super) struct Turns(Vec<i64>);

impl Turns {
    /// For so many endpoints.
    pub(super) fn new(endpoints: usize) -> Self {
        Self(vec![0; endpoints])
    }

    /// The place of the one of `free` that is asked next.
    pub(super) fn next(&mut self, free: &[Load]) -> Option<usize> {
        // in_flight / weight, without fractions.
        let busier = |a: &Load, b: &Load| {
            let (a_share, b_share) =
                (a.in_flight as u128 * u128::from(b.weight), b.in_flight as u128 * u128::from(a.weight));
            a_share.cmp(&b_share)
        };
        let least = free.iter().min_by(|a, b| busier(a, b))?;
        let (mut chosen, mut total) = (None, 0);
        for load in free.iter().filter(|load| busier(load, least).is_eq()) {
            let turn = self.0.get_mut(load.place)?;
            *turn += i64::from(load.weight);
            total += i64::from(load.weight);
            if chosen.is_none_or(|(_, most)| *turn > most) {
                chosen = Some((load.place, *turn));
            }
        }
        let (place, _) = chosen?;
        *self.0.get_mut(place)? -= total;
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn loads(all: &[(usize, u32)]) -> Vec<Load> {
        (0..).zip(all).map(|(place, &(in_flight, weight))| Load { place, in_flight, weight }).collect()
    }

    #[test]
    fn idle_endpoints_take_turns_by_weight() {
        let mut turns = Turns::new(3);
        let free = loads(&[(0, 5), (0, 1), (0, 1)]);
        let places: Vec<usize> = (0..7).filter_map(|_| turns.next(&free)).collect();
        assert_eq!(places, [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(turns.next(&[]), None);
    }

    #[test]
    fn the_least_in_flight_for_its_weight_is_next() {
        let next = |all: &[(usize, u32)]| Turns::new(all.len()).next(&loads(all));
        assert_eq!(next(&[(3, 1), (2, 1)]), Some(1));
        assert_eq!(next(&[(3, 4), (1, 1)]), Some(0));
        assert_eq!(next(&[(5, 4), (1, 1)]), Some(1));
        // Of one that is away nothing is held up: its place is kept.
        assert_eq!(Turns::new(2).next(&loads(&[(0, 1), (9, 1)])[1..]), Some(1));
    }

    proptest! {
        #[test]
        fn requests_that_last_are_spread_by_weight(weights in proptest::collection::vec(1_u32..9, 1..6), count in 0_usize..200) {
            let mut turns = Turns::new(weights.len());
            let mut free: Vec<Load> = loads(&weights.iter().map(|weight| (0, *weight)).collect::<Vec<_>>());
            for _ in 0..count {
                let place = turns.next(&free).unwrap();
                free[place].in_flight += 1;
            }
            let total: f64 = weights.iter().copied().map(f64::from).sum();
            for load in free {
                let fair = count as f64 * f64::from(load.weight) / total;
                prop_assert!((load.in_flight as f64 - fair).abs() <= f64::from(load.weight) + 1.0, "{load:?} {fair}");
            }
        }
    }
}
