//! What goes into `send` comes out of `recv`: 100 MB of random bytes over every mechanism that loses nothing, in every
//! framing that takes any bytes.

use std::io::{Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use twixt_testkit::{call, scratch, test, unique_key, unique_name, wait_until_blocked_in};

#[path = "support/bus.rs"]
mod bus;
#[path = "support/process.rs"]
mod process;
#[path = "support/tool.rs"]
mod tool;
use bus::Bus;
use tool::{remove_at_end, twixt};

const BYTES: usize = 100_000_000;

/// xorshift64*: as random as this needs, and the same again for the comparison.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// The bytes that go in and must come out: all noise, cut into messages where the framing is `len`.
struct Source {
    noise: Noise,
    left: usize,
    framed: bool,
    /// No message is longer; every mechanism takes as much by default.
    longest: usize,
}

impl Source {
    fn new(framing: &str, longest: usize) -> Self {
        Self { noise: Noise(0x7477_6978_7421), left: BYTES, framed: framing == "len", longest }
    }

    /// The next piece; `false` at the end.
    fn next(&mut self, piece: &mut Vec<u8>) -> bool {
        piece.clear();
        if self.left == 0 {
            return false;
        }
        let mut len = 1 << 16;
        if self.framed {
            // Any length comes, the empty message and the longest among them.
            let mut word = [0; 8];
            self.noise.fill(&mut word);
            len = usize::from_le_bytes(word) % (self.longest + 1);
        }
        let len = len.min(self.left);
        if self.framed {
            piece.extend_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
        }
        let start = piece.len();
        piece.resize(start + len, 0);
        self.noise.fill(&mut piece[start..]);
        self.left -= len;
        true
    }
}

/// One of the two programs; ends with the test.
struct Program(Child);

impl Program {
    fn start(verb: &str, address: &str, framing: &str, more: &[&str]) -> Self {
        let mut command = twixt([verb, address, "--framing", framing]);
        command.args(more);
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends it all and receives it all.
fn arrives(address: &str, framing: &str, longest: usize) {
    let mut receiver = Program::start("recv", address, framing, &["--follow"]);
    // Everything else keeps what comes before its receiver.
    if address.starts_with("unix") || address.starts_with("tcp") {
        wait_until_blocked_in(receiver.0.id(), LISTENING);
        // A process polls for a moment as it starts, too: the kernel knows who listens (__SO_ACCEPTCON).
        while let Some((_, name)) = address.split_once(":@") {
            let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
            let is_dgram = address.starts_with("unix-dgram");
            if sockets.lines().any(|line| line.ends_with(name) && (is_dgram || line.contains(" 00010000 "))) {
                break;
            }
            thread::yield_now();
        }
    }
    let mut sender = Program::start("send", address, framing, &[]);
    compare(&mut sender, &mut receiver, framing, longest, address);
}

/// Feeds the one and compares what comes out of the other, which is given back.
fn compare(
    sender: &mut Program,
    receiver: &mut Program,
    framing: &str,
    longest: usize,
    what: &str,
) -> ChildStdout {
    let mut input = sender.0.stdin.take().unwrap();
    let mut source = Source::new(framing, longest);
    let writing = thread::spawn(move || {
        let mut piece = Vec::new();
        while source.next(&mut piece) {
            input.write_all(&piece).unwrap();
        }
    });
    let mut output = receiver.0.stdout.take().unwrap();
    let (mut source, mut piece, mut got) = (Source::new(framing, longest), Vec::new(), Vec::new());
    let mut total = 0;
    while source.next(&mut piece) {
        got.resize(piece.len(), 0);
        output.read_exact(&mut got).unwrap_or_else(|error| panic!("{what}, after {total} bytes: {error}"));
        assert!(got == piece, "{what}: a byte after the first {total} is not what was sent");
        total += piece.len();
    }
    writing.join().unwrap();
    let ended = sender.0.wait().unwrap();
    assert!(ended.success(), "{what}: the sender ended with {ended}");
    output
}

/// Where a receiver is that listens.
const LISTENING: &[i64] = &[call::PPOLL, call::POLL, call::EPOLL_PWAIT, call::EPOLL_PWAIT2];

/// In the two framings that take any bytes and that others speak as well.
fn arrives_in_each_framing(address: &str, longest: usize) {
    for framing in ["raw", "len"] {
        arrives(address, framing, longest);
    }
}

/// The same over a name of the bus, which a receiver has in this role.
fn arrives_over_the_bus(address: &str, role: &str) {
    let bus = Bus::new();
    for framing in ["raw", "len"] {
        let start = |what| Program::of(bus.twixt(&format!("{what} {address} --framing {framing}")));
        let mut receiver = start("recv --follow");
        bus.wait_for(address.trim_end_matches("?create"), role, 1);
        compare(&mut start("send"), &mut receiver, framing, 1 << 16, address);
    }
}

#[test]
fn over_a_fifo() {
    let _test = test!();
    let scratch = scratch();
    arrives_in_each_framing(&format!("fifo:{}/fifo?create", scratch.path().display()), 1 << 17);
}

#[test]
fn over_unix_streams() {
    let _test = test!();
    let scratch = scratch();
    arrives_in_each_framing(&format!("unix:{}/socket", scratch.path().display()), 1 << 17);
}

#[test]
fn over_unix_packets() {
    let _test = test!();
    arrives_in_each_framing(&format!("unix-seqpacket:@{}", unique_name()), 100_000);
}

#[test]
fn over_unix_datagrams() {
    let _test = test!();
    arrives_in_each_framing(&format!("unix-dgram:@{}", unique_name()), 100_000);
}

#[test]
fn over_tcp() {
    let _test = test!();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    arrives_in_each_framing(&format!("tcp:127.0.0.1:{port}"), 1 << 17);
}

#[test]
fn over_system_v_messages() {
    let _test = test!();
    let address = format!("sysv-msg:{}?create", unique_key());
    let _remove = remove_at_end(address.trim_end_matches("?create"));
    arrives_in_each_framing(&address, 8192);
}

#[test]
fn over_posix_messages() {
    let _test = test!();
    let address = format!("posix-mq:/{}?create", unique_name());
    let _remove = remove_at_end(address.trim_end_matches("?create"));
    arrives_in_each_framing(&address, 8192);
}

#[test]
fn over_system_v_memory() {
    let _test = test!();
    let address = format!("sysv-shm:{}?create", unique_key());
    let _remove = remove_at_end(address.trim_end_matches("?create"));
    arrives_in_each_framing(&address, 1 << 17);
}

#[test]
fn over_posix_memory() {
    let _test = test!();
    let address = format!("posix-shm:/{}?create", unique_name());
    let _remove = remove_at_end(address.trim_end_matches("?create"));
    arrives_in_each_framing(&address, 1 << 17);
}

#[test]
fn over_a_mapped_file() {
    let _test = test!();
    let scratch = scratch();
    arrives_in_each_framing(&format!("mmap:{}/ring?create", scratch.path().display()), 1 << 17);
}

#[test]
fn over_a_topic() {
    let _test = test!();
    arrives_over_the_bus("topic:t?create", "subscriber");
}

#[test]
fn over_a_queue_of_the_bus() {
    let _test = test!();
    arrives_over_the_bus("queue:q?create", "consumer");
}

#[test]
fn over_connections_of_the_bus() {
    let _test = test!();
    arrives_over_the_bus("rpc:r", "listener");
}

#[test]
fn over_a_file() {
    let _test = test!();
    let scratch = scratch();
    // A file keeps what was received: each framing has its own.
    for framing in ["raw", "len"] {
        arrives(&format!("file:{}/{framing}?create", scratch.path().display()), framing, 1 << 17);
    }
}

#[test]
fn over_standard_output_and_input() {
    let _test = test!();
    for framing in ["raw", "len"] {
        let mut sender = Program::start("send", "-", framing, &[]);
        let between = sender.0.stdout.take().unwrap();
        let mut reader = twixt(["recv", "-", "--framing", framing]);
        let mut receiver = Program(reader.stdin(between).stdout(Stdio::piped()).spawn().unwrap());
        let mut output = compare(&mut sender, &mut receiver, framing, 1 << 17, "standard output");
        assert_eq!(output.read(&mut [0]).unwrap(), 0);
        assert!(receiver.0.wait().unwrap().success());
    }
}

#[test]
fn over_two_commands_and_their_pipes() {
    let _test = test!();
    let scratch = scratch();
    let fifo = format!("{}/fifo", scratch.path().display());
    std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    let mut reader = twixt(["recv", &format!("exec:cat {fifo}"), "--framing", "raw"]);
    let mut receiver = Program(reader.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
    let mut sender = Program::start("send", &format!("exec:cat > {fifo}"), "raw", &[]);
    let mut output = compare(&mut sender, &mut receiver, "raw", 0, "two commands");
    assert_eq!(output.read(&mut [0]).unwrap(), 0);
    assert!(receiver.0.wait().unwrap().success());
}
