//! What sockets that keep message boundaries have in common.

use std::cell::Cell;

use twixt_address::{Endpoint, OptionName, UnixName};
use twixt_os::net::Options;
use twixt_os::unix::{Address, BindOptions};
use twixt_os::{Deadline, Error, ErrorKind, Limit, Result, Room, Wait};

use crate::message::Details;
use crate::{Message, Opening};

/// `net.core.wmem_default` less what the kernel keeps for itself: the longest message of an untouched Unix socket.
pub(super) const USUAL_LONGEST_UNIX: usize = 212_992 - RESERVED;
/// What the kernel keeps of a Unix socket's send buffer.
pub(super) const RESERVED: usize = 32;

thread_local! {
    /// Room for a message of any length, for the time of one call, which takes it away and puts it back. The bytes are copied
    /// out of it, so that the caller's room need only be as large as the messages that come, and not as the longest that might.
    /// In a box, as a room is four words long.
    static ROOM: Cell<Option<Box<Room>>> = const { Cell::new(None) };
}

/// Receives into room for the longest message that can come. `receive` fills in the details, and gives the length beside its
/// result.
#[inline(always)]
pub(super) fn receive<T>(
    message: &mut Message,
    longest: usize,
    receive: impl FnOnce(&mut [u8], &mut Details) -> Result<(T, usize)>,
) -> Result<T> {
    let mut borrowed = if message.room_len() < longest { Some(borrow_room(longest)) } else { None };
    let received = receive_in(&mut borrowed, message, longest, receive);
    if let Some(room) = borrowed {
        put_back(room);
    }
    received
}

/// As [`receive`], into room of a receiver's own, which is made when it is needed.
#[inline(always)]
pub(super) fn receive_in<T>(
    own: &mut Option<Box<Room>>,
    message: &mut Message,
    longest: usize,
    receive: impl FnOnce(&mut [u8], &mut Details) -> Result<(T, usize)>,
) -> Result<T> {
    let is_messages = message.room_len() >= longest;
    let (room, details) = room_in(own, message, longest);
    let (received, len) = receive(room, details)?;
    match own {
        Some(room) if !is_messages => message.set(room.get(..len).unwrap_or(room)),
        _ => message.set_len(len),
    }
    Ok(received)
}

/// What [`receive_in`] receives into, for a call that is [prepared](twixt_os::Prepared).
#[inline(always)]
pub(super) fn room_in<'a>(
    own: &'a mut Option<Box<Room>>,
    message: &'a mut Message,
    longest: usize,
) -> (&'a mut [u8], &'a mut Details) {
    if message.room_len() >= longest {
        return message.room_and_details();
    }
    let (_, details) = message.room_and_details();
    // Longer messages may have come since it was made.
    own.take_if(|room| room.len() < longest);
    (own.get_or_insert_with(|| make_room(longest)), details)
}

#[inline(always)]
fn borrow_room(len: usize) -> Box<Room> {
    match ROOM.try_with(Cell::take) {
        Ok(Some(room)) if room.len() >= len => room,
        // A thread that is ending has no such room any more, and gets one for the time being.
        _ => make_room(len),
    }
}

#[inline(always)]
fn put_back(room: Box<Room>) {
    let _ = ROOM.try_with(|kept| kept.set(Some(room)));
}

#[cold]
#[inline(never)]
fn make_room(len: usize) -> Box<Room> {
    // Not there before it is written to.
    Box::new(Room::with_len(len))
}

/// The most that a Unix socket of a plain user can send: its buffer is at most twice `net.core.wmem_max`, or what it had
/// from the beginning. `untouched` is the buffer of a socket that nobody changed.
pub(super) fn longest_unix(untouched: usize) -> usize {
    let most = Limit::sysctl("net.core.wmem_max", 0).current.and_then(|most| usize::try_from(most).ok());
    most.unwrap_or(untouched).saturating_mul(2).max(untouched).max(USUAL_LONGEST_UNIX)
}

/// What to do about a message that is longer than anything a plain user can send: the first one is lost, and from then
/// on lengths are looked at first, which costs a second system call. Gives the room that the next one needs.
pub(super) fn longer(
    error: &Error,
    keep_long_messages: impl FnOnce(bool),
    peek: impl FnOnce() -> Result<usize>,
) -> Result<Option<usize>> {
    match error.kind() {
        ErrorKind::Malformed => {
            keep_long_messages(true);
            Ok(None)
        }
        ErrorKind::TooLong => peek().map(Some),
        _ => Ok(None),
    }
}

/// The address of a Unix socket.
pub(super) fn unix_address(opening: &Opening) -> Result<Address> {
    match opening.endpoint() {
        Endpoint::Unix { name: UnixName::Path(path), .. } => Address::path(path.as_path()),
        Endpoint::Unix { name: UnixName::Abstract(name), .. } => Address::abstract_name(name.as_bytes()),
        _ => Err(opening.refused("open", ErrorKind::InvalidInput, "it names no Unix socket")),
    }
}

/// How the side that has the address binds to it: what a dead one has left there goes.
pub(super) fn bind_options(opening: &Opening) -> BindOptions {
    BindOptions::new().mode(opening.mode()).take_over_stale(opening.binding_wait())
}

impl Opening {
    /// How long to wait for others that bind to the same path at this moment. They take a few system calls.
    fn binding_wait(&self) -> Wait {
        let wait = self.opening_wait();
        if wait.is_forever() {
            Wait::until(Deadline::after(core::time::Duration::from_secs(5)))
        } else {
            wait
        }
    }
}

/// Refuses what concerns the making of a socket's file where none is made.
pub(super) fn makes_nothing(opening: &Opening) -> Result<()> {
    let why = "the socket is made by the side that listens";
    opening.without("connect to", &[OptionName::Create, OptionName::Mode], why)
}

/// Says of a socket that is missing how it can be had.
pub(super) fn or_advise(error: Error) -> Error {
    if error.kind() == ErrorKind::NotFound && error.advice().is_none() {
        error.with_advice("the receiving side makes it; start that one first")
    } else {
        error
    }
}

/// Which buffer of a socket.
#[derive(Clone, Copy, Debug)]
pub(super) enum Buffer {
    Send,
    Receive,
}

/// The bytes that the address asks a buffer to have, and what to tell the kernel for it, which doubles that number.
pub(super) fn asked_and_half(opening: &Opening) -> Option<(usize, usize)> {
    let asked = opening.address().options().capacity().filter(|&bytes| bytes > 0)?;
    let asked = usize::try_from(asked).unwrap_or(usize::MAX);
    Some((asked, asked.div_ceil(2)))
}

/// Gives a socket the buffer that the address asks for, of so many bytes as the kernel counts them.
pub(super) fn set_buffer(opening: &Opening, options: Options<'_>, buffer: Buffer) -> Result<()> {
    let Some((_, half)) = asked_and_half(opening) else { return Ok(()) };
    match buffer {
        Buffer::Send => options.set_send_buffer(half)?,
        Buffer::Receive => options.set_receive_buffer(half)?,
    }
    check_buffer(opening, options, buffer)
}

/// Refuses a buffer that is smaller than what the address asks for.
pub(super) fn check_buffer(opening: &Opening, options: Options<'_>, buffer: Buffer) -> Result<()> {
    let Some((asked, half)) = asked_and_half(opening) else { return Ok(()) };
    let (got, limit) = match buffer {
        Buffer::Send => (options.send_buffer()?, "net.core.wmem_max"),
        Buffer::Receive => (options.receive_buffer()?, "net.core.rmem_max"),
    };
    if got < asked {
        let why = format!("the kernel gives a buffer of {got} bytes at most");
        return Err(opening
            .refused("open", ErrorKind::LimitReached, why)
            .with_limit(Limit::sysctl(limit, 0).needed(half as u64))
            .with_advice("lower ?capacity, or raise the limit with sysctl"));
    }
    Ok(())
}
