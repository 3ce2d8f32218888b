//! All demonstrations, a file for each mechanism.

use crate::demonstration::Demonstration;

mod bus;
mod capacity;
mod counter;
mod eventfd;
mod fifo;
mod inet;
mod lock;
mod memfd;
mod mmap;
mod naming;
mod order;
mod passing;
mod pipe;
mod popen;
mod posix_mq;
mod posix_sem;
mod posix_shm;
mod rpc;
mod shared_word;
mod signal;
mod sysv_msg;
mod sysv_sem;
mod sysv_shm;
mod unix;

/// All demonstrations, in the order of the tour.
pub fn demonstrations() -> &'static [&'static Demonstration] {
    ALL
}

static ALL: &[&Demonstration] = &[
    &pipe::PARENT_AND_CHILD,
    &pipe::SHELL,
    &popen::READ,
    &popen::WRITE,
    &fifo::CONVERSATION,
    &fifo::OPENING,
    &signal::GROUP,
    &signal::REAL_TIME,
    &signal::DISPOSITIONS,
    &sysv_msg::CONVERSATION,
    &sysv_msg::SELECTION,
    &posix_mq::CONVERSATION,
    &posix_mq::PRIORITIES,
    &posix_mq::NOTIFICATION,
    &sysv_shm::CONVERSATION,
    &posix_shm::CONVERSATION,
    &mmap::COUNTER,
    &memfd::CONVERSATION,
    &sysv_sem::MUTEX,
    &sysv_sem::ORDER,
    &posix_sem::MUTEX,
    &posix_sem::ORDER,
    &eventfd::CONVERSATION,
    &lock::COUNTER,
    &unix::STREAM,
    &unix::DATAGRAM,
    &unix::SEQPACKET,
    &passing::DESCRIPTORS,
    &inet::TCP,
    &inet::UDP,
    &inet::RAW,
    &bus::TOPIC,
    &bus::QUEUE,
    &bus::LATEST,
    &rpc::SOCKET,
    &rpc::MEMORY,
    &rpc::BUS,
    &naming::DIRECT,
    &naming::INDIRECT,
    &capacity::ZERO,
    &capacity::BOUNDED,
    &capacity::UNBOUNDED,
];
