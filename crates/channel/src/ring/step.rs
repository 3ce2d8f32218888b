//! The steps between which a participant may die. In the tests it does, or stops, at the one that they choose.

/// Between two stores that others can see.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn step() {}

#[cfg(test)]
pub(crate) use chosen::{die_at, step, stop_at};

#[cfg(test)]
mod chosen {
    use core::cell::Cell;

    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    thread_local! {
        /// How many steps are left, and what happens then.
        static CHOSEN: Cell<Option<(u32, Signal)>> = const { Cell::new(None) };
    }

    /// Kills this process at the `number`th step of this thread from now on.
    pub(crate) fn die_at(number: u32) {
        CHOSEN.set(Some((number, Signal::KILL)));
    }

    /// Stops it there.
    pub(crate) fn stop_at(number: u32) {
        CHOSEN.set(Some((number, Signal::STOP)));
    }

    pub(crate) fn step() {
        let Some((left, signal)) = CHOSEN.get() else { return };
        CHOSEN.set(match left {
            0 | 1 => {
                kill_process(getpid(), signal).expect("a signal to itself");
                // Any thread may be the one that takes the signal; this one must not go on before that.
                std::thread::sleep(Duration::from_millis(20));
                None
            }
            _ => Some((left - 1, signal)),
        });
    }
}
