//! What the channel layer adds to the raw mechanism, per message, in nanoseconds and in instructions.
//!
//! `cargo bench -p twixt-channel --bench overhead [-- NAME…]`
//!
//! One thread sends a message of 64 bytes and receives it again, with the calls of `twixt-os` and through a channel, in
//! turns of a fraction of a millisecond each, so that whatever else the machine does hits all alike. What counts is the
//! processor time of the thread: time in which it does not run says nothing about it. The median of the turns is shown,
//! and of the differences between neighbouring turns. Instructions are counted by valgrind (`callgrind`), if it is there:
//! those in user space, the same on every run.
//!
//! Over Unix sockets a channel receives descriptors, and for messages also credentials, for which the kernel wants
//! `recvmsg(2)` instead of `recv(2)` and does more itself. So there are two raw mechanisms to compare with: the barest, and
//! one that receives the same things and no other: of packets not the address either, which a channel does not ask for.

use std::fmt::Debug;
use std::hint::black_box;
use std::os::fd::OwnedFd;
use std::process::Command;

use twixt_address::Address;
use twixt_channel::{Duplex, Listener, Message, Opening, Readiness, Receiver, Sender};
use twixt_os::sysv::{Key, msg};
use twixt_os::unix::{self, Datagram, Received, Seqpacket};
use twixt_os::{Mode, Room, Wait};
use twixt_os::{eventfd, net, pipe, posix};
use twixt_testkit::turns::{median, time};

/// Sends one message and receives it.
type Round = Box<dyn FnMut()>;

/// A round over one kernel object: raw, raw with all that a channel receives, and through a channel.
struct Rounds {
    raw: Round,
    /// None where `raw` receives all there is.
    alike: Option<Round>,
    channel: Round,
}

/// A mechanism, and how to hold rounds over it.
struct Case {
    name: &'static str,
    rounds: fn() -> Rounds,
}

const MESSAGE: [u8; 64] = [7; 64];
const ROUNDS_PER_TURN: u32 = 200;
const TURNS: usize = 2_001;

const CASES: &[Case] = &[
    Case { name: "pipe", rounds: over_pipe },
    Case { name: "unix", rounds: over_unix },
    Case { name: "unix-seqpacket", rounds: over_seqpacket },
    Case { name: "unix-dgram", rounds: over_datagrams },
    Case { name: "tcp", rounds: over_tcp },
    Case { name: "udp", rounds: over_udp },
    Case { name: "sysv-msg", rounds: over_sysv_msg },
    Case { name: "posix-mq", rounds: over_posix_mq },
    Case { name: "eventfd", rounds: over_eventfd },
];

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    if let [word, kind, name, rounds] = arguments.as_slice()
        && word == "--rounds"
    {
        return hold(kind, name, rounds.parse().expect("a number of rounds"));
    }
    let chosen = |case: &&Case| arguments.is_empty() || arguments.iter().any(|it| it == case.name);
    println!(
        "64 bytes there and back in one thread; ns of processor time and user-space instructions per message\n"
    );
    println!(
        "{:<16}{:>8} {:>8} {:>8} {:>8} {:>8}   {:>6} {:>6} {:>7} {:>6}",
        "", "raw", "alike", "channel", "to raw", "to alike", "raw", "alike", "channel", "added"
    );
    for case in CASES.iter().filter(chosen) {
        let Times { raw, alike, channel, to_raw, to_alike } = compare(case);
        print!("{:<16}{raw:>8.0} {alike:>8.0} {channel:>8.0} {to_raw:>+8.0} {to_alike:>+8.0}   ", case.name);
        let instructions = ["raw", "alike", "channel"].map(|kind| {
            let held = |rounds| collected(kind, case.name, rounds);
            Some((held(3_000)? - held(1_000)?) as f64 / 2_000.0)
        });
        match instructions {
            [Some(raw), Some(alike), Some(channel)] => {
                println!("{raw:>6.0} {alike:>6.0} {channel:>7.0} {:>+6.0}", channel - alike);
            }
            _ => println!("no valgrind"),
        }
    }
}

/// Nanoseconds of a round.
struct Times {
    raw: f64,
    alike: f64,
    channel: f64,
    /// What the channel takes more than the barest raw mechanism, and more than the one that receives the same.
    to_raw: f64,
    to_alike: f64,
}

fn compare(case: &Case) -> Times {
    let Rounds { mut raw, mut alike, mut channel } = (case.rounds)();
    let mut times = Vec::with_capacity(TURNS);
    for turn in 0..TURNS + TURNS / 10 {
        let take = |round: &mut Round| time(ROUNDS_PER_TURN, round);
        let raw = take(&mut raw);
        let turns = [raw, alike.as_mut().map_or(raw, take), take(&mut channel)];
        // The first tenth warms up.
        if turn >= TURNS / 10 {
            times.push(turns);
        }
    }
    let median_of = |value: fn(&[f64; 3]) -> f64| median(times.iter().map(value).collect());
    Times {
        raw: median_of(|it| it[0]),
        alike: median_of(|it| it[1]),
        channel: median_of(|it| it[2]),
        to_raw: median_of(|it| it[2] - it[0]),
        to_alike: median_of(|it| it[2] - it[1]),
    }
}

/// Holds rounds and nothing else, for an instruction counter.
fn hold(kind: &str, name: &str, rounds: u64) {
    let case = CASES.iter().find(|case| case.name == name).expect("a case of that name");
    let Rounds { raw, alike, channel } = (case.rounds)();
    let mut round = match kind {
        "raw" => raw,
        "alike" => alike.unwrap_or(raw),
        _ => channel,
    };
    for _ in 0..rounds {
        round();
    }
}

/// The instructions that this program executes for so many rounds, as callgrind counts them.
fn collected(kind: &str, name: &str, rounds: u64) -> Option<u64> {
    let this = std::env::current_exe().ok()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["--rounds", kind, name, &rounds.to_string()])
        .output()
        .ok()?;
    let report = String::from_utf8_lossy(&output.stderr);
    let line = report.lines().find_map(|line| line.split_once("Collected : "))?;
    line.1.trim().parse().ok()
}

/// Makes a call as programs make it: from a function of a library, from which it returns. Where the compiler makes the system
/// call part of the loop instead, nothing is returned from, which on some processors is up to a fifth of a round
/// (`cargo bench -p twixt-os --bench first_return`).
#[inline(never)]
fn called<T>(call: impl FnOnce() -> T) -> T {
    call()
}

/// Looks at a message, as whoever receives one does: what the kernel has just written takes a moment to be read.
fn look_at(message: &[u8]) {
    assert_eq!(black_box(message), MESSAGE);
}

/// Room for messages, where a channel has it too: where a buffer begins makes a difference of its own.
fn room() -> Room {
    Room::with_len(64 << 10)
}

fn through(mut sender: Sender, mut receiver: Receiver) -> Round {
    let mut message = Message::new();
    Box::new(move || {
        sender.send(&MESSAGE).unwrap();
        receiver.receive_into(&mut message).unwrap();
        look_at(message.bytes());
    })
}

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

/// The two ends of a connection that a client has made and a listener has accepted.
fn connection(at: &str) -> (Sender, Receiver) {
    let listener = Listener::open(&address(at)).unwrap();
    let client = Duplex::open(&Address::from(listener.address().unwrap())).unwrap();
    let (unused, receiver) = listener.accept().unwrap().split();
    std::mem::forget(unused);
    let (sender, unused) = client.split();
    std::mem::forget(unused);
    (sender, receiver)
}

/// The two ends of a mailbox.
fn mailbox(at: &str) -> (Sender, Receiver) {
    let receiver = Receiver::open(&address(at)).unwrap();
    (Sender::open(&address(at)).unwrap(), receiver)
}

/// The very objects of the kernel that a channel uses, for raw rounds over them: others of their kind may lie elsewhere in
/// the kernel's memory, which makes more of a difference than the channel does.
fn ends<S, R>(sender: &Sender, receiver: &Receiver) -> (S, R)
where
    S: TryFrom<OwnedFd, Error: Debug>,
    R: TryFrom<OwnedFd, Error: Debug>,
{
    let copy = |readiness: Readiness<'_>| readiness.descriptor().try_clone_to_owned().unwrap();
    let (sender, receiver) = (copy(sender.readiness().unwrap()), copy(receiver.readiness().unwrap()));
    (S::try_from(sender).unwrap(), R::try_from(receiver).unwrap())
}

fn over_pipe() -> Rounds {
    let (sender, receiver) = Opening::new(&address("pipe:")).pair().unwrap();
    let (writer, reader): (pipe::Writer, pipe::Reader) = ends(&sender, &receiver);
    let mut room = room();
    let raw = Box::new(move || {
        assert_eq!(called(|| writer.write(&MESSAGE)).unwrap(), MESSAGE.len());
        let len = called(|| reader.read(&mut room)).unwrap();
        look_at(&room[..len]);
    });
    Rounds { raw, alike: None, channel: through(sender, receiver) }
}

fn over_unix() -> Rounds {
    let (sender, receiver) = connection("unix:@twixt-bench-overhead");
    let (a, b): (unix::Stream, unix::Stream) = ends(&sender, &receiver);
    let mut buffer = room();
    let raw = Box::new(move || {
        assert_eq!(called(|| a.send(&MESSAGE)).unwrap(), MESSAGE.len());
        let len = called(|| b.receive(&mut buffer)).unwrap();
        look_at(&buffer[..len]);
    });
    let (a, b): (unix::Stream, unix::Stream) = ends(&sender, &receiver);
    let (mut buffer, mut descriptors) = (room(), Vec::new());
    let alike: Round = Box::new(move || {
        assert_eq!(called(|| a.send(&MESSAGE)).unwrap(), MESSAGE.len());
        let received = called(|| b.receive_appending_wait(&mut buffer, &mut descriptors, Wait::forever()));
        look_at(&buffer[..received.unwrap().len]);
    });
    Rounds { raw, alike: Some(alike), channel: through(sender, receiver) }
}

fn over_seqpacket() -> Rounds {
    let (sender, receiver) = connection("unix-seqpacket:@twixt-bench-overhead");
    let (a, b): (Seqpacket, Seqpacket) = ends(&sender, &receiver);
    let mut buffer = room();
    let raw = Box::new(move || {
        called(|| a.send(&MESSAGE)).unwrap();
        let len = called(|| b.receive(&mut buffer)).unwrap();
        look_at(&buffer[..len.unwrap()]);
    });
    let (a, b): (Seqpacket, Seqpacket) = ends(&sender, &receiver);
    let (mut buffer, mut received) = (room(), Received::new());
    let alike: Round = Box::new(move || {
        called(|| a.send(&MESSAGE)).unwrap();
        assert!(called(|| b.receive_into_wait(&mut buffer, &mut received, Wait::forever())).unwrap());
        look_at(&buffer[..received.len]);
    });
    Rounds { raw, alike: Some(alike), channel: through(sender, receiver) }
}

fn over_datagrams() -> Rounds {
    let (sender, receiver) = mailbox("unix-dgram:@twixt-bench-overhead");
    let (a, b): (Datagram, Datagram) = ends(&sender, &receiver);
    let mut buffer = room();
    let raw = Box::new(move || {
        called(|| a.send(&MESSAGE)).unwrap();
        let len = called(|| b.receive(&mut buffer)).unwrap();
        look_at(&buffer[..len]);
    });
    let (a, b): (Datagram, Datagram) = ends(&sender, &receiver);
    let (mut buffer, mut received) = (room(), Received::new());
    let alike: Round = Box::new(move || {
        called(|| a.send(&MESSAGE)).unwrap();
        called(|| b.receive_into_wait(&mut buffer, &mut received, Wait::forever())).unwrap();
        look_at(&buffer[..received.len]);
    });
    Rounds { raw, alike: Some(alike), channel: through(sender, receiver) }
}

fn over_tcp() -> Rounds {
    let (sender, receiver) = connection("tcp:127.0.0.1:0");
    let (a, b): (net::tcp::Stream, net::tcp::Stream) = ends(&sender, &receiver);
    let mut buffer = room();
    let raw = Box::new(move || {
        assert_eq!(called(|| a.send(&MESSAGE)).unwrap(), MESSAGE.len());
        let len = called(|| b.receive(&mut buffer)).unwrap();
        look_at(&buffer[..len]);
    });
    Rounds { raw, alike: None, channel: through(sender, receiver) }
}

fn over_udp() -> Rounds {
    // A free port: one that was just another's.
    let probe = net::udp::Socket::bind("127.0.0.1:0").unwrap();
    let port = probe.local_address().unwrap().port();
    drop(probe);
    let (sender, receiver) = mailbox(&format!("udp:127.0.0.1:{port}"));
    let (a, b): (net::udp::Connected, net::udp::Socket) = ends(&sender, &receiver);
    let mut buffer = room();
    let raw = Box::new(move || {
        called(|| a.send(&MESSAGE)).unwrap();
        let (len, _) = b.receive_from(&mut buffer).unwrap();
        look_at(&buffer[..len]);
    });
    Rounds { raw, alike: None, channel: through(sender, receiver) }
}

fn over_sysv_msg() -> Rounds {
    let queue = msg::Queue::create(Key::PRIVATE, Mode::OWNER).unwrap().remove_on_drop();
    let (sender, receiver) = mailbox(&format!("sysv-msg:id={}", queue.id()));
    let mut message = msg::Message::with_largest_capacity().unwrap();
    let mtype = msg::Type::default();
    let raw = Box::new(move || {
        queue.send(mtype, &MESSAGE).unwrap();
        queue.receive(msg::Select::Any, &mut message).unwrap();
        look_at(message.bytes());
    });
    Rounds { raw, alike: None, channel: through(sender, receiver) }
}

fn over_posix_mq() -> Rounds {
    let name = format!("/twixt-bench-{}", std::process::id());
    let queue = posix::mq::Queue::create(&name, posix::mq::Access::ReadWrite, None, Mode::OWNER).unwrap();
    let _guard = queue.unlink_on_drop().unwrap();
    let (sender, receiver) = mailbox(&format!("posix-mq:{name}"));
    let mut buffer = Room::with_len(queue.message_size());
    let raw = Box::new(move || {
        queue.send(&MESSAGE, posix::mq::Priority::LOWEST).unwrap();
        let received = queue.receive(&mut buffer).unwrap();
        look_at(&buffer[..received.len]);
    });
    Rounds { raw, alike: None, channel: through(sender, receiver) }
}

fn over_eventfd() -> Rounds {
    let (mut sender, mut receiver) = Opening::new(&address("eventfd:")).pair().unwrap();
    let (counter, _): (eventfd::EventFd, OwnedFd) = ends(&sender, &receiver);
    let raw = Box::new(move || {
        counter.add(black_box(7)).unwrap();
        assert_eq!(counter.read().unwrap(), 7);
    });
    let mut message = Message::new();
    let channel = Box::new(move || {
        sender.send(b"7").unwrap();
        receiver.receive_into(&mut message).unwrap();
        assert_eq!(message.bytes(), b"7");
    });
    Rounds { raw, alike: None, channel }
}
