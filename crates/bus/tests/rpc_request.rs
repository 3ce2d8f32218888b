//! Connections whose clients do not wait until they are accepted, between real processes.

use std::thread;
use std::time::Duration;

use twixt_bus::{Capacity, Kind, Link, Listener, Place, Role, State, stat};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{Peer, scratch, test};

#[path = "support/links.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod links;

use links::{at, kind, left, name, options};

#[test]
fn what_is_sent_before_waits_for_the_listener() {
    let scratch = scratch();
    let options = options(scratch.path()).capacity(Capacity::Bounded(4096));
    assert_eq!(kind(Link::request(&name(), &options)), ErrorKind::NoPeer);
    let mut listener = Listener::open(&name(), &options).unwrap();
    let mut client = Link::request(&name(), &options).unwrap();
    assert_eq!(kind(client.receive_wait(Wait::never())), ErrorKind::WouldBlock);
    // Until its ring is full.
    let mut sent = 0_u64;
    while client.send_wait(&sent.to_le_bytes(), Wait::never()).is_ok() {
        sent += 1;
    }
    assert!(sent > 10, "{sent}");
    assert_eq!(kind(client.send_wait(b"more", Wait::never())), ErrorKind::WouldBlock);
    let soon = Wait::until(Deadline::after(Duration::from_millis(120)));
    assert_eq!(kind(client.send_wait(b"more", soon)), ErrorKind::TimedOut);
    // One that waits goes on once somebody receives.
    let waiting = thread::spawn(move || {
        for number in sent..sent + 500 {
            client.send(&number.to_le_bytes()).unwrap();
        }
        assert_eq!(client.receive().unwrap().to_vec().unwrap(), b"an answer");
        client
    });
    let mut server = listener.accept().unwrap();
    for number in 0..sent + 500 {
        assert_eq!(server.receive().unwrap().to_vec().unwrap(), number.to_le_bytes());
    }
    server.send(b"an answer").unwrap();
    let mut client = waiting.join().unwrap();
    drop(server);
    assert_eq!(kind(client.receive()), ErrorKind::PeerGone);
    assert_eq!(kind(client.send(b"too late")), ErrorKind::PeerGone);
    drop((client, listener));
    assert_eq!(left(scratch.path()), ["site"]);
}

/// Sends two messages, and has it be killed, or leaves.
fn hasty(peer: &Peer) {
    let link = Link::request(&name(), &at(peer)).unwrap();
    link.send(b"one").unwrap();
    link.send(b"two").unwrap();
    peer.say("sent");
    peer.hear();
}

#[test]
fn what_was_sent_is_received_when_its_client_has_gone() {
    let test = test!();
    test.role("hasty", hasty);
    let scratch = scratch();
    let options = options(scratch.path());
    let mut listener = Listener::open(&name(), &options).unwrap();
    for is_killed in [false, true] {
        let mut child = test.child("hasty").arg(scratch.path().display()).spawn();
        child.expect("sent");
        if is_killed {
            child.kill();
        } else {
            child.tell("leave");
            child.succeed();
        }
        // Others that come and go do not clear it away.
        for _ in 0..3 {
            drop(Link::request(&name(), &options).unwrap());
        }
        let mut links: Vec<_> = (0..4).map(|_| listener.accept().unwrap()).collect();
        let mut heard = Vec::new();
        for link in &mut links {
            while let Ok(message) = link.receive().and_then(twixt_bus::Sample::to_vec) {
                heard.push(message);
            }
            assert_eq!(kind(link.receive()), ErrorKind::PeerGone);
        }
        assert_eq!(heard, [b"one", b"two"]);
        assert_eq!(kind(listener.try_accept()), ErrorKind::WouldBlock);
        drop(links);
        assert_eq!(left(scratch.path()), ["l0", "site"]);
    }
    // With the listener goes what nobody is there for any more.
    let mut child = test.child("hasty").arg(scratch.path().display()).spawn();
    child.expect("sent");
    child.kill();
    assert_eq!(left(scratch.path()).len(), 4);
    drop(listener);
    assert_eq!(left(scratch.path()), ["site"]);
}

#[test]
fn a_listener_that_goes_without_having_accepted_is_told() {
    let test = test!();
    test.role("listener", |peer| {
        let listener = Listener::open(&name(), &at(peer)).unwrap();
        peer.say("listens");
        peer.hear();
        drop(listener);
    });
    let scratch = scratch();
    let options = options(scratch.path());
    for is_killed in [false, true] {
        let mut child = test.child("listener").arg(scratch.path().display()).spawn();
        child.expect("listens");
        let (sender, mut receiver) = Link::request(&name(), &options).unwrap().split();
        let (other, mut unheard) = Link::request(&name(), &options).unwrap().split();
        while other.try_send(&[0; 100]).is_ok() {}
        let waits_for_room = thread::spawn(move || (kind(other.send(&[0; 100])), other));
        let waits = thread::spawn(move || (kind(receiver.receive()), receiver));
        if is_killed {
            child.kill();
        } else {
            child.tell("leave");
            child.succeed();
        }
        let (how, receiver) = waits.join().unwrap();
        assert_eq!(how, ErrorKind::PeerGone);
        let (how, other) = waits_for_room.join().unwrap();
        assert_eq!(how, ErrorKind::PeerGone);
        // And whoever asks afterwards.
        assert_eq!(kind(sender.try_send(b"anybody?")), ErrorKind::PeerGone);
        assert_eq!(kind(unheard.try_receive()), ErrorKind::PeerGone);
        drop((sender, receiver, other, unheard));
        let connections = left(scratch.path()).into_iter().filter(|name| name.starts_with(['c', 'k']));
        assert_eq!(connections.count(), 0);
    }
}

#[test]
fn all_that_take_part_are_told() {
    let scratch = scratch();
    let options = options(scratch.path());
    let place = Place::at(scratch.path()).unwrap();
    let look = || {
        let found = stat(Kind::Rpc, &name(), Some(&place)).unwrap();
        assert_eq!(found.unreadable, 0);
        found.participants
    };
    let roles = || look().iter().map(|it| (it.role, it.state)).collect::<Vec<_>>();
    let mut listener = Listener::open(&name(), &options).unwrap();
    assert_eq!(roles(), [(Role::Listener, State::Here)]);
    let mut client = Link::request(&name(), &options).unwrap();
    client.send(b"1234").unwrap();
    assert_eq!(roles(), [(Role::Listener, State::Here), (Role::Client, State::Here)]);
    let mut server = listener.accept().unwrap();
    server.receive().unwrap();
    for _ in 0..3 {
        server.send(b"12").unwrap();
    }
    let all = look();
    let [_, asks, answers] = all[..] else { panic!("{all:?}") };
    assert_eq!((asks.role, answers.role, asks.index), (Role::Client, Role::Server, answers.index));
    assert_eq!((asks.messages, asks.bytes, answers.messages, answers.bytes), (1, Some(4), 3, Some(6)));
    assert_eq!((asks.pid, answers.pid), (Some(std::process::id()), Some(std::process::id())));
    assert!(asks.lag > Some(0), "{asks:?}");
    for _ in 0..3 {
        client.receive().unwrap();
    }
    drop((client, server, listener));
    assert_eq!(look(), []);
}
