//! How much room to try, of which the harness keeps what is fastest: for libraries as for twixt's own kinds of address.

use twixt::bench::{Pattern, Setup};

/// Messages up to this size never meet the end of any buffer on a round trip.
const SMALL: usize = 4096;

/// The library's own choice, or this adapter's, and then these numbers of bytes, as far as some messages find room in them.
pub(crate) fn choices(setup: &Setup, bytes: &[u64]) -> Vec<Option<u64>> {
    if setup.capacity.is_some() {
        return vec![setup.capacity];
    }
    if setup.workload.pattern == Pattern::Rtt && setup.workload.size <= SMALL {
        return vec![None];
    }
    let least = 4 * setup.workload.size as u64;
    let told = bytes.iter().copied().filter(|&bytes| bytes >= least).map(Some);
    std::iter::once(None).chain(told).collect()
}
