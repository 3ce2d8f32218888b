//! Whatever stands in a producer's segment, a ledger, a consumer's page and the site, a consumer ends with messages no longer
//! than the ring and errors, and a producer with room or an error; those that come after them go on, or begin anew.

#![no_main]

use std::cell::RefCell;
use std::time::Duration;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use twixt_bus::queue::{self, Consumer, ConsumerOptions, Producer};
use twixt_bus::{Capacity, Options};
use twixt_fuzz::{Bus, Word, keep, quickly, tolerate};
use twixt_os::Wait;

/// Lines of the ring: few, so that any of them matters.
const LINES: u64 = 16;
const RING: u64 = 64 * LINES;

#[derive(Arbitrary, Debug)]
enum Step {
    Send(u16),
    Receive(Then),
    Take,
    /// A word of a control block, with the tail and the gate, which the producer writes.
    Control {
        at: u8,
        word: Word,
    },
    Frame {
        line: u8,
        at: u8,
        word: Word,
    },
    /// A claim, which all write.
    Claim {
        line: u8,
        word: Word,
    },
    /// What a ledger hints at.
    Ledger {
        at: u8,
        word: Word,
    },
    /// What the site hints at.
    Site {
        at: u8,
        word: Word,
    },
    /// A word of a header.
    Header {
        file: u8,
        at: u8,
        word: Word,
    },
    /// A consumer comes in the place of the one that is there.
    Join(u8),
    /// The producer goes, with or without a word, and another comes.
    Succeed(bool),
    Cut {
        file: u8,
        len: u16,
    },
    Look,
}

/// What becomes of a message that was received.
#[derive(Arbitrary, Debug)]
enum Then {
    Acknowledge,
    Reject,
    Renew,
    /// Its consumer has it for ever.
    Keep,
}

const FILES: [&str; 4] = ["queue.fuzz/p0", "queue.fuzz/l0", "queue.fuzz/c0", "queue.fuzz/site"];

fn options(bus: &Bus, how: u8) -> Options {
    let options = bus.options().capacity(Capacity::Bounded(RING));
    match how % 4 {
        0 => options,
        1 => options.retries(2),
        2 => options.visibility(Duration::from_nanos(1)),
        _ => bus.options().capacity(Capacity::Unbounded(RING)),
    }
}

thread_local! {
    static BUS: RefCell<Bus> = RefCell::new(Bus::new("queue"));
}

fuzz_target!(|input: (u8, Vec<Step>)| {
    BUS.with(|bus| play(&bus.borrow(), input.0, input.1));
});

fn play(bus: &Bus, how: u8, steps: Vec<Step>) {
    bus.clear();
    let options = options(bus, how);
    let mut producer = Producer::open(&bus.name, &options).ok();
    let mut consumer = Consumer::open(&bus.name, &options).ok();
    let mut bytes = Vec::new();
    for step in steps {
        quickly(|| match step {
            Step::Send(len) => {
                let Some(producer) = &producer else { return };
                tolerate_full(producer.try_send(&vec![7; usize::from(len) % 600]));
            }
            Step::Receive(then) => {
                let Some(consumer) = &consumer else { return };
                match consumer.try_receive() {
                    Err(error) => tolerate::<()>(Err(error)),
                    Ok(mut job) => {
                        assert!(job.len() <= RING as usize);
                        tolerate(job.read_into(&mut bytes));
                        match then {
                            Then::Acknowledge => tolerate(job.acknowledge()),
                            Then::Reject => job.reject(),
                            Then::Renew => tolerate(job.renew()),
                            Then::Keep => std::mem::forget(job),
                        }
                    }
                }
            }
            Step::Take => {
                let Some(consumer) = &consumer else { return };
                tolerate(consumer.take(&mut bytes, Wait::never()));
                assert!(bytes.len() <= RING as usize);
            }
            Step::Control { at, word } => {
                let at = u64::from(at) % 67;
                bus.spoil(FILES[0], if at < 64 { 512 + at } else { 640 + at - 64 }, &word);
            }
            Step::Frame { line, at, word } => {
                bus.spoil(FILES[0], 1024 + 8 * (u64::from(line) % LINES) + u64::from(at) % 8, &word);
            }
            Step::Claim { line, word } => bus.spoil(FILES[1], 1024 + u64::from(line) % LINES, &word),
            Step::Ledger { at, word } => bus.spoil(FILES[1], 512 + u64::from(at) % 16, &word),
            Step::Site { at, word } => bus.spoil(FILES[3], 512 + u64::from(at) % 32, &word),
            Step::Header { file, at, word } => {
                bus.spoil(FILES[usize::from(file) % 4], u64::from(at) % 24, &word);
            }
            Step::Join(prefetch) => {
                drop(consumer.take());
                let how = ConsumerOptions::new().prefetch((prefetch % 20).into());
                consumer = keep(Consumer::open_with(&bus.name, &options, how));
            }
            Step::Succeed(closes) => {
                match producer.take() {
                    Some(producer) if closes => drop(producer),
                    // Its lock goes with its file: as if it had died.
                    _ => _ = std::fs::remove_file(bus.path(FILES[0])),
                }
                producer = keep(Producer::open(&bus.name, &options));
            }
            Step::Cut { file, len } => bus.cut(FILES[usize::from(file) % 4], u64::from(len) % 16384),
            Step::Look => tolerate(queue::stat(&bus.name, &options)),
        });
    }
}

fn tolerate_full(outcome: twixt_os::Result<()>) {
    if outcome.as_ref().is_err_and(|error| error.kind() == twixt_os::ErrorKind::LimitReached) {
        return;
    }
    tolerate(outcome);
}
