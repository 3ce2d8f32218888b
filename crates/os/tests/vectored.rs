//! Several slices in one system call, over everything that is a stream.

use std::fs::File;
use std::io::IoSlice;
use std::net::Shutdown;
use std::os::fd::AsFd;

use twixt_os::net::tcp;
use twixt_os::unix::{Attachments, Stream};
use twixt_os::{Deadline, ErrorKind, Result, Wait, pipe};
use twixt_testkit::strace::{ROUNDS, cost, expected};
use twixt_testkit::{test, under_storm};

const SLICES: [&[u8]; 4] = [b"one, ", b"", b"two, ", b"three"];

fn slices() -> [IoSlice<'static>; 4] {
    SLICES.map(IoSlice::new)
}

fn tcp_pair() -> (tcp::Stream, tcp::Stream) {
    let listener = tcp::Listener::bind("127.0.0.1:0").unwrap();
    let client = tcp::Stream::connect(listener.local_address().unwrap()).unwrap();
    (client, listener.accept().unwrap())
}

/// Every way of waiting, where it need not wait and where it must.
fn each_form(
    write: impl Fn(&[IoSlice<'_>], Wait) -> Result<usize>,
    try_write: impl Fn(&[IoSlice<'_>]) -> Result<usize>,
    read: impl Fn(&mut [u8]) -> Result<usize>,
) {
    let mut buffer = [0; 64];
    for wait in
        [Wait::forever(), Wait::never(), Wait::until(Deadline::now()), Wait::forever().interruptible()]
    {
        assert_eq!(write(&slices(), wait).unwrap(), 15);
        let read = read(&mut buffer).unwrap();
        assert_eq!(&buffer[..read], b"one, two, three");
    }
    let large = [0; 50_000];
    let many = [IoSlice::new(&large), IoSlice::new(&large)];
    let error = loop {
        if let Err(error) = try_write(&many) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert_eq!(write(&many, Wait::until(Deadline::now())).unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn slices_arrive_as_one() {
    let (reader, writer) = pipe::create().unwrap();
    each_form(
        |slices, wait| writer.write_vectored_wait(slices, wait),
        |slices| writer.try_write_vectored(slices),
        |buffer| reader.read(buffer),
    );
    let (one, other) = Stream::pair().unwrap();
    each_form(
        |slices, wait| one.send_vectored_wait(slices, wait),
        |slices| one.try_send_vectored(slices),
        |buffer| other.receive(buffer),
    );
    let (one, other) = tcp_pair();
    one.options().set_send_buffer(4096).unwrap();
    other.options().set_receive_buffer(4096).unwrap();
    each_form(
        |slices, wait| one.send_vectored_wait(slices, wait),
        |slices| one.try_send_vectored(slices),
        |buffer| other.receive(buffer),
    );
}

#[test]
fn a_peer_that_has_gone_is_an_error_and_no_signal() {
    let test = test!();
    test.role("alone", |_| {
        twixt_sys::pipe::default_sigpipe().unwrap();
        let (reader, writer) = pipe::create().unwrap();
        drop(reader);
        assert_eq!(writer.write_vectored(&slices()).unwrap_err().kind(), ErrorKind::PeerGone);
        let (one, other) = Stream::pair().unwrap();
        drop(other);
        assert_eq!(one.send_vectored(&slices()).unwrap_err().kind(), ErrorKind::PeerGone);
        let (one, _other) = tcp_pair();
        one.shutdown(Shutdown::Write).unwrap();
        assert_eq!(one.send_vectored(&slices()).unwrap_err().kind(), ErrorKind::PeerGone);
    });
    test.child("alone").spawn().succeed();
}

#[test]
fn attachments_go_with_the_first_byte_of_the_slices() {
    let (one, other) = Stream::pair().unwrap();
    let null = File::open("/dev/null").unwrap();
    let descriptors = [null.as_fd(), null.as_fd()];
    let attachments = Attachments::descriptors(&descriptors);
    assert_eq!(one.send_vectored_with_wait(&slices(), &attachments, Wait::forever()).unwrap(), 15);
    let (mut buffer, mut received) = ([0; 64], Vec::new());
    let appended = other.receive_appending_wait(&mut buffer, &mut received, Wait::never()).unwrap();
    assert_eq!((appended.len, appended.lost_descriptors, received.len()), (15, false, 2));
    // More are added to those.
    assert_eq!(one.send_vectored_with_wait(&slices(), &attachments, Wait::forever()).unwrap(), 15);
    other.receive_appending_wait(&mut buffer, &mut received, Wait::never()).unwrap();
    assert_eq!(received.len(), 4);
    let error = other.receive_appending_wait(&mut buffer, &mut received, Wait::never()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let empty = [IoSlice::new(b"")];
    let error = one.send_vectored_with_wait(&empty, &attachments, Wait::forever()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    drop(one);
    let end = other.receive_appending_wait(&mut buffer, &mut received, Wait::forever()).unwrap();
    assert_eq!(end.len, 0);
}

#[test]
fn descriptors_without_room_are_told_and_the_bytes_are_there() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let test = test!();
    test.role("alone", |_| {
        let (one, other) = Stream::pair().unwrap();
        let null = File::open("/dev/null").unwrap();
        one.send_with(b"bytes", &Attachments::descriptors(&[null.as_fd(); 30])).unwrap();
        setrlimit(Resource::Nofile, Rlimit { current: Some(20), maximum: Some(20) }).unwrap();
        let (mut buffer, mut received) = ([0; 64], Vec::new());
        let appended = other.receive_appending_wait(&mut buffer, &mut received, Wait::forever()).unwrap();
        assert_eq!((appended.len, appended.lost_descriptors, received.len()), (5, true, 0));
        assert!(File::open("/dev/null").is_ok(), "those that came were closed again");
    });
    test.child("alone").spawn().succeed();
}

#[test]
fn a_storm_ends_only_the_interruptible_form() {
    let test = test!();
    test.role("writes", |peer| {
        let (reader, writer) = pipe::create().unwrap();
        while writer.try_write_vectored(&[IoSlice::new(&[0; 4096])]).is_ok() {}
        let outcome = under_storm(peer, || writer.write_vectored_interruptible(&slices()));
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Interrupted);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                peer.wait_for("read");
                let mut buffer = vec![0; 65_536];
                reader.read(&mut buffer).unwrap();
            });
            let written = under_storm(peer, || writer.write_vectored(&slices()));
            assert_eq!(written.unwrap(), 15);
        });
    });
    let mut child = test.child("writes").spawn();
    child.expect("stormed");
    child.expect("stormed");
    child.tell("read");
    child.succeed();
}

#[test]
fn it_is_one_call_and_allocates_nothing() {
    let test = test!();
    test.role("rounds", |peer| {
        let (reader, writer) = pipe::create().unwrap();
        let (one, other) = Stream::pair().unwrap();
        let mut buffer = [0; 64];
        let mut descriptors = Vec::new();
        let mut round = || {
            writer.write_vectored(&slices()).unwrap();
            reader.read(&mut buffer).unwrap();
            one.send_vectored(&slices()).unwrap();
            other.receive_appending_wait(&mut buffer, &mut descriptors, Wait::forever()).unwrap();
        };
        let count: u64 = peer.arg(0).parse().unwrap();
        let used = allocation_counter::measure(|| (0..count).for_each(|_| round()));
        assert_eq!(used.count_total, 0);
    });
    let calls = ["pwritev2", "read", "sendmsg", "recvmsg"].map(|call| (call, ROUNDS));
    match cost(|count| test.child("rounds").arg(count)) {
        Ok(more) => assert_eq!(more, expected(&calls)),
        Err(missing) => test.skip(&missing),
    }
}
