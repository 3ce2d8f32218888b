//! Futures that are dropped at any point lose nothing and double nothing.

#[path = "support/channels.rs"]
mod support;

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use ::tokio::runtime::Builder;
use ::tokio::time::timeout;
use support::*;
use twixt_channel::tokio::{AsyncListener, AsyncReceiver, AsyncSender};
use twixt_channel::{Duplex, Listener, Message, Opening};
use twixt_os::posix::mq;
use twixt_testkit::{defer, scratch, test, unique_name};

/// Polls a future so many times at most; if it is still pending then, it is dropped, and this is `None`.
struct Polled<'a, F> {
    future: Pin<&'a mut F>,
    left: usize,
}

impl<F: Future> Future for Polled<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        match self.future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.left <= 1 => Poll::Ready(None),
            Poll::Pending => {
                self.left -= 1;
                Poll::Pending
            }
        }
    }
}

async fn polled<F: Future>(left: usize, future: F) -> Option<F::Output> {
    Polled { future: pin!(future), left }.await
}

/// Small numbers, as if thrown.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// Has a future dropped after some polls, or by a timer that runs out at some moment.
    async fn try_out<F: Future>(&mut self, drops: &mut usize, future: F) -> Option<F::Output> {
        let outcome = match self.throw(20) {
            0..16 => polled(1, future).await,
            16 | 17 => polled(2, future).await,
            18 => timeout(Duration::from_micros(self.throw(50)), future).await.ok(),
            _ => {
                ::tokio::select! {
                    biased;
                    output = future => Some(output),
                    () = ::tokio::task::yield_now() => None,
                }
            }
        };
        if outcome.is_none() {
            *drops += 1;
            // A dropped future has no one to wake: without this both sides could drop for ever and never let go.
            ::tokio::task::yield_now().await;
        }
        outcome
    }
}

/// Sends numbered messages and receives them, each future dropped as often as not.
async fn trial(mut sender: AsyncSender, mut receiver: AsyncReceiver, count: u64, longest: u64, name: &str) {
    let message = move |number: u64| {
        let len = if longest == 0 { 0 } else { (number * 7919) % longest };
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.resize(8 + len as usize, number as u8);
        bytes
    };
    let sending = ::tokio::spawn(async move {
        let (mut dice, mut drops) = (Dice(1), 0);
        for number in 0..count {
            let bytes = message(number);
            // Now the channel runs empty, and now (below) full.
            if number % 500 < 400 && dice.throw(2) == 0 {
                ::tokio::task::yield_now().await;
            }
            loop {
                // A dropped send has sent nothing, so it is tried again.
                match dice.try_out(&mut drops, sender.send(&bytes)).await {
                    Some(sent) => break sent.unwrap(),
                    None if dice.throw(3) == 0 => {
                        let _ = dice.try_out(&mut drops, sender.flush()).await;
                    }
                    None => {}
                }
            }
        }
        loop {
            if let Some(flushed) = dice.try_out(&mut drops, sender.flush()).await {
                break flushed.unwrap();
            }
        }
        (sender, drops)
    });
    let (mut dice, mut drops) = (Dice(2), 0);
    let mut received = Message::new();
    for number in 0..count {
        if number % 500 == 450 {
            ::tokio::time::sleep(Duration::from_millis(5)).await;
        }
        loop {
            match dice.try_out(&mut drops, receiver.receive_into(&mut received)).await {
                Some(outcome) => break outcome.unwrap(),
                None => assert!(received.is_empty(), "{name}: nothing is half taken"),
            }
        }
        assert_eq!(received.bytes(), message(number), "{name}: message {number}");
    }
    let (sender, sender_drops) = sending.await.unwrap();
    assert!(polled(1, receiver.receive()).await.is_none(), "{name}: no message came twice");
    drop(sender);
    assert!(drops + sender_drops > 100, "{name}: only {drops} and {sender_drops} were dropped");
}

fn run(worker_threads: usize, future: impl Future<Output = ()>) {
    let runtime = match worker_threads {
        0 => Builder::new_current_thread().enable_all().build().unwrap(),
        threads => Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap(),
    };
    runtime.block_on(async { timeout(Duration::from_secs(80), future).await.expect("no hang") });
}

#[test]
fn short_messages_through_every_mechanism() {
    let _test = test!();
    let directory = scratch();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let queue = format!("/{}", unique_name());
    let _cleanup = defer(|| {
        let _ = mq::unlink(&queue);
    });
    for threads in [0, 2] {
        let name = unique_name();
        run(threads, async {
            for (text, narrow) in [
                (format!("unix:@{name}-s"), "?capacity=4096"),
                (format!("unix-seqpacket:@{name}-p"), "?capacity=4096"),
                (format!("unix-dgram:{}", path("d")), ""),
                (format!("unix:@{name}-z?capacity=0"), ""),
                (format!("unix-seqpacket:@{name}-y?capacity=0"), ""),
                (format!("fifo:{}?create&capacity=4096", path("f")), ""),
                (format!("posix-mq:{queue}?create"), ""),
            ] {
                let receiver = AsyncReceiver::new(receiver(&text)).unwrap();
                let sender = AsyncSender::new(sender(&format!("{text}{narrow}"))).unwrap();
                trial(sender, receiver, 3000, 40, &text).await;
            }
        });
    }
}

#[test]
fn long_messages_are_dropped_in_the_middle_of_a_frame() {
    let _test = test!();
    for threads in [0, 2] {
        let name = unique_name();
        run(threads, async {
            let (into, out_of) = Opening::new(&address("pipe:?capacity=4096")).pair().unwrap();
            let (into, out_of) = (AsyncSender::new(into).unwrap(), AsyncReceiver::new(out_of).unwrap());
            trial(into, out_of, 200, 100_000, "pipe").await;
            for (text, narrow) in
                [(format!("unix:@{name}-s"), "?capacity=4096"), (format!("unix:@{name}-z?capacity=0"), "")]
            {
                let receiver = AsyncReceiver::new(receiver(&text)).unwrap();
                let sender = AsyncSender::new(sender(&format!("{text}{narrow}"))).unwrap();
                trial(sender, receiver, 200, 300_000, &text).await;
            }
        });
    }
}

#[test]
fn a_dropped_accept_loses_no_connection() {
    let _test = test!();
    for scheme in ["unix", "unix-seqpacket", "tcp"] {
        let text = match scheme {
            "tcp" => "tcp:127.0.0.1:0".to_owned(),
            _ => format!("{scheme}:@{}", unique_name()),
        };
        run(2, async {
            let mut listener = AsyncListener::new(Listener::open(&address(&text)).unwrap()).unwrap();
            let endpoint = listener.get_ref().address().unwrap().to_string();
            let connecting = ::tokio::task::spawn_blocking(move || {
                let connect = |number: u32| {
                    let mut client = Duplex::open(&address(&endpoint)).unwrap();
                    client.send(&number.to_le_bytes()).unwrap();
                    client
                };
                (0..200).map(connect).collect::<Vec<_>>()
            });
            let (mut dice, mut drops) = (Dice(3), 0);
            for number in 0..200_u32 {
                let mut client = loop {
                    if let Some(client) = dice.try_out(&mut drops, listener.accept()).await {
                        break client.unwrap();
                    }
                };
                assert_eq!(client.receive().await.unwrap().bytes(), number.to_le_bytes());
            }
            drop(connecting.await.unwrap());
        });
    }
}
