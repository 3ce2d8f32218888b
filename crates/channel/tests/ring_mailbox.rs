//! Rings as mailboxes: many senders, many receivers, in any processes.

use std::time::Duration;

use twixt_channel::{Capacities, Capacity, Message, Receiver, Sender};
use twixt_os::sysv::sem::{Operation, Set};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{Storm, test};

#[path = "support/rings.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod rings;

use rings::Place;

#[test]
fn messages_arrive_whole_and_in_order() {
    for place in Place::all() {
        let mut sender = Sender::open(&place.address("?create")).unwrap();
        let mut receiver = Receiver::open(&place.address("")).unwrap();
        for message in [&b"one"[..], b"", b"three\nlines\0and a zero"] {
            sender.send(message).unwrap();
        }
        assert_eq!(sender.len().unwrap(), Some(16 + 8 + 32));
        assert_eq!(receiver.receive().unwrap().bytes(), b"one");
        assert_eq!(receiver.receive().unwrap().bytes(), b"");
        assert_eq!(receiver.receive().unwrap().bytes(), b"three\nlines\0and a zero");
        assert_eq!(receiver.try_receive().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(receiver.len().unwrap(), Some(0));
    }
}

#[test]
fn small_rings_wrap_around_with_messages_of_every_length() {
    for place in Place::all() {
        let mut sender = Sender::open(&place.address("?create&capacity=104")).unwrap();
        let mut receiver = Receiver::open(&place.address("")).unwrap();
        let mut message = Message::new();
        for round in 0..2_000_usize {
            let bytes: Vec<u8> = (0..round % 97).map(|at| (at * 7 + round) as u8).collect();
            sender.try_send(&bytes).unwrap();
            receiver.receive_into(&mut message).unwrap();
            assert_eq!(message.bytes(), bytes);
        }
    }
}

#[test]
fn the_longest_message_passes_and_one_byte_more_does_not() {
    for place in Place::all() {
        let mut sender = Sender::open(&place.address("?create&capacity=4k")).unwrap();
        let mut receiver = Receiver::open(&place.address("")).unwrap();
        let longest = sender.capabilities().max_message.unwrap();
        assert_eq!(longest, 4096 - 8);
        let mut bytes = vec![7; longest];
        sender.send(&bytes).unwrap();
        assert_eq!(receiver.receive().unwrap().bytes(), bytes);
        bytes.push(7);
        assert_eq!(sender.send(&bytes).unwrap_err().kind(), ErrorKind::TooLong);
        assert_eq!(receiver.try_receive().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn a_full_ring_refuses_and_an_empty_one_has_nothing() {
    for place in Place::all() {
        let mut sender = Sender::open(&place.address("?create&capacity=64")).unwrap();
        let mut receiver = Receiver::open(&place.address("")).unwrap();
        assert_eq!(sender.capacity().unwrap(), Some(Capacity::Bytes(64)));
        assert_eq!(sender.capabilities().capacities, Capacities::BOUNDED);
        let past = Wait::until(Deadline::now());
        for _ in 0..4 {
            sender.send_wait(b"12345678", past).unwrap();
        }
        assert_eq!(sender.try_send(b"").unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(sender.send_wait(b"", past).unwrap_err().kind(), ErrorKind::TimedOut);
        let soon = Deadline::after(Duration::from_millis(30));
        assert_eq!(sender.send_deadline(b"", soon).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(soon.has_passed());
        let mut message = Message::new();
        for _ in 0..4 {
            receiver.receive_wait(&mut message, past).unwrap();
            assert_eq!(message.bytes(), b"12345678");
        }
        assert_eq!(receiver.receive_wait(&mut message, past).unwrap_err().kind(), ErrorKind::TimedOut);
        let soon = Deadline::after(Duration::from_millis(130));
        assert_eq!(receiver.receive_deadline(soon).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(soon.has_passed());
    }
}

#[test]
fn who_sleeps_is_woken() {
    let test = test!();
    test.role("receiver", |peer| {
        let mut receiver = Receiver::open(&peer.arg(0).parse().unwrap()).unwrap();
        for _ in 0..2 {
            peer.say(std::str::from_utf8(receiver.receive().unwrap().bytes()).unwrap());
        }
    });
    test.role("sender", |peer| {
        let mut sender = Sender::open(&peer.arg(0).parse().unwrap()).unwrap();
        sender.send(b"into room that was not there").unwrap();
        peer.say("sent");
    });
    for place in Place::all() {
        let mut sender = Sender::open(&place.address("?create&capacity=64")).unwrap();
        let mut receiver = test.child("receiver").arg(place.text("")).spawn();
        for message in ["first", "second"] {
            place.wait_for_sleeping_receiver();
            sender.send(message.as_bytes()).unwrap();
            receiver.expect(message);
        }
        receiver.succeed();

        sender.send(&[0; 40]).unwrap();
        let mut child = test.child("sender").arg(place.text("")).spawn();
        place.wait_for_sleeping_sender();
        let mut receiver = Receiver::open(&place.address("")).unwrap();
        receiver.receive().unwrap();
        child.expect("sent");
        assert_eq!(receiver.receive().unwrap().bytes(), b"into room that was not there");
        child.succeed();
    }
}

#[test]
fn signals_end_the_waits_that_they_are_meant_to_end_and_no_others() {
    let test = test!();
    test.role("stormed", |peer| {
        let address = peer.arg(0).parse().unwrap();
        let mut receiver = Receiver::open(&address).unwrap();
        let mut sender = Sender::open(&address).unwrap();
        let _storm = Storm::on_this_thread();
        assert_eq!(receiver.receive_interruptible().unwrap_err().kind(), ErrorKind::Interrupted);
        let soon = Deadline::after(Duration::from_millis(250));
        assert_eq!(receiver.receive_deadline(soon).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(soon.has_passed());
        peer.say("waiting");
        assert_eq!(receiver.receive().unwrap().bytes(), b"at last");
        sender.send(&[0; 56]).unwrap();
        assert_eq!(sender.send_interruptible(b"").unwrap_err().kind(), ErrorKind::Interrupted);
        let soon = Deadline::after(Duration::from_millis(250));
        assert_eq!(sender.send_deadline(b"", soon).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(soon.has_passed());
        peer.say("full");
        sender.send(b"room").unwrap();
    });
    for place in Place::all() {
        let mut sender = Sender::open(&place.address("?create&capacity=64")).unwrap();
        let mut receiver = Receiver::open(&place.address("")).unwrap();
        let mut child = test.child("stormed").arg(place.text("")).spawn();
        child.expect("waiting");
        std::thread::sleep(Duration::from_millis(50));
        sender.send(b"at last").unwrap();
        child.expect("full");
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(receiver.receive().unwrap().len(), 56);
        assert_eq!(receiver.receive().unwrap().bytes(), b"room");
        child.succeed();
    }
}

#[test]
fn many_senders_and_many_receivers_lose_and_double_nothing() {
    const SENDERS: u32 = 3;
    const RECEIVERS: u32 = 3;
    const EACH: u32 = 3_000;
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = Sender::open(&peer.arg(0).parse().unwrap()).unwrap();
        let me: u32 = peer.arg(1).parse().unwrap();
        for number in 0..EACH {
            let mut message = (me * EACH + number).to_le_bytes().to_vec();
            message.resize(4 + (number % 50) as usize, me as u8);
            sender.send(&message).unwrap();
        }
    });
    test.role("receiver", |peer| {
        let mut receiver = Receiver::open(&peer.arg(0).parse().unwrap()).unwrap();
        let mut message = Message::new();
        let mut last = [None; SENDERS as usize];
        loop {
            receiver.receive_into(&mut message).unwrap();
            let Some((number, rest)) = message.bytes().split_first_chunk::<4>() else { break };
            let number = u32::from_le_bytes(*number);
            let (from, order) = ((number / EACH) as usize, number % EACH);
            assert_eq!(rest.len(), (order % 50) as usize);
            assert!(rest.iter().all(|byte| usize::from(*byte) == from));
            assert!(last[from] < Some(order), "order of one sender's messages");
            last[from] = Some(order);
            peer.say(&number.to_string());
        }
        peer.say("end");
    });
    for place in Place::all() {
        let mut sender = Sender::open(&place.address("?create&capacity=512")).unwrap();
        let spawn = |role: &str, number: u32| test.child(role).arg(place.text("")).arg(number).spawn();
        let receivers: Vec<_> = (0..RECEIVERS).map(|number| spawn("receiver", number)).collect();
        let senders: Vec<_> = (0..SENDERS).map(|number| spawn("sender", number)).collect();
        let hearing: Vec<_> = receivers
            .into_iter()
            .map(|mut receiver| {
                std::thread::spawn(move || {
                    let mut heard = Vec::new();
                    loop {
                        match receiver.hear().as_str() {
                            "end" => break,
                            number => heard.push(number.parse::<u32>().unwrap()),
                        }
                    }
                    receiver.succeed();
                    heard
                })
            })
            .collect();
        senders.into_iter().for_each(twixt_testkit::Child::succeed);
        for _ in 0..RECEIVERS {
            sender.send(b"").unwrap();
        }
        let mut heard: Vec<u32> = hearing.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        heard.sort_unstable();
        assert!(heard.iter().copied().eq(0..SENDERS * EACH), "{}", place.scheme);
    }
}

/// Otherwise two that come and go all the time would hand the section to each other for ever, and nobody could do anything
/// while the kernel wakes up the one whose turn it is: twenty times as slow.
#[test]
fn one_who_sleeps_at_the_door_of_a_system_v_ring_does_not_keep_out_those_who_are_awake() {
    const SECTION: u16 = 0;
    let test = test!();
    test.role("visitor", |peer| {
        let mut receiver = Receiver::open(&peer.arg(0).parse().unwrap()).unwrap();
        peer.say("open");
        loop {
            assert_eq!(receiver.try_receive().unwrap_err().kind(), ErrorKind::WouldBlock);
        }
    });
    let place = Place::sysv_shm();
    let _made = Sender::open(&place.address("?create")).unwrap();
    let set = Set::open(place.key()).unwrap();
    let mut visitor = test.child("visitor").arg(place.text("")).spawn();
    visitor.expect("open");
    let mut again = 0;
    for _ in 0..20 {
        set.operate(&[Operation::acquire(SECTION).undo()]).unwrap();
        visitor.wait_until_blocked_in(&[
            libc::SYS_semop,
            libc::SYS_semtimedop,
            libc::SYS_poll,
            libc::SYS_ppoll,
        ]);
        set.operate(&[Operation::release(SECTION).undo()]).unwrap();
        // It may have woken up just now, and be inside; but not each time.
        if set.operate(&[Operation::acquire(SECTION).undo().no_wait()]).is_ok() {
            again += 1;
            set.operate(&[Operation::release(SECTION).undo()]).unwrap();
        }
    }
    assert!(again > 0);
}
