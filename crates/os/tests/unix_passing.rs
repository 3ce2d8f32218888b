//! What travels beside the bytes: descriptors without a leak, credentials that cannot be forged.

#[path = "support/sockets.rs"]
mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::Command;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{FdFlags, fcntl_getfd};
use rustix::process::{Pid, Resource, Rlimit, setrlimit};
use support::{INHERITED, fill, hand, kind, later, soon};
use twixt_os::unix::{Address, Attachments, Credentials, Datagram, Seqpacket, Stream, StreamListener};
use twixt_os::{Deadline, Errno, ErrorKind, Wait};
use twixt_testkit::{Child, compile_c, descriptors, root, scratch, test, under_storm};

/// So many pipes' write ends, and their read ends.
fn pipes(count: usize) -> (Vec<OwnedFd>, Vec<OwnedFd>) {
    (0..count)
        .map(|_| std::io::pipe().unwrap())
        .map(|(read, write)| (OwnedFd::from(read), OwnedFd::from(write)))
        .unzip()
}

fn borrow(descriptors: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    descriptors.iter().map(AsFd::as_fd).collect()
}

fn none() -> Attachments<'static> {
    Attachments::none()
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.pid())
}

#[test]
fn arrays_of_descriptors_arrive_in_order_and_leak_nothing() {
    let test = test!();
    test.role("receive", |peer| {
        let socket = Seqpacket::inherited(INHERITED).unwrap();
        let before = descriptors();
        let mut buffer = [0; 16];
        for count in [1, 64, 253, 64, 0] {
            let received = socket.receive_with(&mut buffer).unwrap().unwrap();
            assert_eq!((received.len, received.descriptors.len()), (4, count));
            assert_eq!(descriptors(), before + count);
            for (number, descriptor) in received.descriptors.into_iter().enumerate() {
                assert!(fcntl_getfd(&descriptor).unwrap().contains(FdFlags::CLOEXEC));
                File::from(descriptor).write_all(&[number as u8]).unwrap();
            }
            assert_eq!(descriptors(), before);
        }
        // Those that nobody takes go with the message, and a plain receive lets none in.
        drop(socket.receive_with(&mut buffer).unwrap());
        assert_eq!(descriptors(), before);
        assert_eq!(socket.receive(&mut buffer).unwrap(), Some(4));
        assert_eq!(descriptors(), before);
        peer.say("no leak");
    });
    let (socket, there) = Seqpacket::pair().unwrap();
    let mut child = hand(there, test.child("receive"));
    for count in [1, 64, 253, 64, 0] {
        let (read, write) = pipes(count);
        socket.send_with(b"take", &Attachments::descriptors(&borrow(&write))).unwrap();
        drop(write);
        for (number, read) in read.into_iter().enumerate() {
            let mut bytes = Vec::new();
            // The end comes only when the receiver, and it alone, has closed its copy.
            File::from(read).read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, [number as u8]);
        }
    }
    for _ in 0..2 {
        let (_read, write) = pipes(253);
        socket.send_with(b"drop", &Attachments::descriptors(&borrow(&write))).unwrap();
    }
    child.expect("no leak");
    child.succeed();
}

#[test]
fn two_hundred_and_fifty_four_are_refused() {
    let _test = test!();
    let (_read, write) = pipes(1);
    let many = vec![write[0].as_fd(); 254];
    let (stream, _a) = Stream::pair().unwrap();
    let (datagram, _b) = Datagram::pair().unwrap();
    let (seqpacket, other) = Seqpacket::pair().unwrap();
    let attachments = Attachments::descriptors(&many);
    for error in [
        stream.send_with(b"x", &attachments).unwrap_err(),
        datagram.send_with(b"x", None, &attachments).unwrap_err(),
        seqpacket.send_with(b"x", &attachments).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, None));
        let limit = error.limit().unwrap();
        assert_eq!(
            (limit.name, limit.current, limit.needed),
            ("SCM_MAX_FD", Some(253), Some(254)),
            "{error}"
        );
    }
    // One less, the same one each time, is taken.
    seqpacket.send_with(b"x", &Attachments::descriptors(&many[..253])).unwrap();
    let received = other.receive_with(&mut [0; 4]).unwrap().unwrap();
    assert_eq!(received.descriptors.len(), 253);
}

#[test]
fn a_descriptor_limit_that_cuts_the_array_is_an_error_without_a_leak() {
    let test = test!();
    test.role("receive", |peer| {
        let socket = Seqpacket::inherited(INHERITED).unwrap();
        let before = descriptors();
        let room = before as u64 + 20;
        // The count has one descriptor of its own, of the directory. The socket's number may lie above.
        setrlimit(Resource::Nofile, Rlimit { current: Some(room), maximum: Some(1024) }).unwrap();
        let mut buffer = [0; 16];
        peer.say("limited");
        let error = socket.receive_with(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitReached, "{error}");
        assert_eq!(error.limit().unwrap().name, "RLIMIT_NOFILE");
        assert_eq!(&buffer[..4], b"take", "the bytes are there");
        assert_eq!(descriptors(), before);
        // And the next message is received as if nothing had been.
        let received = socket.receive_with(&mut buffer).unwrap().unwrap();
        assert_eq!(received.descriptors.len(), 3);
        drop(received);
        assert_eq!(descriptors(), before);
        peer.say("no leak");
    });
    let (socket, there) = Seqpacket::pair().unwrap();
    let mut child = hand(there, test.child("receive"));
    child.expect("limited");
    let (read, write) = pipes(64);
    socket.send_with(b"take", &Attachments::descriptors(&borrow(&write))).unwrap();
    socket.send_with(b"more", &Attachments::descriptors(&borrow(&write[..3]))).unwrap();
    drop(write);
    child.expect("no leak");
    for read in read {
        assert_eq!(File::from(read).read(&mut [0; 1]).unwrap(), 0);
    }
    child.succeed();
}

#[test]
fn on_a_stream_a_byte_must_go_along() {
    let _test = test!();
    let (one, other) = Stream::pair().unwrap();
    let (_read, write) = pipes(1);
    let attachments = [write[0].as_fd()];
    let error = one.send_with(b"", &Attachments::descriptors(&attachments)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    one.send_with(b"", &none()).unwrap();
    one.send_with(b"plain", &none()).unwrap();
    one.send_with(b"with", &Attachments::descriptors(&attachments)).unwrap();
    one.send_all(b"out").unwrap();
    let mut buffer = [0; 64];
    let received = other.receive_with(&mut buffer).unwrap();
    // What was sent before comes along, what was sent after does not.
    assert_eq!((&buffer[..received.len], received.descriptors.len()), (&b"plainwith"[..], 1));
    let received = other.receive_with(&mut buffer).unwrap();
    assert_eq!((&buffer[..received.len], received.descriptors.len()), (&b"out"[..], 0));
    // Nor do the descriptors of two messages come at once.
    for _ in 0..2 {
        one.send_with(b"with", &Attachments::descriptors(&attachments)).unwrap();
    }
    for _ in 0..2 {
        let received = other.receive_with(&mut buffer).unwrap();
        assert_eq!((received.len, received.descriptors.len()), (4, 1));
    }
    // Datagrams may be empty.
    let (one, other) = Datagram::pair().unwrap();
    one.send_with(b"", None, &Attachments::descriptors(&attachments)).unwrap();
    assert_eq!(other.receive_with(&mut buffer).unwrap().descriptors.len(), 1);
}

#[test]
fn a_partial_write_sends_the_descriptors_once() {
    let test = test!();
    const LEN: usize = 4 << 20;
    test.role("receive", |peer| {
        let stream = Stream::inherited(INHERITED).unwrap();
        let (mut bytes, mut count) = (0, 0);
        let mut buffer = vec![0; 100_000];
        peer.wait_for("go");
        while bytes < LEN {
            let received = stream.receive_with(&mut buffer).unwrap();
            assert!(received.len > 0);
            bytes += received.len;
            count += received.descriptors.len();
        }
        peer.say(&count.to_string());
    });
    let (_read, write) = pipes(2);
    let two = borrow(&write);
    let attachments = Attachments::descriptors(&two);
    // In one blocking call, and in pieces by deadlines.
    for pieces in [false, true] {
        let (stream, there) = Stream::pair().unwrap();
        let mut child = hand(there, test.child("receive"));
        let bytes = vec![1; LEN];
        if pieces {
            let mut sent = 0;
            let wait = Wait::until(soon());
            assert_eq!(
                kind(stream.send_with_counted(&bytes, &attachments, &mut sent, wait)),
                ErrorKind::TimedOut
            );
            assert!(sent > 0 && sent < LEN);
            child.tell("go");
            let wait = Wait::until(later());
            stream.send_with_counted(&bytes, &attachments, &mut sent, wait).unwrap();
        } else {
            child.tell("go");
            stream.send_with(&bytes, &attachments).unwrap();
        }
        child.expect("2");
        child.succeed();
    }
}

#[test]
fn too_many_under_way_name_the_limit() {
    let test = test!();
    test.role("flood", |peer| {
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: Some(64) }).unwrap();
        let (one, other) = Datagram::pair().unwrap();
        let file = File::open("/dev/null").unwrap();
        let many = vec![file.as_fd(); 50];
        let attachments = Attachments::descriptors(&many);
        let error = loop {
            if let Err(error) = one.try_send_with(b"x", None, &attachments) {
                break error;
            }
        };
        assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::TOOMANYREFS)));
        let limit = error.limit().unwrap();
        assert_eq!((limit.name, limit.current), ("RLIMIT_NOFILE", Some(64)), "{error}");
        peer.say("told");
        drop(other);
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let mut child = test.child("flood").as_nobody().spawn();
    child.expect("told");
    child.succeed();
}

#[test]
fn each_message_brings_its_sender() {
    let test = test!();
    test.role("send", |_| {
        let socket = Datagram::inherited(INHERITED).unwrap();
        socket.send(b"one").unwrap();
        socket.send_with(b"two", None, &none().with_credentials(Credentials::own())).unwrap();
    });
    let (socket, there) = Datagram::pair().unwrap();
    let mut buffer = [0; 16];
    there.send(b"before").unwrap();
    socket.set_pass_credentials(true).unwrap();
    // Sent when nobody had asked: of nobody.
    let credentials = socket.receive_with(&mut buffer).unwrap().credentials.unwrap();
    assert_eq!(credentials.pid, None);
    let mut child = hand(there, test.child("send"));
    let sender = pid(&child);
    child.wait();
    for _ in 0..2 {
        let credentials = socket.receive_with(&mut buffer).unwrap().credentials.unwrap();
        assert_eq!(
            credentials,
            Credentials { pid: sender, ..Credentials::own() },
            "though the sender has ended"
        );
    }
    socket.set_pass_credentials(false).unwrap();
    let (one, other) = Stream::pair().unwrap();
    one.send(b"x").unwrap();
    let received = other.receive_with(&mut buffer).unwrap();
    assert!(received.credentials.is_none() && received.pidfd.is_none() && received.from.is_unnamed());
    other.set_pass_credentials(true).unwrap();
    one.send(b"x").unwrap();
    assert_eq!(other.receive_with(&mut buffer).unwrap().credentials, Some(Credentials::own()));
}

#[test]
fn credentials_cannot_be_forged() {
    let test = test!();
    test.role("forge", |peer| {
        let (one, other) = Seqpacket::pair().unwrap();
        let own = Credentials::own();
        let forged = [
            Credentials { pid: Pid::from_raw(1), ..own },
            Credentials { uid: 0, ..own },
            Credentials { gid: 0, ..own },
        ];
        for forged in forged {
            let error = one.send_with(b"trust me", &none().with_credentials(forged)).unwrap_err();
            assert_eq!((error.kind(), error.errno()), (ErrorKind::PermissionDenied, Some(Errno::PERM)));
            assert!(error.advice().unwrap().contains("its own credentials"), "{error}");
        }
        one.send_with(b"honest", &none().with_credentials(own)).unwrap();
        let received = other.receive_with(&mut [0; 16]).unwrap().unwrap();
        assert_eq!((received.len, received.credentials), (6, Some(own)));
        peer.say("honest");
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let mut child = test.child("forge").as_nobody().spawn();
    child.expect("honest");
    child.succeed();
}

#[test]
fn a_pidfd_follows_the_peer() {
    let test = test!();
    test.role("client", |peer| {
        let stream = Stream::connect(&peer.arg(0).parse().unwrap()).unwrap();
        peer.say("connected");
        peer.wait_for("send");
        stream.send(b"x").unwrap();
        peer.wait_for("end");
    });
    let address = support::name();
    let listener = StreamListener::bind(&address).unwrap();
    let mut client = test.child("client").arg(address).spawn();
    client.expect("connected");
    let server = listener.accept_deadline(later()).unwrap();
    let of_connection = match server.peer_pidfd() {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            assert!(error.advice().unwrap().contains("6.5"));
            return test.skip(&twixt_testkit::Missing("SO_PEERPIDFD (Linux 6.5)".into()));
        }
        pidfd => pidfd.unwrap(),
    };
    server.set_pass_pidfd(true).unwrap();
    client.tell("send");
    let of_message = server.receive_with(&mut [0; 4]).unwrap().pidfd.unwrap();
    let ended = |timeout| {
        [&of_connection, &of_message]
            .map(|pidfd| poll(&mut [PollFd::new(pidfd, PollFlags::IN)], timeout).unwrap() == 1)
    };
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    assert_eq!(ended(Some(&now)), [false; 2]);
    for pidfd in [&of_connection, &of_message] {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
        assert!(info.contains(&format!("Pid:\t{}\n", client.pid())), "{info}");
        assert!(fcntl_getfd(pidfd).unwrap().contains(FdFlags::CLOEXEC));
    }
    client.kill();
    assert_eq!(ended(None), [true; 2]);
}

#[test]
fn pidfds_that_nobody_asked_for_are_closed() {
    let test = test!();
    test.role("count", |peer| {
        let (one, other) = Stream::pair().unwrap();
        if other.set_pass_pidfd(true).is_ok() {
            let before = descriptors();
            for _ in 0..10 {
                one.send(b"x").unwrap();
                drop(other.receive_with(&mut [0; 4]).unwrap());
                one.send(b"x").unwrap();
                other.receive(&mut [0; 4]).unwrap();
            }
            assert_eq!(descriptors(), before);
        }
        peer.say("no leak");
    });
    let mut child = test.child("count").spawn();
    child.expect("no leak");
    child.succeed();
}

#[test]
fn passing_waits_in_every_form() {
    let test = test!();
    test.role("stream", |peer| {
        let stream = Stream::inherited(INHERITED).unwrap();
        let file = File::open("/dev/null").unwrap();
        let (one, attachments) = ([file.as_fd()], Attachments::none());
        let attachments = if peer.arg(0).is_empty() { attachments } else { Attachments::descriptors(&one) };
        let mut buffer = [0; 8];
        let outcome = under_storm(peer, || match peer.arg(0).as_str() {
            "receive block" => stream.receive_with(&mut buffer).map(|received| received.len),
            "receive deadline" => {
                stream.receive_with_deadline(&mut buffer, later()).map(|received| received.len)
            }
            "receive interruptible" => {
                stream.receive_with_interruptible(&mut buffer).map(|received| received.len)
            }
            "send block" => stream.send_with(b"four", &attachments).map(|()| 4),
            "send deadline" => stream.send_with_deadline(b"four", &attachments, later()).map(|()| 4),
            "send interruptible" => stream.send_with_interruptible(b"four", &attachments).map(|()| 4),
            other => unreachable!("{other}"),
        });
        match outcome {
            Ok(len) => peer.say(&len.to_string()),
            Err(error) => peer.say(&format!("{:?}", error.kind())),
        }
    });
    let mut buffer = vec![0; 1 << 20];
    for operation in ["receive", "send"] {
        for form in ["block", "deadline", "interruptible"] {
            let (stream, there) = Stream::pair().unwrap();
            assert_eq!(kind(there.try_receive_with(&mut buffer)), ErrorKind::WouldBlock);
            assert_eq!(kind(there.receive_with_deadline(&mut buffer, Deadline::now())), ErrorKind::TimedOut);
            let mut full = 0;
            if operation == "send" {
                fill(|| there.try_send(&[0; 4096]).map(|sent| full += sent));
                assert_eq!(kind(there.try_send_with(b"x", &none())), ErrorKind::WouldBlock);
                assert_eq!(kind(there.send_with_deadline(b"x", &none(), soon())), ErrorKind::TimedOut);
            }
            let mut child = hand(there, test.child("stream").arg(format!("{operation} {form}")));
            let mut said = [child.hear(), String::new()];
            if form == "interruptible" {
                said[1] = child.hear();
                said.sort();
                assert_eq!(said, ["Interrupted", "stormed"]);
            } else {
                assert_eq!(said[0], "stormed");
                if operation == "send" {
                    stream.receive_exact_deadline(&mut buffer[..full], later()).unwrap();
                    let received = stream.receive_with_deadline(&mut buffer, later()).unwrap();
                    assert_eq!((received.len, received.descriptors.len()), (4, 1));
                } else {
                    stream.send_all(b"four").unwrap();
                }
                child.expect("4");
            }
            child.succeed();
        }
    }
}

const C_PEER: &str = r#"
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
/* Receives two descriptors, writes through the first, and passes the second back. */
int main(int argc, char **argv) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char byte, room[CMSG_SPACE(2 * sizeof(int))];
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *c;
    int fds[2], s = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(a.sun_path, argv[1]);
    alarm(60);
    if (connect(s, (void *)&a, sizeof a)) return 1;
    if (recvmsg(s, &m, 0) != 1 || byte != 'd' || (m.msg_flags & MSG_CTRUNC)) return 2;
    c = CMSG_FIRSTHDR(&m);
    if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof fds)) return 3;
    memcpy(fds, CMSG_DATA(c), sizeof fds);
    if (write(fds[0], "from C", 6) != 6) return 4;
    m.msg_controllen = CMSG_SPACE(sizeof(int));
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fds[1], sizeof(int));
    return sendmsg(s, &m, 0) == 1 ? 0 : 5;
}
"#;

#[test]
fn a_c_program_gives_and_takes_descriptors() {
    let _test = test!();
    let scratch = scratch();
    let program = compile_c(scratch.path(), "peer", C_PEER, &[]);
    let path = scratch.path().join("s");
    let listener = StreamListener::bind(&Address::path(&path).unwrap()).unwrap();
    let mut peer = Command::new(program).arg(&path).spawn().unwrap();
    let server = listener.accept_deadline(later()).unwrap();
    let (read, write) = pipes(2);
    let pair = [write[0].as_fd(), write[1].as_fd()];
    server.send_with_deadline(b"d", &Attachments::descriptors(&pair), later()).unwrap();
    let mut back = server.receive_with_deadline(&mut [0; 1], later()).unwrap().descriptors;
    assert_eq!(back.len(), 1);
    let mut text = [0; 6];
    File::from(read[0].try_clone().unwrap()).read_exact(&mut text).unwrap();
    assert_eq!(&text, b"from C");
    File::from(back.remove(0)).write_all(b"and back").unwrap();
    let mut text = [0; 8];
    File::from(read[1].try_clone().unwrap()).read_exact(&mut text).unwrap();
    assert_eq!(&text, b"and back");
    assert!(peer.wait().unwrap().success());
}
