//! Pings its process group with SIGUSR2, awaits a hundred pongs (SIGUSR1), and ends with SIGQUIT. Run both sides:
//! `sh -c 'trap "" USR1 USR2 QUIT; cd target/debug; ./signal-pong & ./signal-ping; wait'`
use std::time::Duration;

use twixt::os::Deadline;
use twixt::os::signal::{Signal, SignalSet, Target, kill};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // What goes to the group comes back to its sender too.
    SignalSet::from([Signal::USR1, Signal::USR2, Signal::QUIT]).block()?.keep();
    let pong = SignalSet::from(Signal::USR1);
    let mut rounds = 0;
    while rounds < 100 {
        kill(Target::OwnGroup, Signal::USR2)?;
        // The other side may not have started yet.
        if pong.wait_deadline(Deadline::after(Duration::from_millis(100))).is_ok() {
            println!("Client: pong");
            rounds += 1;
        }
    }
    kill(Target::OwnGroup, Signal::QUIT)?;
    Ok(())
}
