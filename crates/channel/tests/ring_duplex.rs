//! Connections over rings.

use std::time::Duration;

use rustix::process::Signal;
use twixt_address::Address;
use twixt_channel::{Direction, Duplex, Listener, Message, Opening, Sender, Side};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::test;

#[path = "support/rings.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod rings;

use rings::Place;

#[test]
fn what_one_side_sends_the_other_receives() {
    let _test = test!();
    for place in Place::all() {
        let listener = Listener::open(&place.address("?create")).unwrap();
        let mut client = Duplex::open(&place.address("")).unwrap();
        let mut server = listener.accept().unwrap();
        for round in 0..100_u32 {
            client.send(format!("ping {round}").as_bytes()).unwrap();
            assert_eq!(server.receive().unwrap().bytes(), format!("ping {round}").as_bytes());
            server.send(format!("pong {round}").as_bytes()).unwrap();
            assert_eq!(client.receive().unwrap().bytes(), format!("pong {round}").as_bytes());
        }
        let can = client.sender().capabilities();
        assert_eq!((can.direction, can.sees_end), (Direction::BothWays, true));
        assert_eq!(can.max_message, Some((1 << 20) - 8));
        assert_eq!(listener.address().unwrap(), *place.address("").endpoint());
    }
}

#[test]
fn two_processes_converse() {
    let test = test!();
    test.role("server", |peer| {
        let listener = Listener::open(&peer.arg(0).parse().unwrap()).unwrap();
        peer.say("listening");
        for _ in 0..3 {
            let (mut sender, mut receiver) = listener.accept().unwrap().split();
            let mut message = Message::new();
            while receiver.receive_into(&mut message).is_ok() {
                sender.send(message.bytes()).unwrap();
            }
        }
    });
    for place in Place::all() {
        let mut server = test.child("server").arg(place.text("?create&capacity=4k")).spawn();
        server.expect("listening");
        for _ in 0..3 {
            let mut client = Duplex::open(&place.address("")).unwrap();
            for len in (0..4000).step_by(37) {
                let bytes = vec![len as u8; len];
                client.send(&bytes).unwrap();
                assert_eq!(client.receive().unwrap().bytes(), bytes);
            }
        }
        server.succeed();
        let error = Duplex::open(&place.address("")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoPeer, "{error}");
    }
}

#[test]
fn nobody_connects_where_nobody_listens_and_one_listens_at_a_time() {
    let _test = test!();
    for place in Place::all() {
        assert_eq!(Duplex::open(&place.address("")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(Listener::open(&place.address("")).unwrap_err().kind(), ErrorKind::NotFound);
        let listener = Listener::open(&place.address("?create")).unwrap();
        assert_eq!(Listener::open(&place.address("")).unwrap_err().kind(), ErrorKind::AlreadyExists);
        drop(listener);
        // The object may be made by either side; what is missing is who listens.
        assert_eq!(Duplex::open(&place.address("?create")).unwrap_err().kind(), ErrorKind::NoPeer);
        assert_eq!(Duplex::open(&place.address("")).unwrap_err().kind(), ErrorKind::NoPeer);
        Listener::open(&place.address("")).unwrap();
    }
}

#[test]
fn a_mailbox_is_no_connection_nor_the_other_way_round() {
    let _test = test!();
    for place in Place::all() {
        let _mailbox = Sender::open(&place.address("?create")).unwrap();
        for error in [
            Duplex::open(&place.address("")).unwrap_err(),
            Listener::open(&place.address("?create")).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().contains("mailbox"), "{error}");
        }
    }
    for place in Place::all() {
        let _connection = Listener::open(&place.address("?create")).unwrap();
        let error = Sender::open(&place.address("")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    for options in ["?create&capacity=0", "?create&budget=1M"] {
        for place in Place::all() {
            let error = Listener::open(&place.address(options)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        }
    }
}

#[test]
fn the_end_comes_after_everything_that_was_sent() {
    let _test = test!();
    for place in Place::all() {
        let listener = Listener::open(&place.address("?create")).unwrap();
        let mut client = Duplex::open(&place.address("")).unwrap();
        client.send(b"last words").unwrap();
        // Accepted when it has gone already.
        drop(client);
        let mut server = listener.accept().unwrap();
        assert_eq!(server.receive().unwrap().bytes(), b"last words");
        assert_eq!(server.receive().unwrap_err().kind(), ErrorKind::PeerGone);
        assert_eq!(server.send(b"anybody?").unwrap_err().kind(), ErrorKind::PeerGone);
        drop(server);

        // The other direction goes on when one has ended.
        let (sender, mut receiver) = Duplex::open(&place.address("")).unwrap().split();
        let mut server = listener.accept().unwrap();
        drop(sender);
        assert_eq!(server.receive().unwrap_err().kind(), ErrorKind::PeerGone);
        server.send(b"answer").unwrap();
        assert_eq!(receiver.receive().unwrap().bytes(), b"answer");
        drop(server);
        assert_eq!(receiver.receive().unwrap_err().kind(), ErrorKind::PeerGone);
    }
}

#[test]
fn a_client_that_was_hung_up_on_still_receives_what_was_sent() {
    let _test = test!();
    for place in Place::all() {
        let listener = Listener::open(&place.address("?create")).unwrap();
        let mut client = Duplex::open(&place.address("")).unwrap();
        let mut server = listener.accept().unwrap();
        server.send(b"answer").unwrap();
        drop(server);
        assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(client.receive().unwrap().bytes(), b"answer");
        assert_eq!(client.receive().unwrap_err().kind(), ErrorKind::PeerGone);
        // It stays, and keeps nobody out.
        let waiter = std::thread::spawn({
            let address = place.address("");
            move || Duplex::open(&address).unwrap()
        });
        let mut server = listener.accept().unwrap();
        let mut next = waiter.join().unwrap();
        assert_eq!(client.send(b"me again").unwrap_err().kind(), ErrorKind::PeerGone);
        assert_eq!(client.receive().unwrap_err().kind(), ErrorKind::PeerGone);
        drop(client);
        next.send(b"next").unwrap();
        assert_eq!(server.receive().unwrap().bytes(), b"next");
        server.send(b"yes").unwrap();
        assert_eq!(next.receive().unwrap().bytes(), b"yes");
    }
}

#[test]
fn the_second_client_waits_its_turn() {
    let _test = test!();
    for place in Place::all() {
        let listener = Listener::open(&place.address("?create")).unwrap();
        let first = Duplex::open(&place.address("")).unwrap();
        let server = listener.accept().unwrap();
        let connect = |wait| Opening::new(&place.address("")).wait(wait).duplex();
        assert_eq!(connect(Wait::never()).unwrap_err().kind(), ErrorKind::WouldBlock);
        let soon = Deadline::after(Duration::from_millis(150));
        assert_eq!(connect(Wait::until(soon)).unwrap_err().kind(), ErrorKind::TimedOut);
        drop(first);
        assert_eq!(connect(Wait::never()).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(server);
        let next = connect(Wait::never()).unwrap();
        // And whichever of the two leaves first.
        drop(listener.accept().unwrap());
        drop(next);
        connect(Wait::never()).unwrap();
    }
}

#[test]
fn the_death_of_either_side_is_seen_by_the_other() {
    let test = test!();
    test.role("client", |peer| {
        let mut client = Duplex::open(&peer.arg(0).parse().unwrap()).unwrap();
        client.send(b"first").unwrap();
        client.send(b"second").unwrap();
        peer.say("sent");
        let _ = client.receive();
        let _ = client.receive();
    });
    test.role("server", |peer| {
        let listener = Listener::open(&peer.arg(0).parse().unwrap()).unwrap();
        peer.say("listening");
        let mut server = listener.accept().unwrap();
        server.send(b"welcome").unwrap();
        let _ = server.receive();
        let _ = server.receive();
    });
    for place in Place::all() {
        let listener = Listener::open(&place.address("?create&capacity=64")).unwrap();
        for _ in 0..3 {
            let mut child = test.child("client").arg(place.text("")).spawn();
            let mut server = listener.accept().unwrap();
            child.expect("sent");
            child.kill();
            assert_eq!(server.receive().unwrap().bytes(), b"first");
            assert_eq!(server.receive().unwrap().bytes(), b"second");
            assert_eq!(server.receive().unwrap_err().kind(), ErrorKind::PeerGone);
            assert_eq!(server.receiver().try_receive().unwrap_err().kind(), ErrorKind::PeerGone);
            // Whoever waits for room learns it, too.
            let error = loop {
                if let Err(error) = server.send(&[0; 40]) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::PeerGone);
        }
        drop(listener);

        for _ in 0..3 {
            let mut child = test.child("server").arg(place.text("")).spawn();
            child.expect("listening");
            let mut client = Duplex::open(&place.address("")).unwrap();
            assert_eq!(client.receive().unwrap().bytes(), b"welcome");
            child.kill();
            assert_eq!(client.receive().unwrap_err().kind(), ErrorKind::PeerGone);
        }
    }
}

#[test]
fn a_stopped_side_is_not_taken_for_dead() {
    let test = test!();
    test.role("client", |peer| {
        let mut client = Duplex::open(&peer.arg(0).parse().unwrap()).unwrap();
        peer.say("there");
        peer.wait_for("go");
        client.send(b"awake").unwrap();
        peer.wait_for("end");
    });
    for place in Place::all() {
        let listener = Listener::open(&place.address("?create")).unwrap();
        let mut child = test.child("client").arg(place.text("")).spawn();
        let mut server = listener.accept().unwrap();
        child.expect("there");
        child.stop();
        let soon = Deadline::after(Duration::from_millis(350));
        assert_eq!(server.receive_deadline(soon).unwrap_err().kind(), ErrorKind::TimedOut);
        child.signal(Signal::CONT);
        child.tell("go");
        assert_eq!(server.receive().unwrap().bytes(), b"awake");
        child.tell("end");
        child.succeed();
    }
}

#[test]
fn clients_that_are_killed_at_any_moment_leave_clean_rings() {
    let test = test!();
    test.role("client", |peer| {
        let address: Address = peer.arg(0).parse().unwrap();
        loop {
            let mut client = Duplex::open(&address).unwrap();
            for number in 0..20_u32 {
                client.send(&number.to_le_bytes()).unwrap();
                assert_eq!(client.receive().unwrap().bytes(), number.to_le_bytes());
            }
        }
    });
    for place in Place::all() {
        let listener = Listener::open(&place.address("?create&capacity=64")).unwrap();
        let mut conversations = 0;
        for round in 0..30 {
            let child = test.child("client").arg(place.text("")).spawn();
            let end = Deadline::after(Duration::from_micros(10_000 + 700 * round));
            let mut message = Message::new();
            let mut number = 0_u32;
            let mut server = listener.accept().unwrap();
            let mut child = Some(child);
            loop {
                if end.has_passed()
                    && let Some(child) = child.take()
                {
                    child.kill();
                }
                match server
                    .receive_wait(&mut message, Wait::until(Deadline::after(Duration::from_millis(1))))
                {
                    Ok(()) => {
                        assert_eq!(message.bytes(), number.to_le_bytes());
                        // It may be dead by now.
                        let _ = server.send(message.bytes());
                        number += 1;
                    }
                    Err(error) if error.kind() == ErrorKind::TimedOut => {}
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
                        conversations += 1;
                        if child.is_none() {
                            break;
                        }
                        number = 0;
                        drop(server);
                        let wait = Wait::until(Deadline::after(Duration::from_millis(200)));
                        server = match listener.accept_wait(wait) {
                            Ok(server) => server,
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::TimedOut);
                                break;
                            }
                        };
                    }
                }
            }
        }
        assert!(conversations >= 30);
    }
}

#[test]
fn listening_for_one_connection_only() {
    let test = test!();
    test.role("client", |peer| {
        let address: Address = peer.arg(0).parse().unwrap();
        let mut client = loop {
            match Duplex::open(&address) {
                Ok(client) => break client,
                Err(error) => {
                    assert!([ErrorKind::NotFound, ErrorKind::NoPeer].contains(&error.kind()), "{error}");
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        };
        client.send(b"hello").unwrap();
    });
    for place in Place::all() {
        let client = test.child("client").arg(place.text("")).spawn();
        let mut server = Opening::new(&place.address("?create")).side(Side::Listen).duplex().unwrap();
        assert_eq!(server.receive().unwrap().bytes(), b"hello");
        client.succeed();
        drop(server);
        assert_eq!(Duplex::open(&place.address("")).unwrap_err().kind(), ErrorKind::NoPeer);
    }
}
