//! Within the kernel: `splice(2)`, which needs a pipe on one side.
//!
//! If the target is none, a pipe of ours stands between the two, and so it does for `tee(2)`, which copies from pipe to pipe.
//! What is in it has been taken: it is passed on before anything else is taken, and if that fails it is saved.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice, tee};
use twixt::os::{Errno, Room};

use super::choice::Tally;
use super::{CHUNK, End, Ended, Line, Moved, Pace, Patience, ROOM, errno_of, is_internet, is_pipe};

/// After so many attempts in succession that found something to take and took nothing, it is the source that gives nothing.
const IN_VAIN: u32 = 16;

impl Line<'_> {
    /// Moves bytes within the kernel until the tally is full.
    pub(super) fn in_kernel(&self, tally: &mut Tally, pace: &mut Pace) -> Moved {
        // Into anything but a pipe the kernel may wait for room with the pipe that it takes from locked, so that whoever writes
        // into that cannot even be killed. It had better be ours.
        if is_pipe(self.target) && self.tee.is_none() {
            self.direct(tally, pace)
        } else {
            self.through_pipe(tally, pace)
        }
    }

    /// From one to the other at once: nothing is ever in between.
    fn direct(&self, tally: &mut Tally, pace: &mut Pace) -> Moved {
        let mut in_vain = 0;
        while !tally.is_done() {
            if let Err(ended) = self.wait(pace) {
                return Moved::Last(ended);
            }
            match splice(self.source, None, self.target, None, pace.most(CHUNK), flags()) {
                Ok(0) => return self.ended(),
                Ok(count) => {
                    in_vain = 0;
                    pace.moved(count);
                    tally.moved(count);
                    (self.moved)(count);
                }
                // There was something to take, so it may be the target that has no room.
                Err(Errno::AGAIN) if in_vain < IN_VAIN || !is_internet(self.source) => {
                    in_vain += 1;
                    self.wait_for_room();
                }
                Err(Errno::AGAIN) => return self.ended(),
                Err(Errno::INTR) => {}
                Err(Errno::INVAL) => return Moved::Impossible(Vec::new()),
                Err(errno) => return Moved::Last(Ended::failed(self.whose(errno), errno, [])),
            }
        }
        Moved::Enough
    }

    fn through_pipe(&self, tally: &mut Tally, pace: &mut Pace) -> Moved {
        let Some(between) = Pipe::of(CHUNK) else { return Moved::Impossible(Vec::new()) };
        let copy = self.tee.map(|file| (file, Pipe::of(between.capacity)));
        let copy = match &copy {
            Some((_, None)) => return Moved::Impossible(Vec::new()),
            Some((file, Some(pipe))) => Some((*file, pipe)),
            None => None,
        };
        while !tally.is_done() {
            if let Err(ended) = self.wait(pace) {
                return Moved::Last(ended);
            }
            let most = pace.most(between.capacity);
            let count = match splice(self.source, None, &between.write, None, most, flags()) {
                Ok(0) => return self.ended(),
                Ok(count) => count,
                Err(Errno::AGAIN) if is_internet(self.source) => return self.ended(),
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Err(Errno::INVAL) => return Moved::Impossible(Vec::new()),
                Err(errno) => return Moved::Last(Ended::failed(End::Source, errno, [])),
            };
            if let Some((file, pipe)) = copy
                && let Err(errno) = pipe.write_copy_of(&between, count, file)
            {
                return Moved::Last(Ended::failed(End::Tee, errno, between.drain()));
            }
            pace.moved(count);
            if let Err(errno) = self.pass_on(&between, count) {
                let rest = between.drain();
                return match errno {
                    // Nothing of it has gone out.
                    Errno::INVAL if rest.len() == count => Moved::Impossible(rest),
                    errno => Moved::Last(Ended::failed(End::Target, errno, rest)),
                };
            }
            tally.moved(count);
        }
        Moved::Enough
    }

    /// The kernel takes nothing. That is the end, but in a TCP stream also where urgent bytes stand (`MSG_OOB`): a read passes
    /// over them, and finds out.
    fn ended(&self) -> Moved {
        if is_internet(self.source) { Moved::Impossible(Vec::new()) } else { Moved::Last(Ended::Well) }
    }

    /// Passes on what the pipe holds.
    fn pass_on(&self, between: &Pipe, mut count: usize) -> Result<(), Errno> {
        let mut patience = Patience::default();
        while count > 0 {
            match splice(&between.read, None, self.target, None, count, flags()) {
                Ok(moved) => {
                    count -= moved;
                    (self.moved)(moved);
                }
                Err(Errno::AGAIN) => self.wait_for_room(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
            if count > 0 {
                patience.last(self.interrupt)?;
            }
        }
        Ok(())
    }
}

fn flags() -> SpliceFlags {
    SpliceFlags::MOVE | SpliceFlags::NONBLOCK
}

/// A pipe of ours.
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
}

impl Pipe {
    /// With room for so much, or as much as can be had.
    fn of(capacity: usize) -> Option<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).ok()?;
        // A user who has used up what all pipes may have gets the usual size.
        let _ = fcntl_setpipe_size(&write, capacity);
        let capacity = fcntl_getpipe_size(&write).ok()?;
        Some(Self { read, write, capacity })
    }

    /// Writes a copy of what another pipe holds into a file, by way of this one.
    fn write_copy_of(&self, other: &Self, count: usize, mut file: &File) -> Result<(), Errno> {
        let mut left = tee(&other.read, &self.write, count, SpliceFlags::NONBLOCK)?;
        if left < count {
            // Both have as many places, and this one is empty.
            return Err(Errno::NOBUFS);
        }
        while left > 0 {
            match splice(&self.read, None, file.as_fd(), None, left, SpliceFlags::MOVE) {
                Ok(moved) => left -= moved,
                Err(Errno::INTR) => {}
                // What the kernel does not splice to.
                Err(Errno::INVAL) => return file.write_all(&self.drain()).map_err(|error| errno_of(&error)),
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// All that is in it.
    fn drain(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut room = Room::with_len(ROOM);
        loop {
            let mut polled = [PollFd::new(&self.read, PollFlags::IN)];
            match poll(&mut polled, Some(&Timespec::default())) {
                Ok(1..) => {}
                Err(Errno::INTR) => continue,
                _ => return bytes,
            }
            match rustix::io::read(&self.read, &mut room[..]) {
                Ok(count) if count > 0 => bytes.extend_from_slice(&room[..count]),
                Err(Errno::INTR) => {}
                _ => return bytes,
            }
        }
    }
}
