//! Writing whatever one likes into everything that one may write.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use twixt_os::{ErrorKind, Result};
use twixt_sys::{Access, Mapping};
use twixt_testkit::Test;

use super::Dice;

/// How long each goes on: as `TWIXT_TEST_SECONDS` says, or a little.
pub fn as_long() -> Duration {
    asked().unwrap_or(Duration::from_millis(1200))
}

fn asked() -> Option<Duration> {
    let seconds = std::env::var("TWIXT_TEST_SECONDS").ok()?;
    Some(Duration::from_secs(seconds.parse().unwrap()))
}

/// The same test, which does not count as hung as long as it goes on.
pub fn going_on(test: Test) -> Test {
    if asked().is_some() { test.unwatched() } else { test }
}

pub fn map(path: &Path) -> Mapping {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len() as usize;
    Mapping::shared(file.as_fd(), 0, len, Access::ReadWrite).unwrap()
}

/// Words of a mapping that are written over.
pub struct Target {
    pub mapping: Mapping,
    pub words: std::ops::Range<usize>,
}

impl Target {
    pub fn new(path: &Path, words: std::ops::Range<usize>) -> Self {
        Self { mapping: map(path), words }
    }

    /// All behind a header, and what of it others look at again.
    pub fn behind(path: &Path, header: usize) -> Self {
        let mapping = map(path);
        let words = header..mapping.len() / 8;
        Self { mapping, words }
    }
}

/// Writes nonsense, and near-sense, over words of one mapping after the other, without end.
pub fn scribble(targets: &[Target], pause: u64) {
    let mut dice = Dice(u64::from(std::process::id()) | 1);
    loop {
        let Target { mapping, words } = &targets[dice.below(targets.len() as u64) as usize];
        let at = |index: usize| mapping.atomic_u64(8 * index).unwrap();
        let mut index = words.start + dice.below((words.end - words.start) as u64) as usize;
        // What is at the beginning matters most.
        if dice.below(4) == 0 {
            index = words.start + (index - words.start) % 64;
        }
        let near = at(index).load(Ordering::Relaxed);
        let word = match dice.below(10) {
            0 => dice.roll(),
            1 => 0,
            2 => u64::MAX - dice.below(64),
            3 => dice.below(4096) * 4 + 1,
            4 => 1 << dice.below(64),
            // Tags and loans of positions that may be looked at.
            5 => dice.below(600) * 4 + 3,
            6 => near.wrapping_add(dice.below(200)).wrapping_sub(100),
            // Claims: small laps, all states, owners that exist.
            7 => dice.below(4) | dice.below(4) << 2 | dice.below(64) << 32,
            // Versions and requests with a buffer.
            8 => dice.below(9) | dice.below(1 << 20) << 8,
            _ => dice.below(1 << 14) | dice.below(256) << 56,
        };
        at(index).store(word, Ordering::Relaxed);
        if dice.below(pause) == 0 {
            std::thread::sleep(Duration::from_micros(dice.below(200)));
        }
    }
}

/// Any answer will do; but it has to be one.
pub fn tolerate<T>(outcome: Result<T>) -> Option<T> {
    outcome
        .map_err(|error| {
            let expected = [
                ErrorKind::Malformed,
                ErrorKind::WouldBlock,
                ErrorKind::TimedOut,
                ErrorKind::PeerGone,
                ErrorKind::Overrun,
                ErrorKind::Truncated,
                ErrorKind::TooLong,
            ];
            assert!(expected.contains(&error.kind()), "{error}");
        })
        .ok()
}
