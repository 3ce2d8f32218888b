//! Answers the calls of `rpc-client`, over any address that has connections. Run it first.
//!
//! ```text
//! cargo run -p twixt-examples --bin rpc-server [ADDRESS]
//! cargo run -p twixt-examples --bin rpc-client [ADDRESS]
//! ```
//!
//! With `-` it answers on its standard input and output: `rpc-client 'exec:target/debug/rpc-server -?framing=frame'`.

use std::env;

use twixt::channel::rpc::{self, Context, Items};
use twixt::channel::{Duplex, Listener};

#[path = "../calculator.rs"]
mod calculator;
use calculator::Calculator;

struct Plain;

impl Calculator for Plain {
    fn divide(&self, _: &Context<'_>, a: i64, b: i64) -> Result<i64, String> {
        a.checked_div(b).ok_or_else(|| format!("{a} cannot be divided by {b}"))
    }

    fn primes(&self, context: &Context<'_>, from: u64, items: &mut Items<'_, u64>) -> rpc::Result<()> {
        let is_prime = |n: u64| n > 1 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
        for number in (from..).take_while(|_| !context.is_cancelled()).filter(|&n| is_prime(n)) {
            items.send(&number)?;
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "unix:@twixt-rpc".to_owned());
    let server = Plain.into_server();
    if address == "-" {
        server.serve(&mut Duplex::open(&"-?framing=frame".parse()?)?)?;
        return Ok(());
    }
    let listener = Listener::open(&address.parse()?)?;
    println!("listening at {}", listener.address()?);
    let ended = server.serve(&mut listener.accept()?)?;
    println!("the client has gone: {ended:?}");
    Ok(())
}
