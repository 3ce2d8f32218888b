//! `host:port` and `proto@host`.

use super::At;
use crate::error::{Fault, shown};
use crate::number::integer;
use crate::percent::mended;
use crate::{Endpoint, Host, HostPort, ValueError};

pub(super) fn host_port(rest: At<'_>) -> Result<HostPort, Fault> {
    let (scheme, text) = (rest.scheme.name, rest.text());
    let right = || format!("the address is {}", rest.scheme.form);
    if let Some(stripped) = text.strip_prefix("//") {
        let slashes = rest.on(rest.part.slice(0..2));
        let error = ValueError::new("two slashes stand before the host", right());
        let peer = stripped.trim_end_matches('/');
        let port = if peer.contains(':') { "" } else { ":7000" };
        return Err(slashes.fault_like(error, format!("{scheme}:{peer}{port}")));
    }
    if text.is_empty() {
        return Err(rest.fault(ValueError::new("host and port are missing", right())));
    }
    let (host, port) = if text.starts_with('[') {
        let (host, after) = bracketed(rest)?;
        if !after.text().starts_with(':') {
            let example = format!("{scheme}:{host}:7000");
            return Err(after.fault_like(no_port(after.text(), &format!("after {host}")), example));
        }
        (host, after.on(after.part.slice(1..after.text().len())))
    } else {
        let Some((host, port)) = rest.part.rsplit_once(':') else {
            if text.bytes().all(|byte| byte.is_ascii_digit()) {
                let error = ValueError::new(format!("host is missing before port {text}"), right());
                return Err(rest.fault_like(error, format!("{scheme}:localhost:{text}")));
            }
            let error = no_port("", &format!("after host {}", shown(text)));
            return Err(rest.on(rest.part.end()).fault_like(error, format!("{scheme}:{text}:7000")));
        };
        let host = rest.on(host);
        if host.text().contains(':') {
            let why = format!("host {} has a colon", shown(host.text()));
            let error = ValueError::new(why, "an IPv6 address stands in brackets");
            let example = format!("{scheme}:[{}]:{}", host.text(), port.text);
            return Err(host.fault_like(error, example));
        }
        if host.text().is_empty() {
            let right = "0.0.0.0 and [::] are all addresses of this machine";
            let example = format!("{scheme}:localhost:{}", port.text);
            return Err(host.fault_like(ValueError::new("host is missing", right), example));
        }
        (host.read(|text| Host::new(text))?, rest.on(port))
    };
    let port = integer("port", port.text(), 0, u16::MAX)
        .map_err(|error| port.fault_like(error, format!("{scheme}:{host}:7000")))?;
    Ok(HostPort { host, port })
}

fn no_port(found: &str, place: &str) -> ValueError {
    let why = if found.is_empty() {
        format!("port is missing {place}")
    } else {
        format!("{} stands {place} instead of a port", shown(found))
    };
    ValueError::new(why, "a colon and a port, 0 to 65535, follow the host")
}

/// The host in brackets at the beginning, and what follows them.
fn bracketed(rest: At<'_>) -> Result<(Host, At<'_>), Fault> {
    let (scheme, text) = (rest.scheme.name, rest.text());
    let right = "only an IPv6 address stands in brackets";
    let Some(close) = text.find(']') else {
        let error = ValueError::new("the bracket is not closed", right);
        return Err(rest.fault_like(error, format!("{scheme}:[::1]:7000")));
    };
    let inside = rest.on(rest.part.slice(1..close));
    let after = rest.on(rest.part.slice(close + 1..text.len()));
    // A zone's % is written %25.
    let host = inside
        .decoded_text(Host::new)
        .map_err(|fault| fault.like(format!("{scheme}:[{}]{}", mended(inside.text()), after.text())))?;
    if host.is_ipv6() {
        return Ok((host, after));
    }
    let error = ValueError::new(format!("{host} stands in brackets"), right);
    Err(inside.fault_like(error, format!("{scheme}:{host}{}", after.text())))
}

pub(super) fn raw(rest: At<'_>) -> Result<Endpoint, Fault> {
    let Some((protocol, host)) = rest.part.split_once('@') else {
        let right = "a protocol, an @ and a host follow raw:";
        if rest.text().is_empty() {
            return Err(rest.fault(ValueError::new("protocol and host are missing", right)));
        }
        let error = ValueError::new(format!("{} has no @", shown(rest.text())), right);
        return Err(rest.fault_like(error, format!("raw:{}@localhost", rest.text())));
    };
    let protocol = rest.on(protocol).read(str::parse)?;
    let host = rest.on(host);
    // No port follows, so the brackets may be left out.
    if !host.text().starts_with('[') {
        let like = |fault: Fault| fault.like(format!("raw:{protocol}@{}", mended(host.text())));
        let host = host.decoded_text(Host::new).map_err(like)?;
        return Ok(Endpoint::Raw { protocol, host });
    }
    let (host, after) = bracketed(host)?;
    if after.text().is_empty() {
        return Ok(Endpoint::Raw { protocol, host });
    }
    let error =
        ValueError::new(format!("{} follows the host", shown(after.text())), "a raw socket has no port");
    Err(after.fault_like(error, format!("raw:{protocol}@{host}")))
}
