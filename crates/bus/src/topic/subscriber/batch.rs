//! Receiving many messages at a time.

use twixt_os::{Result, Wait};

use crate::ring::consumer::Look;
use crate::ring::distance;
use crate::ring::run::Run;

use super::super::message::Message;
use super::{Sample, Subscriber};

impl Subscriber {
    /// Receives a message, waiting for it as `wait` says, and those behind it that are there, `most` of them at the most: gives one
    /// after the other to `each`, and says how many it has received.
    ///
    /// It takes about half of what [`receive`](Self::receive) takes for each, where they are small and there are several. It waits for
    /// the first and for no other, and more may be there when it returns: 64 are the most, and without capacity, or where there is more
    /// to be told of a publisher than its messages, it is one. One that is still being written is waited for until it is all there.
    ///
    /// What was overwritten until `each` has come back, or has read it to its end, is not counted: if it was the first, none are. If
    /// `each` panics, those until then have been received, the last one included.
    ///
    /// ```
    /// # use twixt_bus::{Options, Publisher, Subscriber};
    /// # let scratch = twixt_testkit::scratch();
    /// # let place = twixt_bus::Place::at(scratch.path())?;
    /// # let name = twixt_address::BusName::new("ticks")?;
    /// # let options = Options::new().create(true).place(place);
    /// # let mut subscriber = Subscriber::open(&name, &options)?;
    /// # let publisher = Publisher::open(&name, &options)?;
    /// for tick in 0..100_u64 {
    ///     publisher.publish(&tick.to_ne_bytes())?;
    /// }
    /// let mut sum = 0;
    /// let received = subscriber.receive_batch(64, twixt_os::Wait::forever(), |message| {
    ///     sum += message.first_word().unwrap_or_default();
    /// })?;
    /// assert_eq!((received, sum), (64, 63 * 64 / 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`receive_wait`](Self::receive_wait), before anything was received; and as [`Sample::read`] of a message that is not
    /// finished.
    #[inline(always)]
    pub fn receive_batch(
        &mut self,
        most: usize,
        wait: Wait,
        mut each: impl FnMut(&mut Message<'_>),
    ) -> Result<usize> {
        if most == 0 {
            return Ok(0);
        }
        if !self.finds_at_turn() {
            self.find(&wait)?;
        }
        if !self.consumer().is_some_and(|it| it.is_whole()) {
            Sample::new(self, &wait).wait_until_whole()?;
        }
        let mut received = 0;
        loop {
            let more = self.run(most - received, &mut each);
            received += more;
            if more == 0 || received >= most || !self.shows_another() {
                return Ok(received);
            }
        }
    }

    /// Receives the message at hand, and those like it that are there.
    #[inline(always)]
    fn run(&mut self, most: usize, each: &mut impl FnMut(&mut Message<'_>)) -> usize {
        let Some(track) = self.tracks.get_mut(self.turn) else { return 0 };
        let (publisher, due) = (track.index, track.said.wrapping_add(self.stride));
        let (object, room) = (&self.site.object, self.site.hints.room.watch());
        let Some(run) = track.consumer.run() else { return 0 };
        let ((lines, bytes), claim) = (run.each(), run.claim());
        // Up to the one with which it is time to say how far this one is.
        let until_due = distance(run.position(), due).max(1).cast_unsigned().div_ceil(lines.max(1));
        let most = (most as u64).min(u64::from(self.burst) + 1).min(until_due);
        let tally = Tally { messages: &mut self.received, bytes: &mut self.bytes, burst: &mut self.burst };
        let mut row = Row { run, left: most, most, each: bytes, is_open: false, tally };
        let ended = loop {
            let (frame, words) = row.run.take();
            row.left -= 1;
            let mut message = Message { frame, words, claim, publisher, object, is_intact: false };
            row.is_open = true;
            each(&mut message);
            if !message.is_intact && !row.run.is_intact() {
                break End::Overrun;
            }
            row.is_open = false;
            if room.is_awaited() {
                break End::Due;
            }
            if row.left == 0 || !row.run.finds() {
                break End::Over;
            }
        };
        row.judge();
        let (received, position) = (row.received(), row.run.position());
        drop(row);
        match ended {
            // What became of it, the next look tells.
            End::Overrun => _ = self.overrun(self.turn),
            End::Over if distance(due, position) < 0 => {}
            End::Over | End::Due => self.finish_stride(position),
        }
        received as usize
    }

    /// Whether the publisher whose turn it is has another message that can be given out, however long it is.
    #[inline]
    fn shows_another(&mut self) -> bool {
        if self.burst == 0 {
            return false;
        }
        let Some(track) = self.tracks.get_mut(self.turn) else { return false };
        let shows = track.consumer.shows()
            && matches!(track.consumer.look(), Look::Message(_))
            && track.consumer.is_whole();
        if shows {
            self.burst -= 1;
        }
        shows
    }
}

/// Why a row of messages has ended.
enum End {
    /// No other is there, or is wanted.
    Over,
    /// A publisher waits for what this one has received.
    Due,
    /// The last one was overwritten.
    Overrun,
}

/// Messages that are received one after the other. What was received the subscriber knows when this is dropped: whatever `each` does.
struct Row<'s> {
    run: Run<'s>,
    /// How many more there may be, of so many.
    left: u64,
    most: u64,
    /// The bytes of each.
    each: u64,
    /// Whether nobody has looked yet if the last one was overwritten.
    is_open: bool,
    tally: Tally<'s>,
}

/// What a subscriber counts.
struct Tally<'s> {
    messages: &'s mut u64,
    bytes: &'s mut u64,
    burst: &'s mut u32,
}

impl Row<'_> {
    #[inline(always)]
    fn received(&self) -> u64 {
        self.most - self.left
    }

    /// Gives the last one back if it was overwritten.
    #[inline(always)]
    fn judge(&mut self) {
        if core::mem::take(&mut self.is_open) && !self.run.is_intact() {
            self.left += 1;
            self.run.give_back();
        }
    }
}

impl Drop for Row<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // It is open if `each` has panicked.
        self.judge();
        let received = self.received();
        *self.tally.messages = self.tally.messages.wrapping_add(received);
        *self.tally.bytes = self.tally.bytes.wrapping_add(received.wrapping_mul(self.each));
        // The first one has been counted when it was found.
        *self.tally.burst = self.tally.burst.saturating_sub(received.saturating_sub(1) as u32);
    }
}
