//! Many words of shared memory at a time, with the processor's vectors.
//!
//! A compiler makes one plain store or load of each relaxed atomic access and joins none of them, so that whoever fills a
//! buffer word by word takes twice as many instructions as `memset(3)`, or more. These do what a loop of relaxed accesses
//! does, 16 bytes at an instruction where the machine has vectors in any case (x86-64), and are that loop elsewhere.
//!
//! ```
//! use core::sync::atomic::AtomicU64;
//! let room = [const { AtomicU64::new(0) }; 9];
//! twixt_sys::words::fill(&room, 7);
//! assert!(twixt_sys::words::are_all(&room, 7));
//! ```

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The words of a cache line: what goes at once.
const LINE: usize = 8;

/// Stores `value` in each word, as relaxed stores do: others may see them in any order.
#[inline(always)]
pub fn fill(words: &[AtomicU64], value: u64) {
    let (lines, rest) = words.as_chunks::<LINE>();
    line::fill(lines, value);
    for word in rest {
        word.store(value, Relaxed);
    }
}

/// Stores bytes in words, as relaxed stores do; a last word that they do not fill has zeros behind them. What has no room is
/// left out.
#[inline(always)]
pub fn copy_in(words: &[AtomicU64], bytes: &[u8]) {
    let (lines, rest) = words.as_chunks::<LINE>();
    let (full, tail) = bytes.as_chunks::<{ 8 * LINE }>();
    let count = lines.len().min(full.len());
    for (line, bytes) in lines.iter().zip(full) {
        line::store(line, bytes);
    }
    // At most one of both has lines left; then the words are those of a line, or the bytes are.
    let (words, bytes) =
        if count < lines.len() { (&lines[count][..], tail) } else { (rest, &bytes[8 * LINE * count..]) };
    copy_in_words(words, bytes);
}

/// The rest, of less than a line.
#[inline(always)]
fn copy_in_words(words: &[AtomicU64], bytes: &[u8]) {
    let (chunks, rest) = bytes.as_chunks::<8>();
    for (word, chunk) in words.iter().zip(chunks) {
        word.store(u64::from_ne_bytes(*chunk), Relaxed);
    }
    if !rest.is_empty()
        && let Some(word) = words.get(chunks.len())
    {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        word.store(u64::from_ne_bytes(last), Relaxed);
    }
}

/// Loads bytes from words, as relaxed loads do; what is not there comes out as zeros.
#[inline(always)]
pub fn copy_out(words: &[AtomicU64], bytes: &mut [u8]) {
    let (lines, _) = words.as_chunks::<LINE>();
    let (full, _) = bytes.as_chunks_mut::<{ 8 * LINE }>();
    for (line, bytes) in lines.iter().zip(full) {
        *bytes = line::load_bytes(line);
    }
    let done = LINE * lines.len().min(bytes.len() / (8 * LINE));
    copy_out_words(&words[done..], &mut bytes[8 * done..]);
}

#[inline(always)]
fn copy_out_words(words: &[AtomicU64], bytes: &mut [u8]) {
    let mut words = words.iter().map(|word| word.load(Relaxed).to_ne_bytes());
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = words.next().unwrap_or_default();
    }
    if !rest.is_empty() {
        let last = words.next().unwrap_or_default();
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// What looks at words: eight at a time, and then at those that are left over, if any.
///
/// A closure does for that ([`ByLines`]), but cannot be told to be compiled into its caller always. Where it stays a call, what it
/// keeps has to be in memory for each eight words: that takes a quarter longer for large messages.
pub trait Visit {
    /// Eight words.
    fn line(&mut self, line: &[u64; LINE]);
    /// Fewer than eight.
    fn rest(&mut self, words: &[u64]);
}

/// Has the words looked at: loaded each once, as by relaxed loads.
#[inline(always)]
pub fn visit(words: &[AtomicU64], visitor: &mut impl Visit) {
    let (lines, rest) = words.as_chunks::<LINE>();
    for line in lines {
        visitor.line(&line::load(line));
    }
    if !rest.is_empty() {
        let mut left = [0; LINE];
        for (word, from) in left.iter_mut().zip(rest) {
            *word = from.load(Relaxed);
        }
        visitor.rest(&left[..rest.len()]);
    }
}

/// A closure as a visitor.
#[derive(Debug)]
pub struct ByLines<F>(pub F);

impl<F: FnMut(&[u64])> Visit for ByLines<F> {
    #[inline(always)]
    fn line(&mut self, line: &[u64; LINE]) {
        (self.0)(line);
    }

    #[inline(always)]
    fn rest(&mut self, words: &[u64]) {
        (self.0)(words);
    }
}

/// Has the processor fetch the line of a word, which is about to be read: a hint, and no access.
#[inline(always)]
pub fn fetch(word: &AtomicU64) {
    line::fetch(word);
}

/// As [`fetch`], for a line that is read later: into the cache behind the nearest.
#[inline(always)]
pub fn fetch_far(word: &AtomicU64) {
    line::fetch_far(word);
}

/// As [`fetch`], for a line that is about to be written.
#[inline(always)]
pub fn fetch_to_write(word: &AtomicU64) {
    line::fetch_to_write(word);
}

/// Has the processor give the line of a word, which was just written, to the cache that it shares with others, from where it comes
/// to them sooner than from its own: a hint (`cldemote`), and nothing where a processor does not know it.
#[inline(always)]
pub fn demote(word: &AtomicU64) {
    line::demote(word);
}

/// Whether each word is `value`, each being looked at, as by relaxed loads.
#[inline(always)]
pub fn are_all(words: &[AtomicU64], value: u64) -> bool {
    let (lines, rest) = words.as_chunks::<LINE>();
    let rest = rest.iter().fold(0, |difference, word| difference | word.load(Relaxed) ^ value);
    line::are_all(lines, value) && rest == 0
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod line {
    use core::arch::asm;
    use core::arch::x86_64::{
        __m128i, _mm_cmpeq_epi32, _mm_movemask_epi8, _mm_set1_epi64x, _mm_setzero_si128,
    };

    use super::{AtomicU64, LINE};

    #[inline(always)]
    fn twice(value: u64) -> __m128i {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { _mm_set1_epi64x(value.cast_signed()) }
    }

    #[inline(always)]
    fn zero() -> __m128i {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { _mm_setzero_si128() }
    }

    #[inline(always)]
    fn is_zero(vector: __m128i) -> bool {
        // SAFETY: every x86-64 processor has SSE2.
        let equal = unsafe { _mm_cmpeq_epi32(vector, zero()) };
        // SAFETY: as above.
        let bytes = unsafe { _mm_movemask_epi8(equal) };
        bytes == 0xffff
    }

    #[inline(always)]
    pub(super) fn fill(lines: &[[AtomicU64; LINE]], value: u64) {
        let vector = twice(value);
        for line in lines {
            // SAFETY: the eight words are borrowed, and atomics may be written through a shared reference. The stores are
            // no accesses of the language's, which therefore has no data race; the processor stores each aligned word as a
            // whole, as it does for a relaxed store.
            unsafe {
                asm!(
                    "movups [{line}], {vector}",
                    "movups [{line} + 16], {vector}",
                    "movups [{line} + 32], {vector}",
                    "movups [{line} + 48], {vector}",
                    line = in(reg) line.as_ptr(),
                    vector = in(xmm_reg) vector,
                    options(nostack, preserves_flags),
                );
            }
        }
    }

    #[inline(always)]
    pub(super) fn fetch(word: &AtomicU64) {
        // SAFETY: a hint, which reads nothing.
        unsafe {
            asm!("prefetcht0 [{word}]", word = in(reg) word, options(nostack, preserves_flags, readonly))
        };
    }

    #[inline(always)]
    pub(super) fn fetch_far(word: &AtomicU64) {
        // SAFETY: a hint, which reads nothing.
        unsafe {
            asm!("prefetcht1 [{word}]", word = in(reg) word, options(nostack, preserves_flags, readonly))
        };
    }

    #[inline(always)]
    pub(super) fn fetch_to_write(word: &AtomicU64) {
        // SAFETY: a hint, which writes nothing; processors that do not know it take it for no operation.
        unsafe {
            asm!("prefetchw [{word}]", word = in(reg) word, options(nostack, preserves_flags, readonly))
        };
    }

    #[inline(always)]
    pub(super) fn demote(word: &AtomicU64) {
        // SAFETY: a hint, which changes no memory; processors that do not know it take it for no operation. Not `nomem`: what was
        // stored before stays before.
        unsafe { asm!("cldemote [{word}]", word = in(reg) word, options(nostack, preserves_flags)) };
    }

    #[inline(always)]
    pub(super) fn store(line: &[AtomicU64; LINE], bytes: &[u8; 8 * LINE]) {
        // SAFETY: the bytes may be read, the eight words may be written through a shared reference, being atomics, and the
        // stores are no accesses of the language's, as in `fill`.
        unsafe {
            asm!(
                "movups {a}, [{bytes}]",
                "movups {b}, [{bytes} + 16]",
                "movups {c}, [{bytes} + 32]",
                "movups {d}, [{bytes} + 48]",
                "movups [{line}], {a}",
                "movups [{line} + 16], {b}",
                "movups [{line} + 32], {c}",
                "movups [{line} + 48], {d}",
                line = in(reg) line.as_ptr(),
                bytes = in(reg) bytes.as_ptr(),
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack, preserves_flags),
            );
        }
    }

    #[inline(always)]
    fn vectors(line: &[AtomicU64; LINE]) -> [__m128i; 4] {
        let (a, b, c, d);
        // SAFETY: the eight words are borrowed, and the loads are no accesses of the language's, as in `are_all`.
        unsafe {
            asm!(
                "movups {a}, [{line}]",
                "movups {b}, [{line} + 16]",
                "movups {c}, [{line} + 32]",
                "movups {d}, [{line} + 48]",
                line = in(reg) line.as_ptr(),
                a = out(xmm_reg) a,
                b = out(xmm_reg) b,
                c = out(xmm_reg) c,
                d = out(xmm_reg) d,
                options(nostack, preserves_flags, readonly),
            );
        }
        [a, b, c, d]
    }

    #[inline(always)]
    pub(super) fn load(line: &[AtomicU64; LINE]) -> [u64; LINE] {
        // SAFETY: any bits are numbers.
        unsafe { core::mem::transmute(vectors(line)) }
    }

    #[inline(always)]
    pub(super) fn load_bytes(line: &[AtomicU64; LINE]) -> [u8; 8 * LINE] {
        // SAFETY: any bits are bytes.
        unsafe { core::mem::transmute(vectors(line)) }
    }

    #[inline(always)]
    pub(super) fn are_all(lines: &[[AtomicU64; LINE]], value: u64) -> bool {
        let vector = twice(value);
        let mut difference = zero();
        for line in lines {
            // SAFETY: the eight words are borrowed. The loads are no accesses of the language's, which therefore has no data
            // race; the processor loads each aligned word as a whole, as it does for a relaxed load.
            unsafe {
                asm!(
                    "movups {a}, [{line}]",
                    "movups {b}, [{line} + 16]",
                    "pxor {a}, {vector}",
                    "pxor {b}, {vector}",
                    "por {difference}, {a}",
                    "por {difference}, {b}",
                    "movups {a}, [{line} + 32]",
                    "movups {b}, [{line} + 48]",
                    "pxor {a}, {vector}",
                    "pxor {b}, {vector}",
                    "por {difference}, {a}",
                    "por {difference}, {b}",
                    line = in(reg) line.as_ptr(),
                    vector = in(xmm_reg) vector,
                    difference = inout(xmm_reg) difference,
                    a = out(xmm_reg) _,
                    b = out(xmm_reg) _,
                    options(nostack, preserves_flags, readonly),
                );
            }
        }
        is_zero(difference)
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod line {
    use super::{AtomicU64, LINE, Relaxed};

    pub(super) fn fill(lines: &[[AtomicU64; LINE]], value: u64) {
        lines.as_flattened().iter().for_each(|word| word.store(value, Relaxed));
    }

    pub(super) fn fetch(_: &AtomicU64) {}

    pub(super) fn fetch_far(_: &AtomicU64) {}

    pub(super) fn fetch_to_write(_: &AtomicU64) {}

    pub(super) fn demote(_: &AtomicU64) {}

    pub(super) fn store(line: &[AtomicU64; LINE], bytes: &[u8; 8 * LINE]) {
        let (chunks, _) = bytes.as_chunks::<8>();
        for (word, chunk) in line.iter().zip(chunks) {
            word.store(u64::from_ne_bytes(*chunk), Relaxed);
        }
    }

    pub(super) fn load(line: &[AtomicU64; LINE]) -> [u64; LINE] {
        core::array::from_fn(|at| line[at].load(Relaxed))
    }

    pub(super) fn load_bytes(line: &[AtomicU64; LINE]) -> [u8; 8 * LINE] {
        let mut bytes = [0; 8 * LINE];
        let (chunks, _) = bytes.as_chunks_mut::<8>();
        for (chunk, word) in chunks.iter_mut().zip(line) {
            *chunk = word.load(Relaxed).to_ne_bytes();
        }
        bytes
    }

    pub(super) fn are_all(lines: &[[AtomicU64; LINE]], value: u64) -> bool {
        let words = lines.as_flattened().iter();
        words.fold(0, |difference, word| difference | word.load(Relaxed) ^ value) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(len: usize) -> Vec<AtomicU64> {
        (0..len as u64).map(AtomicU64::new).collect()
    }

    #[test]
    fn every_word_is_filled_and_none_beside_them() {
        for len in 0..40 {
            for start in 0..3 {
                let words = room(len + 4);
                fill(&words[start..start + len], u64::MAX - 5);
                for (index, word) in words.iter().enumerate() {
                    let is_in = (start..start + len).contains(&index);
                    let expected = if is_in { u64::MAX - 5 } else { index as u64 };
                    assert_eq!(word.load(Relaxed), expected, "word {index} of {len} from {start}");
                }
            }
        }
    }

    #[test]
    fn bytes_go_in_and_come_out() {
        let bytes: Vec<u8> = (0..200).map(|it| it as u8 + 1).collect();
        for len in 0..200 {
            for room_len in [0, 1, 7, 8, 9, 15, 16, 24, 26] {
                let words = room(room_len + 1);
                copy_in(&words[..room_len], &bytes[..len]);
                let held = len.min(8 * room_len);
                let mut out = vec![0xff; len];
                copy_out(&words[..room_len], &mut out);
                assert_eq!(out[..held], bytes[..held], "{len} bytes, {room_len} words");
                assert!(out[held..].iter().all(|&byte| byte == 0), "{len} bytes, {room_len} words");
                for (index, word) in words.iter().enumerate().skip(len.div_ceil(8)) {
                    assert_eq!(word.load(Relaxed), index as u64, "word {index} of {len} bytes");
                }
                if held % 8 != 0 {
                    let last = words[held / 8].load(Relaxed).to_ne_bytes();
                    assert!(last[held % 8..].iter().all(|&byte| byte == 0), "{len} bytes, {room_len} words");
                }
            }
        }
    }

    #[test]
    fn lines_have_every_word_once() {
        for len in 0..40 {
            let words = room(len + 1);
            let mut seen = Vec::new();
            visit(&words[1..], &mut ByLines(|line: &[u64]| seen.extend_from_slice(line)));
            assert_eq!(seen, (1..=len as u64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_bit_of_every_word_is_looked_at() {
        const VALUE: u64 = 0x0123_4567_89ab_cdef;
        for len in 0..40 {
            let words = room(len + 1);
            let own = &words[1..];
            fill(own, VALUE);
            assert!(are_all(own, VALUE), "{len} words");
            for word in own {
                for bit in 0..64 {
                    word.store(VALUE ^ 1 << bit, Relaxed);
                    assert!(!are_all(own, VALUE), "bit {bit} of {len} words");
                }
                word.store(VALUE, Relaxed);
            }
        }
    }
}
