//! Streams over a descriptor that somebody else opened: inherited ones, and the standard streams.
//!
//! Its description may be shared with other processes, so nothing is changed about it: neither `O_NONBLOCK` nor the end of
//! the stream, which is not ours to tell.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, fstat};
use rustix::net::{AddressFamily, sockopt};
use twixt_address::Framing;
use twixt_os::net::tcp;
use twixt_os::pipe::{Reader, Writer};
use twixt_os::{Errno, Result, Wait, unix};

use super::{
    PipeSink, PipeSource, Sink, Source, StreamReceiver, StreamSender, TcpEnd, UnixEnd, borrowed,
    capabilities, passed_descriptors,
};
use crate::half::{ReceiveHalf, SendHalf};
use crate::origin::Origin;
use crate::{Capabilities, Capacity, Direction};

/// Sends into a descriptor of any kind that can be written: a pipe, a stream socket, a terminal, a file.
pub(crate) fn sender_over(fd: OwnedFd, framing: Framing, origin: &Origin) -> Result<Box<dyn SendHalf>> {
    fn half<K: Sink + 'static>(
        sink: K,
        framing: Framing,
        can: Capabilities,
        origin: &Origin,
    ) -> Box<dyn SendHalf> {
        Box::new(StreamSender::new(sink, framing, can, origin.clone()))
    }
    let can = capabilities(framing);
    Ok(match kind_of(&fd, origin)? {
        Kind::Pipe => half(PipeSink::new(Writer::try_from(fd)?), framing, can, origin),
        Kind::Unix => {
            let descriptors = passed_descriptors(framing);
            let (sink, _) = UnixEnd::shared(unix::Stream::try_from(fd)?, descriptors > 0);
            half(sink, framing, Capabilities { descriptors, direction: Direction::BothWays, ..can }, origin)
        }
        Kind::Tcp => {
            let can = Capabilities { direction: Direction::BothWays, ..can };
            half(TcpEnd::shared(tcp::Stream::try_from(fd)?).0, framing, can, origin)
        }
        Kind::Other => half(Plain { fd, origin: origin.clone() }, framing, can, origin),
    })
}

/// Receives from a descriptor of any kind that can be read.
pub(crate) fn receiver_over(fd: OwnedFd, framing: Framing, origin: &Origin) -> Result<Box<dyn ReceiveHalf>> {
    fn half<S: Source + 'static>(
        source: S,
        framing: Framing,
        can: Capabilities,
        origin: &Origin,
    ) -> Box<dyn ReceiveHalf> {
        Box::new(StreamReceiver::new(source, framing, can, origin.clone()))
    }
    let can = capabilities(framing);
    Ok(match kind_of(&fd, origin)? {
        Kind::Pipe => half(PipeSource(Reader::try_from(fd)?), framing, can, origin),
        Kind::Unix => {
            let descriptors = passed_descriptors(framing);
            let (_, source) = UnixEnd::shared(unix::Stream::try_from(fd)?, descriptors > 0);
            half(source, framing, Capabilities { descriptors, direction: Direction::BothWays, ..can }, origin)
        }
        Kind::Tcp => {
            let can = Capabilities { direction: Direction::BothWays, ..can };
            half(TcpEnd::shared(tcp::Stream::try_from(fd)?).1, framing, can, origin)
        }
        Kind::Other => half(Plain { fd, origin: origin.clone() }, framing, can, origin),
    })
}

enum Kind {
    Pipe,
    Unix,
    Tcp,
    Other,
}

fn kind_of(fd: &OwnedFd, origin: &Origin) -> Result<Kind> {
    let fail = |errno| origin.kernel("look at", errno);
    let stat = fstat(fd).map_err(fail)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => Kind::Pipe,
        FileType::Socket => match sockopt::socket_domain(fd).map_err(fail)? {
            AddressFamily::UNIX => Kind::Unix,
            AddressFamily::INET | AddressFamily::INET6 => Kind::Tcp,
            _ => Kind::Other,
        },
        _ => Kind::Other,
    })
}

/// Whatever `read(2)` and `write(2)` can be used on: terminals, files, devices.
///
/// They have no way to say for a single call that it must not block. So poll is asked first wherever the wait is not for
/// ever. If another process is faster then, or takes the terminal's output away, the call blocks all the same.
struct Plain {
    fd: OwnedFd,
    origin: Origin,
}

impl Plain {
    /// Makes the call once it can be made.
    fn call<T>(
        &self,
        wait: Wait,
        ready: impl Fn(Wait) -> Result<(), Errno>,
        mut call: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let interruptible = wait == wait.interruptible();
        if !wait.is_forever() {
            ready(wait)?;
        }
        loop {
            match call() {
                Err(Errno::INTR) if !interruptible => {}
                // Another process has made it non-blocking, or was faster.
                Err(Errno::AGAIN) if !wait.is_never() => ready(wait)?,
                outcome => return outcome,
            }
        }
    }
}

impl Sink for Plain {
    fn write(&mut self, slices: &[IoSlice<'_>], _: &[BorrowedFd<'_>], wait: Wait) -> Result<usize> {
        let ready = |wait: Wait| wait.until_writable(&self.fd);
        self.call(wait, ready, || rustix::io::writev(&self.fd, slices))
            .map_err(|errno| self.origin.kernel("send to", errno))
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        borrowed(&self.fd)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

impl Source for Plain {
    fn read(&mut self, buffer: &mut [u8], _: &mut Vec<OwnedFd>, wait: Wait) -> Result<usize> {
        let ready = |wait: Wait| wait.until_readable(&self.fd);
        self.call(wait, ready, || rustix::io::read(self.fd.as_fd(), &mut *buffer))
            .map_err(|errno| self.origin.kernel("receive from", errno))
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        borrowed(&self.fd)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(None)
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}
