//! Any packet either is an echo that is written back to the same bytes, or is malformed by name.

#![no_main]

use libfuzzer_sys::fuzz_target;
use twixt_os::net::icmp::{Echo, ipv4_payload};
use twixt_os::net::raw::IpVersion;

fuzz_target!(|packet: &[u8]| {
    if let Ok(inner) = ipv4_payload(packet) {
        let _ = inner;
    }
    for version in [IpVersion::V4, IpVersion::V6] {
        if let Ok((kind, echo)) = Echo::parse(version, packet) {
            let mut written = vec![0; packet.len()];
            assert_eq!(echo.write(version, kind, &mut written), Some(packet.len()));
            assert_eq!(Echo::parse(version, &written), Ok((kind, echo)));
        }
    }
});
