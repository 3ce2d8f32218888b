//! Participants that are killed at any moment, over and over: nothing that was accepted is lost, doubled or torn.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use twixt_address::Address;
use twixt_channel::{Message, Receiver, Sender};
use twixt_os::mmap::MappedFile;
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{Child, scratch, test};

#[path = "support/rings.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod rings;

use rings::Place;

/// How many participants are killed in each ring.
const KILLS: u32 = 350;
/// How many live at a time.
const CROWD: usize = 3;

/// A number that differs from run to run and from call to call.
fn dice() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

/// Message `number` of sender `id`: both, and bytes that follow from them.
fn message(id: u32, number: u32) -> Vec<u8> {
    let mut bytes = [id.to_le_bytes(), number.to_le_bytes()].concat();
    let len = (id.wrapping_mul(31) ^ number.wrapping_mul(17)) % 300;
    bytes.extend((0..len).map(|at| (id ^ number ^ at) as u8));
    bytes
}

/// Who sent it, and which one it is; panics if it is torn.
fn read(bytes: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let (id, number) = (word(0), word(4));
    assert_eq!(bytes, message(id, number), "torn");
    (id, number)
}

/// Words by which the dead tell how far they had come.
fn ledger(words: u32) -> (twixt_testkit::TempDir, MappedFile) {
    let directory = scratch();
    let file = MappedFile::create(directory.path().join("ledger"), words as usize * 4).unwrap();
    (directory, file)
}

/// Keeps a crowd of children, and kills one after the other.
fn storm(mut spawn: impl FnMut(u32) -> Child, mut meanwhile: impl FnMut()) {
    let mut crowd: Vec<Child> = Vec::new();
    for number in 0..KILLS {
        crowd.push(spawn(number));
        if crowd.len() < CROWD {
            continue;
        }
        let end = Instant::now() + Duration::from_micros(dice() % 12_000);
        while Instant::now() < end {
            meanwhile();
        }
        crowd.swap_remove(dice() as usize % crowd.len()).kill();
        meanwhile();
    }
    for child in crowd {
        child.kill();
        meanwhile();
    }
}

#[test]
fn of_senders_that_are_killed_all_that_was_accepted_arrives_once() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = Sender::open(&peer.arg(0).parse().unwrap()).unwrap();
        let ledger = MappedFile::open(peer.arg(1)).unwrap();
        let id: u32 = peer.arg(2).parse().unwrap();
        let accepted = ledger.atomic_u32(id as usize * 4).unwrap();
        for number in 0.. {
            sender.send(&message(id, number)).unwrap();
            accepted.store(number + 1, Ordering::Release);
        }
    });
    for (place, options) in [
        (Place::posix_shm(), "?create&capacity=2000"),
        (Place::mmap(), "?create&capacity=0"),
        (Place::sysv_shm(), "?create&capacity=2000"),
        (Place::sysv_shm(), "?create&capacity=0"),
    ] {
        let mut receiver = Receiver::open(&place.address(options)).unwrap();
        let (directory, ledger) = ledger(KILLS);
        let path = directory.path().join("ledger");
        let mut next = vec![0_u32; KILLS as usize];
        let mut room = Message::new();
        let mut receive = |most: usize, wait: Duration| {
            for _ in 0..most {
                match receiver.receive_wait(&mut room, Wait::until(Deadline::after(wait))) {
                    Ok(()) => {
                        let (id, number) = read(room.bytes());
                        assert_eq!(number, next[id as usize], "of sender {id}");
                        next[id as usize] += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                        break;
                    }
                }
            }
        };
        let spawn = |id| test.child("sender").arg(place.text("")).arg(path.display()).arg(id).spawn();
        // So many at a time: the crowd may send faster than one can receive, and has to be killed, too.
        let mut heard = 0;
        storm(spawn, || {
            heard += 1;
            receive(500, Duration::ZERO);
        });
        receive(usize::MAX, Duration::from_millis(300));
        let mut total = 0;
        for (id, next) in (0..).zip(next) {
            let accepted = ledger.load_u32(id * 4, Ordering::Acquire).unwrap();
            // The last one may have been accepted just before its sender could note it.
            assert!(
                next == accepted || next == accepted + 1,
                "sender {id}: {accepted} accepted, {next} arrived"
            );
            total += next;
        }
        assert!(heard > 0 && total > KILLS, "{total}");
    }
}

#[test]
fn receivers_that_are_killed_take_one_message_with_them_at_most_and_double_none() {
    const MESSAGES: u32 = 4_000_000;
    let test = test!();
    test.role("receiver", |peer| {
        let mut receiver = Receiver::open(&peer.arg(0).parse().unwrap()).unwrap();
        let ledger = MappedFile::open(peer.arg(1)).unwrap();
        let mut room = Message::new();
        loop {
            receiver.receive_into(&mut room).unwrap();
            let (_, number) = read(room.bytes());
            ledger.atomic_u32(number as usize * 4).unwrap().fetch_add(1, Ordering::Relaxed);
        }
    });
    for (place, options) in [
        (Place::posix_shm(), "?create&capacity=2000"),
        (Place::mmap(), "?create&budget=4000"),
        (Place::sysv_shm(), "?create&capacity=2000"),
    ] {
        let address: Address = place.address(options);
        let mut sender = Sender::open(&address).unwrap();
        let (directory, ledger) = ledger(MESSAGES);
        let path = directory.path().join("ledger");
        let mut sent = 0;
        let spawn = |_| test.child("receiver").arg(place.text("")).arg(path.display()).spawn();
        storm(spawn, || {
            let soon = Wait::until(Deadline::after(Duration::from_micros(300)));
            match sender.send_wait(&message(7, sent), soon) {
                Ok(()) => sent += 1,
                Err(error) if error.kind() == ErrorKind::LimitReached => {
                    std::thread::sleep(Duration::from_micros(100));
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
            }
            assert!(sent < MESSAGES);
        });
        let mut receiver = Receiver::open(&place.address("")).unwrap();
        let mut last = None;
        while let Ok(message) = receiver.try_receive() {
            let (_, number) = read(message.bytes());
            assert!(last < Some(number));
            last = Some(number);
            ledger.atomic_u32(number as usize * 4).unwrap().fetch_add(1, Ordering::Relaxed);
        }
        let mut lost = 0;
        for number in 0..sent as usize {
            match ledger.load_u32(number * 4, Ordering::Relaxed).unwrap() {
                1 => {}
                0 => lost += 1,
                times => panic!("message {number} arrived {times} times"),
            }
        }
        // Taken, but not noted any more.
        assert!(lost <= KILLS, "{lost} of {sent}");
        assert!(sent > KILLS);
    }
}
