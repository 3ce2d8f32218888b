//! What each way to talk costs on this machine, beside what the hardware allows.
//!
//! A [`Workload`] says what is to be done: a pattern, a size, a way to wait. A [`Transport`] does it between two or more
//! processes, each of which this crate starts as a *party* of its own ([`party`]). Every byte of every message is written by
//! its sender and read by its receiver, and order and loss are checked, so that no transport is fast by doing less.
//!
//! [`measure`] runs a [`Plan`] and gives [`Record`]s: one for each transport, workload and repeat, the repeats interleaved
//! across the transports, each beside the *floor* of the machine: what bare memory, a bare ring and a bare futex do with the
//! same workload in the same run.
//!
//! What is not ours is measured by the same code: a program that has transports of its own gives its [`Registry`] to
//! [`measure`], as the workspace `peers/` does.

#![forbid(unsafe_code)]

#[cfg(feature = "command")]
pub mod command;
mod conductor;
mod directory;
mod failure;
mod floor;
mod forecast;
mod machine;
mod measure;
mod message;
mod need;
mod noise;
mod outcome;
pub mod party;
mod patience;
mod process;
#[cfg(feature = "command")]
pub mod recommend;
mod record;
mod registry;
mod report;
mod summary;
mod tracing;
mod transport;
mod usage;
#[cfg(feature = "command")]
pub mod view;
mod workload;

pub use conductor::Program;
pub use failure::{Failure, Result};
pub use forecast::Forecast;
pub use machine::{Cache, Machine};
pub use measure::{Observer, Plan, Step, measure};
pub use message::{Incoming, Outgoing, Parts};
pub use need::Need;
pub use noise::{Noise, TOO_BUSY, TOO_STOLEN};
pub use outcome::{Outcome, Stamp};
pub use patience::Patience;
pub use record::{Record, Status};
pub use registry::{Entry, Family, Registry};
pub use report::Report;
pub use summary::{Comparison, Spread, Summary, compare};
pub use transport::{Ends, Receive, Role, Send, Setup, Transport, never};
pub use usage::Usage;
pub use workload::{Pattern, Touch, Waiting, Workload};
