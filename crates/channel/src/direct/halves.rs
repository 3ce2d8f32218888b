//! The two ends of a link: a stream over its FIFO, and an eye on the other process.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, epoll, poll};
use twixt_address::Framing;
use twixt_os::{Errno, Error, ErrorKind, Result, Wait, timespec};

use super::link::Link;
use crate::half::{ReceiveHalf, SendHalf};
use crate::stream::{self, FifoSource, PipeSink, StreamReceiver, StreamSender};
use crate::{Attributes, Capabilities, Capacity, Message, Readiness};

const SEND: &str = "send to";
const RECEIVE: &str = "receive from";

/// How long a sender that always finds room may not look whether the other process lives.
const UNSEEN: Duration = Duration::from_millis(20);

/// What a link can do.
fn capabilities() -> Capabilities {
    Capabilities { credentials: true, ..stream::capabilities(Framing::Frame) }
}

/// The sending end.
pub(super) struct LinkSender {
    stream: StreamSender<PipeSink>,
    /// Ready when the stream is or the other process has ended.
    either: OwnedFd,
    seen: Option<Instant>,
    /// The last to go.
    link: Link,
}

impl LinkSender {
    pub(super) fn new(mut link: Link) -> Result<Self> {
        let fifo = link.take_fifo()?;
        // The link's own hold is a reader, so there is nobody to wait for.
        let writer = fifo.open_write_wait(Wait::never())?;
        let stream =
            StreamSender::new(PipeSink::new(writer), Framing::Frame, capabilities(), link.origin().clone());
        let either = either(&link, stream.readiness(), epoll::EventFlags::OUT)?;
        Ok(Self { stream, either, seen: None, link })
    }

    /// Fails if the other process has ended.
    fn see(&mut self) -> Result<()> {
        let now = Instant::now();
        if self.seen.is_none_or(|seen| now.duration_since(seen) > UNSEEN) {
            if self.link.peer.has_ended() {
                return Err(self.link.gone(SEND));
            }
            self.seen = Some(now);
        }
        Ok(())
    }

    /// Waits until there may be room.
    fn wait(&mut self, wait: Wait) -> Result<()> {
        let ended = wait_for(self.stream.readiness(), PollFlags::OUT, &self.link, wait)
            .map_err(|errno| error(&self.link, SEND, errno))?;
        if ended { Err(self.link.gone(SEND)) } else { Ok(()) }
    }
}

impl SendHalf for LinkSender {
    fn send(&mut self, bytes: &[u8], attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        self.see()?;
        loop {
            match self.stream.send(bytes, attributes, Wait::never()) {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(wait)?,
                refused => return refused,
            }
        }
        if !self.stream.holds_back() || wait.is_never() {
            return Ok(());
        }
        match self.flush(wait) {
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => Ok(()),
            flushed => flushed,
        }
    }

    fn flush(&mut self, wait: Wait) -> Result<()> {
        loop {
            match self.stream.flush(Wait::never()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(wait)?,
                flushed => return flushed,
            }
        }
    }

    fn holds_back(&self) -> bool {
        self.stream.holds_back()
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.stream.capacity()
    }

    fn len(&self) -> Result<Option<u64>> {
        self.stream.len()
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_read(self.either.as_fd()))
    }
}

/// The receiving end.
pub(super) struct LinkReceiver {
    stream: StreamReceiver<FifoSource>,
    /// Ready when the stream is or the other process has ended.
    either: OwnedFd,
    /// The last to go.
    link: Link,
}

impl LinkReceiver {
    pub(super) fn new(mut link: Link) -> Result<Self> {
        let source = FifoSource::open(link.take_fifo()?)?;
        let stream = StreamReceiver::new(source, Framing::Frame, capabilities(), link.origin().clone());
        let either = either(&link, stream.readiness(), epoll::EventFlags::IN)?;
        Ok(Self { stream, either, link })
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Takes a message, if one has arrived.
    fn take(&mut self, message: &mut Message) -> Result<()> {
        let taken = self.stream.receive(message, Wait::never());
        match &taken {
            Ok(()) => message.set_peer(Some(self.link.peer.credentials)),
            // After an end the stream is another one, to be watched in the place of the one that is closed.
            Err(error) if error.kind() == ErrorKind::PeerGone => {
                let fd = self.stream.readiness();
                watch(&self.either, fd, epoll::EventFlags::IN).map_err(|errno| self.error(errno))?;
            }
            Err(_) => {}
        }
        taken
    }

    fn error(&self, errno: Errno) -> Error {
        error(&self.link, RECEIVE, errno)
    }
}

impl ReceiveHalf for LinkReceiver {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        loop {
            match self.take(message) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                taken => return taken,
            }
            let ended = wait_for(self.stream.readiness(), PollFlags::IN, &self.link, wait);
            if ended.map_err(|errno| self.error(errno))? {
                // Whatever it sent, it sent before.
                return match self.take(message) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => Err(self.link.gone(RECEIVE)),
                    taken => taken,
                };
            }
        }
    }

    fn has_buffered(&self) -> bool {
        self.stream.has_buffered()
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.stream.capacity()
    }

    fn len(&self) -> Result<Option<u64>> {
        self.stream.len()
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_read(self.either.as_fd()))
    }
}

/// Waits until the stream is ready or the other process has ended; whether it is the latter, and not the former.
fn wait_for(
    stream: Option<Readiness<'_>>,
    interest: PollFlags,
    link: &Link,
    wait: Wait,
) -> Result<bool, Errno> {
    let (Some(pidfd), Some(stream)) = (link.peer.pidfd(), stream) else { return Ok(true) };
    let stream = stream.descriptor();
    let mut polled =
        [PollFd::from_borrowed_fd(stream, interest), PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    wait.with_timeout(|timeout| {
        let timeout = timeout.map(timespec);
        if poll(&mut polled, timeout.as_ref())? == 0 { Err(Errno::AGAIN) } else { Ok(()) }
    })?;
    Ok(!polled[1].revents().is_empty())
}

/// One descriptor to poll for both: readable when the stream is ready or the other process has ended.
fn either(link: &Link, stream: Option<Readiness<'_>>, interest: epoll::EventFlags) -> Result<OwnedFd> {
    let make = || {
        let both = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        if let Some(pidfd) = link.peer.pidfd() {
            epoll::add(&both, pidfd, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        }
        watch(&both, stream, interest)?;
        Ok(both)
    };
    make().map_err(|errno| error(link, super::OPEN, errno))
}

fn watch(both: &OwnedFd, stream: Option<Readiness<'_>>, interest: epoll::EventFlags) -> Result<(), Errno> {
    match stream {
        Some(stream) => match epoll::add(both, stream.descriptor(), epoll::EventData::new_u64(1), interest) {
            Err(Errno::EXIST) => Ok(()),
            added => added,
        },
        None => Ok(()),
    }
}

fn error(link: &Link, operation: &'static str, errno: Errno) -> Error {
    let origin = link.origin();
    Error::kernel(origin.mechanism, operation, origin.object.clone(), errno)
}
