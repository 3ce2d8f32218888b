//! Many connections to one receiver: who comes, who goes, who misbehaves, and what if there is no room.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use twixt_address::Address;
use twixt_channel::{Opening, Receiver, Sender};
use twixt_os::unix::Stream;
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{descriptors, strace, test, unique_name};

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(50))
}

fn kind<T: std::fmt::Debug>(outcome: twixt_os::Result<T>) -> ErrorKind {
    outcome.unwrap_err().kind()
}

#[test]
fn all_are_heard_and_the_end_is_told_once() {
    let at = address(&format!("unix:@{}", unique_name()));
    let mut receiver = Receiver::open(&at).unwrap();
    assert!(receiver.stream().is_none());
    for _ in 0..2 {
        let mut senders: Vec<_> = (0..50_u8).map(|_| Sender::open(&at).unwrap()).collect();
        for (number, sender) in senders.iter_mut().enumerate() {
            (0..3).for_each(|_| sender.send(&[number as u8]).unwrap());
        }
        drop(senders);
        let mut heard = vec![0; 50];
        for message in receiver.messages() {
            heard[usize::from(message.unwrap().bytes()[0])] += 1;
        }
        assert_eq!(heard, [3; 50]);
        assert_eq!(kind(receiver.try_receive()), ErrorKind::WouldBlock);
    }
}

#[test]
fn a_talker_does_not_keep_others_from_being_heard() {
    let at = address(&format!("unix:@{}", unique_name()));
    let mut receiver = Receiver::open(&at).unwrap();
    let mut talker = Sender::open(&at).unwrap();
    (0..100).for_each(|_| talker.send(b"talk").unwrap());
    let mut other = Sender::open(&at).unwrap();
    other.send(b"other").unwrap();
    // What was read of the talker with one read stands ready, but has to wait for its turn.
    let before = receiver.messages().position(|message| message.unwrap().bytes() == b"other").unwrap();
    assert!(before < 5, "{before}");
}

#[test]
fn whoever_misbehaves_hurts_nobody_else() {
    let name = unique_name();
    let at = address(&format!("unix:@{name}"));
    let mut receiver = Receiver::open(&at).unwrap();
    let mut sender = Sender::open(&at).unwrap();
    sender.send(b"one").unwrap();
    assert_eq!(receiver.receive().unwrap().bytes(), b"one");
    let hostile = Stream::connect(&format!("@{name}").parse().unwrap()).unwrap();
    hostile.send_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(kind(receiver.receive()), ErrorKind::Malformed);
    assert_eq!(kind(hostile.send_all(b"more")), ErrorKind::PeerGone, "it was shown out");
    sender.send(b"two").unwrap();
    assert_eq!(receiver.receive().unwrap().bytes(), b"two");
    // A length that never comes true keeps nobody waiting.
    let slow = Stream::connect(&format!("@{name}").parse().unwrap()).unwrap();
    slow.send_all(&[0, 0, 0, 3, 0, 0, 0, 0, 1]).unwrap();
    assert_eq!(kind(receiver.receive_deadline(soon())), ErrorKind::TimedOut);
    sender.send(b"three").unwrap();
    assert_eq!(receiver.receive().unwrap().bytes(), b"three");
    drop(slow);
    assert_eq!(kind(receiver.receive()), ErrorKind::Malformed, "it ended in mid-message");
}

#[test]
fn without_descriptors_for_newcomers_the_others_are_heard() {
    let test = test!();
    test.role("receives", |peer| {
        let at = address(&peer.arg(0));
        let mut receiver = Receiver::open(&at).unwrap();
        let mut one = Sender::open(&at).unwrap();
        let mut other = Sender::open(&at).unwrap();
        one.send(b"in").unwrap();
        assert_eq!(receiver.receive().unwrap().bytes(), b"in");
        // Both were accepted. From here on nobody else can be.
        let was = getrlimit(Resource::Nofile);
        let mut late = Sender::open(&at).unwrap();
        let all = descriptors() as u64 + 10;
        setrlimit(Resource::Nofile, Rlimit { current: Some(all), ..was }).unwrap();
        let _filling: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        late.send(b"late").unwrap();
        other.send(b"heard").unwrap();
        assert_eq!(receiver.receive().unwrap().bytes(), b"heard");
        for _ in 0..peer.arg(1).parse().unwrap() {
            assert_eq!(kind(receiver.receive_deadline(soon())), ErrorKind::TimedOut);
        }
        // Somebody goes, and makes room.
        drop(other);
        drop(one);
        assert_eq!(receiver.receive().unwrap().bytes(), b"late");
        setrlimit(Resource::Nofile, was).unwrap();
    });
    let at = format!("unix:@{}", unique_name());
    test.child("receives").arg(&at).arg(4).spawn().succeed();
    match strace::calls(test.child("receives").arg(&at).arg(20)) {
        // 20 waits of 50 ms, an attempt every 100 ms.
        Ok(calls) => assert!(calls["accept4"] < 50, "it spins: {calls:?}"),
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn without_any_descriptor_the_limit_is_named() {
    let test = test!();
    test.role("alone", |_| {
        let at = address(&format!("unix:@{}", unique_name()));
        let mut receiver = Receiver::open(&at).unwrap();
        let mut sender = Sender::open(&at).unwrap();
        sender.send(b"patience").unwrap();
        let was = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..was }).unwrap();
        for _ in 0..3 {
            let error = receiver.receive().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::LimitReached);
            assert_eq!(error.limit().unwrap().name, "RLIMIT_NOFILE");
        }
        setrlimit(Resource::Nofile, was).unwrap();
        assert_eq!(receiver.receive().unwrap().bytes(), b"patience");
    });
    test.child("alone").spawn().succeed();
}

#[test]
fn a_listener_that_another_process_accepts_from_as_well_waits_on() {
    let test = test!();
    test.role("accepts", |peer| {
        let listener = twixt_os::unix::StreamListener::inherited(9).unwrap();
        peer.say("ready");
        let _connection = listener.accept().unwrap();
        peer.say("took it");
        peer.wait_for("done");
    });
    // A listening socket of which a copy is elsewhere: the readiness may be gone when it is acted upon.
    let name = unique_name();
    let at = address(&format!("unix:@{name}"));
    let mut receiver = Receiver::open(&at).unwrap();
    let copy = {
        // The receiver's own descriptor is not to be had; the test finds it by its address.
        let mut found = None;
        for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
            let number: i32 = entry.file_name().to_str().unwrap().parse().unwrap();
            let pid = rustix::process::getpid();
            let flags = rustix::process::PidfdFlags::empty();
            let pidfd = rustix::process::pidfd_open(pid, flags).unwrap();
            let none = rustix::process::PidfdGetfdFlags::empty();
            let Ok(fd) = rustix::process::pidfd_getfd(pidfd, number, none) else { continue };
            if let Ok(listener) = twixt_os::unix::StreamListener::try_from(fd)
                && listener.local_address().unwrap().as_abstract_name() == Some(name.as_bytes())
            {
                found = Some(listener);
            }
        }
        found.unwrap()
    };
    let mut child = test.child("accepts").descriptor(copy.into(), 9).spawn();
    child.expect("ready");
    let _client = Stream::connect(&format!("@{name}").parse().unwrap()).unwrap();
    let taken = child.hear();
    assert_eq!(taken, "took it");
    assert_eq!(kind(receiver.receive_deadline(soon())), ErrorKind::TimedOut);
    child.tell("done");
    child.succeed();
}

#[test]
fn a_rendezvous_survives_answers_that_find_no_room() {
    let name = unique_name();
    let at = address(&format!("unix:@{name}?capacity=0"));
    let mut receiver = Receiver::open(&at).unwrap();
    // A sender that offers and never listens, until the receiver's answers find no room any more.
    let offers = Opening::new(&address(&format!("unix:@{name}"))).duplex().unwrap();
    let (mut offers, mut answers) = offers.split();
    let word = |number: u64, word: u8| {
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.push(word);
        bytes
    };
    let mut number = 0;
    // What the receiver has not taken by now it does not take, since it cannot answer.
    let full = loop {
        number += 1;
        if offers.try_send(&word(number, 1)).is_err() {
            break number;
        }
        assert_eq!(kind(receiver.try_receive()), ErrorKind::WouldBlock);
        assert!(number < 1_000_000, "the answers never found the buffer full");
    };
    // Whoever polls is told what it waits for: that its answer can go.
    assert!(full > 1);
    // Now it listens: the last answer is to the last offer that was heard.
    let mut last = 0;
    loop {
        let _ = receiver.try_receive();
        match answers.try_receive() {
            Ok(answer) => last = u64::from_le_bytes(*answer.bytes().first_chunk().unwrap()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    offers.flush(Wait::forever()).unwrap();
    let mut said = b"at last".to_vec();
    said.extend(word(last, 3));
    offers.send(&said).unwrap();
    assert_eq!(receiver.receive().unwrap().bytes(), b"at last");
    let mut taken = false;
    while let Ok(answer) = answers.try_receive() {
        taken |= answer.bytes() == word(last, 4);
    }
    assert!(taken);
}

#[test]
fn a_rendezvous_meets_between_processes() {
    let test = test!();
    test.role("receives", |peer| {
        let mut receiver = Receiver::open(&address(&peer.arg(0))).unwrap();
        peer.say("listening");
        peer.wait_for("receive");
        for number in 0..100_u8 {
            assert_eq!(receiver.receive().unwrap().bytes(), [number]);
        }
        assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
    });
    let at = format!("unix:@{}?capacity=0", unique_name());
    let mut child = test.child("receives").arg(&at).spawn();
    child.expect("listening");
    let mut sender = Sender::open(&address(&at)).unwrap();
    assert_eq!(kind(sender.try_send(&[0])), ErrorKind::WouldBlock);
    assert_eq!(kind(sender.send_deadline(&[0], soon())), ErrorKind::TimedOut, "nobody takes it");
    child.tell("receive");
    (0..100_u8).for_each(|number| sender.send(&[number]).unwrap());
    drop(sender);
    child.succeed();
}

#[test]
fn whatever_has_no_descriptor_left_names_the_limit() {
    use std::os::fd::AsRawFd;
    let test = test!();
    test.role("limited", |peer| {
        let address = address(&peer.arg(0));
        let next = std::fs::File::open("/").unwrap().as_raw_fd() as u64;
        for room in 0.. {
            let limit = Rlimit { current: Some(next + room), maximum: getrlimit(Resource::Nofile).maximum };
            setrlimit(Resource::Nofile, limit).unwrap();
            match Receiver::open(&address) {
                Ok(_) => {
                    assert!(room > 2);
                    break;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::LimitReached, "{error}");
                    assert_eq!(error.limit().unwrap().name, "RLIMIT_NOFILE", "{error}");
                }
            }
        }
    });
    let scratch = twixt_testkit::scratch();
    test.child("limited").arg(format!("unix:{}/s", scratch.path().display())).spawn().succeed();
}
