//! Publishing many messages at a time: what `publish_batch` promises beyond a message at a time.

use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use twixt_bus::{Capacity, Kind, Publisher, Slow, Subscriber, SubscriberOptions, remove};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::{call, test};

#[path = "support/topics.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod topics;

use topics::{Topic, bytes_of, in_ms, kind, message, panic_quietly, read, receive, write_words};

/// Publishes messages of 40 bytes from a number on, and says how many; each is written once.
fn publish_some(publisher: &Publisher, from: u64, most: usize, wait: Wait) -> twixt_os::Result<u64> {
    let mut calls = 0;
    let outcome = publisher.publish_batch(most, 40, wait, |room| {
        write_words(room, &message(0, from + calls, 40));
        calls += 1;
    });
    assert_eq!(calls, *outcome.as_ref().unwrap_or(&0) as u64, "{outcome:?}");
    outcome.map(|published| published as u64)
}

/// The numbers of all that is there.
fn drain(subscriber: &mut Subscriber) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        match subscriber.try_receive() {
            Ok(sample) => numbers.push(read(&sample.to_vec().unwrap()).1),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                return numbers;
            }
        }
    }
}

fn is_readable(bell: impl AsFd) -> bool {
    poll(&mut [PollFd::new(&bell, PollFlags::IN)], Some(&Timespec::default())).unwrap() > 0
}

#[test]
fn messages_of_any_length_are_written_in_place() {
    for len in [0, 1, 8, 40, 41, 64, 700, 5000, 8191] {
        let topic = Topic::of_size(1 << 15);
        let (mut many, mut single) = (topic.subscriber(), topic.subscriber());
        let publisher = topic.publisher();
        let (mut sent, mut next) = (0, 0);
        for round in 0..200 {
            let before = sent;
            let published = publisher.publish_batch(1 + round % 9, len, Wait::never(), |room| {
                write_words(room, &bytes_of(sent, len));
                sent += 1;
            });
            match published {
                Ok(published) => assert_eq!(published as u64, sent - before),
                Err(error) => assert_eq!((error.kind(), sent), (ErrorKind::WouldBlock, before)),
            }
            // In between, in the other ways.
            sent += u64::from(publisher.try_publish(&bytes_of(sent, len)).is_ok());
            if round % 3 == 0 {
                while next < sent {
                    let received = many.receive_batch(20, Wait::never(), |it| {
                        let sample = single.try_receive().unwrap();
                        assert_eq!((it.sequence(), it.position()), (sample.sequence(), sample.position()));
                        assert_eq!(it.sequence(), next);
                        assert!(it.to_vec().unwrap() == bytes_of(next, len), "{next} of {len}");
                        assert!(sample.to_vec().unwrap() == bytes_of(next, len), "{next} of {len}");
                        next += 1;
                    });
                    assert!(received.unwrap() > 0);
                }
            }
        }
        assert!(sent > 100, "{sent}");
        assert_eq!(publisher.published(), (sent, sent * len as u64));
        drop(publisher);
        assert_eq!(topic.published(), [(sent, sent * len as u64)]);
    }
}

#[test]
fn large_ones_are_whole_for_who_reads_them_meanwhile() {
    let test = test!();
    const LEN: usize = 100_000;
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        let mut sent = 0;
        while sent < 60 {
            let fill = |room: &[AtomicU64]| {
                write_words(room, &message(0, sent, LEN));
                sent += 1;
            };
            publisher.publish_batch(7, LEN, Wait::forever(), fill).unwrap();
        }
        peer.say(&sent.to_string());
    });
    let topic = Topic::of_size(1 << 20);
    let mut subscriber = topic.subscriber();
    let mut child = test.child("publisher").arg(topic.arg()).spawn();
    let mut next = 0;
    let end = loop {
        match subscriber.receive_wait(in_ms(60_000)) {
            Ok(sample) => {
                assert_eq!(read(&sample.to_vec().unwrap()), (0, next));
                next += 1;
            }
            Err(error) => break error,
        }
    };
    assert_eq!(end.kind(), ErrorKind::PeerGone, "{end}");
    assert_eq!(child.hear(), next.to_string());
    child.succeed();
}

#[test]
fn who_comes_late_finds_the_way_back() {
    let topic = Topic::of_size(1 << 13);
    let publisher = topic.publisher();
    let mut sent = 0;
    for round in 0..100 {
        let len = [40, 16, 300, 41][round % 4];
        // One of another length in between, and others behind it.
        if round % 7 > 2 {
            publisher.publish(&message(0, sent, 700)).unwrap();
            sent += 1;
        }
        let published = publisher.publish_batch(1 + round % 6, len, Wait::never(), |room| {
            write_words(room, &message(0, sent, len));
            sent += 1;
        });
        assert_eq!(published.unwrap(), 1 + round % 6);
        for history in [1, 2, 3, 5, 8, u64::MAX] {
            let mut late = topic.subscriber_with(SubscriberOptions::new().history(history));
            let numbers = drain(&mut late);
            assert_eq!(numbers, (sent - numbers.len() as u64..sent).collect::<Vec<_>>());
            let expected = if history > 8 { 8 } else { history }.min(sent);
            assert!(numbers.len() as u64 >= expected, "{} of {history} after {round}", numbers.len());
            assert!(numbers.len() as u64 <= history);
        }
    }
}

#[test]
fn none_are_asked_for() {
    let topic = Topic::of_size(1 << 12);
    let mut subscriber = topic.subscriber();
    let publisher = topic.publisher();
    let never = |_: &[AtomicU64]| panic!("none was asked for");
    assert_eq!(publisher.publish_batch(0, 40, Wait::never(), never).unwrap(), 0);
    assert_eq!(publisher.publish_batch(0, 40, Wait::forever(), never).unwrap(), 0);
    assert_eq!(drain(&mut subscriber), []);
    // Nor is room waited for.
    while publish_some(&publisher, 0, 100, Wait::never()).is_ok() {}
    assert_eq!(publisher.publish_batch(0, 40, Wait::forever(), never).unwrap(), 0);
}

#[test]
fn as_many_are_published_as_there_is_room_for() {
    let topic = Topic::of_size(1 << 12);
    let mut subscriber = topic.subscriber();
    let publisher = topic.publisher();
    let room = {
        let other = Topic::of_size(1 << 12);
        let (_subscriber, publisher) = (other.subscriber(), other.publisher());
        (0..).take_while(|number| publisher.try_publish(&message(0, *number, 40)).is_ok()).count() as u64
    };
    let mut sent = 0;
    for (wait, taken) in
        [(Wait::never(), room), (in_ms(60_000), 20), (Wait::forever(), 40), (Wait::never(), 5)]
    {
        let published = publish_some(&publisher, sent, 1000, wait).unwrap();
        if sent == 0 {
            assert_eq!(published, room);
        }
        sent += published;
        // And as one by one there would be no other.
        assert_eq!(kind(publisher.try_publish(&message(0, sent, 40))), ErrorKind::WouldBlock);
        assert_eq!(kind(publish_some(&publisher, sent, 1000, Wait::never())), ErrorKind::WouldBlock);
        assert_eq!(kind(publish_some(&publisher, sent, 1, in_ms(5))), ErrorKind::TimedOut);
        let begin = subscriber.received().0;
        for number in begin..begin + taken {
            assert_eq!(read(&receive(&mut subscriber)).1, number);
        }
    }
    let begin = subscriber.received().0;
    assert_eq!(drain(&mut subscriber), (begin..sent).collect::<Vec<_>>());
    assert_eq!(publisher.published().0, sent);
}

#[test]
fn all_arrive_where_somebody_receives() {
    let test = test!();
    const ALL: u64 = 100_000;
    test.role("publisher", |peer| {
        let publisher = Topic::of(peer).publisher();
        let mut sent = 0;
        while sent < ALL {
            let most = (ALL - sent).min(1 + sent % 300) as usize;
            let before = sent;
            let fill = |room: &[AtomicU64]| {
                room[0].store(sent, Relaxed);
                room[1].store(!sent, Relaxed);
                sent += 1;
            };
            let published = publisher.publish_batch(most, 16, Wait::forever(), fill).unwrap();
            assert!((1..=most).contains(&published));
            assert_eq!(published as u64, sent - before);
        }
    });
    let topic = Topic::of_size(1 << 14);
    // Positions begin anew meanwhile.
    let mut subscriber = topic.subscriber();
    topic.near_the_wrap(50_000);
    assert_eq!(kind(subscriber.receive()), ErrorKind::PeerGone);
    let child = test.child("publisher").arg(topic.arg()).spawn();
    let mut next = 0;
    while next < ALL {
        let received = subscriber.receive_batch(100, in_ms(60_000), |it| {
            let (mut words, mut at) = ([0; 2], 0);
            let each = |word| {
                words[at] = word;
                at += 1;
            };
            it.read_words(each).unwrap();
            assert_eq!(words, [next, !next]);
            next += 1;
        });
        assert!(received.unwrap() > 0);
    }
    assert_eq!(kind(subscriber.receive()), ErrorKind::PeerGone);
    child.succeed();
    assert!((20_000..ALL).contains(&topic.claim()), "{}", topic.claim());
}

#[test]
fn nobody_is_waited_for_who_does_not_want_it() {
    for is_there in [false, true] {
        let topic = Topic::of_size(1 << 12);
        let oldest = SubscriberOptions::new().slow(Slow::DropOldest);
        let mut subscriber = is_there.then(|| topic.subscriber_with(oldest));
        let publisher = topic.publisher();
        for round in 0..3 {
            assert_eq!(publish_some(&publisher, 1000 * round, 1000, Wait::never()).unwrap(), 1000);
        }
        if let Some(subscriber) = &mut subscriber {
            let numbers = drain(subscriber);
            assert_eq!(numbers, (3000 - numbers.len() as u64..3000).collect::<Vec<_>>());
            assert_eq!(subscriber.received().0 + subscriber.missed(), 3000);
        }
    }
}

#[test]
fn what_cannot_be_published_is_not_written() {
    let topic = Topic::of_size(1 << 12);
    let mut subscriber = topic.subscriber();
    let publisher = topic.publisher();
    let longest = publisher.longest();
    let never = |_: &[AtomicU64]| panic!("there is no room");
    for len in [longest + 1, 1 << 12, 1 << 40, usize::MAX] {
        for wait in [Wait::never(), Wait::forever()] {
            assert_eq!(kind(publisher.publish_batch(3, len, wait, never)), ErrorKind::TooLong);
        }
    }
    let fill = |room: &[AtomicU64]| write_words(room, &message(0, 0, longest));
    assert_eq!(publisher.publish_batch(1, longest, Wait::never(), fill).unwrap(), 1);
    assert_eq!(drain(&mut subscriber), [0]);
    // A loan that is out is in the way, and none but this one can make room.
    let loan = publisher.loan(40).unwrap();
    let published = publish_some(&publisher, 0, 1000, Wait::forever()).unwrap();
    assert!((20..64).contains(&published), "{published}");
    assert_eq!(drain(&mut subscriber), []);
    assert_eq!(kind(publish_some(&publisher, 0, 1, Wait::forever())), ErrorKind::WouldBlock);
    drop(loan);
    assert_eq!(drain(&mut subscriber), (0..published).collect::<Vec<_>>());
    remove(Kind::Topic, &Topic::name(), Some(&topic.place())).unwrap();
    // It is looked at when there is no room; and as with one after the other, not before.
    let error = loop {
        if let Err(error) = publish_some(&publisher, 0, 1000, in_ms(60_000)) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Removed, "{error}");
}

#[test]
fn a_message_whose_writing_panics_is_none() {
    for len in [16, 40, 1000, 40_000] {
        for at in [0, 1, 4, 9] {
            let topic = Topic::of_size(1 << 20);
            let mut subscriber = topic.subscriber();
            let publisher = topic.publisher();
            publisher.publish(&message(0, 0, len)).unwrap();
            subscriber.doorbell().unwrap();
            assert_eq!(drain(&mut subscriber), [0]);
            while subscriber.arm().unwrap() {}
            let mut calls = 0;
            let caught = catch_unwind(AssertUnwindSafe(|| {
                publisher.publish_batch(10, len, Wait::never(), |room| {
                    if calls == at {
                        room[0].store(77, Relaxed);
                        panic_quietly();
                    }
                    calls += 1;
                    write_words(room, &message(0, calls, len));
                })
            }));
            assert!(caught.is_err());
            // Who sleeps hears of those before it.
            assert_eq!(is_readable(subscriber.doorbell().unwrap()), at > 0, "{at}");
            assert_eq!(publisher.published().0, 1 + at, "{at}");
            publisher.publish(&message(0, at + 1, len)).unwrap();
            let published = publisher.publish_batch(2, len, Wait::never(), |room| {
                calls += 1;
                write_words(room, &message(0, calls + 1, len));
            });
            assert_eq!(published.unwrap(), 2);
            assert_eq!(drain(&mut subscriber), (1..at + 4).collect::<Vec<_>>());
            assert_eq!(publisher.published().0, at + 4);
        }
    }
}

#[test]
fn nothing_else_is_published_while_a_message_is_written() {
    let topic = Topic::of_size(1 << 17);
    let mut subscriber = topic.subscriber();
    let publisher = topic.publisher();
    let tries = || {
        let refused = [
            kind(publisher.publish(&message(0, 99, 16))),
            kind(publisher.try_publish(&message(0, 99, 40_000))),
            kind(publisher.publish_with(8, Wait::forever(), |_| panic!("it is refused"))),
            kind(publisher.publish_batch(3, 8, Wait::forever(), |_| panic!("it is refused"))),
            kind(publisher.batch().publish(b"", Wait::forever())),
            kind(publisher.loan(16)),
            kind(publisher.flow(16)),
        ];
        assert_eq!(refused, [ErrorKind::Busy; 7]);
    };
    let mut sent = 0;
    for most in [1, 2, 5] {
        let lent = publisher.loan(16).map(|mut loan| {
            loan.write(0, &message(0, sent, 16));
            loan
        });
        sent += 1;
        let (mut lent, first) = (lent.ok(), sent);
        let published = publisher.publish_batch(most, 40, Wait::never(), |room| {
            tries();
            // What was lent before can go.
            if let Some(loan) = lent.take_if(|_| sent == first + most as u64 - 1) {
                loan.publish().unwrap();
            }
            write_words(room, &message(0, sent, 40));
            sent += 1;
        });
        assert_eq!(published.unwrap(), most);
        let written = publisher.publish_with(40, Wait::never(), |room| {
            tries();
            write_words(room, &message(0, sent, 40));
        });
        written.unwrap();
        sent += 1;
        assert_eq!(drain(&mut subscriber), (sent - 2 - most as u64..sent).collect::<Vec<_>>());
        assert_eq!(publisher.published().0, sent);
    }
    // A panic is the end of that, too.
    for most in [1, 3] {
        let mut calls = 0;
        let caught = catch_unwind(AssertUnwindSafe(|| {
            publisher.publish_batch(3, 40, Wait::never(), |room| {
                calls += 1;
                if calls == most {
                    panic_quietly();
                }
                write_words(room, &message(0, sent, 40));
                sent += 1;
            })
        }));
        assert!(caught.is_err());
        publisher.publish(&message(0, sent, 40)).unwrap();
        sent += 1;
        assert_eq!(drain(&mut subscriber), (sent - most..sent).collect::<Vec<_>>());
    }
}

#[test]
fn who_does_not_sleep_has_each_at_once_and_who_sleeps_is_told_at_the_end() {
    let topic = Topic::new();
    let mut subscriber = topic.subscriber();
    let publisher = topic.publisher();
    let mut asleep = topic.subscriber();
    asleep.doorbell().unwrap();
    let bell = asleep.doorbell().unwrap().try_clone_to_owned().unwrap();
    assert_eq!(drain(&mut asleep), []);
    while asleep.arm().unwrap() {
        assert_eq!(drain(&mut asleep), []);
    }
    let mut calls = 0;
    let published = publisher.publish_batch(50, 40, Wait::forever(), |room| {
        assert!(!is_readable(&bell), "before {calls}");
        if calls > 0 {
            assert_eq!(drain(&mut subscriber), [calls - 1]);
        }
        write_words(room, &message(0, calls, 40));
        calls += 1;
    });
    assert_eq!(published.unwrap(), 50);
    assert!(is_readable(&bell));
    assert_eq!(drain(&mut asleep), (0..50).collect::<Vec<_>>());
}

#[test]
fn a_sleeping_subscriber_is_woken() {
    let test = test!();
    const ROUNDS: u64 = 200;
    test.role("subscriber", |peer| {
        let mut subscriber = Topic::of(peer).subscriber();
        peer.say("there");
        let mut next = 0;
        while next < 10 * ROUNDS {
            let wait = Wait::forever();
            let received = subscriber.receive_batch(10, wait, |it| {
                assert_eq!(read(&it.to_vec().unwrap()).1, next);
                next += 1;
            });
            assert!(received.unwrap() > 0);
            if next % 10 == 0 {
                peer.say("has them");
            }
        }
    });
    let topic = Topic::new();
    let publisher = topic.publisher();
    let mut child = test.child("subscriber").arg(topic.arg()).spawn();
    child.expect("there");
    for round in 0..ROUNDS {
        if round % 10 == 0 {
            child.wait_until_blocked_in(&[call::FUTEX]);
        }
        assert_eq!(publish_some(&publisher, 10 * round, 10, Wait::never()).unwrap(), 10);
        child.expect("has them");
    }
    child.succeed();
}

#[test]
fn over_the_budget_of_an_unbounded_topic_there_is_no_other() {
    const BUDGET: u64 = 1 << 20;
    let topic = Topic::new();
    let options = topic.options().capacity(Capacity::Unbounded(BUDGET));
    let mut subscriber = Subscriber::open(&Topic::name(), &options).unwrap();
    let publisher = Publisher::open(&Topic::name(), &options).unwrap();
    let mut sent = 0;
    for _ in 0..3 {
        let begin = sent;
        let error = loop {
            match publish_some(&publisher, sent, 700, Wait::forever()) {
                Ok(published) => sent += published,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::LimitReached, "{error}");
        assert_eq!(error.limit().unwrap().current, Some(BUDGET));
        assert_eq!(kind(publisher.publish(&message(0, 0, 40))), ErrorKind::LimitReached);
        assert!(sent - begin > 5000, "{}", sent - begin);
        assert_eq!(drain(&mut subscriber), (begin..sent).collect::<Vec<_>>());
    }
    assert_eq!(publisher.published().0, sent);
}

#[test]
fn without_capacity_each_waits_for_who_receives() {
    let test = test!();
    const ALL: u64 = 300;
    test.role("subscriber", |peer| {
        let options = Topic::of(peer).options().capacity(Capacity::Zero);
        let mut subscriber = Subscriber::open(&Topic::name(), &options).unwrap();
        peer.say("there");
        let mut next = 0;
        while next < ALL {
            let received = subscriber.receive_batch(3, Wait::forever(), |it| {
                assert_eq!(read(&it.to_vec().unwrap()).1, next);
                next += 1;
            });
            assert!(received.unwrap() > 0);
        }
        assert_eq!(kind(subscriber.receive_batch(3, Wait::forever(), |_| panic!())), ErrorKind::PeerGone);
    });
    let topic = Topic::new();
    let options = topic.options().capacity(Capacity::Zero);
    let publisher = Publisher::open(&Topic::name(), &options).unwrap();
    // Nobody is there.
    assert_eq!(kind(publish_some(&publisher, 0, 5, Wait::never())), ErrorKind::WouldBlock);
    assert_eq!(kind(publish_some(&publisher, 0, 5, in_ms(5))), ErrorKind::TimedOut);
    assert_eq!(publish_some(&publisher, 0, 0, Wait::forever()).unwrap(), 0);
    let mut child = test.child("subscriber").arg(topic.arg()).spawn();
    child.expect("there");
    let mut sent = 0;
    while sent < ALL {
        let most = (ALL - sent).min(7);
        let published = publish_some(&publisher, sent, most as usize, Wait::forever()).unwrap();
        assert!((1..=most).contains(&published));
        sent += published;
        // What was published somebody has, which says so in due course; here it is counted.
        assert_eq!(publisher.published().0, sent);
    }
    drop(publisher);
    child.succeed();
}

/// What a forked child does with what it has a copy of; it leaves with the number of what went wrong, or 0.
fn fork(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child leaves by `_exit`, and runs nothing of the test harness.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(99);
        // SAFETY: as above.
        unsafe { libc::_exit(code) };
    }
    pid
}

fn exit_code(pid: i32) -> i32 {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let (_, status) =
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap().unwrap();
    status.exit_status().unwrap_or(-1)
}

#[test]
fn a_forked_child_is_refused_many_at_a_time_too() {
    let test = test!();
    test.role("parent", |peer| {
        let topic = Topic::of(peer);
        let publisher = topic.publisher();
        let mut subscriber = topic.subscriber();
        assert_eq!(publish_some(&publisher, 0, 10, Wait::never()).unwrap(), 10);
        let child = fork(|| {
            let mut is_called = false;
            let received = subscriber.receive_batch(5, Wait::never(), |_| is_called = true);
            let published = publisher.publish_batch(5, 40, Wait::never(), |_| is_called = true);
            let refused = ErrorKind::InvalidInput;
            i32::from(received.err().map(|error| error.kind()) != Some(refused))
                + 2 * i32::from(published.err().map(|error| error.kind()) != Some(refused))
                + 4 * i32::from(is_called)
        });
        assert_eq!(exit_code(child), 0);
        assert_eq!(publish_some(&publisher, 10, 10, Wait::never()).unwrap(), 10);
        assert_eq!(drain(&mut subscriber), (0..20).collect::<Vec<_>>());
        assert_eq!((topic.received()[0].0, topic.published()[0].0), (20, 20));
    });
    let topic = Topic::new();
    test.child("parent").arg(topic.arg()).spawn().succeed();
}

/// The child goes on with the batch that its parent is in.
#[test]
fn a_child_forked_in_the_middle_of_a_batch_does_not_count() {
    let test = test!();
    test.role("receiving", |peer| {
        let topic = Topic::of(peer);
        let publisher = topic.publisher();
        let mut subscriber = topic.subscriber();
        let mut sent = publish_some(&publisher, 0, 1000, Wait::never()).unwrap();
        let (mut seen, mut child) = (Vec::new(), None);
        let outcome = subscriber.receive_batch(1000, Wait::never(), |it| {
            if it.sequence() == 3 {
                // SAFETY: the child leaves by `_exit` below, and runs nothing of the test harness.
                let pid = unsafe { libc::fork() };
                child = Some(pid);
                if pid != 0 {
                    assert_eq!(exit_code(pid), 0);
                    // Room is what this one gives back.
                    assert!(publisher.try_publish(&message(0, sent, 40)).is_err());
                    assert_eq!(topic.received(), [(0, 0)]);
                }
            }
            if child != Some(0) {
                seen.push(read(&it.to_vec().unwrap()).1);
            }
        });
        if child == Some(0) {
            // SAFETY: as above.
            unsafe { libc::_exit(0) };
        }
        assert_eq!(outcome.unwrap(), seen.len());
        seen.extend(drain(&mut subscriber));
        assert_eq!(seen, (0..sent).collect::<Vec<_>>());
        assert_eq!(topic.received()[0].0, sent);
        sent += publish_some(&publisher, sent, 5, Wait::never()).unwrap();
        assert_eq!(drain(&mut subscriber), (sent - 5..sent).collect::<Vec<_>>());
    });
    test.role("publishing", |peer| {
        let topic = Topic::of(peer);
        let mut subscriber = topic.subscriber();
        let publisher = topic.publisher();
        let at: u64 = peer.arg(1).parse().unwrap();
        let (mut calls, mut child) = (0, None);
        let outcome = publisher.publish_batch(10, 40, Wait::never(), |room| {
            if calls == at {
                // SAFETY: the child leaves by `_exit` below, and runs nothing of the test harness.
                let pid = unsafe { libc::fork() };
                child = Some(pid);
                if pid != 0 {
                    assert_eq!(exit_code(pid), 0);
                    assert_eq!(
                        drain(&mut subscriber),
                        (0..at).collect::<Vec<_>>(),
                        "the child has published"
                    );
                }
            }
            // What is the child's to write to is the parent's as well, until it has written its own over it.
            let number = if child == Some(0) { 1000 + calls } else { calls };
            write_words(room, &message(0, number, 40));
            calls += 1;
        });
        if child == Some(0) {
            // SAFETY: as above.
            unsafe { libc::_exit(0) };
        }
        assert_eq!(outcome.unwrap(), 10);
        assert_eq!(drain(&mut subscriber), (at..10).collect::<Vec<_>>());
        assert_eq!(topic.published()[0].0, 10);
    });
    let topic = Topic::of_size(1 << 12);
    test.child("receiving").arg(topic.arg()).spawn().succeed();
    for at in [0, 3] {
        let topic = Topic::of_size(1 << 12);
        test.child("publishing").arg(topic.arg()).arg(at).spawn().succeed();
    }
}
