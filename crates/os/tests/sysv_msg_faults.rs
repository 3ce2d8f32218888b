//! System V message queues on kernels that lack a feature or memory: strace puts the errors in.

use twixt_os::sysv::Key;
use twixt_os::sysv::msg::{self, Id, Message, Queue, Select, Type};
use twixt_os::{Errno, ErrorKind, Mode};
use twixt_testkit::{Missing, Peer, Test, strace, test};

const ONE: Type = Type::MIN;

fn given(peer: &Peer) -> Queue {
    Queue::from_id(Id::new(peer.arg(0).parse().unwrap()).unwrap())
}

/// Plays the role "faulty" over a queue with one message of 100 bytes, with faults in one system call.
fn play(test: &Test, call: &str, fault: &str) -> Result<(), Missing> {
    // Only to know whether tracing is allowed.
    test.role("idle", |_| {});
    strace::calls(test.child("idle"))?;
    let queue = Queue::create(Key::PRIVATE, Mode::OWNER).unwrap().remove_on_drop();
    queue.send(ONE, &[1; 100]).unwrap();
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{fault}"));
    let words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    test.child("faulty").arg(queue.id()).under(&words).spawn().succeed();
    Ok(())
}

#[test]
fn a_kernel_without_peeking() {
    let test = test!();
    test.role("faulty", |peer| {
        let error = given(peer).peek(0, &mut Message::with_capacity(100)).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::Unsupported, Some(Errno::NOSYS)));
        assert!(
            error.to_string().ends_with("the kernel was built without CONFIG_CHECKPOINT_RESTORE"),
            "{error}"
        );
        assert_eq!(given(peer).messages().next().unwrap().unwrap_err().kind(), ErrorKind::Unsupported);
    });
    play(&test, "msgrcv", "error=ENOSYS").unwrap_or_else(|missing| test.skip(&missing));
}

#[test]
fn the_length_of_what_is_too_long_is_unknown_without_peeking() {
    let test = test!();
    test.role("faulty", |peer| {
        let error = given(peer).receive(Select::Any, &mut Message::with_capacity(10)).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::TooLong, Some(Errno::TOOBIG)));
        assert_eq!((error.limit().unwrap().current, error.limit().unwrap().needed), (Some(10), None));
    });
    play(&test, "msgrcv", "error=ENOSYS:when=2+").unwrap_or_else(|missing| test.skip(&missing));
}

#[test]
fn a_kernel_without_memory() {
    let test = test!();
    test.role("faulty", |peer| {
        let error = given(peer).send(ONE, b"no memory for it").unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::NoSpace, Some(Errno::NOMEM)));
    });
    play(&test, "msgsnd", "error=ENOMEM").unwrap_or_else(|missing| test.skip(&missing));
}

#[test]
fn interrupted_calls_are_made_again() {
    let test = test!();
    test.role("faulty", |peer| {
        let queue = given(peer);
        let mut message = Message::with_capacity(100);
        queue.send(ONE, b"x").unwrap();
        queue.try_send(ONE, b"x").unwrap();
        let error = queue.send_interruptible(ONE, b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        queue.receive(Select::Any, &mut message).unwrap();
        assert_eq!(queue.stat().unwrap().qnum, 2);
    });
    // The first, third and every other one.
    play(&test, "msgsnd", "error=EINTR:when=1+2").unwrap_or_else(|missing| test.skip(&missing));
}

#[test]
fn a_kernel_without_system_v_queues() {
    let test = test!();
    test.role("faulty", |_| {
        for error in
            [msg::list().map(drop), msg::limits().map(drop), msg::usage().map(drop)].map(Result::unwrap_err)
        {
            assert_eq!((error.kind(), error.errno()), (ErrorKind::Unsupported, Some(Errno::NOSYS)));
        }
        let text = msg::list().unwrap_err().to_string();
        assert_eq!(text, "cannot list every System V message queue: function not implemented (ENOSYS)");
    });
    play(&test, "msgctl", "error=ENOSYS").unwrap_or_else(|missing| test.skip(&missing));
}
