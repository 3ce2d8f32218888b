//! Calls `rpc-server`, which says how to run both.

use std::env;
use std::time::Duration;

use twixt::os::Deadline;

#[path = "../calculator.rs"]
mod calculator;
use calculator::CalculatorClient;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "unix:@twixt-rpc".to_owned());
    let calculator = CalculatorClient::connect(&address.parse()?)?;

    let soon = Deadline::after(Duration::from_secs(5));
    println!("84 / 2 = {:?}", calculator.divide(84, 2).call_deadline(soon)?);

    // Two calls in flight at the same time.
    let (one, other) = (calculator.divide(1, 0).start()?, calculator.divide(7, 2).start()?);
    println!("7 / 2 = {:?}, 1 / 0 = {:?}", other.wait()?, one.wait()?);

    // The stream has no end; that it is dropped cancels it.
    for prime in calculator.primes(1000).start()?.take(3) {
        println!("prime: {}", prime?);
    }
    Ok(())
}
