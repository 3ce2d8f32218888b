//! Prints the values that arrive with real-time signals, until SIGRTMAX. Run both sides:
//! `cargo run -p twixt-examples --bin signal-receiver`, then `... --bin signal-sender PID 10 20 30`
use twixt::os::signal::{Signal, SignalSet, this_process};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let set = SignalSet::from([Signal::RTMIN, Signal::RTMAX]);
    // Blocked signals are kept, in order, until they are taken.
    let _blocked = set.block()?;
    println!("process {}", this_process().as_raw_nonzero());
    loop {
        let info = set.wait()?;
        let (Some(pid), Some(uid), Some(value)) = (info.pid(), info.uid(), info.value()) else { continue };
        println!("{} {} from process {} of user {uid}", info.signal(), value.as_i32(), pid.as_raw_nonzero());
        if info.signal() == Signal::RTMAX {
            return Ok(());
        }
    }
}
