//! `twixt relay`, `send` and `recv` beside socat, at the same work in the same run.
//!
//! `cargo bench -p twixt-cli --bench data_plane [-- relay | lines | FROM-TO… [copy | splice]]`, as in `unix-tcp`
//!
//! socat is taken from the path, or from the variable SOCAT; its POSIX queues came with version 1.8. The programs take
//! turns, and the best of each program's turns counts: what a program can do, not what the machine did meanwhile.
//!
//! Bytes are relayed between two ends of ours in two ways. Ends that *copy* write from memory and read into memory, as most
//! programs do: on two processors their two copies are half of all the work, or more. Ends that *splice* move pages (from a
//! file in memory, and to nowhere), so that what is measured is the program between them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, splice};
use twixt::os::{Mode, Room, fifo::Fifo, memfd::Memfd, pipe, posix::mq};

const BYTES: usize = 1 << 30;
const LINES: usize = 1_000_000;
const TURNS: usize = 5;
const TWIXT: &str = env!("CARGO_BIN_EXE_twixt");

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let wanted = |what: &str| arguments.is_empty() || arguments.iter().any(|it| it == what);
    let directory = Scratch::new()?;
    let pairs = arguments.iter().any(|it| it.contains('-'));
    if wanted("relay") || pairs {
        let has = |word: &str| arguments.iter().any(|it| it == word);
        let ways = [true, false].into_iter().filter(|&copying| !has(if copying { "splice" } else { "copy" }));
        relay(&directory.0, ways, |pair| wanted("relay") || wanted(pair))?;
    }
    if wanted("lines") {
        lines()?;
    }
    Ok(())
}

/// How one byte stream is reached: by us to write into or read from it, and by the two programs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pipe,
    Fifo,
    Unix,
    Tcp,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Pipe, Self::Fifo, Self::Unix, Self::Tcp];

    const fn is_pipe(self) -> bool {
        matches!(self, Self::Pipe | Self::Fifo)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Fifo => "fifo",
            Self::Unix => "unix",
            Self::Tcp => "tcp",
        }
    }
}

/// A program that moves bytes from one stream to the next.
struct Mover {
    name: &'static str,
    command: fn(&Ends) -> Command,
}

struct Ends {
    from: Kind,
    to: Kind,
    directory: PathBuf,
    from_port: u16,
    to_port: u16,
}

const MOVERS: &[Mover] = &[
    Mover { name: "twixt", command: twixt_relay },
    Mover { name: "socat", command: |ends| socat_relay(ends, "8192") },
    Mover { name: "socat -b 262144", command: |ends| socat_relay(ends, "262144") },
];

fn twixt_relay(ends: &Ends) -> Command {
    let address = |kind, side: &str, port| match kind {
        Kind::Pipe => "-".to_owned(),
        Kind::Fifo => format!("fifo:{}/{side}.fifo", ends.directory.display()),
        Kind::Unix => format!("unix:{}/{side}.sock", ends.directory.display()),
        Kind::Tcp => format!("tcp:127.0.0.1:{port}"),
    };
    let mut command = Command::new(TWIXT);
    command.arg("relay").arg(address(ends.from, "from", ends.from_port)).arg(address(
        ends.to,
        "to",
        ends.to_port,
    ));
    command
}

fn socat_relay(ends: &Ends, block: &str) -> Command {
    let directory = ends.directory.display();
    let from = match ends.from {
        Kind::Pipe => "STDIN".to_owned(),
        Kind::Fifo => format!("OPEN:{directory}/from.fifo,rdonly"),
        Kind::Unix => format!("UNIX-LISTEN:{directory}/from.sock"),
        Kind::Tcp => format!("TCP-LISTEN:{},bind=127.0.0.1,reuseaddr", ends.from_port),
    };
    let to = match ends.to {
        Kind::Pipe => "STDOUT".to_owned(),
        Kind::Fifo => format!("OPEN:{directory}/to.fifo,wronly"),
        Kind::Unix => format!("UNIX-CONNECT:{directory}/to.sock"),
        Kind::Tcp => format!("TCP-CONNECT:127.0.0.1:{}", ends.to_port),
    };
    let mut command = Command::new(socat());
    command.args(["-u", "-b", block, &from, &to]);
    command
}

fn socat() -> String {
    std::env::var("SOCAT").unwrap_or_else(|_| "socat".to_owned())
}

fn relay(
    directory: &Path,
    ways: impl Iterator<Item = bool>,
    is_wanted: impl Fn(&str) -> bool,
) -> io::Result<()> {
    for copying in ways {
        let how = if copying { "copy" } else { "splice" };
        println!("relay: GB/s for {} MiB between ends that {how}, best of {TURNS}\n", BYTES >> 20);
        relay_between(copying, directory, &is_wanted)?;
        println!();
    }
    Ok(())
}

fn relay_between(copying: bool, directory: &Path, is_wanted: &impl Fn(&str) -> bool) -> io::Result<()> {
    println!("{:<14} {:>8} {:>8} {:>16} {:>8}", "from > to", "twixt", "socat", "socat -b 262144", "ratio");
    for from in Kind::ALL {
        for to in Kind::ALL {
            if !is_wanted(&format!("{}-{}", from.name(), to.name())) {
                continue;
            }
            let mut best = [0.0_f64; 3];
            for _ in 0..TURNS {
                for (mover, best) in MOVERS.iter().zip(&mut best) {
                    let rate = moved(mover, from, to, copying, directory)?;
                    *best = best.max(rate);
                }
            }
            let [twixt, plain, large] = best;
            let ratio = twixt / plain.max(large);
            let name = format!("{} > {}", from.name(), to.name());
            println!("{name:<14} {twixt:>8.2} {plain:>8.2} {large:>16.2} {ratio:>7.2}x");
        }
    }
    Ok(())
}

/// Gigabytes per second from the first byte in to the end of the last one out.
fn moved(mover: &Mover, from: Kind, to: Kind, copying: bool, directory: &Path) -> io::Result<f64> {
    let (from_port, to_port) = (free_port()?, free_port()?);
    let ends = Ends { from, to, directory: directory.to_owned(), from_port, to_port };
    for name in ["from.fifo", "to.fifo", "from.sock", "to.sock"] {
        let _ = std::fs::remove_file(directory.join(name));
    }
    for (kind, name) in [(from, "from.fifo"), (to, "to.fifo")] {
        if kind == Kind::Fifo {
            Fifo::create(directory.join(name), Mode::OWNER)?;
        }
    }
    let mut command = (mover.command)(&ends);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let unix = (to == Kind::Unix).then(|| UnixListener::bind(directory.join("to.sock"))).transpose()?;
    let tcp = (to == Kind::Tcp).then(|| TcpListener::bind(("127.0.0.1", to_port))).transpose()?;
    if to == Kind::Pipe {
        command.stdout(Stdio::piped());
    }
    if from == Kind::Pipe {
        command.stdin(Stdio::piped());
    }
    let mut child = Guard(command.spawn()?);
    let stdin = child.0.stdin.take();
    let stdout = child.0.stdout.take();
    let to_path = directory.join("to.fifo");
    let sink = thread::spawn(move || -> io::Result<usize> {
        let descriptor: OwnedFd = match to {
            Kind::Pipe => stdout.expect("a pipe").into(),
            Kind::Fifo => File::open(to_path)?.into(),
            Kind::Unix => unix.expect("a listener").accept()?.0.into(),
            Kind::Tcp => tcp.expect("a listener").accept()?.0.into(),
        };
        if copying { drain(descriptor.into()) } else { drain_pages(&descriptor, to.is_pipe()) }
    });
    let source: OwnedFd = match from {
        Kind::Pipe => stdin.expect("a pipe").into(),
        Kind::Fifo => File::options().write(true).open(directory.join("from.fifo"))?.into(),
        Kind::Unix => patiently(|| UnixStream::connect(directory.join("from.sock")))?.into(),
        Kind::Tcp => patiently(|| TcpStream::connect(("127.0.0.1", from_port)))?.into(),
    };
    let mut block = Room::with_len(BLOCK);
    block.fill(0x5a);
    let pages = Memfd::create("pages")?;
    pages.write_at(0, &block)?;
    let start = Instant::now();
    if copying {
        let mut source = File::from(source);
        for _ in 0..BYTES / BLOCK {
            source.write_all(&block)?;
        }
    } else {
        pour_pages(&pages, &source, from.is_pipe())?;
        drop(source);
    }
    let total = sink.join().expect("the sink")?;
    let seconds = start.elapsed().as_secs_f64();
    if total != BYTES {
        return Err(io::Error::other(format!("{} passed on {total} of {BYTES} bytes", mover.name)));
    }
    let status = child.0.wait()?;
    if !status.success() {
        return Err(io::Error::other(format!("{}: {status}", mover.name)));
    }
    Ok(BYTES as f64 / seconds / 1e9)
}

/// What an end handles at once.
const BLOCK: usize = 1 << 20;

/// Reads all there is, and says how much that was.
fn drain(mut source: File) -> io::Result<usize> {
    let mut buffer = Room::with_len(BLOCK);
    let mut total = 0;
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok(total),
            count => total += count,
        }
    }
}

/// Throws away all there is without looking at it, and says how much that was.
fn drain_pages(source: &OwnedFd, is_pipe: bool) -> io::Result<usize> {
    let nowhere = File::options().write(true).open("/dev/null")?;
    let (reader, writer) = wide_pipe()?;
    let mut total = 0;
    loop {
        let moved = if is_pipe {
            patient_splice(|| splice(source, None, &nowhere, None, BLOCK, SpliceFlags::MOVE))?
        } else {
            let moved = patient_splice(|| splice(source, None, &writer, None, BLOCK, SpliceFlags::MOVE))?;
            let mut left = moved;
            while left > 0 {
                left -= patient_splice(|| splice(&reader, None, &nowhere, None, left, SpliceFlags::MOVE))?;
            }
            moved
        };
        if moved == 0 {
            return Ok(total);
        }
        total += moved;
    }
}

/// Moves the first pages of a file in memory into a stream, over and over.
fn pour_pages(pages: &Memfd, sink: &OwnedFd, is_pipe: bool) -> io::Result<()> {
    let (reader, writer) = wide_pipe()?;
    for _ in 0..BYTES / BLOCK {
        let (mut offset, end) = (0, BLOCK as u64);
        while offset < end {
            let left = (end - offset) as usize;
            if is_pipe {
                patient_splice(|| splice(pages, Some(&mut offset), sink, None, left, SpliceFlags::MOVE))?;
                continue;
            }
            let mut held =
                patient_splice(|| splice(pages, Some(&mut offset), &writer, None, left, SpliceFlags::MOVE))?;
            while held > 0 {
                held -= patient_splice(|| splice(&reader, None, sink, None, held, SpliceFlags::MORE))?;
            }
        }
    }
    Ok(())
}

/// A pipe with as much room as a plain user's may have.
fn wide_pipe() -> io::Result<(pipe::Reader, pipe::Writer)> {
    let (reader, writer) = pipe::create()?;
    fcntl_setpipe_size(&writer, BLOCK)?;
    Ok((reader, writer))
}

/// Again after interruptions.
fn patient_splice(mut call: impl FnMut() -> Result<usize, Errno>) -> io::Result<usize> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            outcome => return Ok(outcome?),
        }
    }
}

/// A million short lines through a POSIX queue, from one program to another.
fn lines() -> io::Result<()> {
    println!("lines: a million short lines through posix-mq, thousands per second, best of {TURNS}\n");
    let twixt = best_lines(|queue| {
        let mut sender = Command::new(TWIXT);
        sender.args(["send", &format!("posix-mq:{queue}")]);
        let mut receiver = Command::new(TWIXT);
        receiver.args(["recv", &format!("posix-mq:{queue}"), "-n", &LINES.to_string()]);
        (sender, receiver, Feed::Stream, LINES)
    });
    // A datagram of a packet-mode pipe is what makes socat send one line as one message.
    let socat_lines = LINES / 5;
    let socat = best_lines(|queue| {
        let mut sender = Command::new(socat());
        sender.args(["-u", "STDIN", &format!("POSIXMQ-SEND:{queue}")]);
        let mut receiver = Command::new(socat());
        receiver.args(["-u", &format!("POSIXMQ-READ:{queue}"), "STDOUT"]);
        (sender, receiver, Feed::Packets, socat_lines)
    });
    let shell_lines = 300;
    let shell = best_lines(|queue| {
        let mut sender = Command::new("sh");
        sender.args(["-c", &format!("while read -r line; do {TWIXT} send posix-mq:{queue} \"$line\"; done")]);
        let mut receiver = Command::new(TWIXT);
        receiver.args(["recv", &format!("posix-mq:{queue}"), "-n", &shell_lines.to_string()]);
        (sender, receiver, Feed::Stream, shell_lines)
    });
    let shown = |rate: &io::Result<f64>| match rate {
        Ok(rate) => format!("{:>10.1}", rate / 1e3),
        Err(error) => format!("{error:>10}"),
    };
    println!("twixt send | recv             {}", shown(&twixt));
    println!("socat, a line a message       {}", shown(&socat));
    println!("a shell loop, a process each  {}", shown(&shell));
    if let (Ok(twixt), Ok(socat), Ok(shell)) = (twixt, socat, shell) {
        println!("\ntwixt is {:.1} times socat, {:.0} times the loop", twixt / socat, twixt / shell);
    }
    Ok(())
}

/// How the lines are handed to the sender.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Feed {
    /// As bytes, many lines at a time.
    Stream,
    /// Each line a packet, which a read returns alone.
    Packets,
}

type Programs = (Command, Command, Feed, usize);

fn best_lines(programs: impl Fn(&str) -> Programs) -> io::Result<f64> {
    let mut best = 0.0_f64;
    for _ in 0..TURNS {
        best = best.max(line_rate(&programs)?);
    }
    Ok(best)
}

/// Lines per second, from the first one in to the last one out.
fn line_rate(programs: impl Fn(&str) -> Programs) -> io::Result<f64> {
    let name = format!("/twixt-bench-{}", std::process::id());
    let queue = mq::Queue::create(&name, mq::Access::ReadWrite, None, Mode::OWNER)?;
    let _unlink = queue.unlink_on_drop()?;
    let (mut sender, mut receiver, feed, count) = programs(&name);
    let (reader, writer) = pipe::create()?;
    if feed == Feed::Packets {
        writer.make_packets(true)?;
    }
    let mut receiver = Guard(receiver.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let output = receiver.0.stdout.take().expect("a pipe");
    let mut sender = Guard(sender.stdin(reader).spawn()?);
    let start = Instant::now();
    let source = thread::spawn(move || -> io::Result<()> {
        if feed == Feed::Packets {
            for number in 0..count {
                writer.write(format!("{number}\n").as_bytes())?;
            }
            return Ok(());
        }
        let mut writer = io::BufWriter::with_capacity(1 << 16, writer);
        for number in 0..count {
            writeln!(writer, "{number}")?;
        }
        writer.flush()
    });
    let mut lines = BufReader::with_capacity(1 << 16, output).lines();
    for number in 0..count {
        let line = lines.next().ok_or_else(|| io::Error::other("the receiver ended early"))??;
        if line != number.to_string() {
            return Err(io::Error::other(format!("line {number} arrived as {line:?}")));
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    source.join().expect("the source")?;
    let _ = sender.0.wait();
    Ok(count as f64 / seconds)
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Until the other program listens.
fn patiently<T>(connect: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let give_up = Instant::now() + Duration::from_secs(10);
    loop {
        match connect() {
            Err(error) if Instant::now() > give_up => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(1)),
            connected => return connected,
        }
    }
}

/// Ends with us.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory for the time being.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("twixt-bench-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
