//! Sending through a ring and receiving from it, and waiting for that.

use core::hint;

use twixt_os::{Deadline, Errno, ErrorKind, Limit, Wait};

use crate::Message;
use crate::origin::Origin;

use super::fault::{Fault, Result};
use super::guard::{Bell, Bells, Guard, Nap, PATIENCE};
use super::layout::{Discipline, Shape};
use super::queue::{Queue, State, frame};
use super::space::Space;
use super::step::step;

/// How often a bell may ring for nothing before it is silenced.
const FALSE_ALARMS: u32 = 64;

/// What the offer word says in its two lowest bits.
const OFFERED: u64 = 1;
const TAKEN: u64 = 2;
const WITHDRAWN: u64 = 3;
const FATE: u64 = 3;

/// Who else is there, as far as that matters.
pub(crate) trait Company<G> {
    /// Whether a message may be sent; asked inside the section.
    fn may_send(&self, guard: &G) -> Result<()>;

    /// Whether a message may be taken; asked inside the section.
    fn may_receive(&self, guard: &G) -> Result<()>;

    /// Whether room may still come into a full ring, or else a message into an empty one; asked inside the section.
    /// `thoroughly`, the kernel is asked too.
    fn may_wait(&self, guard: &G, thoroughly: bool, for_room: bool) -> Result<()>;
}

/// Anybody may be there, or come later.
pub(crate) struct Everybody;

impl<G> Company<G> for Everybody {
    fn may_send(&self, _guard: &G) -> Result<()> {
        Ok(())
    }

    fn may_receive(&self, _guard: &G) -> Result<()> {
        Ok(())
    }

    fn may_wait(&self, _guard: &G, _thoroughly: bool, _for_room: bool) -> Result<()> {
        Ok(())
    }
}

/// One ring of an object, and this participant's way to it.
pub(crate) struct Ring<G> {
    guard: G,
    pub(crate) shape: Shape,
    number: usize,
    queue: Queue,
}

/// How a visit to the section ended.
enum Visit<T> {
    Done(T),
    /// There was nothing to be had.
    InVain,
}

/// A wait that goes on over several visits.
struct Vigil {
    wait: Wait,
    /// Which bell this one sleeps by, and the word that counts those who do.
    bell: Bell,
    counter: usize,
    /// Whether this one is among them.
    counted: bool,
    /// Whether it has looked for a while without sleeping.
    spun: bool,
    /// Whether it has slept.
    slept: bool,
    false_alarms: u32,
    /// Why it does not go on.
    end: Option<Fault>,
}

impl<G: Guard> Ring<G> {
    pub(crate) fn new(guard: G, shape: Shape, number: usize) -> Self {
        Self { guard, shape, number, queue: shape.queue(number) }
    }

    /// Makes the ring empty, with nobody waiting; in the section.
    pub(crate) fn initialise(&self) -> Result<()> {
        let memory = self.guard.memory();
        self.queue.initialise(memory)?;
        memory.store(self.queue.control.receivers(), 0)?;
        memory.store(self.queue.control.senders(), 0)
    }

    /// Puts a message into the ring, or fails and has put nothing.
    pub(crate) fn send(
        &mut self,
        bytes: &[u8],
        wait: Wait,
        company: &impl Company<G>,
        origin: &Origin,
    ) -> Result<()> {
        if bytes.len() > self.shape.longest() {
            return Err(Fault::Os(origin.too_long(bytes.len(), self.shape.longest())));
        }
        if self.shape.discipline == Discipline::Zero {
            return self.offer(bytes, wait);
        }
        let mut vigil = self.vigil(wait, Bell::Room);
        loop {
            let visit = self.visit(&mut vigil, |ring, vigil| {
                company.may_send(&ring.guard)?;
                let frame = frame(bytes.len());
                let state = ring.state_with_room(frame, origin)?;
                if state.room() < frame {
                    company.may_wait(&ring.guard, vigil.is_thorough(), true)?;
                    return Ok((Visit::InVain, Bells::NONE));
                }
                let state = ring.queue.put(ring.guard.memory(), state, bytes)?;
                let wanted = ring.call(ring.queue.control.receivers())?;
                // Room was announced to this one alone, and some of it may be left.
                let left = vigil.slept && state.room() > 0 && ring.call(ring.queue.control.senders())?;
                step();
                Ok((Visit::Done(()), Bells::NONE.and(Bell::Messages, wanted).and(Bell::Room, left)))
            })?;
            if let Visit::Done(()) = visit {
                return Ok(());
            }
            self.keep(&mut vigil, |queue, state| state.room() < queue.most)?;
        }
    }

    /// Takes the foremost message out of the ring, or fails and has taken nothing.
    pub(crate) fn receive(
        &mut self,
        message: &mut Message,
        wait: Wait,
        company: &impl Company<G>,
    ) -> Result<()> {
        let mut vigil = self.vigil(wait, Bell::Messages);
        loop {
            let visit = self.visit(&mut vigil, |ring, vigil| {
                company.may_receive(&ring.guard)?;
                let taken = match ring.shape.discipline {
                    Discipline::Zero => ring.take_offered(message)?,
                    _ => ring.take(message)?,
                };
                match taken {
                    Some(bells) => Ok((Visit::Done(()), bells)),
                    None => {
                        company.may_wait(&ring.guard, vigil.is_thorough(), false)?;
                        Ok((Visit::InVain, Bells::NONE))
                    }
                }
            })?;
            if let Visit::Done(()) = visit {
                return Ok(());
            }
            self.keep(&mut vigil, |_, state| state.waiting() == 0)?;
        }
    }

    /// The bytes that wait now.
    pub(crate) fn waiting(&self) -> Result<u64> {
        if self.shape.discipline == Discipline::Zero {
            return Ok(0);
        }
        // Without the section, the two are of different moments.
        let memory = self.guard.memory();
        let head = memory.load(self.queue.control.head())?;
        let tail = memory.load(self.queue.control.tail())?;
        Ok(tail.saturating_sub(head).min(self.shape.most))
    }

    fn take(&mut self, message: &mut Message) -> Result<Option<Bells>> {
        let state = self.state()?;
        let memory = self.guard.memory();
        let Some(after) = self.queue.peek(memory, state, message)? else { return Ok(None) };
        self.queue.remove(memory, after)?;
        let wanted = self.call(self.queue.control.senders())?;
        step();
        Ok(Some(Bells::NONE.and(Bell::Room, wanted)))
    }

    /// The words of the ring, with all that they speak of mapped.
    fn state(&mut self) -> Result<State> {
        let state = self.queue.state(self.guard.memory())?;
        let whole = self.shape.whole(state.length.max(self.fixed_length()));
        self.guard.map(whole.unwrap_or(u64::MAX))?;
        Ok(state)
    }

    /// The length that all rings of the object have from the start.
    fn fixed_length(&self) -> u64 {
        if self.shape.grows() { 0 } else { self.shape.most }
    }

    /// The same after the ring has grown, where it does, for a frame of so many bytes.
    fn state_with_room(&mut self, frame: u64, origin: &Origin) -> Result<State> {
        let mut state = self.state()?;
        let Discipline::Unbounded { budget } = self.shape.discipline else { return Ok(state) };
        let needed = state.waiting() + frame;
        if needed > budget {
            let why = "so many bytes wait that this message is over the budget";
            let limit = Limit { name: "the budget", current: Some(budget), needed: Some(needed) };
            let error = origin.refused("send to", ErrorKind::LimitReached, why).with_limit(limit);
            return Err(Fault::Os(error.with_advice("receive from it, or make it with a larger ?budget")));
        }
        while state.room() < frame && state.length < self.queue.most {
            self.guard.reserve(self.shape.whole(state.length * 2).unwrap_or(u64::MAX))?;
            step();
            state = self.queue.grow(self.guard.memory(), state)?;
        }
        Ok(state)
    }
}

/// Waiting.
impl<G: Guard> Ring<G> {
    fn vigil(&self, wait: Wait, bell: Bell) -> Vigil {
        let control = self.queue.control;
        let counter = if bell == Bell::Messages { control.receivers() } else { control.senders() };
        let (counted, spun, slept) = (false, false, false);
        Vigil { wait, bell, counter, counted, spun, slept, false_alarms: 0, end: None }
    }

    /// Does something inside the section. If that was in vain, the visitor is counted among those who sleep, unless the
    /// wait is over.
    fn visit<T>(
        &mut self,
        vigil: &mut Vigil,
        act: impl FnOnce(&mut Self, &Vigil) -> Result<(Visit<T>, Bells)>,
    ) -> Result<Visit<T>> {
        self.guard.enter(self.number, vigil.wait)?;
        step();
        let outcome = self.visit_inside(vigil, act);
        let bells = outcome.as_ref().map_or(Bells::NONE, |(_, bells)| *bells);
        let left = self.guard.leave(self.number, bells);
        match outcome {
            Ok((Visit::InVain, _)) if vigil.is_over() => Err(vigil.reason()),
            // What was done is done, whatever became of a bell.
            Ok((Visit::Done(value), _)) => Ok(Visit::Done(value)),
            Ok((Visit::InVain, _)) => left.map(|()| Visit::InVain),
            Err(fault) => Err(fault),
        }
    }

    fn visit_inside<T>(
        &mut self,
        vigil: &mut Vigil,
        act: impl FnOnce(&mut Self, &Vigil) -> Result<(Visit<T>, Bells)>,
    ) -> Result<(Visit<T>, Bells)> {
        if vigil.counted {
            self.call(vigil.counter)?;
            vigil.counted = false;
        }
        let outcome = act(self, vigil)?;
        let will_sleep = matches!(outcome, (Visit::InVain, _))
            && (vigil.spun || self.guard.spins() == 0)
            && !vigil.is_over();
        if will_sleep {
            let memory = self.guard.memory();
            memory.store(vigil.counter, memory.load(vigil.counter)?.saturating_add(1))?;
            vigil.counted = true;
            step();
        }
        Ok(outcome)
    }

    /// Waits after a visit in vain, until another may not be; `looks_vain` tells that from outside.
    fn keep(&mut self, vigil: &mut Vigil, looks_vain: impl Fn(&Queue, State) -> bool) -> Result<()> {
        if !vigil.counted {
            vigil.spun = true;
            for _ in 0..self.guard.spins() {
                hint::spin_loop();
                // A glance between two changes may see what never was, and means nothing.
                let Ok(state) = self.queue.state(self.guard.memory()) else { break };
                if !looks_vain(&self.queue, state) {
                    break;
                }
            }
            return Ok(());
        }
        match self.guard.sleep(self.number, vigil.bell, vigil.wait) {
            Ok(Nap::Rung) => {
                // Whoever rang has counted this one out.
                vigil.counted = false;
                vigil.false_alarms += 1;
                if vigil.false_alarms > FALSE_ALARMS {
                    vigil.false_alarms = 0;
                    self.guard.silence(self.number, vigil.bell)?;
                }
            }
            Ok(Nap::Over) => vigil.false_alarms = 0,
            // Once more, to be counted out; and what has come meanwhile is taken.
            Err(fault) => vigil.end = Some(fault),
        }
        vigil.slept = true;
        Ok(())
    }

    /// Counts one sleeper out, if there is any: he is to be woken, or has woken by himself.
    fn call(&self, counter: usize) -> Result<bool> {
        let memory = self.guard.memory();
        let sleepers = memory.load(counter)?;
        if sleepers > 0 {
            memory.store(counter, sleepers - 1)?;
            step();
        }
        Ok(sleepers > 0)
    }
}

impl Vigil {
    /// Whether this visit is the last one.
    fn is_over(&self) -> bool {
        self.wait.is_never() || self.end.is_some() || self.wait.has_passed()
    }

    /// Whether to ask the kernel who lives: not at the first glance.
    fn is_thorough(&self) -> bool {
        self.slept || self.is_over()
    }

    fn reason(&mut self) -> Fault {
        let errno = if self.wait.is_never() { Errno::AGAIN } else { Errno::TIMEDOUT };
        self.end.take().unwrap_or(Fault::Wait(errno))
    }
}

/// Capacity zero: one message at a time is offered, and its sender stays until it is taken.
impl<G: Guard> Ring<G> {
    fn offer(&mut self, bytes: &[u8], wait: Wait) -> Result<()> {
        let mut vigil = self.vigil(wait, Bell::Room);
        let offered = loop {
            let visit = self.visit(&mut vigil, |ring, vigil| {
                let hasty = vigil.wait.is_never() || vigil.wait.has_passed();
                if !ring.guard.try_take_slot(ring.number)? {
                    return Ok((Visit::InVain, Bells::NONE));
                }
                step();
                let put = ring.put_offer(bytes, hasty);
                if !matches!(put, Ok((Visit::Done(_), _))) {
                    ring.guard.free_slot(ring.number)?;
                }
                put
            })?;
            if let Visit::Done(offered) = visit {
                break offered;
            }
            self.keep(&mut vigil, |_, state| state.waiting() > 0)?;
        };
        let outcome = self.await_taker(offered, wait);
        self.end_offer();
        outcome
    }

    /// Puts the message, by the holder of the slot. Who cannot wait needs one who waits.
    fn put_offer(&mut self, bytes: &[u8], hasty: bool) -> Result<(Visit<u64>, Bells)> {
        let mut state = self.state()?;
        let memory = self.guard.memory();
        if state.waiting() > 0 {
            // Of one who died, or who withdrew it and could not clear it away.
            state = self.queue.clear(memory, state)?;
        }
        let control = self.queue.control;
        if hasty && memory.load(control.receivers())? == 0 {
            return Ok((Visit::InVain, Bells::NONE));
        }
        let number = (memory.load(control.offer())? >> 2).wrapping_add(1) << 2;
        memory.store(control.offer(), number | OFFERED)?;
        step();
        self.queue.put(memory, state, bytes)?;
        let wanted = self.call(control.receivers())?;
        step();
        Ok((Visit::Done(number), Bells::NONE.and(Bell::Messages, wanted)))
    }

    /// Waits until the offer is taken, or withdraws it.
    fn await_taker(&self, number: u64, wait: Wait) -> Result<()> {
        let hasty = wait.is_never() || wait.has_passed();
        // There is one who waits for it, or there was.
        let patience = if hasty { Wait::until(Deadline::after(PATIENCE)) } else { wait };
        let memory = self.guard.memory();
        let at = self.queue.control.offer();
        let mut spins = self.guard.spins();
        let mut false_alarms = 0;
        loop {
            match memory.load(at)? {
                word if word == number | TAKEN => return Ok(()),
                word if word == number | OFFERED => {}
                _ => return Err(Fault::Malformed("its offer was changed by another than its taker")),
            }
            if spins > 0 {
                spins -= 1;
                hint::spin_loop();
                continue;
            }
            let fault = match self.guard.sleep(self.number, Bell::Taken, patience) {
                Err(fault) => fault,
                // Somebody may ring for nothing, and without end.
                Ok(Nap::Rung) if memory.load(at)? == number | OFFERED => {
                    false_alarms += 1;
                    if false_alarms > FALSE_ALARMS {
                        false_alarms = 0;
                        self.guard.silence(self.number, Bell::Taken)?;
                    }
                    if !patience.has_passed() {
                        continue;
                    }
                    Fault::Wait(Errno::TIMEDOUT)
                }
                Ok(_) => continue,
            };
            step();
            // Whoever comes first decides: the taker, or this.
            if memory.exchange(at, number | OFFERED, number | WITHDRAWN)? {
                return Err(match fault {
                    Fault::Wait(Errno::TIMEDOUT) if wait.is_never() => Fault::Wait(Errno::AGAIN),
                    fault => fault,
                });
            }
        }
    }

    /// Clears away what is left of the offer and lets the next one in. What fails here is made good by the next one.
    fn end_offer(&mut self) {
        if self.guard.enter(self.number, Wait::never()).is_err() {
            let _ = self.guard.free_slot(self.number);
            return;
        }
        let cleared = self.clear_leftover();
        let _ = self.guard.free_slot(self.number);
        let wanted = cleared.and_then(|()| self.call(self.queue.control.senders())).unwrap_or(false);
        let _ = self.guard.leave(self.number, Bells::NONE.and(Bell::Room, wanted));
    }

    fn clear_leftover(&mut self) -> Result<()> {
        let state = self.state()?;
        if state.waiting() > 0 {
            self.queue.clear(self.guard.memory(), state)?;
        }
        Ok(())
    }

    fn take_offered(&mut self, message: &mut Message) -> Result<Option<Bells>> {
        let state = self.state()?;
        if state.waiting() == 0 {
            return Ok(None);
        }
        let memory = self.guard.memory();
        let at = self.queue.control.offer();
        let offer = memory.load(at)?;
        // The dead get no message across: their send did not succeed.
        if offer & FATE == OFFERED && self.guard.slot_is_held(self.number)? {
            let after = self.queue.peek(memory, state, message)?;
            if memory.exchange(at, offer, offer & !FATE | TAKEN)? {
                step();
                self.queue.remove(memory, after.unwrap_or(State { head: state.tail, ..state }))?;
                return Ok(Some(Bells::NONE.and(Bell::Taken, true)));
            }
        }
        self.queue.clear(memory, state)?;
        Ok(None)
    }
}
