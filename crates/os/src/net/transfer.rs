//! Moving bytes through any connected socket or message socket: the system calls and how they wait.
//!
//! Every send has `MSG_NOSIGNAL`, and no call makes the open file description non-blocking, which other processes may
//! share: where the caller has a deadline, each single call says `MSG_DONTWAIT`.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use rustix::event::PollFlags;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};

use crate::wait::Attempt;
use crate::{Errno, Outcome, Prepared, Wait};

pub(crate) fn send_flags(attempt: Attempt) -> SendFlags {
    match attempt {
        Attempt::Block => SendFlags::NOSIGNAL,
        Attempt::DontWait => SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    }
}

pub(crate) fn receive_flags(attempt: Attempt) -> RecvFlags {
    match attempt {
        Attempt::Block => RecvFlags::empty(),
        Attempt::DontWait => RecvFlags::DONTWAIT,
    }
}

/// `send(2)` once it can be done.
#[inline]
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8], wait: Wait) -> Result<usize, Errno> {
    sent(fd, prepare_send(fd, bytes, wait).make(), bytes, wait)
}

/// The first attempt of [`send`].
#[inline]
pub(crate) fn prepare_send<'a>(fd: BorrowedFd<'a>, bytes: &'a [u8], wait: Wait) -> Prepared<'a> {
    Prepared::send(fd, bytes, send_flags(wait.attempt()))
}

/// The rest of [`send`], by what its first attempt has come to.
#[inline]
pub(crate) fn sent(fd: BorrowedFd<'_>, first: Outcome, bytes: &[u8], wait: Wait) -> Result<usize, Errno> {
    let send = |attempt| Prepared::send(fd, bytes, send_flags(attempt)).make();
    wait.on_descriptor_after(first, fd, PollFlags::OUT, send)
}

/// `sendmsg(2)` of several slices once it can be done.
pub(crate) fn send_vectored(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>], wait: Wait) -> Result<usize, Errno> {
    wait.on_descriptor(fd, PollFlags::OUT, |attempt| {
        sendmsg(fd, slices, &mut SendAncillaryBuffer::default(), send_flags(attempt))
    })
}

/// `send(2)` until all bytes are gone; `sent` grows as they go.
pub(crate) fn send_all(fd: BorrowedFd<'_>, bytes: &[u8], sent: &mut usize, wait: Wait) -> Result<(), Errno> {
    while let Some(rest) = bytes.get(*sent..).filter(|rest| !rest.is_empty()) {
        let gone = send(fd, rest, wait)?;
        *sent += gone;
        // A blocking send on a stream is cut short by a signal handler, and by nothing else that the next call would
        // not report.
        let interruptible = wait == wait.interruptible();
        if interruptible && wait.is_forever() && gone < rest.len() {
            return Err(Errno::INTR);
        }
    }
    Ok(())
}

/// `recv(2)` on a stream: 0 is its end.
#[inline]
pub(crate) fn receive(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: RecvFlags,
    wait: Wait,
) -> Result<usize, Errno> {
    received(fd, prepare_receive(fd, buffer, flags, wait).make(), buffer, flags, wait)
}

/// The first attempt of [`receive`].
#[inline]
pub(crate) fn prepare_receive<'a>(
    fd: BorrowedFd<'a>,
    buffer: &'a mut [u8],
    flags: RecvFlags,
    wait: Wait,
) -> Prepared<'a> {
    Prepared::receive(fd, buffer, flags | receive_flags(wait.attempt()))
}

/// The rest of [`receive`], by what its first attempt has come to.
#[inline]
pub(crate) fn received(
    fd: BorrowedFd<'_>,
    first: Outcome,
    buffer: &mut [u8],
    flags: RecvFlags,
    wait: Wait,
) -> Result<usize, Errno> {
    let receive = |attempt| Prepared::receive(fd, buffer, flags | receive_flags(attempt)).make();
    wait.on_descriptor_after(first, fd, PollFlags::IN, receive)
}

/// `recv(2)` until the buffer is full or the stream ends; `received` grows as bytes come.
pub(crate) fn receive_exact(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    received: &mut usize,
    wait: Wait,
) -> Result<(), Errno> {
    while let Some(rest) = buffer.get_mut(*received..).filter(|rest| !rest.is_empty()) {
        match receive(fd, rest, RecvFlags::empty(), wait)? {
            0 => break,
            len => *received += len,
        }
    }
    Ok(())
}

/// What became of a message that may have been longer than the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken<T> {
    /// It is in the buffer.
    Whole(T),
    /// Its beginning is in the buffer; the kernel discarded the rest. It had this length.
    Cut(usize),
    /// It had this length and is still in the queue.
    Left(usize),
}

/// Takes a message from a socket that keeps message boundaries.
///
/// `take` receives with `MSG_TRUNC` and the flags that it is given, and says how long the message really was. To keep
/// a message that is too long, the length is looked at first; another process may take that very message meanwhile,
/// so that the next one is cut after all. `ended` is what comes when this side was shut down for reading.
#[inline(always)]
pub(crate) fn take_message<T>(
    fd: BorrowedFd<'_>,
    room: usize,
    keep: bool,
    wait: Wait,
    mut take: impl FnMut(RecvFlags) -> Result<(T, usize), Errno>,
    ended: impl Fn() -> Result<T, Errno>,
) -> Result<Taken<T>, Errno> {
    let first = if keep { None } else { Some(take(message_flags(wait))) };
    finish_taking(fd, first, room, wait, take, ended)
}

/// The flags of the first attempt of [`take_message`], where there is one.
#[inline]
pub(crate) fn message_flags(wait: Wait) -> RecvFlags {
    RecvFlags::TRUNC | receive_flags(wait.attempt())
}

/// The rest of [`take_message`], by what its first attempt has come to; `None` if the length is to be looked at first.
#[inline(always)]
pub(crate) fn finish_taking<T>(
    fd: BorrowedFd<'_>,
    first: Option<Result<(T, usize), Errno>>,
    room: usize,
    wait: Wait,
    mut take: impl FnMut(RecvFlags) -> Result<(T, usize), Errno>,
    ended: impl Fn() -> Result<T, Errno>,
) -> Result<Taken<T>, Errno> {
    let mut take = |first: Option<Result<(T, usize), Errno>>, flags| {
        let mut take = || take(flags | RecvFlags::TRUNC);
        let taken = match first.unwrap_or_else(&mut take) {
            Err(Errno::AGAIN) if !wait.is_never() => {
                ended_or_not_yet(fd, take, || ended().map(|end| (end, 0)))
            }
            outcome => outcome,
        };
        match taken? {
            (_, len) if len > room => Ok(Taken::Cut(len)),
            (taken, _) => Ok(Taken::Whole(taken)),
        }
    };
    let Some(first) = first else { return take_what_fits(fd, room, wait, |flags| take(None, flags)) };
    let first = take(Some(first), receive_flags(wait.attempt()));
    wait.on_descriptor_after(first, fd, PollFlags::IN, |attempt| take(None, receive_flags(attempt)))
}

/// As [`take_message`], but leaves a message that is too long.
#[cold]
#[inline(never)]
fn take_what_fits<T>(
    fd: BorrowedFd<'_>,
    room: usize,
    wait: Wait,
    mut take: impl FnMut(RecvFlags) -> Result<Taken<T>, Errno>,
) -> Result<Taken<T>, Errno> {
    loop {
        let len = next_len(fd, wait)?;
        if len > room {
            return Ok(Taken::Left(len));
        }
        match take(RecvFlags::DONTWAIT) {
            // Another process was faster.
            Err(Errno::AGAIN) if !wait.is_never() => {}
            Err(Errno::INTR) if !wait.is_interruptible() => {}
            outcome => return outcome,
        }
    }
}

/// The length of the next message, which stays where it is.
fn next_len(fd: BorrowedFd<'_>, wait: Wait) -> Result<usize, Errno> {
    wait.on_descriptor(fd, PollFlags::IN, |attempt| {
        let flags = RecvFlags::PEEK | RecvFlags::TRUNC | receive_flags(attempt);
        or_ended(fd, wait, || recv(fd, &mut [0_u8; 0], flags).map(|(_, len)| len), || Ok(0))
    })
}

/// Makes a call on a socket that may have been shut down for reading.
///
/// Once it is empty the kernel lets those that wait in a call know, but goes on to tell `EAGAIN` to those that do not,
/// while poll calls it readable. After the shutdown nothing more can arrive, so a second `EAGAIN` is the end. Who does
/// not want to wait at all is spared the question, as in C.
#[inline(always)]
pub(crate) fn or_ended<T>(
    fd: BorrowedFd<'_>,
    wait: Wait,
    mut call: impl FnMut() -> Result<T, Errno>,
    ended: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match call() {
        Err(Errno::AGAIN) if !wait.is_never() => ended_or_not_yet(fd, call, ended),
        outcome => outcome,
    }
}

/// Apart, so that what mostly succeeds at once is short.
#[cold]
#[inline(never)]
fn ended_or_not_yet<T>(
    fd: BorrowedFd<'_>,
    mut call: impl FnMut() -> Result<T, Errno>,
    ended: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    Wait::never().poll(fd, PollFlags::RDHUP).map_err(|_| Errno::AGAIN)?;
    match call() {
        Err(Errno::AGAIN) => ended(),
        outcome => outcome,
    }
}
