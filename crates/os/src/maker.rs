//! The process that made a value, so that the copy of it in a forked child can tell that it is one.

use twixt_sys::fork::Mark;

/// Whoever made something that is undone on drop: in every other process, dropping undoes nothing.
///
/// For guards of the crates above.
///
/// A process id alone would not do: ids are used again, and the first process of every PID namespace has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Maker {
    /// The mark that the process has and no descendant of it.
    Marked(Mark),
    /// Its id, where the kernel cannot wipe a page on `fork(2)`.
    Pid(u32),
}

impl Maker {
    /// The process that runs. Costs no system call, after the first time.
    pub fn this() -> Self {
        match Mark::here() {
            Some(mark) => Self::Marked(mark),
            None => Self::Pid(std::process::id()),
        }
    }

    /// Whether it is the process that runs.
    #[inline(always)]
    pub fn is_this(self) -> bool {
        match self {
            Self::Marked(mark) => mark.is_here(),
            Self::Pid(pid) => pid == std::process::id(),
        }
    }
}

/// For tests.
impl Maker {
    /// What a forked child finds in its copy: another process.
    pub fn another() -> Self {
        match Self::this() {
            Self::Marked(mark) => Self::Marked(mark.of_another()),
            Self::Pid(pid) => Self::Pid(pid + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself_from_others() {
        assert!(Maker::this().is_this());
        assert!(!Maker::another().is_this());
        assert!(Maker::Pid(std::process::id()).is_this());
    }
}
