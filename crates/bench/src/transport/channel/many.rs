//! Several messages with one system call: many frames in one write to a stream, `sendmmsg(2)` and `recvmmsg(2)` where the
//! kernel keeps boundaries.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, OwnedFd};

use twixt_address::{Endpoint, Framing, UnixKind};
use twixt_channel::framing::encode;
use twixt_channel::{Receiver, Sender};
use twixt_os::net::{MOST_AT_ONCE, tcp, udp};
use twixt_os::{ErrorKind, Wait, pipe, unix};

use super::Kind;
use crate::{Failure, Incoming, Outgoing, Result, Setup};

/// The bytes that are moved at once, where there are so many small messages.
const AT_ONCE: usize = 256 << 10;

/// Whether a kind moves more than one message at a time.
pub(super) fn is_possible(kind: &Kind) -> bool {
    kind.address.options().capacity() != Some(0)
        && matches!(
            kind.address.endpoint(),
            Endpoint::Pipe | Endpoint::Fifo(_) | Endpoint::Unix { .. } | Endpoint::Tcp(_) | Endpoint::Udp(_)
        )
}

/// How many messages of that size: at least two, or it would be no batch.
fn batch(size: usize) -> usize {
    (AT_ONCE / size.max(1)).clamp(2, MOST_AT_ONCE)
}

/// Sends several at once.
pub(super) enum SendMany {
    Frames(Frames),
    Messages(Messages),
}

impl SendMany {
    /// Over what a channel has opened.
    pub(super) fn over(setup: &Setup, kind: &Kind, sender: &Sender) -> Result<Self> {
        let size = setup.workload.size;
        let descriptor = copy(sender.readiness()?.descriptor())?;
        Ok(match kind.address.endpoint() {
            Endpoint::Unix { kind: UnixKind::Datagram, .. } => {
                let socket = unix::Datagram::try_from(descriptor)?;
                Self::Messages(Messages::new(size, move |slices, wait| socket.send_many_wait(slices, wait)))
            }
            Endpoint::Unix { kind: UnixKind::Seqpacket, .. } => {
                let socket = unix::Seqpacket::try_from(descriptor)?;
                Self::Messages(Messages::new(size, move |slices, wait| socket.send_many_wait(slices, wait)))
            }
            Endpoint::Udp(_) => {
                let socket = udp::Connected::try_from(descriptor)?;
                Self::Messages(Messages::new(size, move |slices, wait| socket.send_many_wait(slices, wait)))
            }
            Endpoint::Unix { .. } => {
                let socket = unix::Stream::try_from(descriptor)?;
                Self::Frames(Frames::new(size, kind, move |bytes, wait| socket.send_wait(bytes, wait)))
            }
            Endpoint::Tcp(_) => {
                let socket = tcp::Stream::try_from(descriptor)?;
                Self::Frames(Frames::new(size, kind, move |bytes, wait| socket.send_wait(bytes, wait)))
            }
            Endpoint::Pipe | Endpoint::Fifo(_) => {
                let writer = pipe::Writer::try_from(descriptor)?;
                Self::Frames(Frames::new(size, kind, move |bytes, wait| writer.write_wait(bytes, wait)))
            }
            _ => return Err(Failure::Unsupported("it moves one message at a time".into())),
        })
    }

    pub(super) fn batch(&self) -> usize {
        match self {
            Self::Frames(frames) => batch(frames.size),
            Self::Messages(messages) => messages.rooms.len(),
        }
    }

    /// Sends messages, and says how many went. Those that did not come again, and nothing else.
    pub(super) fn send(&mut self, messages: &mut [Outgoing], wait: Wait) -> Result<usize> {
        match self {
            Self::Frames(frames) => frames.send(messages, wait),
            Self::Messages(many) => many.send(messages, wait),
        }
    }
}

type Write = Box<dyn FnMut(&[u8], Wait) -> twixt_os::Result<usize>>;

/// Frames, one behind the other.
pub(super) struct Frames {
    size: usize,
    framing: Framing,
    write: Write,
    message: Vec<u8>,
    frames: Vec<u8>,
    /// How many bytes of the frames have gone.
    gone: usize,
}

/// The bytes of a length before a message.
const LENGTH: usize = 4;

impl Frames {
    fn new(
        size: usize,
        kind: &Kind,
        write: impl FnMut(&[u8], Wait) -> twixt_os::Result<usize> + 'static,
    ) -> Self {
        let framing = kind.address.options().framing().or(kind.can.framing).unwrap_or_default();
        let (message, frames) = (vec![0; size], Vec::new());
        Self { size, framing, write: Box::new(write), message, frames, gone: 0 }
    }

    fn put(&mut self, message: &mut Outgoing) -> Result<()> {
        if self.framing == Framing::Len {
            let start = self.frames.len();
            self.frames.resize(start + LENGTH + self.size, 0);
            let (length, room) = self.frames[start..].split_at_mut(LENGTH);
            length.copy_from_slice(&(self.size as u32).to_le_bytes());
            message.fill(room);
            return Ok(());
        }
        message.fill(&mut self.message);
        encode(self.framing, &self.message, &mut self.frames).map_err(Failure::failed)
    }

    fn send(&mut self, messages: &mut [Outgoing], wait: Wait) -> Result<usize> {
        if self.frames.is_empty() {
            for message in messages.iter_mut() {
                self.put(message)?;
            }
        }
        while self.gone < self.frames.len() {
            match (self.write)(&self.frames[self.gone..], wait) {
                Ok(gone) => self.gone += gone,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                Err(error) => return Err(error.into()),
            }
        }
        self.frames.clear();
        self.gone = 0;
        Ok(messages.len())
    }
}

type SendAll = Box<dyn FnMut(&[IoSlice<'_>], Wait) -> twixt_os::Result<usize>>;

/// Messages that the kernel tells apart.
pub(super) struct Messages {
    send: SendAll,
    rooms: Vec<Vec<u8>>,
    /// Where the first stands of those that come again.
    first: usize,
}

impl Messages {
    fn new(size: usize, send: impl FnMut(&[IoSlice<'_>], Wait) -> twixt_os::Result<usize> + 'static) -> Self {
        Self { send: Box::new(send), rooms: vec![vec![0; size]; batch(size)], first: 0 }
    }

    fn send(&mut self, messages: &mut [Outgoing], wait: Wait) -> Result<usize> {
        let rooms = &mut self.rooms[self.first..][..messages.len()];
        for (message, room) in messages.iter_mut().zip(&mut *rooms) {
            if !message.is_filled() {
                message.fill(room);
            }
        }
        let mut slices = [IoSlice::new(&[]); MOST_AT_ONCE];
        for (slice, room) in slices.iter_mut().zip(&*rooms) {
            *slice = IoSlice::new(room);
        }
        match (self.send)(&slices[..messages.len().min(MOST_AT_ONCE)], wait) {
            Ok(went) => {
                self.first = if went == messages.len() { 0 } else { self.first + went };
                Ok(went)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

type ReceiveAll = Box<dyn FnMut(&mut [IoSliceMut<'_>], &mut [usize], Wait) -> twixt_os::Result<usize>>;

/// Receives several at once, where the kernel tells them apart. From a stream one read brings several anyway.
pub(super) struct ReceiveMany {
    receive: ReceiveAll,
    rooms: Vec<Vec<u8>>,
}

impl ReceiveMany {
    /// Over what a channel has opened; `None` for a stream.
    pub(super) fn over(setup: &Setup, kind: &Kind, receiver: &Receiver) -> Result<Option<Self>> {
        let receive: ReceiveAll = match kind.address.endpoint() {
            Endpoint::Unix { kind: UnixKind::Datagram, .. } => {
                let socket = unix::Datagram::try_from(copy(receiver.readiness()?.descriptor())?)?;
                Box::new(move |rooms, lens, wait| socket.receive_many_wait(rooms, lens, wait))
            }
            Endpoint::Unix { kind: UnixKind::Seqpacket, .. } => {
                let socket = unix::Seqpacket::try_from(copy(receiver.readiness()?.descriptor())?)?;
                Box::new(move |rooms, lens, wait| socket.receive_many_wait(rooms, lens, wait))
            }
            Endpoint::Udp(_) => {
                let socket = udp::Socket::try_from(copy(receiver.readiness()?.descriptor())?)?;
                Box::new(move |rooms, lens, wait| socket.receive_many_wait(rooms, lens, wait))
            }
            _ => return Ok(None),
        };
        let size = setup.workload.size;
        Ok(Some(Self { receive, rooms: vec![vec![0; size]; batch(size)] }))
    }

    pub(super) fn receive(&mut self, incoming: &mut Incoming, wait: Wait) -> Result<bool> {
        let mut lens = [0; MOST_AT_ONCE];
        let lens = &mut lens[..self.rooms.len()];
        let mut rooms: Vec<IoSliceMut<'_>> =
            self.rooms.iter_mut().map(|room| IoSliceMut::new(room)).collect();
        let came = match (self.receive)(&mut rooms, lens, wait) {
            Ok(came) => came,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        for (room, &len) in self.rooms.iter().zip(&lens[..came]) {
            if len == 0 {
                return Err(Failure::failed("the other side has closed the connection"));
            }
            // One that is longer than its room is of another length than all of them, too.
            incoming.check(room.get(..len).unwrap_or(&[]));
        }
        Ok(true)
    }
}

/// Another descriptor of the same socket, which the channel goes on to hold.
fn copy(descriptor: BorrowedFd<'_>) -> Result<OwnedFd> {
    Ok(descriptor.try_clone_to_owned()?)
}
