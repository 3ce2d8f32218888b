//! What the three kinds of Unix socket have in common: the descriptor, its name in errors, and the calls.

use std::io::IoSlice;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::PollFlags;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, sockopt};
use twixt_sys::socket::{self as sys, Incoming, Receiving};

use crate::net::Options;
use crate::net::transfer::{self, Taken, or_ended, receive_flags, send_flags};
use crate::unix::{Address, Appended, Attachments, Credentials, Received};
use crate::{Errno, Error, ErrorKind, Limit, Mechanism, Object, Outcome, Prepared, Result, Wait};

#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    pub(super) mechanism: Mechanism,
    pub(super) object: Object,
    /// Whether a message longer than the buffer stays in the queue.
    keep: AtomicBool,
}

/// The kernel's type of each mechanism.
pub(super) fn socket_type(mechanism: Mechanism) -> SocketType {
    match mechanism {
        Mechanism::UnixDatagram => SocketType::DGRAM,
        Mechanism::UnixSeqpacket => SocketType::SEQPACKET,
        _ => SocketType::STREAM,
    }
}

impl Socket {
    pub(super) fn new(fd: OwnedFd, mechanism: Mechanism, object: Object) -> Self {
        Self { fd, mechanism, object, keep: AtomicBool::new(false) }
    }

    /// An unbound one.
    pub(super) fn make(mechanism: Mechanism, operation: &'static str, address: &Address) -> Result<Self> {
        let fd = make(mechanism).map_err(|errno| {
            Error::kernel(mechanism, operation, address.object(), errno).with_descriptor_limit()
        })?;
        Ok(Self::new(fd, mechanism, address.object()))
    }

    pub(super) fn pair(mechanism: Mechanism) -> Result<(Self, Self)> {
        let kind = socket_type(mechanism);
        let (one, other) = rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
            .map_err(|errno| {
                Error::kernel(mechanism, "create a pair of", Object::Unnamed, errno).with_descriptor_limit()
            })?;
        Ok((Self::of_descriptor(one, mechanism), Self::of_descriptor(other, mechanism)))
    }

    /// Takes over a descriptor that was checked, or made, to be of this kind.
    pub(super) fn of_descriptor(fd: OwnedFd, mechanism: Mechanism) -> Self {
        let object = Object::descriptor(fd.as_fd());
        Self::new(fd, mechanism, object)
    }

    /// Takes over any descriptor, if it is a socket of this kind.
    pub(super) fn adopt(fd: OwnedFd, mechanism: Mechanism, listening: bool) -> Result<Self> {
        let socket = Self::of_descriptor(fd, mechanism);
        let fd = socket.fd();
        let is = (|| {
            Ok((sockopt::socket_domain(fd)?, sockopt::socket_type(fd)?, sockopt::socket_acceptconn(fd)?))
        })();
        let (domain, kind, accepts) = is.map_err(|errno| socket.error("adopt", errno))?;
        let wrong = if domain != AddressFamily::UNIX {
            "it is not a Unix socket"
        } else if kind != socket_type(mechanism) {
            "it is a Unix socket of another type"
        } else if accepts != listening {
            if accepts { "it is a listening socket" } else { "it is not listening" }
        } else {
            return Ok(socket);
        };
        Err(socket.refuse("adopt", ErrorKind::InvalidInput, wrong))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    pub(super) fn options(&self) -> Options<'_> {
        Options::new(self.fd(), self.mechanism, &self.object)
    }

    pub(super) fn keep_long_messages(&self, keep: bool) {
        self.keep.store(keep, Ordering::Relaxed);
    }

    pub(super) fn keeps(&self) -> bool {
        self.keep.load(Ordering::Relaxed)
    }

    pub(super) fn local_address(&self) -> Result<Address> {
        let name = sys::local_name(self.fd());
        name.map(Address::from).map_err(|errno| self.error("read the address of", errno))
    }

    pub(super) fn peer_address(&self) -> Result<Address> {
        let name = sys::peer_name(self.fd());
        name.map(Address::from).map_err(|errno| self.error("read the peer's address of", errno))
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> Result<()> {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        rustix::net::shutdown(self.fd(), how).map_err(|errno| self.error("shut down", errno))
    }

    pub(super) fn peer_credentials(&self) -> Result<Credentials> {
        let credentials = sys::peer_credentials(self.fd());
        credentials
            .map(Credentials::from)
            .map_err(|errno| self.error("read the peer's credentials of", errno))
    }

    pub(super) fn peer_pidfd(&self) -> Result<OwnedFd> {
        sys::peer_pidfd(self.fd()).map_err(|errno| {
            let error = self.error("get a pidfd of the peer of", errno);
            match errno {
                Errno::NOPROTOOPT => error.with_advice("SO_PEERPIDFD needs Linux 6.5"),
                Errno::SRCH | Errno::INVAL => error.with_kind(ErrorKind::PeerGone),
                _ => error,
            }
        })
    }

    pub(super) fn set_pass_credentials(&self, on: bool) -> Result<()> {
        let set = sockopt::set_socket_passcred(self.fd(), on);
        set.map_err(|errno| self.error("set the passing of credentials of", errno))
    }

    pub(super) fn set_pass_pidfd(&self, on: bool) -> Result<()> {
        sys::set_pass_pidfd(self.fd(), on).map_err(|errno| {
            let error = self.error("set the passing of pidfds of", errno);
            if errno == Errno::NOPROTOOPT { error.with_advice("SO_PASSPIDFD needs Linux 6.5") } else { error }
        })
    }

    /// A message with attachments: all of it at once, or on a stream as much as fits.
    pub(super) fn send_with(
        &self,
        bytes: &[u8],
        to: Option<&Address>,
        attachments: &Attachments<'_>,
        wait: Wait,
    ) -> Result<usize> {
        self.send_slices_with(&[IoSlice::new(bytes)], to, attachments, wait)
    }

    /// The same from several slices.
    pub(super) fn send_slices_with(
        &self,
        slices: &[IoSlice<'_>],
        to: Option<&Address>,
        attachments: &Attachments<'_>,
        wait: Wait,
    ) -> Result<usize> {
        let control = attachments.to_control(self.mechanism, &self.object)?;
        let to_name = to.map(Address::raw);
        let call = |attempt| sys::send(self.fd(), slices, to_name, &control, send_flags(attempt));
        let sent = match to {
            // Whether the receiver of that address has room cannot be polled for.
            Some(_) => wait.with_backoff(|| call(attempt_of(wait))),
            None => wait.on_descriptor(self.fd(), PollFlags::OUT, call),
        };
        sent.map_err(|errno| {
            let len = slices.iter().map(|slice| slice.len()).sum();
            self.send_error(to.map_or_else(|| self.object.clone(), Address::object), len, errno)
        })
    }

    /// Takes a message or a stretch of a stream with what came along; `None` is the end of a seqpacket connection.
    pub(super) fn receive_with(&self, buffer: &mut [u8], wait: Wait) -> Result<Option<Received>> {
        let mut received = Received::new();
        Ok(self.receive_into(buffer, &mut received, true, wait)?.then_some(received))
    }

    /// The same into what was used before, and the sender's address only if it is wanted; `false` is the end of a seqpacket
    /// connection.
    #[inline(always)]
    pub(super) fn receive_into(
        &self,
        buffer: &mut [u8],
        received: &mut Received,
        wants_from: bool,
        wait: Wait,
    ) -> Result<bool> {
        let mut receiving = Receiving::new();
        if self.mechanism == Mechanism::UnixStream {
            received.clear();
            let first = self.prepare_stretch(&mut receiving, buffer, wait).make();
            let len = self.finish_stretch(&mut receiving, first, buffer, wait)?;
            let (flags, control) = receiving.finish(None);
            return received
                .read(self.mechanism, &self.object, &Incoming { len, flags }, control)
                .map(|()| true);
        }
        let prepared = self.prepare_message(&mut receiving, buffer, received, wants_from, wait);
        let first = prepared.map(Prepared::make);
        self.finish_message(&mut receiving, first, buffer, received, wants_from, wait)
    }

    /// The system call that takes a message, and the sender's address if it is wanted, after all else is cleared of `received`.
    /// None where the length is to be looked at first.
    #[inline(always)]
    pub(super) fn prepare_message<'a>(
        &'a self,
        receiving: &'a mut Receiving,
        buffer: &'a mut [u8],
        received: &'a mut Received,
        wants_from: bool,
        wait: Wait,
    ) -> Option<Prepared<'a>> {
        received.clear();
        if self.keeps() {
            return None;
        }
        let from = wants_from.then_some(received.from.raw_mut());
        let flags = transfer::message_flags(wait) | RecvFlags::CMSG_CLOEXEC;
        Some(receiving.prepare(self.fd(), buffer, from, flags))
    }

    /// Takes a message with what came along, where the [prepared](Self::prepare_message) call has come to `first`; `false` is the
    /// end of a seqpacket connection.
    #[inline(always)]
    pub(super) fn finish_message(
        &self,
        receiving: &mut Receiving,
        first: Option<Outcome>,
        buffer: &mut [u8],
        received: &mut Received,
        wants_from: bool,
        wait: Wait,
    ) -> Result<bool> {
        let room = buffer.len();
        let mut from = wants_from.then_some(received.from.raw_mut());
        let take = |flags: RecvFlags| {
            let (flags, from) = (flags | RecvFlags::CMSG_CLOEXEC, from.as_deref_mut());
            let len = receiving.prepare(self.fd(), buffer, from, flags).make()?;
            Ok((len, len))
        };
        let first = first.map(|first| first.map(|len| (len, len)));
        let taken = transfer::finish_taking(self.fd(), first, room, wait, take, || Ok(0));
        let (flags, control) = receiving.finish(from);
        let len = match self.whole(taken, room) {
            Ok(len) => len,
            Err(error) => {
                // Of a message that was cut the sender's address has been written, and descriptors may have come.
                received.clear();
                control.clear();
                return Err(error);
            }
        };
        let incoming = Incoming { len, flags };
        if self.mechanism == Mechanism::UnixSeqpacket && is_end(&incoming, !control.is_empty()) {
            return Ok(false);
        }
        received.read(self.mechanism, &self.object, &incoming, control)?;
        Ok(true)
    }

    /// The system call that takes a stretch of a stream.
    #[inline(always)]
    pub(super) fn prepare_stretch<'a>(
        &'a self,
        receiving: &'a mut Receiving,
        buffer: &'a mut [u8],
        wait: Wait,
    ) -> Prepared<'a> {
        let flags = receive_flags(wait.attempt()) | RecvFlags::CMSG_CLOEXEC;
        receiving.prepare(self.fd(), buffer, None, flags)
    }

    /// Takes a stretch of a stream, where the [prepared](Self::prepare_stretch) call has come to `first`.
    #[inline(always)]
    fn finish_stretch(
        &self,
        receiving: &mut Receiving,
        first: Outcome,
        buffer: &mut [u8],
        wait: Wait,
    ) -> Result<usize> {
        let take = |attempt| {
            let flags = receive_flags(attempt) | RecvFlags::CMSG_CLOEXEC;
            receiving.prepare(self.fd(), buffer, None, flags).make()
        };
        wait.on_descriptor_after(first, self.fd(), PollFlags::IN, take)
            .map_err(|errno| self.receive_error(errno))
    }

    /// Takes a stretch of a stream, and adds the descriptors that came along to those that the caller has.
    #[inline(always)]
    pub(super) fn finish_appending(
        &self,
        receiving: &mut Receiving,
        first: Outcome,
        buffer: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
        wait: Wait,
    ) -> Result<Appended> {
        let len = self.finish_stretch(receiving, first, buffer, wait)?;
        let (flags, control) = receiving.finish(None);
        let lost_descriptors = flags.contains(rustix::net::ReturnFlags::CTRUNC);
        while let Some(part) = control.next() {
            if let (sys::Received::Descriptors(passed), false) = (part, lost_descriptors) {
                descriptors.extend(passed);
            }
        }
        Ok(Appended { len, lost_descriptors })
    }

    /// Takes a message; what was attached to it is closed. Says where it came from, if that is asked.
    pub(super) fn receive_message(
        &self,
        buffer: &mut [u8],
        mut from: Option<&mut Address>,
        wait: Wait,
    ) -> Result<Incoming> {
        let room = buffer.len();
        let take = |flags| {
            let from = from.as_deref_mut().map(Address::raw_mut);
            let incoming = sys::receive(self.fd(), buffer, from, flags)?;
            Ok((incoming, incoming.len))
        };
        let taken = transfer::take_message(self.fd(), room, self.keeps(), wait, take, || Ok(END));
        self.whole(taken, room)
    }

    /// Copies the beginning of the next message, which stays, and says how long it is.
    pub(super) fn peek_message(&self, buffer: &mut [u8], wait: Wait) -> Result<Incoming> {
        let mut peek = |attempt| {
            let flags = RecvFlags::PEEK | RecvFlags::TRUNC | receive_flags(attempt);
            or_ended(self.fd(), wait, || sys::receive(self.fd(), buffer, None, flags), || Ok(END))
        };
        let peeked = wait.on_descriptor(self.fd(), PollFlags::IN, &mut peek);
        peeked.map_err(|errno| self.receive_error(errno))
    }

    /// Refuses a message that was, or would be, cut.
    #[inline]
    pub(super) fn whole<T>(&self, taken: Result<Taken<T>, Errno>, room: usize) -> Result<T> {
        match taken.map_err(|errno| self.receive_error(errno))? {
            Taken::Whole(message) => Ok(message),
            cut => Err(cut_error(self.mechanism, &self.object, cut, room)),
        }
    }

    pub(super) fn error(&self, operation: &'static str, errno: Errno) -> Error {
        Error::kernel(self.mechanism, operation, self.object.clone(), errno)
    }

    pub(super) fn refuse(&self, operation: &'static str, kind: ErrorKind, why: &'static str) -> Error {
        Error::refused(self.mechanism, operation, self.object.clone(), kind, why)
    }

    #[cold]
    pub(super) fn receive_error(&self, errno: Errno) -> Error {
        self.error("receive from", errno)
    }

    /// What went wrong with sending slices on a connection.
    pub(super) fn stream_error(&self, slices: &[IoSlice<'_>], errno: Errno) -> Error {
        let len = slices.iter().map(|slice| slice.len()).sum();
        self.own_send_error(len, errno)
    }

    /// What went wrong with sending so many bytes to whom this is connected to.
    #[cold]
    pub(super) fn own_send_error(&self, len: usize, errno: Errno) -> Error {
        self.send_error(self.object.clone(), len, errno)
    }

    pub(super) fn send_error(&self, object: Object, len: usize, errno: Errno) -> Error {
        let error = Error::kernel(self.mechanism, "send to", object, errno);
        match errno {
            Errno::MSGSIZE => {
                let current = sockopt::socket_send_buffer_size(self.fd()).ok().map(|bytes| bytes as u64);
                // The kernel keeps 32 bytes of the buffer for itself.
                let needed = Some(len as u64 + 32);
                error
                    .with_limit(Limit { name: "SO_SNDBUF", current, needed })
                    .with_advice("options().set_send_buffer raises it, up to twice net.core.wmem_max")
            }
            Errno::NOBUFS => {
                error.with_advice("the kernel has no memory for a message of this size; send smaller ones")
            }
            Errno::TOOMANYREFS => error
                .with_kind(ErrorKind::LimitReached)
                .with_limit(Limit::descriptors())
                .with_advice(
                    "so many descriptors of this user are under way already; have them received, or raise it \
                     with `ulimit -n`",
                ),
            Errno::DESTADDRREQ | Errno::NOTCONN => {
                error.with_kind(ErrorKind::NoPeer).with_advice("connect it first, or name the receiver")
            }
            Errno::AGAIN | Errno::TIMEDOUT if self.mechanism == Mechanism::UnixDatagram => error.with_advice(
                "the receiver's queue (net.unix.max_dgram_qlen messages) or this socket's send buffer is full",
            ),
            Errno::PERM => error.with_advice(
                "a plain user may send only its own credentials; and a datagram socket that is connected takes \
                 messages from its peer only",
            ),
            _ => peer_advice(error, errno),
        }
    }

    /// What went wrong with reaching `address`.
    pub(super) fn connect_error(&self, errno: Errno) -> Error {
        let error = self.error("connect to", errno);
        match errno {
            Errno::AGAIN | Errno::TIMEDOUT => error.with_advice(
                "the server accepts too slowly: its backlog (listen(2), net.core.somaxconn) is full",
            ),
            _ => peer_advice(error, errno),
        }
    }
}

/// Advice for the ways of not finding a peer.
fn peer_advice(error: Error, errno: Errno) -> Error {
    match errno {
        Errno::CONNREFUSED => error.with_advice(
            "nobody listens there: the server has not started, or has died and left its path behind",
        ),
        Errno::PROTOTYPE => error
            .with_kind(ErrorKind::InvalidInput)
            .with_advice("the socket there is of another type: stream, datagram and seqpacket do not mix"),
        Errno::ACCESS => error.with_advice(
            "connecting takes write permission on the socket file, and search permission on its directories",
        ),
        _ => error,
    }
}

/// Refuses a message that did not fit.
pub(crate) fn cut_error<T>(mechanism: Mechanism, object: &Object, cut: Taken<T>, room: usize) -> Error {
    let (kind, why, advice) = match cut {
        Taken::Left(len) => (
            ErrorKind::TooLong,
            format!("the message has {len} bytes and the buffer {room}; it is still there"),
            "receive it with a larger buffer",
        ),
        Taken::Cut(len) => (
            ErrorKind::Malformed,
            format!("the message had {len} bytes and the buffer {room}; the kernel discarded the rest"),
            "use a larger buffer, or keep_long_messages(true)",
        ),
        Taken::Whole(_) => (ErrorKind::Other, String::new(), ""),
    };
    Error::refused(mechanism, "receive from", object.clone(), kind, why).with_advice(advice)
}

/// What is received where nothing more can come.
const END: Incoming = Incoming { len: 0, flags: rustix::net::ReturnFlags::empty() };

/// Tells the end of a seqpacket connection from an empty message: with `SO_PASSCRED` every message brings control
/// messages, or `MSG_CTRUNC` where there was no room for them, and the end brings neither.
pub(super) fn is_end(incoming: &Incoming, has_control: bool) -> bool {
    incoming.len == 0 && !has_control && !incoming.flags.contains(rustix::net::ReturnFlags::CTRUNC)
}

/// What a call that cannot be polled for should ask the kernel for.
pub(super) fn attempt_of(wait: Wait) -> crate::wait::Attempt {
    if wait.is_forever() { crate::wait::Attempt::Block } else { crate::wait::Attempt::DontWait }
}

/// `socket(2)`, close-on-exec.
pub(super) fn make(mechanism: Mechanism) -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(AddressFamily::UNIX, socket_type(mechanism), SocketFlags::CLOEXEC, None)
}
