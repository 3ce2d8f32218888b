//! `twixt relay`: what goes in at A comes out at B, whatever the two are.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;

use twixt::address::Address;
use twixt::channel::{Attributes, Receiver, Sender};
use twixt::os::posix::mq;
use twixt::os::signal::{self, Signal};
use twixt::os::{Deadline, Mode, Wait};
use twixt_testkit::{command, scratch, test, unique_key, unique_name};

#[path = "support/process.rs"]
mod process;
#[path = "support/tool.rs"]
mod tool;
use process::until;
use tool::{end, remove_at_end, run, twixt};

/// A relay that runs until its end or ours.
struct Relay(Child);

impl Relay {
    fn start(arguments: &[&str]) -> Self {
        let mut command = twixt(["relay"]);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// One that has come as far as to listen at this Unix socket, the first of the arguments.
    fn listening(arguments: &[&str]) -> Self {
        let relay = Self::start(arguments);
        let (_, name) = arguments[0].split_once(':').unwrap();
        let name = name.split('?').next().unwrap();
        until("listening", || listens(name));
        relay
    }

    fn signal(&self, signal: Signal) {
        let pid = signal::Pid::from_raw(self.0.id().cast_signed()).unwrap();
        signal::kill(pid, signal).unwrap();
    }

    /// Its exit code and what it said, once it has ended.
    fn end(mut self) -> (Option<i32>, String) {
        drop(self.0.stdin.take());
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.0.wait().unwrap().code(), said)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether somebody listens at this path or abstract name.
fn listens(name: &str) -> bool {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    // __SO_ACCEPTCON
    sockets.lines().any(|line| line.contains(" 00010000 ") && line.ends_with(&format!(" {name}")))
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn soon() -> Deadline {
    Deadline::after(std::time::Duration::from_secs(20))
}

#[test]
fn a_stream_between_two_sockets_arrives_whole_and_ends() {
    let _test = test!();
    let scratch = scratch();
    let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
    let listener = UnixListener::bind(&to).unwrap();
    let addresses = [format!("unix:{}", from.display()), format!("unix:{}", to.display())];
    let relay = Relay::listening(&[&addresses[0], &addresses[1]]);
    let mut sender = UnixStream::connect(&from).unwrap();
    let (mut receiver, _) = listener.accept().unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|it| ((it * 7) >> 3) as u8).collect();
    let sent = bytes.clone();
    let writing = thread::spawn(move || sender.write_all(&sent).unwrap());
    let mut got = Vec::new();
    receiver.read_to_end(&mut got).unwrap();
    writing.join().unwrap();
    assert!(got == bytes);
    let (code, said) = relay.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with(": 2.9 MiB\n"), "{said}");
    assert!(!from.exists(), "the socket's name stayed behind");
}

#[test]
fn lines_become_messages_and_messages_lines() {
    let _test = test!();
    let name = format!("/{}", unique_name());
    let queue = mq::Queue::create(&name, mq::Access::ReadWrite, None, Mode::OWNER).unwrap();
    let _unlink = queue.unlink_on_drop().unwrap();
    let into = format!("posix-mq:{name}?prio=3");
    let mut relay = Relay::start(&["-", &into, "--framing", "lines"]);
    relay.0.stdin.take().unwrap().write_all(b"one\n\nthree").unwrap();
    let (code, said) = relay.end();
    assert_eq!((code, said.as_str()), (Some(0), &*format!("- to posix-mq:{name}: 3 messages, 8 bytes\n")));
    let mut room = vec![0; 8192];
    let first = queue.receive(&mut room).unwrap();
    assert_eq!((&room[..first.len], first.priority.get()), (&b"one"[..], 3));

    let mut relay = Relay::start(&[&format!("posix-mq:{name}"), "-", "--framing", "nul", "-n", "2"]);
    let mut output = String::new();
    relay.0.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert_eq!(output, "\0three\0");
    let (code, said) = relay.end();
    assert_eq!(code, Some(0));
    assert!(said.contains("the priorities of messages are not kept in -: it has none"), "{said}");
}

#[test]
fn types_go_from_system_v_queue_to_system_v_queue() {
    let _test = test!();
    let (from, to) = (format!("sysv-msg:{}", unique_key()), format!("sysv-msg:{}", unique_key()));
    let _remove = (remove_at_end(&from), remove_at_end(&to));
    let mut sender = Sender::open(&address(&format!("{from}?create"))).unwrap();
    for (message, number) in [(&b"a"[..], 7), (b"", 3), (b"c", 7)] {
        sender.send_with(message, &Attributes::new().message_type(number), Wait::never()).unwrap();
    }
    let (code, said) = Relay::start(&[&from, &to, "--create", "-n", "3"]).end();
    assert_eq!(code, Some(0), "{said}");
    let mut receiver = Receiver::open(&address(&to)).unwrap();
    for (message, number) in [(&b"a"[..], 7), (b"", 3), (b"c", 7)] {
        let got = receiver.try_receive().unwrap();
        assert_eq!((got.bytes(), got.message_type()), (message, Some(number)));
    }
}

#[test]
fn both_ways_with_a_half_that_ends_first() {
    let test = test!();
    if let Err(missing) = command("socat") {
        return test.skip(&missing);
    }
    let scratch = scratch();
    let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
    let server = format!("UNIX-LISTEN:{}", to.display());
    let mut server = std::process::Command::new("socat").args([&server, "SYSTEM:cat | rev"]).spawn().unwrap();
    while !to.exists() {
        thread::sleep(std::time::Duration::from_millis(1));
    }
    let addresses = [format!("unix:{}", from.display()), format!("unix:{}", to.display())];
    let relay = Relay::listening(&[&addresses[0], &addresses[1], "--both"]);
    let mut client = UnixStream::connect(&from).unwrap();
    client.write_all(b"stressed\n").unwrap();
    // What comes back comes after we have ended.
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "desserts\n");
    let (code, said) = relay.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("9 bytes; back: 9 bytes"), "{said}");
    server.wait().unwrap();
}

#[test]
fn what_cannot_be_passed_on_is_saved() {
    let _test = test!();
    let scratch = scratch();
    let name = format!("/{}", unique_name());
    let limits = mq::Limits { max_messages: 4, message_size: 4 };
    let queue = mq::Queue::create(&name, mq::Access::ReadWrite, limits, Mode::OWNER).unwrap();
    let _unlink = queue.unlink_on_drop().unwrap();
    let mut command = twixt(["relay", "-", &format!("posix-mq:{name}"), "--framing", "lines"]);
    command.env("TMPDIR", scratch.path()).stdin(Stdio::piped());
    let mut relay = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    relay.stdin.take().unwrap().write_all(b"1\n22\ntoo long for it\n4\n").unwrap();
    let output = relay.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("2 messages, 3 bytes"), "{said}");
    assert!(said.contains("message 3 was received and not delivered"), "{said}");
    let saved: Vec<_> = fs::read_dir(scratch.path()).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(saved.len(), 1, "{said}");
    assert_eq!(fs::read(&saved[0]).unwrap(), b"too long for it");
    assert_eq!(mode(&saved[0]), 0o600);
    assert_eq!(queue.status().unwrap().messages, 2);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn bytes_that_a_stream_does_not_take_any_more_are_saved() {
    let _test = test!();
    let scratch = scratch();
    let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
    let listener = UnixListener::bind(&to).unwrap();
    let mut command =
        twixt(["relay", &format!("unix:{}", from.display()), &format!("unix:{}", to.display())]);
    command.env("TMPDIR", scratch.path()).stdout(Stdio::null()).stderr(Stdio::piped());
    let relay = Relay(command.spawn().unwrap());
    until("listening", || listens(from.to_str().unwrap()));
    let mut sender = UnixStream::connect(&from).unwrap();
    let (connection, _) = listener.accept().unwrap();
    // More than the two sockets hold, so that some of it stands in the relay.
    let numbers: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
    let sent = numbers.clone();
    let sending = thread::spawn(move || drop(sender.write_all(&sent)));
    let is_moving = || wchan(relay.0.id()).iter().any(|wait| wait.contains("sock") || wait.contains("unix"));
    until("the target takes no more", is_moving);
    drop(connection);
    let (code, said) = relay.end();
    sending.join().unwrap();
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("bytes were received and not delivered"), "{said}");
    let saved = fs::read_dir(scratch.path()).unwrap().map(|it| it.unwrap().path());
    let saved: Vec<_> = saved.filter(|path| path.is_file() && mode(path) == 0o600).collect();
    assert_eq!(saved.len(), 1, "{said}");
    let saved = fs::read(&saved[0]).unwrap();
    assert!(!saved.is_empty() && numbers.windows(saved.len()).step_by(1).any(|window| window == saved));
}

/// Whether a relay has a thread of this name.
fn has_thread(relay: &Relay, name: &str) -> bool {
    threads(relay).iter().any(|(it, _)| it == name)
}

/// The names of its threads, and in what in the kernel they wait.
fn threads(relay: &Relay) -> Vec<(String, String)> {
    let threads = fs::read_dir(format!("/proc/{}/task", relay.0.id())).unwrap().flatten();
    let read = |path: std::path::PathBuf| fs::read_to_string(path).unwrap_or_default().trim_end().to_owned();
    threads.map(|thread| (read(thread.path().join("comm")), read(thread.path().join("wchan")))).collect()
}

/// A relay from a FIFO into a TCP connection, both ends of the FIFO, and the end of the connection.
fn fifo_to_tcp(scratch: &Path) -> (Relay, fs::File, TcpStream) {
    let from = scratch.join("from");
    rustix::fs::mkfifoat(rustix::fs::CWD, &from, rustix::fs::Mode::RWXU).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("tcp:{}", listener.local_addr().unwrap());
    let mut command = twixt(["relay", &format!("fifo:{}", from.display()), &to]);
    command.env("TMPDIR", scratch).stdout(Stdio::null()).stderr(Stdio::piped());
    let relay = Relay(command.spawn().unwrap());
    let fifo = fs::OpenOptions::new().read(true).write(true).open(&from).unwrap();
    (relay, fifo, listener.accept().unwrap().0)
}

#[test]
fn what_is_copied_is_read_ahead_while_much_comes_at_a_time() {
    let _test = test!();
    let scratch = scratch();
    let (relay, mut source, mut target) = fifo_to_tcp(scratch.path());
    let numbers: Vec<u8> = (0..16_000_000u32).flat_map(u32::to_le_bytes).collect();
    let (mut sink, sent) = (source.try_clone().unwrap(), numbers.clone());
    let sending = thread::spawn(move || sink.write_all(&sent).unwrap());
    let (mut got, mut was_read_ahead) = (vec![0; 100_000], false);
    for (number, expected) in numbers.chunks(got.len()).enumerate() {
        target.read_exact(&mut got[..expected.len()]).unwrap();
        assert!(got[..expected.len()] == *expected, "after {number} blocks");
        was_read_ahead |= has_thread(&relay, "ahead");
    }
    sending.join().unwrap();
    assert!(was_read_ahead);
    // A few at a time are passed on by one thread alone.
    until("alone", || {
        source.write_all(b"x").unwrap();
        target.read_exact(&mut got[..1]).unwrap();
        !has_thread(&relay, "ahead")
    });
    source.write_all(b"the last").unwrap();
    drop(source);
    let mut rest = Vec::new();
    target.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"the last");
    let (code, said) = relay.end();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn bytes_are_the_same_whichever_way_they_are_moved() {
    let _test = test!();
    let scratch = scratch();
    // So many that each way has its turns, and the better one is found.
    let numbers: Vec<u8> = (0..20_000_000u32).flat_map(u32::to_le_bytes).collect();
    let moved = |relay: Relay, source: &mut (dyn Write + Send), target: &mut dyn Read| {
        thread::scope(|scope| {
            scope.spawn(|| source.write_all(&numbers).unwrap());
            let (mut got, mut left) = (vec![0; 1 << 20], &numbers[..]);
            while !left.is_empty() {
                let count = target.read(&mut got).unwrap();
                assert!(count > 0 && left.starts_with(&got[..count]), "{} bytes before the end", left.len());
                left = &left[count..];
            }
        });
        relay
    };
    let fifo = scratch.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    let path = scratch.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let relay = Relay::start(&[&format!("fifo:{}", fifo.display()), &format!("unix:{}", path.display())]);
    let mut source = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    let mut target = listener.accept().unwrap().0;
    let relay = moved(relay, &mut source, &mut target);
    drop(source);
    let (code, said) = relay.end();
    assert_eq!((code, said.ends_with(": 76.3 MiB\n")), (Some(0), true), "{said}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // A connection from which it reads, as a descriptor that it inherits.
    let ends = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut source = TcpStream::connect(ends.local_addr().unwrap()).unwrap();
    let mut command = twixt(["relay", "-", &format!("tcp:{address}")]);
    let accepted = std::os::fd::OwnedFd::from(ends.accept().unwrap().0);
    let relay = Relay(command.stdin(accepted).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut target = listener.accept().unwrap().0;
    let relay = moved(relay, &mut source, &mut target);
    drop((command, source));
    let (code, said) = relay.end();
    assert_eq!((code, said.ends_with(": 76.3 MiB\n")), (Some(0), true), "{said}");
}

/// `splice(2)` takes nothing where they stand, as if the stream had ended.
#[test]
fn urgent_bytes_are_no_end_of_a_stream() {
    let _test = test!();
    for is_blocking in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = listener.accept().unwrap().0;
        accepted.set_nonblocking(!is_blocking).unwrap();
        sender.write_all(b"before").unwrap();
        rustix::net::send(&sender, b"!", rustix::net::SendFlags::OOB).unwrap();
        sender.write_all(b" and after").unwrap();
        let mut command = twixt(["relay", "-", "-"]);
        command.stdin(std::os::fd::OwnedFd::from(accepted)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut relay = Relay(command.spawn().unwrap());
        drop(command);
        let mut got = [0; 16];
        relay.0.stdout.as_mut().unwrap().read_exact(&mut got).unwrap();
        assert_eq!(got, *b"before and after");
        drop(sender);
        let (code, said) = relay.end();
        assert_eq!(code, Some(0), "{said}");
    }
}

/// The kernel locks the pipe that it splices from while it waits for room in a socket.
#[test]
fn a_target_that_takes_nothing_holds_up_no_writer_that_does_not_wait() {
    let _test = test!();
    let scratch = scratch();
    let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
    rustix::fs::mkfifoat(rustix::fs::CWD, &from, rustix::fs::Mode::RWXU).unwrap();
    let listener = UnixListener::bind(&to).unwrap();
    let relay = Relay::start(&[&format!("fifo:{}", from.display()), &format!("unix:{}", to.display())]);
    let reader = listener.accept().unwrap().0;
    let writer = fs::OpenOptions::new().write(true).open(&from).unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let (done, is_done) = std::sync::mpsc::channel();
    // Full, and full again once the relay has taken what it could, until it has stood still for a while.
    thread::spawn(move || {
        let mut refused = 0;
        while refused < 100 {
            match rustix::io::write(&writer, &[7; 1 << 16]) {
                Ok(_) => refused = 0,
                Err(errno) => {
                    assert_eq!(errno, rustix::io::Errno::AGAIN);
                    refused += 1;
                    thread::sleep(std::time::Duration::from_millis(2));
                }
            }
        }
        done.send(()).unwrap();
    });
    let is_free = is_done.recv_timeout(std::time::Duration::from_secs(20)).is_ok();
    // Or else the writer could not be ended.
    drop((relay, reader));
    assert!(is_free, "a write that must not wait has waited");
}

#[test]
fn what_was_read_ahead_is_saved_if_it_cannot_be_passed_on() {
    let _test = test!();
    for goes in [true, false] {
        let scratch = scratch();
        let (relay, mut source, mut target) = fifo_to_tcp(scratch.path());
        let numbers: Vec<u8> = (0..16_000_000u32).flat_map(u32::to_le_bytes).collect();
        let (mut sink, sent) = (source.try_clone().unwrap(), numbers.clone());
        let sending = thread::spawn(move || sink.write_all(&sent).unwrap());
        let mut got = vec![0; 1 << 16];
        until("reading ahead", || {
            target.read_exact(&mut got).unwrap();
            has_thread(&relay, "ahead")
        });
        until("nothing is taken any more", || {
            let threads = threads(&relay);
            let waits = |name, place| threads.iter().any(|(it, at)| it == name && at.contains(place));
            waits("twixt", "wait_woken") && waits("ahead", "futex")
        });
        if goes {
            drop(target);
        } else {
            relay.signal(Signal::INT);
        }
        let (code, said) = relay.end();
        assert_eq!(code, Some(if goes { 5 } else { 130 }), "{said}");
        assert!(said.contains("bytes were received and not delivered"), "{said}");
        let files = fs::read_dir(scratch.path()).unwrap().map(|it| it.unwrap().path());
        let saved: Vec<_> = files.filter(|path| path.is_file() && mode(path) == 0o600).collect();
        assert_eq!(saved.len(), 1, "{said}");
        // It is all that was taken: what is still in the FIFO follows it.
        let mut rest = fs::read(&saved[0]).unwrap();
        assert!(!rest.is_empty());
        loop {
            let is_all = sending.is_finished();
            if rustix::io::ioctl_fionread(&source).unwrap() > 0 {
                let count = source.read(&mut got).unwrap();
                rest.extend_from_slice(&got[..count]);
            } else if is_all {
                break;
            } else {
                thread::yield_now();
            }
        }
        sending.join().unwrap();
        assert!(numbers.ends_with(&rest), "{said}");
    }
}

/// In what in the kernel its threads wait.
fn wchan(pid: u32) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    threads.map(|thread| fs::read_to_string(thread.path().join("wchan")).unwrap_or_default()).collect()
}

#[test]
fn a_full_target_makes_the_source_wait_and_ctrl_c_loses_nothing() {
    let _test = test!();
    let (from, to) = (format!("/{}", unique_name()), format!("/{}", unique_name()));
    let limits = mq::Limits { max_messages: 4, message_size: 16 };
    let queues =
        [&from, &to].map(|it| mq::Queue::create(it, mq::Access::ReadWrite, limits, Mode::OWNER).unwrap());
    let _unlink = queues.each_ref().map(|it| it.unlink_on_drop().unwrap());
    let relay = Relay::start(&[&format!("posix-mq:{from}"), &format!("posix-mq:{to}")]);
    let [source, target] = &queues;
    for number in 0..8 {
        source.send_deadline(&[number], mq::Priority::LOWEST, soon()).unwrap();
    }
    while target.status().unwrap().messages < 4 {
        thread::yield_now();
    }
    relay.signal(Signal::INT);
    let (code, said) = relay.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("4 messages, 4 bytes"), "{said}");
    // What it did not pass on it did not take.
    let mut room = [0; 16];
    for (number, queue) in (0..8).zip([target, target, target, target, source, source, source, source]) {
        assert_eq!(queue.try_receive(&mut room).unwrap().len, 1);
        assert_eq!(room[0], number);
    }
}

#[test]
fn a_copy_and_the_counts_on_request() {
    let _test = test!();
    let scratch = scratch();
    let copy = scratch.path().join("copy");
    let mut relay = Relay::start(&["-", "-", "--tee", copy.to_str().unwrap()]);
    let mut input = relay.0.stdin.take().unwrap();
    let mut output = relay.0.stdout.take().unwrap();
    input.write_all(b"there and in the file").unwrap();
    let mut got = [0; 21];
    output.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"there and in the file");
    while fs::read(&copy).unwrap().len() < 21 {
        thread::yield_now();
    }
    let mut said = BufReader::new(relay.0.stderr.take().unwrap()).lines();
    // What has just arrived is counted a moment later.
    until("counted", || {
        relay.signal(Signal::USR1);
        let line = said.next().unwrap().unwrap();
        assert!(["- to -: 0 bytes", "- to -: 21 bytes"].contains(&&*line), "{line}");
        line.contains("21")
    });
    drop(input);
    assert_eq!(relay.0.wait().unwrap().code(), Some(0));
    assert_eq!(fs::read(&copy).unwrap(), b"there and in the file");
    assert_eq!(mode(&copy), 0o600);
}

#[test]
fn descriptors_are_passed_on_when_asked_for() {
    let _test = test!();
    let (from, to) = (format!("unix-seqpacket:@{}", unique_name()), format!("unix-dgram:@{}", unique_name()));
    let mut receiver = Receiver::open(&address(&to)).unwrap();
    let relay = Relay::listening(&[&from, &to, "--pass-fds", "-n", "1"]);
    let mut sender = Sender::open(&address(&from)).unwrap();
    let file = tempfile_with(b"what the descriptor leads to");
    let descriptors = [std::os::fd::AsFd::as_fd(&file)];
    sender.send_with(b"here", &Attributes::new().descriptors(&descriptors), Wait::until(soon())).unwrap();
    let mut message = receiver.receive_deadline(soon()).unwrap();
    assert_eq!(message.bytes(), b"here");
    let passed = message.take_descriptors().pop().unwrap();
    let mut text = String::new();
    fs::File::from(passed).read_to_string(&mut text).unwrap();
    assert_eq!(text, "what the descriptor leads to");
    let (code, said) = relay.end();
    assert_eq!(code, Some(0), "{said}");
}

fn tempfile_with(bytes: &[u8]) -> fs::File {
    let scratch = scratch();
    let path = scratch.path().join("file");
    fs::write(&path, bytes).unwrap();
    fs::File::open(path).unwrap()
}

#[test]
fn what_does_not_apply_is_refused() {
    let _test = test!();
    run("relay posix-mq:/a posix-mq:/b --both")
        .fails(2, "--both does not apply to posix-mq: it has one direction");
    run("relay sysv-msg:1 unix:/x --pass-fds").fails(2, "--pass-fds does not apply to sysv-msg");
    run("relay fifo:/a fifo:/b --listen").fails(2, "--listen does not apply to fifo");
    run("relay lock:/a -").fails(2, "it carries no messages");
    run("relay - - --create").fails(2, "--create applies to neither");
    run("relay - - --rate 0B").fails(2, "0 bytes in a second would never move anything");
    run("relay posix-mq:/a?prio=1 -").fails(2, "it belongs to B");
    let scratch = scratch();
    let nowhere = scratch.path().join("nowhere/copy");
    let mut command = twixt(["relay", "-", "-", "--tee"]);
    command.arg(&nowhere);
    end(command).fails(2, "for the copy");
}

#[test]
fn a_rate_in_bytes_is_kept() {
    let _test = test!();
    let mut relay = Relay::start(&["-", "-", "--rate", "100kB"]);
    let begin = std::time::Instant::now();
    let mut input = relay.0.stdin.take().unwrap();
    let writing = thread::spawn(move || input.write_all(&[7; 40 << 10]).unwrap());
    let mut got = Vec::new();
    relay.0.stdout.take().unwrap().read_to_end(&mut got).unwrap();
    writing.join().unwrap();
    assert_eq!(got, [7; 40 << 10]);
    // All but the last tenth of a second's worth must have been waited for.
    assert!(begin.elapsed() >= std::time::Duration::from_millis(290));
    assert_eq!(relay.end().0, Some(0));
}

#[test]
fn a_copy_of_a_stream_is_made_on_the_way() {
    let _test = test!();
    let scratch = scratch();
    let (from, copy) = (scratch.path().join("from"), scratch.path().join("copy"));
    let to = scratch.path().join("to");
    let receiver = UnixListener::bind(&to).unwrap();
    let bytes: Vec<u8> = (0..5_000_000u32).map(|at| (at / 7) as u8).collect();
    let relay = Relay::listening(&[
        &format!("unix:{}", from.display()),
        &format!("unix:{}", to.display()),
        "--tee",
        copy.to_str().unwrap(),
    ]);
    let mut sender = UnixStream::connect(&from).unwrap();
    let (mut receiver, _) = receiver.accept().unwrap();
    let sent = bytes.clone();
    let sending = thread::spawn(move || drop(sender.write_all(&sent)));
    let mut received = Vec::new();
    receiver.read_to_end(&mut received).unwrap();
    sending.join().unwrap();
    let (code, said) = relay.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(received == bytes && fs::read(&copy).unwrap() == bytes);
    // From and to what the kernel does not splice between, or not to.
    let (input, output) = (scratch.path().join("input"), scratch.path().join("output"));
    fs::write(&input, &bytes).unwrap();
    let appended = fs::OpenOptions::new().append(true).create(true).open(&output).unwrap();
    let mut command = twixt(["relay", "-", "-", "--tee", copy.to_str().unwrap()]);
    command.stdin(fs::File::open(&input).unwrap()).stdout(appended).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    assert!(fs::read(&output).unwrap() == bytes && fs::read(&copy).unwrap() == bytes);
}

#[test]
fn nothing_is_taken_for_a_target_that_has_gone() {
    let _test = test!();
    let scratch = scratch();
    for framing in ["raw", "lines"] {
        let (from, to) = (scratch.path().join(format!("from-{framing}")), scratch.path().join(framing));
        rustix::fs::mkfifoat(rustix::fs::CWD, &from, rustix::fs::Mode::RWXU).unwrap();
        let listener = UnixListener::bind(&to).unwrap();
        let addresses = [format!("fifo:{}", from.display()), format!("unix:{}", to.display())];
        let relay = Relay::start(&[&addresses[0], &addresses[1], "--framing", framing]);
        let mut writer = fs::OpenOptions::new().read(true).write(true).open(&from).unwrap();
        let (mut connection, _) = listener.accept().unwrap();
        writer.write_all(b"one\n").unwrap();
        connection.read_exact(&mut [0; 4]).unwrap();
        drop(connection);
        // It ends although nothing more comes from A.
        let (code, said) = relay.end();
        assert_eq!(code, Some(5), "{said}");
        assert!(said.contains("cannot send to") && !said.contains("saved"), "{said}");
    }
}

#[test]
fn an_empty_message_leaves_nothing_in_a_raw_stream() {
    let _test = test!();
    let mut command = twixt(["relay", "-?framing=lines", "exec:cat >&2"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"one\n\ntwo\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("onetwo"));
}

#[test]
fn the_time_of_an_address_is_kept() {
    let _test = test!();
    let made = run("mk sysv-msg:private").well();
    let queue = made.trim();
    let _remove = remove_at_end(queue);
    run(&format!("relay {queue}?timeout=30ms -")).fails(4, "cannot receive from");
    let mut command = twixt(["relay", "-?timeout=30ms", queue]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(4));
    drop(stdin);
}
