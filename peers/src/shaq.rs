//! shaq: queues of plain values in a shared file.
//!
//! Its queues hold values of one type each, so there is a type for each size of message, and the workload is compiled
//! for each. A message is written in its slot and read there. There are three kinds of queue, and each pattern has the
//! one that its documentation names for it: [`single`] for one to one, [`broadcast`] for one to all, [`multi`] for any
//! to any.
//!
//! A consumer can sleep on a futex; a producer cannot, so that nothing but a round trip can be waited for asleep.

use std::fs::{File, OpenOptions};
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::time::Duration;

use twixt::bench::party::play_over;
use twixt::bench::{Entry, Failure, Need, Pattern, Result, Setup, Waiting};

use self::broadcast::Broadcast;
use self::multi::Multi;
use self::single::Single;

mod broadcast;
mod multi;
mod single;

pub fn entry() -> Entry {
    Entry::foreign("shaq", supports, play)
        .described("shaq, queues in shared memory")
        .with_capacities(|setup| crate::capacity::choices(setup, &[1 << 18, 1 << 20, 4 << 20]))
        .capable_of(&[
            Need::Boundaries,
            Need::Bytes,
            Need::Reliable,
            Need::ManySenders,
            Need::ManyReceivers,
            Need::FanOut,
        ])
}

/// The largest message that there is a type for.
const MAX: usize = 16 << 20;

fn supports(setup: &Setup) -> Result<()> {
    let workload = &setup.workload;
    if workload.size > MAX {
        return Err(Failure::Unsupported(format!("no type was compiled in of more than {MAX} bytes")));
    }
    if workload.waiting != Waiting::Spin && workload.pattern != Pattern::Rtt {
        return Err(Failure::Unsupported("its producers cannot sleep until there is room".into()));
    }
    Ok(())
}

/// Plays with the smallest slot that holds the message.
macro_rules! with_slots {
    ($queue:ident, $setup:expr, $($bytes:literal)+) => {
        match $setup.workload.size {
            $(..=$bytes => play_over::<$queue<$bytes>>($setup),)+
            _ => supports($setup),
        }
    };
}

/// The same for each kind of queue.
macro_rules! by_size {
    ($queue:ident, $setup:expr) => {
        with_slots!($queue, $setup,
            16 64 128 256 512 1024 4096 16384 65536 262144 1048576 4194304 16777216)
    };
}

fn play(setup: &Setup) -> Result<()> {
    match setup.workload.pattern {
        Pattern::Rtt | Pattern::Throughput | Pattern::Batch => by_size!(Single, setup),
        Pattern::Fanout => by_size!(Broadcast, setup),
        Pattern::Work => by_size!(Multi, setup),
    }
}

/// A slot of a queue: a message is its first bytes.
type Slot<const N: usize> = [u8; N];

/// The bytes of a queue, where nothing else is asked for: what its example has. The longer the better for small messages:
/// the two sides then write to the same cache lines less often.
const CAPACITY: usize = 16 << 20;

/// How many slots a queue has; a power of two, as it would be rounded to one.
fn slots<const N: usize>(setup: &Setup) -> usize {
    let bytes = setup.capacity.map_or(CAPACITY, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let slots = (bytes / N).clamp(4, 1 << 24);
    1 << slots.ilog2()
}

/// The most messages that are written or read together: what its example has, but never so many of a queue that the
/// other side has nothing to do meanwhile.
fn batch<const N: usize>(setup: &Setup) -> usize {
    (slots::<N>(setup) / 4).clamp(1, 1024)
}

fn path(setup: &Setup, index: usize) -> PathBuf {
    setup.directory.join(format!("shaq-{index}"))
}

fn make(setup: &Setup, index: usize) -> Result<File> {
    Ok(OpenOptions::new().read(true).write(true).create_new(true).open(path(setup, index))?)
}

fn open(setup: &Setup, index: usize) -> Result<File> {
    Ok(OpenOptions::new().read(true).write(true).open(path(setup, index))?)
}

/// How long a consumer sleeps before it looks again: only to be no time at all would be wrong.
const LONG: Duration = Duration::from_secs(3600);

fn room<const N: usize>(slot: &mut MaybeUninit<Slot<N>>, len: usize) -> &mut [u8] {
    // SAFETY: the slot is memory of a file, where the kernel has put zeros or somebody a message: each byte has a value,
    // and any value is one.
    let slot = unsafe { slot.assume_init_mut() };
    &mut slot[..len]
}
