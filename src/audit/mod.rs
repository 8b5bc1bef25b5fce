//! What was decided, kept so that it can be proven later. No text is kept, but in a [`vault`] where the operator wants that.
//!
//! A [`record::Record`] goes with a request and becomes the headers, a log line, and one [`decision::Decision`] for each
//! message that was judged. The [`journal`] takes decisions off the request's path, in batches, into a [`store`] (`SQLite`
//! or `PostgreSQL`), where each is [chained](chain) to the one before it; what the store does not take is spooled to disk. What people do with policies
//! and kept texts is an [`act`].

pub mod act;
pub mod acts;
pub mod chain;
pub mod decision;
pub mod download;
pub mod drafts;
pub mod export;
pub mod facts;
pub mod filling;
pub mod hours;
pub mod journal;
pub mod key;
pub mod label;
pub mod newest;
pub mod pseudonym;
pub mod record;
pub mod retention;
pub mod reviews;
pub mod said;
pub mod sampling;
pub mod search;
pub mod series;
pub mod spool;
pub mod store;
pub mod texts;
pub mod training;
pub mod vault;
pub mod verify;

pub use record::Record;
