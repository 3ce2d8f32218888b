//! What `/proc` says of each process.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};
use twixt_os::{Errno, Error, Mechanism, Object};

use super::Use;
use crate::Result;
use crate::find::Inode;

/// A process that is there.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub pid: i32,
    pub path: PathBuf,
}

/// All processes that can be seen.
pub(super) fn processes() -> Result<Vec<Process>> {
    // An empty directory is no process table; this process at least would be in it.
    let entries = fs::metadata("/proc/self").and_then(|_| fs::read_dir("/proc")).map_err(|error| {
        let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
        let error = Error::kernel(Mechanism::File, "read", Object::name("/proc"), errno);
        error.with_advice("it must be mounted to tell who uses an object")
    })?;
    let process = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some(Process { pid, path: entry.path() })
    };
    Ok(entries.flatten().filter_map(process).collect())
}

/// The name of a process's command; none if there is no such process. Escaped, since a process chooses it freely.
pub(super) fn command(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    let name = String::from_utf8_lossy(&name);
    let mut escaped = String::new();
    for character in name.trim_end_matches('\n').chars() {
        match character {
            '\'' | '"' | '\\' => escaped.push(character),
            _ => escaped.extend(character.escape_debug()),
        }
    }
    Some(escaped)
}

/// A descriptor that leads to the file that is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    pub number: u64,
    /// None if it only refers to the name (`O_PATH`).
    pub access: Option<Use>,
}

/// A part of an address space that maps the file that is looked for.
#[derive(Clone, Debug)]
pub(super) struct Mapped {
    pub start: u64,
    pub end: u64,
    pub writable: bool,
}

/// A thread that is blocked in a system call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocked {
    pub call: i64,
    /// The first two arguments.
    pub arguments: [u64; 2],
}

impl Process {
    /// The descriptors that `is_it` says yes to.
    pub fn descriptors(&self, is_it: impl Fn(&Inode, FileType) -> bool) -> io::Result<Vec<Descriptor>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.path.join("fd"))?.flatten() {
            // Without asking a server, which may not answer, for a descriptor that is probably another file's.
            let flags = AtFlags::STATX_DONT_SYNC;
            let Ok(stat) = statx(CWD, entry.path(), flags, StatxFlags::INO | StatxFlags::TYPE) else {
                continue;
            };
            if !is_it(&Inode::of(&stat), FileType::from_raw_mode(stat.stx_mode.into())) {
                continue;
            }
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            found.push(Descriptor { number, access: self.access(number) });
        }
        Ok(found)
    }

    fn access(&self, descriptor: u64) -> Option<Use> {
        let info = fs::read_to_string(self.path.join("fdinfo").join(descriptor.to_string())).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let flags = i64::from_str_radix(flags.trim(), 8).ok()?;
        match flags {
            flags if flags & i64::from(libc::O_PATH) != 0 => None,
            flags => Some(match flags & i64::from(libc::O_ACCMODE) {
                0 => Use::Reads,
                1 => Use::Writes,
                _ => Use::ReadsAndWrites,
            }),
        }
    }

    /// The mappings whose inode and path `is_it` says yes to.
    pub fn mappings(&self, is_it: impl Fn(&Inode, &str) -> bool) -> io::Result<Vec<Mapped>> {
        let maps = fs::read(self.path.join("maps"))?;
        let maps = String::from_utf8_lossy(&maps);
        Ok(maps.lines().filter_map(|line| mapping(line, &is_it)).collect())
    }

    /// The threads that are blocked in one of these system calls.
    pub fn blocked_in(&self, calls: &[i64]) -> io::Result<Vec<Blocked>> {
        let mut found = Vec::new();
        for thread in fs::read_dir(self.path.join("task"))?.flatten() {
            match fs::read_to_string(thread.path().join("syscall")) {
                Ok(line) => found.extend(blocked(&line).filter(|blocked| calls.contains(&blocked.call))),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
                Err(_ended_meanwhile) => {}
            }
        }
        Ok(found)
    }

    /// The file that a thread is about to open by a path: of the path at `address`, seen from the directory of the
    /// descriptor, or from the process's own.
    pub fn opening(&self, directory: u64, address: u64) -> Option<Inode> {
        // As much as there is of the longest path; what lies behind it may not be there.
        let mut bytes = vec![0; 4096];
        let length = fs::File::open(self.path.join("mem")).ok()?.read_at(&mut bytes, address).ok()?;
        bytes.truncate(length);
        bytes.truncate(bytes.iter().position(|byte| *byte == 0)?);
        let path = PathBuf::from(OsString::from_vec(bytes));
        let base = match directory as u32 as i32 {
            libc::AT_FDCWD => self.path.join("cwd"),
            descriptor => self.path.join("fd").join(descriptor.to_string()),
        };
        let seen = match path.strip_prefix("/") {
            Ok(from_root) => self.path.join("root").join(from_root),
            Err(_relative) => base.join(path),
        };
        // The system call follows symbolic links, and so must the look.
        let stat = statx(CWD, seen, AtFlags::STATX_DONT_SYNC, StatxFlags::INO);
        stat.ok().map(|stat| Inode::of(&stat))
    }

    /// Whether it uses the same System V objects as this process, which one may see of all that one may look at.
    pub fn is_in_our_ipc_namespace(&self) -> bool {
        let namespace = |path: &Path| fs::read_link(path.join("ns/ipc")).ok();
        namespace(&self.path) == namespace(Path::new("/proc/self"))
    }

    /// Whether it cannot use anything: a thread of the kernel, or a process that has ended and was not waited for.
    pub fn is_no_user(&self) -> bool {
        /// `PF_KTHREAD`
        const KERNEL_THREAD: u64 = 0x0020_0000;
        let stat = fs::read_to_string(self.path.join("stat")).unwrap_or_default();
        // The name before may contain anything, parentheses too.
        let Some((_, fields)) = stat.rsplit_once(") ") else { return true };
        let mut fields = fields.split(' ');
        let ended = fields.next().is_some_and(|state| matches!(state, "Z" | "X"));
        let flags = fields.nth(5).and_then(|flags| flags.parse::<u64>().ok()).unwrap_or(0);
        ended || flags & KERNEL_THREAD != 0
    }

    /// Counts the process as unreadable if that is what the error says, and gives what is to be seen.
    pub fn readable<T: Default>(&self, outcome: io::Result<T>, unreadable: &mut bool) -> T {
        match outcome {
            Ok(found) => found,
            Err(error) => {
                *unreadable |= error.kind() == io::ErrorKind::PermissionDenied && !self.is_no_user();
                T::default()
            }
        }
    }
}

/// `7f..-7f.. rw-s 00000000 00:01 32769                      /SYSV00000000 (deleted)`
fn mapping(line: &str, is_it: impl Fn(&Inode, &str) -> bool) -> Option<Mapped> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let permissions = words.next()?;
    let _offset = words.next()?;
    let (major, minor) = words.next()?.split_once(':')?;
    let number = words.next()?.parse().ok().filter(|number| *number != 0)?;
    let path = words.next().unwrap_or_default().trim_start();
    let hexadecimal = |text| u32::from_str_radix(text, 16).ok();
    let inode = Inode { major: hexadecimal(major)?, minor: hexadecimal(minor)?, number };
    is_it(&inode, path).then_some(Mapped {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        writable: permissions.contains('w'),
    })
}

/// `70 0x8001 0x7ffc...`: the number and the arguments. A thread that runs has only a word there, and one that is
/// blocked outside a system call the number -1.
fn blocked(line: &str) -> Option<Blocked> {
    let mut words = line.split(' ');
    let call = words.next()?.parse().ok().filter(|call| *call >= 0)?;
    let mut argument = || u64::from_str_radix(words.next()?.trim().strip_prefix("0x")?, 16).ok();
    Some(Blocked { call, arguments: [argument()?, argument()?] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps_is_read() {
        let line = "7f3b2c000000-7f3b2c001000 rw-s 00000000 00:01 98340                      /SYSV00000000 (deleted)";
        let found = mapping(line, |inode, path| {
            assert_eq!(*inode, Inode { major: 0, minor: 1, number: 98340 });
            path.starts_with("/SYSV")
        });
        assert!(found.is_some_and(|found| found.writable && found.end - found.start == 4096));
        assert!(mapping("7ffd1000-7ffd2000 rw-p 00000000 00:00 0          [stack]", |_, _| true).is_none());
    }

    #[test]
    fn a_line_of_syscall_is_read() {
        let found = blocked("70 0x8001 0x7ffc0 0x10 0x0 0x0 0x0 0x7ffc 0x7f9a").unwrap();
        assert_eq!((found.call, found.arguments), (70, [0x8001, 0x7ffc0]));
        assert!(blocked("running\n").is_none());
        assert!(blocked("-1 0x7ffc 0x7f9a").is_none());
    }
}
