//! Participants of queues, latest values and calls that write whatever they like into everything that they may write.
//!
//! Those of topics are in `topic_hostile`. `TWIXT_TEST_SECONDS=600` has each go on for so long.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use twixt_address::BusName;
use twixt_bus::queue::{Consumer, ConsumerOptions, Producer};
use twixt_bus::{Capacity, Kind, LatestReader, LatestWriter, Link, Listener, Options, Place};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::{Child, Peer, Test, scratch, test};

#[path = "support/messages.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod messages;
#[path = "support/scribble.rs"]
mod scribble;

use messages::{Dice, in_ms, message, names, read};
use scribble::{Target, as_long, going_on, scribble, tolerate};

/// The rings of all names here.
const RING: u64 = 1 << 13;

fn name() -> BusName {
    BusName::new("all").unwrap()
}

fn options(directory: impl AsRef<Path>) -> Options {
    Options::new().place(Place::at(directory.as_ref()).unwrap()).create(true)
}

fn sized(directory: impl AsRef<Path>) -> Options {
    options(directory).capacity(Capacity::Bounded(RING))
}

fn directory(kind: Kind, at: impl AsRef<Path>) -> std::path::PathBuf {
    Place::at(at.as_ref()).unwrap().directory(kind, &name())
}

/// Starts a scribbler, which says what it is about.
fn scribbler(test: &Test, role: &str, at: &Path, what: &str) -> Child {
    let mut child = test.child(role).arg(at.display()).arg(what).spawn();
    child.expect("there");
    child
}

/// In a scribbler: says that it is there, and does its worst.
fn worst(peer: &Peer, targets: &[Target], pause: u64) -> ! {
    peer.say("there");
    scribble(targets, pause);
    unreachable!("it never ends")
}

/// A queue's producer may write its segment and all ledgers; a consumer its page and all ledgers; both the site's hints.
#[test]
fn of_a_queue() {
    let test = going_on(test!());
    test.role("scribbler", |peer| {
        let options = sized(peer.arg(0));
        let producer = Producer::open(&name(), &options).unwrap();
        let consumer = Consumer::open(&name(), &options).unwrap();
        let directory = directory(Kind::Queue, peer.arg(0));
        let target = |file: &str, words| Target::new(&directory.join(file), words);
        let targets = match peer.arg(1).as_str() {
            // The control block, the tail and the gate, and the ring; and its own ledger.
            "producer" => vec![
                target("p0", 512..512 + 64),
                target("p0", 640..643),
                Target::behind(&directory.join("p0"), 1024),
                Target::behind(&directory.join("l0"), 512),
            ],
            "consumer" => vec![Target::behind(&directory.join("c0"), 8)],
            "hints" => vec![target("site", 512..1024)],
            _ => vec![Target::behind(&directory.join("l0"), 512), Target::behind(&directory.join("l1"), 512)],
        };
        std::mem::forget((producer, consumer));
        worst(peer, &targets, 512)
    });
    for what in ["producer", "consumer", "hints", "ledgers"] {
        let scratch = scratch();
        let options = sized(scratch.path()).visibility(Duration::from_secs(3600)).retries(200);
        drop(Consumer::open(&name(), &options).unwrap());
        // So that there are two ledgers before they are written over.
        drop([0, 1].map(|_| Producer::open(&name(), &options).unwrap()));
        let child = scribbler(&test, "scribbler", scratch.path(), what);
        let (over, sent, received) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        // The honest ones are what they should be where the others cannot write what is theirs.
        let is_exact = what != "ledgers";
        thread::scope(|scope| {
            let (options, over, sent, received) = (&options, &over, &sent, &received);
            scope.spawn(move || {
                let producer = Producer::open(&name(), options).unwrap();
                let mut number = 0;
                while !over.load(Ordering::Relaxed) {
                    let bytes = message(7, number, (number % 700) as usize);
                    number += u64::from(tolerate(producer.send_wait(&bytes, in_ms(2))).is_some());
                    sent.store(number, Ordering::Relaxed);
                    if number % 64 == 0 {
                        let _ = producer.len();
                    }
                }
            });
            let honest: Vec<_> = [1, 16]
                .into_iter()
                .map(|prefetch| {
                    scope.spawn(move || {
                        let how = ConsumerOptions::new().prefetch(prefetch);
                        let consumer = Consumer::open_with(&name(), options, how).unwrap();
                        let (mut last, mut bytes) = (None, Vec::new());
                        while !over.load(Ordering::Relaxed) {
                            let wait = if last.unwrap_or(0) % 2 == 0 { in_ms(2) } else { Wait::never() };
                            let Some(job) = tolerate(consumer.receive_wait(wait)) else { continue };
                            assert!(job.len() <= RING as usize);
                            if job.producer() != 1 {
                                tolerate(job.read_into(&mut bytes));
                                tolerate(job.acknowledge());
                                continue;
                            }
                            // It may have been taken away and overwritten, where others spoil the ledger; but what is read is whole.
                            let is_read = tolerate(job.read_into(&mut bytes)).is_some();
                            let is_done = tolerate(job.acknowledge()).is_some();
                            assert!(is_read && is_done || !is_exact);
                            if is_read {
                                let (_, number) = read(&bytes);
                                assert!(
                                    last.is_none_or(|last| number > last) || !is_exact,
                                    "{last:?}, then {number}"
                                );
                                last = Some(number);
                                received.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        // What it has taken in advance goes back when the others have stopped, too: they would get it late.
                        consumer
                    })
                })
                .collect();
            thread::sleep(as_long());
            over.store(true, Ordering::Relaxed);
            drop(honest.into_iter().map(|it| it.join().unwrap()).collect::<Vec<_>>());
        });
        child.kill();
        let mut rest = 0;
        // Who comes then gets through; and finds all that was not received, if its ledger was nobody else's.
        let producer = Producer::open(&name(), &options).unwrap();
        let consumer = Consumer::open(&name(), &options).unwrap();
        let mut bytes = Vec::new();
        while let Ok(job) = consumer.receive_wait(in_ms(200)) {
            if job.producer() == 1 {
                read(&job.to_vec().unwrap());
                rest += 1;
            }
            tolerate(job.acknowledge());
        }
        let (sent, received) = (sent.into_inner(), received.into_inner());
        println!("{what}: {sent} sent, {received} received, {rest} found afterwards");
        assert!(!is_exact || sent == received + rest, "{sent} sent, {received} received, {rest} left");
        if what != "hints" {
            drop(producer);
            let producer = Producer::open(&name(), &options).unwrap();
            for number in 0..100 {
                producer.send_wait(&message(9, number, 60), in_ms(60_000)).unwrap();
                consumer.take(&mut bytes, in_ms(60_000)).unwrap();
                assert_eq!(read(&bytes), (9, number));
            }
        }
    }
}

/// A writer of a latest value may write its segment, a reader its page, both the site's hints.
#[test]
fn of_a_latest_value() {
    const MOST: usize = 4000;
    let test = going_on(test!());
    test.role("scribbler", |peer| {
        let options = options(peer.arg(0));
        let directory = directory(Kind::Latest, peer.arg(0));
        let reader = LatestReader::open(&name(), &options).unwrap();
        let writer = (peer.arg(1) == "writer").then(|| {
            let mut writer = LatestWriter::open(&name(), &options).unwrap();
            for number in 0..20 {
                writer.write(&message(1, number, 100)).unwrap();
            }
            writer
        });
        let targets = match peer.arg(1).as_str() {
            // The control block, the grants and the first words of each buffer.
            "writer" => {
                let mut targets = vec![Target::new(&directory.join("w0"), 512..528)];
                targets.push(Target::new(&directory.join("w0"), 1024..1040));
                let stride = (2 + MOST.div_ceil(8)).next_multiple_of(8);
                targets.extend((0..8).map(|buffer| {
                    let begin = 2048 + buffer * stride;
                    Target::new(&directory.join("w0"), begin..begin + 30)
                }));
                targets
            }
            "reader" => vec![Target::new(&directory.join("r0"), 8..128)],
            _ => vec![Target::new(&directory.join("site"), 512..1024)],
        };
        std::mem::forget((reader, writer));
        worst(peer, &targets, 256)
    });
    for what in ["writer", "reader", "hints"] {
        let scratch = scratch();
        let options = options(scratch.path()).message_size(MOST as u64);
        drop(LatestReader::open(&name(), &options).unwrap());
        let child = scribbler(&test, "scribbler", scratch.path(), what);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let (options, over) = (&options, &over);
            let writes = (what != "writer").then(|| {
                scope.spawn(move || {
                    let mut writer = LatestWriter::open(&name(), options).unwrap();
                    let mut number = 0;
                    while !over.load(Ordering::Relaxed) {
                        number += 1;
                        writer.write(&message(1, number, (number * 37) as usize % MOST)).unwrap();
                    }
                    number
                })
            });
            let reads = [0, 1].map(|which| {
                scope.spawn(move || {
                    let mut reader = LatestReader::open(&name(), options).unwrap();
                    let (mut bytes, mut count, mut whole, mut last) = (Vec::new(), 0_u64, 0_u64, 0);
                    while !over.load(Ordering::Relaxed) {
                        let version = if what == "writer" {
                            tolerate(reader.read(&mut bytes)).flatten()
                        } else {
                            // The writer is as it should be.
                            reader.read(&mut bytes).unwrap()
                        };
                        assert!(bytes.len() <= MOST);
                        count += 1;
                        if what != "writer" && version.is_some() {
                            let (_, number) = read(&bytes);
                            assert!(number >= last, "back in time");
                            (last, whole) = (number, whole + 1);
                        }
                        if which == 0 {
                            tolerate(reader.wait_for_newer(version, in_ms(1)));
                        }
                        let _ = reader.writer();
                    }
                    (count, whole)
                })
            });
            thread::sleep(as_long());
            over.store(true, Ordering::Relaxed);
            let written = writes.map_or(0, |it| it.join().unwrap());
            println!("{what}: {written} written, {:?} read, whole", reads.map(|it| it.join().unwrap()));
        });
        child.kill();
        if what != "hints" {
            // The next writer makes sense of what is there, or begins anew.
            let mut writer = LatestWriter::open(&name(), &options).unwrap();
            let mut reader = LatestReader::open(&name(), &options).unwrap();
            let mut bytes = Vec::new();
            for number in 0..100 {
                let version = writer.write(&message(2, number, 100)).unwrap();
                assert_eq!(reader.read(&mut bytes).unwrap(), Some(version));
                assert_eq!(read(&bytes), (2, number));
            }
        }
    }
}

/// Calls over a link until it ends. How many were answered.
fn call(link: &mut Link, most: u64) -> u64 {
    for number in 0..most {
        let bytes = message(3, number, (number * 37 % 900) as usize);
        link.send_wait(&bytes, in_ms(60_000)).unwrap();
        assert!(link.receive_wait(in_ms(60_000)).unwrap().to_vec().unwrap() == bytes);
    }
    most
}

/// Sends back what it receives, from whoever that is, until the other end has gone, or it is over.
fn answer(mut link: Link, over: &AtomicBool) {
    let mut bytes = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let read = match link.receive_wait(in_ms(5)) {
            Ok(mut sample) => sample.read_into(&mut bytes),
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut) => continue,
            Err(error) => Err(error),
        };
        assert!(bytes.len() <= RING as usize);
        if tolerate(read).is_none() {
            break;
        }
        let sent = link.send_wait(&bytes, in_ms(5));
        if !sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::TimedOut) && tolerate(sent).is_none()
        {
            break;
        }
    }
}

/// A client may write its end of a connection, and the hints of the name and of both directions; a server the same.
#[test]
fn of_a_connection() {
    fn worst_of(peer: &Peer, files: [&str; 2]) -> ! {
        let directory = directory(Kind::Rpc, peer.arg(0));
        let connection = names(&directory).into_iter().find(|file| file.starts_with('c')).unwrap();
        let connection = directory.join(connection);
        let mut targets: Vec<_> =
            files.iter().map(|file| Target::behind(&connection.join(file), 9)).collect();
        for site in ["topic.up/site", "topic.down/site"] {
            targets.push(Target::new(&connection.join(site), 512..1024));
        }
        worst(peer, &targets, 512)
    }
    let test = going_on(test!());
    test.role("client", |peer| {
        let mut link = Link::connect(&name(), &options(peer.arg(0))).unwrap();
        call(&mut link, 10);
        std::mem::forget(link);
        worst_of(peer, ["topic.up/p0", "topic.down/s0"])
    });
    test.role("server", |peer| {
        let mut listener = Listener::open(&name(), &sized(peer.arg(0))).unwrap();
        peer.say("listens");
        std::mem::forget((listener.accept().unwrap(), listener));
        worst_of(peer, ["topic.down/p0", "topic.up/s0"])
    });
    test.role("hints", |peer| {
        worst(peer, &[Target::new(&directory(Kind::Rpc, peer.arg(0)).join("site"), 512..1024)], 64)
    });
    for what in ["client", "hints"] {
        let scratch = scratch();
        let options = sized(scratch.path());
        let mut listener = Listener::open(&name(), &options).unwrap();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    match listener.accept_wait(in_ms(5)) {
                        Ok(link) => drop(scope.spawn(move || answer(link, over))),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}"),
                    }
                }
            });
            let _over = twixt_testkit::defer(|| over.store(true, Ordering::Relaxed));
            let child = scribbler(&test, what, scratch.path(), what);
            let begun = std::time::Instant::now();
            let (mut calls, mut links) = (0, 0);
            // Others are served, whatever that one does.
            while begun.elapsed() < as_long() {
                let mut link = Link::connect_wait(&name(), &options, in_ms(60_000)).unwrap();
                calls += call(&mut link, 20);
                links += 1;
            }
            child.kill();
            println!("{what}: {calls} calls over {links} connections beside it");
        });
    }
    let scratch = scratch();
    let mut server = test.child("server").arg(scratch.path().display()).arg("server").spawn();
    server.expect("listens");
    let mut link = Link::connect(&name(), &options(scratch.path())).unwrap();
    server.expect("there");
    let begun = std::time::Instant::now();
    let (mut sent, mut received, mut bytes) = (0_u64, 0_u64, Vec::new());
    while begun.elapsed() < as_long() {
        sent += u64::from(tolerate(link.send_wait(&[7; 100], in_ms(2))).is_some());
        if let Some(mut sample) = tolerate(link.receive_wait(in_ms(2))) {
            received += u64::from(tolerate(sample.read_into(&mut bytes)).is_some());
            assert!(bytes.len() <= RING as usize);
        }
    }
    println!("server: {sent} sent to it, {received} received of it");
    server.kill();
    drop(link);
    // Who listens next is not in its way.
    let mut listener = Listener::open(&name(), &options(scratch.path())).unwrap();
    let wanted = options(scratch.path());
    let client = thread::spawn(move || call(&mut Link::connect(&name(), &wanted).unwrap(), 10));
    answer(listener.accept().unwrap(), &AtomicBool::new(false));
    assert_eq!(client.join().unwrap(), 10);
}
