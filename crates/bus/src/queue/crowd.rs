//! Whether more take part in a queue than there are processors for this process.

use core::cell::Cell;
use std::time::Duration;

use crate::hints::roughly_now;
use crate::segment::is_locked;
use crate::site::Site;

use super::{MOST_CONSUMERS, MOST_PRODUCERS};

/// How long it is believed, where it is so: places keep their files, and whoever was killed has told nobody.
const EACH: Duration = Duration::from_secs(1);

/// What one who takes part knows of that.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    is_there: Cell<bool>,
    /// When it was looked last.
    looked: Cell<u64>,
}

impl Crowd {
    /// Looks. For whenever somebody has come or gone.
    pub(super) fn look(&self, site: &Site) {
        self.looked.set(roughly_now());
        self.is_there.set(is_crowded(site));
    }

    /// Whether it is so, as far as is known. For those who are about to wait.
    pub(super) fn is_there(&self, site: &Site) -> bool {
        if self.is_there.get() && roughly_now().saturating_sub(self.looked.get()) >= EACH.as_nanos() as u64 {
            self.look(site);
        }
        self.is_there.get()
    }
}

fn is_crowded(site: &Site) -> bool {
    let Ok(processors) = rustix::thread::sched_getaffinity(None) else { return false };
    let processors = processors.count() as usize;
    if processors == 1 {
        // One that is kept to a processor shares it with those that it waits for, or does not: which is known otherwise.
        return false;
    }
    has_more_than(site, processors)
}

/// Whether more than so many live. As soon as it is known no more are looked at.
fn has_more_than(site: &Site, count: usize) -> bool {
    let places = [('p', MOST_PRODUCERS), ('c', MOST_CONSUMERS)].into_iter().flat_map(|(prefix, most)| {
        let indices = site.list(prefix, most).unwrap_or_default();
        indices.into_iter().map(move |index| site.path(prefix, index))
    });
    places.filter(|place| is_locked(place)).nth(count).is_some()
}

#[cfg(all(test, not(any(twixt_loom, miri))))]
mod tests {
    use twixt_address::BusName;

    use super::super::{Consumer, Producer};
    use super::*;
    use crate::place::{Kind, Place};
    use crate::site::Options;

    #[test]
    fn places_whose_holders_have_gone_do_not_count() {
        let scratch = tempfile::tempdir_in("/dev/shm").unwrap();
        let options = Options::new().create(true).place(Place::at(scratch.path()).unwrap());
        let name = BusName::new("crowd").unwrap();
        let site = Site::open(Kind::Queue, &name, &options).unwrap();
        let producer = Producer::open(&name, &options).unwrap();
        let mut consumers: Vec<_> = (0..4).map(|_| Consumer::open(&name, &options).unwrap()).collect();
        assert!(has_more_than(&site, 4));
        assert!(!has_more_than(&site, 5));
        consumers.truncate(1);
        drop(producer);
        assert!(
            site.list('p', MOST_PRODUCERS).unwrap().len() + site.list('c', MOST_CONSUMERS).unwrap().len() > 1
        );
        assert!(has_more_than(&site, 0));
        assert!(!has_more_than(&site, 1));
        drop(consumers);
        assert!(!has_more_than(&site, 0));
    }
}
