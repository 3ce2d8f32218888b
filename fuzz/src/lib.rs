//! What the targets of the bus share: a name in a directory of its own, and words of its files that somebody spoils.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use twixt_address::BusName;
use twixt_bus::{Options, Place};
use twixt_os::ErrorKind;

/// A directory in memory, for names of the bus.
pub struct Bus {
    directory: PathBuf,
    pub name: BusName,
}

/// What is written over a word.
#[derive(Arbitrary, Clone, Debug)]
pub enum Word {
    Any(u64),
    /// What stands there, and so much more or less.
    Near(i8),
    /// A small number, shifted.
    Bits {
        bits: u8,
        shift: u8,
    },
    /// What stands at a position of a ring: its tag, or that it is lent.
    Tag(u8),
    Lent(u8),
    About {
        len: u16,
        back: u8,
        flags: u8,
    },
    /// A claim of a queue: state, owner, count, lap.
    Claim {
        state: u8,
        owner: u8,
        count: u8,
        lap: u8,
    },
}

impl Bus {
    pub fn new(kind: &str) -> Self {
        let directory = PathBuf::from(format!("/dev/shm/twixt-fuzz-{kind}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory).expect("a directory");
        Self { directory, name: BusName::new("fuzz").expect("a name") }
    }

    /// For a name there that is made if it is not there.
    pub fn options(&self) -> Options {
        Options::new().place(Place::at(&self.directory).expect("a directory")).create(true)
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// Removes all names.
    pub fn clear(&self) {
        for entry in std::fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }

    pub fn open(&self, path: &str) -> Option<File> {
        OpenOptions::new().read(true).write(true).open(self.path(path)).ok()
    }

    /// Writes over a word of a file, if there is one.
    pub fn spoil(&self, path: &str, at: u64, word: &Word) {
        let Some(file) = self.open(path) else { return };
        let mut there = [0; 8];
        let _ = file.read_exact_at(&mut there, 8 * at);
        let word = match *word {
            Word::Any(word) => word,
            Word::Near(by) => u64::from_ne_bytes(there).wrapping_add_signed(by.into()),
            Word::Bits { bits, shift } => u64::from(bits).rotate_left(shift.into()),
            Word::Tag(position) => u64::from(position) * 4 + 1,
            Word::Lent(position) => u64::from(position) * 4 + 3,
            Word::About { len, back, flags } => {
                u64::from(len) | u64::from(back) << 32 | u64::from(flags) << 56
            }
            Word::Claim { state, owner, count, lap } => {
                u64::from(state & 3) | u64::from(owner) << 2 | u64::from(count) << 12 | u64::from(lap) << 32
            }
        };
        // Not behind its end: it would be longer then.
        if file.metadata().is_ok_and(|stat| stat.len() >= 8 * at + 8) {
            let _ = file.write_all_at(&word.to_ne_bytes(), 8 * at);
        }
    }

    /// Has a file be so long.
    pub fn cut(&self, path: &str, len: u64) {
        if let Some(file) = self.open(path) {
            file.set_len(len).expect("room");
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// What was opened, if it could be.
pub fn keep<T>(opened: twixt_os::Result<T>) -> Option<T> {
    opened.map_err(|error| tolerate::<()>(Err(error))).ok()
}

/// Any answer will do that says what is wrong with the other one.
pub fn tolerate<T>(outcome: twixt_os::Result<T>) {
    let expected = [
        ErrorKind::Malformed,
        ErrorKind::WouldBlock,
        ErrorKind::TimedOut,
        ErrorKind::PeerGone,
        ErrorKind::Overrun,
        ErrorKind::Truncated,
        ErrorKind::TooLong,
        ErrorKind::Unsupported,
        ErrorKind::Removed,
        ErrorKind::Busy,
        ErrorKind::InvalidInput,
    ];
    if let Err(error) = outcome {
        assert!(expected.contains(&error.kind()), "{error}");
    }
}

/// Does a step, which never takes long.
pub fn quickly(step: impl FnOnce()) {
    let begun = Instant::now();
    step();
    assert!(begun.elapsed() < Duration::from_secs(5), "it has waited for long");
}
