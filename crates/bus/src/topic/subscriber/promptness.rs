//! Whether messages are waited for one by one, as the answers of a peer are, or taken as they are there, as those of a stream.
//!
//! A publisher can have a message reach others sooner at the cost of those behind it. What is better its subscribers know.

use super::Subscriber;

/// After how many messages it is judged.
const SOME: u64 = 64;

/// What there was when it was judged last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Promptness {
    received: u64,
    awaited: u64,
}

impl Subscriber {
    /// Tells publishers if most messages were waited for lately, or few.
    pub(super) fn judge_promptness(&mut self) {
        let received = self.received.wrapping_sub(self.promptness.received);
        if received < SOME {
            return;
        }
        let awaited =
            self.tracks.iter().fold(0, |all: u64, track| all.wrapping_add(track.consumer.awaited()));
        let lately = awaited.wrapping_sub(self.promptness.awaited);
        self.promptness = Promptness { received: self.received, awaited };
        // In between it stays as it is.
        if lately >= received / 4 * 3 {
            self.site.hints.set_prompt(true);
        } else if lately <= received / 4 {
            self.site.hints.set_prompt(false);
        }
    }
}

#[cfg(all(test, not(any(twixt_loom, miri))))]
mod tests {
    use twixt_address::BusName;

    use crate::{Options, Place, Publisher, Subscriber};

    #[test]
    fn publishers_are_told_how_messages_are_waited_for() {
        let scratch = twixt_testkit::scratch();
        let options = Options::new().create(true).place(Place::at(scratch.path()).unwrap());
        let name = BusName::new("prompt").unwrap();
        let mut subscriber = Subscriber::open(&name, &options).unwrap();
        let publisher = Publisher::open(&name, &options).unwrap();
        assert!(!publisher.site.hints.is_prompt());
        for round in 0..2 {
            for number in 0..300_u64 {
                assert!(subscriber.try_receive().is_err());
                // Short and long ones, those that are sent ahead and those that are not.
                publisher.publish(&vec![number as u8; 40 * number as usize]).unwrap();
                assert_eq!(
                    subscriber.receive().unwrap().to_vec().unwrap(),
                    vec![number as u8; 40 * number as usize]
                );
            }
            assert!(publisher.site.hints.is_prompt(), "round {round}");
            for _ in 0..30 {
                for number in 0..16_u8 {
                    publisher.publish(&[number; 64]).unwrap();
                }
                for number in 0..16_u8 {
                    assert_eq!(subscriber.receive().unwrap().to_vec().unwrap(), [number; 64]);
                }
            }
            assert!(!publisher.site.hints.is_prompt(), "round {round}");
        }
    }
}
