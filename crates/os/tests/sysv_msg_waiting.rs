//! System V message queues: every way of waiting, signals, removal and death meanwhile, many at once.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use twixt_os::sysv::Key;
use twixt_os::sysv::msg::{Extent, Id, Message, Queue, RemoveOnDrop, Select, Settings, Type};
use twixt_os::{Deadline, Errno, ErrorKind, Mode, Result, Wait};
use twixt_testkit::{Child, Peer, Storm, call, test};

const ONE: Type = Type::MIN;
const TWO: Type = Type::new(2).unwrap();

// As `/proc/PID/syscall` shows them.

/// Longer than any back-off pause.
const MOMENT: Duration = Duration::from_millis(60);

fn private() -> RemoveOnDrop {
    Queue::create(Key::PRIVATE, Mode::OWNER).unwrap().remove_on_drop()
}

/// A queue with room for `qbytes` bytes.
fn small(qbytes: u64) -> RemoveOnDrop {
    let queue = private();
    queue.set(Settings { qbytes, ..Settings::from(queue.stat().unwrap()) }).unwrap();
    queue
}

/// A queue with one message of 8 bytes, and room for no other.
fn full() -> RemoveOnDrop {
    let queue = small(8);
    queue.send(ONE, b"obstacle").unwrap();
    queue
}

/// The queue whose identifier the test passed along.
fn given(peer: &Peer) -> Queue {
    Queue::open_id(Id::new(peer.arg(0).parse().unwrap()).unwrap()).unwrap()
}

fn take(queue: &Queue) -> Vec<u8> {
    let mut message = Message::with_capacity(8192);
    queue.try_receive(Select::Any, &mut message).unwrap();
    message.bytes().to_vec()
}

/// One of the ways of sending, by its name.
fn send(queue: &Queue, way: &str) -> Result<()> {
    let (bytes, message, far) =
        (b"message", Message::new(TWO, b"message"), Deadline::after(Duration::from_secs(60)));
    match way {
        "send" => queue.send(TWO, bytes),
        "try" => queue.try_send(TWO, bytes),
        "deadline" => queue.send_deadline(TWO, bytes, far),
        "past" => queue.send_deadline(TWO, bytes, Deadline::now()),
        "interruptible" => queue.send_interruptible(TWO, bytes),
        "deadline interruptible" => queue.send_wait(TWO, bytes, Wait::until(far).interruptible()),
        "message" => queue.send_message(&message),
        "try message" => queue.try_send_message(&message),
        "message deadline" => queue.send_message_deadline(&message, far),
        "message past" => queue.send_message_deadline(&message, Deadline::now()),
        "message interruptible" => queue.send_message_interruptible(&message),
        "message wait" => queue.send_message_wait(&message, Wait::forever()),
        _ => unreachable!("{way}"),
    }
}

const SENDS: [&str; 12] = [
    "send",
    "try",
    "deadline",
    "past",
    "interruptible",
    "deadline interruptible",
    "message",
    "try message",
    "message deadline",
    "message past",
    "message interruptible",
    "message wait",
];

/// One of the ways of receiving, by its name.
fn receive(queue: &Queue, way: &str) -> Result<Message> {
    let mut message = Message::with_capacity(7);
    let (any, far) = (Select::Any, Deadline::after(Duration::from_secs(60)));
    let whole = |extent| assert_eq!(extent, Extent::Whole);
    match way {
        "receive" => queue.receive(any, &mut message),
        "try" => queue.try_receive(any, &mut message),
        "deadline" => queue.receive_deadline(any, &mut message, far),
        "past" => queue.receive_deadline(any, &mut message, Deadline::now()),
        "interruptible" => queue.receive_interruptible(any, &mut message),
        "deadline interruptible" => queue.receive_wait(any, &mut message, Wait::until(far).interruptible()),
        "truncating" => queue.receive_truncating(any, &mut message).map(whole),
        "try truncating" => queue.try_receive_truncating(any, &mut message).map(whole),
        "truncating deadline" => queue.receive_truncating_deadline(any, &mut message, far).map(whole),
        "truncating past" => queue.receive_truncating_deadline(any, &mut message, Deadline::now()).map(whole),
        "truncating interruptible" => queue.receive_truncating_interruptible(any, &mut message).map(whole),
        "truncating wait" => queue.receive_truncating_wait(any, &mut message, Wait::forever()).map(whole),
        _ => unreachable!("{way}"),
    }?;
    Ok(message)
}

const RECEIVES: [&str; 12] = [
    "receive",
    "try",
    "deadline",
    "past",
    "interruptible",
    "deadline interruptible",
    "truncating",
    "try truncating",
    "truncating deadline",
    "truncating past",
    "truncating interruptible",
    "truncating wait",
];

fn waits(way: &&str) -> bool {
    !way.contains("try") && !way.contains("past")
}

/// Where the kernel shows a process that waits in this way.
fn place(way: &str, call: i64) -> i64 {
    if way.contains("deadline") { call::PPOLL } else { call }
}

fn play_sender(peer: &Peer) {
    let queue = given(peer);
    peer.say("sending");
    match send(&queue, &peer.arg(1)) {
        Ok(()) => peer.say("sent"),
        Err(error) => peer.say(&format!("{:?}", error.kind())),
    }
}

fn play_receiver(peer: &Peer) {
    let queue = given(peer);
    peer.say("receiving");
    match receive(&queue, &peer.arg(1)) {
        Ok(message) => peer.say(&format!("{message:?}")),
        Err(error) => peer.say(&format!("{:?}", error.kind())),
    }
}

#[test]
fn every_form_does_at_once_what_can_be_done_at_once() {
    let _test = test!();
    let queue = private();
    for (sending, receiving) in SENDS.into_iter().zip(RECEIVES) {
        send(&queue, sending).unwrap();
        assert_eq!(
            receive(&queue, receiving).unwrap(),
            Message::new(TWO, b"message"),
            "{sending}, {receiving}"
        );
    }
}

#[test]
fn a_full_queue_and_an_empty_one_are_told_from_a_deadline() {
    let _test = test!();
    let (full, empty) = (full(), private());
    for (way, kind) in [
        ("try", ErrorKind::WouldBlock),
        ("try message", ErrorKind::WouldBlock),
        ("past", ErrorKind::TimedOut),
        ("message past", ErrorKind::TimedOut),
    ] {
        assert_eq!(send(&full, way).unwrap_err().kind(), kind, "{way}");
    }
    for (way, kind) in [
        ("try", ErrorKind::WouldBlock),
        ("try truncating", ErrorKind::WouldBlock),
        ("past", ErrorKind::TimedOut),
        ("truncating past", ErrorKind::TimedOut),
    ] {
        assert_eq!(receive(&empty, way).unwrap_err().kind(), kind, "{way}");
    }
    assert_eq!(send(&full, "try").unwrap_err().errno(), Some(Errno::AGAIN));
    assert_eq!(receive(&empty, "try").unwrap_err().errno(), Some(Errno::NOMSG));
    assert_eq!((full.stat().unwrap().qnum, empty.stat().unwrap().qnum), (1, 0));
}

#[test]
fn a_deadline_is_kept() {
    let _test = test!();
    let (full, empty) = (full(), private());
    let mut message = Message::with_capacity(7);
    let start = Instant::now();
    let sent = full.send_deadline(ONE, b"late", Deadline::after(MOMENT));
    assert_eq!(sent.unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= MOMENT);
    let start = Instant::now();
    let received = empty.receive_deadline(Select::Any, &mut message, Deadline::after(MOMENT));
    assert_eq!(received.unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= MOMENT);
}

#[test]
fn a_sender_goes_on_when_there_is_room() {
    let test = test!();
    test.role("sender", play_sender);
    for way in SENDS.iter().filter(|way| waits(way)) {
        let queue = full();
        let mut sender = test.child("sender").arg(queue.id()).arg(way).spawn();
        sender.expect("sending");
        sender.wait_until_blocked_in(&[place(way, call::MSGSND)]);
        assert_eq!(queue.stat().unwrap().qnum, 1);
        assert_eq!(take(&queue), b"obstacle");
        sender.expect("sent");
        assert_eq!(take(&queue), b"message", "{way}");
        sender.succeed();
    }
}

#[test]
fn a_receiver_goes_on_when_there_is_a_message() {
    let test = test!();
    test.role("receiver", play_receiver);
    for way in RECEIVES.iter().filter(|way| waits(way)) {
        let queue = private();
        let mut receiver = test.child("receiver").arg(queue.id()).arg(way).spawn();
        receiver.expect("receiving");
        receiver.wait_until_blocked_in(&[place(way, call::MSGRCV)]);
        queue.send(TWO, b"message").unwrap();
        receiver.expect(r#"Message(type 2, "message")"#);
        receiver.succeed();
    }
}

#[test]
fn removal_ends_every_wait() {
    let test = test!();
    test.role("sender", play_sender);
    test.role("receiver", play_receiver);
    let end = |role: &str, way: &str, queue: RemoveOnDrop, call: i64| {
        let mut child: Child = test.child(role).arg(queue.id()).arg(way).spawn();
        child.expect(if role == "sender" { "sending" } else { "receiving" });
        child.wait_until_blocked_in(&[place(way, call)]);
        queue.remove().unwrap();
        child.expect("Removed");
        child.succeed();
    };
    for way in SENDS.iter().filter(|way| waits(way)) {
        end("sender", way, full(), call::MSGSND);
    }
    for way in RECEIVES.iter().filter(|way| waits(way)) {
        end("receiver", way, private(), call::MSGRCV);
    }
}

#[test]
fn the_errno_of_a_removal_while_blocked_is_eidrm() {
    let test = test!();
    test.role("receiver", |peer| {
        let error = receive(&given(peer), "receive").unwrap_err();
        peer.say(&error.to_string());
    });
    let queue = private();
    let mut receiver = test.child("receiver").arg(queue.id()).spawn();
    receiver.wait_until_blocked_in(&[call::MSGRCV]);
    let id = queue.id();
    drop(queue);
    receiver.expect(&format!(
        "cannot receive from System V message queue id {id}: identifier removed (EIDRM); \
         no queue has this identifier any more"
    ));
    receiver.succeed();
}

#[test]
fn a_blocked_receiver_with_a_small_buffer_leaves_the_message() {
    let test = test!();
    test.role("receiver", play_receiver);
    for way in ["receive", "deadline", "interruptible"] {
        let queue = private();
        let mut receiver = test.child("receiver").arg(queue.id()).arg(way).spawn();
        receiver.expect("receiving");
        receiver.wait_until_blocked_in(&[place(way, call::MSGRCV)]);
        queue.send(ONE, b"too long").unwrap();
        receiver.expect("TooLong");
        assert_eq!(take(&queue), b"too long");
        receiver.succeed();
    }
}

#[test]
fn a_blocked_receiver_waits_for_its_type() {
    let test = test!();
    test.role("receiver", |peer| {
        let mut message = Message::with_capacity(16);
        given(peer).receive(Select::Except(ONE), &mut message).unwrap();
        peer.say(&format!("{message:?}"));
    });
    let queue = private();
    let mut receiver = test.child("receiver").arg(queue.id()).spawn();
    receiver.wait_until_blocked_in(&[call::MSGRCV]);
    queue.send(ONE, b"not wanted").unwrap();
    receiver.wait_until_blocked_in(&[call::MSGRCV]);
    queue.send(TWO, b"wanted").unwrap();
    receiver.expect(r#"Message(type 2, "wanted")"#);
    assert_eq!(take(&queue), b"not wanted");
    receiver.succeed();
}

#[test]
fn a_storm_of_signals_does_not_end_a_wait() {
    let test = test!();
    test.role("sender", |peer| {
        let queue = given(peer);
        let storm = Storm::on_this_thread();
        thread::scope(|scope| {
            scope.spawn(|| {
                storm.wait_for(30);
                take(&queue);
            });
            send(&queue, &peer.arg(1)).unwrap();
        });
        assert_eq!(take(&queue), b"message");
    });
    test.role("receiver", |peer| {
        let queue = given(peer);
        let storm = Storm::on_this_thread();
        thread::scope(|scope| {
            scope.spawn(|| {
                storm.wait_for(30);
                queue.send(TWO, b"message").unwrap();
            });
            assert_eq!(receive(&queue, &peer.arg(1)).unwrap().bytes(), b"message");
        });
    });
    for way in SENDS.iter().filter(|way| waits(way) && !way.contains("interruptible")) {
        let queue = full();
        test.child("sender").arg(queue.id()).arg(way).spawn().succeed();
    }
    for way in RECEIVES.iter().filter(|way| waits(way) && !way.contains("interruptible")) {
        let queue = private();
        test.child("receiver").arg(queue.id()).arg(way).spawn().succeed();
    }
}

#[test]
fn a_storm_of_signals_does_not_shorten_a_deadline() {
    let test = test!();
    test.role("sender", |peer| {
        let queue = given(peer);
        let _storm = Storm::on_this_thread();
        let start = Instant::now();
        let sent = queue.send_deadline(ONE, b"late", Deadline::after(MOMENT));
        assert_eq!(sent.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() >= MOMENT);
    });
    test.role("receiver", |peer| {
        let (queue, mut message) = (given(peer), Message::with_capacity(7));
        let _storm = Storm::on_this_thread();
        let start = Instant::now();
        let received = queue.receive_deadline(Select::Any, &mut message, Deadline::after(MOMENT));
        assert_eq!(received.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() >= MOMENT);
    });
    let (full, empty) = (full(), private());
    test.child("sender").arg(full.id()).spawn().succeed();
    test.child("receiver").arg(empty.id()).spawn().succeed();
}

#[test]
fn a_signal_ends_an_interruptible_wait() {
    let test = test!();
    test.role("sender", |peer| {
        let queue = given(peer);
        let _storm = Storm::on_this_thread();
        for way in SENDS.iter().filter(|way| way.contains("interruptible")) {
            let error = send(&queue, way).unwrap_err();
            assert_eq!((error.kind(), error.errno()), (ErrorKind::Interrupted, Some(Errno::INTR)), "{way}");
        }
    });
    test.role("receiver", |peer| {
        let queue = given(peer);
        let _storm = Storm::on_this_thread();
        for way in RECEIVES.iter().filter(|way| way.contains("interruptible")) {
            let error = receive(&queue, way).unwrap_err();
            assert_eq!((error.kind(), error.errno()), (ErrorKind::Interrupted, Some(Errno::INTR)), "{way}");
        }
    });
    let (full, empty) = (full(), private());
    test.child("sender").arg(full.id()).spawn().succeed();
    test.child("receiver").arg(empty.id()).spawn().succeed();
    assert_eq!((full.stat().unwrap().qnum, empty.stat().unwrap().qnum), (1, 0));
}

#[test]
fn what_can_never_fit_is_refused_by_every_form() {
    let _test = test!();
    for way in SENDS {
        // One byte less than the message has.
        let queue = small(6);
        let error = send(&Queue::from_id(queue.id()), way).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::TooLong, None), "{way}");
        let limit = error.limit().unwrap();
        assert_eq!((limit.name, limit.current, limit.needed), ("the queue's qbytes", Some(6), Some(7)));
    }
    let nothing_fits = small(0);
    let error = nothing_fits.send(ONE, b"").unwrap_err();
    assert_eq!((error.kind(), error.limit().unwrap().needed), (ErrorKind::TooLong, Some(1)));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot send to System V message queue id {}: the message would not fit even if the queue were empty: \
             the queue's qbytes is 0, 1 is needed; raise it with `Queue::set`; new queues get kernel.msgmnb",
            nothing_fits.id()
        )
    );
}

#[test]
fn a_queue_that_was_made_larger_takes_what_did_not_fit() {
    let test = test!();
    test.role("owner", |peer| {
        let queue = given(peer);
        queue.set(Settings { qbytes: 100, ..Settings::from(queue.stat().unwrap()) }).unwrap();
    });
    let queue = small(6);
    assert_eq!(send(&queue, "send").unwrap_err().kind(), ErrorKind::TooLong);
    test.child("owner").arg(queue.id()).spawn().succeed();
    send(&queue, "send").unwrap();
}

#[test]
fn a_full_queue_of_empty_messages_is_full() {
    let _test = test!();
    // `qbytes` bounds the messages too.
    let queue = small(3);
    for _ in 0..3 {
        queue.try_send(ONE, b"").unwrap();
    }
    assert_eq!(queue.try_send(ONE, b"").unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(queue.stat().unwrap().cbytes, 0);
}

#[test]
fn a_killed_process_takes_no_message_along() {
    let test = test!();
    test.role("receiver", play_receiver);
    test.role("sender", |peer| {
        let queue = given(peer);
        for number in 0..20_u8 {
            queue.send(ONE, &[number]).unwrap();
        }
        peer.say("sent");
        queue.send(ONE, &[0; 100]).unwrap();
    });
    // Killed while it waits for room, with a message on its way.
    let queue = small(100);
    let mut sender = test.child("sender").arg(queue.id()).spawn();
    sender.expect("sent");
    sender.wait_until_blocked_in(&[call::MSGSND]);
    sender.kill();
    // Killed while it waits for a message: the next one is nobody's yet.
    let empty = private();
    let mut receiver = test.child("receiver").arg(empty.id()).arg("receive").spawn();
    receiver.expect("receiving");
    receiver.wait_until_blocked_in(&[call::MSGRCV]);
    receiver.kill();
    empty.send(ONE, b"kept").unwrap();
    assert_eq!(take(&empty), b"kept");

    let left: Vec<_> = (0..20).map(|_| take(&queue)).collect();
    assert_eq!(left, (0..20).map(|number| vec![number]).collect::<Vec<_>>());
    assert_eq!(queue.stat().unwrap().qnum, 0);
}

#[test]
fn many_senders_and_receivers_lose_and_double_nothing() {
    const SENDERS: usize = 4;
    const RECEIVERS: usize = 3;
    const EACH: usize = 300;
    const END: Type = Type::new(9).unwrap();
    let test = test!();
    test.role("sender", |peer| {
        let queue = given(peer);
        peer.wait_for("now");
        for number in 0..EACH {
            queue.send(ONE, format!("{}.{number}", peer.arg(1)).as_bytes()).unwrap();
        }
    });
    test.role("receiver", |peer| {
        let queue = given(peer);
        let mut message = Message::with_capacity(64);
        let mut got = Vec::new();
        loop {
            // The end comes after all that is still there, and each receiver takes one.
            queue.receive(Select::LowestUpTo(END), &mut message).unwrap();
            if message.mtype() == END {
                break;
            }
            got.push(String::from_utf8(message.bytes().to_vec()).unwrap());
        }
        peer.say(&got.join(" "));
    });
    // Small, so that senders wait too.
    let queue = small(64);
    let mut receivers: Vec<_> =
        (0..RECEIVERS).map(|_| test.child("receiver").arg(queue.id()).spawn()).collect();
    let mut senders: Vec<_> =
        (0..SENDERS).map(|number| test.child("sender").arg(queue.id()).arg(number).spawn()).collect();
    senders.iter_mut().for_each(|sender| sender.tell("now"));
    senders.into_iter().for_each(Child::succeed);
    for _ in 0..RECEIVERS {
        queue.send(END, b"").unwrap();
    }
    let mut got = Vec::new();
    for receiver in &mut receivers {
        let line = receiver.hear();
        let mut last = [None; SENDERS];
        for (sender, number) in line.split_whitespace().map(|word| word.split_once('.').unwrap()) {
            let (sender, number): (usize, usize) = (sender.parse().unwrap(), number.parse().unwrap());
            assert!(last[sender] < Some(number), "one sender's messages arrive in order");
            last[sender] = Some(number);
            got.push((sender, number));
        }
    }
    assert_eq!(got.len(), SENDERS * EACH);
    let expected: BTreeSet<_> =
        (0..SENDERS).flat_map(|sender| (0..EACH).map(move |number| (sender, number))).collect();
    assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(queue.stat().unwrap().qnum, 0);
}
