//! Signals: two processes that know no more of each other than that they are in one group, and values in order.

use std::time::{Duration, Instant};

use twixt_os::signal::{
    self, Action, Counter, Disposition, IntervalTimer, Pid, SelfPipe, Signal, SignalSet, Target, TimerSetting,
};

use crate::demonstration::Demonstration;
use crate::failure::{Failure, expect};
use crate::party::Party;

pub(super) const GROUP: Demonstration = Demonstration {
    name: "signal",
    shows: "USR2 and USR1 through the process group, QUIT at the end",
    parties: &[("server", server), ("client", client)],
    conduct: |run| {
        // As a shell's job: a group of their own, so that no signal reaches anybody else.
        let server = run.start_with("server", &[], Some(0))?;
        run.wait_for("ready")?;
        let group = run.pid(server);
        run.start_with("client", &[], Some(group))?;
        run.finish()?;
        expect("pings that the server counted", run.count("pings"), run.rounds())
    },
    remove: |_| (),
    two_terminals: None,
};

pub(super) const REAL_TIME: Demonstration = Demonstration {
    name: "signal-rt",
    shows: "real-time signals: every one kept, in order, with its value",
    parties: &[("receiver", receiver), ("sender", sender)],
    conduct: |run| {
        let receiver = run.start("receiver")?;
        run.wait_for("blocked")?;
        let pid = run.pid(receiver).to_string();
        let sender = run.start_with("sender", &[pid], None)?;
        run.wait_for("sent")?;
        run.cue(receiver)?;
        run.wait_for("received")?;
        run.cue(sender)?;
        run.finish()
    },
    remove: |_| (),
    two_terminals: None,
};

pub(super) const DISPOSITIONS: Demonstration = Demonstration {
    name: "signal-handlers",
    shows: "raise, handle once, ignore, mask, and a timer's alarm",
    parties: &[("process", dispositions)],
    conduct: |run| {
        run.start("process")?;
        run.finish()
    },
    remove: |_| (),
    two_terminals: None,
};

const PING: Signal = Signal::USR2;
const PONG: Signal = Signal::USR1;
const END: Signal = Signal::QUIT;

/// Records these signals and ignores the others of the conversation, which reach the whole group, their sender too.
fn listen(to: &[Signal]) -> Result<SelfPipe, Failure> {
    let pipe = SelfPipe::new()?;
    for signal in [PING, PONG, END] {
        let action = if to.contains(&signal) { Action::record(&pipe) } else { Action::ignore() };
        action.install(signal)?.keep();
    }
    Ok(pipe)
}

fn server(party: &Party) -> Result<(), Failure> {
    let heard = listen(&[PING, END])?;
    party.reached("ready", "");
    let mut pings = 0;
    loop {
        let info = heard.receive_deadline(party.deadline())?;
        if info.signal() == END {
            break;
        }
        party.say("Server: ping");
        pings += 1;
        signal::kill(Target::OwnGroup, PONG)?;
    }
    party.say("End");
    party.counted("pings", pings);
    Ok(())
}

fn client(party: &Party) -> Result<(), Failure> {
    let heard = listen(&[PONG])?;
    let mut samples = party.samples();
    for _ in 0..party.rounds() {
        let start = Instant::now();
        signal::kill(Target::OwnGroup, PING)?;
        heard.receive_deadline(party.deadline())?;
        samples.push(start.elapsed());
        party.say("Client: pong");
    }
    signal::kill(Target::OwnGroup, END)?;
    party.measured(samples);
    Ok(())
}

fn dispositions(party: &Party) -> Result<(), Failure> {
    let counter = Counter::new();
    // Handled once: the handler gives way to the default as it starts.
    Action::count(&counter).once().install(PING)?.keep();
    signal::raise(PING)?;
    expect("signals that the one-shot handler counted", counter.take(), 1)?;
    expect("the disposition afterwards", Disposition::of(PING)?, Disposition::Default)?;
    party.say("USR2 raised and handled once; its next one would end this process");
    Action::ignore().install(PING)?.keep();
    signal::raise(PING)?;
    party.say("USR2 raised again, and ignored");

    // Masked: it waits, once, however often it was sent.
    Action::count(&counter).install(PONG)?.keep();
    let masked = SignalSet::from([PONG]).block()?;
    signal::raise(PONG)?;
    signal::raise(PONG)?;
    expect("whether USR1 is pending", SignalSet::pending()?.contains(PONG), true)?;
    expect("signals handled while masked", counter.get(), 0)?;
    drop(masked);
    expect("signals handled once unmasked", counter.take(), 1)?;
    party.say("USR1 raised twice while masked, and handled once");

    let alarms = listen_to_alarms()?;
    let mut samples = party.samples();
    for _ in 0..party.rounds().min(ALARMS) {
        let start = Instant::now();
        let soon = TimerSetting { value: ALARM_AFTER, interval: Duration::ZERO };
        signal::set_interval_timer(IntervalTimer::Real, soon)?;
        let info = alarms.receive_deadline(party.deadline())?;
        samples.push(start.elapsed());
        expect("the timer's signal", info.signal(), Signal::ALRM)?;
        expect("whether it came too early", start.elapsed() < ALARM_AFTER, false)?;
    }
    party.say("ALRM came each time that setitimer had set it");
    party.measured(samples);
    Ok(())
}

/// Each takes its time, so a few tell enough.
const ALARMS: u64 = 20;
const ALARM_AFTER: Duration = Duration::from_millis(1);

fn listen_to_alarms() -> Result<SelfPipe, Failure> {
    let pipe = SelfPipe::new()?;
    Action::record(&pipe).install(Signal::ALRM)?.keep();
    Ok(pipe)
}

/// Lower numbers come first, whatever the order of sending.
fn urgent() -> Result<Signal, Failure> {
    Signal::real_time(1).ok_or_else(|| Failure::wrong("no second real-time signal"))
}

fn patient() -> Result<Signal, Failure> {
    Signal::real_time(2).ok_or_else(|| Failure::wrong("no third real-time signal"))
}

/// How many of each are pending at once: well within everybody's RLIMIT_SIGPENDING.
const PENDING: i32 = 100;

fn receiver(party: &Party) -> Result<(), Failure> {
    let signals = SignalSet::from([urgent()?, patient()?]);
    let _blocked = signals.block()?;
    party.reached("blocked", "");
    party.wait_for_cue()?;
    for signal in [urgent()?, patient()?] {
        for value in 0..PENDING {
            let info = signals.wait_deadline(party.deadline())?;
            let came = (info.signal(), info.value().map(|value| value.as_i32()));
            expect("the next signal", came, (signal, Some(value)))?;
        }
        party.say(&format!("Receiver: {signal} with 0 to {} in order", PENDING - 1));
    }
    party.reached("received", "");
    // And now one at a time, each sent back with the next number.
    for _ in 0..party.rounds() {
        let info = signals.wait_deadline(party.deadline())?;
        let (Some(pid), Some(value)) = (info.pid(), info.value()) else {
            return Err(Failure::wrong("a signal without a sender or a value"));
        };
        signal::queue(pid, info.signal(), value.as_i32() + 1)?;
    }
    Ok(())
}

fn sender(party: &Party) -> Result<(), Failure> {
    let signals = SignalSet::from([urgent()?]);
    let _blocked = signals.block()?;
    let number = party.argument(0)?;
    let receiver = number.parse().ok().and_then(Pid::from_raw);
    let receiver = receiver.ok_or_else(|| Failure::wrong(format_args!("{number:?} is no process")))?;
    // The patient ones first: it is the receiver that must see the urgent ones before them.
    for signal in [patient()?, urgent()?] {
        for value in 0..PENDING {
            signal::queue(receiver, signal, value)?;
        }
        party.say(&format!("Sender: queued {PENDING} times {signal}"));
    }
    party.reached("sent", "");
    party.wait_for_cue()?;
    let mut samples = party.samples();
    for round in 0..i32::try_from(party.rounds()).unwrap_or(i32::MAX - 1) {
        let start = Instant::now();
        signal::queue(receiver, urgent()?, round)?;
        let info = signals.wait_deadline(party.deadline())?;
        samples.push(start.elapsed());
        expect("the value that came back", info.value().map(|value| value.as_i32()), Some(round + 1))?;
    }
    party.measured(samples);
    Ok(())
}
