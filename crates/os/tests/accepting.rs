//! Listening sockets that others share: their flags are left alone, and every form waits as it says.

#[path = "support/sockets.rs"]
mod support;

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_getfl};
use support::{INHERITED, hand, kind, later, name, past, soon};
use twixt_os::net::tcp;
use twixt_os::unix::{self, Address, BindOptions, Seqpacket, SeqpacketListener, StreamListener};
use twixt_os::{ErrorKind, Result};
use twixt_testkit::strace::cost;
use twixt_testkit::{Peer, call, test, under_storm};

/// What the listening sockets of all mechanisms can do.
trait Listens: AsFd + TryFrom<OwnedFd, Error = twixt_os::Error> + Sync {
    fn bind(blocking: bool) -> Self;
    fn inherited() -> Self;
    fn accept_in(&self, form: &str) -> Result<()>;
    /// How to connect to it.
    fn address(&self) -> String;
    fn connect(address: &str) -> Box<dyn std::any::Any>;
    fn blocks(&self) -> bool {
        !fcntl_getfl(self).unwrap().contains(OFlags::NONBLOCK)
    }
}

macro_rules! listens {
    ($listener:ty, $stream:ty, $bind:expr) => {
        impl Listens for $listener {
            fn bind(blocking: bool) -> Self {
                $bind(blocking)
            }
            fn inherited() -> Self {
                Self::inherited(INHERITED).unwrap()
            }
            fn accept_in(&self, form: &str) -> Result<()> {
                match form {
                    "block" => self.accept(),
                    "try" => self.try_accept(),
                    "past" => self.accept_deadline(past()),
                    "soon" => self.accept_deadline(soon()),
                    "deadline" => self.accept_deadline(later()),
                    _ => self.accept_interruptible(),
                }
                .map(drop)
            }
            fn address(&self) -> String {
                self.local_address().unwrap().to_string()
            }
            fn connect(address: &str) -> Box<dyn std::any::Any> {
                Box::new(<$stream>::connect(&address.parse().unwrap()).unwrap())
            }
        }
    };
}

listens!(StreamListener, unix::Stream, |blocking| BindOptions::new()
    .blocking(blocking)
    .listen(&name())
    .unwrap());
listens!(SeqpacketListener, Seqpacket, |blocking| BindOptions::new()
    .blocking(blocking)
    .listen(&name())
    .unwrap());
listens!(tcp::Listener, Tcp, |blocking| tcp::ListenOptions::new()
    .blocking(blocking)
    .listen("127.0.0.1:0")
    .unwrap());

struct Tcp;

impl Tcp {
    fn connect(address: &std::net::SocketAddr) -> Result<tcp::Stream> {
        tcp::Stream::connect(address)
    }
}

/// A second descriptor of the same description, as another process would have it.
fn shared<L: Listens>(listener: &L) -> L {
    listener.as_fd().try_clone_to_owned().unwrap().try_into().unwrap()
}

fn flags_are_left_alone<L: Listens>() {
    for blocking in [true, false] {
        let own = L::bind(blocking);
        assert_eq!(own.blocks(), blocking);
        let adopted = shared(&own);
        for listener in [&own, &adopted] {
            assert_eq!(kind(listener.accept_in("try")), ErrorKind::WouldBlock);
            assert_eq!(kind(listener.accept_in("past")), ErrorKind::TimedOut);
            assert_eq!(kind(listener.accept_in("soon")), ErrorKind::TimedOut);
            for form in ["block", "try", "deadline", "interruptible"] {
                let _client = L::connect(&own.address());
                listener.accept_in(form).unwrap();
            }
        }
        assert_eq!(own.blocks(), blocking, "no form changes the flag");
    }
}

#[test]
fn no_form_changes_what_is_shared() {
    let _test = test!();
    flags_are_left_alone::<StreamListener>();
    flags_are_left_alone::<SeqpacketListener>();
    flags_are_left_alone::<tcp::Listener>();
}

/// The role of a child that inherits a listening socket, and accepts in one form under a storm of signals.
fn accepting_role<L: Listens>(peer: &Peer) {
    let listener = L::inherited();
    let outcome = under_storm(peer, || listener.accept_in(&peer.arg(0)));
    peer.say(&match outcome {
        Ok(()) => "accepted".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    });
}

fn storms_are_weathered<L: Listens + Into<OwnedFd>>(
    role: impl Fn(&str) -> twixt_testkit::Spawn,
    blocking: bool,
) {
    for form in ["block", "deadline", "interruptible"] {
        let listener = L::bind(blocking);
        let address = listener.address();
        let mut child = hand(listener, role(form));
        let mut said = [child.hear(), String::new()];
        if form == "interruptible" {
            said[1] = child.hear();
            said.sort();
            assert_eq!(said, ["Interrupted", "stormed"]);
        } else {
            assert_eq!(said[0], "stormed", "{form}");
            // Without a deadline the kernel waits itself, if it may.
            let where_it_waits = if blocking && form == "block" { &[call::ACCEPT] } else { call::POLLING };
            child.wait_until_blocked_in(where_it_waits);
            let _client = L::connect(&address);
            child.expect("accepted");
        }
        child.succeed();
    }
}

#[test]
fn signals_do_not_end_an_accept_unless_they_shall() {
    let test = test!();
    test.role("stream", accepting_role::<StreamListener>);
    test.role("seqpacket", accepting_role::<SeqpacketListener>);
    test.role("tcp", accepting_role::<tcp::Listener>);
    for blocking in [true, false] {
        storms_are_weathered::<StreamListener>(|form| test.child("stream").arg(form), blocking);
        storms_are_weathered::<SeqpacketListener>(|form| test.child("seqpacket").arg(form), blocking);
        storms_are_weathered::<tcp::Listener>(|form| test.child("tcp").arg(form), blocking);
    }
}

/// All but one of those that poll for the same connection find none, and must not wait for another.
fn one_of_many_accepts<L: Listens>() {
    let listener = L::bind(false);
    for _ in 0..20 {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| listener.accept_in("soon"))).collect();
            let _client = L::connect(&listener.address());
            let outcomes: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
            let late = outcomes.into_iter().filter_map(|outcome| outcome.err().map(|error| error.kind()));
            assert!(late.eq([ErrorKind::TimedOut; 3]));
        });
    }
}

#[test]
fn who_comes_too_late_for_a_connection_keeps_the_deadline() {
    let _test = test!();
    one_of_many_accepts::<StreamListener>();
    one_of_many_accepts::<tcp::Listener>();
}

#[test]
fn a_blocking_listener_is_told_of_its_end_too() {
    let _test = test!();
    let listener: StreamListener = BindOptions::new().blocking(true).listen(&name()).unwrap();
    listener.shutdown().unwrap();
    for form in ["block", "try", "deadline"] {
        assert_eq!(kind(listener.accept_in(form)), ErrorKind::Removed, "{form}");
    }
    let listener = tcp::ListenOptions::new().blocking(true).listen("127.0.0.1:0").unwrap();
    listener.shutdown().unwrap();
    for form in ["block", "try", "deadline"] {
        assert_eq!(kind(listener.accept_in(form)), ErrorKind::Removed, "{form}");
    }
}

#[test]
fn waiting_for_a_connection_costs_what_it_does_in_c() {
    let test = test!();
    test.role("wait", |peer| {
        let listener: StreamListener = BindOptions::new().blocking(true).listen(&name()).unwrap();
        let address: Address = listener.local_address().unwrap();
        let count: usize = peer.arg(0).parse().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..count {
                    // Ends when the server has closed: by then it waits for the next one, or is about to.
                    unix::Stream::connect(&address).unwrap().receive(&mut [0; 1]).unwrap();
                }
            });
            for _ in 0..count {
                listener.accept().unwrap();
            }
        });
    });
    match cost(|count| test.child("wait").arg(count)) {
        Ok(calls) => {
            assert_eq!(calls.get("accept4"), Some(&100));
            assert!(!calls.contains_key("ppoll") && !calls.contains_key("poll"), "{calls:?}");
        }
        Err(missing) => test.skip(&missing),
    }
}
