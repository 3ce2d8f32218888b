//! A way to talk, as the workloads use it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Failure, Incoming, Outgoing, Result, Workload};

pub(crate) mod bus;
pub(crate) mod channel;
pub(crate) mod kernel;

/// What a party does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The publisher or producer of that index; the one that begins a round trip.
    Publisher(usize),
    /// The subscriber or consumer of that index; the one that answers.
    Subscriber(usize),
}

/// What a party needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// The transport's name, or the address that it is to use.
    pub transport: String,
    /// What is to be done.
    pub workload: Workload,
    /// By whom.
    pub role: Role,
    /// A part of names that no other run has.
    pub name: String,
    /// A directory of this run's own, on a file system in memory where there is one. It goes with the run.
    pub directory: PathBuf,
    /// How much is to find room in it, in bytes; the transport's own best or default if there is none.
    pub capacity: Option<u64>,
    /// The CPU to run on.
    pub cpu: Option<usize>,
    /// Whether there are more parties than CPUs, so that spinning must let others run.
    pub is_crowded: bool,
}

impl Setup {
    /// What a transport is asked whether it can do this, and with how much room. Nothing is made for it.
    pub(crate) fn to_ask(name: &str, workload: &Workload, capacity: Option<u64>) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            transport: name.to_owned(),
            workload: *workload,
            role: Role::Publisher(0),
            name: "twixt-bench".to_owned(),
            directory: std::env::temp_dir(),
            capacity,
            cpu: None,
            is_crowded: workload.parties() > cpus,
        }
    }
}

/// A way to talk, as one party opens it.
pub trait Transport: Sized + 'static {
    /// What sends. In a round trip both parties have one.
    type Sender: Send;
    /// What receives.
    type Receiver: Receive;

    /// Whether it can do this at all; the error says why not.
    ///
    /// # Errors
    /// [`Failure::Unsupported`].
    fn supports(setup: &Setup) -> Result<()>;

    /// Makes what others will open. All parties have done so before any connects.
    ///
    /// # Errors
    /// What went wrong.
    fn prepare(setup: &Setup) -> Result<Self>;

    /// Opens what the others have made. Subscribers do it at the same time as publishers, and may wait for them.
    ///
    /// # Errors
    /// What went wrong.
    fn connect(self) -> Result<Ends<Self::Sender, Self::Receiver>>;

    /// Removes what a run has made and its processes did not remove: they may have been killed. Called by the conductor when
    /// all of them have gone; the run's directory goes by itself.
    fn clean(setup: &Setup) {
        let _ = setup;
    }

    /// How much room to try, in bytes, where the user has not chosen ([`Setup::capacity`]): the fastest is kept. `None` is
    /// what it has if it is told nothing.
    fn capacities(setup: &Setup) -> Vec<Option<u64>> {
        vec![setup.capacity]
    }

    /// The most messages that a run may have, where what was sent stays until its end.
    fn most_messages(setup: &Setup) -> u64 {
        let _ = setup;
        u64::MAX
    }

    /// Whether messages may get lost on the way, as datagrams may.
    fn is_lossy(setup: &Setup) -> bool {
        let _ = setup;
        false
    }
}

/// What a party holds once it is connected.
#[derive(Debug)]
pub struct Ends<S, R> {
    /// Of publishers; in a round trip, of both. Sends to all subscribers with [`Pattern::Fanout`](crate::Pattern::Fanout),
    /// to any of them with [`Pattern::Work`](crate::Pattern::Work).
    pub sender: Option<S>,
    /// Of subscribers; in a round trip, of both.
    pub receiver: Option<R>,
}

/// Sends messages.
pub trait Send {
    /// Sends a message unless it would have to wait: whether it went. If not, the same message comes again.
    ///
    /// # Errors
    /// What went wrong.
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool>;

    /// Sends a message, asleep while there is no room.
    ///
    /// # Errors
    /// What went wrong.
    fn send(&mut self, message: &mut Outgoing) -> Result<()>;

    /// How many messages [`send_batch`](Self::send_batch) takes at once; 1 if it has no way to send more than one.
    fn batch(&self) -> usize {
        1
    }

    /// Sends messages, up to [`batch`](Self::batch), together, and says how many went; 0 if it would have to wait and
    /// `waits` is not set. Those that did not go come again.
    ///
    /// # Errors
    /// What went wrong.
    fn send_batch(&mut self, messages: &mut [Outgoing], waits: bool) -> Result<usize> {
        let Some(first) = messages.first_mut() else { return Ok(0) };
        if waits {
            return self.send(first).map(|()| 1);
        }
        self.try_send(first).map(usize::from)
    }

    /// Passes on what was collected for later. Called before the sender stops sending.
    ///
    /// # Errors
    /// What went wrong.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// Sends the end of a run to all who receive: with several of them, to each.
    ///
    /// # Errors
    /// What went wrong.
    fn stop(&mut self, message: Outgoing, subscribers: usize) -> Result<()> {
        for _ in 0..subscribers {
            self.send(&mut message.clone())?;
        }
        self.flush()
    }
}

/// Receives messages.
pub trait Receive {
    /// Gives a message to [`Incoming::check`], or as many as come at once, unless there is none: whether there was one.
    ///
    /// # Errors
    /// What went wrong.
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool>;

    /// The same, asleep while there is none.
    ///
    /// # Errors
    /// What went wrong.
    fn receive(&mut self, incoming: &mut Incoming) -> Result<()>;

    /// The same with as many as the transport takes at once.
    ///
    /// # Errors
    /// What went wrong.
    fn receive_batch(&mut self, incoming: &mut Incoming, waits: bool) -> Result<bool> {
        if waits {
            return self.receive(incoming).map(|()| true);
        }
        self.try_receive(incoming)
    }
}

/// For a transport that has no such way to wait: what [`Transport::supports`] says, and what happens if it is not asked.
pub fn never<T>(what: &str) -> Result<T> {
    Err(Failure::Unsupported(what.to_owned()))
}
