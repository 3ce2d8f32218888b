//! Memory to receive into.

use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::slice;

/// Where a room begins: on a line of the processor's caches.
const LINE: usize = 64;

/// Room to receive into, and to send from: zeroed bytes that begin at a multiple of 64 bytes.
///
/// Where a buffer begins may matter more than how long it is. Processors of AMD with `fsrm`, which has the kernel
/// copy by `rep movsb`, copy at a tenth of their speed if the destination lies 1 to 31 bytes behind the source, counted
/// within their pages of 4 KiB: `docs/benchmarks.md` has figures. The kernel's own buffers begin on a page or a line; a long
/// `Vec<u8>` begins 16 bytes behind one, where the allocator puts it. A room never lies there.
///
/// It grows, by [`lengthen`](Self::lengthen) or [`grow`](Self::grow), and never shrinks. Memory that was not written to
/// yet takes no room in RAM while it comes fresh from the kernel, as long buffers do.
///
/// ```
/// use std::io::{Read, Write};
/// use twixt_sys::Room;
/// let (mut reader, mut writer) = std::io::pipe()?;
/// writer.write_all(b"hello")?;
/// let mut room = Room::with_len(64 << 10);
/// let count = reader.read(&mut room)?;
/// assert_eq!(&room[..count], b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
// A pointer rather than a vector and a place in it, which would be compared each time that the room is looked at.
pub struct Room {
    /// All that was allocated: what a box was made into, and will be again when it is dropped.
    whole: NonNull<[u8]>,
    /// Where the room begins in that, or dangling while it is empty: `len` bytes from there are in it.
    start: NonNull<u8>,
    len: usize,
}

impl Room {
    /// No room yet: allocates nothing.
    pub const fn new() -> Self {
        let start = NonNull::dangling();
        Self { whole: NonNull::slice_from_raw_parts(start, 0), start, len: 0 }
    }

    /// Room for `len` bytes, which are zero.
    ///
    /// # Panics
    /// If no process could have so many bytes.
    pub fn with_len(len: usize) -> Self {
        if len == 0 {
            return Self::new();
        }
        let bytes = vec![0; len.saturating_add(LINE - 1)].into_boxed_slice();
        let offset = bytes.as_ptr().align_offset(LINE);
        assert!(offset < LINE, "bytes can be aligned");
        let whole = NonNull::from(Box::leak(bytes));
        // SAFETY: the offset is at most LINE - 1, and so many bytes more than `len` were allocated.
        let start = unsafe { whole.cast::<u8>().add(offset) };
        Self { whole, start, len }
    }

    /// Makes it `len` bytes long, if it is shorter: the bytes there are stay, those that are added are zero. Where they are
    /// in memory changes.
    pub fn lengthen(&mut self, len: usize) {
        if self.len < len {
            let mut longer = Self::with_len(len);
            longer[..self.len].copy_from_slice(self);
            *self = longer;
        }
    }

    /// As [`lengthen`](Self::lengthen), and by half of what it is at least, for lengths that increase little by little.
    pub fn grow(&mut self, len: usize) {
        if self.len < len {
            self.lengthen(len.max(self.len + self.len / 2));
        }
    }

    /// The first `len` bytes, or all there are: moved to the beginning of the memory they are in, in which they stay.
    pub fn into_vec(self, len: usize) -> Vec<u8> {
        let len = self.len.min(len);
        let offset = self.start.addr().get().saturating_sub(self.whole.addr().get());
        let mut bytes = self.into_box().into_vec();
        bytes.truncate(offset + len);
        bytes.drain(..offset);
        bytes
    }

    fn into_box(self) -> Box<[u8]> {
        let whole = self.whole;
        core::mem::forget(self);
        // SAFETY: it came from a box, or is a dangling slice without bytes, and whoever would drop it is forgotten.
        unsafe { Box::from_raw(whole.as_ptr()) }
    }
}

// SAFETY: it owns its bytes, as a box of them does.
unsafe impl Send for Room {}
// SAFETY: as above; shared, the bytes can only be read.
unsafe impl Sync for Room {}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: it came from a box, or is a dangling slice without bytes; no reference to it outlives the room.
        drop(unsafe { Box::from_raw(self.whole.as_ptr()) });
    }
}

impl Deref for Room {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes from there are the room's own and were written, as zeros at least; borrowed as the room is.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Room {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; the room is borrowed for this one alone.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("len", &self.len).finish()
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
