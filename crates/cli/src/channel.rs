//! Opening channels as the command line says.

use anyhow::anyhow;
use twixt::address::Address;
use twixt::channel::{Framing, Opening, Side};

/// The side that was chosen, if one was.
pub fn side(listen: bool, connect: bool) -> Option<Side> {
    match (listen, connect) {
        (true, _) => Some(Side::Listen),
        (_, true) => Some(Side::Connect),
        _ => None,
    }
}

/// An opening of the address with what the flags add to it. What the address says itself counts more.
pub fn opening(
    address: &Address,
    create: bool,
    side: Option<Side>,
    framing: Option<Framing>,
) -> anyhow::Result<Opening> {
    let mut address = address.clone();
    if create {
        let options = address.options().clone().with_create();
        let endpoint = address.endpoint().clone();
        address =
            address.with_options(options).map_err(|error| anyhow!("cannot make {endpoint}: {error}"))?;
    }
    let mut opening = Opening::new(&address);
    if let Some(side) = side {
        opening = opening.side(side);
    }
    if let Some(framing) = framing {
        opening = opening.framing(framing);
    }
    Ok(opening)
}
