//! TCP: connected byte streams between machines: `tcp(7)`.
//!
//! A listening socket and a connected one are different types: [`Listener`] and [`Stream`].
//!
//! ```
//! use std::time::Duration;
//! use twixt_os::Deadline;
//! use twixt_os::net::tcp::{Listener, Stream};
//!
//! let listener = Listener::bind("127.0.0.1:0")?;
//! let soon = Deadline::after(Duration::from_secs(5));
//! let client = Stream::connect_deadline(listener.local_address()?, soon)?;
//! let server = listener.accept_deadline(soon)?;
//! server.set_no_delay(true)?;
//! server.send_all(b"welcome")?;
//! drop(server);
//!
//! let mut text = String::new();
//! std::io::Read::read_to_string(&mut &client, &mut text)?;
//! assert_eq!(text, "welcome");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connect;
mod listener;
mod option;
mod stream;
mod vectored;

pub use connect::ConnectOptions;
pub use listener::{ListenOptions, Listener};
pub use option::Keepalive;
pub use stream::Stream;
