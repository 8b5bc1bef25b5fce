//! The smallest view of the OpenAI API that the guard needs: which texts does a message hold, and what shape must a
//! refusal have? A message keeps its bytes; the texts are derived from them, so that what is allowed passes unchanged.

pub mod chat;
pub mod completion;
pub mod error;
pub mod json;
pub mod refusal;
pub mod sse;
mod text;
