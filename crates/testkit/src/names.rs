//! Names and keys that no other test, and no other run of this test, uses.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A name without a slash, unique on this machine: `twixt-test-1234-0-k3j2`.
pub fn unique_name() -> String {
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("twixt-test-{}-{next}-{:x}", process::id(), now() & 0xffff)
}

/// A System V key, positive and unlikely to be in use.
pub fn unique_key() -> i32 {
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let mixed = (now() ^ u64::from(process::id()) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let key = (mixed.wrapping_add(u64::from(next).wrapping_mul(0x5851_f42d_4c95_7f2d)) >> 20) & 0x7fff_ffff;
    (key as i32).max(1)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64
}
