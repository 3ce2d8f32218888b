//! Producers and consumers of a queue that are killed at any instruction, and at any time.
//!
//! ```sh
//! cargo test -p twixt-bus --test queue_killed                            # some instructions of each section: seconds
//! cargo test --release -p twixt-bus --test queue_killed -- --ignored     # every one, where there are not too many: minutes
//! TWIXT_TEST_POINTS=500 cargo test -p twixt-bus --test queue_killed      # so many of each section
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use twixt_address::BusName;
use twixt_bus::queue::{self, Consumer, ConsumerOptions, Producer};
use twixt_bus::{Capacity, Kind, Options, Place};
use twixt_os::{ErrorKind, Wait};
use twixt_sys::{Access, Mapping};
use twixt_testkit::{Child, Peer, TempDir, Test, bus, test};

#[path = "support/kills.rs"]
#[macro_use]
mod kills;
#[path = "support/messages.rs"]
mod messages;

use kills::{Told, alone, sweep};
use messages::{Dice, in_ms, kind, message, names, read};

/// Small, so that positions soon come again.
const RING: u64 = 1 << 13;
const ZERO: &str = "zero";
const VISIBLE: &str = "visible";
const RETRIED: &str = "retried";
const UNBOUNDED: &str = "unbounded";
/// What an unbounded one may hold, and what it reserves at a time.
const BUDGET: u64 = 4 << 20;
const CHUNK: u64 = 256 << 10;
/// For how long a message may be worked on, where it may not be for as long as one likes.
const VISIBILITY: Duration = Duration::from_millis(20);
/// A little longer than nobody looks who has died, after somebody has.
const UNSEEN: Duration = Duration::from_millis(60);

fn name() -> BusName {
    BusName::new("jobs").unwrap()
}

fn dead() -> BusName {
    BusName::new("jobs.dead").unwrap()
}

/// A queue of a kind: as messages are made for it, all that have the same place and kind have the same.
fn options(directory: &Path, how: &str) -> Options {
    let options = Options::new().place(Place::at(directory).unwrap()).create(true);
    match how {
        ZERO => options.capacity(Capacity::Zero),
        VISIBLE => options.capacity(Capacity::Bounded(RING)).visibility(VISIBILITY),
        RETRIED => options.capacity(Capacity::Bounded(RING)).retries(1),
        UNBOUNDED => options.capacity(Capacity::Unbounded(BUDGET)),
        _ => options.capacity(Capacity::Bounded(RING)),
    }
}

/// A victim: its arguments are the directory, how the queue is, and the number of its first message.
struct Victim<'p> {
    peer: &'p Peer,
    options: Options,
    base: u64,
}

impl<'p> Victim<'p> {
    fn of(peer: &'p Peer) -> Self {
        let options = options(Path::new(&peer.arg(0)), &peer.arg(1));
        Self { peer, options, base: peer.arg(2).parse().unwrap() }
    }

    fn producer(&self) -> Producer {
        Producer::open(&name(), &self.options).unwrap()
    }

    fn consumer(&self, prefetch: usize) -> Consumer {
        let how = ConsumerOptions::new().prefetch(prefetch);
        Consumer::open_with(&name(), &self.options, how).unwrap()
    }

    fn send(&self, producer: &Producer, at: u64, len: usize) {
        producer.send(&message(0, self.base + at, len)).unwrap();
    }

    /// Is killed in here, or behind it.
    fn section<T>(&self, section: impl FnOnce() -> T) {
        self.peer.mark();
        let made = section();
        self.peer.mark();
        std::thread::sleep(Duration::from_secs(60));
        drop(made);
    }
}

/// How often a victim's messages may be handed out by survivors, from the first on: if it was killed in its section, if it was
/// killed behind it, and as how many deliveries they count.
struct Expected {
    inside: RangeInclusive<u32>,
    behind: RangeInclusive<u32>,
    deliveries: RangeInclusive<u32>,
}

/// What the survivors see.
struct Observer {
    scratch: TempDir,
    how: &'static str,
    producer: Producer,
    consumer: Consumer,
    base: u64,
    round: u64,
    handed_out: u64,
    again: u64,
    told: Told,
}

/// So many numbers are a victim's own.
const EACH: u64 = 100;
/// The number of a successor's message.
const NEXT: u64 = 90;

impl Observer {
    fn new(how: &'static str) -> Self {
        let scratch = bus();
        let options = options(scratch.path(), how);
        let producer = Producer::open(&name(), &options).unwrap();
        let consumer = Consumer::open(&name(), &options).unwrap();
        let told = Told::default();
        Self { scratch, how, producer, consumer, base: 0, round: 0, handed_out: 0, again: 0, told }
    }

    fn options(&self) -> Options {
        options(self.scratch.path(), self.how)
    }

    /// Sends what a victim is to receive.
    fn prepare(&self, messages: u64) {
        for at in 0..messages {
            self.producer.send(&message(0, self.base + at, 40)).unwrap();
        }
    }

    /// A victim was killed; its messages, by what is expected of each.
    fn look(&mut self, expected: &[Expected], is_over: bool) {
        let death = Instant::now();
        self.round += 1;
        // Who comes next takes the places of the dead, whatever they have left there.
        let newcomer =
            self.round.is_multiple_of(4).then(|| Consumer::open(&name(), &self.options()).unwrap());
        let mut found = self.drain(newcomer.as_ref().unwrap_or(&self.consumer), death);
        drop(newcomer);
        if self.how != ZERO {
            let next = Producer::open(&name(), &self.options()).unwrap();
            next.send(&message(0, self.base + NEXT, 60)).unwrap();
            drop(next);
            let after = self.drain(&self.consumer, Instant::now());
            assert_eq!(
                after,
                BTreeMap::from([(self.base + NEXT, vec![1])]),
                "once, and nothing else any more"
            );
        }
        for (at, expected) in expected.iter().enumerate() {
            let number = self.base + at as u64;
            let deliveries = found.remove(&number).unwrap_or_default();
            let times = if is_over { &expected.behind } else { &expected.inside };
            assert!(
                times.contains(&(deliveries.len() as u32)),
                "message {at} was handed out {} times, not {times:?}; over: {is_over}",
                deliveries.len()
            );
            for &count in &deliveries {
                assert!(expected.deliveries.contains(&count), "message {at}: delivery {count}");
                self.handed_out += 1;
                self.again += u64::from(count > 1);
            }
            if deliveries.iter().any(|&count| count > 1) && !self.round.is_multiple_of(4) {
                self.told.of(death);
            }
        }
        assert!(found.is_empty(), "nobody has sent {found:?}");
        let may_be = ["c0", "c1", "c1.bell", "c2", "l0", "l1", "p0", "p1", "site"];
        let files = names(&self.scratch.path().join("queue.jobs"));
        assert!(files.iter().all(|file| may_be.contains(&file.as_str())), "{files:?}");
        self.base += EACH;
    }

    /// Receives all that there is, until nobody has any in hand. The deliveries of each.
    fn drain(&self, consumer: &Consumer, since: Instant) -> BTreeMap<u64, Vec<u32>> {
        let mut found = BTreeMap::<_, Vec<_>>::new();
        loop {
            match consumer.receive_wait(in_ms(1)) {
                Ok(job) => {
                    let (number, deliveries) = (job.to_vec().map(|bytes| read(&bytes).1), job.deliveries());
                    // Where this took too long, it comes again.
                    if job.acknowledge().is_ok() {
                        found.entry(number.unwrap()).or_default().push(deliveries);
                    } else {
                        assert_eq!(self.how, VISIBLE);
                    }
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                    let stat = queue::stat(&name(), &self.options()).unwrap();
                    if stat.waiting + stat.in_hand == 0 {
                        return found;
                    }
                    assert!(since.elapsed() < Duration::from_secs(60), "the dead keep something: {stat:?}");
                }
            }
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.round > 0 {
            let Self { handed_out, again, told, .. } = self;
            println!("    {handed_out} handed out, {again} of them again; {told}");
        }
    }
}

fn kill_with(
    test: &Test,
    points: u64,
    how: &'static str,
    role: &str,
    prepared: u64,
    mut after: impl FnMut(&mut Observer, bool),
) {
    let observer = RefCell::new(Observer::new(how));
    let child = || {
        let observer = observer.borrow();
        observer.prepare(prepared);
        test.child(role).arg(observer.scratch.path().display()).arg(how).arg(observer.base)
    };
    sweep(test, role, points, child, |is_over| after(&mut observer.borrow_mut(), is_over));
}

fn kill(test: &Test, points: u64, how: &'static str, role: &str, prepared: u64, expected: &[Expected]) {
    kill_with(test, points, how, role, prepared, |observer, is_over| observer.look(expected, is_over));
}

fn expect(
    inside: RangeInclusive<u32>,
    behind: RangeInclusive<u32>,
    deliveries: RangeInclusive<u32>,
) -> Expected {
    Expected { inside, behind, deliveries }
}

/// It was there before the section, and nobody has touched it.
fn whole() -> Expected {
    expect(1..=1, 1..=1, 1..=1)
}

/// It is sent in the section.
fn sent() -> Expected {
    expect(0..=1, 1..=1, 1..=1)
}

/// It is acknowledged in the section, where it may have been handed out so often before.
fn done(before: u32) -> Expected {
    expect(0..=1, 0..=0, 1..=before + 1)
}

fn sending(test: &Test, points: u64) {
    fn send(peer: &Peer, len: usize) {
        let victim = Victim::of(peer);
        let producer = victim.producer();
        victim.send(&producer, 0, 16);
        victim.section(|| victim.send(&producer, 1, len));
    }
    test.role("small", |peer| send(peer, 40));
    test.role("medium", |peer| send(peer, 700));
    test.role("batch", |peer| {
        let victim = Victim::of(peer);
        let producer = victim.producer();
        victim.section(|| {
            let mut batch = producer.batch();
            for at in 0..3 {
                batch.send(&message(0, victim.base + at, 40), Wait::never()).unwrap();
            }
        });
    });
    kill(test, points, "", "small", 0, &[whole(), sent()]);
    kill(test, points, "", "medium", 0, &[whole(), sent()]);
    kill(test, points, "", "batch", 0, &[sent(), sent(), sent()]);
}

/// Sending where room has to be taken back first; and where the message is withdrawn, since nobody takes it at once.
fn making_room(test: &Test, points: u64) {
    test.role("room", |peer| {
        let victim = Victim::of(peer);
        let (producer, consumer) = (victim.producer(), victim.consumer(1));
        // All of it is acknowledged: it never comes again.
        let mut bytes = Vec::new();
        while producer.try_send(&message(7, 7, 300)).is_ok() {}
        while consumer.take(&mut bytes, Wait::never()).is_ok() {}
        victim.section(|| {
            victim.send(&producer, 0, 300);
            victim.send(&producer, 1, 300);
        });
    });
    test.role("withdrawn", |peer| {
        let victim = Victim::of(peer);
        let producer = victim.producer();
        victim.section(|| {
            assert_eq!(kind(producer.try_send(&message(0, victim.base, 40))), ErrorKind::WouldBlock);
        });
    });
    kill(test, points, "", "room", 0, &[sent(), sent()]);
    kill(test, points, ZERO, "withdrawn", 0, &[expect(0..=1, 0..=0, 1..=1)]);
}

/// Sending where memory is given back, and reserved, for each message.
fn making_memory(test: &Test, points: u64) {
    const MESSAGES: u64 = 4;
    test.role("memory", |peer| {
        let victim = Victim::of(peer);
        let (producer, consumer) = (victim.producer(), victim.consumer(1));
        let mut bytes = Vec::new();
        for _ in 0..3 {
            producer.send(&message(7, 7, CHUNK as usize)).unwrap();
            consumer.take(&mut bytes, Wait::never()).unwrap();
        }
        let messages: Vec<_> =
            (0..MESSAGES).map(|at| message(0, victim.base + at, CHUNK as usize + 9)).collect();
        victim.section(|| messages.iter().for_each(|message| producer.send(message).unwrap()));
    });
    kill_with(test, points, UNBOUNDED, "memory", 0, |observer, is_over| {
        observer.look(&[sent(), sent(), sent(), sent()], is_over);
        // The next one has given back what the dead had reserved, but for what it is in.
        let ring = observer.scratch.path().join("queue.jobs/p1");
        let used = std::fs::metadata(ring).unwrap().blocks() * 512;
        assert!(used <= 2 * CHUNK + (64 << 10), "{used} bytes");
    });
}

fn claiming(test: &Test, points: u64) {
    test.role("claim", |peer| {
        let victim = Victim::of(peer);
        let consumer = victim.consumer(1);
        victim.section(|| std::mem::forget(consumer.try_receive().unwrap()));
    });
    test.role("several", |peer| {
        let victim = Victim::of(peer);
        let consumer = victim.consumer(3);
        // One is acknowledged, one in hand, one taken in advance; and the last two are given back.
        victim.section(|| {
            consumer.try_receive().unwrap().acknowledge().unwrap();
            drop(consumer.try_receive().unwrap());
            drop(consumer);
        });
    });
    kill(test, points, "", "claim", 3, &[expect(1..=1, 1..=1, 1..=2), whole(), whole()]);
    let back = || expect(1..=1, 1..=1, 1..=2);
    kill(test, points, "", "several", 4, &[done(1), back(), back(), whole()]);
}

fn acknowledging(test: &Test, points: u64) {
    test.role("acknowledge", |peer| {
        let victim = Victim::of(peer);
        let consumer = victim.consumer(1);
        let job = consumer.try_receive().unwrap();
        victim.section(|| job.acknowledge().unwrap());
    });
    test.role("reject", |peer| {
        let victim = Victim::of(peer);
        let consumer = victim.consumer(1);
        let job = consumer.try_receive().unwrap();
        victim.section(|| job.reject());
    });
    test.role("take", |peer| {
        let victim = Victim::of(peer);
        let (consumer, mut bytes) = (victim.consumer(1), Vec::new());
        victim.section(|| consumer.take(&mut bytes, Wait::never()).unwrap());
    });
    kill(test, points, "", "acknowledge", 2, &[expect(0..=1, 0..=0, 2..=2), whole()]);
    kill(test, points, "", "reject", 2, &[expect(1..=1, 1..=1, 2..=2), whole()]);
    kill(test, points, "", "take", 2, &[done(1), whole()]);
}

/// Handing out again what the dead had in hand, and what the slow had for too long.
fn taking_over(test: &Test, points: u64) {
    fn take_over(peer: &Peer, dies: bool) {
        let victim = Victim::of(peer);
        let (first, second) = (victim.consumer(1), victim.consumer(1));
        let job = first.try_receive().unwrap();
        if dies {
            std::mem::forget(job);
            drop(first);
            std::thread::sleep(UNSEEN);
            victim.section(|| while second.try_receive().is_ok_and(|job| job.acknowledge().is_ok()) {});
        } else {
            std::thread::sleep(UNSEEN);
            victim.section(|| {
                while second.try_receive().is_ok_and(|job| job.acknowledge().is_ok()) {}
                // What was taken for slow wakes up.
                assert_eq!(kind(job.acknowledge()), ErrorKind::Overrun);
            });
        }
    }
    test.role("of the dead", |peer| take_over(peer, true));
    test.role("of the slow", |peer| take_over(peer, false));
    kill(test, points, "", "of the dead", 2, &[expect(0..=1, 0..=0, 2..=3), done(1)]);
    kill(test, points, VISIBLE, "of the slow", 2, &[expect(0..=1, 0..=0, 2..=4), done(2)]);
}

/// Putting aside what was handed out too often: at least once, and twice only by one that dies in between.
fn putting_aside(test: &Test, points: u64) {
    test.role("aside", |peer| {
        let victim = Victim::of(peer);
        let consumer = victim.consumer(1);
        consumer.try_receive().unwrap().reject();
        victim.section(|| consumer.try_receive().unwrap().acknowledge().unwrap());
    });
    let mut aside = None;
    let (mut once, mut twice) = (0, 0);
    kill_with(test, points, RETRIED, "aside", 2, |observer, is_over| {
        let base = observer.base;
        // Never by the queue itself.
        observer.look(&[expect(0..=0, 0..=0, 0..=0), done(1)], is_over);
        let aside = aside
            .get_or_insert_with(|| Consumer::open(&dead(), &options(observer.scratch.path(), "")).unwrap());
        let (mut times, mut bytes) = (0, Vec::new());
        while aside.take(&mut bytes, Wait::never()).is_ok() {
            assert_eq!(read(&bytes), (0, base));
            times += 1;
        }
        assert!(
            (1..=if is_over { 1 } else { 2 }).contains(&times),
            "put aside {times} times; over: {is_over}"
        );
        once += u64::from(times == 1);
        twice += u64::from(times == 2);
    });
    println!("    {once} put aside once, {twice} twice");
}

fn coming_and_going(test: &Test, points: u64) {
    test.role("producer comes", |peer| {
        let victim = Victim::of(peer);
        victim.section(|| {
            let producer = victim.producer();
            victim.send(&producer, 0, 40);
            producer
        });
    });
    test.role("producer goes", |peer| {
        let victim = Victim::of(peer);
        let producer = victim.producer();
        victim.send(&producer, 0, 40);
        victim.section(|| drop(producer));
    });
    test.role("consumer comes", |peer| {
        let victim = Victim::of(peer);
        victim.section(|| victim.consumer(1));
    });
    test.role("consumer arms", |peer| {
        let victim = Victim::of(peer);
        let consumer = victim.consumer(1);
        victim.section(|| consumer.doorbell().map(drop));
    });
    kill(test, points, "", "producer comes", 0, &[sent()]);
    kill(test, points, "", "producer goes", 0, &[whole()]);
    kill(test, points, "", "consumer comes", 2, &[whole(), whole()]);
    kill(test, points, "", "consumer arms", 2, &[expect(1..=1, 1..=1, 1..=2), whole()]);
}

/// The first one makes the queue.
fn making(test: &Test, points: u64) {
    test.role("producer makes", |peer| {
        let victim = Victim::of(peer);
        victim.section(|| victim.producer());
    });
    test.role("consumer makes", |peer| {
        let victim = Victim::of(peer);
        victim.section(|| victim.consumer(1));
    });
    test.role("removes", |peer| {
        let victim = Victim::of(peer);
        drop((victim.producer(), victim.consumer(1)));
        let place = Place::at(peer.arg(0)).unwrap();
        victim.section(|| twixt_bus::remove(Kind::Queue, &name(), Some(&place)).unwrap());
    });
    for role in ["producer makes", "consumer makes", "removes"] {
        let scratch = bus();
        let (options, place) = (options(scratch.path(), ""), Place::at(scratch.path()).unwrap());
        let child = || test.child(role).arg(scratch.path().display()).arg("").arg(0);
        sweep(test, role, points, child, |_| {
            let _ = twixt_bus::remove(Kind::Queue, &name(), Some(&place));
            let producer = Producer::open(&name(), &options).unwrap();
            let consumer = Consumer::open(&name(), &options).unwrap();
            producer.send(b"after it").unwrap();
            let mut bytes = Vec::new();
            assert_eq!(consumer.take(&mut bytes, in_ms(60_000)).unwrap(), 1);
            assert_eq!(bytes, b"after it");
            assert_eq!(names(&scratch.path().join("queue.jobs")), ["c0", "l0", "p0", "site"]);
            twixt_bus::remove(Kind::Queue, &name(), Some(&place)).unwrap();
            assert_eq!(names(scratch.path()), Vec::<String>::new());
        });
    }
}

sweeps! {
    killed_while_sending, killed_while_sending_anywhere: sending, 6;
    killed_while_making_room, killed_while_making_room_anywhere: making_room, 6;
    killed_while_making_memory, killed_while_making_memory_anywhere: making_memory, 40;
    killed_while_claiming, killed_while_claiming_anywhere: claiming, 6;
    killed_while_acknowledging, killed_while_acknowledging_anywhere: acknowledging, 6;
    killed_while_taking_over, killed_while_taking_over_anywhere: taking_over, 6;
    killed_while_putting_aside, killed_while_putting_aside_anywhere: putting_aside, 6;
    killed_while_coming_or_going, killed_while_coming_or_going_anywhere: coming_and_going, 6;
    killed_while_making_the_queue, killed_while_making_the_queue_anywhere: making, 6;
}

/// Words that victims share with the test: what each has done, as they go on.
struct Board(Mapping);

impl Board {
    fn make(path: &Path, words: usize) -> Self {
        let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
        file.set_len(8 * words as u64).unwrap();
        Self::open(path)
    }

    fn open(path: &Path) -> Self {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let len = file.metadata().unwrap().len() as usize;
        Self(Mapping::shared(file.as_fd(), 0, len, Access::ReadWrite).unwrap())
    }

    fn at(&self, index: usize) -> &std::sync::atomic::AtomicU64 {
        self.0.atomic_u64(8 * index).unwrap()
    }

    fn get(&self, index: usize) -> u64 {
        self.at(index).load(Ordering::SeqCst)
    }

    fn set(&self, index: usize, word: u64) {
        self.at(index).store(word, Ordering::SeqCst);
    }
}

/// Producers and consumers at a time, all of which are killed again and again.
const PRODUCERS: usize = 2;
const CONSUMERS: usize = 3;
/// The most messages of a run, of all its producers: each has a word that says how often it was acknowledged.
const NUMBERS: u64 = 1 << 22;
/// Where the words are: what each producer has sent, what each consumer is about to acknowledge, and what was acknowledged.
const CLAIMED: usize = PRODUCERS;
const ACKNOWLEDGED: usize = CLAIMED + CONSUMERS;

/// The word of a message.
fn seat(who: usize, number: u64) -> usize {
    ACKNOWLEDGED + number as usize * PRODUCERS + who
}

/// Kills producers and consumers at random while they do as much as they can.
///
/// Each says before and after what it does. So of a message that was said to be sent it is known that it must be acknowledged
/// exactly once, but for those that one of the dead was just sending, or acknowledging: one of each at the most.
fn at_random(test: &Test, kills: u64) {
    test.role("producer", |peer| {
        let victim = Victim::of(peer);
        let (board, which) = (Board::open(Path::new(&peer.arg(3))), peer.arg(4).parse::<usize>().unwrap());
        let (producer, mut dice) = (victim.producer(), Dice(victim.base | 1));
        let mut number = board.get(which) / 2;
        // However slow the machine is to kill it.
        while number < NUMBERS / PRODUCERS as u64 {
            let len = if dice.below(64) == 0 { 2000 } else { dice.below(200) as usize };
            board.set(which, 2 * number + 1);
            producer.send(&message(which as u32, number, len)).unwrap();
            number += 1;
            board.set(which, 2 * number);
        }
        std::thread::sleep(Duration::MAX);
    });
    test.role("consumer", |peer| {
        let victim = Victim::of(peer);
        let (board, which) = (Board::open(Path::new(&peer.arg(3))), peer.arg(4).parse::<usize>().unwrap());
        let mut dice = Dice(victim.base | 1);
        let consumer = victim.consumer(1 + dice.below(6) as usize);
        loop {
            let job = consumer.receive().unwrap();
            let (who, number) = read(&job.to_vec().unwrap());
            if dice.below(16) == 0 {
                job.reject();
                continue;
            }
            let seat = seat(who as usize, number);
            board.set(CLAIMED + which, seat as u64);
            job.acknowledge().unwrap();
            board.at(seat).fetch_add(1, Ordering::SeqCst);
            board.set(CLAIMED + which, 0);
        }
    });
    let scratch = bus();
    let path = scratch.path().join("board");
    let board = Board::make(&path, ACKNOWLEDGED + NUMBERS as usize);
    let queue = options(scratch.path(), "");
    let watch = Consumer::open(&name(), &queue).unwrap();
    let mut dice = Dice(u64::from(std::process::id()) + 99);
    let mut spawn = |which: usize| {
        let (role, which) =
            if which < PRODUCERS { ("producer", which) } else { ("consumer", which - CLAIMED) };
        let child = test.child(role).arg(scratch.path().display()).arg("").arg(dice.roll() >> 1);
        child.arg(path.display()).arg(which).spawn()
    };
    let mut tally = Tally::default();
    let mut dice = Dice(u64::from(std::process::id()) + 9);
    while tally.kills < kills {
        (0..ACKNOWLEDGED).for_each(|at| board.set(at, 0));
        let mut all: Vec<_> = (0..ACKNOWLEDGED).map(|which| Some(spawn(which))).collect();
        // Which messages the dead were just sending, and acknowledging.
        let (mut unsent, mut undone) = (Vec::new(), Vec::new());
        let mut kill = |which: usize, victim: &mut Option<Child>| {
            victim.take().unwrap().kill();
            let word = board.get(which);
            if which >= CLAIMED {
                undone.extend((word > 0).then_some(word as usize));
                board.set(which, 0);
            } else if word % 2 == 1 {
                unsent.push(seat(which, word / 2));
                board.set(which, word + 1);
            }
        };
        for _ in 0..(kills - tally.kills).min(50) {
            std::thread::sleep(Duration::from_micros(dice.below(3000)));
            let which = dice.below(ACKNOWLEDGED as u64) as usize;
            kill(which, &mut all[which]);
            all[which] = Some(spawn(which));
            tally.kills += 1;
            tally.consumers += u64::from(which >= CLAIMED);
        }
        (0..PRODUCERS).for_each(|which| kill(which, &mut all[which]));
        let stat = || queue::stat(&name(), &queue).unwrap();
        let begun = Instant::now();
        while stat().waiting + stat().in_hand > 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", stat());
            std::thread::sleep(Duration::from_millis(1));
        }
        (CLAIMED..ACKNOWLEDGED).for_each(|which| kill(which, &mut all[which]));
        for (who, number) in (0..PRODUCERS).flat_map(|who| (0..board.get(who) / 2).map(move |it| (who, it))) {
            let seat = seat(who, number);
            let times = board.at(seat).swap(0, Ordering::SeqCst);
            let (is_unsent, is_undone) = (unsent.contains(&seat), undone.contains(&seat));
            assert!(times <= 1, "message {number} of {who} was acknowledged {times} times");
            assert!(times == 1 || is_unsent || is_undone, "message {number} of {who} was lost");
            tally.sent += u64::from(times == 1 || !is_unsent);
            tally.maybe_sent += u64::from(times == 0 && is_unsent);
            tally.maybe_done += u64::from(times == 0 && is_undone);
        }
    }
    println!("{tally:?}: none lost, none twice, none torn");
    assert_eq!(kind(watch.try_receive()), ErrorKind::WouldBlock);
    let stat = queue::stat(&name(), &queue).unwrap();
    assert_eq!((stat.producers, stat.consumers, stat.waiting, stat.in_hand), (0, 1, 0, 0));
    assert!((tally.sent..=tally.sent + tally.maybe_sent).contains(&stat.sent), "{stat:?}");
}

#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    /// So many of the dead were consumers.
    consumers: u64,
    sent: u64,
    /// Its producer died while it sent it, and nobody has received it.
    maybe_sent: u64,
    /// Its consumer died while it acknowledged it.
    maybe_done: u64,
}

kills_at_random!(at_random);

/// Sleepers anywhere in what they do: their places are theirs, what they have in hand is, and what they send comes when they wake.
#[test]
fn sleepers_are_not_taken_for_dead() {
    let _alone = alone();
    let test = test!();
    test.role("producer", |peer| {
        let victim = Victim::of(peer);
        let producer = victim.producer();
        for number in 0.. {
            producer.send(&message(1, number, 40)).unwrap();
            if number == 0 {
                peer.say("there");
            }
        }
    });
    test.role("consumer", |peer| {
        let victim = Victim::of(peer);
        let consumer = victim.consumer(8);
        let (mut last, mut bytes) = (None, Vec::new());
        peer.say("there");
        loop {
            // As often as it was stopped, nobody else was given what it has.
            let job = consumer.receive().unwrap();
            assert_eq!(job.deliveries(), 1);
            job.read_into(&mut bytes).unwrap();
            job.acknowledge().unwrap();
            let (who, number) = read(&bytes);
            if who == 9 {
                return peer.say("done");
            }
            if who == 1 {
                assert!(last < Some(number), "{last:?}, then {number}");
                last = Some(number);
            }
        }
    });
    let scratch = bus();
    let queue = options(scratch.path(), "");
    let consumer = Consumer::open(&name(), &queue).unwrap();
    let spawn = |role: &str| {
        let mut child = test.child(role).arg(scratch.path().display()).arg("").arg(0).spawn();
        child.expect("there");
        child
    };
    let producer = spawn("producer");
    let mut sleeper = spawn("consumer");
    let (mut last, mut bytes) = (None, Vec::new());
    for round in 0..10_u64 {
        std::thread::sleep(Duration::from_micros(round * 137 % 900));
        let child = if round % 2 == 0 { &producer } else { &sleeper };
        child.stop();
        // Longer than anybody sleeps without looking who has died.
        let end = Instant::now() + Duration::from_millis(150);
        let (mut other, mut count) = (None, 0);
        while Instant::now() < end {
            if let Ok(deliveries) = consumer.take(&mut bytes, in_ms(5)) {
                assert_eq!(deliveries, 1);
                let (who, number) = read(&bytes);
                if who == 1 {
                    assert!(last < Some(number), "{last:?}, then {number}");
                    last = Some(number);
                }
            }
            // Who comes meanwhile has another place, and gets through.
            let newcomer = other.get_or_insert_with(|| Producer::open(&name(), &queue).unwrap());
            if count < 3 && newcomer.try_send(&message(2, round * 10 + count, 40)).is_ok() {
                count += 1;
            }
        }
        child.signal(rustix::process::Signal::CONT);
    }
    let stat = queue::stat(&name(), &queue).unwrap();
    assert_eq!((stat.consumers, stat.redelivered), (2, 0));
    producer.kill();
    Producer::open(&name(), &queue).unwrap().send(&message(9, 0, 40)).unwrap();
    sleeper.expect("done");
    sleeper.succeed();
}
