//! Copies to and from memory that another process may be writing.
//!
//! `memcpy` assumes that nobody else touches the bytes. These copies are made of relaxed atomic accesses, as wide
//! as alignment allows, so that a concurrent writer makes the *values* unpredictable and nothing else.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

const WORD: usize = size_of::<u64>();

/// How many of `len` bytes from `shared` on stand before the first aligned word.
fn unaligned_head(shared: *const u8, len: usize) -> usize {
    shared.align_offset(WORD).min(len)
}

/// Fills `private` from shared memory.
///
/// # Safety
/// `private.len()` bytes from `shared` on are mapped readable, and stay so during the call.
pub(super) unsafe fn out_of_shared(shared: *mut u8, private: &mut [u8]) {
    let (head, rest) = private.split_at_mut(unaligned_head(shared, private.len()));
    let mut words = rest.chunks_exact_mut(WORD);
    let mut at = shared;
    for byte in head {
        // SAFETY: `at` runs through the caller's range, one step for each byte of `private`.
        (*byte, at) = unsafe { load_byte(at) };
    }
    for word in &mut words {
        // SAFETY: as above, and aligned since the head was skipped.
        let (value, next) = unsafe { load_word(at) };
        word.copy_from_slice(&value.to_ne_bytes());
        at = next;
    }
    for byte in words.into_remainder() {
        // SAFETY: as for the head.
        (*byte, at) = unsafe { load_byte(at) };
    }
}

/// Writes `private` into shared memory.
///
/// # Safety
/// `private.len()` bytes from `shared` on are mapped writable, and stay so during the call.
pub(super) unsafe fn into_shared(private: &[u8], shared: *mut u8) {
    let (head, rest) = private.split_at(unaligned_head(shared, private.len()));
    let words = rest.chunks_exact(WORD);
    let tail = words.remainder();
    let mut at = shared;
    for byte in head {
        // SAFETY: `at` runs through the caller's range, one step for each byte of `private`.
        at = unsafe { store_byte(at, *byte) };
    }
    for word in words {
        let mut value = [0; WORD];
        value.copy_from_slice(word);
        // SAFETY: as above, and aligned since the head was skipped.
        at = unsafe { store_word(at, u64::from_ne_bytes(value)) };
    }
    for byte in tail {
        // SAFETY: as for the head.
        at = unsafe { store_byte(at, *byte) };
    }
}

/// # Safety
/// `at` points to a mapped byte.
unsafe fn load_byte(at: *mut u8) -> (u8, *mut u8) {
    // SAFETY: the caller's promise.
    let byte = unsafe { AtomicU8::from_ptr(at) }.load(Relaxed);
    (byte, at.wrapping_add(1))
}

/// # Safety
/// `at` points to a mapped, aligned word.
unsafe fn load_word(at: *mut u8) -> (u64, *mut u8) {
    // SAFETY: the caller's promise.
    let word = unsafe { AtomicU64::from_ptr(at.cast()) }.load(Relaxed);
    (word, at.wrapping_add(WORD))
}

/// # Safety
/// `at` points to a byte mapped writable.
unsafe fn store_byte(at: *mut u8, byte: u8) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { AtomicU8::from_ptr(at) }.store(byte, Relaxed);
    at.wrapping_add(1)
}

/// # Safety
/// `at` points to an aligned word mapped writable.
unsafe fn store_word(at: *mut u8, word: u64) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { AtomicU64::from_ptr(at.cast()) }.store(word, Relaxed);
    at.wrapping_add(WORD)
}
