//! A process that is measured: it is pinned to cores, and ends with the bench.

use std::fs;
use std::io;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// A process that runs as long as this lives.
pub struct Process(Child);

/// Bytes of memory.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

impl Process {
    /// `command` on `cores` alone, such as "0" or "0,1".
    pub fn on(cores: &str, command: &Command) -> io::Result<Self> {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", cores]).arg(command.get_program()).args(command.get_args()).stdout(Stdio::piped());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => pinned.env(name, value),
                None => pinned.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            pinned.current_dir(folder);
        }
        pinned.stdin(Stdio::piped()).spawn().map(Self)
    }

    /// What it prints.
    pub fn output(&mut self) -> io::Result<ChildStdout> {
        self.0.stdout.take().ok_or_else(|| io::Error::other("its output is taken"))
    }

    /// What it reads.
    pub fn input(&mut self) -> io::Result<ChildStdin> {
        self.0.stdin.take().ok_or_else(|| io::Error::other("its input is taken"))
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// How long its threads that live have run on a core.
    pub fn cpu(&self) -> io::Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            // A thread may end meanwhile.
            let Ok(times) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            nanoseconds += times.split(' ').next().and_then(|ran| ran.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// How much memory it takes.
    pub fn memory(&self) -> io::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let bytes = |field: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
        };
        let of = |field: &str| bytes(field).ok_or_else(|| io::Error::other(format!("no {field}")));
        Ok(Memory { resident: of("VmRSS:")?, peak: of("VmHWM:")? })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// How many cores there are, whichever of them this process keeps to by now.
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Has this process, which is the client and the upstream, keep off the core of what is measured, where there is a second one.
pub fn keep_off() -> io::Result<()> {
    let others = match cores() {
        1 => return Ok(()),
        2 => "1".to_owned(),
        more => format!("1-{}", more - 1),
    };
    let this = std::process::id().to_string();
    Command::new("taskset").args(["-a", "-c", "-p", &others, &this]).stdout(Stdio::null()).status()?;
    Ok(())
}
