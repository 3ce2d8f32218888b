//! What people see of the records: tables for a terminal, and a page with plots.
//!
//! All of it is text made from [`Record`](crate::Record)s, and nothing here looks at a clock, a terminal or a file.
//!
//! ```
//! use twixt_bench::view::{Block, Look, table};
//! let blocks = Block::all(&[], &|_| twixt_bench::Family::Channel);
//! let look = Look { width: Some(80), is_utf8: true, headings: true };
//! assert!(blocks.iter().map(|block| table(block, &look)).collect::<String>().is_empty());
//! ```

mod block;
mod html;
mod plot;
mod table;
mod units;

pub use block::{Block, Row};
pub use html::{Page, html};
pub use table::{Look, table};
pub use units::Units;
