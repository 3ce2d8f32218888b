//! Who has the socket that is bound to a path: `/proc/net/unix`.

use std::fs;
use std::path::Path;

use rustix::fs::FileType;

use super::{Use, Users, proc};
use crate::Result;
use crate::find::Inode;

pub(super) fn users(path: &Path, inode: Inode) -> Result<Users> {
    let table = fs::read("/proc/net/unix").unwrap_or_default();
    let table = String::from_utf8_lossy(&table);
    let bound: Vec<(u64, &Path)> = table.lines().skip(1).filter_map(bound).collect();
    let file_name = path.file_name();
    // By its name alone at first; whether it is the same file is seen from where the process stands.
    let alike: Vec<_> = bound.into_iter().filter(|(_, at)| at.file_name() == file_name).collect();
    let mut users = Users::default();
    if alike.is_empty() {
        return Ok(users);
    }
    for process in proc::processes()? {
        let leads_here = |at: &Path| {
            let seen = if at.is_absolute() {
                process.path.join("root").join(at.strip_prefix("/").unwrap_or(at))
            } else {
                process.path.join("cwd").join(at)
            };
            Inode::of_path(at) == Ok(inode) && at.is_absolute() || Inode::of_path(&seen) == Ok(inode)
        };
        let is_it = |found: &Inode, file_type: FileType| {
            file_type == FileType::Socket
                && alike.iter().any(|(socket, at)| *socket == found.number && leads_here(at))
        };
        let mut unreadable = false;
        let descriptors = process.readable(process.descriptors(is_it), &mut unreadable);
        users.unreadable += usize::from(unreadable);
        if !descriptors.is_empty() {
            users.add(Some(process.pid), Use::Serves);
        }
    }
    Ok(users)
}

/// `0000000000000000: 00000002 00000000 00010000 0001 01 21839 /run/jobs.sock`: the socket's inode and its path.
/// Connections that a listener has accepted bear its path too; their holders serve it as well.
fn bound(line: &str) -> Option<(u64, &Path)> {
    let mut rest = line;
    for _ in 0..6 {
        rest = rest.split_once(' ')?.1;
    }
    // The inode is padded to five characters; a socket without a name has nothing after it.
    let (inode, path) = rest.trim_start().split_once(' ')?;
    let path = Some(path).filter(|path| !path.starts_with('@'))?;
    Some((inode.parse().ok()?, Path::new(path)))
}
