//! Queues real-time signals with values to a process, and SIGRTMAX with their number. Run both sides:
//! `cargo run -p twixt-examples --bin signal-receiver`, then `... --bin signal-sender PID 10 20 30`
use twixt::os::signal::{Pid, Signal, queue};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let pid: i32 = arguments.next().ok_or("usage: signal-sender PID VALUE...")?.parse()?;
    let receiver = Pid::from_raw(pid.max(0)).ok_or("a process has a number above 0")?;
    let mut count = 0;
    for value in arguments {
        queue(receiver, Signal::RTMIN, value.parse::<i32>()?)?;
        count += 1;
    }
    queue(receiver, Signal::RTMAX, count)?;
    Ok(())
}
