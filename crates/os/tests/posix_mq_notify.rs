//! POSIX message queues: notification.

use std::sync::{Arc, mpsc};

use twixt_os::posix::mq::{Access, Limits, Notification, Priority, Queue};
use twixt_os::signal::{Action, Cause, SelfPipe, Signal};
use twixt_os::{ErrorKind, Mode};
use twixt_testkit::{call, test, unique_name};

const SMALL: Limits = Limits { max_messages: 4, message_size: 16 };

fn queue() -> (Arc<Queue>, String) {
    let name = format!("/{}", unique_name());
    (Arc::new(Queue::create(&name, Access::ReadWrite, SMALL, Mode::OWNER).unwrap()), name)
}

fn drain(queue: &Queue) {
    while queue.try_receive(&mut [0; 16]).is_ok() {}
}

#[test]
fn a_thread_is_told_once_and_again_when_it_asks_again() {
    let test = test!();
    test.role("sender", |peer| {
        let queue = Queue::open(&peer.arg(0), Access::Write).unwrap();
        while peer.hear() == "send" {
            queue.send(b"x", Priority::LOWEST).unwrap();
            peer.say("sent");
        }
    });
    let (queue, name) = queue();
    let guard = queue.unlink_on_drop().unwrap();
    let mut sender = test.child("sender").arg(&name).spawn();
    let mut send = || {
        sender.tell("send");
        sender.expect("sent");
    };

    for round in 0..3 {
        let (told, tell) = mpsc::channel();
        let thread = queue.notify_thread(move || told.send(round).unwrap()).unwrap();
        send();
        assert_eq!(tell.recv(), Ok(round));
        assert_eq!(thread.join().unwrap(), Notification::Arrived);
        // The registration is spent.
        drain(&queue);
        send();
        assert!(tell.try_recv().is_err());
        drain(&queue);
    }

    // A message that arrives in a queue that is not empty tells nobody.
    send();
    let thread = queue.notify_thread(|| panic!("the queue was not empty")).unwrap();
    send();
    queue.cancel_notification().unwrap();
    assert_eq!(thread.join().unwrap(), Notification::Cancelled);
    drop(guard);
    sender.tell("end");
    sender.succeed();
}

#[test]
fn the_thread_has_a_name_and_takes_no_signals() {
    let _test = test!();
    let (queue, _) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    let (tell, told) = mpsc::channel();
    let thread = queue
        .notify_thread(move || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let field = |name: &str| {
                status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
            };
            tell.send((field("Name:"), u64::from_str_radix(&field("SigBlk:"), 16).unwrap())).unwrap();
        })
        .unwrap();
    queue.send(b"x", Priority::LOWEST).unwrap();
    let (name, blocked) = told.recv().unwrap();
    assert_eq!(name, "mq-notify");
    let bit = |signal: u32| 1_u64 << (signal - 1);
    assert_ne!(blocked & bit(10), 0, "SIGUSR1 is for other threads");
    assert_ne!(blocked & bit(15), 0, "SIGTERM too");
    assert_eq!(blocked & (bit(7) | bit(11)), 0, "SIGBUS and SIGSEGV are its own");
    thread.join().unwrap();

    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    assert!(status.contains("SigBlk:\t0000000000000000"), "the caller's mask is as before: {status}");
}

#[test]
fn a_callback_may_register_again() {
    let _test = test!();
    fn rearm(queue: &Arc<Queue>, told: mpsc::Sender<usize>) {
        let reader = Arc::clone(queue);
        queue
            .notify_thread(move || {
                rearm(&reader, told.clone());
                let mut count = 0;
                while reader.try_receive(&mut [0; 16]).is_ok() {
                    count += 1;
                }
                let _ = told.send(count);
            })
            .unwrap();
    }
    let (queue, _) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    let (told, tell) = mpsc::channel();
    rearm(&queue, told);
    for _ in 0..20 {
        queue.send(b"x", Priority::LOWEST).unwrap();
        assert_eq!(tell.recv(), Ok(1));
    }
    queue.cancel_notification().unwrap();
}

#[test]
fn one_process_at_a_time_and_death_frees() {
    let test = test!();
    test.role("registrant", |peer| {
        let queue = Queue::open(&peer.arg(0), Access::Read).unwrap();
        queue.notify_silently().unwrap();
        peer.say("registered");
        peer.wait_for("never told");
    });
    let (queue, name) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    let mut registrant = test.child("registrant").arg(&name).spawn();
    registrant.expect("registered");
    let errors = [
        queue.notify_silently().unwrap_err(),
        queue.notify_signal(Signal::USR1, 0).unwrap_err(),
        queue.notify_thread(|| ()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.to_string().contains("one process at a time"), "{error}");
    }
    queue.cancel_notification().expect("nothing of ours to cancel");
    assert_eq!(queue.notify_silently().unwrap_err().kind(), ErrorKind::Busy, "nor was theirs cancelled");
    registrant.kill();
    queue.notify_silently().unwrap();
    assert_eq!(queue.notify_silently().unwrap_err().kind(), ErrorKind::Busy, "the process itself counts");
    queue.cancel_notification().unwrap();
    queue.notify_silently().unwrap();
}

#[test]
fn a_silent_registration_is_spent_too() {
    let _test = test!();
    let (queue, _) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    queue.notify_silently().unwrap();
    queue.send(b"x", Priority::LOWEST).unwrap();
    queue.notify_silently().expect("the first was spent by the message");
}

#[test]
fn closing_any_descriptor_cancels() {
    let _test = test!();
    let (queue, name) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    let thread = queue.notify_thread(|| panic!("cancelled")).unwrap();
    drop(Queue::open(&name, Access::Read).unwrap());
    assert_eq!(thread.join().unwrap(), Notification::Cancelled);
}

#[test]
fn who_waits_in_receive_comes_first() {
    let test = test!();
    test.role("receive", |peer| {
        let queue = Queue::open(&peer.arg(0), Access::Read).unwrap();
        queue.receive(&mut [0; 16]).unwrap();
        peer.say("received");
    });
    let (queue, name) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    let thread = queue.notify_thread(|| ()).unwrap();
    let mut child = test.child("receive").arg(&name).spawn();
    child.wait_until_blocked_in(&[call::MQ_RECEIVE]);
    queue.send(b"for the receiver", Priority::LOWEST).unwrap();
    child.expect("received");
    child.succeed();
    queue.send(b"for the thread", Priority::LOWEST).unwrap();
    assert_eq!(thread.join().unwrap(), Notification::Arrived);
}

#[test]
fn a_signal_carries_the_value_and_the_sender() {
    let test = test!();
    test.role("registrant", |peer| {
        let pipe = SelfPipe::new().unwrap();
        let _handled = Action::record(&pipe).install(Signal::RTMIN).unwrap();
        let queue = Queue::open(&peer.arg(0), Access::Read).unwrap();
        for round in [-4711, 4712] {
            queue.notify_signal(Signal::RTMIN, round).unwrap();
            peer.say("registered");
            let info = pipe.receive().unwrap();
            let Cause::MessageQueue { value, .. } = info.cause() else { panic!("{info:?}") };
            peer.say(&format!("{} {:?}", value.as_i32(), info.pid().map(|pid| pid.as_raw_nonzero().get())));
            queue.receive(&mut [0; 16]).unwrap();
            peer.say("received");
        }
    });
    let (queue, name) = queue();
    let _guard = queue.unlink_on_drop().unwrap();
    let mut registrant = test.child("registrant").arg(&name).spawn();
    for round in [-4711, 4712] {
        registrant.expect("registered");
        queue.send(b"x", Priority::LOWEST).unwrap();
        registrant.expect(&format!("{round} Some({})", std::process::id()));
        registrant.expect("received");
    }
    registrant.succeed();
}
