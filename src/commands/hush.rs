//! What a panic says: where it happened, and never in which words. A library that slices a text at the wrong place panics with the text.

use std::panic::{PanicHookInfo, set_hook};

/// Has panics told by their place alone, from now on and in the whole process.
pub fn hush() {
    set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let thread = std::thread::current();
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, thread = thread.name(), "a thread panicked; what it said is kept back");
    }));
}
