//! Peers that are not twixt: commands, the standard streams, socat, nc, cat and the shell.

use std::io::{Read, Write};
use std::time::Duration;

use rustix::fs::OFlags;
use twixt_address::Address;
use twixt_channel::{Duplex, Framing, Listener, Opening, Receiver, Sender};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{Child, command, scratch, test};

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(20))
}

fn kind<T: std::fmt::Debug>(outcome: twixt_os::Result<T>) -> ErrorKind {
    outcome.unwrap_err().kind()
}

#[test]
fn a_command_is_talked_with() {
    let mut sort = Duplex::open(&address("exec:sort")).unwrap();
    for word in ["pear", "apple", ""] {
        sort.send(word.as_bytes()).unwrap();
    }
    assert_eq!(kind(sort.send(b"two\nlines")), ErrorKind::InvalidInput);
    let (sender, mut receiver) = sort.split();
    sender.close(Wait::forever()).unwrap();
    let sorted: Vec<_> = receiver.messages().map(|message| message.unwrap().into_bytes()).collect();
    assert_eq!(sorted, [&b""[..], b"apple", b"pear"]);
    assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
}

#[test]
fn a_commands_output_is_received_while_it_runs() {
    let mut receiver = Receiver::open(&address("exec:echo one; read wait; printf two")).unwrap();
    assert_eq!(receiver.receive().unwrap().bytes(), b"one");
    drop(receiver);
    let mut receiver = Receiver::open(&address("exec:printf 'a\\0b\\nc'?framing=nul")).unwrap();
    assert_eq!(receiver.receive().unwrap().bytes(), b"a");
    assert_eq!(receiver.receive().unwrap().bytes(), b"b\nc");
    assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
    let mut receiver = Receiver::open(&address("exec:sleep 100 & exec sleep 100")).unwrap();
    assert_eq!(kind(receiver.try_receive()), ErrorKind::WouldBlock);
    assert_eq!(kind(receiver.receive_deadline(soon())), ErrorKind::TimedOut);
}

#[test]
fn a_commands_failure_is_told_once_before_its_end() {
    for (line, status) in [
        ("echo a; printf b; exit 3", "exit status: 3"),
        ("echo a; printf b; kill -9 $$", "signal: 9"),
        // It lives on when its output has ended.
        ("echo a; printf b; exec >&-; sleep 0.3; exit 3", "exit status: 3"),
    ] {
        let mut receiver = Receiver::open(&address(&format!("exec:{line}"))).unwrap();
        assert_eq!(receiver.receive().unwrap().bytes(), b"a");
        assert_eq!(receiver.receive().unwrap().bytes(), b"b");
        let error = receiver.receive().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Other, "{error}");
        assert!(error.to_string().contains(status), "{error}");
        assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
        assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
    }
    let mut receiver = Receiver::open(&address("exec:exec >&-; sleep 100")).unwrap();
    assert_eq!(kind(receiver.receive_deadline(soon())), ErrorKind::TimedOut);
    // Who still can be sent to is not waited for.
    let (sender, mut receiver) = Duplex::open(&address("exec:exec >&-; cat > /dev/null")).unwrap().split();
    assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
    drop(sender);
}

#[test]
fn closing_waits_for_what_the_command_does_with_its_input() {
    let directory = scratch();
    let file = directory.path().join("out");
    let mut sender = Sender::open(&address(&format!("exec:cat > {}", file.display()))).unwrap();
    sender.send(b"kept").unwrap();
    sender.close(Wait::forever()).unwrap();
    assert_eq!(std::fs::read(file).unwrap(), b"kept\n");

    let mut sender = Sender::open(&address("exec:read line; exit 7")).unwrap();
    sender.send(b"line").unwrap();
    let error = sender.close(Wait::forever()).unwrap_err();
    assert!(error.to_string().contains("exit status: 7"), "{error}");

    let sender = Sender::open(&address("exec:sleep 100")).unwrap();
    assert_eq!(kind(sender.close(Wait::until(soon()))), ErrorKind::TimedOut);
    let mut sender = Sender::open(&address("exec:exit 0")).unwrap();
    let error = loop {
        if let Err(error) = sender.send(b"to nobody") {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::PeerGone);
}

#[test]
fn the_standard_streams_are_lines_and_stay_as_they_are() {
    let test = test!();
    test.role("echoes", |_| {
        let mut stdio = Duplex::open(&address("-")).unwrap();
        let flags = || {
            let of = |stream: std::os::fd::BorrowedFd<'_>| rustix::fs::fcntl_getfl(stream).unwrap();
            use std::os::fd::AsFd;
            (of(std::io::stdin().as_fd()), of(std::io::stdout().as_fd()))
        };
        let before = flags();
        assert!(!before.0.contains(OFlags::NONBLOCK));
        assert_eq!(kind(stdio.receiver().try_receive()), ErrorKind::WouldBlock);
        assert_eq!(kind(stdio.receive_deadline(soon())), ErrorKind::TimedOut);
        // The test harness has begun a line.
        println!();
        stdio.send(b"ready").unwrap();
        while let Ok(message) = stdio.receive() {
            let answer = [b"= ", message.bytes()].concat();
            stdio.sender().send_deadline(&answer, Deadline::after(Duration::from_secs(60))).unwrap();
        }
        assert_eq!(flags(), before);
    });
    let mut child = test.child("echoes").spawn();
    let next = |child: &mut Child, line: &str| while child.line().unwrap() != line {};
    next(&mut child, "ready");
    for line in ["one", "", "two"] {
        child.tell(line);
        next(&mut child, &format!("= {line}"));
    }
    child.succeed();
}

#[test]
fn a_file_and_a_device_are_standard_streams_too() {
    let test = test!();
    test.role("reads", |_| {
        let mut stdin = Receiver::open(&address("-")).unwrap();
        let mut stdout = Sender::open(&address("-")).unwrap();
        assert_eq!(stdin.try_receive().unwrap().bytes(), b"first");
        assert_eq!(stdin.receive_deadline(soon()).unwrap().bytes(), b"last, without its end");
        assert_eq!(kind(stdin.receive()), ErrorKind::PeerGone);
        stdout.try_send(b"out").unwrap();
        stdout.send_deadline(b"of here", soon()).unwrap();
    });
    let directory = scratch();
    let file = |name| directory.path().join(name).display().to_string();
    std::fs::write(file("in"), "first\nlast, without its end").unwrap();
    let script = "in=$1 out=$2; shift 2; exec \"$@\" < \"$in\" > \"$out\"";
    let under = ["sh", "-c", script, "sh", &file("in"), &file("out")];
    test.child("reads").under(&under).spawn().succeed();
    assert!(std::fs::read_to_string(file("out")).unwrap().ends_with("out\nof here\n"));
    test.child("reads").under(&["sh", "-c", script, "sh", &file("in"), "/dev/null"]).spawn().succeed();
}

#[test]
fn a_standard_output_that_another_made_non_blocking_is_written_whole() {
    let test = test!();
    test.role("writes", |_| {
        let stdout = std::io::stdout();
        rustix::fs::fcntl_setfl(&stdout, rustix::fs::fcntl_getfl(&stdout).unwrap() | OFlags::NONBLOCK)
            .unwrap();
        Sender::open(&address("-")).unwrap().send(&[b'x'; 1_000_000]).unwrap();
        rustix::fs::fcntl_setfl(&stdout, rustix::fs::fcntl_getfl(&stdout).unwrap() - OFlags::NONBLOCK)
            .unwrap();
    });
    let mut child = test.child("writes").spawn();
    let all = child.rest();
    assert_eq!(all.iter().filter(|&&byte| byte == b'x').count() / 1_000_000, 1);
    child.succeed();
}

#[test]
fn cat_and_the_shell_speak_through_a_fifo() {
    let directory = scratch();
    let path = directory.path().join("fifo");
    let at = address(&format!("fifo:{}?create&framing=lines", path.display()));
    let mut receiver = Receiver::open(&at).unwrap();
    let script = format!("printf 'one\\ntwo\\nthree' > {}", path.display());
    Child::program("sh", &["-c", &script]).succeed();
    let lines: Vec<_> = receiver.messages().map(|message| message.unwrap().into_bytes()).collect();
    assert_eq!(lines, [&b"one"[..], b"two", b"three"]);
    drop(receiver);

    let mut cat = Child::program("cat", &[path]);
    let mut sender = Sender::open(&at).unwrap();
    sender.send(b"to cat").unwrap();
    sender.send(b"").unwrap();
    drop(sender);
    assert_eq!(cat.rest(), b"to cat\n\n");
    cat.succeed();
}

#[test]
fn socat_sends_and_receives_over_a_unix_socket() {
    let test = test!();
    if let Err(missing) = command("socat") {
        return test.skip(&missing);
    }
    let directory = scratch();
    let path = directory.path().join("socket").display().to_string();
    let mut receiver = Receiver::open(&address(&format!("unix:{path}?framing=lines"))).unwrap();
    let mut socat = Child::program("socat", &["-u", "-", &format!("UNIX-CONNECT:{path}")]);
    socat.tell("from socat");
    socat.tell("");
    assert_eq!(receiver.receive().unwrap().bytes(), b"from socat");
    assert_eq!(receiver.receive().unwrap().bytes(), b"");
    socat.succeed();
    assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
    drop(receiver);

    // The other way round: socat listens, and answers what it is sent.
    let serve = format!("UNIX-LISTEN:{path}");
    let socat = Child::program("socat", &[&serve, "EXEC:tr a-z A-Z"]);
    let client = loop {
        match Duplex::open(&address(&format!("unix:{path}?framing=lines"))) {
            Ok(client) => break client,
            Err(error) => assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NoPeer), "{error}"),
        }
    };
    let (mut sender, mut receiver) = client.split();
    sender.send(b"shout").unwrap();
    sender.send(b"louder").unwrap();
    drop(sender);
    assert_eq!(receiver.receive().unwrap().bytes(), b"SHOUT");
    assert_eq!(receiver.receive().unwrap().bytes(), b"LOUDER");
    assert_eq!(kind(receiver.receive()), ErrorKind::PeerGone);
    socat.succeed();
}

#[test]
fn nc_is_a_client_of_both_kinds() {
    let test = test!();
    if let Err(missing) = command("nc") {
        return test.skip(&missing);
    }
    let listener = Opening::new(&address("tcp:127.0.0.1:0")).framing(Framing::Raw).listener().unwrap();
    let endpoint = listener.address().unwrap().to_string();
    let port = endpoint.rsplit_once(':').unwrap().1;
    let mut nc = Child::program("nc", &["127.0.0.1", port]);
    let mut server = listener.accept().unwrap();
    nc.tell("hello");
    assert_eq!(server.receive().unwrap().bytes(), b"hello\n");
    server.send(b"\0 and any bytes").unwrap();
    drop(server);
    nc.close_stdin();
    assert_eq!(nc.rest(), b"\0 and any bytes");

    let directory = scratch();
    let path = directory.path().join("socket").display().to_string();
    let listener = Listener::open(&address(&format!("unix:{path}?framing=lines"))).unwrap();
    let mut nc = Child::program("nc", &["-U", &path]);
    let mut server = listener.accept().unwrap();
    nc.tell("hello");
    assert_eq!(server.receive().unwrap().bytes(), b"hello");
    server.send(b"goodbye").unwrap();
    drop(server);
    nc.close_stdin();
    assert_eq!(nc.rest(), b"goodbye\n");
}

#[test]
fn any_bytes_arrive_as_they_were_sent() {
    let directory = scratch();
    let path = directory.path().join("socket").display().to_string();
    let mut random = vec![0; 3_000_000];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
    for framing in [Framing::Frame, Framing::Len, Framing::Raw] {
        let opening = Opening::new(&address(&format!("unix:{path}"))).framing(framing);
        let mut receiver = opening.receiver().unwrap();
        let mut sender = opening.sender().unwrap();
        let bytes = random.clone();
        let sending = std::thread::spawn(move || {
            for (number, piece) in bytes.chunks(100_003).enumerate() {
                if number % 2 == 0 {
                    sender.send(piece).unwrap();
                } else {
                    piece.chunks(997).for_each(|piece| sender.send(piece).unwrap());
                }
            }
        });
        let mut arrived = Vec::new();
        for message in receiver.messages() {
            arrived.write_all(message.unwrap().bytes()).unwrap();
        }
        assert!(arrived == random, "{framing}");
        sending.join().unwrap();
    }
}
