//! Shared memory as the algorithms see it: words of 64 bits, in a mapping or on the heap.
//!
//! All that processes share is made of aligned words that are accessed by atomics only, so that another process can change
//! what is read and never what is *safe*. [`Words`] are one's own to write; [`Foreign`] words belong to another process and
//! can only be loaded: their pages may be mapped for reading only. Every access is checked against the length, or its index
//! reduced to it ([`Lines`]), whoever that came from.

use core::ops::Deref;
use std::sync::Arc;

use twixt_sys::words::{ByLines, Visit};
use twixt_sys::{Access, Fault, Mapping};

use crate::sync::{AtomicU64, Ordering, fence};

/// The bytes of a word.
pub(crate) const WORD: usize = 8;

/// What keeps the memory there.
#[derive(Clone)]
enum Keep {
    Mapping(Arc<Mapping>),
    /// For models and tests.
    #[cfg(any(test, twixt_loom))]
    #[expect(dead_code, reason = "held, so that the words stay where they are")]
    Heap(Arc<[AtomicU64]>),
}

/// Words that this process may write.
#[derive(Clone)]
pub(crate) struct Words {
    base: *const AtomicU64,
    len: usize,
    keep: Keep,
}

// SAFETY: the words are atomics, and what keeps them can be sent.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// `len` words of a writable mapping, from byte `offset` (a multiple of 8) on.
    pub(crate) fn new(mapping: &Arc<Mapping>, offset: usize, len: usize) -> Result<Self, Fault> {
        let base = mapping.words(offset, len)?.as_ptr().cast();
        Ok(Self { base, len, keep: Keep::Mapping(Arc::clone(mapping)) })
    }

    /// As many on the heap, all zero.
    #[cfg(any(test, twixt_loom))]
    pub(crate) fn heap(len: usize) -> Self {
        let words: Arc<[AtomicU64]> = (0..len).map(|_| AtomicU64::new(0)).collect();
        Self { base: words.as_ptr(), len, keep: Keep::Heap(words) }
    }

    /// The same words, for reading.
    #[cfg(any(test, twixt_loom))]
    pub(crate) fn foreign(&self) -> Foreign {
        Foreign(self.clone())
    }

    /// Whether the memory is all there: a peer may have truncated the file.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        match &self.keep {
            Keep::Mapping(mapping) => mapping.check(),
            #[cfg(any(test, twixt_loom))]
            Keep::Heap(_) => Ok(()),
        }
    }
}

impl Deref for Words {
    type Target = [AtomicU64];

    #[inline(always)]
    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: `base` and `len` came from a slice of atomics which `keep` keeps alive for as long as `self` lives, and an
        // atomic may be shared while others, in other processes too, access it.
        unsafe { core::slice::from_raw_parts(self.base, self.len) }
    }
}

/// Words that another process writes: to be loaded, and nothing else.
#[derive(Clone)]
pub(crate) struct Foreign(Words);

impl Foreign {
    /// `len` words of a mapping, which may be read-only, from byte `offset` (a multiple of 8) on.
    pub(crate) fn new(mapping: &Arc<Mapping>, offset: usize, len: usize) -> Result<Self, Fault> {
        if mapping.access() == Access::ReadWrite {
            return Words::new(mapping, offset, len).map(Self);
        }
        let end = len.checked_mul(WORD).and_then(|bytes| offset.checked_add(bytes));
        match end {
            Some(end) if end <= mapping.len() => {}
            _ => return Err(Fault::OutOfBounds),
        }
        let base = (mapping.address() as *const u8).wrapping_add(offset).cast::<AtomicU64>();
        if !base.is_aligned() {
            return Err(Fault::Misaligned);
        }
        Ok(Self(Words { base, len, keep: Keep::Mapping(Arc::clone(mapping)) }))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len
    }

    /// The word of that index, unordered; 0 past the end.
    #[inline(always)]
    pub(crate) fn load(&self, index: usize) -> u64 {
        match self.0.get(index) {
            // Relaxed: of memory mapped for reading only the language promises this load and no other.
            Some(word) => word.load(Ordering::Relaxed),
            None => 0,
        }
    }

    /// The word of that index, before everything that is loaded later.
    #[inline(always)]
    pub(crate) fn acquire(&self, index: usize) -> u64 {
        let word = self.load(index);
        // Pairs with the Release store or fence of the process that owns the words; whoever calls says which.
        fence(Ordering::Acquire);
        word
    }

    /// The word of that index, borrowed; `None` past the end.
    pub(crate) fn word(&self, index: usize) -> Option<Word<'_>> {
        self.0.get(index).map(Word)
    }

    /// A part of them, from word `start` on.
    #[cfg(any(test, twixt_loom))]
    pub(crate) fn part(&self, start: usize, len: usize) -> Option<Self> {
        let part = self.0.get(start..start.checked_add(len)?)?;
        Some(Self(Words { base: part.as_ptr(), len, keep: self.0.keep.clone() }))
    }

    /// Words `start..start + len` for loading one after the other; empty if they are not all there.
    #[inline(always)]
    pub(crate) fn view(&self, start: usize, len: usize) -> View<'_> {
        let words = start.checked_add(len).and_then(|end| self.0.get(start..end));
        View { words: words.unwrap_or(&[]) }
    }

    /// Whether the memory is all there.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        self.0.check()
    }
}

/// A power of two of lines of eight words: any number says a line, by its lower bits, so that no access needs a check.
#[derive(Clone)]
pub(crate) struct Lines<W> {
    words: W,
    /// The number of the last one.
    last: usize,
}

/// The words of a line.
const LINE: usize = 8;

impl Lines<Words> {
    /// Of all of the words; `None` if they are not so many.
    pub(crate) fn own(words: Words) -> Option<Self> {
        last_line(words.len).map(|last| Self { words, last })
    }

    /// The line of that number.
    #[inline(always)]
    pub(crate) fn line(&self, number: u64) -> &[AtomicU64; LINE] {
        self.strip().line(number)
    }

    /// Has a line that was just written given to the cache that processors share.
    #[inline(always)]
    pub(crate) fn demote(&self, number: u64) {
        vectors::demote(&self.line(number)[0]);
    }

    /// Has a line fetched that is written soon.
    #[inline(always)]
    pub(crate) fn fetch(&self, number: u64) {
        self.strip().fetch_to_write(number);
    }

    /// The same lines, borrowed.
    #[inline(always)]
    pub(crate) fn strip(&self) -> Strip<'_> {
        Strip { words: &self.words, last: self.last }
    }
}

impl Lines<Foreign> {
    /// As [`own`](Lines::own), for reading.
    pub(crate) fn foreign(words: Foreign) -> Option<Self> {
        last_line(words.len()).map(|last| Self { words, last })
    }

    /// The line of that number.
    #[inline(always)]
    pub(crate) fn line(&self, number: u64) -> Line<'_> {
        self.strip().line(number)
    }

    /// Has a line fetched that is read soon.
    #[inline(always)]
    pub(crate) fn fetch(&self, number: u64) {
        self.strip().fetch(number);
    }

    /// The same lines, borrowed.
    #[inline(always)]
    pub(crate) fn strip(&self) -> ForeignStrip<'_> {
        ForeignStrip(Strip { words: &self.words.0, last: self.last })
    }
}

impl<W> Deref for Lines<W> {
    type Target = W;

    #[inline(always)]
    fn deref(&self) -> &W {
        &self.words
    }
}

fn last_line(words: usize) -> Option<usize> {
    let lines = words / LINE;
    (words.is_multiple_of(LINE) && lines.is_power_of_two()).then(|| lines - 1)
}

/// Lines, borrowed: where they are is not looked up for each.
#[derive(Clone, Copy)]
pub(crate) struct Strip<'a> {
    words: &'a [AtomicU64],
    last: usize,
}

impl<'a> Strip<'a> {
    /// The line of that number.
    #[inline(always)]
    pub(crate) fn line(self, number: u64) -> &'a [AtomicU64; LINE] {
        let lines = self.words.as_chunks().0;
        debug_assert_eq!(lines.len(), self.last + 1);
        // SAFETY: whoever made the `Lines` that these are of has counted the words, and they stay as many: there are `last + 1`
        // lines, a power of two, so that no number has more in these bits than `last`.
        unsafe { lines.get_unchecked(number as usize & self.last) }
    }

    /// A frame that begins with the line of that number: this line, and the words that the window shows. `None` if it would reach
    /// over the end.
    #[inline(always)]
    pub(crate) fn frame(
        self,
        number: u64,
        window: Window,
    ) -> Option<(&'a [AtomicU64; LINE], &'a [AtomicU64])> {
        let first = number as usize & self.last;
        if first + window.lines > self.last + 1 {
            return None;
        }
        let words = LINE * first + window.start..LINE * first + window.end;
        debug_assert!(words.end <= self.words.len());
        // SAFETY: there are `LINE` words for each of `last + 1` lines, of which `first` and `window.lines` together are no more; and a
        // window begins no later than it ends, within its lines.
        let words = unsafe { self.words.get_unchecked(words) };
        Some((self.line(number), words))
    }

    /// Has a line fetched that is written soon.
    #[inline(always)]
    pub(crate) fn fetch_to_write(self, number: u64) {
        vectors::fetch_to_write(&self.line(number)[0]);
    }
}

/// The lines of another process, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct ForeignStrip<'a>(Strip<'a>);

impl<'a> ForeignStrip<'a> {
    /// The line of that number.
    #[inline(always)]
    pub(crate) fn line(self, number: u64) -> Line<'a> {
        Line { words: self.0.line(number) }
    }

    /// As [`Strip::frame`].
    #[inline(always)]
    pub(crate) fn frame(self, number: u64, window: Window) -> Option<(Line<'a>, View<'a>)> {
        self.0.frame(number, window).map(|(line, words)| (Line { words: line }, View { words }))
    }

    /// Has a line fetched that is read soon.
    #[inline(always)]
    pub(crate) fn fetch(self, number: u64) {
        vectors::fetch(&self.line(number).words[0]);
    }

    /// The same for one that is read later, into the cache behind the nearest.
    #[inline(always)]
    pub(crate) fn fetch_far(self, number: u64) {
        vectors::fetch_far(&self.line(number).words[0]);
    }
}

/// Which words of a frame of so many lines are looked at.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    lines: usize,
    start: usize,
    end: usize,
}

impl Window {
    /// Words `start..start + len` of so many lines, if they are among them.
    pub(crate) fn new(lines: u64, start: usize, len: usize) -> Option<Self> {
        let lines = usize::try_from(lines).ok()?;
        let (end, all) = (start.checked_add(len)?, lines.checked_mul(LINE)?);
        (end <= all).then_some(Self { lines, start, end })
    }
}

/// A word of another process, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct Word<'a>(&'a AtomicU64);

impl Word<'_> {
    /// What it is, unordered.
    #[inline(always)]
    pub(crate) fn load(self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Eight words that are only loaded.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    words: &'a [AtomicU64; LINE],
}

impl Line<'_> {
    /// One of them.
    #[inline(always)]
    pub(crate) fn load<const INDEX: usize>(self) -> u64 {
        const { assert!(INDEX < LINE) };
        self.words[INDEX].load(Ordering::Relaxed)
    }
}

/// Words that are only loaded, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    words: &'a [AtomicU64],
}

impl<'a> View<'a> {
    /// One's own words, for reading.
    pub(crate) fn of(words: &'a [AtomicU64]) -> Self {
        Self { words }
    }

    /// The word of that index; 0 past the end.
    #[inline(always)]
    pub(crate) fn load(self, index: usize) -> u64 {
        self.words.get(index).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Those from word `start` to before word `end`; none if they are not all there.
    #[inline(always)]
    pub(crate) fn part(self, start: usize, end: usize) -> Self {
        Self { words: self.words.get(start..end).unwrap_or(&[]) }
    }

    /// How many there are.
    #[inline(always)]
    pub(crate) fn len(self) -> usize {
        self.words.len()
    }

    /// Eight at a time, and then the rest.
    #[inline(always)]
    pub(crate) fn by_lines(self, each: impl FnMut(&[u64])) {
        self.visit(&mut ByLines(each));
    }

    /// The same for a visitor.
    #[inline(always)]
    pub(crate) fn visit(self, visitor: &mut impl Visit) {
        vectors::visit(self.words, visitor);
    }

    /// Copies bytes out, from byte `offset` (a multiple of 8) on; what is not there comes out as zeros.
    #[inline(always)]
    pub(crate) fn copy_to(self, offset: usize, into: &mut [u8]) {
        debug_assert_eq!(offset % WORD, 0);
        vectors::copy_out(self.words.get(offset / WORD..).unwrap_or(&[]), into);
    }
}

/// Copies bytes into words of one's own; a last word that they do not fill has zeros behind them. What has no room is left
/// out.
#[inline(always)]
pub(crate) fn copy_in(words: &[AtomicU64], bytes: &[u8]) {
    vectors::copy_in(words, bytes);
}

#[cfg(not(twixt_loom))]
use twixt_sys::words as vectors;

/// The model checker has to see each word.
#[cfg(twixt_loom)]
mod vectors {
    use super::{AtomicU64, Ordering, Visit, WORD};

    pub(super) fn visit(words: &[AtomicU64], visitor: &mut impl Visit) {
        words.iter().for_each(|word| visitor.rest(&[word.load(Ordering::Relaxed)]));
    }

    pub(super) fn fetch(_: &AtomicU64) {}

    pub(super) fn fetch_far(_: &AtomicU64) {}

    pub(super) fn fetch_to_write(_: &AtomicU64) {}

    pub(super) fn demote(_: &AtomicU64) {}

    pub(super) fn copy_out(words: &[AtomicU64], bytes: &mut [u8]) {
        let mut words = words.iter();
        for chunk in bytes.chunks_mut(WORD) {
            let word = words.next().map_or(0, |word| word.load(Ordering::Relaxed));
            chunk.copy_from_slice(&word.to_ne_bytes()[..chunk.len()]);
        }
    }

    pub(super) fn copy_in(words: &[AtomicU64], bytes: &[u8]) {
        for (word, chunk) in words.iter().zip(bytes.chunks(WORD)) {
            let mut bytes = [0; WORD];
            bytes[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
    }
}
