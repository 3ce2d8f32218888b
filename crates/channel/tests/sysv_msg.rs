//! Channels over System V message queues.

#[path = "support/channels.rs"]
mod support;

use allocation_counter::measure;
use std::process::{Command, Stdio};
use support::*;
use twixt_channel::{Attributes, Capabilities, Capacity, Message, Receiver, Select, Sender};
use twixt_os::sysv::Key;
use twixt_os::sysv::msg::{Queue, RemoveOnDrop, Settings, Type};
use twixt_os::{ErrorKind, Mode, Wait};
use twixt_testkit::strace::{self, ROUNDS};
use twixt_testkit::{Child, Defer, command, compile_c, defer, output, root, scratch, test, unique_key};

/// A queue and its address.
fn queue() -> (RemoveOnDrop, String) {
    let queue = Queue::create(Key::PRIVATE, Mode::OWNER).unwrap().remove_on_drop();
    let address = format!("sysv-msg:id={}", queue.id());
    (queue, address)
}

/// An address at which there is nothing, and which is empty again in the end.
fn unused() -> (Defer<impl FnOnce()>, String, Key) {
    let key = Key::new(unique_key()).unwrap();
    let cleanup = defer(move || {
        let _ = Queue::open(key).and_then(|queue| queue.remove());
    });
    (cleanup, format!("sysv-msg:{key}"), key)
}

fn typed(number: i64) -> Attributes<'static> {
    Attributes::new().message_type(number)
}

#[test]
fn messages_go_from_process_to_process() {
    let test = test!();
    test.role("receiver", |peer| {
        let mut receiver = receiver(&peer.arg(0));
        for _ in 0..3 {
            let message = receiver.receive().unwrap();
            let text = String::from_utf8_lossy(message.bytes()).into_owned();
            peer.say(&format!("{} {text}", message.message_type().unwrap()));
        }
    });
    let (_queue, address) = queue();
    let mut child = test.child("receiver").arg(&address).spawn();
    child.wait_until_blocked_in(&[twixt_testkit::call::MSGRCV]);
    let mut sender = sender(&format!("{address}?type=5"));
    sender.send(b"one").unwrap();
    sender.send(b"").unwrap();
    sender.send_with(b"three", &typed(9), Wait::forever()).unwrap();
    child.expect("5 one");
    child.expect("5 ");
    child.expect("9 three");
    child.succeed();
}

#[test]
fn receivers_choose_by_type() {
    let _test = test!();
    let (_queue, address) = queue();
    let mut sender = sender(&address);
    for number in [5, 3, 7, 1, 4] {
        sender.send_with(number.to_string().as_bytes(), &typed(number), Wait::never()).unwrap();
    }
    let mut sevens = receiver(&format!("{address}?type=7"));
    assert_eq!(next(&mut sevens), b"7");
    finds_nothing(&mut sevens);
    let mut receiver = receiver(&address);
    receiver.select(Select::LowestUpTo(Type::new(4).unwrap())).unwrap();
    assert_eq!(next(&mut receiver), b"1");
    receiver.select(Select::Except(Type::new(5).unwrap())).unwrap();
    assert_eq!(next(&mut receiver), b"3");
    receiver.select(Select::Any).unwrap();
    assert_eq!(next(&mut receiver), b"5");
    assert_eq!(next(&mut receiver), b"4");
    finds_nothing(&mut receiver);
}

#[test]
fn it_tells_what_it_can_do() {
    let _test = test!();
    let (queue, text) = queue();
    let settings = Settings::from(queue.stat().unwrap());
    queue.set(Settings { qbytes: 100, ..settings }).unwrap();
    let (mut sender, receiver) = (sender(&text), receiver(&text));
    assert_eq!(Capabilities::of(address(&text).endpoint()).unwrap().max_message, Some(8192));
    assert_eq!(sender.capabilities().max_message, Some(100));
    assert_eq!(receiver.capabilities(), sender.capabilities());
    assert!(sender.capabilities().types && !sender.capabilities().pollable);
    assert_eq!(sender.capacity().unwrap(), Some(Capacity::Bytes(100)));
    sender.send(&[7; 60]).unwrap();
    assert_eq!((sender.len().unwrap(), receiver.len().unwrap()), (Some(60), Some(60)));
    finds_no_room(&mut sender, &[7; 41]);
    refusal(sender.send(&[7; 101]), ErrorKind::TooLong, &["qbytes is 100", "101 is needed"]);
    let text = refusal(sender.send(&[7; 8193]), ErrorKind::TooLong, &["kernel.msgmax"]).to_string();
    assert!(text.starts_with("cannot send to System V message queue id "), "{text}");
    refusal(receiver.readiness(), ErrorKind::Unsupported, &["no descriptor"]);
    refusal(sender.readiness(), ErrorKind::Unsupported, &["no descriptor"]);
}

#[test]
fn a_type_or_a_companion_that_does_not_exist_is_refused() {
    let _test = test!();
    let (_queue, address) = queue();
    let mut sender = sender(&address);
    for number in [0, -1, i64::MIN] {
        let sent = sender.send_with(b"x", &typed(number), Wait::never());
        refusal(sent, ErrorKind::OutOfRange, &["1 to 9223372036854775807"]);
    }
    sender.send_with(b"x", &typed(i64::MAX), Wait::never()).unwrap();
    let sent = sender.send_with(b"x", &Attributes::new().priority(1), Wait::never());
    refusal(sent, ErrorKind::Unsupported, &["no priorities"]);
    let stdin = std::io::stdin();
    let descriptors = [std::os::fd::AsFd::as_fd(&stdin)];
    let sent = sender.send_with(b"x", &Attributes::new().descriptors(&descriptors), Wait::never());
    refusal(sent, ErrorKind::Unsupported, &["no descriptors"]);
    let received = receiver(&address).try_receive().unwrap();
    assert_eq!(received.message_type(), Some(i64::MAX));
}

#[test]
fn create_makes_what_is_not_there() {
    let _test = test!();
    let (_cleanup, address, key) = unused();
    no_sender(&address, ErrorKind::NotFound, &["?create", "twixt mk", &key.to_string()]);
    no_receiver(&address, ErrorKind::NotFound, &["?create", "twixt mk"]);
    let mut sender = sender(&format!("{address}?create&mode=0640&capacity=300"));
    let state = Queue::open(key).unwrap().stat().unwrap();
    assert_eq!((state.perm.mode.bits(), state.qbytes), (0o640, 300));
    // One that is there stays as it is.
    let mut receiver = receiver(&format!("{address}?create&mode=0600&capacity=200"));
    assert_eq!(receiver.capacity().unwrap(), Some(Capacity::Bytes(300)));
    sender.send(b"hello").unwrap();
    drop(sender);
    assert_eq!(next(&mut receiver), b"hello");
    assert_eq!(Queue::open(key).unwrap().stat().unwrap().perm.mode.bits(), 0o640);
}

#[test]
fn what_has_no_use_is_refused() {
    let _test = test!();
    let (_cleanup, address, _key) = unused();
    for option in ["mode=0600", "capacity=100"] {
        let name = option.split('=').next().unwrap();
        no_sender(&format!("{address}?{option}"), ErrorKind::Unsupported, &[name, "add create"]);
        no_receiver(&format!("{address}?{option}"), ErrorKind::Unsupported, &[name, "add create"]);
    }
    no_sender("sysv-msg:private?create", ErrorKind::InvalidInput, &["id=NUMBER"]);
    no_sender(&format!("{address}?create&capacity=0"), ErrorKind::Unsupported, &["capacity 0"]);
    no_sender("sysv-msg:id=2147483647", ErrorKind::NotFound, &[]);
    let opening = twixt_channel::Opening::new(&self::address(&address));
    refusal(opening.duplex(), ErrorKind::Unsupported, &["one direction"]);
    refusal(opening.listener(), ErrorKind::Unsupported, &["no listening side"]);
    refusal(opening.pair(), ErrorKind::Unsupported, &["it has a name"]);
}

#[test]
fn keys_come_in_all_forms() {
    let _test = test!();
    let directory = scratch();
    let path = directory.path().join("key");
    std::fs::write(&path, "").unwrap();
    let queue = Queue::create(Key::from_path(&path, 7).unwrap(), Mode::OWNER).unwrap().remove_on_drop();
    sender(&format!("sysv-msg:ftok={},7", path.display())).send(b"by file").unwrap();
    assert_eq!(next(&mut receiver(&format!("sysv-msg:id={}", queue.id()))), b"by file");
    let nowhere = format!("sysv-msg:ftok={}/none,7", directory.path().display());
    no_sender(&nowhere, ErrorKind::NotFound, &["derive a key"]);
}

#[test]
fn the_address_says_how_long_to_wait() {
    let _test = test!();
    let (_queue, address) = queue();
    let mut receiver = receiver(&format!("{address}?timeout=20ms"));
    assert_eq!(kind(receiver.receive()), ErrorKind::TimedOut);
    let mut sender = sender(&format!("{address}?timeout=20ms"));
    fill(&mut sender, &[0; 8000]);
    assert_eq!(kind(sender.send(&[0; 8000])), ErrorKind::TimedOut);
}

#[test]
fn a_queue_that_goes_is_noticed() {
    let test = test!();
    test.role("receiver", |peer| {
        let error = receiver(&peer.arg(0)).receive().unwrap_err();
        peer.say(&format!("{:?}", error.kind()));
    });
    let (queue, address) = queue();
    let mut sender = sender(&address);
    let mut child = test.child("receiver").arg(&address).spawn();
    child.wait_until_blocked_in(&[twixt_testkit::call::MSGRCV]);
    drop(queue);
    child.expect("Removed");
    child.succeed();
    assert_eq!(kind(sender.send(b"x")), ErrorKind::Removed);
}

#[test]
fn messages_outlive_their_sender() {
    let test = test!();
    test.role("sender", |peer| {
        sender(&peer.arg(0)).send(b"left behind").unwrap();
        peer.say("sent");
        peer.hear();
    });
    let (_queue, address) = queue();
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
        fill(&mut sender, &[0; 8000]);
        sends_through_storm(peer, &mut sender, &[0; 8000]);
    });
    let (_queue, address) = queue();
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
        no_sender(&peer.arg(0), ErrorKind::PermissionDenied, &["mode does not grant"]);
        no_receiver(&peer.arg(0), ErrorKind::PermissionDenied, &["mode does not grant"]);
        // A queue that others may only send to hides its state from them, but not from the list.
        let mut sender = sender(&peer.arg(1));
        assert!(sender.capabilities().max_message.is_some());
        assert_eq!(sender.len().unwrap(), Some(0));
        sender.send(b"from nobody").unwrap();
        no_receiver(&peer.arg(1), ErrorKind::PermissionDenied, &[]);
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let (_closed, closed, _) = unused();
    let (_open, open, _) = unused();
    let _keep = receiver(&format!("{closed}?create&mode=0600"));
    let mut receiver = receiver(&format!("{open}?create&mode=0622"));
    test.child("nobody").arg(closed).arg(open).as_nobody().spawn().succeed();
    assert_eq!(next(&mut receiver), b"from nobody");
}

#[test]
fn limits_are_named() {
    test!().in_namespaces(|_| {
        let set =
            |name: &str, value: &str| std::fs::write(format!("/proc/sys/kernel/{name}"), value).unwrap();
        set("msgmax", "100000");
        set("msgmnb", "200000");
        let (_cleanup, address, _) = unused();
        let mut sender = sender(&format!("{address}?create"));
        let mut receiver = receiver(&address);
        assert_eq!(sender.capabilities().max_message, Some(100_000));
        // More than the receiver made room for, twice over.
        let long: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        sender.send(&long).unwrap();
        assert_eq!(next(&mut receiver), long);
        set("msgmax", "32");
        let sent = sender.send(&[0; 33]);
        refusal(sent, ErrorKind::TooLong, &["kernel.msgmax is 32, 33 is needed"]);
        set("msgmni", "1");
        let (_none, another, _) = unused();
        let opened = Sender::open(&self::address(&format!("{another}?create")));
        refusal(opened, ErrorKind::LimitReached, &["kernel.msgmni is 1, 2 is needed"]);
    });
}

#[test]
fn a_refused_capacity_leaves_no_queue() {
    let test = test!();
    test.role("nobody", |peer| {
        let (_cleanup, address, key) = unused();
        let opened = Receiver::open(&self::address(&format!("{address}?create&capacity=1G")));
        refusal(opened, ErrorKind::LimitReached, &["kernel.msgmnb", "1073741824 is needed"]);
        assert_eq!(kind(Queue::open(key)), ErrorKind::NotFound);
        peer.say("no queue");
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let mut child = test.child("nobody").as_nobody().spawn();
    child.expect("no queue");
    child.succeed();
}

#[test]
fn a_c_program_understands() {
    let _test = test!();
    let directory = scratch();
    let source = r#"
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/msg.h>
        int main(int argc, char **argv) {
            struct { long type; char text[64]; } message;
            int queue = atoi(argv[1]);
            ssize_t len = msgrcv(queue, &message, sizeof message.text, 7, 0);
            if (len < 0) { perror("msgrcv"); return 1; }
            message.type = 8;
            for (ssize_t i = 0; i < len / 2; i++) {
                char first = message.text[i];
                message.text[i] = message.text[len - 1 - i];
                message.text[len - 1 - i] = first;
            }
            return msgsnd(queue, &message, len, 0) != 0;
        }
    "#;
    let program = compile_c(directory.path(), "reverse", source, &[]);
    let (queue, address) = queue();
    sender(&format!("{address}?type=7")).send(b"stressed").unwrap();
    assert_eq!(output(program, &[queue.id().to_string()]), "");
    let message = receiver(&address).try_receive().unwrap();
    assert_eq!((message.bytes(), message.message_type()), (b"desserts".as_slice(), Some(8)));
}

#[test]
fn util_linux_understands() {
    let test = test!();
    for tool in ["ipcmk", "ipcrm"] {
        if let Err(missing) = command(tool) {
            return test.skip(&missing);
        }
    }
    let made = output("ipcmk", &["-Q"]);
    let id = made.trim().rsplit(' ').next().unwrap().to_owned();
    let _cleanup = defer({
        let id = id.clone();
        move || {
            let _ = Command::new("ipcrm").args(["-q", &id]).stderr(Stdio::null()).status();
        }
    });
    let address = format!("sysv-msg:id={id}");
    sender(&address).send(b"hello").unwrap();
    assert_eq!(next(&mut receiver(&address)), b"hello");
    assert_eq!(output("ipcrm", &["-q", &id]), "");
    assert_eq!(kind(Sender::open(&self::address(&address))), ErrorKind::NotFound);
}

#[test]
fn a_message_costs_one_call() {
    let test = test!();
    test.role("both", |peer| {
        let (_queue, address) = queue();
        let (mut sender, mut receiver) = (sender(&address), receiver(&address));
        let mut message = Message::new();
        for _ in 0..peer.arg(0).parse().unwrap() {
            sender.send(b"ping").unwrap();
            receiver.receive_into(&mut message).unwrap();
            sender.send_with(b"ping", &typed(3), Wait::never()).unwrap();
            receiver.receive_wait(&mut message, Wait::until(later())).unwrap();
        }
    });
    match strace::cost(|rounds| test.child("both").arg(rounds)) {
        Ok(cost) => {
            assert_eq!(cost, strace::expected(&[("msgsnd", 2 * ROUNDS), ("msgrcv", 2 * ROUNDS)]));
        }
        Err(missing) => test.skip(&missing),
    }
}

#[test]
fn a_message_allocates_nothing() {
    let _test = test!();
    let (_queue, address) = queue();
    let (mut sender, mut receiver) = (sender(&address), receiver(&address));
    let mut message = Message::new();
    let mut round = || {
        sender.send(&[1; 4000]).unwrap();
        receiver.receive_into(&mut message).unwrap();
        sender.send_deadline(b"ping", past()).unwrap();
        receiver.receive_wait(&mut message, Wait::never()).unwrap();
        assert_eq!(kind(receiver.receive_wait(&mut message, Wait::never())), ErrorKind::WouldBlock);
    };
    round();
    assert_eq!(measure(|| (0..100).for_each(|_| round())).count_total, 0);
}

#[test]
fn python_understands() {
    let test = test!();
    if let Err(missing) = command("python3") {
        return test.skip(&missing);
    }
    let (queue, address) = queue();
    sender(&address).send(b"hello").unwrap();
    let script = "import ctypes, sys\n\
        c = ctypes.CDLL(None, use_errno=True)\n\
        class M(ctypes.Structure):\n    _fields_ = [('t', ctypes.c_long), ('b', ctypes.c_char * 64)]\n\
        m = M()\n\
        n = c.msgrcv(int(sys.argv[1]), ctypes.byref(m), 64, 0, 0)\n\
        print(n, m.t, m.b.decode())\n";
    let id = queue.id().to_string();
    let mut child = Child::program("python3", &["-c", script, &id]);
    assert_eq!(child.line().as_deref(), Some("5 1 hello"));
    child.succeed();
}
