//! Answers each ping (SIGUSR2) in its process group with a pong (SIGUSR1), until SIGQUIT. Run both sides:
//! `sh -c 'trap "" USR1 USR2 QUIT; cd target/debug; ./signal-pong & ./signal-ping; wait'`
use twixt::os::signal::{Signal, SignalSet, Target, kill};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // What goes to the group comes back to its sender too.
    SignalSet::from([Signal::USR1, Signal::USR2, Signal::QUIT]).block()?.keep();
    let heard = SignalSet::from([Signal::USR2, Signal::QUIT]);
    while heard.wait()?.signal() == Signal::USR2 {
        println!("Server: ping");
        kill(Target::OwnGroup, Signal::USR1)?;
    }
    println!("End");
    Ok(())
}
