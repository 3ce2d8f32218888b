//! What a consumer has taken and not handed out yet.

use super::consumer::Taken;

/// Messages in the order in which they were taken. It is filled when it is empty, and not moved while it is emptied.
#[derive(Default)]
pub(super) struct Basket {
    taken: Vec<Taken>,
    /// Those before it were handed out.
    next: usize,
}

impl Basket {
    /// With room for so many.
    pub(super) fn new(most: usize) -> Self {
        Self { taken: Vec::with_capacity(most), next: 0 }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.next == self.taken.len()
    }

    /// Forgets what was handed out.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.taken.drain(..self.next);
        self.next = 0;
    }

    #[inline(always)]
    pub(super) fn push(&mut self, taken: Taken) {
        self.taken.push(taken);
    }

    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<Taken> {
        let taken = *self.taken.get(self.next)?;
        self.next += 1;
        Some(taken)
    }

    /// Those that are left.
    pub(super) fn rest(&self) -> &[Taken] {
        &self.taken[self.next..]
    }
}
