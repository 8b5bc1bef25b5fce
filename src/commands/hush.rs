//! What is not said: the words of a panic (a library that slices a text at the wrong place panics with the text), and what ONNX Runtime
//! tells its maker.

use std::os::unix::process::CommandExt;
use std::panic::{PanicHookInfo, set_hook};

/// Has panics told by their place alone, from now on and in the whole process.
pub fn hush() {
    set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let thread = std::thread::current();
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, thread = thread.name(), "a thread panicked; what it said is kept back");
    }));
}

/// Starts the program once more where the environment does not forbid ONNX Runtime to tell its maker: it would look up a server and leave
/// a file with an id as soon as it is loaded, before its API could switch that off. A running process cannot change its environment safely.
///
/// # Errors
/// When it cannot start itself once more.
pub fn without_telemetry() -> anyhow::Result<()> {
    const FORBIDS: &str = "ORT_DISABLE_TELEMETRY";
    if std::env::var_os(FORBIDS).is_some_and(|value| value == "1") {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new(std::env::current_exe()?);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // It only returns where it failed.
    let failed = again.args(arguments).env(FORBIDS, "1").exec();
    Err(anyhow::Error::new(failed).context("the program cannot start itself once more, without telemetry"))
}
