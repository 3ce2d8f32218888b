//! A storm of signals on one thread: what finds a missing EINTR loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use twixt_sys::signal::{interrupt_calls, send_to_thread};

use crate::Peer;

/// SIGURG: ignored by default, so a straggler harms nobody.
const SIGNAL: i32 = 23;

/// Interrupts the thread that started it about a thousand times a second, until dropped.
///
/// The handler is installed without `SA_RESTART`, so every blocking system call of the thread fails with EINTR.
#[derive(Debug)]
pub struct Storm {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    sender: Option<JoinHandle<()>>,
}

impl Storm {
    /// Starts a storm on the calling thread.
    pub fn on_this_thread() -> Self {
        interrupt_calls(SIGNAL).expect("SIGURG can be handled");
        let target = rustix::thread::gettid();
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let sender = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if send_to_thread(target, SIGNAL).is_err() {
                    break;
                }
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self { stop, sent, sender: Some(sender) }
    }

    /// How many signals were sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Returns once `count` more signals were sent: from another thread, to know that the storm has hit.
    pub fn wait_for(&self, count: u64) {
        let end = self.sent() + count;
        while self.sent() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Makes the call under a storm, and tells the test "stormed" once the call's thread has been hit 20 times.
pub fn under_storm<T>(peer: &Peer, call: impl FnOnce() -> T) -> T {
    let storm = Storm::on_this_thread();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            storm.wait_for(20);
            peer.say("stormed");
        });
        call()
    })
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(sender) = self.sender.take() {
            let _ = sender.join();
        }
    }
}
