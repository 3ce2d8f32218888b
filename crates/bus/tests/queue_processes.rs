//! Queues between processes, which die, stop, fork and write nonsense.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use twixt_address::BusName;
use twixt_bus::queue::{self, Consumer, ConsumerOptions, Producer};
use twixt_bus::{Capacity, Kind, Options, Place};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{Child, Peer, call, scratch};

fn name() -> BusName {
    BusName::new("jobs").unwrap()
}

fn options(directory: impl AsRef<Path>) -> Options {
    Options::new().place(Place::at(directory.as_ref()).unwrap()).create(true)
}

/// The sender of messages that end a consumer.
const END: u32 = 9999;

/// Long enough that it never passes.
fn late() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(20))
}

/// Message `number` of `sender`, with bytes that show whether it is torn.
fn message(sender: u32, number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(sender.to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.resize(8 + (number as usize * 13) % 200, (sender * 31 + number) as u8);
    bytes
}

fn read(bytes: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    let (sender, number) = (word(0), word(4));
    assert_eq!(bytes, message(sender, number), "torn");
    (sender, number)
}

/// The role of a producer: directory, number, how many messages, ring.
fn produce(peer: &Peer) {
    let options = options(peer.arg(0)).capacity(Capacity::Bounded(peer.arg(3).parse().unwrap()));
    let (sender, count) = (peer.arg(1).parse().unwrap(), peer.arg(2).parse().unwrap());
    let producer = Producer::open(&name(), &options).unwrap();
    for number in 0..count {
        producer.send_deadline(&message(sender, number), late()).unwrap();
    }
    peer.say("sent");
}

/// The role of a consumer: directory, prefetch, file for what it has acknowledged. It ends at a message of sender [`END`].
fn consume(peer: &Peer) {
    let how = ConsumerOptions::new().prefetch(peer.arg(1).parse().unwrap());
    let consumer = Consumer::open_with(&name(), &options(peer.arg(0)), how).unwrap();
    let mut log = String::new();
    peer.say("ready");
    loop {
        let job = consumer.receive_deadline(late()).unwrap();
        let (sender, number) = read(&job.to_vec().unwrap());
        let deliveries = job.deliveries();
        job.acknowledge().unwrap();
        if sender == END {
            break;
        }
        log += &format!("{sender} {number} {deliveries}\n");
    }
    fs::write(peer.arg(2), log).unwrap();
    peer.say("done");
}

/// Each message, and how often it was acknowledged.
fn logged(files: &[PathBuf]) -> BTreeMap<(u32, u32), u32> {
    let mut times = BTreeMap::new();
    for file in files {
        let mut last = BTreeMap::new();
        for line in fs::read_to_string(file).unwrap().lines() {
            let words: Vec<u32> = line.split(' ').map(|word| word.parse().unwrap()).collect();
            *times.entry((words[0], words[1])).or_insert(0) += 1;
            // A consumer sees what was handed out for the first time in its sender's order.
            if words[2] == 1 {
                let before = last.insert(words[0], words[1]);
                assert!(before.is_none_or(|before| before < words[1]), "{before:?} before {words:?}");
            }
        }
    }
    times
}

fn many_to_many(
    test: &twixt_testkit::Test,
    producers: u32,
    consumers: u32,
    count: u32,
    ring: u32,
    prefetch: u32,
) {
    let scratch = scratch();
    let directory = scratch.path().display();
    let options = options(scratch.path()).capacity(Capacity::Bounded(ring.into()));
    let end = Producer::open(&name(), &options).unwrap();
    let files: Vec<_> = (0..consumers).map(|index| scratch.path().join(format!("log{index}"))).collect();
    let mut workers: Vec<_> = files
        .iter()
        .map(|file| {
            test.child("consumer").arg(directory.to_string()).arg(prefetch).arg(file.display()).spawn()
        })
        .collect();
    let mut senders: Vec<_> = (0..producers)
        .map(|index| {
            test.child("producer").arg(directory.to_string()).arg(index).arg(count).arg(ring).spawn()
        })
        .collect();
    for sender in &mut senders {
        sender.expect("sent");
    }
    let watcher = Consumer::open(&name(), &options).unwrap();
    while !watcher.is_empty().unwrap() {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(watcher);
    for _ in 0..consumers {
        end.send(&message(END, 0)).unwrap();
    }
    for worker in &mut workers {
        worker.expect("ready");
        worker.expect("done");
    }
    let times = logged(&files);
    assert_eq!(times.len() as u32, producers * count);
    assert!(times.values().all(|&times| times == 1));
    let stat = queue::stat(&name(), &options).unwrap();
    assert_eq!(stat.sent, u64::from(producers * count + consumers));
    assert_eq!((stat.acknowledged, stat.redelivered), (stat.sent, 0));
    for child in workers.into_iter().chain(senders) {
        child.succeed();
    }
}

#[test]
fn each_message_of_many_processes_goes_to_one_of_many_once() {
    let test = twixt_testkit::test!();
    test.role("consumer", consume);
    test.role("producer", produce);
    many_to_many(&test, 1, 1, 20_000, 8192, 1);
    many_to_many(&test, 3, 4, 5_000, 8192, 1);
}

#[test]
fn the_same_with_many_at_a_time() {
    let test = twixt_testkit::test!();
    test.role("consumer", consume);
    test.role("producer", produce);
    // Whoever ends gives back what it took in advance: the messages that end the others.
    many_to_many(&test, 2, 1, 20_000, 1 << 16, 64);
    many_to_many(&test, 2, 3, 10_000, 8192, 16);
}

#[test]
fn what_a_killed_consumer_had_in_hand_is_handed_out_again() {
    let test = twixt_testkit::test!();
    test.role("holder", |peer| {
        let how = ConsumerOptions::new().prefetch(3);
        let consumer = Consumer::open_with(&name(), &options(peer.arg(0)), how).unwrap();
        let jobs: Vec<_> = (0..5).map(|_| consumer.receive().unwrap()).collect();
        peer.say("holds");
        peer.hear();
        drop(jobs);
    });
    let scratch = scratch();
    let options = options(scratch.path());
    let producer = Producer::open(&name(), &options).unwrap();
    for number in 0..10 {
        producer.send(&message(0, number)).unwrap();
    }
    let mut holder = test.child("holder").arg(scratch.path().display()).spawn();
    holder.expect("holds");
    let consumer = Consumer::open(&name(), &options).unwrap();
    let mut bytes = Vec::new();
    for number in 6..10 {
        assert_eq!(consumer.take(&mut bytes, Wait::until(late())).unwrap(), 1);
        assert_eq!(read(&bytes), (0, number));
    }
    assert_eq!(consumer.receive_deadline(soon()).unwrap_err().kind(), ErrorKind::TimedOut);
    holder.kill();
    for number in 0..6 {
        assert_eq!(consumer.take(&mut bytes, Wait::until(late())).unwrap(), 2);
        assert_eq!(read(&bytes), (0, number));
    }
    assert_eq!(queue::stat(&name(), &options).unwrap().redelivered, 6);
}

#[test]
fn whoever_takes_a_dead_consumers_place_gives_back_what_it_had() {
    let test = twixt_testkit::test!();
    test.role("holder", |peer| {
        let consumer = Consumer::open(&name(), &options(peer.arg(0))).unwrap();
        let _job = consumer.receive().unwrap();
        peer.say("holds");
        peer.hear();
    });
    let scratch = scratch();
    let options = options(scratch.path());
    let producer = Producer::open(&name(), &options).unwrap();
    producer.send(&message(0, 0)).unwrap();
    for deliveries in 2..5 {
        let mut holder = test.child("holder").arg(scratch.path().display()).spawn();
        holder.expect("holds");
        holder.kill();
        let consumer = Consumer::open(&name(), &options).unwrap();
        // At once: it need not wait until anybody looks.
        assert_eq!(consumer.try_receive().unwrap().deliveries(), deliveries * 2 - 2);
    }
    assert!(!Place::at(scratch.path()).unwrap().directory(Kind::Queue, &name()).join("c1").exists());
}

#[test]
fn busy_consumers_notice_the_dead_as_well() {
    let test = twixt_testkit::test!();
    test.role("holder", |peer| {
        let consumer = Consumer::open(&name(), &options(peer.arg(0))).unwrap();
        let _job = consumer.receive().unwrap();
        peer.say("holds");
        peer.hear();
    });
    let scratch = scratch();
    // Its room is not used again before it is acknowledged: there must be enough besides.
    let options = options(scratch.path()).capacity(Capacity::Bounded(16 << 20));
    let producer = Producer::open(&name(), &options).unwrap();
    producer.send(&message(7, 7)).unwrap();
    let mut holder = test.child("holder").arg(scratch.path().display()).spawn();
    holder.expect("holds");
    let consumer = Consumer::open(&name(), &options).unwrap();
    holder.kill();
    let mut number = 0;
    loop {
        number += u32::from(producer.try_send(&message(0, number)).is_ok());
        let Ok(job) = consumer.try_receive() else { continue };
        let is_his = read(&job.to_vec().unwrap()) == (7, 7);
        assert_eq!(job.deliveries(), if is_his { 2 } else { 1 });
        job.acknowledge().unwrap();
        if is_his {
            break;
        }
    }
}

/// Consumers that die all the time: nothing is lost, and only what somebody had in hand is handed out twice.
#[test]
fn nothing_is_lost_while_consumers_are_killed() {
    let test = twixt_testkit::test!();
    test.role("victim", |peer| {
        let how = ConsumerOptions::new().prefetch(peer.arg(1).parse().unwrap());
        let consumer = Consumer::open_with(&name(), &options(peer.arg(0)), how).unwrap();
        let log = fs::OpenOptions::new().append(true).open(peer.arg(2)).unwrap();
        peer.say("ready");
        loop {
            let job = consumer.receive().unwrap();
            let (sender, number) = read(&job.to_vec().unwrap());
            // Before it is acknowledged: what was acknowledged was logged.
            std::io::Write::write_all(&mut &log, format!("{sender} {number}\n").as_bytes()).unwrap();
            job.acknowledge().unwrap();
        }
    });
    test.role("producer", produce);
    let scratch = scratch();
    let options = options(scratch.path()).capacity(Capacity::Bounded(8192));
    let log = scratch.path().join("log");
    fs::write(&log, "").unwrap();
    let _queue = Consumer::open(&name(), &options).unwrap();
    let mut senders: Vec<_> = (0..2)
        .map(|index| {
            test.child("producer").arg(scratch.path().display()).arg(index).arg(6000).arg(8192).spawn()
        })
        .collect();
    let victim = |prefetch: u32| {
        let mut victim =
            test.child("victim").arg(scratch.path().display()).arg(prefetch).arg(log.display()).spawn();
        victim.expect("ready");
        victim
    };
    let mut victims: Vec<_> = (0..2).map(|_| victim(1)).collect();
    for round in 0..40 {
        std::thread::sleep(Duration::from_millis(round % 7));
        victims.remove(0).kill();
        victims.push(victim(1 + round as u32 % 5));
    }
    for sender in &mut senders {
        sender.expect("sent");
    }
    let stat = || queue::stat(&name(), &options).unwrap();
    while stat().waiting + stat().in_hand > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    for victim in victims {
        victim.kill();
    }
    let mut times = BTreeMap::new();
    for line in fs::read_to_string(&log).unwrap().lines() {
        *times.entry(line.to_owned()).or_insert(0_u32) += 1;
    }
    assert_eq!(times.len(), 12_000);
    let again: u32 = times.values().map(|times| times - 1).sum();
    assert!(again <= 42, "each of the dead had one in hand that it had logged: {again}");
}

#[test]
fn what_a_killed_producer_has_sent_is_received() {
    let test = twixt_testkit::test!();
    test.role("victim", |peer| {
        let options = options(peer.arg(0)).capacity(Capacity::Bounded(16 << 10));
        let producer = Producer::open(&name(), &options).unwrap();
        let accepted = fs::OpenOptions::new().write(true).open(peer.arg(2)).unwrap();
        let sender = peer.arg(1).parse().unwrap();
        for number in 0_u32.. {
            producer.send(&message(sender, number)).unwrap();
            accepted.write_all_at(&(number + 1).to_ne_bytes(), 0).unwrap();
        }
    });
    let scratch = scratch();
    let options = options(scratch.path()).capacity(Capacity::Bounded(16 << 10));
    let consumer = Consumer::open_with(&name(), &options, ConsumerOptions::new().prefetch(8)).unwrap();
    let mut bytes = Vec::new();
    for round in 0..30 {
        let file = scratch.path().join("accepted");
        fs::write(&file, [0; 4]).unwrap();
        let victim: Child =
            test.child("victim").arg(scratch.path().display()).arg(round).arg(file.display()).spawn();
        let mut next = 0;
        let mut receive = |wait: Wait| match consumer.take(&mut bytes, wait) {
            Ok(deliveries) => {
                assert_eq!((read(&bytes), deliveries), ((round, next), 1));
                next += 1;
                true
            }
            Err(_) => false,
        };
        for _ in 0..round * 50 + 1 {
            assert!(receive(Wait::until(late())));
        }
        victim.kill();
        while receive(Wait::never()) {}
        let accepted = u32::from_ne_bytes(fs::read(&file).unwrap().try_into().unwrap());
        // One may have been sent that it could not say.
        assert!(next == accepted || next == accepted + 1, "{next} of {accepted}");
    }
    assert!(!Place::at(scratch.path()).unwrap().directory(Kind::Queue, &name()).join("p1").exists());
}

#[test]
fn a_consumer_that_is_stopped_for_too_long_does_no_harm_when_it_goes_on() {
    let test = twixt_testkit::test!();
    test.role("sleeper", |peer| {
        let consumer = Consumer::open(&name(), &options(peer.arg(0))).unwrap();
        let job = consumer.receive().unwrap();
        peer.say("holds");
        peer.wait_for("acknowledge");
        peer.say(&format!("{:?}", job.acknowledge().unwrap_err().kind()));
        let job = consumer.receive_deadline(late()).unwrap();
        peer.say(&format!("{:?}", read(&job.to_vec().unwrap())));
        job.acknowledge().unwrap();
    });
    let scratch = scratch();
    let options = options(scratch.path()).visibility(Duration::from_millis(80));
    let producer = Producer::open(&name(), &options).unwrap();
    producer.send(&message(1, 1)).unwrap();
    let mut sleeper = test.child("sleeper").arg(scratch.path().display()).spawn();
    sleeper.expect("holds");
    sleeper.stop();
    let consumer = Consumer::open(&name(), &options).unwrap();
    let mut bytes = Vec::new();
    assert_eq!(consumer.take(&mut bytes, Wait::until(late())).unwrap(), 2);
    assert_eq!(read(&bytes), (1, 1));
    sleeper.signal(Signal::CONT);
    sleeper.tell("acknowledge");
    sleeper.expect("Overrun");
    producer.send(&message(2, 2)).unwrap();
    sleeper.expect("(2, 2)");
    sleeper.succeed();
}

#[test]
fn a_stopped_consumer_without_a_visibility_is_not_taken_for_dead() {
    let test = twixt_testkit::test!();
    test.role("sleeper", |peer| {
        let consumer = Consumer::open(&name(), &options(peer.arg(0))).unwrap();
        let job = consumer.receive().unwrap();
        peer.say("holds");
        peer.wait_for("acknowledge");
        job.acknowledge().unwrap();
        peer.say("acknowledged");
    });
    let scratch = scratch();
    let options = options(scratch.path());
    let producer = Producer::open(&name(), &options).unwrap();
    producer.send(&message(1, 1)).unwrap();
    let mut sleeper = test.child("sleeper").arg(scratch.path().display()).spawn();
    sleeper.expect("holds");
    sleeper.stop();
    let consumer = Consumer::open(&name(), &options).unwrap();
    let time = Deadline::after(Duration::from_millis(250));
    assert_eq!(consumer.receive_deadline(time).unwrap_err().kind(), ErrorKind::TimedOut);
    sleeper.signal(Signal::CONT);
    sleeper.tell("acknowledge");
    sleeper.expect("acknowledged");
    sleeper.succeed();
}

#[test]
fn a_sleeping_consumer_is_woken() {
    let test = twixt_testkit::test!();
    test.role("consumer", consume);
    let scratch = scratch();
    let producer = Producer::open(&name(), &options(scratch.path())).unwrap();
    let mut workers: Vec<_> = (0..3)
        .map(|index| {
            let log = scratch.path().join(format!("log{index}"));
            test.child("consumer").arg(scratch.path().display()).arg(1).arg(log.display()).spawn()
        })
        .collect();
    for worker in &mut workers {
        worker.expect("ready");
        worker.wait_until_blocked_in(&[call::FUTEX]);
    }
    for number in 0..3 {
        producer.send(&message(END, number)).unwrap();
    }
    for mut worker in workers {
        worker.expect("done");
        worker.succeed();
    }
}

/// Random words, over and over, in everything that all may write of a queue.
#[test]
fn a_hostile_participant_can_withhold_messages_and_nothing_else() {
    let test = twixt_testkit::test!();
    test.role("vandal", |peer| {
        let directory = Place::at(PathBuf::from(peer.arg(0))).unwrap().directory(Kind::Queue, &name());
        let open =
            |file: &str| fs::OpenOptions::new().read(true).write(true).open(directory.join(file)).unwrap();
        let files = [(open("l0"), 4096), (open("l1"), 4096), (open("site"), 4096)];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        peer.say("writes");
        for turn in 0_u64.. {
            let (file, begin) = &files[draw() as usize % files.len()];
            let words = (file.metadata().unwrap().len() - begin) / 8;
            let word = match draw() % 4 {
                // Likely ones: small laps, all states, owners that exist.
                0 => draw() & 3 | (draw() % 4) << 2 | (draw() % 64) << 32,
                1 => draw() % (1 << 12),
                2 => u64::MAX,
                _ => draw(),
            };
            let at = if draw() % 4 == 0 { draw() % 16 } else { draw() % words };
            file.write_all_at(&word.to_ne_bytes(), begin + 8 * at).unwrap();
            if turn % 4096 == 0 && fs::metadata(peer.arg(1)).is_ok() {
                break;
            }
        }
        peer.say("stops");
    });
    let scratch = scratch();
    let options = options(scratch.path())
        .capacity(Capacity::Bounded(4096))
        .visibility(Duration::from_millis(20))
        .retries(9);
    let producers: Vec<_> = (0..2).map(|_| Producer::open(&name(), &options).unwrap()).collect();
    let stop = scratch.path().join("stop");
    let mut vandal = test.child("vandal").arg(scratch.path().display()).arg(stop.display()).spawn();
    vandal.expect("writes");
    let end = std::time::Instant::now() + Duration::from_secs(3);
    let is_over = || std::time::Instant::now() > end;
    std::thread::scope(|scope| {
        for producer in producers {
            scope.spawn(move || {
                let mut number = 0;
                while !is_over() {
                    number += 1;
                    let _ = producer
                        .send_deadline(&message(1, number), Deadline::after(Duration::from_millis(5)));
                    let _ = producer.len();
                }
            });
        }
        for prefetch in [1, 16] {
            let options = &options;
            scope.spawn(move || {
                let how = ConsumerOptions::new().prefetch(prefetch);
                let consumer = Consumer::open_with(&name(), options, how).unwrap();
                while !is_over() {
                    match consumer.receive_deadline(Deadline::after(Duration::from_millis(5))) {
                        Ok(job) => {
                            // It may have been taken away and overwritten; but what is read is a message.
                            if let Ok(bytes) = job.to_vec() {
                                read(&bytes);
                            }
                            let _ = job.acknowledge();
                        }
                        Err(error) => assert!(
                            matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Malformed),
                            "{error}"
                        ),
                    }
                }
            });
        }
    });
    fs::write(&stop, "").unwrap();
    vandal.expect("stops");
    vandal.succeed();
    // Whoever takes part from now on gets through again.
    let producer = Producer::open(&name(), &options).unwrap();
    let consumer = Consumer::open(&name(), &options).unwrap();
    let mut bytes = Vec::new();
    while consumer.take(&mut bytes, Wait::until(Deadline::after(Duration::from_millis(200)))).is_ok() {}
    drop(producer);
}
