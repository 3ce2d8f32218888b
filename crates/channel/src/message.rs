//! What arrives: bytes, and what came with them.

use core::{fmt, mem};
use std::os::fd::OwnedFd;

use bitflags::bitflags;
use twixt_os::Room;
use twixt_os::unix::{Credentials, Received};

use crate::source::Source;

/// A received message, which is also the room for the next one.
///
/// Receiving into the same message again ([`Receiver::receive_into`](crate::Receiver::receive_into)) allocates nothing
/// once the room is large enough.
pub struct Message {
    /// Never shortened, so that its bytes need not be zeroed again: the message is the first `len` of them.
    room: Room,
    len: usize,
    /// What of the following is of this message.
    has: Has,
    message_type: i64,
    priority: u32,
    /// Who is at the other end of the connection that it came by, where no credentials came with it.
    peer: Credentials,
    details: Details,
}

bitflags! {
    /// What came with a message. In one byte, so that it is quickly cleared for the next one.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    struct Has: u8 {
        const TYPE = 1;
        const PRIORITY = 1 << 1;
        const PEER = 1 << 2;
        /// Something may be in the details.
        const DETAILS = 1 << 3;
    }
}

/// What else came with the bytes. A mechanism fills in what it has.
#[derive(Debug, Default)]
pub(crate) struct Details {
    pub(crate) publisher: Option<u64>,
    pub(crate) sequence: Option<u64>,
    pub(crate) missed: u64,
    pub(crate) deliveries: Option<u32>,
    pub(crate) source: Source,
    /// What comes along over Unix sockets.
    pub(crate) received: Received,
}

impl Details {
    const fn none() -> Self {
        Self {
            publisher: None,
            sequence: None,
            missed: 0,
            deliveries: None,
            source: Source::none(),
            received: Received::new(),
        }
    }
}

/// Stands for the credentials that are not there.
const NOBODY: Credentials = Credentials { pid: None, uid: 0, gid: 0 };

impl Message {
    /// An empty message without room.
    pub const fn new() -> Self {
        Self {
            room: Room::new(),
            len: 0,
            has: Has::empty(),
            message_type: 0,
            priority: 0,
            peer: NOBODY,
            details: Details::none(),
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.room[..self.len]
    }

    /// How many bytes there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none; an empty message is a message.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the bytes out.
    pub fn into_bytes(self) -> Vec<u8> {
        self.room.into_vec(self.len)
    }

    /// The type it was sent with, where the mechanism has types (System V message queues).
    pub const fn message_type(&self) -> Option<i64> {
        if self.has.contains(Has::TYPE) { Some(self.message_type) } else { None }
    }

    /// The priority it was sent with, where the mechanism has priorities (POSIX message queues).
    pub const fn priority(&self) -> Option<u32> {
        if self.has.contains(Has::PRIORITY) { Some(self.priority) } else { None }
    }

    /// Who sent it, as the kernel says, where it says so.
    pub const fn credentials(&self) -> Option<Credentials> {
        match self.details.received.credentials {
            None if self.has.contains(Has::PEER) => Some(self.peer),
            credentials => credentials,
        }
    }

    /// Which sender it is of, by its place on the bus, where the mechanism is of the bus. Another may have the place later.
    pub const fn publisher(&self) -> Option<u64> {
        self.details.publisher
    }

    /// The number that its sender gave it, one more for each, where the mechanism is of the bus.
    pub const fn sequence(&self) -> Option<u64> {
        self.details.sequence
    }

    /// How many messages before it this receiver has missed, since it was too slow (topics with `?slow=drop-oldest` or
    /// `drop-newest`, latest values).
    pub const fn missed(&self) -> u64 {
        self.details.missed
    }

    /// How often it was handed out, this time included, where the mechanism hands out again what nobody acknowledged (queues of
    /// the bus).
    pub const fn deliveries(&self) -> Option<u32> {
        self.details.deliveries
    }

    /// The address of its sender, where the mechanism knows one (datagrams): what a socket of the kind could send an
    /// answer to.
    pub fn source(&self) -> Option<&str> {
        self.details.source.text(&self.details.received.from)
    }

    /// The descriptors that came along (Unix sockets), close-on-exec. The next receive closes what is still here.
    pub fn descriptors(&self) -> &[OwnedFd] {
        &self.details.received.descriptors
    }

    /// Takes the descriptors out.
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        mem::take(&mut self.details.received.descriptors)
    }

    /// Empties it, for the next message. What room it has stays.
    #[inline]
    pub(crate) fn clear(&mut self) {
        if self.has.contains(Has::DETAILS) {
            self.clear_details();
        }
        (self.len, self.has) = (0, Has::empty());
    }

    /// Apart, so that what is part of every receiver's caller is short.
    #[inline(never)]
    fn clear_details(&mut self) {
        let Details { publisher, sequence, missed, deliveries, source, received } = &mut self.details;
        (*publisher, *sequence, *missed, *deliveries) = (None, None, 0, None);
        source.clear();
        received.clear();
    }

    /// Says of which type it is.
    #[inline]
    pub(crate) fn set_message_type(&mut self, message_type: i64) {
        self.message_type = message_type;
        self.has |= Has::TYPE;
    }

    /// Says of which priority it is.
    #[inline]
    pub(crate) fn set_priority(&mut self, priority: u32) {
        self.priority = priority;
        self.has |= Has::PRIORITY;
    }

    /// Says who is at the other end of the connection that it came by, if that is known.
    #[inline]
    pub(crate) fn set_peer(&mut self, peer: Option<Credentials>) {
        if let Some(peer) = peer {
            self.peer = peer;
            self.has |= Has::PEER;
        }
    }

    /// What else came with the bytes, to be filled in.
    #[inline]
    pub(crate) fn details(&mut self) -> &mut Details {
        self.has |= Has::DETAILS;
        &mut self.details
    }

    /// Room for `len` bytes at least, to be written into; [`Message::set_len`] then says how many were. What the room
    /// holds until then is left over from earlier messages.
    pub(crate) fn room(&mut self, len: usize) -> &mut [u8] {
        self.room.grow(len);
        &mut self.room
    }

    /// All the room there is, and what came with the bytes, to be filled in.
    #[inline]
    pub(crate) fn room_and_details(&mut self) -> (&mut [u8], &mut Details) {
        self.has |= Has::DETAILS;
        (&mut self.room, &mut self.details)
    }

    /// How many bytes there is room for.
    pub(crate) fn room_len(&self) -> usize {
        self.room.len()
    }

    /// How many bytes of the room are the message.
    pub(crate) fn set_len(&mut self, len: usize) {
        debug_assert!(len <= self.room.len());
        self.len = len.min(self.room.len());
    }

    /// Makes the first `len` bytes of this room the message's, and leaves its own room in exchange.
    pub(crate) fn exchange(&mut self, room: &mut Room, len: usize) {
        mem::swap(&mut self.room, room);
        self.set_len(len);
    }

    /// Makes these bytes the message's.
    #[inline]
    pub(crate) fn set(&mut self, bytes: &[u8]) {
        match self.room.get_mut(..bytes.len()) {
            Some(room) => room.copy_from_slice(bytes),
            None => self.room(bytes.len())[..bytes.len()].copy_from_slice(bytes),
        }
        self.len = bytes.len();
    }
}

impl Default for Message {
    fn default() -> Self {
        Self::new()
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("len", &self.len)
            .field("message_type", &self.message_type())
            .field("priority", &self.priority())
            .field("credentials", &self.credentials())
            .field("details", &self.details)
            .finish()
    }
}
