//! Participants that write whatever they like into everything that they may write.
//!
//! `TWIXT_TEST_SECONDS=600` has each go on for so long.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use twixt_bus::{Capacity, Event, Message, Options, Publisher, Slow, Subscriber, SubscriberOptions};
use twixt_os::{ErrorKind, Mode, Wait};
use twixt_testkit::{root, test};

#[path = "support/scribble.rs"]
mod scribble;
#[path = "support/topics.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod topics;

use scribble::{Target, as_long, going_on, map, scribble, tolerate};
use topics::{Dice, Topic, in_ms, kind, message, read, receive};

/// The ring of all topics here.
const RING: u64 = 1 << 13;

/// The segments of a hostile participant that stays one of them: index 0 of both kinds.
const HOSTS: [&str; 3] = ["hints", "publisher", "subscriber"];

#[test]
fn nonsense_in_all_that_one_may_write_hurts_nobody() {
    let test = going_on(test!());
    test.role("scribbler", |peer| {
        let topic = Topic::of(peer);
        let publisher = topic.publisher();
        // Not one that is waited for: that would be all that it does to the others.
        let subscriber = topic.subscriber_with(SubscriberOptions::new().slow(Slow::DropOldest));
        assert_eq!(topic.files(), ["p0", "s0", "site"]);
        peer.say("there");
        let directory = topic.directory();
        match peer.arg(1).as_str() {
            "hints" => scribble(&[Target::new(&directory.join("site"), 512..1024)], 64),
            // The control block and the ring, densely.
            "publisher" => scribble(&[Target::behind(&directory.join("p0"), 512)], 4096),
            _ => scribble(&[Target::new(&directory.join("s0"), 9..1024 + 64)], 64),
        }
        drop((publisher, subscriber));
    });
    for what in HOSTS {
        let topic = Topic::new();
        let _site = Subscriber::open(&Topic::name(), &topic.sized(RING)).unwrap();
        drop(_site);
        let mut scribbler = test.child("scribbler").arg(topic.arg()).arg(what).spawn();
        scribbler.expect("there");
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (topic, over) = (&topic, &over);
            let publishing = scope.spawn(move || {
                let publisher = topic.publisher();
                let mut number = 0;
                while !over.load(Ordering::Relaxed) {
                    let bytes = message(7, number, (number % 700) as usize);
                    number += u64::from(tolerate(publisher.publish_wait(&bytes, in_ms(2))).is_some());
                }
                number
            });
            let policies = [Slow::Block, Slow::DropOldest, Slow::DropNewest, Slow::Disconnect];
            let receiving = policies.map(|slow| {
                scope.spawn(move || {
                    let how = SubscriberOptions::new().slow(slow).history(5);
                    let mut subscriber = topic.subscriber_with(how);
                    let (mut heard, mut longest, mut last) = (0_u64, 0, None);
                    let mut hear = |who: usize, bytes: Option<Vec<u8>>| {
                        let Some(bytes) = bytes else { return };
                        longest = longest.max(bytes.len());
                        // The other publisher's are as they were sent, whatever this one writes.
                        if who == 1 {
                            let (_, number) = read(&bytes);
                            if slow == Slow::Block && what == "publisher" {
                                assert!(
                                    last.is_none_or(|last| number == last + 1),
                                    "{last:?}, then {number}"
                                );
                            }
                            last = Some(number);
                        }
                    };
                    while !over.load(Ordering::Relaxed) {
                        let wait = if heard % 2 == 0 { in_ms(2) } else { Wait::never() };
                        heard += 1;
                        if heard % 3 == 0 {
                            let each = |message: &mut Message<'_>| {
                                hear(message.publisher(), tolerate(message.to_vec()));
                            };
                            tolerate(subscriber.receive_batch(8, wait, each));
                            continue;
                        }
                        let event = tolerate(subscriber.next(wait));
                        let Some(Event::Message(sample)) = event else {
                            drop(event);
                            if slow == Slow::Disconnect
                                && kind_of(&mut subscriber) == Some(ErrorKind::Overrun)
                            {
                                subscriber = topic.subscriber_with(how);
                            }
                            continue;
                        };
                        hear(sample.publisher(), tolerate(sample.to_vec()));
                    }
                    assert!(longest <= RING as usize);
                    (heard, last)
                })
            });
            let joining = scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let mut subscriber = topic.subscriber();
                    for _ in 0..3 {
                        tolerate(subscriber.receive_wait(in_ms(1)));
                        tolerate(subscriber.arm());
                    }
                    drop(subscriber);
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
            std::thread::sleep(as_long());
            over.store(true, Ordering::Relaxed);
            let sent = publishing.join().unwrap();
            joining.join().unwrap();
            let heard = receiving.map(|it| it.join().unwrap());
            println!("{what}: {sent} sent, {heard:?}");
        });
        scribbler.kill();
        // Afterwards there is nothing left of it for those who come.
        if what != "hints" {
            let (mut subscriber, publisher) = (topic.subscriber(), topic.publisher());
            for number in 0..500 {
                publisher.publish(&message(1, number, 40)).unwrap();
                assert_eq!(read(&receive(&mut subscriber)).1, number);
            }
        }
    }
}

fn kind_of(subscriber: &mut Subscriber) -> Option<ErrorKind> {
    subscriber.try_receive().err().map(|error| error.kind())
}

#[test]
fn a_publisher_whose_segment_is_random_bytes_is_passed_over() {
    let test = test!();
    test.role("liar", |peer| {
        let topic = Topic::of(peer);
        let publisher = topic.publisher();
        let mapping = map(&topic.directory().join("p0"));
        let mut dice = Dice(peer.arg(1).parse::<u64>().unwrap() + 1);
        for index in 512..mapping.len() / 8 {
            let word = if dice.below(3) == 0 { dice.below(1 << 12) } else { dice.roll() };
            mapping.atomic_u64(8 * index).unwrap().store(word, Ordering::Relaxed);
        }
        peer.say("lied");
        peer.wait_for("end");
        std::mem::forget(publisher);
    });
    for seed in 0..12 {
        let topic = Topic::new();
        let how = SubscriberOptions::new().slow([Slow::Block, Slow::DropOldest][seed % 2]);
        let mut before = Subscriber::open_with(&Topic::name(), &topic.sized(RING), how).unwrap();
        let mut liar = test.child("liar").arg(topic.arg()).arg(seed).spawn();
        liar.expect("lied");
        let honest = topic.publisher();
        let mut after = topic.subscriber_with(SubscriberOptions::new().history(u64::MAX));
        for number in 0..200 {
            honest.publish(&message(1, number, 60)).unwrap();
            for subscriber in [&mut before, &mut after] {
                loop {
                    let Some(mut sample) = tolerate(subscriber.receive_wait(in_ms(60_000))) else { continue };
                    let mut bytes = Vec::new();
                    if tolerate(sample.read_into(&mut bytes)).is_some() && sample.publisher() == 1 {
                        break assert_eq!(read(&bytes).1, number);
                    }
                }
            }
        }
        liar.kill();
        let successor = topic.publisher();
        successor.publish(b"in its place").unwrap();
        drop((honest, before, after, successor));
        assert!(topic.files().iter().all(|file| ["p0", "p1", "p2", "site"].contains(&file.as_str())));
    }
}

/// However many a publisher says that one has missed: counting them ends nobody.
#[test]
fn more_messages_are_missed_than_can_be_counted() {
    let topic = Topic::new();
    let how = SubscriberOptions::new().slow(Slow::DropOldest);
    let mut subscriber = Subscriber::open_with(&Topic::name(), &topic.sized(RING), how).unwrap();
    let publisher = topic.publisher();
    let segment = map(&topic.directory().join("p0"));
    let mut most = 0;
    for round in 0..8_u64 {
        // More than the ring has lines.
        for number in 0..200 {
            publisher.publish(&message(0, number, 16)).unwrap();
        }
        // The numbers that its place gave them, in frames of one line: see the format.
        for line in 0..RING as usize / 64 {
            segment.atomic_u64(8 * (1024 + 8 * line + 2)).unwrap().store(round << 62, Ordering::Relaxed);
        }
        while let Some(event) = tolerate(subscriber.next(Wait::never())) {
            if let Event::Missed { messages, .. } = event {
                most = most.max(messages);
            }
        }
    }
    assert!(most > 1 << 61, "{most}");
}

#[test]
fn what_stands_in_the_place_of_a_file_holds_up_nobody() {
    let topic = Topic::new();
    let mut subscriber = Subscriber::open(&Topic::name(), &topic.sized(RING)).unwrap();
    let directory = topic.directory();
    let elsewhere = topic.place().path().join("elsewhere");
    std::fs::write(&elsewhere, "precious").unwrap();
    let fifo = |name: &str| {
        let path = directory.join(name);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
    };
    for prefix in ["p", "s"] {
        let first = usize::from(prefix == "s");
        let name = |index: usize| format!("{prefix}{}", first + index);
        fifo(&name(0));
        std::fs::create_dir(directory.join(name(1))).unwrap();
        std::os::unix::fs::symlink(&elsewhere, directory.join(name(2))).unwrap();
        std::os::unix::fs::symlink("nowhere", directory.join(name(3))).unwrap();
        std::fs::write(directory.join(name(4)), "").unwrap();
        std::fs::write(directory.join(name(5)), vec![0xa5; 1 << 14]).unwrap();
        let huge = std::fs::File::create(directory.join(name(6))).unwrap();
        huge.set_len(1 << 40).unwrap();
        std::fs::write(directory.join(name(7)), std::fs::read(directory.join("site")).unwrap()).unwrap();
    }
    std::fs::write(directory.join("p999999999999999999999"), "").unwrap();
    std::fs::write(directory.join("s-1"), "").unwrap();
    let publisher = topic.publisher();
    let mut other = topic.subscriber();
    for number in 0..300 {
        publisher.publish(&message(0, number, 60)).unwrap();
        for subscriber in [&mut subscriber, &mut other] {
            loop {
                match subscriber.receive_wait(in_ms(60_000)) {
                    Ok(sample) => break assert_eq!(read(&sample.to_vec().unwrap()).1, number),
                    // Told, once for each.
                    Err(error) => assert!(number == 0 && error.kind() != ErrorKind::TimedOut, "{error}"),
                }
            }
        }
    }
    assert_eq!(std::fs::read(&elsewhere).unwrap(), b"precious");
}

#[test]
fn a_file_that_is_cut_off_is_an_error() {
    let test = test!();
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        peer.say("there");
        let error = loop {
            if let Err(error) = publisher.publish_wait(&[1; 40], in_ms(1000)) {
                break error;
            }
        };
        peer.say(&format!("{:?}", error.kind()));
    });
    test.role("subscriber", |peer| {
        let mut subscriber = Topic::of(peer).subscriber_with(SubscriberOptions::new().slow(Slow::DropOldest));
        peer.say("there");
        let error = loop {
            match subscriber.next(in_ms(5000)) {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        peer.say(&format!("{:?}", error.kind()));
    });
    for (file, len) in [("p0", 0), ("p0", 4096), ("p0", 8192), ("site", 0), ("site", 4096), ("s0", 0)] {
        let topic = Topic::new();
        drop(Subscriber::open(&Topic::name(), &topic.sized(RING)).unwrap());
        let mut subscriber = test.child("subscriber").arg(topic.arg()).spawn();
        subscriber.expect("there");
        let mut publisher = test.child("publisher").arg(topic.arg()).spawn();
        publisher.expect("there");
        std::fs::OpenOptions::new()
            .write(true)
            .open(topic.directory().join(file))
            .unwrap()
            .set_len(len)
            .unwrap();
        if file != "s0" {
            let kind = publisher.hear();
            assert_eq!(kind, "Truncated", "{file} {len}");
        }
        if file != "site" || len == 0 {
            let kind = subscriber.hear();
            // It may have caught up just then, and wait in a page that is still there for what will not come any more.
            let waits = file == "p0" && len > 0 && kind == "TimedOut";
            assert!(waits || ["Truncated", "Malformed"].contains(&kind.as_str()), "{file} {len}: {kind}");
        }
    }
}

#[test]
fn another_user_reads_what_is_shared_and_writes_nothing_of_it() {
    let test = test!();
    test.role("nobody", |peer| {
        let topic = Topic::of(peer);
        let mut subscriber = topic.subscriber();
        let publisher = topic.publisher();
        peer.say("there");
        assert_eq!(receive(&mut subscriber), b"from root");
        publisher.publish(b"from nobody").unwrap();
        for file in ["p0", "s0"] {
            let path = topic.directory().join(file);
            assert!(std::fs::File::open(&path).is_ok(), "{file}");
            let opened = std::fs::OpenOptions::new().write(true).open(&path);
            assert_eq!(opened.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied, "{file}");
        }
        // By poll, and woken by root.
        let mut subscriber = subscriber;
        while subscriber.try_receive().is_ok() {}
        subscriber.arm().unwrap();
        peer.say("armed");
        let bell = subscriber.doorbell().unwrap();
        rustix::event::poll(&mut [rustix::event::PollFd::new(&bell, rustix::event::PollFlags::IN)], None)
            .unwrap();
        peer.wait_for("end");
    });
    test.role("stranger", |peer| {
        let topic = Topic::of(peer);
        assert_eq!(kind(Subscriber::open(&Topic::name(), &topic.options())), ErrorKind::PermissionDenied);
        assert_eq!(kind(Publisher::open(&Topic::name(), &topic.options())), ErrorKind::PermissionDenied);
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let topic = Topic::new();
    let place = topic.place().path().to_owned();
    // A directory that a group shares: its group is handed down.
    std::os::unix::fs::chown(&place, None, Some(65534)).unwrap();
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o2770)).unwrap();
    let options = topic.sized(RING).mode(Mode::new(0o660).unwrap());
    let mut subscriber = Subscriber::open(&Topic::name(), &options).unwrap();
    let publisher = Publisher::open(&Topic::name(), &options).unwrap();
    let mode = |file: &str| std::fs::metadata(topic.directory().join(file)).unwrap().mode() & 0o7777;
    assert_eq!([mode("site"), mode("p0"), mode("s0"), mode(".")], [0o660, 0o640, 0o640, 0o2770]);
    let mut nobody = test.child("nobody").arg(topic.arg()).as_nobody().spawn();
    nobody.expect("there");
    publisher.publish(b"from root").unwrap();
    let mut both = [receive(&mut subscriber), receive(&mut subscriber)];
    both.sort_unstable();
    assert_eq!(both, [b"from nobody".as_slice(), b"from root"]);
    nobody.expect("armed");
    publisher.publish(b"wake up").unwrap();
    nobody.tell("end");
    nobody.succeed();
    let private = Topic::new();
    std::fs::set_permissions(private.place().path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    drop(private.publisher());
    test.child("stranger").arg(private.arg()).as_nobody().spawn().succeed();
}

#[test]
fn bells_that_ring_for_nothing_keep_nobody_from_their_deadline() {
    let topic = Topic::new();
    let mut subscriber = Subscriber::open(&Topic::name(), &topic.sized(RING)).unwrap();
    let publisher = topic.publisher();
    let site = map(&topic.directory().join("site"));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // Both bells, and the roster.
                for offset in [4096, 4096 + 128, 4096 + 4] {
                    site.atomic_u32(offset).unwrap().fetch_add(4, Ordering::Relaxed);
                }
            }
        });
        let begun = Instant::now();
        assert_eq!(kind(subscriber.receive_wait(in_ms(100))), ErrorKind::TimedOut);
        while publisher.try_publish(&[0; 40]).is_ok() {}
        assert_eq!(kind(publisher.publish_wait(&[0; 40], in_ms(100))), ErrorKind::TimedOut);
        assert!(begun.elapsed() >= Duration::from_millis(200));
        over.store(true, Ordering::Relaxed);
    });
}

/// Words of files: see the format.
const ROSTER: usize = 4096 / 8;
const MET: usize = 568;
const RING_AT: usize = 1024;
const INVITATION: usize = 1025;

fn meeting(topic: &Topic) -> Options {
    topic.options().capacity(Capacity::Zero)
}

/// What one publisher has published is what those have received who are there all the time, whatever another participant writes.
#[test]
fn nonsense_where_there_is_no_capacity_hurts_no_meeting() {
    let test = going_on(test!());
    test.role("scribbler", |peer| {
        let topic = Topic::of(peer);
        let (publisher, subscriber) = (topic.publisher(), topic.subscriber());
        assert_eq!(topic.files(), ["p0", "s0", "site"]);
        let directory = topic.directory();
        let target = match peer.arg(1).as_str() {
            "hints" => Target::new(&directory.join("site"), 512..1024),
            "publisher" => Target::behind(&directory.join("p0"), 512),
            _ => Target::new(&directory.join("s0"), 9..1024 + 64),
        };
        // One that waits for nothing is all that it needs to hold up the others.
        let subscriber = (peer.arg(1) == "subscriber").then_some(subscriber);
        peer.say("there");
        scribble(&[target], 64);
        drop((publisher, subscriber));
    });
    for what in HOSTS {
        let topic = Topic::new();
        drop(Subscriber::open(&Topic::name(), &meeting(&topic)).unwrap());
        let mut scribbler = test.child("scribbler").arg(topic.arg()).arg(what).spawn();
        scribbler.expect("there");
        let (over, settled) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let _end = twixt_testkit::defer(|| {
                over.store(true, Ordering::Relaxed);
                settled.store(true, Ordering::Relaxed);
            });
            let (topic, over, settled) = (&topic, &over, &settled);
            let subscribers = [topic.subscriber(), topic.subscriber()];
            let publisher = topic.publisher();
            let receiving = subscribers.map(|mut subscriber| {
                scope.spawn(move || {
                    let mut received = Vec::new();
                    let mut is_last = false;
                    while !is_last {
                        is_last = settled.load(Ordering::Relaxed);
                        let Some(mut sample) = tolerate(subscriber.receive_wait(in_ms(2))) else { continue };
                        let (who, mut bytes) = (sample.publisher(), Vec::new());
                        if tolerate(sample.read_into(&mut bytes)).is_some() && who == 1 {
                            received.push(read(&bytes).1);
                        }
                        is_last = false;
                    }
                    received
                })
            });
            let publishing = scope.spawn(move || {
                let mut published = Vec::new();
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let len = if number % 8 == 0 { 40_000 } else { number % 700 };
                    let wait = if number % 3 == 0 { Wait::never() } else { in_ms(2) };
                    let outcome = publisher.publish_wait(&message(7, number, len as usize), wait);
                    published.extend(tolerate(outcome).map(|()| number));
                }
                (published, publisher)
            });
            std::thread::sleep(as_long());
            over.store(true, Ordering::Relaxed);
            let (published, _publisher) = publishing.join().unwrap();
            settled.store(true, Ordering::Relaxed);
            println!("{what}: {} went", published.len());
            assert!(!published.is_empty());
            for received in receiving.map(|it| it.join().unwrap()) {
                assert!(received == published, "{} were received", received.len());
            }
        });
        scribbler.kill();
    }
}

/// The roster changes all the time, and somebody waits for each message as soon as one could know of it.
#[test]
fn without_capacity_nobody_who_does_not_wait_is_led_on() {
    const MOST: u64 = 300;
    let topic = Topic::new();
    let options = meeting(&topic);
    let _subscriber = Subscriber::open(&Topic::name(), &options).unwrap();
    let publisher = Publisher::open(&Topic::name(), &options).unwrap();
    let directory = topic.directory();
    let [site, ring, page] = ["site", "p0", "s0"].map(|name| map(&directory.join(name)));
    let met = || ring.atomic_u64(8 * MET).unwrap().load(Ordering::Acquire);
    let over = AtomicBool::new(false);
    let begin = met();
    std::thread::scope(|scope| {
        let _end = twixt_testkit::defer(|| over.store(true, Ordering::Relaxed));
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) && met() - begin < MOST {
                page.atomic_u64(8 * INVITATION).unwrap().store(2 * met() + 1, Ordering::Release);
                // The upper half.
                site.atomic_u64(8 * ROSTER).unwrap().fetch_add(1 << 32, Ordering::Release);
            }
        });
        while page.atomic_u64(8 * INVITATION).unwrap().load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        for _ in 0..100 {
            let before = met();
            let outcome = publisher.try_publish(b"x");
            assert!(met() - before <= 1, "it has tried {} times", met() - before);
            tolerate(outcome);
        }
    });
}

/// Whoever was not listened to has had a guest since, in the same place, before it was seen that it is another.
#[test]
fn without_capacity_who_did_not_listen_is_no_guest() {
    let topic = Topic::new();
    let options = meeting(&topic);
    let open = || Subscriber::open(&Topic::name(), &options).unwrap();
    let mut subscriber = open();
    let publisher = Publisher::open(&Topic::name(), &options).unwrap();
    assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
    // What cannot be, for a while.
    let ring = map(&topic.directory().join("p0"));
    let [tag, about] = [0, 1].map(|at| ring.atomic_u64(8 * (RING_AT + at)).unwrap());
    about.store(u64::from(u32::MAX), Ordering::Relaxed);
    tag.store(1, Ordering::Release);
    assert_eq!(kind(subscriber.try_receive()), ErrorKind::Malformed);
    tag.store(0, Ordering::Release);
    let arm = |subscriber: &mut Subscriber| {
        while subscriber.arm().unwrap() {
            assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
        }
    };
    // Nor is it waited for, though it waits for others.
    let mut guest = open();
    for _ in 0..2 {
        arm(&mut subscriber);
        arm(&mut guest);
        publisher.try_publish(b"for the guest").unwrap();
        assert_eq!(receive(&mut guest), b"for the guest");
        assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
    }
    drop((guest, publisher));
    let publisher = Publisher::open(&Topic::name(), &options).unwrap();
    assert!(!topic.files().contains(&"p1".to_owned()), "it is in another place");
    let mut guest = open();
    arm(&mut guest);
    publisher.try_publish(b"for the guest").unwrap();
    assert_eq!(kind(subscriber.try_receive()), ErrorKind::WouldBlock);
    assert_eq!(receive(&mut guest), b"for the guest");
    // From now on it is one.
    drop(guest);
    arm(&mut subscriber);
    publisher.try_publish(b"for all").unwrap();
    assert_eq!(receive(&mut subscriber), b"for all");
}
