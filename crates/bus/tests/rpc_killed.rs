//! Clients and servers that are killed at any instruction, and at any time.
//!
//! ```sh
//! cargo test -p twixt-bus --test rpc_killed                            # some instructions of each section: seconds
//! cargo test --release -p twixt-bus --test rpc_killed -- --ignored     # every one, where there are not too many: minutes
//! TWIXT_TEST_POINTS=500 cargo test -p twixt-bus --test rpc_killed      # so many of each section
//! ```

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use twixt_bus::{Kind, Link, Listener, Place, remove};
use twixt_os::{ErrorKind, Result};
use twixt_testkit::{Peer, TempDir, Test, bus, test};

#[path = "support/kills.rs"]
#[macro_use]
mod kills;
#[path = "support/links.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod links;

use kills::{Told, alone, sweep};
use links::{Dice, at, in_ms, kind, message, name, names, options, read};

fn connect(peer: &Peer) -> Link {
    Link::connect(&name(), &at(peer)).unwrap()
}

/// A call, whose answer is the same message.
fn call(link: &mut Link, number: u64, len: usize) -> Result<()> {
    let bytes = message(1, number, len);
    link.send(&bytes)?;
    let answer = link.receive_wait(in_ms(60_000))?.to_vec()?;
    assert!(answer == bytes, "not the answer to {number}");
    Ok(())
}

/// Is killed in a section, or behind it.
fn section<T>(peer: &Peer, section: impl FnOnce() -> T) {
    peer.mark();
    let made = section();
    peer.mark();
    thread::sleep(Duration::from_secs(60));
    drop(made);
}

/// A connection as its server saw it.
struct Served {
    calls: u64,
    end: ErrorKind,
    /// When the end was told.
    told: Instant,
}

/// Accepts one connection after the other, and answers each call with the same message, which must be the next.
struct Server {
    served: Receiver<Served>,
    scratch: TempDir,
}

impl Server {
    fn start() -> Self {
        let scratch = bus();
        let options = options(scratch.path());
        let mut listener = Listener::open(&name(), &options).unwrap();
        let (report, served) = channel();
        thread::spawn(move || {
            // Until the name is removed.
            while let Ok(link) = listener.accept() {
                let _ = report.send(serve(link));
            }
        });
        Self { served, scratch }
    }

    fn next(&self) -> Served {
        self.served.recv_timeout(Duration::from_secs(60)).expect("a connection that ends")
    }

    /// That a client that comes now is served, and nothing is left afterwards. How those before it were served.
    fn look(&self) -> Vec<Served> {
        let mut link = Link::connect(&name(), &options(self.scratch.path())).unwrap();
        // The connection of the dead, if there was one, has ended.
        for number in 0..3 {
            call(&mut link, number, 200).unwrap();
        }
        drop(link);
        let mut served = vec![self.next()];
        while served.last().is_some_and(|it| it.calls != 3) {
            served.push(self.next());
        }
        assert_eq!(served.pop().map(|it| it.end), Some(ErrorKind::PeerGone));
        // The listener may come to a dead client only now that it has served this one, or sweep it while it waits.
        let (begun, place) = (Instant::now(), self.scratch.path().join("rpc.calc"));
        while names(&place) != ["l0", "site"] {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?} are left", names(&place));
            thread::sleep(Duration::from_millis(1));
        }
        served
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = remove(Kind::Rpc, &name(), Some(&Place::at(self.scratch.path()).unwrap()));
    }
}

fn serve(mut link: Link) -> Served {
    let mut calls = 0;
    let end = loop {
        let bytes = match link.receive().and_then(|sample| sample.to_vec()) {
            Ok(bytes) => bytes,
            Err(error) => break error.kind(),
        };
        assert_eq!(read(&bytes), (1, calls), "lost or doubled");
        calls += 1;
        if let Err(error) = link.send(&bytes) {
            break error.kind();
        }
    };
    let told = Instant::now();
    drop(link);
    Served { calls, end, told }
}

/// A client that is killed: so many calls it has made before its section, and makes in it.
fn kill_client(test: &Test, points: u64, role: &str, before: u64, inside: u64) {
    let (server, mut told) = (Server::start(), Told::default());
    let child = || test.child(role).arg(server.scratch.path().display());
    let (mut served, mut unserved) = (0, 0);
    sweep(test, role, points, child, |is_over| {
        let death = Instant::now();
        let seen = server.look();
        assert!(seen.len() <= 1, "it has connected once");
        assert!(!seen.is_empty() || before == 0 && !is_over);
        unserved += u64::from(seen.is_empty());
        for it in seen {
            served += 1;
            assert_eq!(it.end, ErrorKind::PeerGone);
            let least = if is_over { before + inside } else { before };
            assert!((least..=before + inside).contains(&it.calls), "{} calls; over: {is_over}", it.calls);
            // One that left cleanly may have been told before.
            if it.told > death {
                told.add(it.told - death);
            }
        }
    });
    println!("    {served} connections, {unserved} that came to none; {told}");
}

fn clients(test: &Test, points: u64) {
    test.role("connects", |peer| section(peer, || connect(peer)));
    test.role("calls", |peer| {
        let mut link = connect(peer);
        call(&mut link, 0, 40).unwrap();
        section(peer, || call(&mut link, 1, 40).unwrap());
    });
    test.role("sends", |peer| {
        let mut link = connect(peer);
        call(&mut link, 0, 40).unwrap();
        section(peer, || link.send(&message(1, 1, 700)).unwrap());
    });
    test.role("leaves", |peer| {
        let mut link = connect(peer);
        call(&mut link, 0, 40).unwrap();
        section(peer, || drop(link));
    });
    kill_client(test, points, "connects", 0, 0);
    kill_client(test, points, "calls", 1, 1);
    kill_client(test, points, "sends", 1, 1);
    kill_client(test, points, "leaves", 1, 0);
}

/// Connects when it is told to, or when somebody listens after that, calls until it cannot, and says how many calls were answered
/// and how it ended.
struct Client {
    wanted: Sender<()>,
    ended: Receiver<(Option<u64>, ErrorKind, Instant)>,
}

impl Client {
    fn start(directory: &Path, waits: bool) -> Self {
        let options = options(directory);
        let listener = directory.join("rpc.calc").join("l0");
        let (wanted, begins) = channel();
        let (report, ended) = channel();
        thread::spawn(move || {
            while begins.recv().is_ok() {
                while waits && !listener.exists() {
                    thread::yield_now();
                }
                let outcome = match Link::connect_wait(&name(), &options, in_ms(60_000)) {
                    Err(error) => (None, error.kind(), Instant::now()),
                    Ok(mut link) => {
                        let mut calls = 0;
                        loop {
                            match call(&mut link, calls, 60) {
                                Ok(()) => calls += 1,
                                Err(error) => break (Some(calls), error.kind(), Instant::now()),
                            }
                        }
                    }
                };
                let _ = report.send(outcome);
            }
        });
        Self { wanted, ended }
    }
}

/// A server that is killed, while a client connects and calls.
fn kill_server(test: &Test, points: u64, role: &str, calls: std::ops::RangeInclusive<u64>) {
    let (scratch, mut told) = (bus(), Told::default());
    drop(Listener::open(&name(), &options(scratch.path())).unwrap());
    // Those that do not wait for a client are looked at by one that comes later.
    let comes_before = role == "accepts";
    let client = Client::start(scratch.path(), comes_before);
    let (mut refused, mut connected, mut answered) = (0, 0, 0);
    let child = || {
        if comes_before {
            client.wanted.send(()).unwrap();
        }
        test.child(role).arg(scratch.path().display())
    };
    sweep(test, role, points, child, |is_over| {
        let death = Instant::now();
        if !comes_before {
            client.wanted.send(()).unwrap();
        }
        let (made, end, time) =
            client.ended.recv_timeout(Duration::from_secs(60)).expect("whoever waits for the dead is told");
        assert_eq!(end, if made.is_none() { ErrorKind::NoPeer } else { ErrorKind::PeerGone });
        assert!(made.is_none_or(|made| calls.contains(&made)), "{made:?} answers; over: {is_over}");
        assert!(!(comes_before && is_over) || made == Some(*calls.end()), "{made:?} answers");
        refused += u64::from(made.is_none());
        connected += u64::from(made.is_some());
        answered += made.unwrap_or(0);
        if time > death {
            told.add(time - death);
        }
        // Who comes next listens, and finds nothing in the way.
        let mut listener = Listener::open(&name(), &options(scratch.path())).unwrap();
        let queue = options(scratch.path());
        let comes = thread::spawn(move || {
            let mut link = Link::connect(&name(), &queue).unwrap();
            call(&mut link, 0, 40).unwrap();
        });
        assert_eq!(serve(listener.accept().unwrap()).calls, 1);
        comes.join().unwrap();
        drop(listener);
        assert_eq!(names(&scratch.path().join("rpc.calc")), ["site"]);
    });
    println!("    {refused} refused, {connected} connected, {answered} calls answered; {told}");
}

fn servers(test: &Test, points: u64) {
    test.role("listens", |peer| section(peer, || Listener::open(&name(), &at(peer)).unwrap()));
    test.role("stops listening", |peer| {
        let listener = Listener::open(&name(), &at(peer)).unwrap();
        section(peer, || drop(listener));
    });
    test.role("accepts", |peer| {
        let mut listener = Listener::open(&name(), &at(peer)).unwrap();
        // Somebody waits for it.
        let directory = Path::new(&peer.arg(0)).join("rpc.calc");
        while !names(&directory).iter().any(|name| name.starts_with('k')) {
            thread::yield_now();
        }
        section(peer, || {
            let mut link = listener.accept().unwrap();
            for _ in 0..2 {
                let bytes = link.receive().unwrap().to_vec().unwrap();
                link.send(&bytes).unwrap();
            }
            (listener, link)
        });
    });
    kill_server(test, points, "listens", 0..=0);
    kill_server(test, points, "stops listening", 0..=0);
    kill_server(test, points, "accepts", 0..=2);
}

/// The first one makes the name.
fn making(test: &Test, points: u64) {
    test.role("makes", |peer| section(peer, || Listener::open(&name(), &at(peer)).unwrap()));
    test.role("removes", |peer| {
        drop(Listener::open(&name(), &at(peer)).unwrap());
        let place = Place::at(peer.arg(0)).unwrap();
        section(peer, || remove(Kind::Rpc, &name(), Some(&place)).unwrap());
    });
    for role in ["makes", "removes"] {
        let scratch = bus();
        let (options, place) = (options(scratch.path()), Place::at(scratch.path()).unwrap());
        let child = || test.child(role).arg(scratch.path().display());
        sweep(test, role, points, child, |_| {
            let _ = remove(Kind::Rpc, &name(), Some(&place));
            drop(Listener::open(&name(), &options).unwrap());
            assert_eq!(names(&scratch.path().join("rpc.calc")), ["site"]);
            remove(Kind::Rpc, &name(), Some(&place)).unwrap();
            assert_eq!(names(scratch.path()), Vec::<String>::new());
        });
    }
}

sweeps! {
    clients_killed, clients_killed_anywhere: clients, 8;
    servers_killed, servers_killed_anywhere: servers, 8;
    killed_while_making_the_name, killed_while_making_the_name_anywhere: making, 6;
}

/// Connects, calls a while, leaves, without end.
fn comes_and_goes(peer: &Peer) {
    let mut dice = Dice(u64::from(std::process::id()));
    loop {
        match Link::connect_wait(&name(), &at(peer), in_ms(60_000)) {
            Err(error) => assert!(matches!(error.kind(), ErrorKind::NoPeer), "{error}"),
            Ok(mut link) => {
                for number in 0..dice.below(30) {
                    match call(&mut link, number, dice.below(3000) as usize) {
                        Ok(()) => {}
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
                            break;
                        }
                    }
                }
            }
        }
    }
}

/// Accepts without end, each connection in a thread.
fn serves(peer: &Peer) {
    let mut listener = Listener::open(&name(), &at(peer)).unwrap();
    peer.say("listens");
    loop {
        let link = listener.accept().unwrap();
        thread::spawn(move || assert_eq!(serve(link).end, ErrorKind::PeerGone));
    }
}

/// Kills clients and servers at random while they do as much as they can.
fn at_random(test: &Test, kills: u64) {
    test.role("client", comes_and_goes);
    test.role("server", serves);
    let scratch = bus();
    drop(Listener::open(&name(), &options(scratch.path())).unwrap());
    let spawn = |role: &str| test.child(role).arg(scratch.path().display()).spawn();
    let start = || {
        let mut server = spawn("server");
        server.expect("listens");
        server
    };
    let (mut server, mut clients) = (start(), vec![spawn("client"), spawn("client"), spawn("client")]);
    let mut dice = Dice(u64::from(std::process::id()) + 99);
    let (mut servers, mut calls, mut told) = (0, 0, Told::default());
    for _ in 0..kills {
        let mut link = Link::connect_wait(&name(), &options(scratch.path()), in_ms(60_000)).unwrap();
        for number in 0..dice.below(100) {
            call(&mut link, number, 100).unwrap();
            calls += 1;
        }
        if dice.below(3) == 0 {
            server.kill();
            servers += 1;
            let death = Instant::now();
            assert_eq!(kind(link.receive_wait(in_ms(60_000))), ErrorKind::PeerGone);
            told.of(death);
            drop(link);
            server = start();
        } else {
            clients.remove(dice.below(3) as usize).kill();
            clients.push(spawn("client"));
        }
    }
    for client in clients {
        client.kill();
    }
    server.kill();
    // Some are cleared away each time that somebody comes.
    let directory = scratch.path().join("rpc.calc");
    let mut rounds = 0;
    while names(&directory) != ["site"] {
        drop(Listener::open(&name(), &options(scratch.path())).unwrap());
        rounds += 1;
        assert!(rounds < 1000, "{:?}", names(&directory));
    }
    println!(
        "{kills} kills, {servers} of them of servers: {calls} calls of a survivor, none lost, doubled or torn; {told}"
    );
}

kills_at_random!(at_random);

/// A listener that sleeps keeps those waiting that want to be connected, and they are connected when it wakes.
#[test]
fn sleepers_are_not_taken_for_dead() {
    let _alone = alone();
    let test = test!();
    test.role("server", serves);
    test.role("client", |peer| {
        let mut link = connect(peer);
        call(&mut link, 0, 40).unwrap();
        peer.say("served");
        peer.wait_for("again");
        call(&mut link, 1, 40).unwrap();
        peer.say("served again");
    });
    let scratch = bus();
    drop(Listener::open(&name(), &options(scratch.path())).unwrap());
    let mut server = test.child("server").arg(scratch.path().display()).spawn();
    server.expect("listens");
    server.stop();
    let error = Listener::open(&name(), &options(scratch.path())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    let waits = Link::connect_wait(&name(), &options(scratch.path()), in_ms(250));
    assert_eq!(kind(waits), ErrorKind::TimedOut);
    // One that sleeps itself while it waits for that.
    let mut client = test.child("client").arg(scratch.path().display()).spawn();
    while !names(&scratch.path().join("rpc.calc")).iter().any(|name| name.starts_with('k')) {
        thread::yield_now();
    }
    client.stop();
    server.signal(Signal::CONT);
    // Others are served meanwhile, and clear away nothing of it.
    for _ in 0..20 {
        let mut link = Link::connect(&name(), &options(scratch.path())).unwrap();
        call(&mut link, 0, 40).unwrap();
    }
    thread::sleep(Duration::from_millis(150));
    client.signal(Signal::CONT);
    client.expect("served");
    server.stop();
    thread::sleep(Duration::from_millis(250));
    client.tell("again");
    server.signal(Signal::CONT);
    client.expect("served again");
    client.succeed();
    server.kill();
}
