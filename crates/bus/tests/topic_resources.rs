//! What a topic takes of memory, and that messages take nothing more.

use std::os::unix::fs::MetadataExt;

use twixt_os::Wait;
use twixt_testkit::{strace, test};

#[path = "support/topics.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod topics;

use topics::Topic;

/// KiB of the files below a path that are resident in this process.
fn resident(path: &str) -> u64 {
    let (mut sum, mut is_ours) = (0, false);
    for line in std::fs::read_to_string("/proc/self/smaps").unwrap().lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap();
        if !first.ends_with(':') {
            is_ours = line.contains(path);
        } else if is_ours && first == "Rss:" {
            sum += words.next().unwrap().parse::<u64>().unwrap();
        }
    }
    sum
}

#[test]
fn a_topic_takes_little_memory_and_an_idle_one_next_to_none() {
    // Where buses are: another file system has more pages at a time mapped.
    let bus = twixt_testkit::bus();
    let topic = Topic::at(bus.path());
    let _ends = (topic.subscriber(), topic.publisher());
    let directory = topic.directory();
    let files = std::fs::read_dir(&directory).unwrap();
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().blocks() * 512).sum();
    assert!(bytes > 1 << 20 && bytes < 2 << 20, "{bytes}");
    let resident = resident(&directory.display().to_string());
    assert!(resident > 0 && resident < 100, "{resident} KiB");
}

#[test]
fn a_message_makes_no_system_call_while_nobody_sleeps() {
    let test = test!();
    test.role("both", |peer| {
        let topic = Topic::new();
        let (mut subscriber, publisher) = (topic.subscriber(), topic.publisher());
        for _ in 0..peer.arg(0).parse().unwrap() {
            publisher.publish_wait(&[7; 64], Wait::never()).unwrap();
            subscriber.try_receive().unwrap().read_words(|_| ()).unwrap();
        }
    });
    // `cost` asks for 100 rounds, and for 200.
    match strace::cost(|rounds| test.child("both").arg(2_000 * rounds)) {
        Err(missing) => test.skip(&missing),
        Ok(calls) => {
            let calls: u64 = calls.values().sum();
            // Now and then somebody looks who has died: by the clock, and not for each message, nor for every twentieth.
            assert!(calls < 200_000 / 20, "{calls} for 200,000 messages");
        }
    }
}
