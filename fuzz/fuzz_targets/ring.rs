//! Whatever another writes into the memory of a ring, sending and receiving end with a message or an error, and a message
//! is no longer than the ring.

#![no_main]

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use twixt_address::Address;
use twixt_channel::{Message, Receiver, Sender};
use twixt_os::{ErrorKind, Wait};

#[derive(Arbitrary, Debug)]
enum Step {
    Send(u16),
    Receive,
    /// A word of the header, where all that matters stands.
    Word {
        at: u8,
        word: Word,
    },
    /// A byte anywhere.
    Byte {
        at: u16,
        byte: u8,
    },
    Look,
    /// The handles are opened anew.
    Open,
}

#[derive(Arbitrary, Debug)]
enum Word {
    Any(u64),
    /// What stands there, and so much more or less.
    Near(i8),
    Eights(u16),
    Power(u8),
}

const OPTIONS: [&str; 3] = ["?create&capacity=4096", "?create&capacity=0", "?create&budget=300k"];

/// A ring, and its bytes as they were when it was new.
struct Ring {
    address: Address,
    file: File,
    new: Vec<u8>,
    ends: Option<(Sender, Receiver)>,
}

impl Ring {
    fn new(options: &str) -> Self {
        let path = format!("/dev/shm/twixt-fuzz-{}-{}", std::process::id(), options.len());
        let _ = std::fs::remove_file(&path);
        let address: Address = format!("mmap:{path}{options}").parse().expect("an address");
        let ends = Some(open(&address).expect("a new ring"));
        let file = OpenOptions::new().read(true).write(true).open(&path).expect("the ring");
        let mut new = vec![0; file.metadata().expect("a file").len() as usize];
        file.read_exact_at(&mut new, 0).expect("all of it");
        Self { address, file, new, ends }
    }

    fn renew(&mut self) {
        self.file.set_len(self.new.len() as u64).expect("room");
        self.file.write_all_at(&self.new, 0).expect("room");
        if self.ends.is_none() {
            self.ends = Some(open(&self.address).expect("a ring like new"));
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.address.endpoint().to_string().trim_start_matches("mmap:"));
    }
}

fn open(address: &Address) -> twixt_os::Result<(Sender, Receiver)> {
    Ok((Sender::open(address)?, Receiver::open(address)?))
}

thread_local! {
    static RINGS: RefCell<Vec<Ring>> = RefCell::new(OPTIONS.iter().map(|options| Ring::new(options)).collect());
}

fuzz_target!(|input: (u8, Vec<Step>)| {
    let (ring, steps) = input;
    RINGS.with(|rings| {
        let ring = &mut rings.borrow_mut()[usize::from(ring) % OPTIONS.len()];
        ring.renew();
        let mut message = Message::new();
        for step in steps {
            match step {
                Step::Word { at, word } => {
                    let at = u64::from(at) * 8;
                    let mut there = [0; 8];
                    let _ = ring.file.read_exact_at(&mut there, at);
                    let word = match word {
                        Word::Any(word) => word,
                        Word::Near(by) => u64::from_le_bytes(there).wrapping_add_signed(by.into()),
                        Word::Eights(count) => u64::from(count) * 8,
                        Word::Power(bit) => 1 << (bit % 64),
                    };
                    ring.file.write_all_at(&word.to_le_bytes(), at).expect("room");
                }
                Step::Byte { at, byte } => {
                    let at = u64::from(at) % ring.new.len() as u64;
                    ring.file.write_all_at(&[byte], at).expect("room");
                }
                Step::Open => {
                    drop(ring.ends.take());
                    ring.ends = open(&ring.address).map_err(|error| tolerate(&error)).ok();
                }
                step => {
                    let Some((sender, receiver)) = &mut ring.ends else { continue };
                    let begun = std::time::Instant::now();
                    let outcome = match step {
                        Step::Send(len) => sender.try_send(&vec![7; usize::from(len) % 5000]),
                        Step::Receive => receiver.receive_wait(&mut message, Wait::never()),
                        _ => sender.len().map(|_| ()),
                    };
                    match outcome {
                        Ok(()) => assert!(message.len() <= 512 << 10),
                        Err(error) => tolerate(&error),
                    }
                    assert!(begun.elapsed() < Duration::from_secs(5), "it has not waited for long");
                }
            }
        }
    });
});

fn tolerate(error: &twixt_os::Error) {
    let expected = [
        ErrorKind::Malformed,
        ErrorKind::WouldBlock,
        ErrorKind::LimitReached,
        ErrorKind::Truncated,
        ErrorKind::TooLong,
        ErrorKind::InvalidInput,
        ErrorKind::Unsupported,
        // Spoiled semaphores and files of sizes that were never asked for.
        ErrorKind::OutOfRange,
        ErrorKind::NoSpace,
    ];
    assert!(expected.contains(&error.kind()), "{error}");
}
