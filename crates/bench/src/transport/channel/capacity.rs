//! How much room a link can be given.
//!
//! Which is best depends on the size, on the pattern and on the machine: a larger buffer spares its sender waits, and a
//! smaller one stays in the cache. So each workload tries the few that are listed here, and keeps the fastest.

use twixt_address::{Endpoint, OptionName, Options, UnixKind};
use twixt_os::Limit;

use super::Kind;
use crate::{Failure, Pattern, Result, Setup};

/// The most that is tried of its own accord. More is no longer in any cache.
const MOST: u64 = 8 << 20;

/// What a ring needs beside a message, generously.
const RING_OVERHEAD: u64 = 64;

/// What a Unix socket's buffer needs beside a message.
const SOCKET_OVERHEAD: u64 = 32;

/// Messages up to this size never meet the end of any buffer on a round trip.
const SMALL: usize = 4096;

/// The capacities to try, in bytes; `None` is what the kernel, or the library, takes if it is told nothing.
pub(super) fn choices(setup: &Setup) -> Vec<Option<u64>> {
    let Ok(kind) = Kind::of(setup) else { return vec![None] };
    if setup.capacity.is_some() {
        return vec![setup.capacity];
    }
    let mut all = all(setup, &kind);
    let first = all.first().copied();
    if setup.workload.pattern == Pattern::Rtt && setup.workload.size <= SMALL {
        all.truncate(1);
    }
    if first.is_some() { all } else { vec![None] }
}

fn all(setup: &Setup, kind: &Kind) -> Vec<Option<u64>> {
    let size = setup.workload.size as u64;
    let (endpoint, options) = (kind.address.endpoint(), kind.address.options());
    if options.capacity().is_some() || options.budget().is_some() || options.size().is_some() {
        return vec![None];
    }
    let (untold, told, least) = match endpoint {
        Endpoint::Pipe | Endpoint::Fifo(_) => {
            let most = sysctl("fs.pipe-max-size").unwrap_or(64 << 10);
            (true, vec![(256 << 10).min(most), most.min(MOST)], 0)
        }
        Endpoint::Unix { kind: UnixKind::Stream, .. } => (true, sockets(&["net.core.wmem_max"]), 0),
        Endpoint::Unix { .. } => {
            let least = size + SOCKET_OVERHEAD;
            let usual = sysctl("net.core.wmem_default").unwrap_or(0);
            (least <= usual, sockets(&["net.core.wmem_max"]), least)
        }
        Endpoint::Tcp(_) | Endpoint::Udp(_) => {
            (true, sockets(&["net.core.wmem_max", "net.core.rmem_max"]), 0)
        }
        Endpoint::Mmap(_) | Endpoint::SysvShm(_) | Endpoint::PosixShm(_) if options.create() => {
            let least = size + RING_OVERHEAD;
            let told = vec![64 << 10, 256 << 10, MOST.max(4 * least).next_multiple_of(4096)];
            (least <= 1 << 20, told, least)
        }
        Endpoint::PosixMq(_) if options.create() => {
            return messages(setup).map(|messages| Some(messages * size)).into_iter().collect();
        }
        _ => return vec![None],
    };
    let mut told: Vec<u64> = told.into_iter().filter(|&bytes| bytes >= least).collect();
    told.sort_unstable();
    told.dedup();
    untold.then_some(None).into_iter().chain(told.into_iter().map(Some)).collect()
}

/// What sockets' buffers can be given; the kernel counts twice what it is told.
fn sockets(limits: &[&'static str]) -> Vec<u64> {
    let most = limits.iter().filter_map(|name| sysctl(name)).min().unwrap_or(0).saturating_mul(2).min(MOST);
    vec![(1 << 20).min(most), most]
}

/// How many messages a POSIX queue can have room for: within `msg_max`, and with all the queues of a run within half of
/// what a user may have in queues (`RLIMIT_MSGQUEUE`), since others want some of it, too. `None` if not even one.
pub(super) fn messages(setup: &Setup) -> Option<u64> {
    // What the kernel counts beside the bytes: a `msg_msg` and a tree node.
    const OVERHEAD: u64 = 96;
    let queues = setup.workload.subscribers.max(2) as u64;
    let limit = Limit::rlimit("RLIMIT_MSGQUEUE", rustix::process::Resource::Msgqueue).current;
    let room = limit.unwrap_or(u64::MAX) / 2 / queues / (setup.workload.size as u64 + OVERHEAD);
    Some(room.min(sysctl("fs.mqueue.msg_max").unwrap_or(10))).filter(|&messages| messages > 0)
}

pub(super) fn sysctl(name: &'static str) -> Option<u64> {
    Limit::sysctl(name, 0).current
}

/// Why a capacity cannot be chosen, if it cannot.
pub(super) fn refusal(kind: &Kind) -> Option<&'static str> {
    let (endpoint, options) = (kind.address.endpoint(), kind.address.options());
    if options.capacity().is_some() || options.budget().is_some() || options.size().is_some() {
        return Some("the address has a capacity of its own, beside which no other can be chosen");
    }
    if !endpoint.options().any(|name| name == OptionName::Capacity) {
        return Some("it has no capacity that could be chosen");
    }
    let is_made =
        endpoint.options().any(|name| name == OptionName::Create) && !is_set_on_what_is_there(endpoint);
    (is_made && !options.create())
        .then_some("a capacity is chosen for what is made, and the address has no `create`")
}

fn is_set_on_what_is_there(endpoint: &Endpoint) -> bool {
    matches!(endpoint, Endpoint::Fifo(_) | Endpoint::Unix { .. })
}

/// The options of a link, with the capacity that was chosen, in the unit that the mechanism counts in.
pub(super) fn apply(setup: &Setup, kind: &Kind, endpoint: &Endpoint, options: Options) -> Result<Options> {
    let Some(bytes) = setup.capacity else { return Ok(options) };
    if let Some(why) = refusal(kind) {
        return Err(Failure::Unsupported(why.into()));
    }
    let capacity = match endpoint {
        Endpoint::PosixMq(_) => (bytes / (setup.workload.size as u64).max(1)).max(1),
        _ => bytes,
    };
    options.with_capacity(capacity).map_err(Failure::failed)
}
