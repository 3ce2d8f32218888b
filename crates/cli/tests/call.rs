//! `twixt call`: a request and its answer, with other programs on the other side.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use twixt::address::Address;
use twixt::channel::{Framing, Listener, Opening};
use twixt::os::net::udp::Socket;
use twixt_testkit::{Child, command, scratch, test, unique_name};

#[path = "support/process.rs"]
mod process;
#[path = "support/tool.rs"]
mod tool;
use process::until;
use tool::{end, run, twixt};

/// With this on its standard input.
fn fed(mut command: Command, input: &[u8]) -> std::process::Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    output
}

fn answer(command: Command, input: &[u8]) -> Vec<u8> {
    let output = fed(command, input);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    output.stdout
}

/// A peer that answers each message with itself, backwards.
fn backwards(address: &str, framing: Option<Framing>) -> Address {
    let address: Address = address.parse().unwrap();
    let mut opening = Opening::new(&address);
    if let Some(framing) = framing {
        opening = opening.framing(framing);
    }
    let listener: Listener = opening.listener().unwrap();
    std::thread::spawn(move || {
        while let Ok(mut connection) = listener.accept() {
            while let Ok(message) = connection.receive() {
                let answer: Vec<u8> = message.bytes().iter().rev().copied().collect();
                connection.send(&answer).unwrap();
            }
        }
    });
    address
}

#[test]
fn one_message_there_and_one_back() {
    let _test = test!();
    for kind in ["unix", "unix-seqpacket"] {
        let address = backwards(&format!("{kind}:@{}", unique_name()), None);
        let address = address.to_string();
        assert_eq!(run(&format!("call {address} hello")).well(), "olleh\n");
        assert_eq!(answer(twixt(["call", &address]), b"two\nlines\n"), b"\nsenil\nowt\n");
        assert_eq!(end(twixt(["call", &address, ""])).well(), "\n");
        assert_eq!(end(twixt(["call", &address, "--", "-x"])).well(), "x-\n");
        let long: Vec<u8> = (0..150_000u32).map(|at| at as u8).collect();
        let mut back: Vec<u8> = long.iter().rev().copied().collect();
        back.push(b'\n');
        assert_eq!(answer(twixt(["call", &address]), &long), back);
    }
    // What the flag says of streams it says of the output too.
    let lines = backwards(&format!("unix:@{}", unique_name()), Some(Framing::Lines)).to_string();
    assert_eq!(answer(twixt(["call", &lines, "--framing", "lines"]), b"ab\n"), b"ba\n");
    run(&format!("call {lines} --framing lines --timeout 60s")).well();
    let twice = fed(twixt(["call", &lines, "--framing", "lines"]), b"a\nb\n");
    assert_eq!(twice.status.code(), Some(2), "{twice:?}");
    let len = backwards(&format!("unix:@{}", unique_name()), Some(Framing::Len)).to_string();
    assert_eq!(answer(twixt(["call", &len, "--framing", "len"]), b"ab\n"), b"\x03\0\0\0\nba");
}

#[test]
fn datagrams_are_answered() {
    let _test = test!();
    let socket = Socket::bind("127.0.0.1:0").unwrap();
    let address = format!("udp:{}", socket.local_address().unwrap());
    let answering = std::thread::spawn(move || {
        let mut room = [0; 100];
        let (count, from) = socket.receive_from(&mut room).unwrap();
        assert_eq!(&room[..count], b"ping");
        socket.send_to(b"pong", from).unwrap();
    });
    assert_eq!(run(&format!("call {address} ping --timeout 60s")).well(), "pong\n");
    answering.join().unwrap();
}

#[test]
fn commands_get_all_of_it_and_say_all_they_have() {
    let _test = test!();
    assert_eq!(answer(twixt(["call", "exec:sort -rn | head -3"]), b"1\n3\n2\n4\n"), b"4\n3\n2\n");
    assert_eq!(run("call exec:cat without-newline").well(), "without-newline");
    // More than the pipes hold, both ways at once.
    let long = vec![b'x'; 3_000_000];
    assert_eq!(answer(twixt(["call", "exec:cat"]), &long), long);
    // Which it does not read.
    assert_eq!(answer(twixt(["call", "exec:echo enough"]), &long), b"enough\n");
    assert_eq!(answer(twixt(["call", "exec:tr a-z A-Z", "--framing", "lines"]), b"abc\n"), b"ABC\n");
}

#[test]
fn socat_and_nc_are_called() {
    let test = test!();
    if let Err(missing) = command("socat").and_then(|()| command("nc")) {
        return test.skip(&missing);
    }
    let scratch = scratch();
    let path = scratch.path().join("socat");
    let listen = format!("UNIX-LISTEN:{},fork", path.display());
    let _socat = Child::program("socat", &[listen.as_str(), "EXEC:tr a-z A-Z"]);
    until("listening", || path.exists());
    let address = format!("unix:{}?framing=raw", path.display());
    assert_eq!(answer(twixt(["call", &address]), b"hello"), b"HELLO");
    let long = vec![b'x'; 1_000_000];
    assert_eq!(answer(twixt(["call", &address]), &long).len(), long.len());
    let path = scratch.path().join("nc");
    let mut nc = Command::new("sh");
    nc.args(["-c", &format!("(read line; echo got $line) < in | nc -NlU {} > in", path.display())]);
    rustix::fs::mkfifoat(rustix::fs::CWD, scratch.path().join("in"), rustix::fs::Mode::RWXU).unwrap();
    nc.current_dir(scratch.path());
    let _nc = Child::start(nc);
    until("listening", || path.exists());
    // One line is asked and one answered, of a server that knows lines only.
    let address = format!("unix:{}", path.display());
    assert_eq!(answer(twixt(["call", &address, "--framing", "lines"]), b"a question\n"), b"got a question\n");
}

#[test]
fn what_can_go_wrong() {
    let _test = test!();
    let scratch = scratch();
    let path = scratch.path().join("socket");
    run(&format!("call unix:{} hello", path.display())).fails(1, "cannot connect");
    let _listener = UnixListener::bind(&path).unwrap();
    run(&format!("call unix:{} hello --timeout 50ms", path.display())).fails(4, "not answered");
    run(&format!("call unix:{}?timeout=50ms hello", path.display())).fails(4, "not answered");
    run(&format!("call unix:{}?framing=raw&timeout=50ms hello", path.display())).fails(4, "cannot receive");
    run("call fifo:/tmp/x hello").fails(2, "its messages go one way");
    run("call posix-sem:/x hello").fails(2, "it carries no messages");
    run("call - ").fails(2, "give the request as an argument");
    let gone = scratch.path().join("gone");
    let listener = UnixListener::bind(&gone).unwrap();
    let closing = std::thread::spawn(move || {
        let mut room = [0; 17];
        listener.accept().unwrap().0.read_exact(&mut room).unwrap();
    });
    run(&format!("call unix:{} hello", gone.display())).fails(5, "not answered");
    closing.join().unwrap();
}

#[test]
fn ctrl_c_ends_it() {
    let _test = test!();
    let scratch = scratch();
    let path = scratch.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    for framing in ["frame", "raw"] {
        let address = format!("unix:{}?framing={framing}", path.display());
        let child = twixt(["call", &address, "hello"]).stderr(Stdio::piped()).spawn().unwrap();
        let (mut connection, _) = listener.accept().unwrap();
        connection.read_exact(&mut [0; 5]).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        assert!(process::signal(child.id() as i32, Signal::INT));
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(130), 0), "{output:?}");
    }
}
