//! Waiting as a workload says.

use std::hint::spin_loop;
use std::time::{Duration, Instant};

use crate::{Incoming, Outgoing, Receive, Result, Send, Setup, Waiting};

/// Waits as a workload says, over what a transport offers.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    waiting: Waiting,
    /// With more parties than CPUs nothing comes while we spin: the CPU is given up between attempts.
    yields: bool,
}

/// For how long an adaptive wait tries before it sleeps: about what it costs to wake a sleeper on another CPU.
const TRYING: Duration = Duration::from_micros(20);

/// How many attempts are made between two looks at the clock.
const ATTEMPTS: u32 = 32;

impl Patience {
    pub(crate) fn of(setup: &Setup) -> Self {
        Self { waiting: setup.workload.waiting, yields: setup.is_crowded }
    }

    /// Sends a message.
    #[inline]
    pub(crate) fn send(self, sender: &mut impl Send, message: &mut Outgoing) -> Result<()> {
        self.wait(
            sender,
            |sender, waits| {
                if waits { sender.send(message).map(|()| true) } else { sender.try_send(message) }
            },
        )
    }

    /// Sends messages together, all of them.
    pub(crate) fn send_batch(self, sender: &mut impl Send, mut messages: &mut [Outgoing]) -> Result<()> {
        while !messages.is_empty() {
            let mut went = 0;
            self.wait(sender, |sender, waits| {
                went = sender.send_batch(messages, waits)?;
                Ok(went > 0)
            })?;
            messages = &mut messages[went..];
        }
        Ok(())
    }

    /// Receives a message, or as many as come at once.
    #[inline]
    pub(crate) fn receive(self, receiver: &mut impl Receive, incoming: &mut Incoming) -> Result<()> {
        self.wait(receiver, |receiver, waits| {
            if waits { receiver.receive(incoming).map(|()| true) } else { receiver.try_receive(incoming) }
        })
    }

    /// Receives as many as the transport takes at once.
    pub(crate) fn receive_batch(self, receiver: &mut impl Receive, incoming: &mut Incoming) -> Result<()> {
        self.wait(receiver, |receiver, waits| receiver.receive_batch(incoming, waits))
    }

    #[inline]
    fn wait<T>(self, end: &mut T, mut attempt: impl FnMut(&mut T, bool) -> Result<bool>) -> Result<()> {
        match self.waiting {
            Waiting::Spin => {
                while !attempt(end, false)? {
                    self.relax();
                }
                Ok(())
            }
            Waiting::Block => attempt(end, true).map(drop),
            // Spinning only keeps the other from running.
            Waiting::Adaptive if self.yields => attempt(end, true).map(drop),
            Waiting::Adaptive => {
                if attempt(end, false)? {
                    return Ok(());
                }
                let start = Instant::now();
                while start.elapsed() < TRYING {
                    for _ in 0..ATTEMPTS {
                        if attempt(end, false)? {
                            return Ok(());
                        }
                        spin_loop();
                    }
                }
                attempt(end, true).map(drop)
            }
        }
    }

    #[inline]
    fn relax(self) {
        if self.yields {
            std::thread::yield_now();
        } else {
            spin_loop();
        }
    }
}
