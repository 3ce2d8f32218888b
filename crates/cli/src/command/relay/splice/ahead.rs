//! Reading ahead: a thread of its own takes the next bytes while those before are passed on.
//!
//! Where bytes have to be copied, both copies take a processor's time, and two processors can share it. Bytes that come few at a
//! time would be handed from thread to thread for nothing, so that they are not read ahead.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use twixt::os::Errno;
use twixt::os::eventfd::EventFd;

use super::{End, Ended, Line, Patience, wait_for_bytes};
use crate::interrupt::Interrupt;

/// What is taken at once: larger blocks leave the processor's cache between the two threads.
const BLOCK: usize = 256 << 10;
/// One is filled while the other is emptied.
const BLOCKS: usize = 2;

/// Whether much comes at a time.
#[derive(Default)]
pub(super) struct Flow {
    /// How many bytes reads in succession have brought that have each brought much.
    thick: usize,
    /// How many reads in succession have brought little.
    thin: u32,
}

impl Flow {
    /// A read that brings less has brought little. A pipe of the usual size holds twice as much.
    const MUCH: usize = 32 << 10;

    pub(super) fn read(&mut self, count: usize) {
        let is_much = count >= Self::MUCH;
        self.thick = if is_much { self.thick.saturating_add(count) } else { 0 };
        self.thin = if is_much { 0 } else { self.thin.saturating_add(1) };
    }

    /// For long enough that a thread is worth its making.
    pub(super) fn is_thick(&self) -> bool {
        self.thick >= 4 << 20
    }

    fn is_thin(&self) -> bool {
        self.thin >= 16
    }
}

/// What the reading thread has to say.
enum Taken {
    /// A block, of which so many bytes have been read into.
    Bytes(Vec<u8>, usize),
    /// Nothing more will be taken.
    Last(Ended),
}

/// Moves bytes while many come at a time. `None` once they do not, and everything that was taken has been passed on.
pub(super) fn relay(line: &Line<'_>) -> Option<Ended> {
    let stop = EventFd::create(0).ok()?;
    let (give_back, empty) = channel();
    let (full, taken) = channel();
    for _ in 0..BLOCKS {
        let _ = give_back.send(vec![0; BLOCK]);
    }
    let Line { source, target, interrupt, .. } = *line;
    let reader = Reader { source, target, interrupt, stop: stop.as_fd(), empty, full };
    thread::scope(|scope| {
        let name = thread::Builder::new().name("ahead".to_owned());
        name.spawn_scoped(scope, || reader.run()).ok()?;
        pass_on(line, &taken, give_back, &stop)
    })
}

fn pass_on(
    line: &Line<'_>,
    taken: &Receiver<Taken>,
    give_back: Sender<Vec<u8>>,
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
    empty: Receiver<Vec<u8>>,
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
        let mut flow = Flow::default();
        while !flow.is_thin() {
            let mut room = self.empty.recv().ok()?;
            let count = loop {
                match wait_for_bytes(self.source, self.target, Some(self.stop), self.interrupt) {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(ended) => return Some(ended),
                }
                match rustix::io::read(self.source, &mut room) {
                    Ok(0) => return Some(Ended::Well),
                    Ok(count) => break count,
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    Err(errno) => return Some(Ended::failed(End::Source, errno, [])),
                }
            };
            flow.read(count);
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
            splices: false,
            room: BLOCK,
            reads_ahead: true,
            tee: None,
            interrupt: &Interrupt::due(),
            moved: &|_| {},
        };
        let (full, taken) = channel();
        let (give_back, _empty) = channel();
        // Each is gone before its time is up; both are not, however late whoever empties the pipe is.
        for _ in 0..BLOCKS {
            full.send(Taken::Bytes(vec![7; BLOCK], BLOCK)).unwrap();
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
            let ended = pass_on(&line, &taken, give_back, &EventFd::create(0).unwrap());
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
