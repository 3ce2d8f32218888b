//! Connections between real processes, and what becomes of them when those die.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use twixt_bus::{Capacity, Kind, Link, Listener, Place, Sample, Waiting, remove};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{Peer, call, scratch, test};

#[path = "support/links.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod links;

use links::{at, kind, left, name, options};

fn soon() -> Wait {
    Wait::until(Deadline::after(Duration::from_millis(150)))
}

/// The directory of the only connection.
fn connection(path: &Path) -> PathBuf {
    let found = left(path).into_iter().find(|name| name.starts_with('c')).unwrap();
    path.join("rpc.calc").join(found)
}

/// Connects, says so, and sends back what it receives until the end.
fn echo(peer: &Peer) {
    let mut link = Link::connect(&name(), &at(peer)).unwrap();
    peer.say("connected");
    while let Ok(message) = link.receive().and_then(Sample::to_vec) {
        if link.send(&message).is_err() {
            break;
        }
    }
}

/// Connects, says so, and does nothing more.
fn idle(peer: &Peer) {
    let link = Link::connect(&name(), &at(peer)).unwrap();
    peer.say("connected");
    peer.hear();
    drop(link);
}

#[test]
fn messages_of_all_sizes_go_to_and_fro() {
    let test = test!();
    test.role("echo", echo);
    let scratch = scratch();
    let options = options(scratch.path());
    let mut listener = Listener::open(&name(), &options).unwrap();
    let mut child = test.child("echo").arg(scratch.path().display()).spawn();
    let mut link = listener.accept().unwrap();
    child.expect("connected");
    assert_eq!(link.peer(), child.pid().unsigned_abs());
    let longest = link.longest();
    for len in [0, 1, 7, 8, 40, 41, 100, 4096, 40_000, longest] {
        let message: Vec<u8> = (0..len).map(|at| (at * 7 + len) as u8).collect();
        for _ in 0..3 {
            link.send(&message).unwrap();
            assert!(link.receive().unwrap().to_vec().unwrap() == message, "{len} bytes");
        }
    }
    assert_eq!(kind(link.send(&vec![0; longest + 1])), ErrorKind::TooLong);
    drop(link);
    child.succeed();
    assert_eq!(left(scratch.path()), ["l0", "site"]);
}

/// Rings of 64 lines, which calls of many lengths go round and round, several of them at a time.
#[test]
fn many_calls_go_round_a_small_ring() {
    const CALLS: u64 = 30_000;
    let test = test!();
    test.role("echo", echo);
    let scratch = scratch();
    let options = options(scratch.path()).capacity(Capacity::Bounded(1 << 12));
    let mut listener = Listener::open(&name(), &options).unwrap();
    let mut child = test.child("echo").arg(scratch.path().display()).spawn();
    let mut link = listener.accept().unwrap();
    child.expect("connected");
    let longest = link.longest() as u64;
    let message = |number: u64| {
        let len = if number.is_multiple_of(97) { longest } else { number * 31 % 400 };
        (0..len).map(|at| (at * 7 + number) as u8).collect::<Vec<_>>()
    };
    let (mut sent, mut answered) = (0, 0);
    while answered < CALLS {
        // As many as have room, at most so many.
        while sent < CALLS && sent - answered < 1 + sent % 9 {
            // What the other end has received it says in its own time: with nothing under way, that is waited for.
            let wait = if sent == answered { Wait::forever() } else { Wait::never() };
            match link.send_wait(&message(sent), wait) {
                Ok(()) => sent += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                    break;
                }
            }
        }
        assert!(link.receive().unwrap().to_vec().unwrap() == message(answered), "answer {answered}");
        answered += 1;
    }
    drop(link);
    child.succeed();
}

#[test]
fn many_clients_at_a_time_have_connections_of_their_own() {
    let test = test!();
    test.role("client", |peer| {
        let mut link = Link::connect(&name(), &at(peer)).unwrap();
        for number in 0..200_u64 {
            let message = [u64::from(std::process::id()), number].map(u64::to_le_bytes).concat();
            link.send(&message).unwrap();
            assert_eq!(link.receive().unwrap().to_vec().unwrap(), message);
        }
    });
    let scratch = scratch();
    let mut listener = Listener::open(&name(), &options(scratch.path())).unwrap();
    let children: Vec<_> =
        (0..8).map(|_| test.child("client").arg(scratch.path().display()).spawn()).collect();
    let servers: Vec<_> = children
        .iter()
        .map(|_| {
            let mut link = listener.accept().unwrap();
            thread::spawn(move || {
                let mut count = 0;
                while let Ok(message) = link.receive().and_then(Sample::to_vec) {
                    link.send(&message).unwrap();
                    count += 1;
                }
                count
            })
        })
        .collect();
    for child in children {
        child.succeed();
    }
    for server in servers {
        assert_eq!(server.join().unwrap(), 200);
    }
    assert_eq!(left(scratch.path()), ["l0", "site"]);
}

#[test]
fn there_is_one_listener_and_without_it_no_connection() {
    let test = test!();
    test.role("listener", |peer| {
        let listener = Listener::open(&name(), &at(peer)).unwrap();
        peer.say("listens");
        peer.hear();
        drop(listener);
    });
    let scratch = scratch();
    let options = options(scratch.path());
    let absent = options.clone().create(false);
    assert_eq!(kind(Link::connect(&name(), &absent)), ErrorKind::NotFound);
    let mut first = test.child("listener").arg(scratch.path().display()).spawn();
    first.expect("listens");
    let error = Listener::open(&name(), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains(&format!("process {}", first.pid())), "{error}");
    // It never accepts.
    assert_eq!(kind(Link::connect_wait(&name(), &absent, soon())), ErrorKind::TimedOut);
    assert_eq!(kind(Link::connect_wait(&name(), &absent, Wait::never())), ErrorKind::WouldBlock);
    assert_eq!(left(scratch.path()), ["l0", "site"]);
    first.kill();
    assert_eq!(kind(Link::connect(&name(), &absent)), ErrorKind::NoPeer);
    drop(Listener::open(&name(), &options).unwrap());
    assert_eq!(kind(Link::connect(&name(), &absent)), ErrorKind::NoPeer);
    assert_eq!(left(scratch.path()), ["site"]);
}

#[test]
fn a_client_that_waits_learns_that_the_listener_was_killed() {
    let test = test!();
    test.role("listener", |peer| {
        let _listener = Listener::open(&name(), &at(peer)).unwrap();
        peer.say("listens");
        peer.hear();
    });
    let scratch = scratch();
    let mut child = test.child("listener").arg(scratch.path().display()).spawn();
    child.expect("listens");
    let options = options(scratch.path());
    let client = thread::spawn(move || kind(Link::connect(&name(), &options)));
    while !left(scratch.path()).iter().any(|name| name.starts_with('c')) {
        thread::yield_now();
    }
    child.kill();
    assert_eq!(client.join().unwrap(), ErrorKind::NoPeer);
    assert_eq!(left(scratch.path()), ["l0", "site"]);
}

#[test]
fn a_client_waits_across_listeners_that_come_and_go() {
    let test = test!();
    test.role("echo", echo);
    let scratch = scratch();
    let options = options(scratch.path());
    let first = Listener::open(&name(), &options).unwrap();
    let mut child = test.child("echo").arg(scratch.path().display()).spawn();
    while !left(scratch.path()).iter().any(|name| name.starts_with('k')) {
        thread::yield_now();
    }
    // It cannot look between the two: then it would be told that nobody listens.
    child.stop();
    drop(first);
    let mut second = Listener::open(&name(), &options).unwrap();
    child.signal(Signal::CONT);
    let mut link = second.accept().unwrap();
    child.expect("connected");
    link.send(b"here").unwrap();
    assert_eq!(link.receive().unwrap().to_vec().unwrap(), b"here");
    drop(link);
    child.succeed();
}

#[test]
fn what_was_sent_before_the_end_is_received_before_it_is_told() {
    let test = test!();
    test.role("client", |peer| {
        let link = Link::connect(&name(), &at(peer)).unwrap();
        for number in 0..100_u32 {
            link.send(&number.to_le_bytes()).unwrap();
        }
        if peer.arg(1) == "closes" {
            return;
        }
        peer.say("sent");
        peer.hear();
    });
    for how in ["closes", "dies"] {
        let scratch = scratch();
        let mut listener = Listener::open(&name(), &options(scratch.path())).unwrap();
        let mut child = test.child("client").arg(scratch.path().display()).arg(how).spawn();
        let mut link = listener.accept().unwrap();
        if how == "dies" {
            child.expect("sent");
            child.kill();
        } else {
            child.succeed();
        }
        for number in 0..100_u32 {
            assert_eq!(link.receive().unwrap().to_vec().unwrap(), number.to_le_bytes());
        }
        for _ in 0..2 {
            let error = link.receive().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PeerGone);
            assert!(error.to_string().contains(if how == "dies" { "died" } else { "left" }), "{error}");
        }
        assert_eq!(kind(link.send(b"into nothing")), ErrorKind::PeerGone);
        drop(link);
        assert_eq!(left(scratch.path()), ["l0", "site"]);
    }
}

#[test]
fn whoever_waits_for_a_peer_that_is_killed_learns_it() {
    let test = test!();
    test.role("idle", idle);
    for waiting in [Waiting::Adaptive, Waiting::Spin, Waiting::Block] {
        let scratch = scratch();
        let mut listener = Listener::open_waiting(&name(), &options(scratch.path()), waiting).unwrap();
        let mut child = test.child("idle").arg(scratch.path().display()).spawn();
        let (sender, mut receiver) = listener.accept().unwrap().split();
        child.expect("connected");
        let full = thread::spawn(move || {
            loop {
                if let Err(error) = sender.send(&[7; 1000]) {
                    break error.kind();
                }
            }
        });
        if waiting != Waiting::Spin {
            twixt_testkit::wait_until_blocked_in(std::process::id(), &[call::FUTEX]);
        }
        let waits = thread::spawn(move || kind(receiver.receive()));
        child.kill();
        assert_eq!(full.join().unwrap(), ErrorKind::PeerGone, "for room, {waiting:?}");
        assert_eq!(waits.join().unwrap(), ErrorKind::PeerGone, "for a message, {waiting:?}");
        assert_eq!(left(scratch.path()), ["l0", "site"]);
    }
}

#[test]
fn whoever_only_asks_learns_it_too() {
    let test = test!();
    test.role("idle", idle);
    let scratch = scratch();
    let mut listener = Listener::open(&name(), &options(scratch.path())).unwrap();
    let mut child = test.child("idle").arg(scratch.path().display()).spawn();
    let (sender, mut receiver) = listener.accept().unwrap().split();
    child.expect("connected");
    assert_eq!(kind(receiver.try_receive()), ErrorKind::WouldBlock);
    child.kill();
    while kind(receiver.try_receive()) == ErrorKind::WouldBlock {
        thread::yield_now();
    }
    assert_eq!(kind(receiver.try_receive()), ErrorKind::PeerGone);
    assert_eq!(kind(sender.try_send(b"too late")), ErrorKind::PeerGone);
}

#[test]
fn a_peer_that_is_stopped_is_not_taken_for_dead() {
    let test = test!();
    test.role("echo", echo);
    let scratch = scratch();
    let mut listener = Listener::open(&name(), &options(scratch.path())).unwrap();
    let mut child = test.child("echo").arg(scratch.path().display()).spawn();
    let mut link = listener.accept().unwrap();
    child.expect("connected");
    child.stop();
    link.send(b"are you there?").unwrap();
    assert_eq!(kind(link.receive_wait(soon())), ErrorKind::TimedOut);
    loop {
        match link.send_wait(&[1; 1000], soon()) {
            Ok(()) => {}
            Err(error) => break assert_eq!(error.kind(), ErrorKind::TimedOut),
        }
    }
    child.signal(Signal::CONT);
    assert_eq!(link.receive().unwrap().to_vec().unwrap(), b"are you there?");
    assert_eq!(link.receive().unwrap().to_vec().unwrap(), [1; 1000]);
}

#[test]
fn what_both_ends_left_when_they_were_killed_goes_when_somebody_comes() {
    let test = test!();
    test.role("server", |peer| {
        let mut listener = Listener::open(&name(), &at(peer)).unwrap();
        peer.say("listens");
        let _links: Vec<_> = (0..3).map(|_| listener.accept().unwrap()).collect();
        peer.say("accepted");
        peer.hear();
    });
    test.role("idle", idle);
    for by_connecting in [false, true] {
        let scratch = scratch();
        let path = scratch.path().display().to_string();
        let mut server = test.child("server").arg(&path).spawn();
        server.expect("listens");
        let clients: Vec<_> = (0..3).map(|_| test.child("idle").arg(&path).spawn()).collect();
        server.expect("accepted");
        for mut client in clients {
            client.expect("connected");
            client.kill();
        }
        server.kill();
        assert_eq!(left(scratch.path()).iter().filter(|name| name.starts_with('c')).count(), 3);
        let options = options(scratch.path());
        let mut listener = Listener::open(&name(), &options).unwrap();
        if by_connecting {
            let client = thread::spawn(move || Link::connect(&name(), &options).unwrap());
            let link = listener.accept().unwrap();
            drop((link, client.join().unwrap()));
        }
        assert_eq!(left(scratch.path()), ["l0", "site"]);
    }
}

#[test]
fn a_client_killed_while_it_connects_leaves_nothing() {
    let test = test!();
    test.role("client", |peer| {
        peer.say("begins");
        loop {
            drop(Link::connect(&name(), &at(peer)).unwrap());
        }
    });
    let scratch = scratch();
    let mut listener = Listener::open(&name(), &options(scratch.path())).unwrap();
    for round in 0..40_u64 {
        let mut child = test.child("client").arg(scratch.path().display()).spawn();
        child.expect("begins");
        for _ in 0..round % 4 {
            let mut link = listener.accept().unwrap();
            assert_eq!(kind(link.receive()), ErrorKind::PeerGone);
        }
        // Somewhere in the middle of it.
        thread::sleep(Duration::from_micros(round * 37 % 500));
        child.kill();
        while let Ok(mut link) = listener.try_accept() {
            assert_eq!(kind(link.receive()), ErrorKind::PeerGone);
        }
    }
    drop(listener);
    drop(Listener::open(&name(), &options(scratch.path())).unwrap());
    assert_eq!(left(scratch.path()), ["site"]);
}

#[test]
fn a_half_that_is_dropped_ends_one_direction() {
    let scratch = scratch();
    let options = options(scratch.path());
    let mut listener = Listener::open(&name(), &options).unwrap();
    let client = thread::spawn(move || Link::connect(&name(), &options).unwrap());
    let mut server = listener.accept().unwrap();
    let (sender, mut receiver) = client.join().unwrap().split();
    sender.send(b"the last").unwrap();
    drop(sender);
    assert_eq!(server.receive().unwrap().to_vec().unwrap(), b"the last");
    assert_eq!(kind(server.receive()), ErrorKind::PeerGone);
    server.send(b"but you may go on").unwrap();
    assert_eq!(receiver.receive().unwrap().to_vec().unwrap(), b"but you may go on");
    drop(receiver);
    assert_eq!(kind(server.send(b"no")), ErrorKind::PeerGone);
    drop(server);
    assert_eq!(left(scratch.path()), ["l0", "site"]);
}

#[test]
fn a_sender_that_waits_for_room_learns_that_the_other_half_was_dropped() {
    let scratch = scratch();
    let options = options(scratch.path());
    let mut listener = Listener::open(&name(), &options).unwrap();
    let client = thread::spawn(move || Link::connect(&name(), &options).unwrap());
    let server = listener.accept().unwrap();
    let (_sender, receiver) = client.join().unwrap().split();
    let full = thread::spawn(move || {
        loop {
            if let Err(error) = server.send(&[7; 1000]) {
                break error.kind();
            }
        }
    });
    twixt_testkit::wait_until_blocked_in(std::process::id(), &[call::FUTEX]);
    drop(receiver);
    assert_eq!(full.join().unwrap(), ErrorKind::PeerGone);
}

#[test]
fn users_talk_to_each_other_where_the_mode_lets_them() {
    use std::os::unix::fs::PermissionsExt;
    let test = test!();
    test.role("client", echo);
    test.role("server", |peer| {
        let mut listener = Listener::open(&name(), &at(peer)).unwrap();
        peer.say("listens");
        let mut link = listener.accept().unwrap();
        let message = link.receive().unwrap().to_vec().unwrap();
        link.send(&message).unwrap();
    });
    if let Err(missing) = twixt_testkit::root() {
        return test.skip(&missing);
    }
    let scratch = scratch();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let path = scratch.path().display().to_string();
    let options = options(scratch.path()).mode(twixt_os::Mode::new(0o666).unwrap());
    let mut listener = Listener::open(&name(), &options).unwrap();
    let client = test.child("client").arg(&path).as_nobody().spawn();
    let mut link = listener.accept().unwrap();
    link.send(b"here").unwrap();
    assert_eq!(link.receive().unwrap().to_vec().unwrap(), b"here");
    drop((link, listener));
    client.succeed();
    let mut server = test.child("server").arg(&path).as_nobody().spawn();
    server.expect("listens");
    let mut link = Link::connect(&name(), &options).unwrap();
    link.send(b"there").unwrap();
    assert_eq!(link.receive().unwrap().to_vec().unwrap(), b"there");
    drop(link);
    server.succeed();
    assert_eq!(left(scratch.path()), ["site"]);
}

#[test]
fn removal_is_told_to_whoever_waits() {
    let test = test!();
    test.role("idle", idle);
    let scratch = scratch();
    let place = Place::at(scratch.path()).unwrap();
    let mut listener = Listener::open(&name(), &options(scratch.path())).unwrap();
    let mut child = test.child("idle").arg(scratch.path().display()).spawn();
    let mut link = listener.accept().unwrap();
    child.expect("connected");
    let receives = thread::spawn(move || kind(link.receive()));
    let accepts = thread::spawn(move || kind(listener.accept()));
    remove(Kind::Rpc, &name(), Some(&place)).unwrap();
    assert_eq!(receives.join().unwrap(), ErrorKind::Removed);
    assert_eq!(accepts.join().unwrap(), ErrorKind::Removed);
    child.succeed();
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn a_connection_of_another_capacity_is_none() {
    let scratch = scratch();
    let options = options(scratch.path());
    let mut listener = Listener::open(&name(), &options).unwrap();
    let other = options.clone().capacity(Capacity::Bounded(1 << 20));
    assert_eq!(kind(Link::connect(&name(), &other)), ErrorKind::InvalidInput);
    for unfit in [Capacity::Zero, Capacity::Unbounded(1 << 20)] {
        assert_eq!(kind(Link::connect(&name(), &options.clone().capacity(unfit))), ErrorKind::InvalidInput);
    }
    assert_eq!(kind(listener.try_accept()), ErrorKind::WouldBlock);
}

#[test]
fn doorbells_ring_for_connections_and_for_messages() {
    let test = test!();
    test.role("client", |peer| {
        peer.wait_for("connect");
        let link = Link::connect(&name(), &at(peer)).unwrap();
        peer.say("connected");
        peer.wait_for("send");
        link.send(b"ring").unwrap();
        peer.wait_for("leave");
    });
    let scratch = scratch();
    let mut listener = Listener::open(&name(), &options(scratch.path())).unwrap();
    let mut child = test.child("client").arg(scratch.path().display()).spawn();
    // What has happened so far counts, too.
    listener.doorbell().unwrap();
    assert_eq!(kind(listener.try_accept()), ErrorKind::WouldBlock);
    assert!(!listener.arm().unwrap());
    child.tell("connect");
    poll(listener.doorbell().unwrap());
    let mut receiver = listener.accept().unwrap().split().1;
    child.expect("connected");
    receiver.doorbell().unwrap();
    assert_eq!(kind(receiver.try_receive()), ErrorKind::WouldBlock);
    assert!(!receiver.arm().unwrap());
    child.tell("send");
    poll(receiver.doorbell().unwrap());
    assert_eq!(receiver.try_receive().unwrap().to_vec().unwrap(), b"ring");
    assert!(!receiver.arm().unwrap());
    child.tell("leave");
    child.succeed();
    poll(receiver.doorbell().unwrap());
    assert_eq!(kind(receiver.try_receive()), ErrorKind::PeerGone);
}

fn poll(descriptor: std::os::fd::BorrowedFd<'_>) {
    use rustix::event::{PollFd, PollFlags};
    let mut polled = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    while rustix::event::poll(&mut polled, None).is_err() {}
}

/// Bytes that anybody may have written, from a number.
fn noise(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 11 ^ *state << 31
}

/// Writes what is no good into everything that a client may write, for so long.
fn spoil(connection: &Path, seed: u64, mut goes_on: impl FnMut() -> bool) {
    use std::os::unix::fs::FileExt;
    let mut state = seed | 1;
    let files = ["topic.up/site", "topic.up/p0", "topic.down/site", "topic.down/s0"].map(|file| {
        let file = fs::OpenOptions::new().read(true).write(true).open(connection.join(file)).unwrap();
        let len = file.metadata().unwrap().len();
        (file, len)
    });
    while goes_on() {
        for (file, len) in &files {
            let at = noise(&mut state) % (len / 8) * 8;
            // The ring's control block and the first lines, mostly; small numbers, often.
            let at = if noise(&mut state) & 1 == 0 { at } else { at % 9000 / 8 * 8 };
            let word = noise(&mut state) >> (noise(&mut state) % 64);
            let _ = file.write_at(&word.to_le_bytes(), at);
        }
    }
}

#[test]
fn a_hostile_client_hurts_nobody() {
    let scratch = scratch();
    let mut listener = Listener::open(&name(), &options(scratch.path())).unwrap();
    for seed in 0..30_u64 {
        let options = options(scratch.path());
        let client = thread::spawn(move || Link::connect(&name(), &options).unwrap());
        let (sender, mut receiver) = listener.accept().unwrap().split();
        let client = client.join().unwrap();
        let path = connection(scratch.path());
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let spoils = thread::spawn(move || {
            spoil(&path, seed, || stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty));
        });
        let sends = thread::spawn(move || {
            for len in 0..300 {
                let _ = sender
                    .send_wait(&vec![1; len * 10], Wait::until(Deadline::after(Duration::from_millis(1))));
            }
        });
        for _ in 0..300 {
            let wait = Wait::until(Deadline::after(Duration::from_millis(1)));
            if let Ok(mut sample) = receiver.receive_wait(wait) {
                let len = sample.len();
                assert!(len <= 1 << 18, "{len} bytes");
                let mut read = Vec::new();
                let _ = sample.read_into(&mut read);
            }
            let _ = client.send_wait(b"in between", Wait::never());
        }
        sends.join().unwrap();
        drop(receiver);
        drop(stop);
        spoils.join().unwrap();
        drop(client);
        // Where even the evidence was spoiled, nobody can say whose it is.
        let _ = fs::remove_dir_all(connection_or(scratch.path()));
    }
}

fn connection_or(path: &Path) -> PathBuf {
    match left(path).into_iter().find(|name| name.starts_with('c')) {
        Some(found) => path.join("rpc.calc").join(found),
        None => path.join("none"),
    }
}

#[test]
fn a_client_that_truncates_its_files_is_an_error() {
    for file in ["topic.up/p0", "topic.up/site", "topic.down/s0", "topic.down/site"] {
        let scratch = scratch();
        let options = options(scratch.path());
        let mut listener = Listener::open(&name(), &options).unwrap();
        let client = thread::spawn(move || Link::connect(&name(), &options).unwrap());
        let (sender, mut receiver) = listener.accept().unwrap().split();
        let client = client.join().unwrap();
        fs::File::options()
            .write(true)
            .open(connection(scratch.path()).join(file))
            .unwrap()
            .set_len(0)
            .unwrap();
        for _ in 0..20 {
            let wait = Wait::until(Deadline::after(Duration::from_millis(10)));
            let _ = receiver.receive_wait(wait).map(|sample| sample.to_vec());
            let _ = sender.send_wait(&[1; 30_000], wait);
            let _ = client.send_wait(b"here", wait);
        }
    }
}

#[test]
fn a_listener_is_not_held_up_by_requests_that_make_no_sense() {
    let test = test!();
    test.role("echo", echo);
    let scratch = scratch();
    let mut listener = Listener::open(&name(), &options(scratch.path())).unwrap();
    let directory = scratch.path().join("rpc.calc");
    fs::write(directory.join("k1"), b"nonsense").unwrap();
    fs::write(directory.join("k2"), vec![0; 8192]).unwrap();
    fs::create_dir(directory.join("k3")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", directory.join("k4")).unwrap();
    fs::create_dir_all(directory.join("c5/topic.up")).unwrap();
    let child = test.child("echo").arg(scratch.path().display()).spawn();
    let mut link = listener.accept().unwrap();
    link.send(b"here").unwrap();
    assert_eq!(link.receive().unwrap().to_vec().unwrap(), b"here");
    drop(link);
    child.succeed();
}

#[test]
fn a_forked_copy_disturbs_nothing_and_is_good_for_nothing() {
    let test = test!();
    test.role("forks", |peer| {
        let mut link = Link::connect(&name(), &at(peer)).unwrap();
        // SAFETY: this role runs one thread of the test's; the child uses what it has and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let refused = kind(link.send(b"from the child")) == ErrorKind::InvalidInput
                && kind(link.receive_wait(Wait::never())) == ErrorKind::InvalidInput;
            drop(link);
            // SAFETY: ends the process, as is allowed after a fork.
            unsafe { libc::_exit(i32::from(!refused)) };
        }
        let mut status = 0;
        // SAFETY: waits for a child of this process, into a variable of its own.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(status, 0);
        link.send(b"from the parent").unwrap();
        assert_eq!(link.receive().unwrap().to_vec().unwrap(), b"to the parent");
    });
    test.role("forks and listens", |peer| {
        let mut listener = Listener::open(&name(), &at(peer)).unwrap();
        listener.doorbell().unwrap();
        // SAFETY: as above.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let refused = listener.arm().is_err_and(|error| error.kind() == ErrorKind::InvalidInput)
                && listener.doorbell().is_err_and(|error| error.kind() == ErrorKind::InvalidInput)
                && kind(listener.accept_wait(Wait::never())) == ErrorKind::InvalidInput;
            drop(listener);
            // SAFETY: as above.
            unsafe { libc::_exit(i32::from(!refused)) };
        }
        let mut status = 0;
        // SAFETY: as above.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(status, 0);
        // What it has goes on as it was.
        assert_eq!(kind(listener.try_accept()), ErrorKind::WouldBlock);
        assert!(!listener.arm().unwrap());
        peer.say("armed");
        poll(listener.doorbell().unwrap());
        listener.accept().unwrap().send(b"accepted").unwrap();
    });
    test.role("leaves a child", |peer| {
        let link = Link::connect(&name(), &at(peer)).unwrap();
        // SAFETY: as above.
        let child = unsafe { libc::fork() };
        if child == 0 {
            thread::sleep(Duration::from_secs(60));
        }
        peer.say(&child.to_string());
        peer.hear();
        drop(link);
    });
    test.role("listens and leaves a child", |peer| {
        let listener = Listener::open(&name(), &at(peer)).unwrap();
        // SAFETY: as above.
        let child = unsafe { libc::fork() };
        if child == 0 {
            thread::sleep(Duration::from_secs(60));
        }
        peer.say(&child.to_string());
        peer.hear();
        drop(listener);
    });
    let scratch = scratch();
    let mut listener = Listener::open(&name(), &options(scratch.path())).unwrap();
    let child = test.child("forks").arg(scratch.path().display()).spawn();
    let mut link = listener.accept().unwrap();
    assert_eq!(link.receive().unwrap().to_vec().unwrap(), b"from the parent");
    link.send(b"to the parent").unwrap();
    child.succeed();
    assert_eq!(kind(link.receive()), ErrorKind::PeerGone);

    // The child of a dead process has its locks, but is not it.
    let mut child = test.child("leaves a child").arg(scratch.path().display()).spawn();
    let mut link = listener.accept().unwrap();
    let grandchild: i32 = child.hear().parse().unwrap();
    child.kill();
    let gone = kind(link.receive());
    let grandchild = rustix::process::Pid::from_raw(grandchild).unwrap();
    rustix::process::kill_process(grandchild, Signal::KILL).unwrap();
    assert_eq!(gone, ErrorKind::PeerGone);
    drop((link, listener));

    let mut child = test.child("forks and listens").arg(scratch.path().display()).spawn();
    child.expect("armed");
    let mut link = Link::connect(&name(), &options(scratch.path())).unwrap();
    assert_eq!(link.receive().unwrap().to_vec().unwrap(), b"accepted");
    child.succeed();
    drop(link);

    let mut child = test.child("listens and leaves a child").arg(scratch.path().display()).spawn();
    let grandchild: i32 = child.hear().parse().unwrap();
    let pid = child.pid();
    child.kill();
    let refused = Listener::open(&name(), &options(scratch.path())).unwrap_err();
    let reached = kind(Link::connect(&name(), &options(scratch.path())));
    let grandchild = rustix::process::Pid::from_raw(grandchild).unwrap();
    rustix::process::kill_process(grandchild, Signal::KILL).unwrap();
    assert_eq!((refused.kind(), reached), (ErrorKind::Busy, ErrorKind::NoPeer));
    assert!(refused.to_string().contains(&format!("child of process {pid}")), "{refused}");
}

#[test]
fn a_full_file_system_is_an_error_that_leaves_nothing() {
    test!().in_namespaces(|_| {
        let scratch = scratch();
        let at = scratch.path().to_str().unwrap();
        twixt_testkit::output("mount", &["-t", "tmpfs", "-o", "size=300k", "tmpfs", at]);
        let options = options(scratch.path());
        let listener = Listener::open(&name(), &options).unwrap();
        assert_eq!(kind(Link::connect(&name(), &options)), ErrorKind::NoSpace);
        assert_eq!(left(scratch.path()), ["l0", "site"]);
        drop(listener);
        twixt_testkit::output("umount", &[at]);
    });
}
