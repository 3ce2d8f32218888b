//! Whatever stands in a writer's segment, a reader's page and the site, a reader ends with a value no longer than values may be,
//! or with an error, and a writer writes on; those that come after them go on, or begin anew.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use twixt_bus::{LatestReader, LatestWriter};
use twixt_fuzz::{Bus, Word, keep, quickly, tolerate};
use twixt_os::Wait;

/// The most bytes of a value.
const SIZE: usize = 100;
/// The words of a buffer.
const STRIDE: u64 = 16;

#[derive(Arbitrary, Debug)]
enum Step {
    Write(u8),
    Read,
    /// Whether there is something newer.
    Look,
    Control {
        at: u8,
        word: Word,
    },
    /// What is granted to the reader.
    Grant {
        reader: u8,
        word: Word,
    },
    Buffer {
        buffer: u8,
        at: u8,
        word: Word,
    },
    /// The reader's page: its request, and counters.
    Page {
        at: u8,
        word: Word,
    },
    Site {
        at: u8,
        word: Word,
    },
    Header {
        file: u8,
        at: u8,
        word: Word,
    },
    /// A reader comes in the place of the one that is there.
    Join,
    /// The writer goes, with or without a word, and another comes.
    Succeed(bool),
    Cut {
        file: u8,
        len: u16,
    },
}

const FILES: [&str; 3] = ["latest.fuzz/w0", "latest.fuzz/r0", "latest.fuzz/site"];

thread_local! {
    static BUS: RefCell<Bus> = RefCell::new(Bus::new("latest"));
}

fuzz_target!(|steps: Vec<Step>| {
    BUS.with(|bus| play(&bus.borrow(), steps));
});

fn play(bus: &Bus, steps: Vec<Step>) {
    bus.clear();
    let options = bus.options().message_size(SIZE as u64);
    let mut writer = LatestWriter::open(&bus.name, &options).ok();
    let mut reader = LatestReader::open(&bus.name, &options).ok();
    let mut bytes = Vec::new();
    for step in steps {
        quickly(|| match step {
            Step::Write(len) => {
                let Some(writer) = &mut writer else { return };
                tolerate(writer.write(&vec![7; usize::from(len) % (SIZE + 10)]));
            }
            Step::Read => {
                let Some(reader) = &mut reader else { return };
                tolerate(reader.read(&mut bytes));
                assert!(bytes.len() <= SIZE);
            }
            Step::Look => {
                let Some(reader) = &mut reader else { return };
                let version = reader.version();
                tolerate(reader.wait_for_newer(version.unwrap_or(None), Wait::never()));
                tolerate(reader.writer());
            }
            Step::Control { at, word } => bus.spoil(FILES[0], 512 + u64::from(at) % 16, &word),
            Step::Grant { reader, word } => bus.spoil(FILES[0], 1024 + u64::from(reader) % 4, &word),
            Step::Buffer { buffer, at, word } => {
                bus.spoil(FILES[0], 2048 + STRIDE * (u64::from(buffer) % 8) + u64::from(at) % STRIDE, &word);
            }
            Step::Page { at, word } => bus.spoil(FILES[1], 64 + u64::from(at) % 16, &word),
            Step::Site { at, word } => bus.spoil(FILES[2], 512 + u64::from(at) % 8, &word),
            Step::Header { file, at, word } => {
                bus.spoil(FILES[usize::from(file) % 3], u64::from(at) % 24, &word);
            }
            Step::Join => {
                drop(reader.take());
                reader = keep(LatestReader::open(&bus.name, &options));
            }
            Step::Succeed(closes) => {
                match writer.take() {
                    Some(writer) if closes => drop(writer),
                    // Its lock goes with its file: as if it had died.
                    _ => _ = std::fs::remove_file(bus.path(FILES[0])),
                }
                writer = keep(LatestWriter::open(&bus.name, &options));
            }
            Step::Cut { file, len } => bus.cut(FILES[usize::from(file) % 3], u64::from(len) % 32768),
        });
    }
}
