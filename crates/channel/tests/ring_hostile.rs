//! Participants that write whatever they like to the memory.

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use twixt_address::Address;
use twixt_channel::{Duplex, Listener, Message, Opening, Receiver, Sender};
use twixt_os::lock::{File, Kind};
use twixt_os::mmap::Memory;
use twixt_os::posix::shm::{Access, SharedMemory};
use twixt_os::sysv::shm::Segment;
use twixt_os::{Deadline, ErrorKind, Result, Wait};
use twixt_testkit::test;

#[path = "support/rings.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod rings;

use rings::Place;

/// How long each ring is spoiled.
const WHILE: Duration = Duration::from_millis(900);

/// xorshift: quick, and of no pattern that a ring would notice.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Writes nonsense, and near-sense, over a ring.
fn scribble(memory: &Memory, until: impl Fn() -> bool) {
    let mut dice = Dice(std::process::id().into());
    while !until() {
        let dimension = memory.len() as u64;
        let at = match dice.roll() % 4 {
            0 => dice.roll() % (dimension - 8),
            // The words that matter most.
            _ => 64 + dice.roll() % 600,
        };
        let word = match dice.roll() % 6 {
            0 => dice.roll(),
            1 => 0,
            2 => u64::MAX - dice.roll() % 64,
            3 => dice.roll() % 4096 * 8,
            4 => 1 << (dice.roll() % 64),
            _ => dimension,
        };
        let len = 1 + dice.roll() as usize % 8;
        memory.write(at as usize, &word.to_le_bytes()[..len]).unwrap();
        if dice.roll().is_multiple_of(64) {
            std::thread::sleep(Duration::from_micros(dice.roll() % 300));
        }
    }
}

/// Any answer will do; but it has to be one.
fn tolerate<T>(outcome: Result<T>) {
    if let Err(error) = outcome {
        let expected = [
            ErrorKind::Malformed,
            ErrorKind::WouldBlock,
            ErrorKind::TimedOut,
            ErrorKind::LimitReached,
            ErrorKind::PeerGone,
            ErrorKind::Truncated,
            // Spoiled semaphores and files of sizes that were never asked for.
            ErrorKind::OutOfRange,
            ErrorKind::NoSpace,
        ];
        assert!(expected.contains(&error.kind()), "{error}");
    }
}

fn soon() -> Wait {
    Wait::until(Deadline::after(Duration::from_millis(2)))
}

#[test]
fn nonsense_in_a_mailbox_hurts_nobody() {
    let test = test!();
    test.role("scribbler", |peer| {
        let memory = match peer.arg(0).as_str() {
            "sysv-shm" => {
                let key = peer.arg(1).parse().unwrap();
                let attached = Segment::open(key).unwrap().attach(Access::ReadWrite).unwrap();
                peer.say("on it");
                return scribble(attached.memory(), || false);
            }
            _ => {
                let file = std::fs::OpenOptions::new().read(true).write(true).open(peer.arg(1)).unwrap();
                SharedMemory::from_fd(file.into()).unwrap().map(Access::ReadWrite).unwrap()
            }
        };
        peer.say("on it");
        scribble(&memory, || false);
    });
    for options in ["?create&capacity=4096", "?create&capacity=0", "?create&budget=300k"] {
        for place in Place::all() {
            let address: Address = place.address(options);
            let _made = Sender::open(&address).unwrap();
            let what =
                place.file().map_or_else(|| place.key().to_string(), |file| file.display().to_string());
            let mut scribbler = test.child("scribbler").arg(place.scheme).arg(what).spawn();
            scribbler.expect("on it");
            let over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for thread in 0..2 {
                    let (over, address) = (&over, &address);
                    scope.spawn(move || {
                        let Ok(mut sender) = Sender::open(address) else { return };
                        for len in (0..4000).cycle().step_by(97 + thread) {
                            tolerate(sender.send_wait(&vec![1; len], soon()));
                            tolerate(sender.try_send(b""));
                            tolerate(sender.len());
                            if over.load(Ordering::Relaxed) {
                                break;
                            }
                        }
                    });
                    scope.spawn(move || {
                        let Ok(mut receiver) = Receiver::open(address) else { return };
                        let mut message = Message::new();
                        while !over.load(Ordering::Relaxed) {
                            tolerate(receiver.receive_wait(&mut message, soon()));
                            assert!(message.len() <= 512 << 10);
                            tolerate(receiver.try_receive());
                        }
                    });
                }
                std::thread::sleep(WHILE);
                over.store(true, Ordering::Relaxed);
            });
            scribbler.kill();
            // Spoiled it may be; but it answers.
            if let (Ok(mut sender), Ok(mut receiver)) =
                (Sender::open(&place.address("")), Receiver::open(&place.address("")))
            {
                tolerate(sender.send_wait(b"hello?", soon()));
                tolerate(receiver.try_receive());
            }
        }
    }
}

#[test]
fn nonsense_in_a_connection_hurts_nobody() {
    let test = test!();
    test.role("scribbler", |peer| {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(peer.arg(0)).unwrap();
        let memory = SharedMemory::from_fd(file.into()).unwrap().map(Access::ReadWrite).unwrap();
        peer.say("on it");
        scribble(&memory, || false);
    });
    for place in [Place::posix_shm(), Place::mmap()] {
        let listener = Listener::open(&place.address("?create&capacity=4096")).unwrap();
        let file = place.file().unwrap().display().to_string();
        let mut scribbler = test.child("scribbler").arg(file).spawn();
        scribbler.expect("on it");
        let (over, address) = (Instant::now() + WHILE, place.address(""));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while Instant::now() < over {
                    let Ok(mut client) = Opening::new(&address).wait(soon()).duplex() else {
                        continue;
                    };
                    for _ in 0..50 {
                        tolerate(client.send_wait(b"ping", soon()));
                        tolerate(client.receive_wait(&mut Message::new(), soon()));
                    }
                }
            });
            while Instant::now() < over {
                let Ok(mut server) = listener.accept_wait(soon()) else { continue };
                for _ in 0..50 {
                    tolerate(server.receive_wait(&mut Message::new(), soon()));
                    tolerate(server.send_wait(b"pong", soon()));
                }
            }
        });
        scribbler.kill();
        drop(listener);
        let _ = Duplex::open(&place.address("?timeout=20ms"));
    }
}

#[test]
fn memory_that_is_cut_off_is_an_error() {
    for place in [Place::posix_shm(), Place::mmap()] {
        for len in [0, 100, 4096, 6000] {
            let address = place.address("?create&capacity=64k");
            let mut sender = Sender::open(&address).unwrap();
            let mut receiver = Receiver::open(&address).unwrap();
            sender.send(&[1; 5000]).unwrap();
            let file = std::fs::OpenOptions::new().write(true).open(place.file().unwrap()).unwrap();
            file.set_len(len).unwrap();
            let mut kinds = Vec::new();
            for _ in 0..20 {
                kinds.extend(sender.send_wait(&[2; 6000], soon()).err().map(|error| error.kind()));
                kinds.extend(
                    receiver.receive_wait(&mut Message::new(), soon()).err().map(|error| error.kind()),
                );
            }
            // What is left of a page that was cut reads as zeros, and no ring has such a header.
            let wanted = if len == 100 { ErrorKind::Malformed } else { ErrorKind::Truncated };
            assert!(kinds.contains(&wanted), "{len}: {kinds:?}");
            for kind in kinds {
                assert!([ErrorKind::Truncated, ErrorKind::Malformed].contains(&kind), "{len}: {kind:?}");
            }
            std::fs::remove_file(place.file().unwrap()).unwrap();
        }
    }
}

#[test]
fn a_bell_that_rings_for_nothing_keeps_nobody() {
    let _test = test!();
    for place in [Place::posix_shm(), Place::mmap()] {
        let mut sender = Sender::open(&place.address("?create&capacity=0")).unwrap();
        // The semaphore that says "taken", posted so often that it takes minutes to use up.
        let file = std::fs::OpenOptions::new().write(true).open(place.file().unwrap()).unwrap();
        for _ in 0..3 {
            file.write_all_at(&i32::MAX.to_le_bytes(), 256 + 128).unwrap();
            let error = sender.send_wait(b"to nobody", soon()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        }
    }
}

#[test]
fn a_process_that_locks_all_places_is_found_out() {
    let _test = test!();
    for place in [Place::posix_shm(), Place::mmap()] {
        let _made = Sender::open(&place.address("?create")).unwrap();
        let file = std::fs::OpenOptions::new().read(true).write(true).open(place.file().unwrap()).unwrap();
        let file = File::from_fd(file.into());
        // All that are left: the one that is taken stands somewhere among them.
        let all = 1_u64 << 62;
        let mut locks = Vec::new();
        let mut todo = vec![(all, all * 2 - 1)];
        while let Some((first, last)) = todo.pop() {
            match file.try_lock_range(Kind::Exclusive, first..=last) {
                Ok(lock) => locks.push(lock),
                Err(_) if first == last => {}
                Err(_) => {
                    let middle = first + (last - first) / 2;
                    todo.extend([(first, middle), (middle + 1, last)]);
                }
            }
        }
        let error = Receiver::open(&place.address("")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        drop(locks);
        Receiver::open(&place.address("")).unwrap();
    }
}
