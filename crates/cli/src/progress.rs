//! How far a long transfer has come, for a user at a terminal.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use twixt::os::signal::SignalSet;

/// Shows messages, bytes and their rates on standard error, once a transfer has lasted a second; nothing where that is no
/// terminal. The line goes when this is dropped.
#[derive(Debug)]
pub struct Progress {
    counts: Arc<Counts>,
    shown: Option<Shown>,
}

#[derive(Debug, Default)]
struct Counts {
    messages: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Debug)]
struct Shown {
    end: Sender<()>,
    thread: JoinHandle<()>,
}

const FIRST: Duration = Duration::from_secs(1);
const EACH: Duration = Duration::from_millis(200);

impl Progress {
    /// `beside`: whether the terminal shows nothing else that the line would stand in.
    pub fn new(beside: bool) -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|name| name == "dumb");
        let counts = Arc::new(Counts::default());
        let shown =
            if beside && !is_dumb && io::stderr().is_terminal() { Shown::start(&counts) } else { None };
        Self { counts, shown }
    }

    /// One more message.
    pub fn message(&self, bytes: usize) {
        self.add(1, bytes as u64);
    }

    /// So many more.
    pub fn add(&self, messages: u64, bytes: u64) {
        // Written by one thread only.
        let counts = &self.counts;
        counts.messages.store(counts.messages.load(Ordering::Relaxed) + messages, Ordering::Relaxed);
        counts.bytes.store(counts.bytes.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    }

    /// How many messages there were.
    pub fn messages(&self) -> u64 {
        self.counts.messages.load(Ordering::Relaxed)
    }

    /// Takes the line away, before something else is said.
    pub fn clear(&mut self) {
        if let Some(Shown { end, thread }) = self.shown.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Shown {
    /// None if no thread can be had: the transfer is worth more than its display.
    fn start(counts: &Arc<Counts>) -> Option<Self> {
        let (end, ended) = mpsc::channel();
        let counts = Arc::clone(counts);
        let show = move || {
            // Signals are for the thread that waits for them.
            if let Ok(blocked) = SignalSet::ALL.block() {
                blocked.keep();
            }
            let began = Instant::now();
            let mut pause = FIRST;
            let mut has_shown = false;
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let line = line(
                    counts.messages.load(Ordering::Relaxed),
                    counts.bytes.load(Ordering::Relaxed),
                    began.elapsed(),
                );
                let _ = write!(io::stderr(), "\r{line}\x1b[K");
                has_shown = true;
                pause = EACH;
            }
            if has_shown {
                let _ = write!(io::stderr(), "\r\x1b[K");
            }
        };
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(show).ok()?;
        Some(Self { end, thread })
    }
}

fn line(messages: u64, bytes: u64, time: Duration) -> String {
    let per_second = |count: u64| (count as f64 / time.as_secs_f64()) as u64;
    // Bytes that nothing cuts into messages, as `relay` moves them.
    if messages == 0 && bytes > 0 {
        return format!("{}, {}/s", size(bytes), size(per_second(bytes)));
    }
    let plural = if messages == 1 { "" } else { "s" };
    format!(
        "{messages} message{plural}, {}, {} messages/s, {}/s",
        size(bytes),
        per_second(messages),
        size(per_second(bytes))
    )
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    let mut rest = bytes as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if rest < 1024.0 {
            return if unit == "bytes" { format!("{bytes} {unit}") } else { format!("{rest:.1} {unit}") };
        }
        rest /= 1024.0;
    }
    format!("{rest:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_counts_and_rates() {
        assert_eq!(
            line(3000, 3 << 20, Duration::from_secs(2)),
            "3000 messages, 3.0 MiB, 1500 messages/s, 1.5 MiB/s"
        );
        assert_eq!(line(1, 10, Duration::from_secs(1)), "1 message, 10 bytes, 1 messages/s, 10 bytes/s");
        assert_eq!(line(0, 0, Duration::from_secs(1)), "0 messages, 0 bytes, 0 messages/s, 0 bytes/s");
        assert_eq!(line(0, 4 << 20, Duration::from_secs(2)), "4.0 MiB, 2.0 MiB/s");
    }
}
