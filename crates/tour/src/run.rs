//! One demonstration at work: its processes, what they have reported, and the conductor's waits.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use twixt_os::Deadline;

use crate::demonstration::Demonstration;
use crate::event::{self, Event, Stamped};
use crate::failure::{Failure, expect};
use crate::names::Names;
use crate::party::Cue;
use crate::process::Process;
use crate::sides::{LOOK_EVERY, Peer};
use crate::tour::Settings;

/// One demonstration at work.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    demonstration: &'static Demonstration,
    settings: &'a Settings<'a>,
    names: Names,
    /// How long a party may wait for another.
    patience: Duration,
    /// The other side of a conversation that this run holds one side of.
    peer: Option<Peer>,
    processes: Vec<Process>,
    /// Events that were read and are still to be taken in, with the number of their process.
    heard: Vec<(usize, Stamped)>,
    /// The points that parties have come to and nobody has waited for yet, with their details.
    reached: Vec<(String, String)>,
    counts: BTreeMap<String, u64>,
    /// Rounds held and their median time in nanoseconds, as each party that timed some has told.
    measured: Vec<(u64, u64)>,
}

/// One of the processes that a [`Run`] started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Started(usize);

impl<'a> Run<'a> {
    pub(crate) fn new(
        demonstration: &'static Demonstration,
        settings: &'a Settings<'a>,
        names: Names,
        patience: Duration,
        peer: Option<Peer>,
    ) -> Self {
        Self {
            demonstration,
            settings,
            names,
            patience,
            peer,
            heard: Vec::new(),
            processes: Vec::new(),
            reached: Vec::new(),
            counts: BTreeMap::new(),
            measured: Vec::new(),
        }
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn rounds(&self) -> u64 {
        self.settings.rounds
    }

    /// Starts a party.
    pub(crate) fn start(&mut self, party: &str) -> Result<Started, Failure> {
        self.start_with(party, &[], None)
    }

    /// Starts a party with arguments, in a process group of its choice (see [`Process::start`]).
    pub(crate) fn start_with(
        &mut self,
        party: &str,
        arguments: &[String],
        group: Option<i32>,
    ) -> Result<Started, Failure> {
        let cue = Cue {
            demonstration: self.demonstration.name.to_owned(),
            party: party.to_owned(),
            rounds: self.settings.rounds,
            dialogue: self.settings.dialogue.is_some(),
            patience_ms: u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX),
            names: self.names.clone(),
            arguments: arguments.to_vec(),
        };
        let command = self.settings.program.command(&cue)?;
        self.processes.push(Process::start(command, party, group)?);
        Ok(Started(self.processes.len() - 1))
    }

    pub(crate) fn pid(&self, started: Started) -> i32 {
        self.processes[started.0].pid()
    }

    /// Tells a party to go on.
    pub(crate) fn cue(&mut self, started: Started) -> Result<(), Failure> {
        self.tell(started, "go on")
    }

    /// Tells a party to go on, and something that it needs to know for that.
    pub(crate) fn tell(&mut self, started: Started, line: &str) -> Result<(), Failure> {
        self.processes[started.0].tell(line)
    }

    /// Waits until some party has reached `point`, and gives the detail. Each report is given once.
    pub(crate) fn wait_for(&mut self, point: &str) -> Result<String, Failure> {
        loop {
            if let Some(at) = self.reached.iter().position(|(reached, _)| reached == point) {
                return Ok(self.reached.remove(at).1);
            }
            if self.processes.iter().all(Process::has_ended) {
                return Err(Failure::wrong(format_args!("all parties ended, and none came to {point:?}")));
            }
            self.pump()?;
        }
    }

    /// Waits until all parties have ended, each with success.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        while !self.processes.iter().all(Process::has_ended) {
            self.pump()?;
        }
        Ok(())
    }

    /// The sum of what the parties counted under this name.
    pub(crate) fn count(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// Has the usual two sides talk: the server until it is ready, then the client, to the end of both; and checks
    /// that the server heard each ping.
    pub(crate) fn server_and_client(&mut self) -> Result<(), Failure> {
        self.start("server")?;
        let address = self.wait_for("ready")?;
        self.start_with("client", &[address], None)?;
        self.finish()?;
        expect("pings that the server counted", self.count("pings"), self.settings.rounds)
    }

    /// The rounds of all parties that timed some, and in nanoseconds the median of the party that holds the middle round when
    /// the parties are lined up by their medians.
    pub(crate) fn measured(&self) -> Option<(u64, u64)> {
        let mut parties = self.measured.clone();
        parties.sort_unstable_by_key(|(_, p50_ns)| *p50_ns);
        let all: u64 = parties.iter().map(|(rounds, _)| rounds).sum();
        let mut before = 0;
        let middle = parties.iter().find(|(rounds, _)| {
            before += rounds;
            before * 2 >= all
        });
        middle.map(|(_, p50_ns)| (all, *p50_ns))
    }

    /// Waits for the next events and takes them in, in the order in which they happened. Fails when a party does, when
    /// nothing happens for too long, and when the user wants to stop.
    fn pump(&mut self) -> Result<(), Failure> {
        let begun = event::now();
        for at in self.readable()? {
            let events = self.processes[at].read()?;
            self.heard.extend(events.into_iter().map(|stamped| (at, stamped)));
        }
        // What is younger than this round may have been caused by something that was not read in it: that waits for
        // the next round. What caused the rest is older still, and was read.
        self.take_until(begun)?;
        let failed = self.processes.iter().find(|process| process.has_failed());
        if let Some(process) = failed {
            let status = process.status().map(|status| status.to_string()).unwrap_or_default();
            let how = format!("the {} ended with {status}", process.party);
            // Its own word for it is better.
            self.take_until(u64::MAX)?;
            return Err(Failure::Wrong(how));
        }
        if self.processes.iter().all(Process::has_ended) {
            self.take_until(u64::MAX)?;
        }
        Ok(())
    }

    /// Takes in what was heard and happened before `time`.
    fn take_until(&mut self, time: u64) -> Result<(), Failure> {
        self.heard.sort_by_key(|(_, stamped)| stamped.at);
        let due = self.heard.partition_point(|(_, stamped)| stamped.at < time);
        for (from, stamped) in self.heard.drain(..due).collect::<Vec<_>>() {
            self.take(from, stamped.event)?;
        }
        Ok(())
    }

    fn take(&mut self, from: usize, event: Event) -> Result<(), Failure> {
        let by = |what: String| format!("{}: {what}", self.processes[from].party);
        match event {
            Event::Say(line) => {
                if let Some(say) = self.settings.dialogue {
                    say(&line);
                }
            }
            Event::Reached(point, detail) => self.reached.push((point, detail)),
            Event::Measured(rounds, p50_ns) => self.measured.push((rounds, p50_ns)),
            Event::Counted(what, count) => *self.counts.entry(what).or_default() += count,
            Event::Missing(what) => return Err(Failure::Missing(what)),
            Event::Absent(what) => return Err(Failure::Absent(by(what))),
            Event::Gone(what) => return Err(Failure::Gone(by(what))),
            Event::Wrong(what) => return Err(Failure::Wrong(by(what))),
        }
        Ok(())
    }

    /// The processes that have something to say or have ended.
    fn readable(&mut self) -> Result<Vec<usize>, Failure> {
        // Also while there is much to hear: it must have been seen to be missed.
        self.look_after_peer()?;
        if !self.heard.is_empty() {
            return self.poll(Duration::ZERO);
        }
        let mut busy = self.processor_time();
        // Longer than the parties' own patience, so that it is they who tell what did not come.
        let silence = self.patience.saturating_mul(2);
        let mut deadline = Deadline::after(silence);
        loop {
            let wait = if self.peer.is_some() { LOOK_EVERY } else { silence };
            let ready = self.poll(wait.min(deadline.remaining()))?;
            if !ready.is_empty() {
                return Ok(ready);
            }
            self.look_after_peer()?;
            if deadline.has_passed() {
                // Many rounds take their time: who works is not stuck.
                let still = self.processor_time();
                if still == busy {
                    let seconds = silence.as_secs();
                    return Err(Failure::wrong(format_args!("nothing has happened for {seconds} seconds")));
                }
                busy = still;
                deadline = Deadline::after(silence);
            }
        }
    }

    /// Tells the user once that the other side is there: from then on it would be missed.
    fn look_after_peer(&mut self) -> Result<(), Failure> {
        let Some(peer) = &mut self.peer else { return Ok(()) };
        if let (Some(side), Some(say)) = (peer.look()?, self.settings.dialogue) {
            say(&format!("(the {side} is here)"));
        }
        Ok(())
    }

    fn processor_time(&self) -> u64 {
        self.processes.iter().map(Process::processor_time).sum()
    }

    /// Waits for at most `timeout` for processes that have something to say or have ended.
    fn poll(&self, timeout: Duration) -> Result<Vec<usize>, Failure> {
        let running: Vec<usize> =
            (0..self.processes.len()).filter(|at| !self.processes[*at].has_ended()).collect();
        let mut polled: Vec<PollFd<'_>> = running
            .iter()
            .map(|at| PollFd::from_borrowed_fd(self.processes[*at].output(), PollFlags::IN))
            .collect();
        if let Some(stop) = self.settings.stop {
            polled.push(PollFd::from_borrowed_fd(stop, PollFlags::IN));
        }
        let timeout =
            Timespec { tv_sec: timeout.as_secs().cast_signed(), tv_nsec: timeout.subsec_nanos().into() };
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Failure::Wrong(errno.to_string())),
        }
        if polled.len() > running.len() && !polled[running.len()].revents().is_empty() {
            return Err(Failure::Stopped);
        }
        let ready = running.iter().zip(&polled).filter(|(_, one)| !one.revents().is_empty());
        Ok(ready.map(|(at, _)| *at).collect())
    }
}
