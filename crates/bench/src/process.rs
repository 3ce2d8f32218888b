//! A party's process, as the conductor holds it.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};

use crate::tracing::Traced;

/// A process that plays a party. It is killed when this is dropped.
pub(crate) enum Process {
    /// It is waited for here.
    Own(Child),
    /// Its tracer waits for it.
    Traced(Traced),
}

impl Process {
    /// What it is spoken to by, and what it is heard by.
    pub(crate) fn streams(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>) {
        let (Self::Own(child) | Self::Traced(Traced { child, .. })) = self;
        (child.stdin.take(), child.stdout.take())
    }

    /// Waits until it has ended: whether it has, in time.
    pub(crate) fn wait(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            let has_ended = match self {
                Self::Own(child) => !matches!(child.try_wait(), Ok(None)),
                Self::Traced(traced) => {
                    let polled = &mut [PollFd::new(&traced.pidfd, PollFlags::IN)];
                    matches!(poll(polled, Some(&Timespec::default())), Ok(1..))
                }
            };
            if has_ended || Instant::now() >= end {
                return has_ended;
            }
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// How it has ended, or in which state it is, where that is something to tell.
    pub(crate) fn fate(&mut self, limit: Duration) -> Option<String> {
        if !self.wait(limit) {
            return self.is_stopped().then(|| "it is stopped by a signal".to_owned());
        }
        let Self::Own(child) = self else { return None };
        let status = child.try_wait().ok()??;
        Some(match (status.signal(), status.code()) {
            (Some(signal), _) => format!("killed by signal {signal}"),
            (None, Some(code)) => format!("exit code {code}"),
            (None, None) => return None,
        })
    }

    fn is_stopped(&self) -> bool {
        let (Self::Own(child) | Self::Traced(Traced { child, .. })) = self;
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('T'))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        match self {
            Self::Own(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            // Its tracer reaps it.
            Self::Traced(traced) => drop(pidfd_send_signal(&traced.pidfd, Signal::KILL)),
        }
    }
}
