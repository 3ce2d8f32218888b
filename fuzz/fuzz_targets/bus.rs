//! Whatever stands in a publisher's segment, a subscriber ends with messages no longer than the ring, events and errors; and a
//! publisher that comes after it goes on, or begins anew.

#![no_main]

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use twixt_bus::{Capacity, Event, Publisher, Slow, Subscriber, SubscriberOptions};
use twixt_fuzz::{Bus, Word, keep, quickly, tolerate};
use twixt_os::Wait;

/// Lines of the ring: few, so that any of them matters.
const LINES: u64 = 16;
const RING: u64 = 64 * LINES;

#[derive(Arbitrary, Debug)]
enum Step {
    Publish(u16),
    Lend(u8),
    Receive,
    /// So many, in one call.
    ReceiveSome(u8),
    PublishSome(u8, u8),
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

const SEGMENT: &str = "topic.fuzz/p0";

thread_local! {
    static BUS: RefCell<Bus> = RefCell::new(Bus::new("topic"));
}

fuzz_target!(|steps: Vec<Step>| {
    BUS.with(|bus| play(&bus.borrow(), steps));
});

fn play(bus: &Bus, steps: Vec<Step>) {
    bus.clear();
    let options = bus.options().capacity(Capacity::Bounded(RING));
    let mut publisher = Publisher::open(&bus.name, &options).ok();
    let mut subscriber = Subscriber::open(&bus.name, &options).ok();
    for step in steps {
        quickly(|| match step {
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
                let Some(subscriber) = &mut subscriber else { return };
                let mut bytes = Vec::new();
                match subscriber.next(Wait::never()) {
                    Ok(Event::Message(mut sample)) => tolerate(sample.read_into(&mut bytes)),
                    Ok(_) => {}
                    Err(error) => tolerate::<()>(Err(error)),
                }
                assert!(bytes.len() <= RING as usize);
            }
            Step::ReceiveSome(most) => {
                let Some(subscriber) = &mut subscriber else { return };
                tolerate(subscriber.receive_batch(most.into(), Wait::never(), |message| {
                    assert!(message.len() <= RING as usize);
                    tolerate(message.to_vec());
                }));
            }
            Step::PublishSome(most, len) => {
                if let Some(publisher) = &publisher {
                    let fill =
                        |room: &[AtomicU64]| room.iter().for_each(|word| word.store(7, Ordering::Relaxed));
                    tolerate(publisher.publish_batch(most.into(), len.into(), Wait::never(), fill));
                }
            }
            Step::Control { at, word } => bus.spoil(SEGMENT, 512 + u64::from(at) % 64, &word),
            Step::Frame { line, at, word } => {
                bus.spoil(SEGMENT, 1024 + 8 * (u64::from(line) % LINES) + u64::from(at) % 8, &word);
            }
            Step::Join { slow, history } => {
                let all = [Slow::Block, Slow::DropOldest, Slow::DropNewest, Slow::Disconnect];
                let how =
                    SubscriberOptions::new().slow(all[usize::from(slow) % all.len()]).history(history.into());
                drop(subscriber.take());
                subscriber = keep(Subscriber::open_with(&bus.name, &options, how));
            }
            Step::Succeed(closes) => {
                match publisher.take() {
                    Some(publisher) if closes => drop(publisher),
                    // Its lock goes with its file: as if it had died.
                    _ => _ = std::fs::remove_file(bus.path(SEGMENT)),
                }
                publisher = keep(Publisher::open(&bus.name, &options));
            }
            Step::Cut(len) => bus.cut(SEGMENT, u64::from(len) % 16384),
        });
    }
}
