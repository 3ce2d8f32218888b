//! Control messages: what travels beside the bytes, `cmsg(3)`.
//!
//! The buffer is written and read as plain bytes, so that the layout is checked in one place and no pointer walks over
//! what the kernel wrote:
//!
//! ```text
//! 0          8       12      16                  the next one starts at a multiple of 8
//! | cmsg_len | level | type  | data ...   | pad |
//! ```

use core::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::Errno;

/// `SCM_MAX_FD`: the most descriptors that one message can carry.
pub const MAX_DESCRIPTORS: usize = 253;

/// `SCM_PIDFD`, since Linux 6.5; the libc crate has no name for it.
const SCM_PIDFD: i32 = 4;

const HEADER: usize = size_of::<libc::cmsghdr>();
const LEVEL_AT: usize = core::mem::offset_of!(libc::cmsghdr, cmsg_level);
const TYPE_AT: usize = core::mem::offset_of!(libc::cmsghdr, cmsg_type);
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
#[derive(Debug)]
pub struct Control {
    bytes: Aligned,
    /// How many of the bytes are control messages.
    len: usize,
    /// Where the next received one starts.
    at: usize,
    /// Whether it holds descriptors that are this value's to close.
    received: bool,
}

#[derive(Debug)]
#[repr(align(8))]
struct Aligned([u8; ROOM]);

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
    pub fn new() -> Self {
        Self { bytes: Aligned([0; ROOM]), len: 0, at: 0, received: false }
    }

    /// Adds descriptors to be sent: `SCM_RIGHTS`. `EINVAL` beyond [`MAX_DESCRIPTORS`].
    pub fn push_descriptors(&mut self, descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        if descriptors.len() > MAX_DESCRIPTORS {
            return Err(Errno::INVAL);
        }
        let data = self.push(libc::SCM_RIGHTS, descriptors.len() * 4)?;
        for (into, descriptor) in data.chunks_exact_mut(4).zip(descriptors) {
            into.copy_from_slice(&descriptor.as_raw_fd().to_ne_bytes());
        }
        Ok(())
    }

    /// Adds credentials to be sent: `SCM_CREDENTIALS`. Whether they are the sender's own is for the kernel to say.
    pub fn push_credentials(&mut self, credentials: Credentials) -> Result<(), Errno> {
        let data = self.push(libc::SCM_CREDENTIALS, 12)?;
        data[..4].copy_from_slice(&credentials.pid.to_ne_bytes());
        data[4..8].copy_from_slice(&credentials.uid.to_ne_bytes());
        data[8..].copy_from_slice(&credentials.gid.to_ne_bytes());
        Ok(())
    }

    fn push(&mut self, kind: i32, len: usize) -> Result<&mut [u8], Errno> {
        let start = self.len;
        if self.received || start + space(len) > ROOM {
            return Err(Errno::INVAL);
        }
        let message = &mut self.bytes.0[start..start + space(len)];
        message[..LEVEL_AT].copy_from_slice(&(HEADER + len).to_ne_bytes());
        message[LEVEL_AT..TYPE_AT].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
        message[TYPE_AT..HEADER].copy_from_slice(&kind.to_ne_bytes());
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
        let message = self.bytes.0.get(self.at..self.len)?;
        let header = message.get(..HEADER)?;
        let len = usize::from_ne_bytes(header[..LEVEL_AT].try_into().ok()?);
        let level = word(&header[LEVEL_AT..]);
        let kind = word(&header[TYPE_AT..]);
        // A message that was cut may claim to be longer than what there is of it.
        let data = message.get(HEADER..len.min(message.len()))?;
        self.at += space(data.len());
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

    /// The bytes to be sent.
    pub(super) fn outgoing(&self) -> &[u8] {
        if self.received { &[] } else { &self.bytes.0[..self.len] }
    }

    /// Room for the kernel to write to, after closing what was left from before.
    pub(super) fn incoming(&mut self) -> &mut [u8] {
        self.close_rest();
        (self.len, self.at, self.received) = (0, 0, true);
        &mut self.bytes.0
    }

    /// Takes note of how much the kernel wrote to [`Control::incoming`].
    ///
    /// From here on the descriptors in it are this value's own: the kernel made them for this message, and nobody else
    /// knows their numbers.
    pub(super) fn set_written(&mut self, written: usize) {
        self.len = written.min(ROOM);
    }

    fn close_rest(&mut self) {
        while let Some(message) = self.next() {
            drop(message);
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.close_rest();
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

fn word(bytes: &[u8]) -> i32 {
    bytes.first_chunk().copied().map_or(-1, i32::from_ne_bytes)
}

/// Takes over a descriptor that the kernel just made for a received message.
fn adopt(number: RawFd) -> OwnedFd {
    // SAFETY: `number` comes from a control message that the kernel wrote (`incoming`, `set_written`), each of which is
    // read once (`at` moves on, `rest` shrinks), so nothing else owns the descriptor.
    unsafe { OwnedFd::from_raw_fd(number) }
}
