//! What stands before a message in a frame.
//!
//! ```text
//! 0                4             5            8                12
//! | length u32 LE  | descriptors | 0   0   0  | checksum u32 LE| payload, `length` bytes ...
//! ```
//!
//! The checksum is the lower half of XXH3 with 64 bits over the payload, with the eight bytes before it as the seed. For
//! the short messages that most are it takes a third of the time of a CRC, which has to look at the bytes one after the
//! other.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Fault, MAX_MESSAGE};

/// The bytes of a frame's header.
pub(super) const HEADER: usize = 12;

/// The bytes of it that the checksum is seeded with.
const COVERED: usize = 8;

/// Where the number of descriptors stands in these, and the zeros after it, as the bits of a little-endian number.
const DESCRIPTORS_SHIFT: u32 = 32;
const ZEROS_SHIFT: u32 = 40;

/// Up to here XXH3 is a handful of multiplications without a loop.
const MOST_OF_SHORT: usize = 128;

/// Where the checksum stands.
const CHECKSUM: core::ops::Range<usize> = COVERED..HEADER;

/// The bytes of the length that stands before each message with `len`.
pub(super) const LENGTH: usize = 4;

/// What a header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) len: usize,
    pub(super) descriptors: u8,
    /// `None` where there is no checksum.
    check: Option<Check>,
}

/// The checksum as it was announced, and the bytes before it.
#[derive(Clone, Copy, Debug)]
struct Check {
    announced: u32,
    covered: [u8; COVERED],
}

impl Header {
    /// Reads a frame's header, as far as it has arrived: `None` if the rest must come first.
    #[inline]
    pub(super) fn of_frame(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let Some((covered, rest)) = bytes.split_first_chunk::<COVERED>() else { return Ok(None) };
        let &[a, b, c, d, descriptors, zeros @ ..] = covered;
        if zeros != [0; 3] {
            return Err(Fault::NotAFrame);
        }
        let len = length([a, b, c, d])?;
        let Some(announced) = rest.first_chunk() else { return Ok(None) };
        let check = Check { announced: u32::from_le_bytes(*announced), covered: *covered };
        Ok(Some(Self { len, descriptors, check: Some(check) }))
    }

    /// Reads the length that stands alone.
    #[inline]
    pub(super) fn of_len(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let Some(len) = bytes.first_chunk() else { return Ok(None) };
        Ok(Some(Self { len: length(*len)?, descriptors: 0, check: None }))
    }

    /// Whether this is the payload that was sent.
    #[inline]
    pub(super) fn vouches_for(&self, payload: &[u8]) -> Result<(), Fault> {
        match self.check {
            Some(check) if checksum(u64::from_le_bytes(check.covered), payload) != check.announced => {
                Err(Fault::Checksum)
            }
            _ => Ok(()),
        }
    }
}

/// The header of a payload whose length was checked.
#[inline]
pub(super) fn of_payload(payload: &[u8], descriptors: u8) -> [u8; HEADER] {
    // The eight bytes as one number: the length in its lower half, then the descriptors.
    let covered = payload.len() as u64 | u64::from(descriptors) << DESCRIPTORS_SHIFT;
    let mut header = [0; HEADER];
    header[..COVERED].copy_from_slice(&covered.to_le_bytes());
    header[CHECKSUM].copy_from_slice(&checksum(covered, payload).to_le_bytes());
    header
}

/// The payload that stands behind a header, and how many descriptors go with it, if all of it is there and in order.
#[inline]
pub(super) fn payload_of<'a>(header: &[u8; HEADER], rest: &'a [u8]) -> Option<(&'a [u8], u8)> {
    let (covered, announced) = split(header);
    let payload = rest.get(..covered as u32 as usize)?;
    let is_frame = covered >> ZEROS_SHIFT == 0 && checksum(covered, payload) == announced;
    is_frame.then_some((payload, (covered >> DESCRIPTORS_SHIFT) as u8))
}

/// Whether this is the payload of the header, all of it, and no descriptors go with it.
#[inline]
pub(super) fn is_all(header: &[u8; HEADER], payload: &[u8]) -> bool {
    let (covered, announced) = split(header);
    // The descriptors and the zeros are the number's upper half.
    covered == payload.len() as u64 && checksum(covered, payload) == announced
}

/// The bytes before the checksum as a number, and the checksum.
#[inline]
fn split(header: &[u8; HEADER]) -> (u64, u32) {
    let &[a, b, c, d, e, f, g, h, w, x, y, z] = header;
    (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes([w, x, y, z]))
}

/// The lower half of the hash, seeded with the bytes before the checksum.
///
/// Called, not copied into its callers: senders and receivers of every kind share what the processor has of it.
#[inline(never)]
fn checksum(covered: u64, payload: &[u8]) -> u32 {
    if payload.len() > MOST_OF_SHORT {
        return checksum_of_long(covered, payload);
    }
    xxh3_64_with_seed(payload, covered) as u32
}

/// Apart, since a function that calls no other has no registers to save.
#[inline(never)]
fn checksum_of_long(covered: u64, payload: &[u8]) -> u32 {
    xxh3_64_with_seed(payload, covered) as u32
}

#[inline]
fn length(bytes: [u8; LENGTH]) -> Result<usize, Fault> {
    match u32::from_le_bytes(bytes) {
        len if len as usize > MAX_MESSAGE => Err(Fault::TooLong { len: len.into() }),
        len => Ok(len as usize),
    }
}
