//! Channels over POSIX message queues.

#[path = "support/channels.rs"]
mod support;

use std::os::fd::AsFd;

use allocation_counter::measure;
use support::*;
use twixt_channel::{Attributes, Capabilities, Capacity, Interest, Message, Opening, Sender};
use twixt_os::posix::mq::{self, Access, Limits, Queue};
use twixt_os::{ErrorKind, Mode, Wait};
use twixt_testkit::strace::{self, ROUNDS};
use twixt_testkit::{Child, Defer, command, compile_c, defer, output, root, scratch, test, unique_name};

/// A name of no queue, and its address. What gets the name loses it again.
fn unused() -> (Defer<impl FnOnce()>, String, String) {
    let name = format!("/{}", unique_name());
    let cleanup = defer({
        let name = name.clone();
        move || drop(mq::unlink(&name))
    });
    let address = format!("posix-mq:{name}");
    (cleanup, address, name)
}

/// A queue of four messages of up to 64 bytes, and its address.
fn queue() -> (Defer<impl FnOnce()>, String) {
    let (cleanup, address, name) = unused();
    Queue::create(&name, Access::Read, Limits { max_messages: 4, message_size: 64 }, Mode::OWNER).unwrap();
    (cleanup, address)
}

fn prior(priority: u32) -> Attributes<'static> {
    Attributes::new().priority(priority)
}

#[test]
fn messages_go_from_process_to_process() {
    let test = test!();
    test.role("receiver", |peer| {
        let mut receiver = receiver(&peer.arg(0));
        for _ in 0..3 {
            let message = receiver.receive().unwrap();
            let text = String::from_utf8_lossy(message.bytes()).into_owned();
            peer.say(&format!("{} {text}", message.priority().unwrap()));
        }
    });
    let (_cleanup, address) = queue();
    let mut child = test.child("receiver").arg(&address).spawn();
    child.wait_until_blocked_in(&[twixt_testkit::call::MQ_RECEIVE]);
    let mut sender = sender(&format!("{address}?prio=5"));
    sender.send(b"one").unwrap();
    child.expect("5 one");
    sender.send(b"").unwrap();
    child.expect("5 ");
    sender.send_with(b"three", &prior(32_767), Wait::forever()).unwrap();
    child.expect("32767 three");
    child.succeed();
}

#[test]
fn the_highest_priority_comes_first() {
    let _test = test!();
    let (_cleanup, address) = queue();
    let mut sender = sender(&address);
    for (priority, message) in [(1, "b"), (0, "d"), (9, "a"), (1, "c")] {
        sender.send_with(message.as_bytes(), &prior(priority), Wait::never()).unwrap();
    }
    finds_no_room(&mut sender, b"x");
    let mut receiver = receiver(&address);
    for message in ["a", "b", "c", "d"] {
        assert_eq!(next(&mut receiver), message.as_bytes());
    }
    finds_nothing(&mut receiver);
    let sent = sender.send_with(b"x", &prior(32_768), Wait::never());
    refusal(sent, ErrorKind::OutOfRange, &["0 to 32767"]);
}

#[test]
fn it_tells_what_it_can_do() {
    let _test = test!();
    let (_cleanup, text) = queue();
    let (mut sender, receiver) = (sender(&text), receiver(&text));
    assert_eq!(Capabilities::of(address(&text).endpoint()).unwrap().max_message, Some(8192));
    assert_eq!(sender.capabilities().max_message, Some(64));
    assert_eq!(receiver.capabilities(), sender.capabilities());
    assert_eq!(sender.capabilities().priority, Some(32_767));
    assert_eq!(sender.capacity().unwrap(), Some(Capacity::Messages(4)));
    sender.send(&[7; 60]).unwrap();
    assert_eq!((sender.len().unwrap(), receiver.len().unwrap()), (Some(1), Some(1)));
    refusal(sender.send(&[7; 65]), ErrorKind::TooLong, &["mq_msgsize is 64, 65 is needed"]);
    let sent = sender.send_with(b"x", &Attributes::new().message_type(1), Wait::never());
    refusal(sent, ErrorKind::Unsupported, &["no types"]);
}

#[test]
fn readiness_can_be_polled() {
    let _test = test!();
    let (_cleanup, address) = queue();
    let (mut sender, mut receiver) = (sender(&address), receiver(&address));
    assert_eq!(receiver.readiness().unwrap().interest(), Interest::Read);
    assert_eq!(sender.readiness().unwrap().interest(), Interest::Write);
    assert!(Wait::never().until_readable(receiver.readiness().unwrap()).is_err());
    fill(&mut sender, b"x");
    Wait::never().until_readable(receiver.readiness().unwrap().as_fd()).unwrap();
    assert!(Wait::never().until_writable(sender.readiness().unwrap()).is_err());
    next(&mut receiver);
    Wait::never().until_writable(sender.readiness().unwrap()).unwrap();
}

#[test]
fn create_makes_what_is_not_there() {
    let _test = test!();
    let (_cleanup, address, name) = unused();
    no_sender(&address, ErrorKind::NotFound, &["?create", "twixt mk", &name]);
    no_receiver(&address, ErrorKind::NotFound, &["?create", "twixt mk"]);
    let mut sender = sender(&format!("{address}?create&mode=0600&capacity=3&message-size=16"));
    assert_eq!(sender.capacity().unwrap(), Some(Capacity::Messages(3)));
    // One that is there stays as it is.
    let mut receiver = receiver(&format!("{address}?create&capacity=2"));
    assert_eq!(receiver.capacity().unwrap(), Some(Capacity::Messages(3)));
    assert_eq!(receiver.capabilities().max_message, Some(16));
    sender.send(b"hello").unwrap();
    drop(sender);
    assert_eq!(next(&mut receiver), b"hello");
}

#[test]
fn what_is_not_said_is_the_kernels() {
    let _test = test!();
    let (_cleanup, address, name) = unused();
    let kernel = Queue::create(&name, Access::Read, None, Mode::OWNER).unwrap().status().unwrap().limits;
    mq::unlink(&name).unwrap();
    let sender = sender(&format!("{address}?create&capacity=2"));
    assert_eq!(sender.capabilities().max_message, Some(kernel.message_size));
    mq::unlink(&name).unwrap();
    let receiver = receiver(&format!("{address}?create&message-size=100"));
    assert_eq!(receiver.capacity().unwrap(), Some(Capacity::Messages(kernel.max_messages as u64)));
}

#[test]
fn what_has_no_use_is_refused() {
    let _test = test!();
    let (_cleanup, address, _name) = unused();
    for option in ["mode=0600", "capacity=100", "message-size=10"] {
        let name = option.split('=').next().unwrap();
        no_sender(&format!("{address}?{option}"), ErrorKind::Unsupported, &[name, "add create"]);
        no_receiver(&format!("{address}?{option}"), ErrorKind::Unsupported, &[name, "add create"]);
    }
    no_receiver(&format!("{address}?prio=3"), ErrorKind::Unsupported, &["option prio"]);
    no_sender(&format!("{address}?create&capacity=0"), ErrorKind::Unsupported, &["capacity 0"]);
    let opening = Opening::new(&self::address(&address));
    refusal(opening.duplex(), ErrorKind::Unsupported, &["one direction"]);
    refusal(opening.listener(), ErrorKind::Unsupported, &["no listening side"]);
}

#[test]
fn the_address_says_how_long_to_wait() {
    let _test = test!();
    let (_cleanup, address) = queue();
    assert_eq!(kind(receiver(&format!("{address}?timeout=20ms")).receive()), ErrorKind::TimedOut);
    let mut sender = sender(&format!("{address}?timeout=20ms"));
    assert_eq!(fill(&mut sender, b"x"), 4);
    assert_eq!(kind(sender.send(b"x")), ErrorKind::TimedOut);
}

#[test]
fn messages_outlive_their_sender() {
    let test = test!();
    test.role("sender", |peer| {
        sender(&peer.arg(0)).send(b"left behind").unwrap();
        peer.say("sent");
        peer.hear();
    });
    let (_cleanup, address) = queue();
    let mut child = test.child("sender").arg(&address).spawn();
    child.expect("sent");
    child.kill();
    assert_eq!(next(&mut receiver(&address)), b"left behind");
}

#[test]
fn signals_do_not_disturb() {
    let test = test!();
    test.role("receiver", |peer| receives_through_storm(peer, &mut receiver(&peer.arg(0))));
    test.role("sender", |peer| {
        let mut sender = sender(&peer.arg(0));
        fill(&mut sender, b"x");
        sends_through_storm(peer, &mut sender, b"x");
    });
    let (_cleanup, address) = queue();
    let mut child = test.child("receiver").arg(&address).spawn();
    child.expect("stormed");
    child.expect("stormed");
    sender(&address).send(b"after the storm").unwrap();
    child.succeed();
    let mut child = test.child("sender").arg(&address).spawn();
    child.expect("stormed");
    child.expect("stormed");
    receiver(&address).receive().unwrap();
    child.succeed();
}

#[test]
fn another_users_queue_is_closed() {
    let test = test!();
    test.role("nobody", |peer| {
        no_sender(&peer.arg(0), ErrorKind::PermissionDenied, &[]);
        no_receiver(&peer.arg(0), ErrorKind::PermissionDenied, &[]);
        no_receiver(&format!("{}?create", peer.arg(0)), ErrorKind::PermissionDenied, &[]);
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let (_cleanup, address) = queue();
    test.child("nobody").arg(address).as_nobody().spawn().succeed();
}

#[test]
fn limits_are_named() {
    test!().in_namespaces(|_| {
        let (_cleanup, address, _name) = unused();
        std::fs::write("/proc/sys/fs/mqueue/msgsize_max", "512").unwrap();
        std::fs::write("/proc/sys/fs/mqueue/queues_max", "1").unwrap();
        let opened = Sender::open(&self::address(&format!("{address}?create&message-size=513")));
        // Who may exceed the limits of the namespace exceeds them.
        if let Err(error) = opened {
            assert_eq!(error.kind(), ErrorKind::LimitReached);
            assert!(error.to_string().contains("fs.mqueue.msgsize_max is 512, 513 is needed"), "{error}");
        }
        // The default is more than the greatest here, and the kernel takes the lesser.
        let sender = sender(&format!("{address}?create&capacity=1"));
        assert!(sender.capabilities().max_message <= Some(513), "{:?}", sender.capabilities());
        let (_none, another, _name) = unused();
        let opened = Sender::open(&self::address(&format!("{another}?create&message-size=8&capacity=1")));
        if let Err(error) = opened {
            assert_eq!(error.kind(), ErrorKind::LimitReached);
            assert!(error.to_string().contains("fs.mqueue.queues_max is 1"), "{error}");
        }
    });
}

#[test]
fn a_c_program_understands() {
    let _test = test!();
    let directory = scratch();
    let source = r#"
        #include <fcntl.h>
        #include <mqueue.h>
        #include <stdio.h>
        int main(int argc, char **argv) {
            char text[64];
            unsigned priority;
            mqd_t queue = mq_open(argv[1], O_RDWR);
            ssize_t len = mq_receive(queue, text, sizeof text, &priority);
            if (len < 0) { perror("mq_receive"); return 1; }
            for (ssize_t i = 0; i < len / 2; i++) {
                char first = text[i];
                text[i] = text[len - 1 - i];
                text[len - 1 - i] = first;
            }
            return mq_send(queue, text, len, priority + 1) != 0;
        }
    "#;
    let program = compile_c(directory.path(), "reverse", source, &["rt"]);
    let (_cleanup, address) = queue();
    sender(&format!("{address}?prio=7")).send(b"stressed").unwrap();
    assert_eq!(output(program, &[address.trim_start_matches("posix-mq:")]), "");
    let message = receiver(&address).try_receive().unwrap();
    assert_eq!((message.bytes(), message.priority()), (b"desserts".as_slice(), Some(8)));
}

#[test]
fn python_understands() {
    let test = test!();
    if let Err(missing) = command("python3") {
        return test.skip(&missing);
    }
    let (_cleanup, address) = queue();
    sender(&address).send(b"hello").unwrap();
    let script = "import ctypes, os, sys\n\
        c = ctypes.CDLL('librt.so.1', use_errno=True)\n\
        q = c.mq_open(sys.argv[1].encode(), os.O_RDWR)\n\
        b = ctypes.create_string_buffer(64)\n\
        n = c.mq_receive(q, b, ctypes.c_size_t(64), None)\n\
        print(n, b.raw[:n].decode())\n";
    let mut child = Child::program("python3", &["-c", script, address.trim_start_matches("posix-mq:")]);
    assert_eq!(child.line().as_deref(), Some("5 hello"));
    child.succeed();
}

#[test]
fn a_message_costs_one_call() {
    let test = test!();
    test.role("both", |peer| {
        let (_cleanup, address) = queue();
        let (mut sender, mut receiver) = (sender(&address), receiver(&address));
        let mut message = Message::new();
        for _ in 0..peer.arg(0).parse().unwrap() {
            sender.send(b"ping").unwrap();
            receiver.receive_into(&mut message).unwrap();
            sender.send_with(b"ping", &prior(3), Wait::never()).unwrap();
            receiver.receive_wait(&mut message, Wait::until(later())).unwrap();
        }
    });
    match strace::cost(|rounds| test.child("both").arg(rounds)) {
        Ok(cost) => {
            let expected = [("mq_timedsend", 2 * ROUNDS), ("mq_timedreceive", 2 * ROUNDS)];
            assert_eq!(cost, strace::expected(&expected));
        }
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn a_message_allocates_nothing() {
    let _test = test!();
    let (_cleanup, address) = queue();
    let (mut sender, mut receiver) = (sender(&address), receiver(&address));
    let mut message = Message::new();
    let mut round = || {
        sender.send(&[1; 64]).unwrap();
        receiver.receive_into(&mut message).unwrap();
        sender.send_deadline(b"ping", past()).unwrap();
        receiver.receive_wait(&mut message, Wait::never()).unwrap();
        assert_eq!(kind(receiver.receive_wait(&mut message, Wait::never())), ErrorKind::WouldBlock);
    };
    round();
    assert_eq!(measure(|| (0..100).for_each(|_| round())).count_total, 0);
}
