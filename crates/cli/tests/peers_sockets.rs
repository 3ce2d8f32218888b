//! The tool on one side of a socket, and a program that knows nothing of it on the other: socat, netcat, curl, Python.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use twixt_testkit::{Child, TempDir, compile_c, scratch, test};

#[path = "support/peer.rs"]
mod peer;
#[path = "support/plane.rs"]
mod plane;
#[path = "support/process.rs"]
mod process;
#[path = "support/service.rs"]
mod service;
#[path = "support/tool.rs"]
mod tool;
use peer::{Hearing, commands, python, shell};
use plane::piped;
use process::until;
use service::Service;
use tool::{end, run, twixt};

fn socket() -> (TempDir, String) {
    let scratch = scratch();
    let path = scratch.path().join("socket").display().to_string();
    (scratch, path)
}

/// A port that nobody uses, and that the kernel gives to nobody who asks for any for a good while.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn free_datagram_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether somebody listens at this TCP port of this machine, without connecting.
fn is_listening(port: u16) -> bool {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| line.contains(&format!("0100007F:{port:04X} 00000000:0000 0A")))
}

/// Whether somebody has this UDP port of this machine.
fn is_bound(port: u16) -> bool {
    fs::read_to_string("/proc/net/udp").unwrap().contains(&format!("0100007F:{port:04X}"))
}

/// Bytes that have everything in them.
fn noise(count: usize) -> Vec<u8> {
    (0..count as u32).map(|number| (number.wrapping_mul(0x9e37_79b9) >> 23) as u8).collect()
}

#[test]
fn socat_sends_to_recv() {
    let test = test!();
    if let Err(missing) = commands(&["socat"]) {
        return test.skip(&missing);
    }
    let (scratch, path) = socket();
    let says = |it: &str, to: &str| end(shell(&format!("printf '{it}' | socat -u - {to}"))).well();
    let cases = [
        (
            format!("unix:{path}?framing=lines"),
            format!("UNIX-CONNECT:{path}"),
            "one\\n\\nthree",
            "one\n\nthree\n",
        ),
        (format!("unix:{path}?framing=nul"), format!("UNIX-CONNECT:{path}"), "a\\nb\\0c\\0", "a\nb\nc\n"),
        (format!("unix:{path}?framing=len"), format!("UNIX-CONNECT:{path}"), "\\002\\0\\0\\0hi", "hi\n"),
        (format!("unix-seqpacket:{path}"), format!("UNIX-CONNECT:{path},type=5"), "a packet", "a packet\n"),
        (format!("unix-dgram:{path}"), format!("UNIX-SENDTO:{path}"), "a datagram", "a datagram\n"),
    ];
    for (address, to, message, expected) in cases {
        let hearing = Hearing::start(scratch.path(), &[&address]);
        says(message, &to);
        assert_eq!(hearing.text(), expected, "{address}");
        assert!(!Path::new(&path).exists(), "{address}: the path is left");
    }
    let port = free_port();
    let hearing = Hearing::start(scratch.path(), &[&format!("tcp:127.0.0.1:{port}?framing=lines")]);
    says("over\\nTCP\\n", &format!("TCP:127.0.0.1:{port}"));
    assert_eq!(hearing.text(), "over\nTCP\n");
    let port = free_datagram_port();
    let hearing = Hearing::start(scratch.path(), &[&format!("udp:127.0.0.1:{port}"), "--json"]);
    says("over UDP", &format!("UDP-SENDTO:127.0.0.1:{port}"));
    let line = hearing.text();
    assert!(line.contains(r#""text":"over UDP""#) && line.contains(r#""source":"127.0.0.1:"#), "{line}");
    // An abstract name, and bytes of every value.
    let name = twixt_testkit::unique_name();
    let hearing = Hearing::start(scratch.path(), &[&format!("unix:@{name}"), "--framing", "raw"]);
    let file = scratch.path().join("noise");
    fs::write(&file, noise(3_000_000)).unwrap();
    end(shell(&format!("socat -u OPEN:{} ABSTRACT-CONNECT:{name}", file.display()))).well();
    assert!(hearing.all() == noise(3_000_000));
}

#[test]
fn send_reaches_socat() {
    let test = test!();
    if let Err(missing) = commands(&["socat"]) {
        return test.skip(&missing);
    }
    let (scratch, path) = socket();
    let received = scratch.path().join("theirs");
    let theirs = format!("CREATE:{}", received.display());
    let cases = [
        (format!("UNIX-LISTEN:{path}"), format!("unix:{path}?framing=lines"), &b"one\n\nthree\n"[..]),
        (format!("UNIX-LISTEN:{path}"), format!("unix:{path}?framing=nul"), b"one\0\0three\0"),
        (
            format!("UNIX-LISTEN:{path}"),
            format!("unix:{path}?framing=len"),
            b"\x03\0\0\0one\0\0\0\0\x05\0\0\0three",
        ),
        (format!("UNIX-LISTEN:{path},type=5"), format!("unix-seqpacket:{path}"), b"onethree"),
    ];
    for (listen, address, expected) in cases {
        let _ = fs::remove_file(&path);
        let socat = Child::program("socat", &["-u", &listen, &theirs]);
        until("listening", || Path::new(&path).exists());
        // To socat an empty packet is the end.
        let messages: &[&str] =
            if address.contains("seqpacket") { &["one", "three"] } else { &["one", "", "three"] };
        end(twixt([&["send", address.as_str()], messages].concat())).well();
        socat.succeed();
        assert_eq!(fs::read(&received).unwrap(), expected, "{address}");
    }
    let _ = fs::remove_file(&path);
    let socat = Child::program("socat", &["-u", &format!("UNIX-RECV:{path}"), &theirs]);
    until("bound", || Path::new(&path).exists());
    run(&format!("send unix-dgram:{path} one two")).well();
    until("both arrive", || fs::read(&received).unwrap() == b"onetwo");
    socat.kill();
    let port = free_port();
    let socat = Child::program("socat", &["-u", &format!("TCP-LISTEN:{port},bind=127.0.0.1"), &theirs]);
    until("listening", || is_listening(port));
    piped(["send", &format!("tcp:127.0.0.1:{port}"), "--framing", "raw"], &noise(3_000_000)).well();
    socat.succeed();
    assert!(fs::read(&received).unwrap() == noise(3_000_000));
    let port = free_datagram_port();
    let socat = Child::program("socat", &["-u", &format!("UDP-RECV:{port},bind=127.0.0.1"), &theirs]);
    until("bound", || is_bound(port));
    run(&format!("send udp:127.0.0.1:{port} over UDP")).well();
    until("both arrive", || fs::read(&received).unwrap() == b"overUDP");
    socat.kill();
}

#[test]
fn netcat_takes_either_side() {
    let test = test!();
    if let Err(missing) = commands(&["nc"]) {
        return test.skip(&missing);
    }
    let (scratch, path) = socket();
    let received = scratch.path().join("theirs");
    let receives =
        |arguments: &str| Child::start(shell(&format!("exec nc {arguments} > {}", received.display())));
    // netcat sends.
    let hearing = Hearing::start(scratch.path(), &[&format!("unix:{path}?framing=lines")]);
    end(shell(&format!("printf 'one\\ntwo\\n' | nc -NU {path}"))).well();
    assert_eq!(hearing.text(), "one\ntwo\n");
    let port = free_port();
    let hearing = Hearing::start(scratch.path(), &[&format!("tcp:127.0.0.1:{port}?framing=lines")]);
    end(shell(&format!("printf 'one\\ntwo\\n' | nc -N 127.0.0.1 {port}"))).well();
    assert_eq!(hearing.text(), "one\ntwo\n");
    let hearing = Hearing::start(scratch.path(), &[&format!("unix-dgram:{path}")]);
    // It wants a name of its own to be answered at, and would wait for the answer.
    let mut netcat = Child::start(shell(&format!("exec nc -uU -s {path}.nc {path}")));
    netcat.tell("a datagram");
    assert_eq!(hearing.text(), "a datagram\n\n");
    netcat.kill();
    // netcat receives.
    let netcat = receives(&format!("-lU {path}"));
    until("listening", || Path::new(&path).exists());
    run(&format!("send unix:{path}?framing=lines three four")).well();
    netcat.succeed();
    assert_eq!(fs::read_to_string(&received).unwrap(), "three\nfour\n");
    let port = free_port();
    let netcat = receives(&format!("-l 127.0.0.1 {port}"));
    until("listening", || is_listening(port));
    run(&format!("send tcp:127.0.0.1:{port}?framing=lines three four")).well();
    netcat.succeed();
    assert_eq!(fs::read_to_string(&received).unwrap(), "three\nfour\n");
    let _ = fs::remove_file(&path);
    // It answers the first who has a name, and talks to nobody who has none.
    let mut netcat = Child::start(shell(&format!("exec nc -luU {path} > {}", received.display())));
    until("bound", || Path::new(&path).exists());
    netcat.tell("the answer");
    assert_eq!(run(&format!("call unix-dgram:{path} datagram")).well(), "the answer\n\n");
    until("it arrives", || fs::read(&received).unwrap() == b"datagram");
    netcat.kill();
}

/// Between a client and a server who both speak of nothing but their own protocol.
#[test]
fn curl_speaks_through_a_relay() {
    let test = test!();
    if let Err(missing) = commands(&["curl"]).and_then(|()| python(&[])) {
        return test.skip(&missing);
    }
    let (scratch, path) = socket();
    fs::write(scratch.path().join("page"), noise(1_000_000)).unwrap();
    let server = "import http.server, socketserver\n\
        class S(socketserver.UnixStreamServer):\n    \
            def get_request(self): return self.socket.accept()[0], ('local', 0)\n\
        S('socket', http.server.SimpleHTTPRequestHandler).serve_forever()\n";
    let mut http = Command::new("python3");
    http.args(["-c", server]).current_dir(scratch.path()).stderr(Stdio::null());
    let _http = Child::start(http);
    until("listening", || std::os::unix::net::UnixStream::connect(&path).is_ok());
    let port = free_port();
    let mut relay = twixt(["relay", "--both", &format!("tcp:127.0.0.1:{port}"), &format!("unix:{path}")]);
    let relay = relay.stderr(Stdio::piped()).spawn().unwrap();
    until("listening", || is_listening(port));
    let got = scratch.path().join("got");
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-o"]).arg(&got).arg(format!("http://127.0.0.1:{port}/page"));
    end(curl).well();
    assert!(fs::read(&got).unwrap() == noise(1_000_000));
    let relay = relay.wait_with_output().unwrap();
    // The server hangs up first, which the relay may see before the client does.
    assert_eq!(relay.status.code(), Some(0), "{relay:?}");
    // And `call` is a client of the same server.
    let request = b"GET /page HTTP/1.0\r\n\r\n";
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, request).unwrap();
    drop(writer);
    let mut call = twixt(["call", &format!("unix:{path}"), "--framing", "raw"]);
    let answer = call.stdin(reader).output().unwrap();
    assert!(answer.status.success(), "{answer:?}");
    assert!(answer.stdout.starts_with(b"HTTP/1.0 200 OK\r\n") && answer.stdout.ends_with(&noise(1_000_000)));
}

/// Two that are not ours, with the tool between them.
#[test]
fn socat_and_netcat_talk_through_a_relay() {
    let test = test!();
    if let Err(missing) = commands(&["socat", "nc"]) {
        return test.skip(&missing);
    }
    let (scratch, path) = socket();
    let received = scratch.path().join("theirs");
    let socat = Child::program(
        "socat",
        &["-u", &format!("UNIX-LISTEN:{path}"), &format!("CREATE:{}", received.display())],
    );
    until("listening", || Path::new(&path).exists());
    let port = free_port();
    let mut relay = twixt(["relay", &format!("tcp:127.0.0.1:{port}"), &format!("unix:{path}")]);
    let relay = relay.stderr(Stdio::piped()).spawn().unwrap();
    until("listening", || is_listening(port));
    let file = scratch.path().join("noise");
    fs::write(&file, noise(3_000_000)).unwrap();
    end(shell(&format!("nc -N 127.0.0.1 {port} < {}", file.display()))).well();
    socat.succeed();
    assert!(fs::read(&received).unwrap() == noise(3_000_000));
    let relay = relay.wait_with_output().unwrap();
    assert!(relay.status.success(), "{relay:?}");
    assert!(String::from_utf8_lossy(&relay.stderr).contains("2.9 MiB"), "{relay:?}");
}

/// What is written in the documentation of the framing, from that alone.
const FRAMES: &str = r#"
import array, os, socket, struct, sys, xxhash
def check_of(head, payload):
    seed, = struct.unpack('<Q', head)
    return xxhash.xxh3_64_intdigest(payload, seed=seed) & 0xffffffff
def put(s, payload, fds=()):
    head = struct.pack('<IB3x', len(payload), len(fds))
    data = head + struct.pack('<I', check_of(head, payload)) + payload
    s.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else [])
def get(s):
    fds = array.array('i')
    head, ancillary, _, _ = s.recvmsg(12, 4096)
    for level, kind, data in ancillary:
        fds.frombytes(data)
    while len(head) < 12:
        more = s.recv(12 - len(head))
        if not more: return None
        head += more
    length, count, check = struct.unpack('<IB3xI', head)
    payload = b''
    while len(payload) < length:
        payload += s.recv(length - len(payload))
    assert check_of(head[:8], payload) == check and count == len(fds), (head, fds)
    return payload, fds
s = socket.socket(socket.AF_UNIX)
"#;

#[test]
fn python_speaks_our_frames_and_passes_descriptors() {
    let test = test!();
    if let Err(missing) = python(&["xxhash"]) {
        return test.skip(&missing);
    }
    let (scratch, path) = socket();
    let script = |script: &str| {
        let mut command = Command::new("python3");
        command.args(["-c", &format!("{FRAMES}{script}"), &path]).current_dir(scratch.path());
        command
    };
    fs::write(scratch.path().join("file"), "in the file").unwrap();
    let sender = "s.connect(sys.argv[1])\nput(s, b'one')\nput(s, b'')\nput(s, b'three', [os.open('file', os.O_RDONLY)])\n";
    let hearing = Hearing::start(
        scratch.path(),
        &[
            &format!("unix:{path}"),
            "--exec",
            "cat; echo \" $TWIXT_NUMBER $TWIXT_FDS\"; [ $TWIXT_FDS = 0 ] || cat <&3",
        ],
    );
    end(script(sender)).well();
    assert_eq!(hearing.text(), "one 1 0\n 2 0\nthree 3 1\nin the file");
    let receiver = "s.bind(sys.argv[1]); s.listen(1); print('ready', flush=True); s = s.accept()[0]\n\
        while (m := get(s)): print(m[0].decode(), [os.read(fd, 100).decode() for fd in m[1]])\n";
    let _ = fs::remove_file(&path);
    let mut python = Child::start(script(receiver));
    assert_eq!(python.line().as_deref(), Some("ready"));
    let file = scratch.path().join("file");
    run(&format!("send unix:{path} one two --fd {}", file.display())).well();
    assert_eq!(python.line().as_deref(), Some("one ['in the file']"));
    assert_eq!(python.line().as_deref(), Some("two []"));
    python.succeed();
    // A service answers in frames, and a call is asked in frames.
    let _ = fs::remove_file(&path);
    let service = Service::of(&["--per-message", &format!("unix:{path}")], "tr a-z A-Z");
    end(script("s.connect(sys.argv[1])\nput(s, b'ask'); assert get(s)[0] == b'ASK'\n")).well();
    service.ends(Signal::TERM);
    let server = "s.bind(sys.argv[1]); s.listen(1); print('ready', flush=True); s = s.accept()[0]\n\
        put(s, get(s)[0][::-1])\n";
    let mut python = Child::start(script(server));
    assert_eq!(python.line().as_deref(), Some("ready"));
    assert_eq!(run(&format!("call unix:{path} stressed")).well(), "desserts\n");
    python.succeed();
}

#[test]
fn python_has_datagrams_and_packets() {
    let test = test!();
    if let Err(missing) = python(&[]) {
        return test.skip(&missing);
    }
    let (scratch, path) = socket();
    for (kind, python_kind) in [("unix-dgram", "SOCK_DGRAM"), ("unix-seqpacket", "SOCK_SEQPACKET")] {
        let _ = fs::remove_file(&path);
        let script = |script: &str| {
            let mut command = Command::new("python3");
            let script = format!(
                "import socket, sys\ns = socket.socket(socket.AF_UNIX, socket.{python_kind})\n{script}"
            );
            command.args(["-c", &script, &path]);
            command
        };
        // Python asks, each message with an answer of its own.
        let mut arguments = vec!["serve", "--per-message"];
        let address = format!("{kind}:{path}");
        if kind == "unix-dgram" {
            arguments.pop();
        }
        arguments.extend([address.as_str(), "--", "tr", "a-z", "A-Z"]);
        let service = Service::start(twixt(arguments));
        let client = "s.bind(''); s.connect(sys.argv[1])\n\
            for m in b'one', b'two': s.send(m); assert s.recv(100) == m.upper()\n";
        end(script(client)).well();
        service.ends(Signal::TERM);
        let server = match kind {
            "unix-dgram" => {
                "s.bind(sys.argv[1]); print('ready', flush=True)\n\
                m, who = s.recvfrom(100); s.sendto(m[::-1], who)\n"
            }
            _ => {
                "s.bind(sys.argv[1]); s.listen(1); print('ready', flush=True)\n\
                s = s.accept()[0]; s.send(s.recv(100)[::-1])\n"
            }
        };
        let _ = fs::remove_file(&path);
        let mut python = Child::start(script(server));
        assert_eq!(python.line().as_deref(), Some("ready"));
        assert_eq!(run(&format!("call {address} stressed")).well(), "desserts\n", "{kind}");
        python.succeed();
    }
    drop(scratch);
}

/// Counts the bytes of each message, which C sees as the kernel gives them.
const C_SERVER: &str = r#"
    #include <stdio.h>
    #include <string.h>
    #include <sys/socket.h>
    #include <sys/un.h>
    #include <unistd.h>
    int main(int argc, char **argv) {
        struct sockaddr_un name = { .sun_family = AF_UNIX };
        strncpy(name.sun_path, argv[1], sizeof name.sun_path - 1);
        int s = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        if (argc > 2) {
            if (connect(s, (struct sockaddr *)&name, sizeof name)) return 1;
            return send(s, "from\0C", 6, 0) != 6 || send(s, "", 0, 0) != 0 || send(s, "!", 1, 0) != 1;
        }
        if (bind(s, (struct sockaddr *)&name, sizeof name) || listen(s, 1)) return 1;
        puts("ready"); fflush(stdout);
        int c = accept(s, 0, 0);
        char bytes[1000];
        ssize_t n;
        while ((n = recv(c, bytes, sizeof bytes, 0)) > 0) printf("%zd %.*s\n", n, (int)n, bytes);
        return n != 0;
    }
"#;

#[test]
fn a_c_program_has_packets() {
    let _test = test!();
    let (scratch, path) = socket();
    let program = compile_c(scratch.path(), "packets", C_SERVER, &[]);
    let program = program.to_str().unwrap();
    let mut server = Child::program(program, &[&path]);
    assert_eq!(server.line().as_deref(), Some("ready"));
    run(&format!("send unix-seqpacket:{path} one three")).well();
    assert_eq!(server.rest(), b"3 one\n5 three\n");
    server.succeed();
    fs::remove_file(&path).unwrap();
    let hearing = Hearing::start(scratch.path(), &[&format!("unix-seqpacket:{path}"), "--framing", "len"]);
    twixt_testkit::output(program, &[path.as_str(), "send"]);
    assert_eq!(hearing.all(), b"\x06\0\0\0from\0C\0\0\0\0\x01\0\0\0!");
}
