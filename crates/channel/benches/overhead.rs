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

use std::hint::black_box;
use std::process::Command;

use rustix::time::{ClockId, clock_gettime};
use twixt_address::{Address, Endpoint};
use twixt_channel::{Capabilities, Duplex, Listener, Message, Opening, Receiver, Sender};
use twixt_os::sysv::{Key, msg};
use twixt_os::unix::{self, Datagram, Received, Seqpacket};
use twixt_os::{Mode, Wait};
use twixt_os::{eventfd, net, pipe, posix};

/// Sends one message and receives it.
type Round = Box<dyn FnMut()>;

/// A mechanism, and how to hold a round over it: raw, raw with all that a channel receives, and through a channel.
struct Case {
    name: &'static str,
    raw: fn() -> Round,
    /// None where `raw` receives all there is.
    alike: Option<fn() -> Round>,
    channel: fn() -> Round,
}

const MESSAGE: [u8; 64] = [7; 64];
const ROUNDS_PER_TURN: u32 = 200;
const TURNS: usize = 2_001;

const CASES: &[Case] = &[
    Case { name: "pipe", raw: raw_pipe, alike: None, channel: channel_pipe },
    Case {
        name: "unix",
        raw: raw_unix,
        alike: Some(unix_with_descriptors),
        channel: || over_connection("unix:@twixt-bench-overhead"),
    },
    Case {
        name: "unix-seqpacket",
        raw: raw_seqpacket,
        alike: Some(seqpacket_with_credentials),
        channel: || over_connection("unix-seqpacket:@twixt-bench-overhead"),
    },
    Case {
        name: "unix-dgram",
        raw: raw_datagram,
        alike: Some(datagram_with_credentials),
        channel: || over_mailbox("unix-dgram:@twixt-bench-overhead"),
    },
    Case { name: "tcp", raw: raw_tcp, alike: None, channel: || over_connection("tcp:127.0.0.1:0") },
    Case { name: "udp", raw: raw_udp, alike: None, channel: channel_udp },
    Case { name: "sysv-msg", raw: raw_sysv_msg, alike: None, channel: channel_sysv_msg },
    Case { name: "posix-mq", raw: raw_posix_mq, alike: None, channel: channel_posix_mq },
    Case { name: "eventfd", raw: raw_eventfd, alike: None, channel: channel_eventfd },
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
    let (mut raw, mut alike, mut channel) = ((case.raw)(), case.alike.map(|alike| alike()), (case.channel)());
    let mut times = Vec::with_capacity(TURNS);
    for turn in 0..TURNS + TURNS / 10 {
        let raw = time(&mut raw);
        let turns = [raw, alike.as_mut().map_or(raw, time), time(&mut channel)];
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

fn time(round: &mut Round) -> f64 {
    let start = processor_time();
    for _ in 0..ROUNDS_PER_TURN {
        round();
    }
    (processor_time() - start) / f64::from(ROUNDS_PER_TURN)
}

/// The nanoseconds that this thread has run.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Holds rounds and nothing else, for an instruction counter.
fn hold(kind: &str, name: &str, rounds: u64) {
    let case = CASES.iter().find(|case| case.name == name).expect("a case of that name");
    let mut round = match kind {
        "raw" => (case.raw)(),
        "alike" => case.alike.unwrap_or(case.raw)(),
        _ => (case.channel)(),
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

fn through(mut sender: Sender, mut receiver: Receiver) -> Round {
    let mut message = Message::new();
    Box::new(move || {
        sender.send(&MESSAGE).unwrap();
        receiver.receive_into(&mut message).unwrap();
        assert_eq!(black_box(message.bytes()).len(), MESSAGE.len());
    })
}

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

fn over_connection(at: &str) -> Round {
    let listener = Listener::open(&address(at)).unwrap();
    let client = Duplex::open(&Address::from(listener.address().unwrap())).unwrap();
    let (_, receiver) = {
        let (sender, receiver) = listener.accept().unwrap().split();
        std::mem::forget(sender);
        ((), receiver)
    };
    let (sender, unused) = client.split();
    std::mem::forget(unused);
    through(sender, receiver)
}

fn over_mailbox(at: &str) -> Round {
    let receiver = Receiver::open(&address(at)).unwrap();
    through(Sender::open(&address(at)).unwrap(), receiver)
}

fn raw_pipe() -> Round {
    let (reader, writer) = pipe::create().unwrap();
    let mut buffer = [0; 4096];
    Box::new(move || {
        writer.write_all(&MESSAGE).unwrap();
        assert_eq!(reader.read(black_box(&mut buffer)).unwrap(), MESSAGE.len());
    })
}

fn channel_pipe() -> Round {
    let (sender, receiver) = Opening::new(&address("pipe:")).pair().unwrap();
    through(sender, receiver)
}

fn raw_unix() -> Round {
    let (a, b) = unix::Stream::pair().unwrap();
    let mut buffer = [0; 4096];
    Box::new(move || {
        a.send_all(&MESSAGE).unwrap();
        assert_eq!(b.receive(black_box(&mut buffer)).unwrap(), MESSAGE.len());
    })
}

fn unix_with_descriptors() -> Round {
    let (a, b) = unix::Stream::pair().unwrap();
    let (mut buffer, mut descriptors) = ([0; 4096], Vec::new());
    Box::new(move || {
        a.send_all(&MESSAGE).unwrap();
        let received = b.receive_appending_wait(black_box(&mut buffer), &mut descriptors, Wait::forever());
        assert_eq!(received.unwrap().len, MESSAGE.len());
    })
}

fn seqpacket_with_credentials() -> Round {
    let (a, b) = Seqpacket::pair().unwrap();
    let (mut buffer, mut received) = ([0; 4096], Received::new());
    Box::new(move || {
        a.send(&MESSAGE).unwrap();
        assert!(b.receive_into_wait(black_box(&mut buffer), &mut received, Wait::forever()).unwrap());
        assert_eq!(received.len, MESSAGE.len());
    })
}

fn datagram_with_credentials() -> Round {
    let (a, b) = Datagram::pair().unwrap();
    b.set_pass_credentials(true).unwrap();
    let (mut buffer, mut received) = ([0; 4096], Received::new());
    Box::new(move || {
        a.send(&MESSAGE).unwrap();
        b.receive_into_wait(black_box(&mut buffer), &mut received, Wait::forever()).unwrap();
        assert_eq!(received.len, MESSAGE.len());
    })
}

fn raw_seqpacket() -> Round {
    let (a, b) = Seqpacket::pair().unwrap();
    let mut buffer = [0; 4096];
    Box::new(move || {
        a.send(&MESSAGE).unwrap();
        assert_eq!(b.receive(black_box(&mut buffer)).unwrap(), Some(MESSAGE.len()));
    })
}

fn raw_datagram() -> Round {
    let (a, b) = Datagram::pair().unwrap();
    let mut buffer = [0; 4096];
    Box::new(move || {
        a.send(&MESSAGE).unwrap();
        assert_eq!(b.receive(black_box(&mut buffer)).unwrap(), MESSAGE.len());
    })
}

fn raw_tcp() -> Round {
    let listener = net::tcp::Listener::bind("127.0.0.1:0").unwrap();
    let a = net::tcp::Stream::connect(listener.local_address().unwrap()).unwrap();
    let b = listener.accept().unwrap();
    let mut buffer = [0; 4096];
    Box::new(move || {
        a.send_all(&MESSAGE).unwrap();
        assert_eq!(b.receive(black_box(&mut buffer)).unwrap(), MESSAGE.len());
    })
}

fn raw_udp() -> Round {
    let b = net::udp::Socket::bind("127.0.0.1:0").unwrap();
    let a = net::udp::Connected::to(b.local_address().unwrap()).unwrap();
    let mut buffer = vec![0; 65_536];
    Box::new(move || {
        a.send(&MESSAGE).unwrap();
        assert_eq!(b.receive_from(black_box(&mut buffer)).unwrap().0, MESSAGE.len());
    })
}

/// A free port: one that was just another's.
fn channel_udp() -> Round {
    let probe = net::udp::Socket::bind("127.0.0.1:0").unwrap();
    let port = probe.local_address().unwrap().port();
    drop(probe);
    over_mailbox(&format!("udp:127.0.0.1:{port}"))
}

fn raw_sysv_msg() -> Round {
    let queue = msg::Queue::create(Key::PRIVATE, Mode::OWNER).unwrap().remove_on_drop();
    let mut message = msg::Message::with_largest_capacity().unwrap();
    let mtype = msg::Type::default();
    Box::new(move || {
        queue.send(mtype, &MESSAGE).unwrap();
        queue.receive(msg::Select::Any, black_box(&mut message)).unwrap();
        assert_eq!(message.len(), MESSAGE.len());
    })
}

fn channel_sysv_msg() -> Round {
    let queue = msg::Queue::create(Key::PRIVATE, Mode::OWNER).unwrap().remove_on_drop();
    let mut round = over_mailbox(&format!("sysv-msg:id={}", queue.id()));
    Box::new(move || {
        let _ = &queue;
        round();
    })
}

fn raw_posix_mq() -> Round {
    let name = format!("/twixt-bench-{}-raw", std::process::id());
    let queue = posix::mq::Queue::create(&name, posix::mq::Access::ReadWrite, None, Mode::OWNER).unwrap();
    let guard = queue.unlink_on_drop().unwrap();
    let mut buffer = vec![0; queue.message_size()];
    Box::new(move || {
        let _ = &guard;
        queue.send(&MESSAGE, posix::mq::Priority::LOWEST).unwrap();
        assert_eq!(queue.receive(black_box(&mut buffer)).unwrap().len, MESSAGE.len());
    })
}

fn channel_posix_mq() -> Round {
    let name = format!("/twixt-bench-{}-channel", std::process::id());
    let queue = posix::mq::Queue::create(&name, posix::mq::Access::ReadWrite, None, Mode::OWNER).unwrap();
    let guard = queue.unlink_on_drop().unwrap();
    let mut round = over_mailbox(&format!("posix-mq:{name}"));
    Box::new(move || {
        let _ = &guard;
        round();
    })
}

fn raw_eventfd() -> Round {
    let counter = eventfd::EventFd::create(0).unwrap();
    Box::new(move || {
        counter.add(black_box(7)).unwrap();
        assert_eq!(counter.read().unwrap(), 7);
    })
}

fn channel_eventfd() -> Round {
    assert!(Capabilities::of(&Endpoint::Eventfd).is_some());
    let (mut sender, mut receiver) = Opening::new(&address("eventfd:")).pair().unwrap();
    let mut message = Message::new();
    Box::new(move || {
        sender.send(b"7").unwrap();
        receiver.receive_into(&mut message).unwrap();
        assert_eq!(message.bytes(), b"7");
    })
}
