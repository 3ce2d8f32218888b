//! All the transports that a program knows.

use core::fmt;

use twixt_address::Scheme;

use crate::party::play_over;
use crate::transport::bus::{Latest, Queue, Rpc, Topic};
use crate::transport::channel::Channel;
use crate::transport::kernel::{ProcessMemory, Splice};
use crate::{Failure, Need, Result, Setup, Transport};

/// Of which family a transport is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Bare memory: what the machine allows.
    Floor,
    /// The bus, by its own calls.
    Bus,
    /// A mechanism of the kernel, or ours: an address.
    Channel,
    /// A mechanism of the kernel that no channel uses.
    Kernel,
    /// Somebody else's library.
    Peer,
}

impl Family {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Bus => "bus",
            Self::Channel => "channel",
            Self::Kernel => "kernel",
            Self::Peer => "peer",
        }
    }
}

/// A transport by its name.
#[derive(Clone, Copy)]
pub struct Entry {
    name: &'static str,
    family: Family,
    is_yardstick: bool,
    supports: fn(&Setup) -> Result<()>,
    play: fn(&Setup) -> Result<()>,
    is_lossy: fn(&Setup) -> bool,
    clean: fn(&Setup),
    capacities: fn(&Setup) -> Vec<Option<u64>>,
    most_messages: fn(&Setup) -> u64,
    about: &'static str,
    needs: Option<&'static [Need]>,
}

impl Entry {
    /// A transport of this program.
    pub const fn new<T: Transport>(name: &'static str, family: Family) -> Self {
        let (supports, play, is_lossy, clean) = (T::supports, play_over::<T>, T::is_lossy, T::clean);
        let (capacities, most_messages) = (T::capacities, T::most_messages);
        let is_yardstick = matches!(family, Family::Floor);
        Self {
            name,
            family,
            is_yardstick,
            supports,
            play,
            is_lossy,
            clean,
            capacities,
            most_messages,
            about: "",
            needs: None,
        }
    }

    /// One of the floor that does less than the workload asks for: a figure to look at, of which no ratios are taken.
    #[must_use]
    pub const fn for_show(self) -> Self {
        Self { is_yardstick: false, ..self }
    }

    /// A transport that another program plays: `play` executes it in its place, and it speaks as [`party`](crate::party)
    /// says. Or one that `play` has to choose before it plays it with [`play_over`](crate::party::play_over).
    pub const fn foreign(
        name: &'static str,
        supports: fn(&Setup) -> Result<()>,
        play: fn(&Setup) -> Result<()>,
    ) -> Self {
        Self {
            name,
            family: Family::Peer,
            is_yardstick: false,
            supports,
            play,
            is_lossy: |_| false,
            clean: |_| (),
            capacities: |setup| vec![setup.capacity],
            most_messages: |_| u64::MAX,
            about: "",
            needs: None,
        }
    }

    /// The same with the capacities to try, as [`Transport::capacities`] says: for one that is foreign, or chosen late.
    #[must_use]
    pub const fn with_capacities(self, capacities: fn(&Setup) -> Vec<Option<u64>>) -> Self {
        Self { capacities, ..self }
    }

    /// The same with all that it is capable of, for whoever asks what to use. A kind of address needs none: the table of
    /// addresses has it.
    #[must_use]
    pub const fn capable_of(self, needs: &'static [Need]) -> Self {
        Self { needs: Some(needs), ..self }
    }

    /// What it is capable of, if that was said.
    pub const fn capabilities(&self) -> Option<&'static [Need]> {
        self.needs
    }

    /// The same with what it is, in a few words for lists. A kind of address needs none: the table of addresses has it.
    #[must_use]
    pub const fn described(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// What it is, in a few words; none if nobody has said.
    pub fn about(&self) -> &'static str {
        match Scheme::of(self.name) {
            Some(scheme) if self.about.is_empty() => scheme.summary,
            _ => self.about,
        }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its family.
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Whether others are set beside it: it is of the floor, and does all that the workload asks for.
    pub const fn is_yardstick(&self) -> bool {
        self.is_yardstick
    }

    pub(crate) fn supports(&self, setup: &Setup) -> Result<()> {
        (self.supports)(setup)
    }

    pub(crate) fn clean(&self, setup: &Setup) {
        (self.clean)(setup);
    }

    pub(crate) fn capacities(&self, setup: &Setup) -> Vec<Option<u64>> {
        (self.capacities)(setup)
    }

    pub(crate) fn most_messages(&self, setup: &Setup) -> u64 {
        (self.most_messages)(setup)
    }

    pub(crate) fn is_lossy(&self, setup: &Setup) -> bool {
        (self.is_lossy)(setup)
    }

    pub(crate) fn play(&self, setup: &Setup) -> Result<()> {
        self.supports(setup)?;
        (self.play)(setup)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("name", &self.name)
            .field("family", &self.family)
            .finish_non_exhaustive()
    }
}

/// The transports that a program knows.
#[derive(Clone, Debug)]
pub struct Registry {
    entries: Vec<Entry>,
}

/// What an address of any kind is run by.
static CHANNEL: Entry = Entry::new::<Channel>("channel", Family::Channel);

impl Registry {
    /// Those of this crate: the floor, each kind of address, and what the kernel has besides.
    pub fn own() -> Self {
        let kinds =
            crate::transport::channel::KINDS.iter().map(|kind| Entry::new::<Channel>(kind, Family::Channel));
        let kernel = [
            Entry::new::<ProcessMemory>("process-vm", Family::Kernel)
                .described("memory of the sender, read (process_vm_readv)")
                .capable_of(&[Need::Boundaries, Need::AnyLength, Need::Bytes, Need::Reliable]),
            Entry::new::<Splice>("splice", Family::Kernel)
                .described("pages given to a pipe (vmsplice), read out of it")
                .capable_of(&[Need::AnyLength, Need::Bytes, Need::Reliable, Need::SeesEnd, Need::Pollable]),
        ];
        let bus = [
            Entry::new::<Topic>("bus-topic", Family::Bus)
                .described("the bus's topics, read and written in place"),
            Entry::new::<Queue>("bus-queue", Family::Bus)
                .described("the bus's queues, each message acknowledged"),
            Entry::new::<Latest>("bus-latest", Family::Bus)
                .described("the bus's latest values, there and back"),
            Entry::new::<Rpc>("bus-rpc", Family::Bus).described("the bus's connections, call and reply"),
        ];
        let own = crate::floor::ENTRIES.iter().copied().chain(bus).chain(kinds).chain(kernel);
        Self { entries: own.collect() }
    }

    /// Only these. Addresses can be run in any case.
    pub fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        Self { entries: entries.into_iter().collect() }
    }

    /// With others.
    #[must_use]
    pub fn with(mut self, entries: impl IntoIterator<Item = Entry>) -> Self {
        self.entries.extend(entries);
        self
    }

    /// All of them.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The one of that name; for an address, the one that runs addresses.
    ///
    /// # Errors
    /// [`Failure::Failed`] if there is none.
    pub fn find(&self, name: &str) -> Result<&Entry> {
        if let Some(entry) = self.entries.iter().find(|entry| entry.name == name) {
            return Ok(entry);
        }
        if name.contains(':') {
            return Ok(&CHANNEL);
        }
        let names: Vec<&str> = self.entries.iter().map(Entry::name).collect();
        Err(Failure::Failed(format!(
            "there is no transport {name:?}: give one of {}, or an address",
            names.join(", ")
        )))
    }
}
