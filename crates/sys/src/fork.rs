//! Telling a process from the copy of it that `fork(2)` made, without a system call.

use core::sync::atomic::{AtomicU64, Ordering};

mod wiped;

pub(crate) use wiped::{Wipeable, Wiped};

/// The process's epoch; 0 until it is asked for.
static EPOCH: Wiped<AtomicU64> = Wiped::new();

/// The epoch that the next process in this line will get. A forked child goes on counting from its parent's value.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A number that stays the same while the process lives and differs in every process that descends from it by `fork`.
///
/// A guard that remembers it can tell, when it is dropped, whether it is the original or a forked child's copy, which
/// must release nothing. 0 if the kernel gave no memory to keep it in: then nothing can be told.
#[inline]
pub fn epoch() -> u64 {
    match EPOCH.get().map_or(0, |word| word.load(Ordering::Relaxed)) {
        0 => begin(),
        epoch => epoch,
    }
}

/// The process that runs, as one that made something remembers it.
///
/// Asking costs a load and a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Where the epoch of whoever asks stands; 0 in a forked child that has not asked for it yet.
    word: &'static AtomicU64,
    epoch: u64,
}

impl Mark {
    /// Of the process that runs; `None` where [`epoch`] is 0.
    pub fn here() -> Option<Self> {
        let epoch = epoch();
        EPOCH.get().filter(|_| epoch != 0).map(|word| Self { word, epoch })
    }

    /// Whether it is of the process that runs.
    #[inline(always)]
    pub fn is_here(self) -> bool {
        self.word.load(Ordering::Relaxed) == self.epoch
    }

    /// What a forked child finds in its copy. For tests.
    pub fn of_another(self) -> Self {
        Self { epoch: self.epoch.wrapping_add(1), ..self }
    }
}

impl PartialEq for Mark {
    fn eq(&self, other: &Self) -> bool {
        self.epoch == other.epoch
    }
}

impl Eq for Mark {}

/// Gives the process its epoch.
#[cold]
#[inline(never)]
fn begin() -> u64 {
    let Ok(word) = EPOCH.get_or_make() else { return 0 };
    let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
    // Threads may arrive here together: the first one's number counts.
    match word.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_zero) => fresh,
        Err(faster) => faster,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_one_process_long() {
        let parent = epoch();
        assert_ne!(parent, 0);
        assert_eq!(epoch(), parent);
        let mark = Mark::here().unwrap();
        assert!(mark.is_here());
        assert!(!mark.of_another().is_here());
        // SAFETY: the child makes only atomic accesses before it ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let before = mark.is_here();
            let own = epoch();
            let ok = !before && !mark.is_here() && own != 0 && own != parent && epoch() == own;
            // SAFETY: ends the child without running what belongs to the parent.
            unsafe { libc::_exit(if ok { 42 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above; the status is written to a valid place.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(libc::WEXITSTATUS(status), 42);
    }
}
