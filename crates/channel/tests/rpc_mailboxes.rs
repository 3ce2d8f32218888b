//! Calls over channels that do not see their users go: the processes are watched instead.

#[path = "support/rpc.rs"]
mod support;

use std::thread;

use support::*;
use twixt_channel::rpc::{Ended, Error};
use twixt_channel::{Duplex, Opening, Receiver, Sender, Side};
use twixt_os::ErrorKind;
use twixt_testkit::{Child, Peer, Test, scratch, test, unique_key, unique_name};

const KINDS: [&str; 8] =
    ["sysv-msg", "posix-mq", "posix-shm", "sysv-shm", "mmap", "unix-dgram", "file", "udp"];

/// Two addresses, one each way, or one that a socket listens at; and what is to be removed.
struct Meeting {
    there: String,
    back: String,
    _cleanup: Box<dyn std::any::Any>,
}

fn meeting(kind: &str) -> Meeting {
    let places = match kind {
        "posix-shm" => [Place::posix_shm(), Place::posix_shm()],
        "sysv-shm" => [Place::sysv_shm(), Place::sysv_shm()],
        "mmap" => [Place::mmap(), Place::mmap()],
        "file" => {
            let directory = scratch();
            let file = |name| format!("file:{}/{name}?create&framing=frame", directory.path().display());
            return Meeting { there: file("there"), back: file("back"), _cleanup: Box::new(directory) };
        }
        "udp" => {
            // Both at a time, or they might be the same.
            let sockets = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
            let [there, back] = sockets.map(|socket| format!("udp:{}", socket.local_addr().unwrap()));
            return Meeting { there, back, _cleanup: Box::new(()) };
        }
        "unix-dgram" => {
            let there = format!("unix-dgram:@{}", unique_name());
            return Meeting { there, back: "listen".to_owned(), _cleanup: Box::new(()) };
        }
        kind => {
            let name = || match kind {
                "sysv-msg" => format!("sysv-msg:{}", unique_key()),
                _ => format!("posix-mq:/{}", unique_name()),
            };
            let [there, back] = [name(), name()];
            let _cleanup = remove_at_end(vec![there.clone(), back.clone()]);
            return Meeting { there: there + "?create", back: back + "?create", _cleanup };
        }
    };
    let [there, back] = [&places[0], &places[1]].map(|place| place.text("?create"));
    Meeting { there, back, _cleanup: Box::new(places) }
}

fn client_end(there: &str, back: &str) -> Duplex {
    if back != "listen" {
        let sender = Sender::open(&address(there)).unwrap();
        return (sender, Receiver::open(&address(back)).unwrap()).into();
    }
    let mut connected = None;
    until(|| {
        connected = Duplex::open(&address(there)).ok();
        connected.is_some()
    });
    connected.unwrap()
}

fn server_end(there: &str, back: &str) -> Duplex {
    if back == "listen" {
        return Opening::new(&address(there)).side(Side::Listen).duplex().unwrap();
    }
    let receiver = Receiver::open(&address(there)).unwrap();
    (Sender::open(&address(back)).unwrap(), receiver).into()
}

fn serve(peer: &Peer) {
    let mut duplex = server_end(&peer.arg(0), &peer.arg(1));
    if keeps_nothing(&peer.arg(0)) {
        peer.say("bound");
    }
    let server = Notes::default().into_server().workers(peer.arg(2).parse().unwrap()).queue(10_000);
    let ended = server.serve(&mut duplex);
    peer.say(&format!("{ended:?}"));
}

/// Whether what is sent to an address that nobody is bound to is lost.
fn keeps_nothing(address: &str) -> bool {
    address.starts_with("udp:")
}

fn server(test: &Test, meeting: &Meeting, workers: usize) -> (Child, LabClient) {
    let mut server = test.child("server").arg(&meeting.there).arg(&meeting.back).arg(workers).spawn();
    if keeps_nothing(&meeting.there) {
        server.expect("bound");
    }
    (server, LabClient::open(client_end(&meeting.there, &meeting.back)).unwrap())
}

#[test]
fn a_killed_server_fails_every_pending_call() {
    let test = test!();
    test.role("server", serve);
    for kind in KINDS {
        for workers in [0, 2] {
            let meeting = meeting(kind);
            let (server, lab) = server(&test, &meeting, workers);
            assert_eq!(lab.add(1, 2).call(), Ok(3), "{kind}");
            let pending: Vec<_> = (0..5).map(|_| lab.gate().start().unwrap()).collect();
            let timed = lab.gate().start_deadline(later()).unwrap();
            thread::scope(|scope| {
                let waiting: Vec<_> =
                    pending.into_iter().map(|call| scope.spawn(move || call.wait())).collect();
                server.kill();
                for call in waiting {
                    let error = call.join().unwrap().unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::PeerGone, "{kind}: {error}");
                }
            });
            let error = timed.wait().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PeerGone, "{kind}: {error}");
            // And all that come later.
            assert_eq!(lab.add(1, 2).call().unwrap_err().kind(), ErrorKind::PeerGone, "{kind}");
        }
    }
}

#[test]
fn who_waits_for_room_learns_that_the_server_was_killed() {
    let test = test!();
    test.role("server", serve);
    // A file is never full, and what does not fit into the buffer of a UDP socket is lost.
    for kind in KINDS.into_iter().filter(|kind| !["file", "udp"].contains(kind)) {
        let meeting = meeting(kind);
        let (server, lab) = server(&test, &meeting, 1);
        let gate = lab.gate().start().unwrap();
        server.stop();
        thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let mut pending = Vec::new();
                loop {
                    match lab.echo(vec![1; 4000]).start() {
                        Ok(call) => pending.push(call),
                        Err(error) => return error,
                    }
                }
            });
            server.kill();
            let error = sending.join().unwrap();
            assert_eq!(error.kind(), ErrorKind::PeerGone, "{kind}: {error}");
        });
        assert_eq!(gate.wait().unwrap_err().kind(), ErrorKind::PeerGone, "{kind}");
    }
}

#[test]
fn what_a_server_said_before_it_was_killed_arrives() {
    let test = test!();
    test.role("server", serve);
    for kind in KINDS {
        let meeting = meeting(kind);
        let (server, lab) = server(&test, &meeting, 0);
        let answered = lab.add(3, 4).start().unwrap();
        // Answered in the order in which they were called.
        assert_eq!(lab.add(1, 2).call(), Ok(3), "{kind}");
        server.kill();
        assert_eq!(answered.wait(), Ok(7), "{kind}");
    }
}

#[test]
fn a_killed_client_is_seen_by_the_handler() {
    let test = test!();
    test.role("client", |peer| {
        let lab = LabClient::open(client_end(&peer.arg(0), &peer.arg(1))).unwrap();
        let calls = [(); 3].map(|()| lab.linger(1).start().unwrap());
        peer.say("calling");
        peer.hear();
        drop(calls);
    });
    for kind in KINDS {
        for workers in [0, 4] {
            let meeting = meeting(kind);
            let server_end = || server_end(&meeting.there, &meeting.back);
            let early = keeps_nothing(&meeting.there).then(server_end);
            let mut client = test.child("client").arg(&meeting.there).arg(&meeting.back).spawn();
            let mut duplex = early.unwrap_or_else(server_end);
            let notes = Notes::default();
            let server = notes.clone().into_server().workers(workers);
            thread::scope(|scope| {
                let serving = scope.spawn(move || server.serve(&mut duplex));
                client.expect("calling");
                until(|| notes.begun() >= 1);
                client.kill();
                // It returns when all handlers have.
                assert_eq!(serving.join().unwrap(), Ok(Ended::PeerGone), "{kind}");
            });
            assert_eq!(notes.noted(), notes.begun(), "{kind}");
        }
    }
}

#[test]
fn a_server_that_has_ended_before_its_greeting_is_heard_has_gone() {
    let test = test!();
    test.role("server", serve);
    for kind in KINDS.into_iter().filter(|&kind| kind != "unix-dgram") {
        let (meeting, another) = (meeting(kind), meeting(kind));
        let (server, lab) = server(&test, &meeting, 0);
        server.kill();
        drop(lab);
        // The goodbye and the next greeting are in the mailbox of a server that is no more. The client has another mailbox: a
        // child that another test is just making may still have the socket of this one.
        let late = LabClient::open_wait(
            client_end(&meeting.there, &another.back),
            Default::default(),
            twixt_os::Wait::until(soon()),
        );
        let error = late.map(drop).unwrap_err();
        assert_ne!(error, Error::Closed);
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{kind}: {error}");
    }
}

#[test]
fn who_opens_over_mailboxes_without_a_server_waits_as_long_as_the_address_says() {
    let _test = test!();
    for kind in KINDS.into_iter().filter(|&kind| kind != "unix-dgram") {
        let meeting = meeting(kind);
        // The one half or the other.
        for [there, back] in [["timeout=20ms", "timeout=80s"], ["timeout=80s", "timeout=20ms"]] {
            let with =
                |text: &str, option| format!("{text}{}{option}", if text.contains('?') { '&' } else { '?' });
            let duplex = client_end(&with(&meeting.there, there), &with(&meeting.back, back));
            let error = LabClient::open(duplex).map(drop).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{kind}: {error}");
            assert!(error.to_string().contains("no server has answered"), "{kind}: {error}");
        }
    }
}

#[test]
fn calls_over_mailboxes_have_the_time_that_the_address_says() {
    let test = test!();
    test.role("server", serve);
    let meeting = meeting("posix-mq");
    let _server = test.child("server").arg(&meeting.there).arg(&meeting.back).arg(1).spawn();
    // Long enough for the server to come about on any machine.
    let there = format!("{}&timeout=10s", meeting.there);
    let lab = LabClient::open(client_end(&there, &meeting.back)).unwrap();
    let error = lab.gate().call().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}
