//! POSIX message queues: C programs at the other end.

use twixt_os::posix::mq::{Access, Limits, Priority, Queue};
use twixt_os::{Mode, Wait};
use twixt_testkit::{Child, call, compile_c, defer, scratch, test, unique_name};

const SMALL: Limits = Limits { max_messages: 4, message_size: 32 };

const RECEIVER: &str = r#"
#include <mqueue.h>
#include <stdio.h>
int main(int argc, char **argv) {
    mqd_t queue = mq_open(argv[1], O_RDONLY);
    struct mq_attr attributes;
    mq_getattr(queue, &attributes);
    printf("%ld of %ld\n", attributes.mq_maxmsg, attributes.mq_msgsize);
    fflush(stdout);
    char text[32];
    unsigned priority;
    ssize_t length;
    while ((length = mq_receive(queue, text, sizeof text, &priority)) > 0) {
        printf("%u %.*s\n", priority, (int)length, text);
        fflush(stdout);
    }
    return length != 0;
}
"#;

#[test]
fn a_c_program_receives_what_is_sent_here() {
    let _test = test!();
    let directory = scratch();
    let receiver = compile_c(directory.path(), "receiver", RECEIVER, &["rt"]);
    let name = format!("/{}", unique_name());
    let queue = Queue::create(&name, Access::Write, SMALL, Mode::OWNER).unwrap();
    let _guard = queue.unlink_on_drop().unwrap();
    let send = |text: &str, priority| queue.send(text.as_bytes(), Priority::new(priority).unwrap()).unwrap();
    send("low", 3);
    send("high", 32_767);
    let mut receiver = Child::program(&receiver, &[&name]);
    let mut line = || receiver.line().unwrap();
    assert_eq!(line(), "4 of 32");
    assert_eq!(line(), "32767 high");
    assert_eq!(line(), "3 low");
    receiver.wait_until_blocked_in(&[call::MQ_RECEIVE]);
    send("woken", 0);
    assert_eq!(receiver.line().unwrap(), "0 woken");
    send("", 0);
    receiver.succeed();
}

const SENDER: &str = r#"
#include <mqueue.h>
#include <string.h>
int main(int argc, char **argv) {
    struct mq_attr attributes = { .mq_maxmsg = 2, .mq_msgsize = 16 };
    mqd_t queue = mq_open(argv[1], O_CREAT | O_EXCL | O_WRONLY, 0600, &attributes);
    for (int index = 2; index < argc; index++)
        if (mq_send(queue, argv[index], strlen(argv[index]), index))
            return 1;
    return 0;
}
"#;

#[test]
fn what_a_c_program_sends_is_received_here() {
    let _test = test!();
    let directory = scratch();
    let sender = compile_c(directory.path(), "sender", SENDER, &["rt"]);
    let name = format!("/{}", unique_name());
    let _clean = defer(|| drop(twixt_os::posix::mq::unlink(&name)));
    // The third finds the queue full and waits.
    let sender = Child::program(&sender, &[&name, "one", "two", "three"]);
    sender.wait_until_blocked_in(&[call::MQ_SEND]);
    let queue = Queue::open(&name, Access::Read).unwrap();
    assert_eq!(queue.status().unwrap().limits, Limits { max_messages: 2, message_size: 16 });
    let receive = || {
        let (text, priority) = queue.receive_vec(Wait::forever()).unwrap();
        (String::from_utf8(text).unwrap(), priority.get())
    };
    assert_eq!(receive(), ("two".into(), 3));
    let mut rest = [receive(), receive()];
    rest.sort();
    assert_eq!(rest, [("one".into(), 2), ("three".into(), 4)]);
    sender.succeed();
}

const REGISTRANT: &str = r#"
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
int main(int argc, char **argv) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    mqd_t queue = mq_open(argv[1], O_RDONLY);
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
    event.sigev_value.sival_int = 42;
    if (mq_notify(queue, &event))
        return 1;
    puts("registered");
    fflush(stdout);
    siginfo_t info;
    sigwaitinfo(&set, &info);
    printf("%d %d %d\n", info.si_code == SI_MESGQ, info.si_value.sival_int, info.si_pid);
    return 0;
}
"#;

#[test]
fn a_c_program_is_notified_of_what_is_sent_here() {
    let _test = test!();
    let directory = scratch();
    let registrant = compile_c(directory.path(), "registrant", REGISTRANT, &["rt"]);
    let name = format!("/{}", unique_name());
    let queue = Queue::create(&name, Access::Write, SMALL, Mode::OWNER).unwrap();
    let _guard = queue.unlink_on_drop().unwrap();
    let mut registrant = Child::program(&registrant, &[&name]);
    assert_eq!(registrant.line().unwrap(), "registered");
    assert_eq!(queue.notify_silently().unwrap_err().kind(), twixt_os::ErrorKind::Busy);
    queue.send(b"x", Priority::LOWEST).unwrap();
    assert_eq!(registrant.line().unwrap(), format!("1 42 {}", std::process::id()));
    registrant.succeed();
}
