//! Descriptors that go along with messages over Unix sockets.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use twixt_address::Address;
use twixt_channel::framing::wrap;
use twixt_channel::{Attributes, Duplex, Framing, Listener, Message, Opening, Receiver, Sender};
use twixt_os::unix::{Attachments, Stream};
use twixt_os::{Deadline, ErrorKind, Wait, pipe};
use twixt_testkit::{descriptors, scratch, test, unique_name};

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// A receiver, and a stream to it that says what a twixt would not.
fn hostile() -> (Stream, Receiver) {
    let name = unique_name();
    let receiver = Receiver::open(&address(&format!("unix:@{name}"))).unwrap();
    let stream = Stream::connect(&format!("@{name}").parse().unwrap()).unwrap();
    (stream, receiver)
}

fn frame(message: &[u8], descriptors: usize) -> Vec<u8> {
    let wrapping = wrap(Framing::Frame, message, descriptors).unwrap();
    [wrapping.before(), message].concat()
}

fn send_with(sender: &mut Sender, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> twixt_os::Result<()> {
    sender.send_with(bytes, &Attributes::new().descriptors(descriptors), Wait::forever())
}

#[test]
fn each_message_has_its_own_descriptors() {
    let test = test!();
    test.role("sends", |peer| {
        let mut sender = Sender::open(&address(&peer.arg(0))).unwrap();
        let mut ends = Vec::new();
        for number in 0..5_usize {
            let pipes: Vec<_> = (0..number).map(|_| pipe::create().unwrap()).collect();
            let passed: Vec<_> = pipes.iter().map(|(reader, _)| reader.as_fd()).collect();
            // Short ones, which arrive together, and long ones.
            let bytes = vec![b'x'; if number == 3 { 200_000 } else { number }];
            send_with(&mut sender, &bytes, &passed).unwrap();
            ends.extend(pipes.into_iter().enumerate().map(|(at, (_, writer))| (number, at, writer)));
        }
        for (number, at, writer) in ends {
            writer.write_all(format!("{number}.{at}").as_bytes()).unwrap();
        }
    });
    let directory = scratch();
    let at = format!("unix:{}", directory.path().join("socket").display());
    let mut receiver = Receiver::open(&address(&at)).unwrap();
    let child = test.child("sends").arg(&at).spawn();
    let mut message = Message::new();
    for number in 0..5 {
        receiver.receive_into(&mut message).unwrap();
        assert_eq!(message.len(), if number == 3 { 200_000 } else { number });
        assert_eq!(message.descriptors().len(), number);
        for (at, end) in message.take_descriptors().into_iter().enumerate() {
            let mut text = String::new();
            File::from(end).read_to_string(&mut text).unwrap();
            assert_eq!(text, format!("{number}.{at}"));
        }
    }
    assert_eq!(receiver.receive().unwrap_err().kind(), ErrorKind::PeerGone);
    child.succeed();
}

#[test]
fn as_many_as_the_kernel_takes_and_no_more() {
    let at = address(&format!("unix:@{}", unique_name()));
    let mut receiver = Receiver::open(&at).unwrap();
    let mut sender = Sender::open(&at).unwrap();
    let most = sender.capabilities().descriptors;
    assert_eq!(most, 253);
    let null = File::open("/dev/null").unwrap();
    let all = vec![null.as_fd(); most + 1];
    send_with(&mut sender, b"full", &all[..most]).unwrap();
    assert_eq!(receiver.receive().unwrap().descriptors().len(), most);
    assert_eq!(send_with(&mut sender, b"over", &all).unwrap_err().kind(), ErrorKind::Unsupported);

    let mut lines = Opening::new(&at).framing(Framing::Lines).sender().unwrap();
    assert_eq!(send_with(&mut lines, b"x", &all[..1]).unwrap_err().kind(), ErrorKind::Unsupported);
    let (mut pipe, _reader) = Opening::new(&address("pipe:")).pair().unwrap();
    assert_eq!(send_with(&mut pipe, b"x", &all[..1]).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn descriptors_go_once_and_stay_with_a_message_that_is_kept_back() {
    let at = address(&format!("unix:@{}", unique_name()));
    let listener = Listener::open(&at).unwrap();
    let mut client = Duplex::open(&at).unwrap();
    let mut server = listener.accept().unwrap();
    let (reader, writer) = pipe::create().unwrap();
    let long = vec![1; 1 << 20];
    let descriptors = [reader.as_fd()];
    let with = Attributes::new().descriptors(&descriptors);
    client.sender().send_with(&long, &with, Wait::never()).unwrap();
    assert!(client.sender().holds_back());
    drop(reader);
    let receiving = std::thread::spawn(move || server.receive().unwrap());
    client.sender().flush(Wait::forever()).unwrap();
    let mut message = receiving.join().unwrap();
    assert_eq!((message.len(), message.descriptors().len()), (1 << 20, 1));
    writer.write_all(b"through").unwrap();
    drop(writer);
    let mut text = String::new();
    File::from(message.take_descriptors().remove(0)).read_to_string(&mut text).unwrap();
    assert_eq!(text, "through");
}

#[test]
fn descriptors_that_nobody_announced_are_refused_and_closed() {
    let test = test!();
    test.role("alone", |_| {
        let (stream, mut receiver) = hostile();
        let null = File::open("/dev/null").unwrap();
        let before = descriptors();
        let hundred = vec![null.as_fd(); 100];
        let mut refused = 0;
        stream.send_with(&frame(b"plain", 0), &Attachments::descriptors(&hundred)).unwrap();
        stream.send_with(&frame(b"plain", 0), &Attachments::descriptors(&hundred)).unwrap();
        for _ in 0..2 {
            match receiver.receive() {
                Ok(message) => assert_eq!(message.descriptors().len(), 0),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
                    refused += 1;
                    break;
                }
            }
        }
        assert_eq!(refused, 1);
        // The connection of the offender went too.
        assert!(descriptors() <= before + 1, "{} after {before}", descriptors());
    });
    test.child("alone").spawn().succeed();
}

#[test]
fn descriptors_that_were_announced_must_come() {
    let (stream, mut receiver) = hostile();
    stream.send_all(&frame(b"two missing", 2)).unwrap();
    let error = receiver.receive().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
}

#[test]
fn without_frames_what_is_passed_is_closed() {
    let test = test!();
    test.role("alone", |_| {
        let name = unique_name();
        let at = address(&format!("unix:@{name}?framing=lines"));
        let mut receiver = Receiver::open(&at).unwrap();
        let stream = Stream::connect(&format!("@{name}").parse().unwrap()).unwrap();
        let null = File::open("/dev/null").unwrap();
        stream.send_with(b"first\n", &Attachments::descriptors(&[null.as_fd(); 10])).unwrap();
        assert_eq!(receiver.receive().unwrap().bytes(), b"first");
        let before = descriptors();
        stream.send_with(b"second\n", &Attachments::descriptors(&[null.as_fd(); 10])).unwrap();
        assert_eq!(receiver.receive().unwrap().descriptors().len(), 0);
        assert_eq!(descriptors(), before);
    });
    test.child("alone").spawn().succeed();
}

#[test]
fn descriptors_without_room_cost_their_message_and_no_other() {
    let test = test!();
    test.role("alone", |_| {
        let at = address(&format!("unix:@{}", unique_name()));
        let listener = Listener::open(&at).unwrap();
        let mut client = Duplex::open(&at).unwrap();
        let mut server = listener.accept().unwrap();
        let null = File::open("/dev/null").unwrap();
        let eight = [null.as_fd(); 8];
        client.send(b"before").unwrap();
        send_with(client.sender(), b"lost", &eight).unwrap();
        client.send(b"after").unwrap();
        let was = getrlimit(Resource::Nofile);
        let few = descriptors() as u64 + 3;
        setrlimit(Resource::Nofile, Rlimit { current: Some(few), ..was }).unwrap();
        assert_eq!(server.receive().unwrap().bytes(), b"before");
        let error = server.receive().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitReached, "{error}");
        assert_eq!(error.limit().unwrap().name, "RLIMIT_NOFILE");
        assert_eq!(server.receive().unwrap().bytes(), b"after");
        setrlimit(Resource::Nofile, was).unwrap();
        send_with(client.sender(), b"again", &eight).unwrap();
        let deadline = Deadline::after(std::time::Duration::from_secs(60));
        assert_eq!(server.receive_deadline(deadline).unwrap().descriptors().len(), 8);
    });
    test.child("alone").spawn().succeed();
}

#[test]
fn a_received_message_closes_what_was_not_taken() {
    let at = address(&format!("unix:@{}", unique_name()));
    let mut receiver = Receiver::open(&at).unwrap();
    let mut sender = Sender::open(&at).unwrap();
    let (reader, writer) = pipe::create().unwrap();
    send_with(&mut sender, b"", &[writer.as_fd()]).unwrap();
    drop(writer);
    sender.send(b"next").unwrap();
    let mut message = Message::new();
    receiver.receive_into(&mut message).unwrap();
    let _: &[OwnedFd] = message.descriptors();
    assert!(reader.try_read(&mut [0]).is_err(), "the message holds the writer");
    receiver.receive_into(&mut message).unwrap();
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    std::io::stdout().flush().unwrap();
}
