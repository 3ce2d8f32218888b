//! Two processes that know nothing of each other but their process group.

use rustix::process::{Pid, setpgid};
use twixt_os::signal::{Cause, Signal, SignalSet, Target, kill, this_process};
use twixt_testkit::test;

const ROUNDS: u32 = 100;

#[test]
fn ping_pong_through_the_process_group() {
    let test = test!();
    let all = SignalSet::from([Signal::USR1, Signal::USR2, Signal::QUIT]);
    test.role("server", |peer| {
        setpgid(None, None).unwrap();
        peer.say("ready");
        let mut pings = 0;
        while (all - Signal::USR1.into()).wait().unwrap().signal() == Signal::USR2 {
            pings += 1;
            kill(Target::OwnGroup, Signal::USR1).unwrap();
        }
        peer.say(&format!("{pings} pings"));
    });
    test.role("client", |peer| {
        let group = Pid::from_raw(peer.arg(0).parse().unwrap());
        setpgid(None, group).unwrap();
        for _ in 0..ROUNDS {
            kill(Target::OwnGroup, Signal::USR2).unwrap();
            let pong = SignalSet::from(Signal::USR1).wait().unwrap();
            assert!(matches!(pong.cause(), Cause::User { sender } if sender.pid == group));
        }
        kill(Target::OwnGroup, Signal::QUIT).unwrap();
        // The group is the sender's too.
        let own = SignalSet::from(Signal::QUIT).wait().unwrap();
        assert_eq!(own.pid(), Some(this_process()));
    });
    // What `trap "" USR1 USR2 QUIT` does in a shell, in a way that keeps the signals for whoever waits.
    let blocked = ["env", "--block-signal=USR1,USR2,QUIT"];
    let mut server = test.child("server").under(&blocked).spawn();
    server.expect("ready");
    let client = test.child("client").arg(server.pid()).under(&blocked).spawn();
    client.succeed();
    server.expect("100 pings");
    server.succeed();
}

#[test]
fn a_group_is_signalled_from_outside() {
    let test = test!();
    test.role("member", |peer| {
        let group = Pid::from_raw(peer.arg(0).parse().unwrap_or(0));
        setpgid(None, group).unwrap();
        peer.say("ready");
        let info = SignalSet::from(Signal::USR1).wait().unwrap();
        peer.say(&info.pid().unwrap().as_raw_nonzero().to_string());
    });
    let blocked = ["env", "--block-signal=USR1"];
    let mut first = test.child("member").arg("none").under(&blocked).spawn();
    first.expect("ready");
    let mut second = test.child("member").arg(first.pid()).under(&blocked).spawn();
    second.expect("ready");
    kill(Target::from_raw(-first.pid()).unwrap(), Signal::USR1).unwrap();
    for mut member in [first, second] {
        member.expect(&std::process::id().to_string());
        member.succeed();
    }
}
