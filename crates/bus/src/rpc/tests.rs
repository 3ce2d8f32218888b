//! A connection whose directions have been used for ages: their positions and numbers wrap around.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use twixt_address::BusName;
use twixt_os::{ErrorKind, Wait};

use crate::place::Place;
use crate::site::{Capacity, Options};
use crate::topic::{Publisher, Sample, Subscriber, SubscriberOptions};
use crate::wait::Waiting;

use super::connection::{Connection, Direction, End};
use super::link::{Link, insist};
use super::listener::open_site;

const CALLS: u64 = 10_000;
/// So many lines, and messages, before the wrap.
const LINES: u64 = 30_000;
const MESSAGES: u64 = CALLS / 2;
/// Words of a publisher's file: see the format.
const CLAIM: u64 = 552;
const SEQUENCE: [u64; 2] = [522, 538];

fn word(file: &Path, at: u64) -> u64 {
    let mut word = [0; 8];
    std::fs::File::open(file).unwrap().read_exact_at(&mut word, 8 * at).unwrap();
    u64::from_ne_bytes(word)
}

/// Has what a closed publisher has left say that there were many before.
fn age(file: &Path) {
    let lines = u64::MAX - LINES;
    let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    // head and last of both checkpoints, claim, start, origin and met.
    for at in [520, 521, 536, 537, CLAIM, 560, 564, 568] {
        file.write_all_at(&lines.to_ne_bytes(), 8 * at).unwrap();
    }
    for at in SEQUENCE {
        file.write_all_at(&(u64::MAX - MESSAGES).to_ne_bytes(), 8 * at).unwrap();
    }
}

/// All of these are of the number alone.
fn message(number: u64) -> Vec<u8> {
    let len = 8 + (number.wrapping_mul(37) % 700) as usize;
    number.to_ne_bytes().iter().cycle().take(len).copied().collect()
}

#[test]
#[cfg_attr(miri, ignore = "it maps files")]
fn positions_and_numbers_of_a_connection_wrap_around() {
    let scratch = tempfile::tempdir_in("/dev/shm").unwrap();
    let options = Options::new()
        .create(true)
        .place(Place::at(scratch.path()).unwrap())
        .capacity(Capacity::Bounded(16 << 10));
    let site = Arc::new(open_site(&BusName::new("old").unwrap(), &options).unwrap());
    let connection = Connection::draw(&site).unwrap();
    connection.make().unwrap();
    let topic = |direction| Arc::new(connection.topic(direction, true).unwrap());
    let rings = [Direction::Up, Direction::Down].map(|direction| {
        let site = topic(direction);
        let ring = site.path('p', 0);
        drop(Publisher::at(site, Waiting::Adaptive).unwrap());
        age(&ring);
        ring
    });
    // As `Link::connect` and `Listener::accept` do it, but that nobody is to see who was there before.
    let up = Publisher::at(topic(Direction::Up), Waiting::Adaptive).unwrap();
    let given = Publisher::at(topic(Direction::Down), Waiting::Adaptive).unwrap();
    let down = Subscriber::at(topic(Direction::Down), SubscriberOptions::new()).unwrap();
    let taken = Subscriber::at(topic(Direction::Up), SubscriberOptions::new().with_all()).unwrap();
    insist(&up).unwrap();
    insist(&given).unwrap();
    let mut client = Link::of(up, down, End::new(connection.clone(), Direction::Up, None), 0);
    let mut server = Link::of(given, taken, End::new(connection, Direction::Down, None), 0);
    let server = std::thread::spawn(move || {
        while let Ok(call) = server.receive().and_then(Sample::to_vec) {
            server.send(&call).unwrap();
        }
    });
    // The rings are full all the time, also where they wrap around.
    let (mut sent, mut answered) = (0, 0);
    while answered < CALLS {
        while sent < CALLS {
            match client.send_wait(&message(sent), Wait::never()) {
                Ok(()) => sent += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                    break;
                }
            }
        }
        let sample = client.receive().unwrap();
        assert_eq!(sample.sequence(), answered.wrapping_sub(MESSAGES + 1));
        assert!(sample.to_vec().unwrap() == message(answered), "answer {answered}");
        answered += 1;
    }
    for ring in &rings {
        // They began before the wrap, and are behind it.
        assert!((LINES..u64::MAX / 2).contains(&word(ring, CLAIM)), "{}", word(ring, CLAIM));
    }
    let (sender, mut receiver) = client.split();
    drop(sender);
    assert_eq!(receiver.receive().map(drop).unwrap_err().kind(), ErrorKind::PeerGone);
    server.join().unwrap();
}
