//! Questions that are being asked: the same one is asked once at a time, and all who want to know hear the answer.

use crate::classify::cache::Key;
use crate::policy::opinion::{Opinion, Silence};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch::{Receiver, Sender, channel};
use tokio::time::{Instant, timeout_at};

/// The questions that are being asked.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Receiver<Option<Opinion>>>>);

/// Whose turn it is.
pub(super) enum Turn<'a> {
    /// To ask.
    Ask(Flight<'a>),
    /// To wait for who asks; they may leave without an answer.
    Wait(Receiver<Option<Opinion>>),
}

/// A question that is being asked, until this is dropped.
pub(super) struct Flight<'a> {
    flights: &'a Flights,
    key: Key,
    answer: Sender<Option<Opinion>>,
}

impl Flights {
    /// Whose turn it is to ask this.
    pub(super) fn board(&self, key: Key) -> Turn<'_> {
        let mut open = self.open();
        if let Some(answer) = open.get(&key) {
            return Turn::Wait(answer.clone());
        }
        let (answer, waiting) = channel(None);
        open.insert(key, waiting);
        Turn::Ask(Flight { flights: self, key, answer })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Key, Receiver<Option<Opinion>>>> {
        // Nothing can panic while it is held, so a poisoned lock holds sound flights.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight<'_> {
    /// Tells all who wait.
    pub(super) fn land(self, opinion: Opinion) -> Opinion {
        self.answer.send_replace(Some(opinion));
        opinion
    }
}

/// What whoever asks has heard, in time; `None` where they have left without an answer.
pub(super) async fn overheard(mut answer: Receiver<Option<Opinion>>, until: Instant) -> Option<Opinion> {
    match timeout_at(until, answer.wait_for(Option::is_some)).await {
        Ok(heard) => *heard.ok()?,
        Err(_) => Some(Opinion::Silent(Silence::Timeout)),
    }
}

impl Drop for Flight<'_> {
    /// Whoever leaves without an answer leaves the turn to the next.
    fn drop(&mut self) {
        self.flights.open().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn one_asks_and_the_others_hear_or_ask_themselves() {
        let flights = Flights::default();
        let Turn::Ask(flight) = flights.board(1) else { panic!() };
        let Turn::Wait(first) = flights.board(1) else { panic!() };
        assert!(matches!(flights.board(2), Turn::Ask(_)));
        drop(flight);
        let until = Instant::now() + Duration::from_secs(60);
        assert_eq!(overheard(first, until).await, None, "whoever asked has left");
        let Turn::Ask(flight) = flights.board(1) else { panic!() };
        let Turn::Wait(second) = flights.board(1) else { panic!() };
        flight.land(Opinion::Harmless);
        assert_eq!(overheard(second, until).await, Some(Opinion::Harmless));
        assert!(flights.open().is_empty());
    }
}
