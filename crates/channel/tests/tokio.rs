//! Asynchronous channels: what arrives, what is refused, and how they end.

#[path = "support/channels.rs"]
mod support;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::Duration;

use ::tokio::time::timeout;
use futures_core::Stream;
use futures_sink::Sink;
use rustix::process::getpid;
use support::*;
use twixt_channel::tokio::{AsyncDuplex, AsyncListener, AsyncReceiver, AsyncSender};
use twixt_channel::{Attributes, Duplex, Listener, Message, Opening, Receiver, Sender, direct};
use twixt_os::fifo::Fifo;
use twixt_os::posix::mq;
use twixt_os::{ErrorKind, Mode, Wait};
use twixt_testkit::{defer, scratch, test, unique_name};

fn run(future: impl Future<Output = ()>) {
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(80), future).await.expect("no hang") });
}

fn pipe() -> (AsyncSender, AsyncReceiver) {
    let (sender, receiver) = Opening::new(&address("pipe:")).pair().unwrap();
    (AsyncSender::new(sender).unwrap(), AsyncReceiver::new(receiver).unwrap())
}

async fn next(receiver: &mut AsyncReceiver) -> Option<twixt_os::Result<Message>> {
    poll_fn(|context| Pin::new(&mut *receiver).poll_next(context)).await
}

#[test]
fn messages_go_through_everything_that_can_be_polled() {
    let _test = test!();
    let directory = scratch();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let queue = format!("/{}", unique_name());
    let _cleanup = defer(|| {
        let _ = mq::unlink(&queue);
    });
    let name = unique_name();
    run(async {
        for text in [
            format!("unix:@{name}-s"),
            format!("unix-seqpacket:@{name}-p"),
            format!("unix-dgram:{}", path("d")),
            format!("unix:{}?capacity=0", path("z")),
            format!("unix-seqpacket:{}?capacity=0", path("y")),
            format!("fifo:{}?create", path("f")),
            format!("posix-mq:{queue}?create"),
        ] {
            let mut receiver = AsyncReceiver::new(receiver(&text)).unwrap();
            let mut sender = AsyncSender::new(sender(&text)).unwrap();
            let sending = ::tokio::spawn(async move {
                for number in 0..2000_u32 {
                    sender.send(&number.to_le_bytes()).await.unwrap();
                }
                sender.flush().await.unwrap();
                sender
            });
            let mut message = Message::new();
            for number in 0..2000_u32 {
                receiver.receive_into(&mut message).await.unwrap();
                assert_eq!(message.bytes(), number.to_le_bytes(), "{text}");
            }
            drop(sending.await.unwrap());
        }
    });
}

#[test]
fn what_cannot_be_watched_is_refused_by_name() {
    let _test = test!();
    let queue = twixt_os::sysv::msg::Queue::create(twixt_os::sysv::Key::PRIVATE, Mode::OWNER).unwrap();
    let queue = queue.remove_on_drop();
    let queue = format!("sysv-msg:id={}", queue.id());
    run(async {
        let refused = AsyncSender::new(sender(&queue)).map(drop);
        refusal(refused, ErrorKind::Unsupported, &["System V message queue", "no descriptor"]);
        let refused = AsyncReceiver::new(receiver(&queue)).map(drop);
        refusal(refused, ErrorKind::Unsupported, &["no descriptor"]);
    });
    let (sender, receiver) = Opening::new(&address("pipe:")).pair().unwrap();
    refusal(AsyncSender::new(sender).map(drop), ErrorKind::InvalidInput, &["no tokio runtime"]);
    refusal(AsyncReceiver::new(receiver).map(drop), ErrorKind::InvalidInput, &["no tokio runtime"]);
}

#[test]
fn a_file_is_followed_and_a_lock_on_it_waited_for() {
    let _test = test!();
    let directory = scratch();
    let path = directory.path().join("log");
    let text = format!("file:{}?create", path.display());
    run(async {
        let mut sender = AsyncSender::new(sender(&format!("{text}&budget=1000000"))).unwrap();
        let mut receiver = AsyncReceiver::new(receiver(&text)).unwrap();
        for number in 0..100_u32 {
            let lock = std::fs::File::open(&path).unwrap();
            lock.lock().unwrap();
            let unlocking = ::tokio::spawn(async move {
                ::tokio::time::sleep(Duration::from_millis(1)).await;
                drop(lock);
            });
            sender.send(number.to_string().as_bytes()).await.unwrap();
            assert_eq!(receiver.receive().await.unwrap().bytes(), number.to_string().as_bytes());
            unlocking.await.unwrap();
        }
        // Another file takes the name, which is another thing to watch.
        for round in 0..3_u8 {
            std::fs::rename(&path, directory.path().join(format!("old{round}"))).unwrap();
            std::fs::write(&path, "").unwrap();
            refusal(receiver.receive().await, ErrorKind::Removed, &[]);
            assert!(timeout(Duration::from_millis(5), receiver.receive()).await.is_err());
            let receiving = async { receiver.receive().await.unwrap().bytes().to_vec() };
            let appending = async {
                ::tokio::task::yield_now().await;
                append(&path, &format!("round {round}\n"));
            };
            let (received, ()) = ::tokio::join!(receiving, appending);
            assert_eq!(received, format!("round {round}").as_bytes());
        }
    });
}

fn append(path: &std::path::Path, text: &str) {
    use std::io::Write;
    let mut file = std::fs::File::options().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn the_stream_ends_with_the_senders_and_the_sink_sends_all() {
    let _test = test!();
    run(async {
        let (mut sender, mut receiver) = pipe();
        let sending = ::tokio::spawn(async move {
            for number in 0..100_u32 {
                poll_fn(|context| Pin::new(&mut sender).poll_ready(context)).await.unwrap();
                // Far more than the pipe holds.
                let message = number.to_le_bytes().repeat(10_000);
                Pin::new(&mut sender).start_send(message).unwrap();
            }
            poll_fn(|context| Pin::new(&mut sender).poll_close(context)).await.unwrap();
            refusal(sender.send(b"more").await, ErrorKind::InvalidInput, &["closed"]);
            poll_fn(|context| Pin::new(&mut sender).poll_close(context)).await.unwrap();
            assert!(sender.get_ref().is_none());
        });
        for number in 0..100_u32 {
            let message = next(&mut receiver).await.unwrap().unwrap();
            assert_eq!(message.bytes(), number.to_le_bytes().repeat(10_000));
        }
        assert!(next(&mut receiver).await.is_none());
        assert!(next(&mut receiver).await.is_none(), "it stays ended");
        sending.await.unwrap();
    });
}

#[test]
fn a_sink_takes_one_message_more_than_the_channel_and_keeps_the_order() {
    let _test = test!();
    run(async {
        let (mut sender, mut receiver) = pipe();
        let mut sent = 0_u32;
        while !sender.get_ref().unwrap().holds_back() && sent < 1000 {
            Pin::new(&mut sender).start_send(vec![sent as u8; 5000]).unwrap();
            sent += 1;
        }
        // The one that is kept in part, and one that is kept whole.
        Pin::new(&mut sender).start_send(vec![sent as u8; 5000]).unwrap();
        sent += 1;
        let refused = Pin::new(&mut sender).start_send(vec![0; 5000]);
        refusal(refused, ErrorKind::InvalidInput, &["poll_ready"]);
        let receiving = async {
            for number in 0..=sent {
                assert_eq!(receiver.receive().await.unwrap().bytes(), vec![number as u8; 5000]);
            }
        };
        // A send waits for what the sink has taken before.
        let sending = async {
            sender.send(&vec![sent as u8; 5000]).await.unwrap();
            sender.flush().await.unwrap();
        };
        ::tokio::join!(receiving, sending);
    });
}

#[test]
fn a_receiver_of_a_fifo_waits_for_the_next_writer_after_an_end() {
    let _test = test!();
    let directory = scratch();
    let path = directory.path().join("fifo");
    Fifo::create(&path, Mode::OWNER).unwrap();
    let text = format!("fifo:{}", path.display());
    run(async {
        let mut receiver = AsyncReceiver::new(receiver(&text)).unwrap();
        for round in 0..10_u8 {
            let text = text.clone();
            let sending = ::tokio::task::spawn_blocking(move || sender(&text).send(&[round]).unwrap());
            assert_eq!(receiver.receive().await.unwrap().bytes(), [round]);
            refusal(receiver.receive().await, ErrorKind::PeerGone, &[]);
            // Nobody is there: it sleeps, and does not spin.
            assert!(timeout(Duration::from_millis(5), receiver.receive()).await.is_err());
            sending.await.unwrap();
        }
    });
}

#[test]
fn a_peer_that_goes_wakes_a_receiver_and_a_sender() {
    let _test = test!();
    run(async {
        let (sender, mut receiver) = pipe();
        let receiving = ::tokio::spawn(async move { kind(receiver.receive().await) });
        ::tokio::task::yield_now().await;
        drop(sender);
        assert_eq!(receiving.await.unwrap(), ErrorKind::PeerGone);

        let (mut sender, receiver) = pipe();
        let sending = ::tokio::spawn(async move {
            loop {
                if let Err(error) = sender.send(&[0; 9000]).await {
                    return error.kind();
                }
            }
        });
        for _ in 0..10 {
            ::tokio::task::yield_now().await;
        }
        drop(receiver);
        assert_eq!(sending.await.unwrap(), ErrorKind::PeerGone);
    });
}

#[test]
fn a_listener_accepts_and_a_duplex_passes_on_a_request_while_it_waits_for_the_answer() {
    let _test = test!();
    for scheme in ["unix", "unix-seqpacket"] {
        let text = format!("{scheme}:@{}", unique_name());
        run(async {
            let mut listener = AsyncListener::new(Listener::open(&address(&text)).unwrap()).unwrap();
            assert!(timeout(Duration::from_millis(5), listener.accept()).await.is_err());
            let len = if scheme == "unix" { 5 << 20 } else { 50_000 };
            let serving = ::tokio::spawn(async move {
                let mut served = 0;
                let mut client = listener.accept().await.unwrap();
                while let Ok(request) = client.receive().await {
                    client.send(request.bytes()).await.unwrap();
                    client.flush().await.unwrap();
                    served += 1;
                }
                served
            });
            let mut client = AsyncDuplex::new(Duplex::open(&address(&text)).unwrap()).unwrap();
            for round in 0..5_u8 {
                client.send(&vec![round; len]).await.unwrap();
                assert_eq!(client.receive().await.unwrap().bytes(), vec![round; len]);
            }
            client.close().await.unwrap();
            assert_eq!(kind(client.receive().await), ErrorKind::PeerGone);
            assert_eq!(serving.await.unwrap(), 5);
        });
    }
}

#[test]
fn tasks_share_a_queue_and_each_message_goes_to_one() {
    let _test = test!();
    let queue = format!("/{}", unique_name());
    let text = format!("posix-mq:{queue}?create");
    let _cleanup = defer(|| {
        let _ = mq::unlink(&queue);
    });
    let runtime =
        ::tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let receiving: Vec<_> = (0..4)
            .map(|_| {
                let mut receiver = AsyncReceiver::new(receiver(&text)).unwrap();
                ::tokio::spawn(async move {
                    let mut numbers = Vec::new();
                    loop {
                        let message = receiver.receive().await.unwrap();
                        if message.is_empty() {
                            return numbers;
                        }
                        numbers.push(u32::from_le_bytes(message.bytes().try_into().unwrap()));
                    }
                })
            })
            .collect();
        let sending: Vec<_> = (0..4_u32)
            .map(|part| {
                let mut sender = AsyncSender::new(sender(&text)).unwrap();
                ::tokio::spawn(async move {
                    for number in 0..1000_u32 {
                        sender.send(&(part * 1000 + number).to_le_bytes()).await.unwrap();
                    }
                })
            })
            .collect();
        for task in sending {
            task.await.unwrap();
        }
        let mut last = AsyncSender::new(sender(&text)).unwrap();
        for _ in 0..4 {
            last.send(b"").await.unwrap();
        }
        let mut all = Vec::new();
        for task in receiving {
            all.extend(timeout(Duration::from_secs(60), task).await.unwrap().unwrap());
        }
        all.sort_unstable();
        assert_eq!(all, (0..4000).collect::<Vec<u32>>());
    });
}

#[test]
fn a_channel_that_is_always_ready_lets_other_tasks_run() {
    let _test = test!();
    run(async {
        let (mut sender, mut receiver) = pipe();
        let timer = ::tokio::spawn(::tokio::time::sleep(Duration::from_millis(20)));
        // Each send finds room and each receive a message: neither ever sleeps.
        while !timer.is_finished() {
            sender.send(b"again").await.unwrap();
            receiver.receive().await.unwrap();
        }
    });
}

#[test]
fn processes_that_name_each_other_do_so_asynchronously_too() {
    let test = test!();
    test.role("echo", |peer| {
        let parent: i32 = peer.arg(0).parse().unwrap();
        run(async {
            let mut inbox = AsyncReceiver::new(direct::inbox().unwrap()).unwrap();
            let mut sender = AsyncSender::new(direct::send_to(parent).unwrap()).unwrap();
            for _ in 0..300 {
                let message = inbox.receive().await.unwrap();
                sender.send(message.bytes()).await.unwrap();
            }
            sender.flush().await.unwrap();
        });
    });
    let child = test.child("echo").arg(std::process::id()).spawn();
    run(async {
        let mut sender = AsyncSender::new(direct::send_to(child.pid()).unwrap()).unwrap();
        let mut receiver = AsyncReceiver::new(direct::receive_from(child.pid()).unwrap()).unwrap();
        let sending = ::tokio::spawn(async move {
            for number in 0..300_u32 {
                sender.send(&number.to_le_bytes().repeat(1000)).await.unwrap();
            }
            sender.flush().await.unwrap();
            sender
        });
        for number in 0..300_u32 {
            let message = next(&mut receiver).await.unwrap().unwrap();
            assert_eq!(message.bytes(), number.to_le_bytes().repeat(1000));
        }
        assert!(next(&mut receiver).await.is_none());
        let mut sender = sending.await.unwrap();
        child.succeed();
        // Its death wakes a sender that waits for room, and a receiver.
        let error = loop {
            if let Err(error) = sender.send(&[0; 1000]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::PeerGone);
        assert_eq!(kind(receiver.receive().await), ErrorKind::PeerGone);
    });
}

#[test]
fn descriptors_and_credentials_come_along() {
    let _test = test!();
    let text = format!("unix-seqpacket:@{}", unique_name());
    run(async {
        use std::os::fd::AsFd;
        let mut receiver = AsyncReceiver::new(receiver(&text)).unwrap();
        let mut sender = AsyncSender::new(Sender::open(&address(&text)).unwrap()).unwrap();
        let (reading, writing) = std::io::pipe().unwrap();
        let passed = [writing.as_fd()];
        sender.send_with(b"take this", &Attributes::new().descriptors(&passed)).await.unwrap();
        let message = receiver.receive().await.unwrap();
        assert_eq!(message.descriptors().len(), 1);
        assert_eq!(message.credentials().unwrap().pid, Some(getpid()));
        drop(reading);
        let _ = receiver.get_mut().receive_wait(&mut Message::new(), Wait::never());
        let _: Receiver = receiver.into_inner();
    });
}
