//! The permit: what the guard has let pass, and nothing else.

/// A value that the guard has cleared.
///
/// It can be made in [`guard`](crate::guard) only, so that a request that nobody inspected cannot be sent:
///
/// ```compile_fail,E0308
/// # async fn f(upstream: nonnocere::upstream::Upstream, request: nonnocere::openai::request::Request) {
/// let head = nonnocere::upstream::Head::default();
/// upstream.send(&head, &request).await; // expected `&Cleared<Request>`
/// # }
/// ```
///
/// and bytes that nobody inspected cannot be written to a client:
///
/// ```compile_fail,E0308
/// # fn f(bytes: bytes::Bytes) {
/// nonnocere::response::Body::cleared(bytes); // expected `Cleared<Bytes>`
/// # }
/// ```
///
/// nor can a permit be forged:
///
/// ```compile_fail,E0423
/// nonnocere::guard::Cleared(bytes::Bytes::new());
/// ```
///
/// The same calls with a permit compile:
///
/// ```no_run
/// # use nonnocere::guard::Cleared;
/// # async fn f(upstream: nonnocere::upstream::Upstream, request: Cleared<nonnocere::openai::request::Request>, bytes: Cleared<bytes::Bytes>) {
/// let head = nonnocere::upstream::Head::default();
/// upstream.send(&head, &request).await;
/// nonnocere::response::Body::cleared(bytes);
/// # }
/// ```
pub struct Cleared<T>(T);

impl<T> Cleared<T> {
    /// For the guard, once it has judged `value`.
    pub(in crate::guard) const fn new(value: T) -> Self {
        Self(value)
    }

    /// What was cleared.
    pub const fn get(&self) -> &T {
        &self.0
    }

    /// What was cleared, without its permit.
    pub fn into_inner(self) -> T {
        self.0
    }
}
