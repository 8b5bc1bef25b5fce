//! How much may be asked by a key: by this process, and as long as it lives.

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Requests a minute.
    Requests,
    /// Bytes of bodies a minute.
    Bytes,
    /// Requests at once.
    InFlight,
}

/// What a key may cost; `None` is without end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Most {
    pub(super) requests_per_minute: Option<NonZeroU32>,
    pub(super) bytes_per_minute: Option<NonZeroU32>,
    pub(super) in_flight: Option<NonZeroU32>,
}

/// What was asked by a key lately.
pub(super) struct Limits {
    requests: Option<DefaultDirectRateLimiter>,
    bytes: Option<DefaultDirectRateLimiter>,
    in_flight: Option<Arc<Semaphore>>,
}

/// Over a limit, and for how long.
type Exceeded = (Limit, Duration);

impl Limits {
    /// Nothing was asked yet.
    pub(super) fn new(most: Most) -> Self {
        let limiter = |most: Option<NonZeroU32>| most.map(|most| RateLimiter::direct(Quota::per_minute(most)));
        let slots =
            |most: NonZeroU32| Arc::new(Semaphore::new(most.get().try_into().unwrap_or(Semaphore::MAX_PERMITS)));
        Self {
            requests: limiter(most.requests_per_minute),
            bytes: limiter(most.bytes_per_minute),
            in_flight: most.in_flight.map(slots),
        }
    }

    /// Counts a request, which is in flight as long as what this gives lives.
    pub(super) fn enter(&self) -> Result<Option<OwnedSemaphorePermit>, Exceeded> {
        let slot = self.in_flight.clone().map(Semaphore::try_acquire_owned).transpose();
        let slot = slot.map_err(|_| (Limit::InFlight, Duration::from_secs(1)))?;
        let counted = self.requests.as_ref().map_or(Ok(()), |requests| {
            requests.check().map_err(|until| until.wait_time_from(DefaultClock::default().now()))
        });
        counted.map(|()| slot).map_err(|wait| (Limit::Requests, wait))
    }

    /// Counts the bytes of a body.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), Exceeded> {
        let (Some(limiter), Some(count)) = (&self.bytes, u32::try_from(bytes).ok().and_then(NonZeroU32::new)) else {
            return Ok(());
        };
        match limiter.check_n(count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err((Limit::Bytes, until.wait_time_from(DefaultClock::default().now()))),
            // More than a minute has.
            Err(_) => Err((Limit::Bytes, Duration::from_secs(60))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_limited_is_without_end() {
        let limits = Limits::new(Most::default());
        for _ in 0..1000 {
            assert!(limits.enter().is_ok_and(|slot| slot.is_none()));
            assert!(limits.spend(1_000_000_000).is_ok());
        }
    }

    #[test]
    fn each_limit_is_told_with_how_long_to_wait() {
        let some = |most| NonZeroU32::new(most);
        let limits = Limits::new(Most { requests_per_minute: some(2), ..Most::default() });
        assert!(limits.enter().is_ok() && limits.enter().is_ok());
        let (limit, wait) = limits.enter().unwrap_err();
        assert!(limit == Limit::Requests && wait <= Duration::from_secs(30) && wait > Duration::from_secs(20));
        let limits = Limits::new(Most { bytes_per_minute: some(600), ..Most::default() });
        assert!(limits.spend(0).is_ok() && limits.spend(600).is_ok());
        let (limit, wait) = limits.spend(100).unwrap_err();
        assert!(limit == Limit::Bytes && wait <= Duration::from_secs(10) && wait > Duration::from_secs(5));
        assert_eq!(limits.spend(601).unwrap_err(), (Limit::Bytes, Duration::from_secs(60)));
        let limits = Limits::new(Most { in_flight: some(1), ..Most::default() });
        let slot = limits.enter().unwrap();
        assert_eq!(limits.enter().unwrap_err().0, Limit::InFlight);
        drop(slot);
        assert!(limits.enter().is_ok());
    }
}
