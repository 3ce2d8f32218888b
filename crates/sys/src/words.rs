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
