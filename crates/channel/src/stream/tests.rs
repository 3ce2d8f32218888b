//! What only a stream of the test's own can show.

use twixt_os::{Deadline, Mechanism, Object};

use super::*;

fn origin() -> Origin {
    Origin { mechanism: Mechanism::Pipe, object: Object::Unnamed, endpoint: None, timeout: None }
}

/// Says the same for ever, and never makes anyone wait.
struct Endless(&'static [u8]);

impl Source for Endless {
    fn read(&mut self, buffer: &mut [u8], _: &mut Vec<OwnedFd>, _: Wait) -> Result<usize> {
        let len = buffer.len().min(self.0.len());
        buffer[..len].copy_from_slice(&self.0[..len]);
        Ok(len)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

#[test]
fn nonsense_without_end_keeps_nobody() {
    // Whole messages of the framing, once its beginning has been nonsense: bytes that a reader in step would take.
    let source = Endless(b"\xff\xff\xff\xff\0\0\0\0\0\0\0\0");
    let mut receiver = StreamReceiver::new(source, Framing::Len, capabilities(Framing::Len), origin());
    let mut message = Message::new();
    let error = receiver.receive(&mut message, Wait::never()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLong, "{error}");
    receiver.source = Endless(b"\0\0\0\0");
    let error = receiver.receive(&mut message, Wait::never()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    let error = receiver.receive(&mut message, Wait::until(Deadline::now())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
}

/// Takes so many bytes, and no more.
#[derive(Default)]
struct Narrow {
    room: usize,
    taken: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
    is_gone: bool,
}

impl Sink for Narrow {
    fn write(&mut self, slices: &[IoSlice<'_>], _: &[BorrowedFd<'_>], _: Wait) -> Result<usize> {
        let errno = if self.is_gone { Errno::PIPE } else { Errno::AGAIN };
        let len = slices[0].len().min(self.room);
        self.room -= len;
        self.taken.lock().unwrap().extend(&slices[0][..len]);
        if len == 0 { Err(origin().kernel("send to", errno)) } else { Ok(len) }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

fn sender(room: usize) -> StreamSender<Narrow> {
    let sink = Narrow { room, ..Narrow::default() };
    StreamSender::new(sink, Framing::Len, capabilities(Framing::Len), origin())
}

#[test]
fn the_rest_of_a_message_is_not_for_another_reader() {
    let mut sender = sender(6);
    sender.send(b"hello", &Attributes::NONE, Wait::never()).unwrap();
    assert!(sender.holds_back());
    sender.sink.is_gone = true;
    assert_eq!(sender.flush(Wait::never()).unwrap_err().kind(), ErrorKind::PeerGone);
    // As a FIFO does, of which somebody else opens the other end.
    (sender.sink.is_gone, sender.sink.room) = (false, 100);
    assert_eq!(sender.flush(Wait::never()), Ok(()));
    let error = sender.send(b"again", &Attributes::NONE, Wait::never()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
    assert_eq!(*sender.sink.taken.lock().unwrap(), b"\x05\0\0\0he");
}

#[test]
fn the_copy_of_a_forked_child_passes_nothing_on() {
    for (maker, all) in [(Maker::this(), b"\x05\0\0\0hello".as_slice()), (Maker::another(), b"\x05\0\0\0he")]
    {
        let mut sender = sender(6);
        sender.send(b"hello", &Attributes::NONE, Wait::never()).unwrap();
        sender.maker = maker;
        sender.sink.room = 100;
        let taken = sender.sink.taken.clone();
        drop(sender);
        assert_eq!(*taken.lock().unwrap(), all);
    }
}
