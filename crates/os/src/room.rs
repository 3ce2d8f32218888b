//! Memory to receive into.

use core::fmt;
use std::ops::{Deref, DerefMut};

/// Where a room begins: on a line of the processor's caches.
const LINE: usize = 64;

/// Room to receive into, and to send from: zeroed bytes that begin at a multiple of 64 bytes.
///
/// Where a buffer begins may matter more than how long it is. Many processors of AMD (with `fsrm`, which has the kernel
/// copy by `rep movsb`) copy at a tenth of their speed if the destination lies 1 to 31 bytes behind the source, counted
/// within their pages of 4 KiB: measured on an EPYC of the third generation, 64 bytes in 95 ns rather than 8, and 64 KiB from a
/// pipe at 1.5 GB/s rather than 6.4. The kernel's own buffers begin on a page or a line; a long `Vec<u8>` begins 16 bytes
/// behind one, where the allocator puts it. A room never lies there.
///
/// It grows, by [`lengthen`](Self::lengthen) or [`grow`](Self::grow), and never shrinks. Memory that was not written to yet takes no room in RAM
/// while it comes fresh from the kernel, as long buffers do.
///
/// ```
/// use twixt_os::{Room, pipe};
/// let (reader, writer) = pipe::create()?;
/// writer.write_all(b"hello")?;
/// let mut room = Room::with_len(64 << 10);
/// let count = reader.read(&mut room)?;
/// assert_eq!(&room[..count], b"hello");
/// # Ok::<(), twixt_os::Error>(())
/// ```
#[derive(Default)]
pub struct Room {
    /// Ends where the room does.
    bytes: Vec<u8>,
    /// Where it begins in these.
    start: usize,
}

impl Room {
    /// No room yet: allocates nothing.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), start: 0 }
    }

    /// Room for `len` bytes, which are zero.
    pub fn with_len(len: usize) -> Self {
        let mut bytes = vec![0; len.saturating_add(LINE - 1)];
        let start = bytes.as_ptr().align_offset(LINE).min(LINE - 1);
        bytes.truncate(start + len);
        Self { bytes, start }
    }

    /// Makes it `len` bytes long, if it is shorter: the bytes there are stay, those that are added are zero. Where they are
    /// in memory changes.
    pub fn lengthen(&mut self, len: usize) {
        if self.len() < len {
            let mut longer = Self::with_len(len);
            longer[..self.len()].copy_from_slice(self);
            *self = longer;
        }
    }

    /// As [`lengthen`](Self::lengthen), and by half of what it is at least, for lengths that increase little by little.
    pub fn grow(&mut self, len: usize) {
        if self.len() < len {
            self.lengthen(len.max(self.len() + self.len() / 2));
        }
    }

    /// The first `len` bytes, or all there are: moved to the beginning of the memory they are in, in which they stay.
    pub fn into_vec(mut self, len: usize) -> Vec<u8> {
        self.bytes.truncate(self.start.saturating_add(len));
        self.bytes.drain(..self.start);
        self.bytes
    }
}

impl Deref for Room {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl DerefMut for Room {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or_default()
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("len", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_on_a_line_whatever_its_length() {
        // Kept, so that the allocator cannot give the same place twice.
        let rooms: Vec<Room> = (1..300).chain([64 << 10, 1 << 20]).map(Room::with_len).collect();
        for (room, len) in rooms.iter().zip((1..300).chain([64 << 10, 1 << 20])) {
            assert_eq!((room.len(), room.as_ptr().align_offset(LINE)), (len, 0));
            assert!(room.iter().all(|&byte| byte == 0));
        }
        assert!(Room::new().is_empty() && Room::with_len(0).is_empty());
    }

    #[test]
    fn keeps_its_bytes_as_it_grows() {
        let mut room = Room::new();
        for len in [3, 2, 100, 1 << 20] {
            let before = room.to_vec();
            room.lengthen(len);
            assert_eq!(room.len(), len.max(before.len()));
            assert_eq!(room[..before.len()], before);
            assert!(room[before.len()..].iter().all(|&byte| byte == 0));
            assert_eq!(room.as_ptr().align_offset(LINE), 0);
            room.fill(len as u8 | 1);
        }
    }

    #[test]
    fn grows_in_few_steps() {
        let (mut room, mut steps) = (Room::new(), 0);
        for len in 0..100_000 {
            let before = room.len();
            room.grow(len);
            assert!(room.len() >= len && room.len() <= len.max(before + before / 2));
            steps += u32::from(room.len() > before);
        }
        assert!(steps < 40, "{steps}");
    }

    #[test]
    fn gives_its_bytes_away() {
        let filled = |len| {
            let mut room = Room::with_len(len);
            for (number, byte) in room.iter_mut().enumerate() {
                *byte = number as u8;
            }
            room
        };
        assert_eq!(filled(5).into_vec(3), [0, 1, 2]);
        assert_eq!(filled(3).into_vec(usize::MAX), [0, 1, 2]);
        assert_eq!(filled(3).into_vec(0), [0; 0]);
        assert_eq!(Room::new().into_vec(9), [0; 0]);
    }
}
