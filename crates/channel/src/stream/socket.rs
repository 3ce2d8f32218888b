//! Connected stream sockets.

use std::io::IoSlice;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use twixt_os::net::tcp;
use twixt_os::unix::{self, Attachments, Credentials, Receiving};
use twixt_os::{Error, ErrorKind, Maker, Outcome, Prepared, Result, Wait};

use super::{Sink, Source, borrowed, bytes, only};
use crate::Capacity;

/// One direction of a connection; the two directions share the socket.
struct Shared<S> {
    socket: Arc<S>,
    /// The process whose own the connection is, so that its end is for us to tell; none where others may share it. A forked
    /// child shares it too, and does not tell its end by dropping a copy.
    owner: Option<Maker>,
}

impl<S> Shared<S> {
    fn is_dropped_by_owner(&self) -> bool {
        self.owner.is_some_and(Maker::is_this)
    }
}

/// One direction over a Unix socket.
pub(crate) struct UnixEnd {
    shared: Shared<unix::Stream>,
    /// Whether descriptors are taken, or closed as they come.
    passes: bool,
    has_lost: bool,
    /// Where descriptors arrive, once something is received.
    receiving: Option<Box<Receiving>>,
    direction: Shutdown,
    /// Who had connected; unknown where the connection was made by others.
    peer: Option<Credentials>,
}

impl UnixEnd {
    /// Both directions of a connection of our own.
    pub(crate) fn pair(socket: unix::Stream, passes: bool) -> (Self, Self) {
        Self::halves(socket, passes, true, None)
    }

    /// The same of one that was accepted, from whom the kernel says.
    pub(crate) fn accepted(socket: unix::Stream, passes: bool) -> Result<(Self, Self)> {
        let peer = socket.peer_credentials()?;
        Ok(Self::halves(socket, passes, true, Some(peer)))
    }

    /// Both directions of a connection that other processes may share: its end is not ours to tell.
    pub(crate) fn shared(socket: unix::Stream, passes: bool) -> (Self, Self) {
        Self::halves(socket, passes, false, None)
    }

    fn halves(socket: unix::Stream, passes: bool, is_own: bool, peer: Option<Credentials>) -> (Self, Self) {
        let socket = Arc::new(socket);
        let owner = is_own.then(Maker::this);
        let half = |direction| {
            let shared = Shared { socket: Arc::clone(&socket), owner };
            Self { shared, passes, has_lost: false, receiving: None, direction, peer }
        };
        (half(Shutdown::Write), half(Shutdown::Read))
    }
}

impl Sink for UnixEnd {
    #[inline(always)]
    fn write(&mut self, slices: &[IoSlice<'_>], descriptors: &[BorrowedFd<'_>], wait: Wait) -> Result<usize> {
        let socket = &*self.shared.socket;
        match only(slices) {
            Some(bytes) if descriptors.is_empty() => socket.send_wait(bytes, wait),
            _ => send_with(socket, slices, descriptors, wait),
        }
    }

    #[inline(always)]
    fn prepares(&self, _: usize, _: Wait) -> bool {
        true
    }

    #[inline(always)]
    fn prepare_write<'a>(&'a mut self, bytes: &'a [u8], wait: Wait) -> Option<Prepared<'a>> {
        Some(self.shared.socket.prepare_send(bytes, wait))
    }

    fn finish_write(&mut self, first: Outcome, bytes: &[u8], wait: Wait) -> Result<usize> {
        self.shared.socket.finish_send(first, bytes, wait)
    }

    fn finish(&mut self, _: Wait) -> Result<()> {
        if self.shared.owner.is_some() {
            gone_is_fine(self.shared.socket.shutdown(Shutdown::Write))
        } else {
            Ok(())
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        borrowed(&*self.shared.socket)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.shared.socket.options().send_buffer().map(bytes)
    }

    fn len(&self) -> Result<Option<u64>> {
        self.shared.socket.options().queued_output().map(|queued| Some(queued as u64))
    }
}

impl Source for UnixEnd {
    #[inline(always)]
    fn read(&mut self, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>, wait: Wait) -> Result<usize> {
        match self.prepare_read(buffer, wait).map(Prepared::make) {
            Some(first) => self.finish_read(first, buffer, descriptors, wait),
            None => read_closing(&self.shared.socket, buffer, wait),
        }
    }

    #[inline(always)]
    fn prepare_read<'a>(&'a mut self, buffer: &'a mut [u8], wait: Wait) -> Option<Prepared<'a>> {
        if !self.passes {
            return None;
        }
        let receiving = self.receiving.get_or_insert_with(make_receiving);
        Some(self.shared.socket.prepare_receive_appending(receiving, buffer, wait))
    }

    #[inline(always)]
    fn finish_read(
        &mut self,
        first: Outcome,
        buffer: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
        wait: Wait,
    ) -> Result<usize> {
        let receiving = self.receiving.get_or_insert_with(make_receiving);
        let socket = &*self.shared.socket;
        let appended = socket.finish_receive_appending(receiving, first, buffer, descriptors, wait)?;
        self.has_lost |= appended.lost_descriptors;
        Ok(appended.len)
    }

    fn has_lost_descriptors(&mut self) -> bool {
        std::mem::take(&mut self.has_lost)
    }

    fn peer(&self) -> Option<Credentials> {
        self.peer
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        borrowed(&*self.shared.socket)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        // The sender's buffer holds what is under way.
        Ok(None)
    }

    fn len(&self) -> Result<Option<u64>> {
        self.shared.socket.options().queued_input().map(|queued| Some(queued as u64))
    }
}

/// The other direction may live on, and keep the connection open: so the end is told.
impl Drop for UnixEnd {
    fn drop(&mut self) {
        if self.shared.is_dropped_by_owner() {
            let _ = self.shared.socket.shutdown(self.direction);
        }
    }
}

/// One direction over a TCP connection.
pub(crate) struct TcpEnd {
    shared: Shared<tcp::Stream>,
    direction: Shutdown,
}

impl TcpEnd {
    /// Both directions of a connection of our own.
    pub(crate) fn pair(socket: tcp::Stream) -> (Self, Self) {
        Self::halves(socket, true)
    }

    /// Both directions of a connection that other processes may share: its end is not ours to tell.
    pub(crate) fn shared(socket: tcp::Stream) -> (Self, Self) {
        Self::halves(socket, false)
    }

    fn halves(socket: tcp::Stream, is_own: bool) -> (Self, Self) {
        let socket = Arc::new(socket);
        let owner = is_own.then(Maker::this);
        let half = |direction| {
            let shared = Shared { socket: Arc::clone(&socket), owner };
            Self { shared, direction }
        };
        (half(Shutdown::Write), half(Shutdown::Read))
    }
}

impl Sink for TcpEnd {
    #[inline(always)]
    fn write(&mut self, slices: &[IoSlice<'_>], _: &[BorrowedFd<'_>], wait: Wait) -> Result<usize> {
        match only(slices) {
            Some(bytes) => self.shared.socket.send_wait(bytes, wait),
            None => self.shared.socket.send_vectored_wait(slices, wait),
        }
    }

    #[inline(always)]
    fn prepares(&self, _: usize, _: Wait) -> bool {
        true
    }

    #[inline(always)]
    fn prepare_write<'a>(&'a mut self, bytes: &'a [u8], wait: Wait) -> Option<Prepared<'a>> {
        Some(self.shared.socket.prepare_send(bytes, wait))
    }

    fn finish_write(&mut self, first: Outcome, bytes: &[u8], wait: Wait) -> Result<usize> {
        self.shared.socket.finish_send(first, bytes, wait)
    }

    fn finish(&mut self, _: Wait) -> Result<()> {
        if self.shared.owner.is_some() {
            gone_is_fine(self.shared.socket.shutdown(Shutdown::Write))
        } else {
            Ok(())
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        borrowed(&*self.shared.socket)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.shared.socket.options().send_buffer().map(bytes)
    }

    fn len(&self) -> Result<Option<u64>> {
        self.shared.socket.options().queued_output().map(|queued| Some(queued as u64))
    }
}

impl Source for TcpEnd {
    #[inline(always)]
    fn read(&mut self, buffer: &mut [u8], _: &mut Vec<OwnedFd>, wait: Wait) -> Result<usize> {
        self.shared.socket.receive_wait(buffer, wait)
    }

    #[inline(always)]
    fn prepare_read<'a>(&'a mut self, buffer: &'a mut [u8], wait: Wait) -> Option<Prepared<'a>> {
        Some(self.shared.socket.prepare_receive(buffer, wait))
    }

    #[inline(always)]
    fn finish_read(
        &mut self,
        first: Outcome,
        buffer: &mut [u8],
        _: &mut Vec<OwnedFd>,
        wait: Wait,
    ) -> Result<usize> {
        self.shared.socket.finish_receive(first, buffer, wait)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        borrowed(&*self.shared.socket)
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        self.shared.socket.options().receive_buffer().map(bytes)
    }

    fn len(&self) -> Result<Option<u64>> {
        self.shared.socket.options().queued_input().map(|queued| Some(queued as u64))
    }
}

/// Only the end of what is sent is told: a TCP peer cannot be told not to send.
impl Drop for TcpEnd {
    fn drop(&mut self) {
        if self.shared.is_dropped_by_owner() && self.direction == Shutdown::Write {
            let _ = self.shared.socket.shutdown(Shutdown::Write);
        }
    }
}

#[cold]
#[inline(never)]
fn make_receiving() -> Box<Receiving> {
    Box::new(Receiving::new())
}

/// Apart from the sending of bytes alone, which has less to keep at hand.
#[inline(never)]
fn send_with(
    socket: &unix::Stream,
    slices: &[IoSlice<'_>],
    descriptors: &[BorrowedFd<'_>],
    wait: Wait,
) -> Result<usize> {
    socket.send_vectored_with_wait(slices, &Attachments::descriptors(descriptors), wait)
}

/// Apart from the receiving of descriptors, which the usual framing has: whatever comes beside the bytes is closed.
#[inline(never)]
fn read_closing(socket: &unix::Stream, buffer: &mut [u8], wait: Wait) -> Result<usize> {
    socket.receive_wait(buffer, wait)
}

/// Whoever has gone needs not be told.
fn gone_is_fine(told: Result<()>) -> Result<()> {
    let is_gone = |error: &Error| matches!(error.kind(), ErrorKind::PeerGone | ErrorKind::NoPeer);
    match told {
        Err(error) if is_gone(&error) => Ok(()),
        told => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_of_a_forked_child_ends_no_connection() {
        for (maker, ends) in [(Maker::this(), true), (Maker::another(), false)] {
            let (one, other) = unix::Stream::pair().unwrap();
            let (mut sink, mut source) = UnixEnd::pair(one, false);
            (sink.shared.owner, source.shared.owner) = (Some(maker), Some(maker));
            // The parent has them still.
            let _parents = Arc::clone(&sink.shared.socket);
            drop((sink, source));
            let told = other.receive_wait(&mut [0], Wait::never());
            assert_eq!(told.is_ok_and(|read| read == 0), ends);
            assert_eq!(other.send_wait(b"x", Wait::never()).is_err(), ends);
        }
    }
}
