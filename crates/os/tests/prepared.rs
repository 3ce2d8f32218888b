//! System calls that are made ready by one function and made by another.

use std::os::fd::AsFd;

use twixt_os::eventfd::{EventFd, Flags};
use twixt_os::pipe::{self, Vector};
use twixt_os::posix::mq::{Access, Limits, Priority, Queue};
use twixt_os::sysv::{Key, msg};
use twixt_os::unix::{Attachments, Datagram, Received, Receiving, Seqpacket, Stream};
use twixt_os::{Errno, ErrorKind, Mode, Prepared, Result, Wait};
use twixt_testkit::{Storm, unique_name};

fn kind<T: std::fmt::Debug>(outcome: Result<T>) -> ErrorKind {
    outcome.unwrap_err().kind()
}

/// Whatever a call was prepared for, what it has come to is what the form that waits so would have said.
#[test]
fn a_first_attempt_is_gone_on_with_as_the_wait_says() {
    let (one, other) = Stream::pair().unwrap();
    other.send_all(b"there").unwrap();
    let mut room = [0; 8];
    // It was not made: so it is made now.
    for errno in [Errno::AGAIN, Errno::INTR] {
        assert_eq!(one.finish_receive(Err(errno), &mut room[..1], Wait::forever()).unwrap(), 1);
    }
    let interruptible = Wait::forever().interruptible();
    assert_eq!(kind(one.finish_receive(Err(Errno::INTR), &mut room, interruptible)), ErrorKind::Interrupted);
    assert_eq!(kind(one.finish_receive(Err(Errno::AGAIN), &mut room, Wait::never())), ErrorKind::WouldBlock);
    assert_eq!(kind(one.finish_send(Err(Errno::PIPE), b"x", Wait::forever())), ErrorKind::PeerGone);
    assert_eq!(one.finish_receive(Ok(3), &mut room, Wait::forever()).unwrap(), 3, "as it was told");
    assert_eq!(other.send(b"!").unwrap(), 1);
    assert_eq!(one.receive(&mut room).unwrap(), 4, "what is left");
    assert_eq!(&room[..4], b"ere!");
}

#[test]
fn a_prepared_call_that_would_block_is_waited_for() {
    let (one, other) = Stream::pair().unwrap();
    let mut room = [0; 8];
    let soon = Wait::until(twixt_os::Deadline::after(std::time::Duration::from_secs(60)));
    let first = one.prepare_receive(&mut room, soon).make();
    assert_eq!(first, Err(Errno::AGAIN), "with a deadline no call blocks");
    std::thread::scope(|scope| {
        scope.spawn(|| other.send_all(b"late"));
        assert_eq!(one.finish_receive(first, &mut room, soon).unwrap(), 4);
    });
}

#[test]
fn signals_end_no_prepared_call_that_is_not_interruptible() {
    let (one, other) = Seqpacket::pair().unwrap();
    let (mut receiving, mut received, mut room) = (Receiving::new(), Received::new(), [0; 8]);
    let storm = Storm::on_this_thread();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            storm.wait_for(20);
            other.send(b"late").unwrap();
        });
        let call = one.prepare_receive_into(&mut receiving, &mut room, &mut received, Wait::forever());
        let first = call.unwrap().make();
        let is_message =
            one.finish_receive_into(&mut receiving, first, &mut room, &mut received, Wait::forever());
        assert!(is_message.unwrap());
    });
    assert_eq!(&room[..received.len], b"late");
}

#[test]
fn descriptors_come_with_a_prepared_call_and_once() {
    let (one, other) = Stream::pair().unwrap();
    let (reader, _writer) = pipe::create().unwrap();
    one.send_with(b"x", &Attachments::descriptors(&[reader.as_fd(), reader.as_fd()])).unwrap();
    let (mut receiving, mut room, mut descriptors) = (Receiving::new(), [0; 8], Vec::new());
    let first = other.prepare_receive_appending(&mut receiving, &mut room, Wait::forever()).make();
    let mut finish = |receiving: &mut Receiving, first| {
        other.finish_receive_appending(receiving, first, &mut room, &mut descriptors, Wait::forever())
    };
    assert_eq!(finish(&mut receiving, first).unwrap().len, 1);
    // A call that was not made has brought nothing, whatever is said of it.
    assert_eq!(finish(&mut receiving, Ok(1)).unwrap().len, 1);
    assert_eq!(finish(&mut Receiving::new(), Ok(1)).unwrap().len, 1);
    assert_eq!(descriptors.len(), 2);
}

/// They would stay open as long as the room for them otherwise.
#[test]
fn descriptors_of_a_message_that_was_cut_are_closed_at_once() {
    let (one, other) = Datagram::pair().unwrap();
    let (reader, writer) = pipe::create().unwrap();
    one.send_with(b"long", None, &Attachments::descriptors(&[writer.as_fd()])).unwrap();
    drop(writer);
    let (mut receiving, mut received, mut room) = (Receiving::new(), Received::new(), [0; 2]);
    let call = other.prepare_receive_into(&mut receiving, &mut room, &mut received, Wait::forever());
    let first = call.unwrap().make();
    assert_eq!(first, Ok(4));
    let cut = other.finish_receive_into(&mut receiving, first, &mut room, &mut received, Wait::forever());
    assert_eq!(kind(cut), ErrorKind::Malformed);
    assert_eq!(reader.try_read(&mut [0; 1]).unwrap(), 0, "nobody has the write end");
}

#[test]
fn descriptors_of_a_call_that_nobody_finishes_are_closed() {
    let (one, other) = Stream::pair().unwrap();
    let (mut receiving, mut room) = (Receiving::new(), [0; 2]);
    for is_dropped in [false, true] {
        let (reader, writer) = pipe::create().unwrap();
        one.send_with(b"x", &Attachments::descriptors(&[writer.as_fd()])).unwrap();
        drop(writer);
        assert_eq!(other.prepare_receive_appending(&mut receiving, &mut room, Wait::forever()).make(), Ok(1));
        if is_dropped {
            receiving = Receiving::new();
        } else {
            let _ = other.prepare_receive_appending(&mut receiving, &mut room, Wait::forever());
        }
        assert_eq!(reader.try_read(&mut [0; 1]).unwrap(), 0, "nobody has the write end; {is_dropped}");
    }
}

#[test]
fn a_prepared_write_raises_no_sigpipe() {
    let (reader, writer) = pipe::create().unwrap();
    let mut vector = Vector::new();
    for wait in [Wait::forever(), Wait::never()] {
        let first = writer.prepare_write(&mut vector, b"x", wait).map(Prepared::make);
        assert_eq!(
            first
                .map_or_else(|| writer.write_wait(b"x", wait), |it| writer.finish_write(it, b"x", wait))
                .unwrap(),
            1
        );
    }
    assert_eq!(writer.finish_write(Err(Errno::OPNOTSUPP), b"x", Wait::forever()).unwrap(), 1, "another way");
    drop(reader);
    if let Some(call) = writer.prepare_write(&mut vector, b"x", Wait::forever()) {
        let first = call.make();
        assert_eq!(kind(writer.finish_write(first, b"x", Wait::forever())), ErrorKind::PeerGone);
    }
}

#[test]
fn queues_say_not_now_in_their_own_ways() {
    let queue = msg::Queue::create(Key::PRIVATE, Mode::OWNER).unwrap().remove_on_drop();
    let mut message = msg::Message::with_capacity(16);
    let first = queue.prepare_receive(msg::Select::Any, &mut message, Wait::never()).unwrap().make();
    assert_eq!(first, Err(Errno::NOMSG));
    assert_eq!(
        kind(queue.finish_receive(first, msg::Select::Any, &mut message, Wait::never())),
        ErrorKind::WouldBlock
    );
    message.set(msg::Type::MIN, b"sent");
    let first = queue.prepare_send_message(&message, Wait::forever()).unwrap().make();
    queue.finish_send_message(first, &message, Wait::forever()).unwrap();
    message.clear();
    let first = queue.prepare_receive(msg::Select::Any, &mut message, Wait::forever()).unwrap().make();
    queue.finish_receive(first, msg::Select::Any, &mut message, Wait::forever()).unwrap();
    assert_eq!(message.bytes(), b"sent");

    let name = format!("/{}", unique_name());
    let one = Limits { max_messages: 1, message_size: 16 };
    let queue = Queue::create(&name, Access::ReadWrite, Some(one), Mode::OWNER).unwrap();
    let _guard = queue.unlink_on_drop().unwrap();
    let (mut room, mut priority) = ([0; 16], 7);
    let first = queue.prepare_receive(&mut room, &mut priority, Wait::never()).make();
    assert_eq!(first, Err(Errno::TIMEDOUT));
    assert_eq!(
        kind(queue.finish_receive(first, &mut room, &mut priority, Wait::never())),
        ErrorKind::WouldBlock
    );
    let five = Priority::new(5).unwrap();
    let first = queue.prepare_send(b"sent", five, Wait::forever()).make();
    queue.finish_send(first, b"sent", five, Wait::forever()).unwrap();
    let first = queue.prepare_receive(&mut room, &mut priority, Wait::forever()).make();
    let received = queue.finish_receive(first, &mut room, &mut priority, Wait::forever()).unwrap();
    assert_eq!((&room[..received.len], received.priority), (&b"sent"[..], five));
}

#[test]
fn a_counter_that_is_empty_or_full_is_waited_for() {
    for flags in [Flags::empty(), Flags::NONBLOCK] {
        let counter = EventFd::with_flags(0, flags).unwrap();
        let mut value = [0; 8];
        assert!(
            counter.prepare_read(&mut value, Wait::never()).is_none(),
            "whether it blocks, others may change"
        );
        let number = 3_u64.to_ne_bytes();
        let first = counter.prepare_add(&number, Wait::forever()).unwrap().make();
        counter.finish_add(first, 3, Wait::forever()).unwrap();
        let first = counter.prepare_read(&mut value, Wait::forever()).unwrap().make();
        assert_eq!(counter.finish_read(first, &mut value, Wait::forever()).unwrap(), 3);
        assert_eq!(kind(counter.finish_add(Err(Errno::AGAIN), 1, Wait::never())), ErrorKind::WouldBlock);
        // A blocking write never says so.
        if flags.contains(Flags::NONBLOCK) {
            counter.finish_add(Err(Errno::AGAIN), 4, Wait::forever()).unwrap();
            assert_eq!(counter.read().unwrap(), 4, "it was added after all");
        }
        assert!(counter.prepare_add(&u64::MAX.to_ne_bytes(), Wait::forever()).is_none());
    }
}
