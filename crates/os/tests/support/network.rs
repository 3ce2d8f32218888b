//! Children in a network namespace of their own, and the capability for raw sockets.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::process::{Command, Stdio};

use twixt_os::net::raw::{IpVersion, Protocol, Socket};
use twixt_testkit::{Missing, Spawn};

/// Whether this process may have raw sockets.
pub fn privileged() -> Result<(), Missing> {
    match Socket::open(IpVersion::V4, Protocol::ICMP) {
        Ok(_) => Ok(()),
        Err(error) => Err(Missing(format!("CAP_NET_RAW ({error})"))),
    }
}

/// In a network namespace of its own, with a loopback interface, after these commands.
pub fn in_own_network(child: Spawn, commands: &str) -> Spawn {
    let script = format!("ip link set lo up && {commands} && exec \"$0\" \"$@\"");
    child.under(&["unshare", "--net", "sh", "-c", &script])
}

/// Whether such a namespace can be had, and these commands work there.
pub fn own_network(commands: &str) -> Result<(), Missing> {
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &format!("ip link set lo up && {commands}")]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    if command.status().is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err(Missing("a network namespace of its own, with its interfaces (unshare --net, ip)".into()))
    }
}
