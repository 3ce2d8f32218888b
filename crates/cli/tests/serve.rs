//! `twixt serve`: commands for connections and messages, with other programs on the other side.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use twixt::os::Mode;
use twixt::os::inherit::PassDescriptors;
use twixt::os::posix::mq;
use twixt_testkit::{TempDir, command, scratch, test, unique_name};

#[path = "support/process.rs"]
mod process;
#[path = "support/service.rs"]
mod service;
#[path = "support/tool.rs"]
mod tool;
use process::{children, lives, until};
use service::Service;
use tool::{end, run, twixt};

fn socket() -> (TempDir, String) {
    let scratch = scratch();
    let path = scratch.path().join("socket").display().to_string();
    (scratch, path)
}

fn said_by(mut connection: impl Read) -> String {
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn each_connection_has_a_command() {
    let _test = test!();
    let (_scratch, path) = socket();
    let service =
        Service::of(&[&format!("unix:{path}")], "read line; echo $TWIXT_NUMBER got $line from $TWIXT_UID");
    assert_eq!(service.name, format!("unix:{path}"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let mut first = UnixStream::connect(&path).unwrap();
    until("it has a number", || !children(service.pid()).is_empty());
    let mut second = UnixStream::connect(&path).unwrap();
    second.write_all(b"two\n").unwrap();
    let uid = rustix::process::getuid().as_raw();
    assert_eq!(said_by(second), format!("2 got two from {uid}\n"), "both at once");
    first.write_all(b"one\n").unwrap();
    assert_eq!(said_by(first), format!("1 got one from {uid}\n"));
    until("none is left, not even as a zombie", || {
        let threads = fs::read_dir(format!("/proc/{}/task", service.pid())).unwrap().flatten();
        threads.into_iter().all(|thread| {
            fs::read_to_string(thread.path().join("children")).is_ok_and(|children| children.is_empty())
        })
    });
    service.ends(Signal::TERM);
    assert!(!fs::exists(&path).unwrap(), "the socket is removed");
}

#[test]
fn tcp_and_seqpacket() {
    let _test = test!();
    let service = Service::of(&["tcp:127.0.0.1:0"], "echo from $TWIXT_SOURCE; cat");
    let mut connection = TcpStream::connect(service.name.strip_prefix("tcp:").unwrap()).unwrap();
    connection.write_all(b"hello").unwrap();
    connection.shutdown(std::net::Shutdown::Write).unwrap();
    let own = connection.local_addr().unwrap();
    assert_eq!(said_by(connection), format!("from {own}\nhello"));
    service.ends(Signal::INT);
    let (_scratch, path) = socket();
    let service =
        Service::of(&[&format!("unix-seqpacket:{path}?mode=0666")], "dd bs=100 count=1 2>/dev/null");
    assert_eq!(run(&format!("call unix-seqpacket:{path} packet")).well(), "packet\n");
    service.ends(Signal::HUP);
    let name = unique_name();
    let service = Service::of(&[&format!("unix:@{name}")], "cat");
    assert_eq!(run(&format!("call unix:@{name}?framing=raw hello")).well(), "hello");
    service.ends(Signal::QUIT);
}

#[test]
fn curl_and_others_are_served() {
    let test = test!();
    if let Err(missing) = command("curl").and_then(|()| command("socat")).and_then(|()| command("nc")) {
        return test.skip(&missing);
    }
    let (_scratch, path) = socket();
    let http = r#"while read -r line && [ "${#line}" -gt 1 ]; do [ -n "$request" ] || request=$line; done
        body="you asked: $request"
        printf 'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s' "${#body}" "$body""#;
    let service = Service::of(&[&format!("unix:{path}")], http);
    for _ in 0..5 {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--unix-socket", &path, "http://localhost/some/page"]);
        assert_eq!(end(curl).well().trim_end(), "you asked: GET /some/page HTTP/1.1");
    }
    service.ends(Signal::TERM);
    let service = Service::of(&[&format!("unix:{path}")], "tr a-z A-Z");
    for line in
        [format!("echo hello | socat -t60 - UNIX-CONNECT:{path}"), format!("echo hello | nc -NU {path}")]
    {
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]);
        assert_eq!(end(shell).well(), "HELLO\n");
    }
    service.ends(Signal::TERM);
}

#[test]
fn each_message_of_a_connection_has_one() {
    let _test = test!();
    let (_scratch, path) = socket();
    let service = Service::of(&["--per-message", &format!("unix:{path}?framing=lines")], "tr a-z A-Z; echo");
    let mut connection = UnixStream::connect(&path).unwrap();
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    for word in ["one", "two", ""] {
        writeln!(connection, "{word}").unwrap();
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, format!("{}\n", word.to_uppercase()));
    }
    assert_eq!(run(&format!("call unix:{path} --framing lines three")).well(), "THREE\n", "at the same time");
    // An idle connection keeps nobody from ending.
    service.ends(Signal::TERM);
    assert_eq!(said_by(reader), "");
    let service = Service::of(
        &["--per-message", &format!("unix:{path}")],
        "cat; printf ' %s %s' $TWIXT_NUMBER $TWIXT_LENGTH; for fd in $TWIXT_FDS; do [ $fd = 0 ] || cat <&3; done",
    );
    assert_eq!(run(&format!("call unix:{path} hello")).well(), "hello 1 5\n");
    // What it prints nothing for, it does not answer.
    service.ends(Signal::TERM);
    let service = Service::of(&["--per-message", &format!("unix:{path}")], "exit 3");
    run(&format!("call unix:{path} hello")).fails(5, "not answered");
    service.says("connection 1 is closed after message 1: sh ended with status 3");
    service.ends(Signal::TERM);
}

#[test]
fn those_who_say_nothing_hold_up_nobody() {
    let _test = test!();
    let (_scratch, path) = socket();
    let address = format!("unix:{path}?framing=lines");
    let service = Service::of(&["--per-message", "--max", "1", &address], "tr a-z A-Z; echo");
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", service.pid())).unwrap().count();
    let threads = || fs::read_dir(format!("/proc/{}/task", service.pid())).unwrap().count();
    let (open, running) = (descriptors(), threads());
    let mut silent: Vec<_> = (0..200).map(|_| UnixStream::connect(&path).unwrap()).collect();
    // Half a message is none yet.
    silent[7].write_all(b"half").unwrap();
    for _ in 0..3 {
        assert_eq!(run(&format!("call unix:{path} --framing lines word")).well(), "WORD\n");
    }
    // Each of them is heard when it has something to say, and two messages at once are two.
    for (number, connection) in silent.iter_mut().enumerate().step_by(50) {
        write!(connection, "number {number}\nanother\n").unwrap();
        let mut reader = BufReader::new(connection.try_clone().unwrap());
        for expected in [format!("NUMBER {number}\n"), "ANOTHER\n".to_owned()] {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            assert_eq!(line, expected);
        }
    }
    silent[7].write_all(b"way\n").unwrap();
    let mut line = String::new();
    BufReader::new(&silent[7]).read_line(&mut line).unwrap();
    assert_eq!(line, "HALFWAY\n");
    // What has gone leaves nothing behind.
    drop(silent);
    while descriptors() > open || threads() > running {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    service.ends(Signal::TERM);
}

#[test]
fn more_connections_than_descriptors_wait() {
    let _test = test!();
    let (_scratch, path) = socket();
    let mut shell = Command::new("sh");
    let script = "ulimit -n 64; exec \"$0\" serve --per-message \"$1\" -- cat";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_twixt"), &format!("unix:{path}?framing=lines")]);
    let service = Service::start(shell);
    service.says("no more than");
    let mut silent: Vec<_> = (0..30).map(|_| UnixStream::connect(&path).unwrap()).collect();
    service.says("no more than");
    // The last ones are let in when the first have gone.
    let mut last = silent.pop().unwrap();
    last.write_all(b"hello\n").unwrap();
    drop(silent);
    let mut line = String::new();
    BufReader::new(&last).read_line(&mut line).unwrap();
    assert_eq!(line, "hello\n");
    service.ends(Signal::TERM);
}

#[test]
fn datagrams_are_answered() {
    let _test = test!();
    let (scratch, path) = socket();
    let service = Service::of(&[&format!("unix-dgram:{path}")], "cat; printf \" $TWIXT_SOURCE\"");
    let own = scratch.path().join("own");
    let client = UnixDatagram::bind(&own).unwrap();
    client.send_to(b"ping", &path).unwrap();
    let mut room = [0; 1000];
    let count = client.recv(&mut room).unwrap();
    assert_eq!(String::from_utf8_lossy(&room[..count]), format!("ping {}", own.display()));
    assert_eq!(
        run(&format!("call unix-dgram:{path} hello --timeout 60s")).well().split(' ').next(),
        Some("hello")
    );
    let long = vec![b'x'; 150_000];
    client.send_to(&long, &path).unwrap();
    let mut room = vec![0; 200_000];
    assert!(client.recv(&mut room).unwrap() > long.len(), "longer than the room was at first");
    service.ends(Signal::TERM);
    assert!(!fs::exists(&path).unwrap());

    let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    let service = Service::of(&[&format!("udp:127.0.0.1:{port}")], "tr a-z A-Z");
    assert_eq!(run(&format!("call udp:127.0.0.1:{port} hello --timeout 60s")).well(), "HELLO\n");
    service.ends(Signal::TERM);
}

#[test]
fn a_queue_is_worked_off_in_its_order() {
    let _test = test!();
    let scratch = scratch();
    let name = format!("/{}", unique_name());
    let queue = mq::Queue::create(&name, mq::Access::ReadWrite, None, Mode::OWNER).unwrap();
    let _guard = queue.unlink_on_drop();
    for number in 0..5 {
        queue.send(format!("job {number}\n").as_bytes(), mq::Priority::LOWEST).unwrap();
    }
    let done = scratch.path().join("done");
    let script = format!("cat >> {0}; echo $TWIXT_PRIORITY >> {0}", done.display());
    let service = Service::of(&[&format!("posix-mq:{name}")], &script);
    until("worked off", || fs::read_to_string(&done).is_ok_and(|text| text.lines().count() == 10));
    let expected: String = (0..5).map(|number| format!("job {number}\n0\n")).collect();
    assert_eq!(fs::read_to_string(&done).unwrap(), expected);
    service.ends(Signal::TERM);
    // What fails is saved, and the service goes on.
    let mut command = twixt(["serve", &format!("posix-mq:{name}"), "--", "sh", "-c", "exit 7"]);
    command.env("TMPDIR", scratch.path()).current_dir("/");
    let service = Service::start(command);
    queue.send(b"bad one\n", mq::Priority::LOWEST).unwrap();
    let line =
        service.says("message 1 was received and not dealt with: sh ended with status 7; it is saved in ");
    assert_eq!(fs::read(line.rsplit(' ').next().unwrap()).unwrap(), b"bad one\n");
    queue.send(b"second\n", mq::Priority::LOWEST).unwrap();
    service.says("message 2 was received");
    service.ends(Signal::TERM);
}

#[test]
fn a_queue_without_a_descriptor_is_left_by_ctrl_c() {
    let _test = test!();
    let made = run("mk sysv-msg:private").well();
    let address = made.trim();
    let _remove = tool::remove_at_end(address);
    let scratch = scratch();
    let done = scratch.path().join("done");
    let service = Service::of(&[address, "--max", "3"], &format!("cat >> {}", done.display()));
    run(&format!("send {address} hello")).well();
    until("done", || fs::read(&done).is_ok_and(|bytes| bytes == b"hello"));
    service.ends(Signal::INT);
}

#[test]
fn no_more_than_the_most_run_at_once() {
    let _test = test!();
    let (scratch, path) = socket();
    let inside = scratch.path().join("inside");
    fs::create_dir(&inside).unwrap();
    let script =
        format!("cd {}; : > $$; set -- *; [ $# -le 3 ] && echo ok || echo $#; rm $$", inside.display());
    let service = Service::of(&[&format!("unix:{path}"), "--max", "3"], &script);
    let callers: Vec<_> = (0..40)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || said_by(UnixStream::connect(path).unwrap()))
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.join().unwrap(), "ok\n");
    }
    service.ends(Signal::TERM);
}

#[test]
fn ending_finishes_what_runs_and_asking_twice_kills_it() {
    let _test = test!();
    let (_scratch, path) = socket();
    let mut service = Service::of(&[&format!("unix:{path}")], "echo in; read line; echo got $line");
    let mut connection = UnixStream::connect(&path).unwrap();
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    service.signal(Signal::TERM);
    until("nobody can connect", || !fs::exists(&path).unwrap());
    assert!(service.child.try_wait().unwrap().is_none(), "it waits for its command");
    connection.write_all(b"more\n").unwrap();
    assert_eq!(said_by(reader), "got more\n");
    assert_eq!(service.child.wait().unwrap().code(), Some(0));

    let mut service = Service::of(&[&format!("unix:{path}")], "echo in; sleep 1000");
    let mut reader = BufReader::new(UnixStream::connect(&path).unwrap());
    reader.read_line(&mut line).unwrap();
    until("asleep", || children(service.pid()).iter().any(|child| !children(*child).is_empty()));
    let shell = children(service.pid())[0];
    let sleep = children(shell)[0];
    service.signal(Signal::INT);
    until("nobody can connect", || !fs::exists(&path).unwrap());
    service.signal(Signal::INT);
    assert_eq!(service.child.wait().unwrap().code(), Some(130));
    until("all have gone", || !lives(shell) && !lives(sleep));
}

#[test]
fn a_failing_command_does_not_end_the_service() {
    let _test = test!();
    let (_scratch, path) = socket();
    let service = Service::of(&[&format!("unix:{path}")], "read line; eval $line");
    for (line, end) in [
        ("exit 4", "connection 1: sh ended with status 4"),
        ("kill -9 $$", "connection 2: sh was ended by SIGKILL"),
    ] {
        let mut connection = UnixStream::connect(&path).unwrap();
        writeln!(connection, "{line}").unwrap();
        assert_eq!(said_by(connection), "");
        service.says(end);
    }
    service.ends(Signal::TERM);
    run(&format!("serve unix:{path} -- /nowhere/at/all")).fails(127, "there is no such program");
    run(&format!("serve unix:{path} -- /etc/passwd")).fails(126, "cannot be executed");
    assert!(!fs::exists(&path).unwrap());
}

#[test]
fn no_descriptor_and_no_mask_leaks() {
    let _test = test!();
    let (_scratch, path) = socket();
    let address = format!("unix:{path}");
    for look in [&["ls", "/proc/self/fd"], &["grep", "SigBlk", "/proc/self/status"]] as [&[&str]; 2] {
        let mut plain = Command::new(look[0]);
        plain.args(&look[1..]).stdin(Stdio::null());
        let expected = String::from_utf8(plain.output().unwrap().stdout).unwrap();
        let service = Service::start(twixt([&["serve", &address, "--"], look].concat()));
        for _ in 0..3 {
            let (one, other) = (UnixStream::connect(&path).unwrap(), UnixStream::connect(&path).unwrap());
            assert_eq!(said_by(other), expected);
            assert_eq!(said_by(one), expected);
        }
        service.ends(Signal::TERM);
        let service = Service::start(twixt([&["serve", "--per-message", &address, "--"], look].concat()));
        assert_eq!(run(&format!("call {address} x")).well(), format!("{expected}\n"));
        service.ends(Signal::TERM);
    }
}

/// Runs twixt with LISTEN_PID of its own, as systemd does.
fn activated(arguments: &[&str], sockets: Vec<OwnedFd>) -> Command {
    let mut shell = Command::new("sh");
    let script = "export LISTEN_PID=$$; exec \"$0\" \"$@\"";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_twixt")]).args(arguments);
    shell.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", "x").stdin(Stdio::null());
    shell.pass_descriptors(sockets.into_iter().zip(3..)).unwrap();
    shell
}

#[test]
fn sockets_that_were_opened_by_another_are_served() {
    let _test = test!();
    let (scratch, path) = socket();
    let listener = UnixListener::bind(&path).unwrap();
    let copy = || listener.as_fd().try_clone_to_owned().unwrap();
    let service = Service::start(activated(
        &["serve", "--activated", "--", "sh", "-c", "cat; env | grep -c LISTEN; true"],
        vec![copy()],
    ));
    assert_eq!(service.name, format!("unix:{path}"));
    assert_eq!(run(&format!("call unix:{path}?framing=raw hello")).well(), "hello0\n");
    service.ends(Signal::TERM);
    assert!(fs::exists(&path).unwrap(), "it is not ours to remove");
    let service = Service::start(activated(&["serve", "fd:3", "--", "cat"], vec![copy()]));
    assert_eq!(run(&format!("call unix:{path}?framing=raw hello")).well(), "hello");
    service.ends(Signal::TERM);
    let service = Service::start(activated(&["serve", "fd:3", "--per-message", "--", "rev"], vec![copy()]));
    assert_eq!(run(&format!("call unix:{path} hello")).well(), "olleh\n");
    service.ends(Signal::TERM);
    // Several, of several kinds.
    let datagrams = scratch.path().join("datagrams");
    let datagram = UnixDatagram::bind(&datagrams).unwrap();
    let service =
        Service::start(activated(&["serve", "--activated", "--", "cat"], vec![copy(), datagram.into()]));
    assert_eq!(service.name, format!("unix:{path}, fd:4"));
    for _ in 0..3 {
        assert_eq!(run(&format!("call unix:{path}?framing=raw hello")).well(), "hello");
        assert_eq!(run(&format!("call unix-dgram:{} hello", datagrams.display())).well(), "hello\n");
    }
    service.ends(Signal::TERM);

    let mut others = twixt(["serve", "--activated", "--", "cat"]);
    others.env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    end(others).fails(2, "meant for another");
    run("serve --activated -- cat").fails(2, "LISTEN_PID is not set");
    run("serve fd:77 -- cat").fails(2, "there is no descriptor 77");
}

#[test]
fn systemd_activates_it() {
    let test = test!();
    if let Err(missing) = command("systemd-socket-activate") {
        return test.skip(&missing);
    }
    let (_scratch, path) = socket();
    let mut systemd = Command::new("systemd-socket-activate");
    systemd.args([
        "-l",
        &path,
        env!("CARGO_BIN_EXE_twixt"),
        "serve",
        "--activated",
        "--",
        "tr",
        "a-z",
        "A-Z",
    ]);
    let mut systemd = systemd.stderr(Stdio::null()).spawn().unwrap();
    until("listening", || UnixStream::connect(&path).is_ok());
    assert_eq!(run(&format!("call unix:{path}?framing=raw hello")).well(), "HELLO");
    assert!(process::signal(systemd.id() as i32, Signal::TERM));
    assert_eq!(systemd.wait().unwrap().code(), Some(0));
}

#[test]
fn wrong_use_is_refused() {
    let _test = test!();
    for (line, part) in [
        ("serve -- cat", "<ADDRESS>"),
        ("serve unix:/tmp/x", "<COMMAND>"),
        ("serve unix:/tmp/x --activated -- cat", "cannot be used with"),
        ("serve unix:/tmp/x?framing=lines -- cat", "--per-message cuts"),
        ("serve unix:/tmp/x --framing lines -- cat", "--framing is for"),
        ("serve fifo:/tmp/x --per-message -- cat", "--per-message is for connections"),
        ("serve unix:/tmp/x --create -- cat", "--create does not apply"),
        ("serve posix-sem:/x -- cat", "it carries no messages"),
        ("serve udp:127.0.0.1:9?timeout=1s -- cat", "option timeout means nothing here"),
    ] {
        run(line).fails(2, part);
    }
    run("serve fifo:/nowhere/at/all -- cat").fails(1, "/nowhere/at/all");
}

#[test]
fn who_was_let_in_is_served_though_descriptors_are_short() {
    let _test = test!();
    let (_scratch, path) = socket();
    let mut shell = Command::new("sh");
    let line = "ulimit -n 20; exec \"$0\" serve \"unix:$1\" -- sh -c 'sleep 0.05; cat'";
    shell.args(["-c", line, env!("CARGO_BIN_EXE_twixt"), &path]).stdin(Stdio::null());
    let service = Service::start(shell);
    service.says("no more than 1 at once");
    let calls: Vec<_> = (0..30)
        .map(|number| twixt(["call", &format!("unix:{path}?framing=raw"), &number.to_string()]))
        .map(|mut call| call.stdout(Stdio::piped()).spawn().unwrap())
        .collect();
    for (number, call) in calls.into_iter().enumerate() {
        let output = call.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), number.to_string());
    }
    service.ends(Signal::TERM);
}
