//! System V: a segment, and a semaphore set under the same key.

use core::hint;

use std::thread::available_parallelism;
use std::time::Duration;

use twixt_address::{Endpoint, SysvId};
use twixt_os::mmap::Memory;
use twixt_os::sysv::Key;
use twixt_os::sysv::sem::{self, Operation, Set};
use twixt_os::sysv::shm::{self, Access, Attachment, Segment};
use twixt_os::{Deadline, Errno, Error, ErrorKind, Wait};

use crate::Opening;
use crate::mechanism::create::{self, Lead};
use crate::origin::Origin;

use super::duplex::{Party, Places};
use super::fault::{Fault, Result};
use super::guard::{Bell, Bells, Guard, Nap, impatience, nap, patience};
use super::layout::{DESCRIPTION, Family, HEADER, Purpose, SET, Shape};
use super::space::Space;

/// The semaphores of ring `number`, from `number * PER_RING` on.
const PER_RING: u16 = 5;
/// Mutual exclusion. The kernel gives it back for the dead (`SEM_UNDO`).
const SECTION: u16 = 0;
/// Where the bells begin, in the order of [`Bell`].
const BELLS: [u16; 3] = [1, 2, 4];
/// Who may offer; given back as the section is.
const SLOT: u16 = 3;
/// Beyond the rings: who arranges the sides of a connection, and the sides.
const GATE: u16 = 10;
const SERVER: u16 = 11;
const CLIENT: u16 = 12;
/// What they are at first. A mailbox has all of them too, so that a key can serve now for one and now for the other.
const VALUES: [u16; 13] = [1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1, 1, 1];

/// How many a ring's set has.
pub(super) const SEMAPHORES: usize = VALUES.len();

/// How long an object may be half made by a process that lives.
const HALF_MADE: Duration = Duration::from_secs(1);

/// How often to look whether somebody has left, before pausing between looks. Each look is a system call.
const LOOKS: u32 = 50;
/// How long to spin between two looks.
const SPINS: u32 = 16;

/// A participant of a ring.
pub(crate) struct SystemV {
    attachment: Attachment,
    set: Set,
    looks: u32,
}

/// Opens the object that the address names, or makes it.
pub(crate) fn open(opening: &Opening, purpose: Purpose) -> twixt_os::Result<(SystemV, Shape)> {
    let origin = Origin::of(opening);
    let options = opening.address().options();
    super::refuse_without_create(opening)?;
    let wanted = super::unfit(Shape::new(purpose, opening.capacity(), options.size()), "open", &origin)?;
    let Endpoint::SysvShm(key) = opening.endpoint() else { unreachable!("the mechanism of this family") };
    let maker = Maker { opening, origin: &origin, purpose, wanted };
    match Lead::of(opening, key)? {
        Lead::Key(key) => maker.by_key(key),
        Lead::Id(id) => maker.by_id(id),
    }
}

/// What opening needs to know.
struct Maker<'a> {
    opening: &'a Opening,
    origin: &'a Origin,
    purpose: Purpose,
    wanted: Shape,
}

impl Maker<'_> {
    fn by_key(&self, key: Key) -> twixt_os::Result<(SystemV, Shape)> {
        let create = self.opening.address().options().create();
        for _ in 0..100 {
            let segment = match Segment::open(key) {
                Err(error) if error.kind() == ErrorKind::NotFound && create => match self.make(key) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                    made => made?,
                },
                found => found.map_err(create::or_advise)?,
            };
            let attachment = match segment.attach(Access::ReadWrite) {
                // Gone since.
                Err(error) if error.kind() == ErrorKind::Removed && create => continue,
                attached => attached?,
            };
            let set = self.set_of(key, create)?;
            return self.finish(attachment, set, create);
        }
        Err(self.refused(ErrorKind::Busy, "other processes make and remove it all the time"))
    }

    fn make(&self, key: Key) -> twixt_os::Result<Segment> {
        let size = self.wanted.whole(self.wanted.most).unwrap_or(u64::MAX);
        let options =
            shm::Options::new(usize::try_from(size).unwrap_or(usize::MAX)).mode(self.opening.mode());
        // Segments cannot grow: one that seems to is all there from the start, and its pages come when they are used.
        let options = if self.wanted.grows() { options.no_reserve() } else { options };
        options.create(key)
    }

    /// The set of a key. The maker of the segment makes it next; others give it time for that.
    fn set_of(&self, key: Key, create: bool) -> twixt_os::Result<Set> {
        let wait = self.bounded();
        if create {
            return Set::open_or_create_with(key, &VALUES, self.opening.mode(), wait);
        }
        let mut failure = None;
        let found = wait.with_backoff(|| match Set::open_initialised(key, VALUES.len(), wait) {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Errno::AGAIN),
            Err(error) => {
                failure = Some(error);
                Err(Errno::IO)
            }
            set => Ok(set),
        });
        match (found, failure) {
            (Ok(set), _) => set,
            (Err(_), Some(error)) => Err(error),
            (Err(_), None) => {
                let why = "it is not a ring, or one that was left half made: its key has no semaphores";
                Err(self.refused(ErrorKind::Malformed, why))
            }
        }
    }

    /// By the segment's number, which says that it is there: then its header leads to the set.
    fn by_id(&self, id: SysvId) -> twixt_os::Result<(SystemV, Shape)> {
        let Some(id) = shm::Id::new(id.get()) else {
            return Err(self.refused(ErrorKind::InvalidInput, "no segment has that number"));
        };
        let segment = Segment::open_id(id)?;
        let stat = segment.stat()?;
        let attachment = segment.attach(Access::ReadWrite)?;
        if !stat.perm.key.is_private() {
            let set = self.set_of(stat.perm.key, false);
            // There is no ?create for a number. Made by hand and all zero, it is meant to become a ring.
            let set = match set {
                Err(_) if is_zero(&attachment)? => self.set_of(stat.perm.key, true)?,
                set => set?,
            };
            return self.finish(attachment, set, true);
        }
        let word =
            |attachment: &Attachment| attachment.load(SET).map_err(|fault| fault.of("open", self.origin));
        if attachment.len() < HEADER {
            return Err(self.refused(ErrorKind::Malformed, "it is too short to be a ring"));
        }
        if word(&attachment)? == 0 {
            if !is_zero(&attachment)? {
                return Err(self.refused(ErrorKind::Malformed, "it is not a ring"));
            }
            let set = Set::create_with(Key::PRIVATE, &VALUES, stat.perm.mode)?.remove_on_drop();
            let number = u64::from(set.id().as_raw().unsigned_abs()) + 1;
            // Whose set is entered first is the ring's. The other one goes again.
            if attachment.exchange(SET, 0, number).map_err(|fault| fault.of("open", self.origin))? {
                set.keep();
            }
        }
        let set = self.recorded(word(&attachment)?, &stat)?;
        self.finish(attachment, set, true)
    }

    /// The set that the header names; if it is one that could be meant.
    fn recorded(&self, word: u64, segment: &shm::Stat) -> twixt_os::Result<Set> {
        let stranger =
            || self.refused(ErrorKind::Malformed, "the semaphores that its header names are not its own");
        let id = word.checked_sub(1).and_then(|id| i32::try_from(id).ok()).and_then(sem::Id::new);
        let set = Set::open_id(id.ok_or_else(stranger)?).map_err(|_| stranger())?;
        let stat = set.stat()?;
        // Anybody may have written any number there.
        let is_own = stat.nsems == VALUES.len()
            && stat.perm.key.is_private()
            && stat.perm.creator_uid == segment.perm.creator_uid;
        if is_own { Ok(set) } else { Err(stranger()) }
    }

    /// Reads the header, in the section, and makes a ring of nothing but zeros if there may be one.
    fn finish(&self, attachment: Attachment, set: Set, may_make: bool) -> twixt_os::Result<(SystemV, Shape)> {
        // Whoever looks on the only processor keeps off it the one that he waits for.
        let looks = if available_parallelism().is_ok_and(|cpus| cpus.get() > 1) { LOOKS } else { 0 };
        let participant = SystemV { attachment, set, looks };
        let wait = self.bounded();
        let mut outcome = None;
        let _ = wait.with_backoff(|| {
            match participant.enter(0, wait) {
                Ok(()) => {}
                Err(fault) => {
                    outcome = Some(Err(fault.of("open", self.origin)));
                    return Ok(());
                }
            }
            let found = self.recognise_or_make(&participant, may_make);
            let left = participant.leave(0, Bells::NONE).map_err(|fault| fault.of("open", self.origin));
            let is_unmade = matches!(found, Ok(None));
            outcome = Some(found.and_then(|shape| {
                left?;
                shape.ok_or_else(|| {
                    self.refused(ErrorKind::Malformed, "it is not a ring: it holds nothing but zeros")
                        .with_advice("add ?create to make a ring of it, if nobody else uses it")
                })
            }));
            if is_unmade { Err(Errno::AGAIN) } else { Ok(()) }
        });
        let shape = outcome.unwrap_or_else(|| Err(self.refused(ErrorKind::Malformed, "it is not a ring")))?;
        super::unfit(
            shape.meets(self.opening.capacity(), self.opening.address().options().size()),
            "open",
            self.origin,
        )?;
        Ok((participant, shape))
    }

    /// `None` if it is all zero and to be left so.
    fn recognise_or_make(&self, participant: &SystemV, may_make: bool) -> twixt_os::Result<Option<Shape>> {
        let memory = participant.memory();
        let size = memory.len() as u64;
        if memory.len() < HEADER {
            return Err(self.refused(ErrorKind::Malformed, "it is too short to be a ring"));
        }
        let mut description = [0; DESCRIPTION];
        memory.read(0, &mut description)?;
        if description != [0; DESCRIPTION] {
            let read = Shape::read(&description, self.purpose, Family::SystemV, size);
            return super::unfit(read, "open", self.origin).map(Some);
        }
        if !may_make {
            return Ok(None);
        }
        if !is_zero(memory)? {
            return Err(self.refused(ErrorKind::Malformed, "it is not a ring"));
        }
        let shape = match self.wanted.whole(self.wanted.most) {
            Some(needed) if needed == size || self.opening.capacity().is_some() => self.wanted,
            // Made by hand: its size decides.
            _ => super::unfit(Shape::new(self.purpose, None, Some(size)), "open", self.origin)?,
        };
        if shape.whole(shape.most).is_none_or(|needed| needed > size) {
            let why = "it is there, and too short for that capacity";
            return Err(self.refused(ErrorKind::InvalidInput, why));
        }
        prepare(participant, &shape).map_err(|fault| fault.of("open", self.origin))?;
        Ok(Some(shape))
    }

    fn bounded(&self) -> Wait {
        let wait = self.opening.opening_wait();
        let patient = wait.deadline().is_none_or(|deadline| deadline.remaining() > HALF_MADE);
        if patient && !wait.is_never() { Wait::until(Deadline::after(HALF_MADE)) } else { wait }
    }

    fn refused(&self, kind: ErrorKind, why: &'static str) -> Error {
        self.origin.refused("open", kind, why)
    }
}

/// Makes a ring of zeroed memory. The magic number comes last.
fn prepare(participant: &SystemV, shape: &Shape) -> Result<()> {
    let memory = participant.memory();
    for number in 0..shape.rings() {
        shape.queue(number).initialise(memory)?;
    }
    memory.store(SET, u64::from(participant.set.id().as_raw().unsigned_abs()) + 1)?;
    memory.write(8, &shape.describe(Family::SystemV)[8..])?;
    memory.store(0, shape.purpose.magic())
}

/// Whether nothing is there but, perhaps, the number of a set.
fn is_zero(memory: &Memory) -> twixt_os::Result<bool> {
    let mut block = [0; HEADER];
    let mut at = 0;
    while at < memory.len() {
        let len = block.len().min(memory.len() - at);
        memory.read(at, &mut block[..len])?;
        if at == 0 && len > SET {
            block[SET..SET + 8].fill(0);
        }
        if block[..len].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += len;
    }
    Ok(true)
}

impl SystemV {
    /// Takes a semaphore that the kernel gives back if this process dies, waiting as told.
    ///
    /// Nobody queues for it. The kernel gives a semaphore to the first in its queue at once, asleep as he is; until he runs,
    /// nobody is inside, and whoever left a moment ago and comes again has to queue in his turn. Two who come and go all the
    /// time would never get out of that, and each visit would take as long as it takes to wake somebody up.
    fn take(&self, semaphore: u16, wait: Wait) -> Result<()> {
        if self.try_take(semaphore)? { Ok(()) } else { self.take_slowly(semaphore, wait) }
    }

    #[cold]
    fn take_slowly(&self, semaphore: u16, wait: Wait) -> Result<()> {
        for _ in 0..self.looks {
            (0..SPINS).for_each(|_| hint::spin_loop());
            if self.try_take(semaphore)? {
                return Ok(());
            }
        }
        let mut failure = None;
        let taken = patience(wait).with_backoff(|| match self.try_take(semaphore) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Errno::AGAIN),
            Err(fault) => {
                failure = Some(fault);
                Err(Errno::IO)
            }
        });
        match failure {
            Some(fault) => Err(fault),
            None => taken.map_err(|errno| impatience(wait, errno)),
        }
    }

    /// Takes it if nobody has it.
    fn try_take(&self, semaphore: u16) -> Result<bool> {
        match self.set.operate(&[Operation::acquire(semaphore).undo().no_wait()]) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives it back.
    fn give_back(&self, semaphore: u16) -> Result<()> {
        Ok(self.set.operate(&[Operation::release(semaphore).undo()])?)
    }

    /// Whether somebody has it.
    fn is_taken(&self, semaphore: u16) -> Result<bool> {
        Ok(self.set.value(semaphore)? == 0)
    }
}

/// The number of a ring's semaphore in the set.
const fn semaphore(ring: usize, which: u16) -> u16 {
    ring as u16 * PER_RING + which
}

impl Guard for SystemV {
    fn memory(&self) -> &Memory {
        self.attachment.memory()
    }

    fn map(&mut self, whole: u64) -> Result<()> {
        if whole > self.attachment.len() as u64 {
            return Err(Fault::Malformed("it is longer than its memory"));
        }
        Ok(())
    }

    fn reserve(&mut self, whole: u64) -> Result<()> {
        self.map(whole)
    }

    fn enter(&self, ring: usize, wait: Wait) -> Result<()> {
        self.take(semaphore(ring, SECTION), wait)
    }

    fn leave(&self, ring: usize, bells: Bells) -> Result<()> {
        let release = Operation::release(semaphore(ring, SECTION)).undo();
        let mut operations = [release; 4];
        let mut count = 1;
        for bell in bells.each() {
            operations[count] = Operation::release(semaphore(ring, BELLS[bell as usize]));
            count += 1;
        }
        match self.set.operate(&operations[..count]) {
            // A bell rings already, as often as a semaphore can.
            Err(error) if count > 1 && error.kind() == ErrorKind::OutOfRange => {
                Ok(self.set.operate(&[release])?)
            }
            outcome => Ok(outcome?),
        }
    }

    fn sleep(&self, ring: usize, bell: Bell, wait: Wait) -> Result<Nap> {
        let acquire = [Operation::acquire(semaphore(ring, BELLS[bell as usize]))];
        nap(wait, |wait| self.set.operate_wait(&acquire, wait))
    }

    fn silence(&self, ring: usize, bell: Bell) -> Result<()> {
        Ok(self.set.set_value(semaphore(ring, BELLS[bell as usize]), 0)?)
    }

    fn try_take_slot(&self, ring: usize) -> Result<bool> {
        self.try_take(semaphore(ring, SLOT))
    }

    fn free_slot(&self, ring: usize) -> Result<()> {
        self.give_back(semaphore(ring, SLOT))
    }

    fn slot_is_held(&self, ring: usize) -> Result<bool> {
        self.is_taken(semaphore(ring, SLOT))
    }

    fn spins(&self) -> u32 {
        // A look costs nothing, but the visit that follows costs two system calls.
        0
    }
}

impl Places for SystemV {
    fn enter_gate(&self, wait: Wait) -> Result<()> {
        self.take(GATE, wait)
    }

    fn leave_gate(&self) -> Result<()> {
        self.give_back(GATE)
    }

    fn try_take_place(&self, party: Party) -> Result<bool> {
        self.try_take(place(party))
    }

    fn leave_place(&self, party: Party) -> Result<()> {
        self.give_back(place(party))
    }

    fn is_present(&self, party: Party) -> Result<bool> {
        self.is_taken(place(party))
    }

    fn evict_client(&self) -> Result<()> {
        // This has the kernel forget, too, what it would give back for the one who has it.
        Ok(self.set.set_value(CLIENT, 1)?)
    }

    fn ring(&self, ring: usize, bell: Bell) -> Result<()> {
        match self.set.release(semaphore(ring, BELLS[bell as usize])) {
            Err(error) if error.kind() != ErrorKind::OutOfRange => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The semaphore that says whether a side's place is free.
const fn place(party: Party) -> u16 {
    match party {
        Party::Server => SERVER,
        Party::Client => CLIENT,
    }
}
