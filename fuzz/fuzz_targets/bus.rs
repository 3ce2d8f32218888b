//! Whatever stands in a publisher's segment, a subscriber ends with messages no longer than the ring, events and errors; and a
//! publisher that comes after it goes on, or begins anew.

#![no_main]

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use twixt_address::BusName;
use twixt_bus::{Capacity, Event, Options, Place, Publisher, Slow, Subscriber, SubscriberOptions};
use twixt_os::{ErrorKind, Wait};

/// Lines of the ring: few, so that any of them matters.
const LINES: u64 = 16;
const RING: u64 = 64 * LINES;

#[derive(Arbitrary, Debug)]
enum Step {
    Publish(u16),
    Lend(u8),
    Receive,
    /// A word of the control block.
    Control {
        at: u8,
        word: Word,
    },
    /// A word of a frame.
    Frame {
        line: u8,
        at: u8,
        word: Word,
    },
    /// A subscriber comes in the place of the one that is there.
    Join {
        slow: u8,
        history: u8,
    },
    /// The publisher goes, with or without a word, and another comes.
    Succeed(bool),
    /// The file is so long.
    Cut(u16),
}

#[derive(Arbitrary, Debug)]
enum Word {
    Any(u64),
    /// What stands there, and so much more or less.
    Near(i8),
    Tag(u8),
    Lent(u8),
    About { len: u16, back: u8, flags: u8 },
}

struct Topic {
    directory: PathBuf,
    name: BusName,
    options: Options,
}

impl Topic {
    fn new() -> Self {
        let directory = PathBuf::from(format!("/dev/shm/twixt-fuzz-bus-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory).expect("a directory");
        let place = Place::at(&directory).expect("a directory");
        let options = Options::new().place(place).create(true).capacity(Capacity::Bounded(RING));
        Self { directory, name: BusName::new("fuzz").expect("a name"), options }
    }

    fn segment(&self) -> Option<File> {
        OpenOptions::new().read(true).write(true).open(self.directory.join("topic.fuzz/p0")).ok()
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

thread_local! {
    static TOPIC: RefCell<Topic> = RefCell::new(Topic::new());
}

fuzz_target!(|steps: Vec<Step>| {
    TOPIC.with(|topic| {
        let topic = topic.borrow();
        let _ = std::fs::remove_dir_all(topic.directory.join("topic.fuzz"));
        let mut publisher = Publisher::open(&topic.name, &topic.options).ok();
        let mut subscriber = Subscriber::open(&topic.name, &topic.options).ok();
        for step in steps {
            let begun = Instant::now();
            match step {
                Step::Publish(len) => {
                    if let Some(publisher) = &publisher {
                        tolerate(publisher.try_publish(&vec![7; usize::from(len) % 600]));
                    }
                }
                Step::Lend(len) => {
                    if let Some(publisher) = &publisher {
                        tolerate(publisher.loan_wait(len.into(), Wait::never()).map(drop));
                    }
                }
                Step::Receive => {
                    let Some(subscriber) = &mut subscriber else { continue };
                    let mut bytes = Vec::new();
                    match subscriber.next(Wait::never()) {
                        Ok(Event::Message(mut sample)) => tolerate(sample.read_into(&mut bytes)),
                        Ok(_) => {}
                        Err(error) => tolerate::<()>(Err(error)),
                    }
                    assert!(bytes.len() <= RING as usize);
                }
                Step::Control { at, word } => spoil(&topic, 512 + u64::from(at) % 48, &word),
                Step::Frame { line, at, word } => {
                    spoil(&topic, 1024 + 8 * (u64::from(line) % LINES) + u64::from(at) % 8, &word);
                }
                Step::Join { slow, history } => {
                    let all = [Slow::Block, Slow::DropOldest, Slow::DropNewest, Slow::Disconnect];
                    let how = SubscriberOptions::new()
                        .slow(all[usize::from(slow) % all.len()])
                        .history(history.into());
                    drop(subscriber.take());
                    subscriber = keep(Subscriber::open_with(&topic.name, &topic.options, how));
                }
                Step::Succeed(closes) => {
                    match publisher.take() {
                        Some(publisher) if closes => drop(publisher),
                        // Its lock goes with its file: as if it had died.
                        _ => _ = std::fs::remove_file(topic.directory.join("topic.fuzz/p0")),
                    }
                    publisher = keep(Publisher::open(&topic.name, &topic.options));
                }
                Step::Cut(len) => {
                    if let Some(file) = topic.segment() {
                        file.set_len(u64::from(len) % 16384).expect("room");
                    }
                }
            }
            assert!(begun.elapsed() < Duration::from_secs(5), "it has not waited for long");
        }
    });
});

fn spoil(topic: &Topic, at: u64, word: &Word) {
    let Some(file) = topic.segment() else { return };
    let mut there = [0; 8];
    let _ = file.read_exact_at(&mut there, 8 * at);
    let word = match *word {
        Word::Any(word) => word,
        Word::Near(by) => u64::from_ne_bytes(there).wrapping_add_signed(by.into()),
        Word::Tag(position) => u64::from(position) * 4 + 1,
        Word::Lent(position) => u64::from(position) * 4 + 3,
        Word::About { len, back, flags } => u64::from(len) | u64::from(back) << 32 | u64::from(flags) << 56,
    };
    let _ = file.write_all_at(&word.to_ne_bytes(), 8 * at);
}

fn keep<T>(opened: twixt_os::Result<T>) -> Option<T> {
    opened.map_err(|error| tolerate::<()>(Err(error))).ok()
}

fn tolerate<T>(outcome: twixt_os::Result<T>) {
    let expected = [
        ErrorKind::Malformed,
        ErrorKind::WouldBlock,
        ErrorKind::PeerGone,
        ErrorKind::Overrun,
        ErrorKind::Truncated,
        ErrorKind::TooLong,
    ];
    if let Err(error) = outcome {
        assert!(expected.contains(&error.kind()), "{error}");
    }
}
