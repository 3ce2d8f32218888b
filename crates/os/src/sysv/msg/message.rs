//! A buffer that the kernel reads and writes as it is.

use core::fmt;
use std::io;

use twixt_sys::sysv::msg::HEADER;

use super::Type;

/// A message, or room for one: a reusable buffer with the type in front of the bytes, as the kernel wants it.
///
/// Sending one and receiving into one copies nothing on this side and allocates nothing.
///
/// ```
/// use twixt_os::sysv::msg::{Message, Type};
/// let mut message = Message::new(Type::MIN, b"be");
/// message.extend(b"twixt");
/// assert_eq!(message.bytes(), b"betwixt");
/// ```
#[derive(Clone)]
#[doc(alias = "msgbuf")]
pub struct Message {
    /// The type in native byte order, `capacity` bytes, and one byte more, by which a receive that cuts messages
    /// tells whether it cut this one. All of it is initialised.
    frame: Vec<u8>,
    /// How many of the bytes are the message's.
    len: usize,
}

const SPARE: usize = 1;

impl Message {
    /// A message to send.
    pub fn new(mtype: Type, bytes: &[u8]) -> Self {
        let mut message = Self::with_capacity(bytes.len());
        message.set(mtype, bytes);
        message
    }

    /// Room for messages of up to `capacity` bytes. Until one is received, it is an empty message of type 1.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut message = Self { frame: vec![0; HEADER + capacity + SPARE], len: 0 };
        message.set_mtype(Type::MIN);
        message
    }

    /// Room for the longest message that the kernel lets anybody send now: `kernel.msgmax` bytes, 8192 by default.
    ///
    /// # Errors
    /// Those of [`limits`](super::limits), which cannot fail on a kernel that has message queues.
    pub fn with_largest_capacity() -> crate::Result<Self> {
        let largest = usize::try_from(super::limits()?.msgmax).unwrap_or(usize::MAX);
        Ok(Self::with_capacity(largest))
    }

    /// The type.
    pub fn mtype(&self) -> Type {
        let (header, _) = self.frame.split_at(HEADER);
        let number = header.try_into().map(i64::from_ne_bytes).unwrap_or_default();
        Type::new(number).unwrap_or_default()
    }

    /// Sets the type.
    pub fn set_mtype(&mut self, mtype: Type) {
        self.frame[..HEADER].copy_from_slice(&mtype.get().to_ne_bytes());
    }

    /// The bytes.
    #[doc(alias = "mtext")]
    pub fn bytes(&self) -> &[u8] {
        &self.frame[HEADER..HEADER + self.len]
    }

    /// The bytes, to be changed in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.frame[HEADER..HEADER + self.len]
    }

    /// How many bytes the message has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the message has no bytes. Such a message can be sent: it still has its type.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes there is room for: a longer message is not received, or is cut.
    pub fn capacity(&self) -> usize {
        self.frame.len() - HEADER - SPARE
    }

    /// Makes room for messages of up to `capacity` bytes, if there is not. Allocates then.
    pub fn reserve(&mut self, capacity: usize) {
        if capacity > self.capacity() {
            self.frame.resize(HEADER + capacity + SPARE, 0);
        }
    }

    /// Makes it this message. Allocates only if there is no room.
    pub fn set(&mut self, mtype: Type, bytes: &[u8]) {
        self.clear();
        self.set_mtype(mtype);
        self.extend(bytes);
    }

    /// Appends bytes. Allocates only if there is no room.
    pub fn extend(&mut self, bytes: &[u8]) {
        let (start, len) = (self.len, self.len + bytes.len());
        if len > self.capacity() {
            self.reserve(len.max(2 * self.capacity()));
        }
        self.len = len;
        self.bytes_mut()[start..].copy_from_slice(bytes);
    }

    /// Shortens the message to `len` bytes; does nothing if it is no longer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Takes all bytes out. The type stays, and the room.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// What `msgsnd(2)` reads.
    pub(super) fn frame(&self) -> &[u8] {
        &self.frame[..HEADER + self.len]
    }

    /// Where `msgrcv(2)` may write `capacity` bytes behind the type.
    pub(super) fn room(&mut self) -> &mut [u8] {
        let end = self.frame.len() - SPARE;
        &mut self.frame[..end]
    }

    /// Where `msgrcv(2)` may write one byte more than `capacity`, so that a cut shows.
    pub(super) fn room_and_spare(&mut self) -> &mut [u8] {
        &mut self.frame
    }

    /// The kernel wrote the type and `len` bytes into the room.
    pub(super) fn received(&mut self, len: usize) {
        self.len = len.min(self.capacity());
    }
}

impl Default for Message {
    /// No room yet; 0 bytes long, of type 1.
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

/// Messages are the same if their types and bytes are; their room does not matter.
impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.frame() == other.frame()
    }
}

impl Eq for Message {}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message(type {}, \"{}\")", self.mtype(), self.bytes().escape_ascii())
    }
}

/// Appends, as [`Message::extend`] does: `write!(message, "{number}")?`. Never fails.
impl io::Write for Message {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
