//! Queues within one process: what is promised of order, capacity, acknowledgement and names.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use twixt_address::BusName;
use twixt_bus::queue::{self, Consumer, ConsumerOptions, Producer};
use twixt_bus::{Capacity, Kind, Options, Place, Publisher, Waiting, remove};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{TempDir, scratch};

struct Bench {
    scratch: TempDir,
    name: BusName,
}

impl Bench {
    fn new() -> Self {
        Self { scratch: scratch(), name: BusName::new("jobs").unwrap() }
    }

    fn place(&self) -> Place {
        Place::at(self.scratch.path()).unwrap()
    }

    fn options(&self) -> Options {
        Options::new().place(self.place()).create(true)
    }

    fn producer(&self, options: &Options) -> Producer {
        Producer::open(&self.name, options).unwrap()
    }

    fn consumer(&self, options: &Options, prefetch: usize) -> Consumer {
        Consumer::open_with(&self.name, options, ConsumerOptions::new().prefetch(prefetch)).unwrap()
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(20))
}

/// Long enough that it never passes.
fn late() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn kind<T: core::fmt::Debug>(outcome: twixt_os::Result<T>) -> ErrorKind {
    outcome.unwrap_err().kind()
}

#[test]
fn what_is_sent_is_received_in_order_and_once() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    for prefetch in [1, 4, 1000] {
        let producer = bench.producer(&bench.options());
        let consumer = bench.consumer(&bench.options(), prefetch);
        let message = |number: u32| number.to_ne_bytes().repeat(1 + number as usize * 7);
        for round in 0..50_u32 {
            for number in 0..round {
                producer.send(&message(number)).unwrap();
            }
            assert_eq!(producer.len().unwrap(), u64::from(round));
            for number in 0..round {
                let job = consumer.receive_deadline(late()).unwrap();
                assert_eq!((job.to_vec().unwrap(), job.deliveries()), (message(number), 1));
                job.acknowledge().unwrap();
            }
            assert_eq!(kind(consumer.try_receive()), ErrorKind::WouldBlock);
            assert!(consumer.is_empty().unwrap());
        }
    }
    let stat = queue::stat(&bench.name, &bench.options()).unwrap();
    assert_eq!((stat.sent, stat.received, stat.acknowledged, stat.redelivered), (3675, 3675, 3675, 0));
    assert_eq!((stat.waiting, stat.in_hand, stat.producers, stat.consumers), (0, 0, 0, 0));
}

#[test]
fn many_laps_of_a_small_ring_with_messages_of_every_length() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let options = bench.options().capacity(Capacity::Bounded(4096));
    let producer = bench.producer(&options);
    let consumer = bench.consumer(&options, 3);
    assert_eq!(kind(producer.send(&vec![0; producer.longest() + 1])), ErrorKind::TooLong);
    let (mut sent, mut received) = (0_usize, 0_usize);
    let message = |number: usize| vec![number as u8; number * 37 % (producer.longest() + 1)];
    while received < 5000 {
        while producer.try_send(&message(sent)).is_ok() {
            sent += 1;
        }
        for _ in 0..=received % 5 {
            let Ok(job) = consumer.try_receive() else { break };
            assert_eq!(job.to_vec().unwrap(), message(received));
            job.acknowledge().unwrap();
            received += 1;
        }
    }
}

#[test]
fn large_messages_begin_at_a_line_of_their_own() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let producer = bench.producer(&bench.options());
    let consumer = bench.consumer(&bench.options(), 1);
    for len in [32 << 10, (32 << 10) + 1, 300_001, producer.longest()] {
        let message: Vec<u8> = (0..len).map(|at| (at * 7 + len) as u8).collect();
        producer.send(&message).unwrap();
        let mut bytes = vec![9; 3];
        assert_eq!(consumer.take(&mut bytes, Wait::forever()).unwrap(), 1);
        assert!(bytes == message);
    }
}

#[test]
fn each_message_goes_to_one_of_several_consumers() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let producers: Vec<_> = (0..3).map(|_| bench.producer(&bench.options())).collect();
    let consumers: Vec<_> = (0..4).map(|at| bench.consumer(&bench.options(), 1 + at * 3)).collect();
    for number in 0..1000_u32 {
        producers[number as usize % 3].send(&number.to_ne_bytes()).unwrap();
    }
    let mut seen = BTreeMap::new();
    let mut last = vec![BTreeMap::new(); 4];
    for turn in 0..1000 {
        // Another may have taken the rest in advance.
        let any =
            (0..4).map(|step| (turn + step) % 4).find_map(|at| Some((at, consumers[at].try_receive().ok()?)));
        let (at, job) = any.unwrap();
        let number = u32::from_ne_bytes(job.to_vec().unwrap().try_into().unwrap());
        *seen.entry(number).or_insert(0) += 1;
        let before = last[at].insert(job.producer(), number);
        assert!(before.is_none_or(|before| before < number));
        job.acknowledge().unwrap();
    }
    assert!(seen.len() == 1000 && seen.values().all(|&times| times == 1));
}

#[test]
fn a_job_that_is_dropped_or_rejected_comes_again_and_counts() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let producer = bench.producer(&bench.options());
    let (consumer, other) = (bench.consumer(&bench.options(), 1), bench.consumer(&bench.options(), 1));
    for message in [b"one", b"two"] {
        producer.send(message).unwrap();
    }
    drop(consumer.receive().unwrap());
    consumer.receive().unwrap().reject();
    let third = other.receive_deadline(late()).unwrap();
    assert_eq!((third.to_vec().unwrap(), third.deliveries()), (b"one".to_vec(), 3));
    // Several in hand, acknowledged in another order.
    let second = other.receive_deadline(late()).unwrap();
    assert_eq!((second.to_vec().unwrap(), second.deliveries()), (b"two".to_vec(), 1));
    assert_eq!(kind(consumer.try_receive()), ErrorKind::WouldBlock);
    let stat = queue::stat(&bench.name, &bench.options()).unwrap();
    assert_eq!((stat.waiting, stat.in_hand, stat.redelivered), (0, 2, 2));
    second.acknowledge().unwrap();
    third.acknowledge().unwrap();
    assert_eq!(kind(other.receive_deadline(soon())), ErrorKind::TimedOut);
}

#[test]
fn what_a_consumer_took_in_advance_is_given_back_uncounted() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let producer = bench.producer(&bench.options());
    let hoarder = bench.consumer(&bench.options(), 100);
    for number in 0..10_u8 {
        producer.send(&[number]).unwrap();
    }
    hoarder.receive().unwrap().acknowledge().unwrap();
    let consumer = bench.consumer(&bench.options(), 1);
    assert_eq!(kind(consumer.try_receive()), ErrorKind::WouldBlock);
    drop(hoarder);
    for number in 1..10 {
        let job = consumer.receive_deadline(late()).unwrap();
        assert_eq!((job.to_vec().unwrap(), job.deliveries()), (vec![number], 1));
        job.acknowledge().unwrap();
    }
}

#[test]
fn a_full_ring_has_its_sender_wait_until_there_is_room() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let options = bench.options().capacity(Capacity::Bounded(2048));
    let producer = bench.producer(&options);
    let mut sent = 0_u32;
    while producer.try_send(&sent.to_ne_bytes()).is_ok() {
        sent += 1;
    }
    assert!(sent >= 30, "{sent}");
    assert_eq!(kind(producer.send_deadline(b"late", soon())), ErrorKind::TimedOut);
    let total = sent + 3000;
    std::thread::scope(|scope| {
        let consumer = bench.consumer(&options, 1);
        scope.spawn(move || {
            for number in 0..total {
                let job = consumer.receive_deadline(late()).unwrap();
                assert_eq!(job.to_vec().unwrap(), number.to_ne_bytes());
                job.acknowledge().unwrap();
            }
        });
        for number in sent..total {
            producer.send_deadline(&number.to_ne_bytes(), late()).unwrap();
        }
    });
}

#[test]
fn over_the_budget_of_an_unbounded_queue_a_send_is_refused() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let options = bench.options().capacity(Capacity::Unbounded(4096));
    let producer = bench.producer(&options);
    let refused = (0..1000).find_map(|_| producer.send(b"more").err()).unwrap();
    assert_eq!(refused.kind(), ErrorKind::LimitReached);
    bench.consumer(&options, 1).receive().unwrap().acknowledge().unwrap();
    producer.send(b"more").unwrap();
}

#[test]
fn an_unbounded_queue_takes_memory_only_while_it_is_needed() {
    const BUDGET: u64 = 16 << 20;
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let options = bench.options().capacity(Capacity::Unbounded(BUDGET));
    let mut producer = bench.producer(&options);
    let (consumer, idler) = (bench.consumer(&options, 1), bench.consumer(&options, 1));
    let ring = bench.place().directory(Kind::Queue, &bench.name).join("p0");
    let used = || std::fs::metadata(&ring).unwrap().blocks() * 512;
    assert!(used() < 100 << 10, "{}", used());
    let message = |number: u64| number.to_ne_bytes().repeat(125);
    let receive = |from: &Consumer, number| {
        let job = from.receive_deadline(late()).unwrap();
        assert!(job.to_vec().unwrap() == message(number), "{number}");
        job.acknowledge().unwrap();
    };
    let mut sent = 0;
    for round in 0..3 {
        // Far more than a default ring has room for; and then, in the last round, as much as the budget allows.
        let most = if round < 2 { 5000 } else { u64::MAX };
        let begin = sent;
        while sent - begin < most {
            match producer.send(&message(sent)) {
                Ok(()) => sent += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::LimitReached, "{error}");
                    assert_eq!(error.limit().unwrap().current, Some(BUDGET));
                    break;
                }
            }
        }
        assert!(used() > 4 << 20, "{}", used());
        for number in begin..sent {
            receive(&consumer, number);
        }
        // What was acknowledged is given back when more is sent.
        for _ in 0..600 {
            producer.send(&message(sent)).unwrap();
            receive(&consumer, sent);
            sent += 1;
        }
        assert!(used() < 2 << 20, "{} after round {round}", used());
        // One that has not looked all the while finds what there is, and not the holes where it looked last.
        producer.send(&message(sent)).unwrap();
        receive(&idler, sent);
        sent += 1;
        // Another goes on in its place, with what waits.
        producer.send(&message(sent)).unwrap();
        drop(producer);
        producer = bench.producer(&options);
        producer.send(&message(sent + 1)).unwrap();
        receive(&consumer, sent);
        receive(&consumer, sent + 1);
        sent += 2;
    }
    assert!(sent > 20_000);
}

#[test]
fn what_another_was_given_is_overrun_once_its_memory_has_gone() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let options = bench.options().capacity(Capacity::Unbounded(4 << 20)).visibility(Duration::from_millis(1));
    let producer = bench.producer(&options);
    let (slow, other) = (bench.consumer(&options, 1), bench.consumer(&options, 1));
    producer.send(&[7; 1000]).unwrap();
    let job = slow.receive_deadline(late()).unwrap();
    other.receive_deadline(late()).unwrap().acknowledge().unwrap();
    for _ in 0..1500 {
        producer.send(&[8; 1000]).unwrap();
        other.receive_deadline(late()).unwrap().acknowledge().unwrap();
    }
    assert_eq!(kind(job.to_vec()), ErrorKind::Overrun);
}

#[test]
fn with_no_capacity_a_send_is_over_when_a_consumer_has_acknowledged() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let options = bench.options().capacity(Capacity::Zero);
    let producer = bench.producer(&options);
    assert_eq!(kind(producer.try_send(b"nobody")), ErrorKind::WouldBlock);
    assert_eq!(kind(producer.send_deadline(b"nobody", soon())), ErrorKind::TimedOut);
    // What failed was not sent.
    let consumer = bench.consumer(&options, 1);
    assert_eq!(kind(consumer.try_receive()), ErrorKind::WouldBlock);
    let (tell, told) = std::sync::mpsc::channel();
    let sender = std::thread::spawn(move || {
        for number in 0..300_u32 {
            producer.send_deadline(&number.to_ne_bytes(), late()).unwrap();
            tell.send(number).unwrap();
        }
        producer
    });
    for number in 0..300_u32 {
        let job = consumer.receive_deadline(late()).unwrap();
        assert_eq!(job.to_vec().unwrap(), number.to_ne_bytes());
        assert!(told.try_recv().is_err());
        job.acknowledge().unwrap();
        assert_eq!(told.recv().unwrap(), number);
    }
    let producer = sender.join().unwrap();
    // One that is in hand when the time is up counts as sent, and stays in the queue.
    std::thread::scope(|scope| {
        let time = Duration::from_millis(300);
        let sender = scope.spawn(move || producer.send_deadline(b"slowly", Deadline::after(time)));
        let job = consumer.receive_deadline(late()).unwrap();
        sender.join().unwrap().unwrap();
        drop(job);
    });
    assert_eq!(consumer.receive_deadline(late()).unwrap().deliveries(), 2);
}

#[test]
fn messages_outlive_their_producer_and_the_next_one_in_its_place_goes_on() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    for number in 0..5_u8 {
        bench.producer(&bench.options()).send(&[number]).unwrap();
    }
    let consumer = bench.consumer(&bench.options(), 1);
    for number in 0..5_u8 {
        let job = consumer.receive().unwrap();
        assert_eq!((job.to_vec().unwrap(), job.producer(), job.sequence()), (vec![number], 0, number.into()));
        job.acknowledge().unwrap();
    }
    assert!(!bench.place().directory(Kind::Queue, &bench.name).join("p1").exists());
}

#[test]
fn what_was_handed_out_too_often_is_put_aside() {
    let _test = twixt_testkit::test!();
    for capacity in [Capacity::Bounded(8192), Capacity::Zero] {
        let bench = Bench::new();
        let options = bench.options().retries(3).capacity(capacity);
        let consumer = bench.consumer(&options, 1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let producer = bench.producer(&options);
                producer.send_deadline(b"poison", late()).unwrap();
                producer.send_deadline(b"good", late()).unwrap();
            });
            for deliveries in 1..=3 {
                let job = consumer.receive_deadline(late()).unwrap();
                assert_eq!((job.to_vec().unwrap(), job.deliveries()), (b"poison".to_vec(), deliveries));
            }
            let job = consumer.receive_deadline(late()).unwrap();
            assert_eq!((job.to_vec().unwrap(), job.deliveries()), (b"good".to_vec(), 1));
            job.acknowledge().unwrap();
        });
        let dead = BusName::new("jobs.dead").unwrap();
        let reader = Consumer::open(&dead, &Options::new().place(bench.place())).unwrap();
        assert_eq!(reader.try_receive().unwrap().to_vec().unwrap(), b"poison");
        let stat = queue::stat(&bench.name, &options).unwrap();
        assert_eq!((stat.dead, stat.acknowledged, stat.waiting, stat.in_hand), (1, 1, 0, 0));
    }
}

#[test]
fn what_cannot_be_put_aside_is_kept_and_does_not_stand_in_the_way() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let options = bench.options().retries(1).capacity(Capacity::Bounded(1024));
    let (producer, consumer) = (bench.producer(&options), bench.consumer(&options, 1));
    // A queue of the dead that is full.
    let dead = BusName::new("jobs.dead").unwrap();
    let filler = Producer::open(&dead, &bench.options().capacity(Capacity::Bounded(1024))).unwrap();
    while filler.try_send(b"full").is_ok() {}
    drop(filler);
    producer.send(b"poison").unwrap();
    drop(consumer.receive().unwrap());
    producer.send(b"good").unwrap();
    consumer.receive_deadline(late()).unwrap().acknowledge().unwrap();
    assert_eq!(queue::stat(&bench.name, &options).unwrap().in_hand, 1);
    let reader = Consumer::open(&dead, &bench.options()).unwrap();
    let mut bytes = Vec::new();
    while reader.take(&mut bytes, Wait::never()).is_ok() {}
    // It tries again when it has nothing to do.
    while reader.take(&mut bytes, Wait::never()).is_err() {
        assert_eq!(kind(consumer.receive_deadline(soon())), ErrorKind::TimedOut);
    }
    assert_eq!(bytes, b"poison");
}

#[test]
fn a_message_that_is_worked_on_for_too_long_is_given_to_another() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let options = bench.options().visibility(Duration::from_millis(60));
    let producer = bench.producer(&options);
    let (slow, other) = (bench.consumer(&options, 1), bench.consumer(&options, 1));
    producer.send(b"work").unwrap();
    let job = slow.receive().unwrap();
    let again = other.receive_deadline(late()).unwrap();
    assert_eq!((again.to_vec().unwrap(), again.deliveries()), (b"work".to_vec(), 2));
    // The late acknowledgement does nothing.
    assert_eq!(kind(job.acknowledge()), ErrorKind::Overrun);
    again.acknowledge().unwrap();
    assert_eq!(kind(slow.receive_deadline(soon())), ErrorKind::TimedOut);
}

#[test]
fn who_renews_a_message_keeps_it() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let options = bench.options().visibility(Duration::from_millis(1500));
    let producer = bench.producer(&options);
    let (slow, other) = (bench.consumer(&options, 1), bench.consumer(&options, 1));
    producer.send(b"long").unwrap();
    let mut job = slow.receive().unwrap();
    for _ in 0..20 {
        let time = Deadline::after(Duration::from_millis(100));
        assert_eq!(kind(other.receive_deadline(time)), ErrorKind::TimedOut);
        job.renew().unwrap();
    }
    job.acknowledge().unwrap();
}

#[test]
fn what_was_taken_in_advance_for_too_long_is_given_to_another_too() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let options = bench.options().visibility(Duration::from_millis(60));
    let producer = bench.producer(&options);
    let (hoarder, other) = (bench.consumer(&options, 10), bench.consumer(&options, 1));
    for number in 0..3_u8 {
        producer.send(&[number]).unwrap();
    }
    drop(hoarder.receive().unwrap());
    let mut seen = Vec::new();
    for _ in 0..3 {
        let job = other.receive_deadline(late()).unwrap();
        assert_eq!(job.deliveries(), 2);
        seen.extend(job.to_vec().unwrap());
        job.acknowledge().unwrap();
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2]);
    // What it believes to have it has not any more.
    assert_eq!(kind(hoarder.receive_deadline(soon())), ErrorKind::TimedOut);
}

#[test]
fn what_a_slow_consumer_reads_of_a_message_that_was_overwritten_is_refused() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let options = bench.options().visibility(Duration::from_millis(30)).capacity(Capacity::Bounded(1024));
    let producer = bench.producer(&options);
    let (slow, other) = (bench.consumer(&options, 1), bench.consumer(&options, 1));
    producer.send(b"first").unwrap();
    let job = slow.receive().unwrap();
    let mut bytes = Vec::new();
    other.take(&mut bytes, Wait::until(late())).unwrap();
    assert_eq!(job.to_vec().unwrap(), b"first");
    for _ in 0..100 {
        producer.send(b"later").unwrap();
        other.take(&mut bytes, Wait::until(late())).unwrap();
    }
    assert_eq!(kind(job.to_vec()), ErrorKind::Overrun);
    assert_eq!(kind(job.acknowledge()), ErrorKind::Overrun);
}

#[test]
fn removal_ends_all_that_wait() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let options = bench.options().capacity(Capacity::Bounded(1024));
    let (producer, consumer) = (bench.producer(&options), bench.consumer(&options, 1));
    let waiter = std::thread::spawn(move || kind(consumer.receive_deadline(late())));
    std::thread::sleep(Duration::from_millis(30));
    remove(Kind::Queue, &bench.name, Some(&bench.place())).unwrap();
    assert_eq!(waiter.join().unwrap(), ErrorKind::Removed);
    assert_eq!(kind(producer.send(b"gone")), ErrorKind::Removed);

    let producer = bench.producer(&options);
    let fill = move || (0..1000).find_map(|_| producer.send_deadline(b"full", late()).err());
    let sender = std::thread::spawn(fill);
    std::thread::sleep(Duration::from_millis(30));
    remove(Kind::Queue, &bench.name, Some(&bench.place())).unwrap();
    assert_eq!(sender.join().unwrap().unwrap().kind(), ErrorKind::Removed);
    assert_eq!(kind(Consumer::open(&bench.name, &Options::new().place(bench.place()))), ErrorKind::NotFound);
}

#[test]
fn a_file_that_is_cut_short_is_an_error() {
    let _test = twixt_testkit::test!();
    for file in ["p0", "l0"] {
        let bench = Bench::new();
        let options = bench.options().capacity(Capacity::Bounded(8192));
        let (producer, consumer) = (bench.producer(&options), bench.consumer(&options, 1));
        producer.send(b"one").unwrap();
        let path = bench.place().directory(Kind::Queue, &bench.name).join(file);
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(4096).unwrap();
        let error = loop {
            match consumer.receive_deadline(late()) {
                Ok(_) => {}
                Err(error) => break error.kind(),
            }
        };
        assert_eq!(error, ErrorKind::Truncated);
        let error = loop {
            match producer.send_deadline(b"more", late()) {
                Ok(()) => {}
                Err(error) => break error.kind(),
            }
        };
        assert_eq!(error, ErrorKind::Truncated);
    }
}

/// Counts are handed on with a place: they may be anything.
#[test]
fn a_count_that_nobody_has_reached_is_gone_on_with() {
    use std::os::unix::fs::FileExt;
    let bench = Bench::new();
    let options = bench.options().capacity(Capacity::Bounded(8192));
    drop(bench.consumer(&options, 1));
    let path = bench.place().directory(Kind::Queue, &bench.name).join("c0");
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    for word in 512..517 {
        file.write_all_at(&u64::MAX.to_le_bytes(), 8 * word).unwrap();
    }
    let (producer, consumer) = (bench.producer(&options), bench.consumer(&options, 1));
    producer.send(b"one").unwrap();
    drop(consumer.receive().unwrap());
    consumer.receive().unwrap().acknowledge().unwrap();
    assert_eq!(consumer.received(), (1, 0));
}

/// Places of producers that wrote nonsense, or over their own header: the next one begins anew, and nobody who still has the old
/// ring takes its messages for those of the new one.
#[test]
fn a_place_that_makes_no_sense_is_made_anew() {
    use std::os::unix::fs::FileExt;
    // The magic number of the header; where the ring is written; and up to where it was reclaimed.
    for word in [0, 512 + 8, 640] {
        let bench = Bench::new();
        let options = bench.options().capacity(Capacity::Bounded(8192));
        let first = bench.producer(&options);
        let consumer = bench.consumer(&options, 1);
        first.send(b"of the first").unwrap();
        drop(first);
        let path = bench.place().directory(Kind::Queue, &bench.name).join("p0");
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&0x1234_5678_9abc_u64.to_le_bytes(), 8 * word).unwrap();
        let second = bench.producer(&options);
        for number in 0..3_u32 {
            second.send(&number.to_ne_bytes()).unwrap();
        }
        let mut found = Vec::new();
        while let Ok(job) = consumer.receive_deadline(soon()) {
            found.push(job.to_vec().unwrap());
            job.acknowledge().unwrap();
        }
        found.retain(|message| message != b"of the first");
        assert_eq!(found, [0, 1, 2].map(|number: u32| number.to_ne_bytes()), "word {word}");
    }
}

#[test]
fn a_topic_is_no_queue_and_a_queue_has_one_capacity() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let _topic = Publisher::open(&bench.name, &bench.options()).unwrap();
    let _queue = bench.producer(&bench.options());
    let other = bench.options().capacity(Capacity::Zero);
    assert_eq!(kind(Consumer::open(&bench.name, &other)), ErrorKind::InvalidInput);
}

#[test]
fn a_panic_while_a_message_is_written_is_no_message() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let (producer, consumer) = (bench.producer(&bench.options()), bench.consumer(&bench.options(), 1));
    let write = || producer.send_with(100, Wait::forever(), |_| panic!("on purpose"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)).is_err());
    producer.send(b"next").unwrap();
    assert_eq!(consumer.receive_deadline(late()).unwrap().to_vec().unwrap(), b"next");
}

#[test]
fn nothing_else_is_sent_while_a_message_is_written() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let (producer, consumer) = (bench.producer(&bench.options()), bench.consumer(&bench.options(), 1));
    let sent = producer.send_with(8, Wait::forever(), |room| {
        assert_eq!(kind(producer.send(b"another")), ErrorKind::Busy);
        assert_eq!(kind(producer.batch().send(b"another", Wait::forever())), ErrorKind::Busy);
        room[0].store(u64::from_ne_bytes(*b"this one"), std::sync::atomic::Ordering::Relaxed);
    });
    sent.unwrap();
    producer.send(b"next").unwrap();
    for expected in [&b"this one"[..], b"next"] {
        let mut bytes = Vec::new();
        consumer.take(&mut bytes, Wait::until(late())).unwrap();
        assert_eq!(bytes, expected);
    }
    assert_eq!(queue::stat(&bench.name, &bench.options()).unwrap().sent, 2);
}

#[test]
fn a_doorbell_rings_when_there_is_work() {
    let _test = twixt_testkit::test!();
    let bench = Bench::new();
    let producer = bench.producer(&bench.options());
    for waiting in [Waiting::Adaptive, Waiting::Block] {
        let how = ConsumerOptions::new().waiting(waiting);
        let consumer = Consumer::open_with(&bench.name, &bench.options(), how).unwrap();
        let readable = |deadline| Wait::until(deadline).until_readable(consumer.doorbell().unwrap());
        assert!(readable(soon()).is_err());
        producer.send(b"ding").unwrap();
        readable(late()).unwrap();
        consumer.try_receive().unwrap().acknowledge().unwrap();
        assert!(!consumer.arm().unwrap());
        producer.send(b"dong").unwrap();
        assert!(consumer.arm().unwrap());
        consumer.try_receive().unwrap().acknowledge().unwrap();
    }
}

#[test]
fn both_sides_can_be_moved_to_another_thread() {
    fn can_be_sent<T: Send>() {}
    can_be_sent::<Producer>();
    can_be_sent::<Consumer>();
}
