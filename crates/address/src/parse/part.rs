//! A piece of the input that knows where it stands.

use core::ops::Range;

#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub text: &'a str,
    /// The byte of the input at which it begins.
    start: usize,
}

impl<'a> Part<'a> {
    pub fn whole(text: &'a str) -> Self {
        Self { text, start: 0 }
    }

    pub fn span(self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    /// A range of it, on boundaries of characters.
    pub fn slice(self, range: Range<usize>) -> Self {
        Self { text: &self.text[range.clone()], start: self.start + range.start }
    }

    /// The nothing at its end, where something is missing.
    pub fn end(self) -> Self {
        self.slice(self.text.len()..self.text.len())
    }

    /// What stands before and after the first `separator`, an ASCII character.
    pub fn split_once(self, separator: char) -> Option<(Self, Self)> {
        self.text.find(separator).map(|at| self.split_around(at))
    }

    /// What stands before and after the last `separator`, an ASCII character.
    pub fn rsplit_once(self, separator: char) -> Option<(Self, Self)> {
        self.text.rfind(separator).map(|at| self.split_around(at))
    }

    fn split_around(self, at: usize) -> (Self, Self) {
        (self.slice(0..at), self.slice(at + 1..self.text.len()))
    }
}
