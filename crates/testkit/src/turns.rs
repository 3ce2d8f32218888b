//! Timing what takes less than a microsecond: short turns of many rounds, by the processor time of the thread.
//!
//! What is to be compared takes its turns alternately, so that whatever else the machine does hits all alike. Time in which
//! the thread does not run counts for nobody.

use rustix::time::{ClockId, clock_gettime};

/// The nanoseconds of a round, of so many that are held one after the other.
pub fn time(rounds: u32, mut round: impl FnMut()) -> f64 {
    let start = processor_time();
    for _ in 0..rounds {
        round();
    }
    (processor_time() - start) / f64::from(rounds)
}

/// The nanoseconds that this thread has run.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// The one in the middle.
///
/// # Panics
/// If there is none.
pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
