//! The examples of calls, run as a user runs them.

use twixt_testkit::{Child, test, unique_name};

const ANSWERS: [&str; 5] = [
    "84 / 2 = Ok(42)",
    "7 / 2 = Ok(3), 1 / 0 = Err(\"1 cannot be divided by 0\")",
    "prime: 1009",
    "prime: 1013",
    "prime: 1019",
];

fn lines(child: &mut Child) -> Vec<String> {
    std::iter::from_fn(|| child.line()).collect()
}

#[test]
fn rpc() {
    let _test = test!();
    let scratch = twixt_testkit::scratch();
    for address in [
        format!("unix:@{}", unique_name()),
        format!("unix-seqpacket:@{}", unique_name()),
        "tcp:127.0.0.1:0".to_owned(),
        format!("mmap:{}?create", scratch.path().join("ring").display()),
    ] {
        let mut server = Child::program(env!("CARGO_BIN_EXE_rpc-server"), &[&address]);
        let line = server.line().expect("the server says that it is ready");
        let at = line.strip_prefix("listening at ").unwrap_or_else(|| panic!("{line:?}"));
        let mut client = Child::program(env!("CARGO_BIN_EXE_rpc-client"), &[at]);
        assert_eq!(lines(&mut client), ANSWERS, "{address}");
        client.succeed();
        assert_eq!(lines(&mut server), ["the client has gone: Closed"]);
        server.succeed();
    }
}

#[test]
fn rpc_over_standard_input_and_output() {
    let _test = test!();
    let address = format!("exec:{} -?framing=frame", env!("CARGO_BIN_EXE_rpc-server"));
    let mut client = Child::program(env!("CARGO_BIN_EXE_rpc-client"), &[&address]);
    assert_eq!(lines(&mut client), ANSWERS);
    client.succeed();
}
