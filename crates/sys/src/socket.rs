//! Socket addresses, control messages and options that rustix lacks, or reads in a way that a peer could abuse:
//! `unix(7)`, `cmsg(3)`, `socket(7)`, `raw(7)`.
//!
//! rustix reads a process id as a number that is never 0, and a Unix address as one that is never 108 bytes long; what
//! another process does can make both untrue. So the credentials and addresses of peers are read here.

mod control;
mod inet;
mod many;
mod message;
mod name;
mod option;

pub use control::{Control, Credentials, MAX_DESCRIPTORS, Received};
pub use inet::InetName;
pub use many::{MOST_AT_ONCE, receive_many, send_many};
pub use message::{Incoming, Receiving, receive, send};
pub use name::{UnixName, local_name, peer_name};
pub use option::{
    DeviceName, IcmpFilter, device, fast_open, peer_credentials, peer_pidfd, queued_output,
    set_choose_port_late, set_device, set_fast_open, set_header_included, set_icmp_filter, set_pass_pidfd,
};
