//! Asks a machine four times whether it is there, by ICMP echo over a raw socket. It takes the capability CAP_NET_RAW,
//! or a group in the range of the sysctl `net.ipv4.ping_group_range`. The other side is every machine's kernel.
//!
//! ```text
//! cargo run -p twixt-examples --bin raw-ping [ADDRESS]
//! ```

use std::env;
use std::time::Duration;

use twixt::os::Deadline;
use twixt::os::net::ping::Ping;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1".to_owned());
    let mut ping = Ping::open(address.parse()?)?;
    for _ in 0..4 {
        let reply = ping.echo_deadline(b"are you there?", Deadline::after(Duration::from_secs(2)))?;
        let micros = reply.round_trip.as_micros();
        println!("{} bytes from {address}: sequence {}, {micros} µs", reply.len, reply.sequence);
    }
    Ok(())
}
