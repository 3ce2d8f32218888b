//! The readers as the writer sees them.

use twixt_os::Result;

use crate::segment::{Peer, What, sweep};
use crate::site::Site;
use crate::words::Foreign;

use super::{MOST_READERS, page};

/// Who reads, as far as the writer has looked.
#[derive(Default)]
pub(super) struct Readers {
    all: Vec<Reader>,
    roster: Option<u32>,
}

struct Reader {
    index: usize,
    peer: Peer,
    request: Foreign,
}

impl Readers {
    /// Looks who is there, if that has changed.
    pub(super) fn refresh(&mut self, site: &Site) -> Result<()> {
        let roster = site.hints.roster();
        if self.roster == Some(roster) {
            return Ok(());
        }
        let present = site.list('r', MOST_READERS)?;
        self.all.retain(|it| present.contains(&it.index) && it.peer.has_name() && it.peer.is_alive());
        for index in present {
            if self.all.iter().any(|it| it.index == index) {
                continue;
            }
            // For one that makes no sense, or may not be read, nothing is kept.
            let Ok(Some(peer)) = Peer::open(&site.path('r', index), What::Reader, Some(site.number)) else {
                continue;
            };
            if !peer.is_alive() {
                sweep(peer.path());
                continue;
            }
            let Ok(request) = peer.foreign(page::REQUEST, 1) else { continue };
            self.all.push(Reader { index, peer, request });
        }
        self.roster = Some(roster);
        Ok(())
    }

    /// What a reader asks for; `None` if it is not there.
    pub(super) fn request(&self, index: usize) -> Option<u64> {
        // Acquire: pairs with the Release of a request that is withdrawn; all reads of what was granted are over.
        self.all.iter().find(|it| it.index == index).map(|it| it.request.acquire(0))
    }

    /// What all of them ask for.
    pub(super) fn requests(&self) -> impl Iterator<Item = (usize, u64)> {
        self.all.iter().map(|it| (it.index, it.request.load(0)))
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}
