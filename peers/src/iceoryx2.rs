//! iceoryx2: loans of shared memory, passed on by lock-free queues.
//!
//! A message is written into the memory that was lent for it, and read there: nothing is copied, whatever its size.
//! Where nobody may spin, it is used as its documentation's example of event-based communication does: whoever has sent
//! something also notifies a listener, on which the other side sleeps.

use std::fs;

use iceoryx2::node::{Node, NodeBuilder};
use iceoryx2::prelude::{
    Alignment, Config, FileName, LogLevel, Path, SemanticString, SignalHandlingMode, ipc, set_log_level,
};
use twixt::bench::{Entry, Failure, Family, Need, Result, Setup, Waiting};

use self::publish_subscribe::PublishSubscribe;
use self::request_response::RequestResponse;

mod event;
mod publish_subscribe;
mod request_response;

pub fn publish_subscribe() -> Entry {
    Entry::new::<PublishSubscribe>("iceoryx2", Family::Peer)
        .described("iceoryx2, publish-subscribe in shared memory")
        .capable_of(&[
            Need::Boundaries,
            Need::Bytes,
            Need::Reliable,
            Need::AnyLength,
            Need::ManySenders,
            Need::FanOut,
            Need::CrashSafe,
            Need::Pollable,
        ])
}

pub fn request_response() -> Entry {
    Entry::new::<RequestResponse>("iceoryx2-rpc", Family::Peer)
        .described("iceoryx2, request-response in shared memory")
        .capable_of(&[
            Need::Boundaries,
            Need::Bytes,
            Need::Reliable,
            Need::AnyLength,
            Need::BothWays,
            Need::ManySenders,
            Need::CrashSafe,
            Need::Pollable,
        ])
}

type Service = ipc::Service;

/// Whether somebody may sleep until there is a message.
fn sleeps(setup: &Setup) -> bool {
    setup.workload.waiting != Waiting::Spin
}

/// Messages begin with a cache line: that of bytes would be behind a header, in the middle of one.
fn alignment() -> Result<Alignment> {
    Alignment::new(64).ok_or_else(|| Failure::failed("64 is no alignment"))
}

/// What the names of all objects of a run begin with; short, as a socket's path has at most 107 bytes.
fn prefix(setup: &Setup) -> String {
    format!("iox2-{}-", setup.name.trim_start_matches("twixt-bench-"))
}

/// A node whose files are in the run's directory, and whose shared memory has names of its own.
fn node(setup: &Setup) -> Result<Node<Service>> {
    // It says a lot about what is no error: that a datagram would find no room, when the receiver is awake anyway.
    set_log_level(LogLevel::Error);
    let mut config = Config::default();
    let path = setup.directory.as_os_str().as_encoded_bytes();
    config.global.set_root_path(&Path::new(path).map_err(Failure::failed)?);
    config.global.prefix = FileName::new(prefix(setup).as_bytes()).map_err(Failure::failed)?;
    NodeBuilder::new()
        .config(&config)
        .signal_handling_mode(SignalHandlingMode::Disabled)
        .create()
        .map_err(Failure::failed)
}

/// Removes the shared memory of a run whose processes have been killed.
fn clean(setup: &Setup) {
    let prefix = prefix(setup);
    let Ok(entries) = fs::read_dir("/dev/shm") else { return };
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Memory that was lent, as bytes.
fn bytes(room: &mut [std::mem::MaybeUninit<u8>]) -> &mut [u8] {
    let (start, len) = (room.as_mut_ptr().cast::<u8>(), room.len());
    // SAFETY: the bytes are those of `room`, borrowed as long; they are memory of a file, where the kernel has put zeros
    // or somebody a message: each has a value.
    unsafe { std::slice::from_raw_parts_mut(start, len) }
}
