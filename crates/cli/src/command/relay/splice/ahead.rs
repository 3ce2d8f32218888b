//! Reading ahead: a thread of its own takes the next bytes while those before are passed on.
//!
//! Where bytes have to be copied, both copies take a processor's time, and two processors can share it. Bytes that come few at a
//! time would be handed from thread to thread for nothing, so that they are not read ahead.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use twixt::os::eventfd::EventFd;
use twixt::os::{Errno, Room};

use super::choice::{MUCH, Tally};
use super::{End, Ended, Line, Moved, Patience, wait_for_bytes};
use crate::interrupt::Interrupt;

/// What is taken at once: larger blocks leave the processor's cache between the two threads.
const BLOCK: usize = 256 << 10;
/// One is filled while the other is emptied.
const BLOCKS: usize = 2;

/// So many reads in succession that each bring little are few bytes at a time.
const THIN: u32 = 16;

/// What the reading thread has to say.
enum Taken {
    /// A block, of which so many bytes have been read into.
    Bytes(Room, usize),
    /// Nothing more will be taken.
    Last(Ended),
}

impl Line<'_> {
    /// Moves bytes until the tally is full, or few come at a time. Everything that was taken has been passed on then.
    pub(super) fn read_ahead(&self, tally: &mut Tally) -> Moved {
        let Ok(stop) = EventFd::create(0) else { return Moved::Enough };
        let (give_back, empty) = channel();
        let (full, taken) = channel();
        for _ in 0..BLOCKS {
            let _ = give_back.send(Room::with_len(BLOCK));
        }
        let Line { source, target, interrupt, .. } = *self;
        let reader =
            Reader { source, target, interrupt, stop: stop.as_fd(), most: tally.left(), empty, full };
        thread::scope(|scope| {
            let name = thread::Builder::new().name("ahead".to_owned());
            // Without a thread of its own there is another way to move them.
            let Ok(_) = name.spawn_scoped(scope, || reader.run()) else { return Moved::Enough };
            pass_on(self, tally, &taken, give_back, &stop).map_or(Moved::Enough, Moved::Last)
        })
    }
}

fn pass_on(
    line: &Line<'_>,
    tally: &mut Tally,
    taken: &Receiver<Taken>,
    give_back: Sender<Room>,
    stop: &EventFd,
) -> Option<Ended> {
    // One for all that was taken: each block by itself would have a while of its own.
    let mut patience = Patience::default();
    for next in taken {
        let (room, count) = match next {
            Taken::Bytes(room, count) => (room, count),
            Taken::Last(ended) => return Some(ended),
        };
        let Err(mut ended) = line.write(&room[..count], &mut patience) else {
            tally.moved(count);
            let _ = give_back.send(room);
            continue;
        };
        // What has been taken meanwhile was not passed on either.
        let _ = stop.add(1);
        drop(give_back);
        if let Ended::Failed { rest, .. } = &mut ended {
            for next in taken {
                if let Taken::Bytes(room, count) = next {
                    rest.extend_from_slice(&room[..count]);
                }
            }
        }
        return Some(ended);
    }
    None
}

struct Reader<'a> {
    source: BorrowedFd<'a>,
    target: BorrowedFd<'a>,
    interrupt: &'a Interrupt,
    /// Readable once nothing more is to be taken.
    stop: BorrowedFd<'a>,
    /// How many bytes to take.
    most: usize,
    empty: Receiver<Room>,
    full: Sender<Taken>,
}

impl Reader<'_> {
    fn run(self) {
        self.interrupt.attend();
        if let Some(ended) = self.take() {
            let _ = self.full.send(Taken::Last(ended));
        }
        self.interrupt.leave();
    }

    /// Takes bytes until there are no more, or few at a time, or nobody to pass them on.
    fn take(&self) -> Option<Ended> {
        let (mut taken, mut thin) = (0, 0);
        while taken < self.most && thin < THIN {
            let mut room = self.empty.recv().ok()?;
            let count = loop {
                match wait_for_bytes(self.source, self.target, Some(self.stop), self.interrupt) {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(ended) => return Some(ended),
                }
                match rustix::io::read(self.source, &mut room[..]) {
                    Ok(0) => return Some(Ended::Well),
                    Ok(count) => break count,
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    Err(errno) => return Some(Ended::failed(End::Source, errno, [])),
                }
            };
            taken += count;
            thin = if count < MUCH { thin + 1 } else { 0 };
            self.full.send(Taken::Bytes(room, count)).ok()?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::RecvTimeoutError;
    use std::time::Duration;

    use rustix::io::read;
    use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

    use super::super::LAST_CHANCE;
    use super::super::choice::{Means, Stint};
    use super::*;

    const PAGE: usize = 4096;
    /// A block takes three quarters of the last chance, or longer.
    const PAUSE: Duration =
        LAST_CHANCE.checked_mul(3).unwrap().checked_div((4 * BLOCK / PAGE) as u32).unwrap();

    #[test]
    fn all_blocks_together_have_one_last_chance() {
        let (target, sink) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        fcntl_setpipe_size(&sink, PAGE).unwrap();
        let line = Line {
            source: target.as_fd(),
            target: sink.as_fd(),
            usual: Means::Ahead,
            rivals: None,
            room: BLOCK,
            tee: None,
            interrupt: &Interrupt::due(),
            moved: &|_| {},
        };
        let (full, taken) = channel();
        let (give_back, _empty) = channel();
        // Each is gone before its time is up; both are not, however late whoever empties the pipe is.
        for _ in 0..BLOCKS {
            full.send(Taken::Bytes(Room::with_len(BLOCK), BLOCK)).unwrap();
        }
        drop(full);
        let (done, is_done) = channel::<()>();
        let ended = thread::scope(|scope| {
            let target = &target;
            scope.spawn(move || {
                while is_done.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                    let _ = read(target, &mut [0; PAGE]);
                }
            });
            let mut tally = Tally::of(Stint { means: Means::Ahead, bytes: usize::MAX });
            let ended = pass_on(&line, &mut tally, &taken, give_back, &EventFd::create(0).unwrap());
            drop(done);
            ended
        });
        match ended {
            Some(Ended::Failed { end: End::Target, errno: Errno::CANCELED, rest }) => {
                assert!(!rest.is_empty())
            }
            _ => panic!("all has been passed on"),
        }
    }
}
