//! Who sends and polls: asleep until there is room, by a descriptor that whoever makes room has to find.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use twixt_address::BusName;
use twixt_bus::queue::{Consumer, ConsumerOptions, Producer};
use twixt_bus::{Capacity, LatestReader, Listener, Options, Place, Publisher, Subscriber};
use twixt_os::{Deadline, ErrorKind, Mode, Result};
use twixt_testkit::{Peer, scratch, test};

fn name() -> BusName {
    BusName::new("x").unwrap()
}

fn options(directory: impl AsRef<Path>) -> Options {
    let place = Place::at(directory.as_ref()).unwrap();
    // It is full after a few dozen messages.
    Options::new().place(place).create(true).capacity(Capacity::Bounded(1 << 12))
}

fn is_readable(bell: impl AsFd, milliseconds: i64) -> bool {
    let time = Timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 };
    poll(&mut [PollFd::new(&bell, PollFlags::IN)], Some(&time)).unwrap() > 0
}

/// Long enough that it passes only if nobody has rung.
const LONG: i64 = 60_000;

/// Sends all the numbers below `count`, and waits for room with `poll` alone.
fn pour(count: u64, bell: &OwnedFd, arm: impl Fn() -> Result<bool>, send: impl Fn(&[u8]) -> Result<()>) {
    for number in 0..count {
        while let Err(error) = send(&number.to_ne_bytes()) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
            arm().unwrap();
            assert!(is_readable(bell, LONG), "nobody has rung");
        }
    }
}

fn rounds() -> u64 {
    std::env::var("TWIXT_TEST_ROUNDS").ok().map_or(20_000, |rounds| rounds.parse().unwrap())
}

fn number_in(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(bytes.try_into().unwrap())
}

/// Sends its numbers when it is told to.
fn produce(peer: &Peer) {
    let producer = Producer::open(&name(), &options(peer.arg(0))).unwrap();
    peer.say("there");
    peer.hear();
    let bell = producer.doorbell().unwrap().try_clone_to_owned().unwrap();
    pour(rounds(), &bell, || producer.arm(), |bytes| producer.try_send(bytes));
    peer.say("sent");
}

/// Says how many it has received, and what they add up to, when it is told that no more come.
fn consume(peer: &Peer) {
    let how = ConsumerOptions::new().prefetch(peer.arg(1).parse().unwrap());
    let consumer = Consumer::open_with(&name(), &options(peer.arg(0)), how).unwrap();
    peer.say("there");
    let (mut count, mut sum) = (0_u64, 0_u64);
    loop {
        let job = consumer.receive().unwrap();
        let number = number_in(&job.to_vec().unwrap());
        job.acknowledge().unwrap();
        if number == u64::MAX {
            break;
        }
        count += 1;
        sum += number;
    }
    peer.say(&format!("{count} {sum}"));
}

#[test]
fn producers_of_a_queue_that_poll_miss_no_room() {
    let test = test!();
    test.role("producer", produce);
    test.role("consumer", consume);
    for consumers in [1, 2] {
        let scratch = scratch();
        let directory = scratch.path().display().to_string();
        let start = |role: &str, prefetch: &str| {
            let mut child = test.child(role).arg(&directory).arg(prefetch).spawn();
            child.expect("there");
            child
        };
        let mut takers: Vec<_> = ["1", "32"][..consumers].iter().map(|it| start("consumer", it)).collect();
        let mut senders: Vec<_> = (0..2).map(|_| start("producer", "")).collect();
        senders.iter_mut().for_each(|sender| sender.tell("go"));
        senders.iter_mut().for_each(|sender| sender.expect("sent"));
        senders.into_iter().for_each(|sender| sender.succeed());
        let last = Producer::open(&name(), &options(&directory)).unwrap();
        while !last.is_empty().unwrap() {
            std::thread::sleep(Duration::from_millis(1));
        }
        takers.iter().for_each(|_| last.send(&u64::MAX.to_ne_bytes()).unwrap());
        let (mut count, mut sum) = (0, 0);
        for taker in &mut takers {
            let line = taker.hear();
            let (its_count, its_sum) = line.split_once(' ').unwrap();
            count += its_count.parse::<u64>().unwrap();
            sum += its_sum.parse::<u64>().unwrap();
        }
        assert_eq!((count, sum), (2 * rounds(), rounds() * (rounds() - 1)));
        takers.into_iter().for_each(|taker| taker.succeed());
    }
}

fn subscribe(peer: &Peer) {
    let mut subscriber = Subscriber::open(&name(), &options(peer.arg(0))).unwrap();
    peer.say("there");
    for number in 0..rounds() {
        assert_eq!(number_in(&subscriber.receive().unwrap().to_vec().unwrap()), number);
    }
}

#[test]
fn a_publisher_that_polls_misses_no_room() {
    let test = test!();
    test.role("subscriber", subscribe);
    let scratch = scratch();
    let directory = scratch.path().display().to_string();
    let mut subscriber = test.child("subscriber").arg(&directory).spawn();
    subscriber.expect("there");
    let publisher = Publisher::open(&name(), &options(&directory)).unwrap();
    let bell = publisher.doorbell().unwrap().try_clone_to_owned().unwrap();
    pour(rounds(), &bell, || publisher.arm(), |bytes| publisher.try_publish(bytes));
    subscriber.succeed();
}

#[test]
fn the_doorbell_of_a_producer_tells_of_room_for_what_found_none() {
    let scratch = scratch();
    let options = options(scratch.path());
    let producer = Producer::open(&name(), &options).unwrap();
    let bell = producer.doorbell().unwrap().try_clone_to_owned().unwrap();
    assert!(is_readable(&bell, 0), "there is room");
    // Two that take all but a few lines.
    let (large, small) = ([1; 1500], [2; 8]);
    while producer.try_send(&large).is_ok() {}
    assert!(!producer.arm().unwrap());
    assert!(!is_readable(&bell, 0), "no room for another");
    while producer.try_send(&small).is_ok() {}
    assert!(!producer.arm().unwrap());
    assert!(!is_readable(&bell, 0), "and none for a small one");
    let consumer = Consumer::open(&name(), &options).unwrap();
    // One that waits for room otherwise takes nothing from it.
    let soon = Deadline::after(Duration::from_millis(5));
    producer.arm().unwrap();
    assert_eq!(producer.send_deadline(&small, soon).unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(!producer.arm().unwrap() && !is_readable(&bell, 0));
    assert_eq!(producer.send_deadline(&small, soon).unwrap_err().kind(), ErrorKind::TimedOut);
    let mut count = 0;
    while let Ok(job) = consumer.try_receive() {
        job.acknowledge().unwrap();
        count += 1;
    }
    assert!(count > 2);
    assert!(is_readable(&bell, 0), "nobody has rung");
    producer.try_send(&large).unwrap();
    let file = scratch.path().join("queue.x/p0.bell");
    assert!(file.exists());
    drop(producer);
    assert!(!file.exists(), "its doorbell is left behind");
}

#[test]
fn with_no_capacity_there_is_no_room_to_poll_for() {
    let scratch = scratch();
    let none = options(scratch.path()).capacity(Capacity::Zero);
    let producer = Producer::open(&name(), &none).unwrap();
    assert_eq!(producer.doorbell().unwrap_err().kind(), ErrorKind::Unsupported);
    // Over the budget a send is refused: there is nothing to wait for.
    let other = twixt_testkit::scratch();
    let budget = options(other.path()).capacity(Capacity::Unbounded(1 << 12));
    let producer = Producer::open(&name(), &budget).unwrap();
    while producer.try_send(b"x").is_ok() {}
    assert!(producer.arm().unwrap());
}

/// Makes all the doorbells that there are, where everybody may take part.
fn make_doorbells(peer: &Peer) {
    let options = options(peer.arg(0)).mode(Mode::new(0o666).unwrap());
    let publisher = Publisher::open(&name(), &options).unwrap();
    publisher.doorbell().unwrap();
    let mut subscriber = Subscriber::open(&name(), &options).unwrap();
    subscriber.doorbell().unwrap();
    let producer = Producer::open(&name(), &options).unwrap();
    producer.doorbell().unwrap();
    let consumer = Consumer::open(&name(), &options).unwrap();
    consumer.doorbell().unwrap();
    let mut listener = Listener::open(&name(), &options).unwrap();
    listener.doorbell().unwrap();
    let values = Options::new().place(Place::at(peer.arg(0)).unwrap()).create(true);
    let mut reader = LatestReader::open(&name(), &values.mode(Mode::new(0o666).unwrap())).unwrap();
    reader.doorbell(None).unwrap();
    peer.say("made");
    peer.hear();
}

#[test]
fn who_may_take_part_may_ring_each_doorbell_whatever_the_umask() {
    let test = test!();
    test.role("maker", make_doorbells);
    let scratch = scratch();
    let tight = ["sh", "-c", "umask 077; exec \"$@\"", "sh"];
    let mut maker = test.child("maker").arg(scratch.path().display()).under(&tight).spawn();
    maker.expect("made");
    for bell in ["topic.x/p0", "topic.x/s0", "queue.x/p0", "queue.x/c0", "rpc.x/l0", "latest.x/r0"] {
        let path = scratch.path().join(bell).with_extension("bell");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o622, "{bell}");
    }
    maker.tell("go");
    maker.succeed();
}
