//! The smallest view of the OpenAI API that the guard needs: which texts does a message hold, and what shape must a
//! refusal have? Each surface has a file that finds its texts; [`request`] and [`completion`] are what they have in common.
//! A message keeps its bytes; the texts are derived from them, so that what is allowed passes unchanged.

mod chat;
pub mod chunk;
pub mod completion;
mod completions;
mod conversation;
pub mod cut;
pub(crate) mod data;
pub mod edit;
mod embeddings;
pub mod error;
pub mod json;
pub mod moderation;
pub mod progress;
pub mod refusal;
pub mod request;
mod responses;
pub mod sse;
pub mod surface;
mod text;
