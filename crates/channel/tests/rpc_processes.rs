//! Calls between processes, some of which die.

#[path = "support/rpc.rs"]
mod support;

use std::thread;

use support::*;
use twixt_channel::rpc::Ended;
use twixt_channel::{Duplex, Listener};
use twixt_os::ErrorKind;
use twixt_testkit::{Child, Peer, Storm, Test, test, unique_name};

const KINDS: [&str; 6] = ["unix", "unix-seqpacket", "tcp", "posix-shm", "sysv-shm", "mmap"];

/// Where to listen and where to connect, which is none as long as the kernel chooses; and what is to be removed.
fn meeting(kind: &str) -> (String, Option<String>, Option<Place>) {
    let place = match kind {
        "tcp" => return ("tcp:127.0.0.1:0".to_owned(), None, None),
        "posix-shm" => Place::posix_shm(),
        "sysv-shm" => Place::sysv_shm(),
        "mmap" => Place::mmap(),
        kind => {
            let at = format!("{kind}:@{}", unique_name());
            return (at.clone(), Some(at), None);
        }
    };
    (place.text("?create"), Some(place.text("")), Some(place))
}

/// The role of a server for one client.
fn serve(peer: &Peer) {
    let listener = Listener::open(&address(&peer.arg(0))).unwrap();
    peer.say(&twixt_address::Address::from(listener.address().unwrap()).to_string());
    let mut duplex = listener.accept().unwrap();
    let server = Notes::default().into_server().workers(peer.arg(1).parse().unwrap()).queue(1000);
    let ended = server.serve(&mut duplex);
    peer.say(&format!("{ended:?}"));
}

fn server(test: &Test, kind: &str, workers: usize) -> (Child, LabClient, Option<Place>) {
    let (listen, connect, place) = meeting(kind);
    let mut server = test.child("server").arg(listen).arg(workers).spawn();
    let said = server.hear();
    let lab = LabClient::connect(&address(&connect.unwrap_or(said))).unwrap();
    (server, lab, place)
}

#[test]
fn a_killed_server_fails_every_pending_call() {
    let test = test!();
    test.role("server", serve);
    for kind in KINDS {
        for workers in [0, 2] {
            let (server, lab, _place) = server(&test, kind, workers);
            assert_eq!(lab.add(1, 2).call(), Ok(3));
            let pending: Vec<_> = (0..20).map(|_| lab.gate().start().unwrap()).collect();
            let stream = lab.count(u64::MAX).start().unwrap();
            thread::scope(|scope| {
                let waiting: Vec<_> =
                    pending.into_iter().map(|call| scope.spawn(move || call.wait())).collect();
                let reading = scope.spawn(move || stream.last());
                server.kill();
                for call in waiting {
                    let error = call.join().unwrap().unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::PeerGone, "{kind}: {error}");
                }
                let error = reading.join().unwrap().unwrap().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::PeerGone, "{kind}: {error}");
            });
            // And all that come later.
            assert_eq!(lab.add(1, 2).call().unwrap_err().kind(), ErrorKind::PeerGone);
        }
    }
}

#[test]
fn a_killed_client_is_seen_by_the_handler() {
    let test = test!();
    test.role("client", |peer| {
        let lab = LabClient::connect(&address(&peer.arg(0))).unwrap();
        let calls = [(); 3].map(|()| lab.linger(1).start().unwrap());
        let _stream = lab.count(u64::MAX).start().unwrap();
        peer.say("calling");
        peer.hear();
        drop(calls);
    });
    for kind in KINDS {
        for workers in [0, 4] {
            let (listen, connect, _place) = meeting(kind);
            let listener = Listener::open(&address(&listen)).unwrap();
            let at = connect.unwrap_or_else(|| listener.address().unwrap().to_string());
            let mut client = test.child("client").arg(&at).spawn();
            let notes = Notes::default();
            let server = notes.clone().into_server().workers(workers);
            let mut duplex = listener.accept().unwrap();
            thread::scope(|scope| {
                let serving = scope.spawn(move || server.serve(&mut duplex));
                client.expect("calling");
                until(|| notes.begun() >= 1);
                client.kill();
                // It returns when all handlers have.
                assert_eq!(serving.join().unwrap(), Ok(Ended::PeerGone), "{kind}");
            });
            assert_eq!(notes.noted(), notes.begun());
        }
    }
}

#[test]
fn a_storm_of_signals_changes_nothing() {
    let test = test!();
    test.role("server", |peer| {
        let _storm = Storm::on_this_thread();
        serve(peer);
    });
    test.role("client", |peer| {
        let lab = LabClient::connect(&address(&peer.arg(0))).unwrap();
        let _storm = Storm::on_this_thread();
        for i in 0..300 {
            assert_eq!(lab.add(i, 1).call_deadline(later()), Ok(i + 1));
            assert_eq!(lab.echo(vec![1; 20_000]).call().unwrap().len(), 20_000);
        }
        let gate = lab.gate().start().unwrap();
        peer.say("waiting");
        lab.unlock().call().unwrap();
        assert_eq!(gate.wait(), Ok(1));
        assert_eq!(lab.count(2000).start().unwrap().count(), 2000);
        let calls: Vec<_> = (0..500).map(|_| lab.echo(vec![2; 3000]).start().unwrap()).collect();
        for call in calls {
            assert_eq!(call.wait().unwrap().len(), 3000);
        }
    });
    for kind in KINDS {
        let (listen, connect, _place) = meeting(kind);
        let mut server = test.child("server").arg(listen).arg(2).spawn();
        let said = server.hear();
        let mut client = test.child("client").arg(connect.unwrap_or(said)).spawn();
        client.expect("waiting");
        client.succeed();
        server.expect("Ok(Closed)");
        server.succeed();
    }
}

#[test]
fn a_descriptor_that_was_inherited_serves() {
    let test = test!();
    test.role("server", |peer| {
        let mut duplex = Duplex::open(&address("fd:7?framing=frame")).unwrap();
        let ended = Notes::default().into_server().serve(&mut duplex);
        peer.say(&format!("{ended:?}"));
    });
    let at = address(&format!("unix:@{}", unique_name()));
    let listener =
        twixt_os::unix::StreamListener::bind(&at.endpoint().to_string()["unix:".len()..].parse().unwrap())
            .unwrap();
    let duplex = Duplex::open(&at).unwrap();
    let accepted = listener.accept().unwrap();
    let mut server = test.child("server").descriptor(accepted.into(), 7).spawn();
    let lab = LabClient::open(duplex).unwrap();
    assert_eq!(lab.add(1, 2).call(), Ok(3));
    drop(lab);
    server.expect("Ok(Closed)");
    server.succeed();
}

#[test]
fn a_mailbox_serves_one_client_after_another() {
    let test = test!();
    let [one, other] = [unique_name(), unique_name()];
    let _clean = [&one, &other].map(|name| {
        let path = format!("/dev/shm/{name}");
        twixt_testkit::defer(move || drop(std::fs::remove_file(path)))
    });
    let ends = |to: &str, from: &str| -> Duplex {
        let sender = twixt_channel::Sender::open(&address(&format!("posix-shm:/{to}?create"))).unwrap();
        let receiver = twixt_channel::Receiver::open(&address(&format!("posix-shm:/{from}?create"))).unwrap();
        (sender, receiver).into()
    };
    test.role("server", |peer| {
        let mut duplex = ends(&peer.arg(1), &peer.arg(0));
        let server = Notes::default().into_server().workers(2);
        loop {
            let ended = server.serve(&mut duplex);
            peer.say(&format!("{ended:?}"));
        }
    });
    test.role("client", |peer| {
        let lab = LabClient::open(ends(&peer.arg(0), &peer.arg(1))).unwrap();
        let _pending: Vec<_> = (0..5).map(|_| lab.linger(1).start().unwrap()).collect();
        assert_eq!(lab.add(1, 2).start().map(drop), Ok(()));
        peer.say("calling");
        peer.hear();
    });
    let mut server = test.child("server").arg(&one).arg(&other).spawn();
    for _ in 0..3 {
        // A client that dies in the middle of everything leaves its messages behind.
        let mut client = test.child("client").arg(&one).arg(&other).spawn();
        client.expect("calling");
        client.kill();
        server.expect("Ok(PeerGone)");
        let lab = LabClient::open(ends(&one, &other)).unwrap();
        for i in 0..50 {
            assert_eq!(lab.add(i, 1).call_deadline(later()), Ok(i + 1));
        }
        drop(lab);
        server.expect("Ok(Closed)");
    }
    // Another server that takes the place of one that died begins anew.
    let lab = LabClient::open(ends(&one, &other)).unwrap();
    assert_eq!(lab.add(1, 2).call(), Ok(3));
    server.kill();
    let _server = test.child("server").arg(&one).arg(&other).spawn();
    assert_eq!(lab.add(1, 2).call().unwrap_err().kind(), ErrorKind::PeerGone);
    assert_eq!(LabClient::open(ends(&one, &other)).unwrap().add(1, 2).call(), Ok(3));
}
