//! The system calls that [`rustix`] lacks, and the few things that need raw memory.
//!
//! This crate is the lowest room of the house and, beside the bus, the only one in which `unsafe` may stand.
//! Everything it exports is safe to call: a wrapper either takes types that make a wrong call impossible, or
//! checks what it was given. It decides nothing: no retries, no defaults, no waiting strategy; those belong to
//! `twixt-os`, which forbids `unsafe`.
//!
//! Errors are the kernel's own, as [`Errno`].

pub mod barrier;
mod call;
pub mod fork;
pub mod mapping;
pub mod mq;
pub mod ofd_lock;
pub mod pipe;
pub mod posix_sem;
mod prepared;
pub mod process_memory;
mod room;
pub mod signal;
pub mod socket;
pub mod spawn;
#[cfg(feature = "start")]
pub mod start;
pub mod sysv;
pub mod trace;
pub mod usage;
pub mod words;

pub use mapping::{Access, Fault, Mapping};
pub use prepared::{Outcome, Prepared};
pub use room::Room;
pub use rustix::io::Errno;
