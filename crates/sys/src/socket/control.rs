//! Control messages: what travels beside the bytes, `cmsg(3)`.
//!
//! The buffer is written and read as words and bytes at counted places, so that the layout is checked in one place and no
//! pointer walks over what the kernel wrote. Most of it is never written, by anybody, and what pads a message is not
//! either: a kilobyte to be zeroed would cost as much as the rest of receiving a message.
//!
//! ```text
//! 0          8       12      16                  the next one starts at a multiple of 8
//! | cmsg_len | level | type  | data ...   | pad |
//! ```

use core::mem::{MaybeUninit, offset_of, size_of};
use core::{fmt, slice};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::Errno;

/// `SCM_MAX_FD`: the most descriptors that one message can carry.
pub const MAX_DESCRIPTORS: usize = 253;

/// `SCM_PIDFD`, since Linux 6.5; the libc crate has no name for it.
const SCM_PIDFD: i32 = 4;

const HEADER: usize = size_of::<libc::cmsghdr>();
const LEVEL_AT: usize = offset_of!(libc::cmsghdr, cmsg_level);
const TYPE_AT: usize = offset_of!(libc::cmsghdr, cmsg_type);
const _: () = assert!(HEADER == 16 && LEVEL_AT == 8 && TYPE_AT == 12, "64-bit Linux");

/// Room for a full array of descriptors, credentials, a pidfd, and a security label of 255 bytes: whatever one message
/// can bring, so that the kernel never has to cut it for want of room.
const ROOM: usize = space(MAX_DESCRIPTORS * 4) + space(12) + space(4) + space(256);

/// Who a process is, as the kernel vouches for it: `struct ucred`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Its process id; 0 where this process cannot see it.
    pub pid: i32,
    /// Its user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
}

/// The control part of one message, to be sent or as received.
///
/// Descriptors that were received and never taken out are closed when this is dropped.
pub struct Control {
    bytes: Room,
    /// How many of the bytes are control messages.
    len: usize,
    /// Where the next received one starts.
    at: usize,
    /// Whether it holds descriptors that are this value's to close.
    received: bool,
}

#[repr(align(8))]
struct Room(MaybeUninit<[u8; ROOM]>);

impl Room {
    fn bytes(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: these are the bytes of `self`, mutably borrowed with it; any byte is a `MaybeUninit<u8>`, and what is
        // written to it one of the array's.
        unsafe { slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), ROOM) }
    }
}

/// One control message as received.
#[derive(Debug)]
#[non_exhaustive]
pub enum Received<'a> {
    /// `SCM_RIGHTS`
    Descriptors(Descriptors<'a>),
    /// `SCM_CREDENTIALS`
    Credentials(Credentials),
    /// `SCM_PIDFD`
    Pidfd(OwnedFd),
    /// A kind that this library does not read. It holds no descriptors.
    Other,
}

/// Descriptors as received; those not taken are closed.
#[derive(Debug)]
pub struct Descriptors<'a> {
    rest: &'a [u8],
}

impl Control {
    /// An empty one.
    #[allow(clippy::new_without_default, reason = "a kilobyte should not be made by accident")]
    #[inline]
    pub fn new() -> Self {
        // Written out, the whole would be a constant, of which the compiler fills with zeros what is not written.
        let mut control = MaybeUninit::<Self>::uninit();
        let place = control.as_mut_ptr();
        let len = place.wrapping_byte_add(offset_of!(Self, len)).cast::<usize>();
        let at = place.wrapping_byte_add(offset_of!(Self, at)).cast::<usize>();
        let received = place.wrapping_byte_add(offset_of!(Self, received)).cast::<bool>();
        // SAFETY: this is a field, of that type, of what `control` has room for.
        unsafe { len.write(0) };
        // SAFETY: as above.
        unsafe { at.write(0) };
        // SAFETY: as above.
        unsafe { received.write(false) };
        // SAFETY: these are all its fields but `bytes`, which need not be written.
        unsafe { control.assume_init() }
    }

    /// Adds descriptors to be sent: `SCM_RIGHTS`. `EINVAL` beyond [`MAX_DESCRIPTORS`].
    pub fn push_descriptors(&mut self, descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        if descriptors.len() > MAX_DESCRIPTORS {
            return Err(Errno::INVAL);
        }
        let data = self.push(libc::SCM_RIGHTS, descriptors.len() * 4)?;
        for (into, descriptor) in data.chunks_exact_mut(4).zip(descriptors) {
            write(into, &descriptor.as_raw_fd().to_ne_bytes());
        }
        Ok(())
    }

    /// Adds credentials to be sent: `SCM_CREDENTIALS`. Whether they are the sender's own is for the kernel to say.
    pub fn push_credentials(&mut self, credentials: Credentials) -> Result<(), Errno> {
        let data = self.push(libc::SCM_CREDENTIALS, 12)?;
        write(&mut data[..4], &credentials.pid.to_ne_bytes());
        write(&mut data[4..8], &credentials.uid.to_ne_bytes());
        write(&mut data[8..12], &credentials.gid.to_ne_bytes());
        Ok(())
    }

    /// Room for the data of one more message: the caller writes `len` bytes to it.
    fn push(&mut self, kind: i32, len: usize) -> Result<&mut [MaybeUninit<u8>], Errno> {
        let start = self.len;
        if self.received || start + space(len) > ROOM {
            return Err(Errno::INVAL);
        }
        let message = &mut self.bytes.bytes()[start..start + space(len)];
        // What pads it goes to the kernel as well.
        message.fill(MaybeUninit::new(0));
        write(&mut message[..LEVEL_AT], &(HEADER + len).to_ne_bytes());
        write(&mut message[LEVEL_AT..TYPE_AT], &libc::SOL_SOCKET.to_ne_bytes());
        write(&mut message[TYPE_AT..HEADER], &kind.to_ne_bytes());
        self.len += space(len);
        Ok(&mut message[HEADER..HEADER + len])
    }

    /// Whether there is nothing in it, or nothing left.
    pub fn is_empty(&self) -> bool {
        self.at >= self.len
    }

    /// The next control message that was received.
    #[allow(clippy::should_implement_trait, reason = "it lends, which an Iterator cannot")]
    pub fn next(&mut self) -> Option<Received<'_>> {
        if !self.received {
            return None;
        }
        if self.len - self.at < HEADER {
            return None;
        }
        let len = usize::from_ne_bytes(self.written(self.at));
        let level = i32::from_ne_bytes(self.written(self.at + LEVEL_AT));
        let kind = i32::from_ne_bytes(self.written(self.at + TYPE_AT));
        // A message that was cut may claim to be longer than what there is of it.
        let data = len.min(self.len - self.at).checked_sub(HEADER)?;
        let start = self.at + HEADER;
        self.at = (self.at + space(data)).min(self.len);
        let first = self.bytes.0.as_ptr().cast::<u8>().wrapping_add(start);
        // SAFETY: the kernel has written the message at `start - HEADER`, from its header to the end of its data, which
        // lies before `self.len` and so within the room (`set_written`).
        let data = unsafe { slice::from_raw_parts(first, data) };
        Some(match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => Received::Descriptors(Descriptors { rest: data }),
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if data.len() >= 12 => {
                Received::Credentials(Credentials {
                    pid: word(data),
                    uid: word(&data[4..]).cast_unsigned(),
                    gid: word(&data[8..]).cast_unsigned(),
                })
            }
            (libc::SOL_SOCKET, SCM_PIDFD) if data.len() >= 4 && word(data) >= 0 => {
                Received::Pidfd(adopt(word(data)))
            }
            _ => Received::Other,
        })
    }

    /// The bytes to be sent, and how many there are.
    pub(super) fn outgoing(&self) -> (*const u8, usize) {
        (self.bytes.0.as_ptr().cast(), if self.received { 0 } else { self.len })
    }

    /// Room for the kernel to write to, and how much, after closing what was left from before.
    #[inline]
    pub(super) fn incoming(&mut self) -> (*mut u8, usize) {
        self.clear();
        (self.len, self.at, self.received) = (0, 0, true);
        (self.bytes.0.as_mut_ptr().cast(), ROOM)
    }

    /// Takes note of how much the kernel wrote to [`Control::incoming`]: control messages, each with a header and all of
    /// its data.
    ///
    /// From here on the descriptors in it are this value's own: the kernel made them for this message, and nobody else
    /// knows their numbers.
    #[inline]
    pub(super) fn set_written(&mut self, written: usize) {
        self.len = written.min(ROOM);
    }

    /// Some bytes of the header of a message that the kernel has written.
    fn written<const N: usize>(&self, at: usize) -> [u8; N] {
        assert!(at + N <= self.len);
        let first = self.bytes.0.as_ptr().cast::<u8>().wrapping_add(at);
        // SAFETY: the assertion keeps it within what the kernel has written, and headers it writes whole.
        unsafe { first.cast::<[u8; N]>().read() }
    }

    /// Closes what is left in it.
    #[inline]
    pub fn clear(&mut self) {
        while let Some(message) = self.next() {
            drop(message);
        }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes: _, len, at, received } = self;
        f.debug_struct("Control")
            .field("len", len)
            .field("at", at)
            .field("received", received)
            .finish_non_exhaustive()
    }
}

impl Drop for Control {
    #[inline]
    fn drop(&mut self) {
        self.clear();
    }
}

impl Iterator for Descriptors<'_> {
    type Item = OwnedFd;

    fn next(&mut self) -> Option<OwnedFd> {
        let (number, rest) = self.rest.split_at_checked(4)?;
        self.rest = rest;
        Some(adopt(word(number)))
    }
}

impl Drop for Descriptors<'_> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

/// `CMSG_SPACE(3)`
const fn space(len: usize) -> usize {
    HEADER + len.next_multiple_of(8)
}

fn write(into: &mut [MaybeUninit<u8>], bytes: &[u8]) {
    for (into, byte) in into.iter_mut().zip(bytes) {
        into.write(*byte);
    }
}

fn word(bytes: &[u8]) -> i32 {
    bytes.first_chunk().copied().map_or(-1, i32::from_ne_bytes)
}

/// Takes over a descriptor that the kernel just made for a received message.
fn adopt(number: RawFd) -> OwnedFd {
    // SAFETY: `number` comes from a control message that the kernel wrote (`incoming`, `set_written`), each of which is
    // read once (`at` moves on, `rest` shrinks), so nothing else owns the descriptor.
    unsafe { OwnedFd::from_raw_fd(number) }
}
