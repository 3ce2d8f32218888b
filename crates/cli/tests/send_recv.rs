//! `twixt send` to `twixt recv`, and to programs that know nothing of twixt.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Stdio};

use rustix::process::Signal;
use twixt::channel::Framing;
use twixt::channel::framing::encode;
use twixt_testkit::{Child, TempDir, command, scratch, test, unique_key, unique_name};

#[path = "support/plane.rs"]
mod plane;
#[path = "support/tool.rs"]
mod tool;
use plane::piped;
use tool::{end, remove_at_end, run, twixt};

/// Where a receiver waits that listens: for connections, or for datagrams.
#[cfg(target_arch = "x86_64")]
const LISTENING: &[i64] = &[libc::SYS_epoll_wait, libc::SYS_epoll_pwait, libc::SYS_recvmsg];
#[cfg(not(target_arch = "x86_64"))]
const LISTENING: &[i64] = &[libc::SYS_epoll_pwait, libc::SYS_recvmsg];

/// A receiver that listens, with its output in this file.
fn listening(arguments: &[&str], output: &Path) -> Child {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "out=$1; shift; exec \"$0\" recv \"$@\" > \"$out\"", env!("CARGO_BIN_EXE_twixt")]);
    command.arg(output).args(arguments);
    let child = Child::start(command);
    child.wait_until_blocked_in(LISTENING);
    child
}

/// Bytes that have everything in them, the same each time.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// The noise as so many messages of a binary-safe framing, none longer than `most`; and how many these are.
fn messages(framing: Framing, noise: &[u8], most: usize) -> (Vec<u8>, usize) {
    if framing == Framing::Raw {
        return (noise.to_vec(), noise.len().div_ceil(most));
    }
    let (mut stream, mut rest, mut count) = (Vec::new(), noise, 0);
    while !rest.is_empty() {
        let length = (usize::from(rest[0]) * 37 % most).min(rest.len() - 1) + 1;
        encode(framing, &rest[..length], &mut stream).unwrap();
        rest = &rest[length..];
        count += 1;
    }
    (stream, count)
}

struct Place {
    _scratch: TempDir,
    input: PathBuf,
    output: PathBuf,
}

/// Files for what goes in and what comes out.
fn place() -> Place {
    let scratch = scratch();
    let (input, output) = (scratch.path().join("input"), scratch.path().join("output"));
    Place { _scratch: scratch, input, output }
}

fn send_file(arguments: &[&str], input: &Path) {
    let mut command = twixt(["send"].iter().chain(arguments));
    command.stdin(File::open(input).unwrap());
    end(command).well();
}

fn start_to_file(arguments: &[&str], output: &Path) -> Process {
    let mut command = twixt(["recv"].iter().chain(arguments));
    command.stdout(File::create(output).unwrap()).stderr(Stdio::inherit());
    command.spawn().unwrap()
}

fn assert_same(place: &Place, what: &str) {
    let (input, output) = (fs::read(&place.input).unwrap(), fs::read(&place.output).unwrap());
    assert_eq!(input.len(), output.len(), "{what}");
    assert!(input == output, "{what}");
}

const BINARY: [Framing; 3] = [Framing::Raw, Framing::Len, Framing::Frame];

#[test]
fn streams_carry_any_bytes() {
    let _test = test!();
    let noise = noise(20 << 20);
    for framing in BINARY {
        let place = place();
        let (stream, _) = messages(framing, &noise, 100_000);
        fs::write(&place.input, stream).unwrap();
        let name = framing.as_str();

        let socket = format!("unix:@{}", unique_name());
        let mut receiver = listening(&[&socket, "--framing", name], &place.output);
        send_file(&[&socket, "--framing", name], &place.input);
        assert!(receiver.wait().success());
        assert_same(&place, &format!("unix {name}"));

        let fifo = format!("fifo:{}", place.input.with_extension("fifo").display());
        run(&format!("mk {fifo}")).well();
        let mut receiver = start_to_file(&[&fifo, "--framing", name], &place.output);
        send_file(&[&fifo, "--framing", name], &place.input);
        assert!(receiver.wait().unwrap().success());
        assert_same(&place, &format!("fifo {name}"));

        let mut command = twixt(["recv", "tcp:127.0.0.1:0", "--framing", name]);
        command.stdout(File::create(&place.output).unwrap()).stderr(Stdio::piped());
        let mut receiver = command.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(receiver.stderr.take().unwrap()).read_line(&mut said).unwrap();
        let tcp = said.trim_end().strip_prefix("listening at ").unwrap();
        send_file(&[tcp, "--framing", name], &place.input);
        assert!(receiver.wait().unwrap().success());
        assert_same(&place, &format!("tcp {name}"));
    }
}

#[test]
fn mailboxes_carry_any_bytes() {
    let _test = test!();
    let noise = noise(4 << 20);
    let scratch = scratch();
    let ring = scratch.path().join("ring");
    for framing in BINARY {
        let name = framing.as_str();
        for address in [
            format!("posix-mq:/{}", unique_name()),
            format!("sysv-msg:{:#x}", unique_key()),
            format!("mmap:{}", ring.display()),
            format!("posix-shm:/{}", unique_name()),
            format!("sysv-shm:{:#x}", unique_key()),
        ] {
            let place = place();
            let (stream, count) = messages(framing, &noise, 8000);
            fs::write(&place.input, stream).unwrap();
            let _remove = remove_at_end(&address);
            let raw = framing == Framing::Raw;
            let count = count.to_string();
            // Under raw the number of messages is the queue's affair: what ends the receiver is that nothing comes.
            let until: &[&str] = if raw { &["--follow", "--timeout", "1s"] } else { &["-n", &count] };
            let arguments = [&[address.as_str(), "--create", "--framing", name], until].concat();
            let mut receiver = start_to_file(&arguments, &place.output);
            send_file(&[&address, "--create", "--framing", name], &place.input);
            let code = receiver.wait().unwrap().code();
            assert_eq!(code, Some(if raw { 4 } else { 0 }), "{address}");
            assert_same(&place, &format!("{address} {name}"));
        }
    }
}

#[test]
fn sockets_that_keep_boundaries() {
    let _test = test!();
    let place = place();
    let (stream, count) = messages(Framing::Len, &noise(4 << 20), 60_000);
    fs::write(&place.input, stream).unwrap();
    for kind in ["unix-seqpacket", "unix-dgram"] {
        let socket = format!("{kind}:@{}", unique_name());
        let mut receiver = listening(&[&socket, "-n", &count.to_string(), "--framing", "len"], &place.output);
        send_file(&[&socket, "--framing", "len"], &place.input);
        assert!(receiver.wait().success());
        assert_same(&place, kind);
    }
}

#[test]
fn a_million_lines() {
    let _test = test!();
    let place = place();
    let lines: String = (0..1_000_000).map(|number| format!("{number}\n")).collect();
    fs::write(&place.input, lines).unwrap();
    let socket = format!("unix:@{}", unique_name());
    let mut receiver = listening(&[&socket], &place.output);
    send_file(&[&socket], &place.input);
    assert!(receiver.wait().success());
    assert_same(&place, "a million lines");
}

#[test]
fn the_sides_can_be_turned_round() {
    let _test = test!();
    let socket = format!("unix-seqpacket:@{}", unique_name());
    let mut command = twixt(["send", &socket, "--listen", "one", "two"]);
    let mut sender = command.spawn().unwrap();
    loop {
        let ended = run(&format!("recv {socket} --connect"));
        if ended.code == Some(0) {
            assert_eq!(ended.stdout, "one\ntwo\n");
            break;
        }
        assert_eq!(sender.try_wait().unwrap(), None, "{ended:?}");
    }
    assert!(sender.wait().unwrap().success());
}

#[test]
fn the_end_and_what_follows_it() {
    let _test = test!();
    let place = place();
    let fifo = format!("fifo:{}", place.input.display());
    run(&format!("mk {fifo}")).well();
    // An end before the messages that were wanted.
    let mut command = twixt(["recv", &fifo, "-n", "3"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let receiver = command.spawn().unwrap();
    run(&format!("send {fifo} one two")).well();
    let output = receiver.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(5), &b"one\ntwo\n"[..]));
    assert!(String::from_utf8(output.stderr).unwrap().contains("2 of 3 messages have come"));
    // --follow waits for others.
    for address in [fifo, format!("unix:@{}", unique_name())] {
        let mut receiver = Child::start(twixt(["recv", &address, "--follow"]));
        if address.starts_with("unix") {
            receiver.wait_until_blocked_in(LISTENING);
        }
        for text in ["one", "two", "three"] {
            run(&format!("send {address} {text}")).well();
            assert_eq!(receiver.line().as_deref(), Some(text));
        }
        receiver.signal(Signal::TERM);
        assert_eq!(receiver.wait().code(), Some(143));
    }
}

#[test]
fn one_who_talks_nonsense_does_not_end_it_for_others() {
    let _test = test!();
    let scratch = scratch();
    let path = scratch.path().join("socket");
    let address = format!("unix:{}", path.display());
    let mut command = twixt(["recv", &address, "--follow"]);
    let complaints = scratch.path().join("complaints");
    command.stderr(File::create(&complaints).unwrap());
    let mut receiver = Child::start(command);
    receiver.wait_until_blocked_in(LISTENING);
    UnixStream::connect(&path).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    run(&format!("send {address} hello")).well();
    assert_eq!(receiver.line().as_deref(), Some("hello"));
    receiver.signal(Signal::TERM);
    assert_eq!(receiver.wait().code(), Some(143));
    assert!(fs::read_to_string(complaints).unwrap().contains("not framed"));
    assert!(!path.exists());
}

#[test]
fn descriptors_are_passed() {
    let _test = test!();
    let scratch = scratch();
    let (one, two) = (scratch.path().join("one"), scratch.path().join("two"));
    fs::write(&one, "first\n").unwrap();
    fs::write(&two, "second\n").unwrap();
    let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
    let send = |socket: &str, texts: &[&str]| {
        end(twixt(["send", socket, "--fd", one, "--fd", two].iter().chain(texts))).well();
    };
    let socket = format!("unix:@{}", unique_name());
    let output = scratch.path().join("output");
    let mut receiver = listening(&[&socket, "--json"], &output);
    send(&socket, &["with", "without"]);
    assert!(receiver.wait().success());
    let lines: Vec<serde_json::Value> = fs::read_to_string(&output)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["descriptors"], serde_json::json!([one, two]));
    assert_eq!(lines[1]["descriptors"], serde_json::json!([]));

    let line = "echo $TWIXT_NUMBER $TWIXT_FDS; cat /dev/stdin; echo; [ $TWIXT_FDS = 0 ] || cat <&3 <&4; \
                [ $TWIXT_FDS = 0 ] || cat <&3";
    let mut receiver = listening(&[&socket, "--exec", line], &output);
    send(&socket, &["with", "without"]);
    assert!(receiver.wait().success());
    assert_eq!(fs::read_to_string(&output).unwrap(), "1 2\nwith\nsecond\nfirst\n2 0\nwithout\n");

    run(&format!("send {socket} --fd /nowhere m")).fails(2, "cannot open /nowhere to pass it: No such file");
    // The framing of lines has no place for them.
    let mut receiver = listening(&[&socket, "--framing", "lines"], &output);
    run(&format!("send {socket} --framing lines --fd /dev/null m")).fails(2, "descriptors");
    receiver.signal(Signal::TERM);
    receiver.wait();
}

#[test]
fn numbers_go_as_signals() {
    let _test = test!();
    let mut receiver = Child::start(twixt(["recv", "signal:0/RTMIN+3", "-n", "2"]));
    receiver.wait_until_blocked_in(&[libc::SYS_read]);
    let target = format!("signal:{}/RTMIN+3", receiver.pid());
    end(twixt(["send", &target, "7", "--", "-8"])).well();
    assert_eq!(receiver.line().as_deref(), Some("7"));
    assert_eq!(receiver.line().as_deref(), Some("-8"));
    assert!(receiver.wait().success());
    run(&format!("send signal:{}/RTMIN+3 seven", std::process::id())).fails(2, "a message is a number");
}

#[test]
fn an_address_that_is_taken() {
    let _test = test!();
    let socket = format!("unix:@{}", unique_name());
    let place = place();
    let receiver = listening(&[&socket], &place.output);
    run(&format!("recv {socket}")).fails(2, &socket["unix:".len()..]);
    receiver.kill();
    run(&format!("send {socket} m")).fails(5, "nobody listens there");
}

#[test]
fn netcat_and_the_standard_library_are_peers() {
    let test = test!();
    let scratch = scratch();
    let path = scratch.path().join("socket");
    let address = format!("unix:{}", path.display());
    // To a server that is not ours.
    let listener = UnixListener::bind(&path).unwrap();
    piped(["send", &address, "--framing", "lines"], b"one\ntwo\n").well();
    let mut text = String::new();
    listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one\ntwo\n");
    drop(listener);
    fs::remove_file(&path).unwrap();
    // From a client that is not ours.
    if let Err(missing) = command("nc") {
        return test.skip(&missing);
    }
    let output = scratch.path().join("output");
    let mut receiver = listening(&[&address, "--framing", "lines", "--json"], &output);
    let mut netcat = std::process::Command::new("nc");
    netcat.args(["-N", "-U"]).arg(&path).stdin(Stdio::piped());
    let mut netcat = netcat.spawn().unwrap();
    netcat.stdin.take().unwrap().write_all(b"three\nfour").unwrap();
    assert!(netcat.wait().unwrap().success());
    assert!(receiver.wait().success());
    let text = fs::read_to_string(&output).unwrap();
    assert!(text.contains("\"text\":\"three\"") && text.contains("\"text\":\"four\""), "{text}");
}

#[test]
fn a_receiver_that_goes_is_told() {
    let _test = test!();
    let socket = format!("unix:@{}", unique_name());
    let place = place();
    let mut receiver = listening(&[&socket, "-n", "1"], &place.output);
    let mut sender = Child::start(twixt(["send", &socket]));
    sender.tell("one");
    assert!(receiver.wait().success());
    // It may take a message until the kernel has told it.
    for number in 0.. {
        if number > 100 || sender_has_gone(&mut sender) {
            break;
        }
    }
    assert_eq!(sender.wait().code(), Some(5));
}

/// Tells it one more line, if it still listens.
fn sender_has_gone(sender: &mut Child) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sender.tell("more"))).is_err()
}
