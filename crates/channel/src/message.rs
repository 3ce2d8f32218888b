//! What arrives: bytes, and what came with them.

use core::fmt;
use std::os::fd::OwnedFd;

use twixt_os::Room;
use twixt_os::unix::{Credentials, Received};

use crate::source::Source;

/// A received message, which is also the room for the next one.
///
/// Receiving into the same message again ([`Receiver::receive_into`](crate::Receiver::receive_into)) allocates nothing
/// once the room is large enough.
#[derive(Default)]
pub struct Message {
    /// Never shortened, so that its bytes need not be zeroed again: the message is the first `len` of them.
    room: Room,
    len: usize,
    pub(crate) details: Details,
}

/// What came with the bytes. A mechanism fills in what it has.
#[derive(Debug, Default)]
pub(crate) struct Details {
    pub(crate) message_type: Option<i64>,
    pub(crate) priority: Option<u32>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) publisher: Option<u64>,
    pub(crate) sequence: Option<u64>,
    pub(crate) missed: u64,
    pub(crate) deliveries: Option<u32>,
    pub(crate) source: Source,
    pub(crate) descriptors: Vec<OwnedFd>,
}

impl Details {
    /// Takes what came along with a message over a Unix socket, but leaves its address readable. What descriptors there
    /// were before are gone.
    #[inline]
    pub(crate) fn take(&mut self, received: &mut Received) {
        self.credentials = received.credentials;
        if !received.from.is_unnamed() {
            self.source.set_unix(&received.from);
        }
        if !received.descriptors.is_empty() {
            self.descriptors.clear();
            std::mem::swap(&mut self.descriptors, &mut received.descriptors);
        }
    }

    /// What few messages have: apart, so that all others are cleared without a call.
    #[inline(never)]
    fn close_descriptors(&mut self) {
        self.descriptors.clear();
    }
}

impl Message {
    /// An empty message without room.
    pub const fn new() -> Self {
        let details = Details {
            message_type: None,
            priority: None,
            credentials: None,
            publisher: None,
            sequence: None,
            missed: 0,
            deliveries: None,
            source: Source::none(),
            descriptors: Vec::new(),
        };
        Self { room: Room::new(), len: 0, details }
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
        self.details.message_type
    }

    /// The priority it was sent with, where the mechanism has priorities (POSIX message queues).
    pub const fn priority(&self) -> Option<u32> {
        self.details.priority
    }

    /// Who sent it, as the kernel says, where it says so.
    pub const fn credentials(&self) -> Option<Credentials> {
        self.details.credentials
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
        self.details.source.text()
    }

    /// The descriptors that came along (Unix sockets), close-on-exec. The next receive closes what is still here.
    pub fn descriptors(&self) -> &[OwnedFd] {
        &self.details.descriptors
    }

    /// Takes the descriptors out.
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.details.descriptors)
    }

    /// Empties it, for the next message. What room it has stays.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.details.message_type = None;
        self.details.priority = None;
        self.details.credentials = None;
        self.details.publisher = None;
        self.details.sequence = None;
        self.details.missed = 0;
        self.details.deliveries = None;
        self.details.source.clear();
        if !self.details.descriptors.is_empty() {
            self.details.close_descriptors();
        }
    }

    /// Room for `len` bytes at least, to be written into; [`Message::set_len`] then says how many were. What the room
    /// holds until then is left over from earlier messages.
    pub(crate) fn room(&mut self, len: usize) -> &mut [u8] {
        self.room.grow(len);
        &mut self.room
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
        std::mem::swap(&mut self.room, room);
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

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("len", &self.len).field("details", &self.details).finish()
    }
}
