//! `[router]`, `[originate]`, `[[aggregate]]`, `[fib]`, `[api]`, `[metrics]`, `[log]`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use toml::de::DeValue;

use crate::model::{Api, Fib, Log, LogFormat, Metrics, Multipath, Router, StrongSwan};
use crate::report::{Sink, Wrong};

use super::section::Section;
use super::value;

pub(crate) fn router(root: &mut Section<'_>, sink: &mut Sink<'_>) -> Option<Router> {
    let example = "[router] with name, asn and id";
    let mut section = root.required_table(sink, "router", example)?;
    let name = section.required(sink, "name", "name = \"nva-oci-1\"", router_name);
    let asn = section.required(sink, "asn", "asn = 65010", value::asn);
    let id = section.required(sink, "id", "id = \"10.10.0.4\"", value::router_id);
    let listen = if section.has("listen") {
        section.list(
            sink,
            "listen",
            "[\"0.0.0.0:179\", \"[::]:179\"]",
            value::socket,
        )
    } else {
        default_listen()
    };
    let cluster_id = section.optional(sink, "cluster-id", value::router_id);
    let multipath = multipath(&mut section, sink);
    let always_compare_med = section.or(sink, "always-compare-med", false, value::boolean);
    section.finish(sink);
    Some(Router {
        name: name?,
        asn: asn?,
        id: id?,
        listen,
        cluster_id,
        multipath,
        always_compare_med,
    })
}

fn multipath(section: &mut Section<'_>, sink: &mut Sink<'_>) -> Multipath {
    let usual = Multipath::default();
    let example = "multipath = { ebgp = 4 }";
    let Some(mut table) = section.table(sink, "multipath", example) else {
        return usual;
    };
    let paths = |v: &DeValue<'_>| value::integer(v, 1..=8);
    let multipath = Multipath {
        ebgp: table.or(sink, "ebgp", usual.ebgp, paths),
        ibgp: table.or(sink, "ibgp", usual.ibgp, paths),
        relax_as_path: table.or(sink, "relax-as-path", usual.relax_as_path, value::boolean),
    };
    table.finish(sink);
    multipath
}

fn default_listen() -> Vec<SocketAddr> {
    vec![
        (Ipv4Addr::UNSPECIFIED, 179).into(),
        (Ipv6Addr::UNSPECIFIED, 179).into(),
    ]
}

fn router_name(value: &DeValue<'_>) -> Result<String, Wrong> {
    let name = value::text(value)?;
    let length = name.chars().count();
    if length <= 64 {
        return Ok(name);
    }
    Err(Wrong::new(
        "name.invalid",
        format!("this name has {length} characters"),
        "use at most 64",
    ))
}

pub(crate) fn originate(root: &mut Section<'_>, sink: &mut Sink<'_>) -> Vec<IpNet> {
    let Some(mut section) = root.table(sink, "originate", "[originate]") else {
        return Vec::new();
    };
    let prefixes = section.list(sink, "prefixes", "[\"10.10.0.0/16\"]", value::prefix);
    section.finish(sink);
    prefixes
}

pub(crate) fn fib(root: &mut Section<'_>, sink: &mut Sink<'_>) -> Fib {
    let mut fib = Fib {
        install: true,
        table: 254,
        metric: 20,
        resolve_via_default: false,
    };
    if let Some(mut section) = root.table(sink, "fib", "[fib]") {
        fib.install = section.or(sink, "install", fib.install, value::boolean);
        fib.table = section.or(sink, "table", fib.table, table);
        fib.metric = section.or(sink, "metric", fib.metric, |v| {
            // The last one is that of routes that discard.
            value::integer(v, 1..=u32::MAX - 1)
        });
        let via_default = fib.resolve_via_default;
        fib.resolve_via_default =
            section.or(sink, "resolve-via-default", via_default, value::boolean);
        section.finish(sink);
    }
    fib
}

fn table(value: &DeValue<'_>) -> Result<u32, Wrong> {
    match value::integer(value, 1..=u32::MAX)? {
        255 => Err(Wrong::new(
            "fib.table",
            "table 255 is the kernel's own, for local addresses",
            "use 254 (main) or a table of your own, such as 100",
        )),
        table => Ok(table),
    }
}

pub(crate) fn strongswan(root: &mut Section<'_>, sink: &mut Sink<'_>) -> StrongSwan {
    let mut strongswan = StrongSwan {
        socket: PathBuf::from("/run/charon.vici"),
    };
    if let Some(mut section) = root.table(sink, "ipsec", "[ipsec]") {
        strongswan.socket = section.or(sink, "socket", strongswan.socket, socket_path);
        section.finish(sink);
    }
    strongswan
}

pub(crate) fn api(root: &mut Section<'_>, sink: &mut Sink<'_>) -> Api {
    let mut api = Api {
        socket: PathBuf::from("/run/skybridge/skybridge.sock"),
    };
    if let Some(mut section) = root.table(sink, "api", "[api]") {
        api.socket = section.or(sink, "socket", api.socket, socket_path);
        section.finish(sink);
    }
    api
}

/// `sun_path` of a Unix socket holds 108 bytes with its NUL.
fn socket_path(value: &DeValue<'_>) -> Result<PathBuf, Wrong> {
    let path = value::text(value)?;
    let message = match () {
        () if !path.starts_with('/') => format!("\"{path}\" is not an absolute path"),
        () if path.len() > 107 => {
            format!("this path has {} bytes, a socket's at most 107", path.len())
        }
        () => return Ok(PathBuf::from(path)),
    };
    Err(Wrong::new(
        "value.path",
        message,
        "write a path such as \"/run/skybridge/skybridge.sock\"",
    ))
}

pub(crate) fn metrics(root: &mut Section<'_>, sink: &mut Sink<'_>) -> Metrics {
    let mut metrics = Metrics {
        listen: Some((Ipv4Addr::LOCALHOST, 9179).into()),
    };
    if let Some(mut section) = root.table(sink, "metrics", "[metrics]") {
        metrics.listen = section.or(sink, "listen", metrics.listen, socket_or_off);
        section.finish(sink);
    }
    metrics
}

fn socket_or_off(value: &DeValue<'_>) -> Result<Option<SocketAddr>, Wrong> {
    if matches!(value, DeValue::String(text) if text == "off") {
        return Ok(None);
    }
    value::socket(value).map(Some).map_err(|mut wrong| {
        wrong.fix.push_str(", or \"off\"");
        wrong
    })
}

pub(crate) fn log(root: &mut Section<'_>, sink: &mut Sink<'_>) -> Log {
    let mut log = Log {
        level: "info".to_owned(),
        format: LogFormat::default(),
    };
    if let Some(mut section) = root.table(sink, "log", "[log]") {
        log.level = section.or(sink, "level", log.level, level);
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        log.format = section.or(sink, "format", log.format, |v| value::word(v, &formats));
        section.finish(sink);
    }
    log
}

/// `info`, or `info,bgp=debug`: a level for all, and exceptions for parts of the program.
fn level(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = value::text(value)?;
    let levels = ["error", "warn", "info", "debug", "trace", "off"];
    let is_target = |target: &str| {
        !target.is_empty()
            && target
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'))
    };
    let wrong = text
        .split(',')
        .map(str::trim)
        .find(|directive| match directive.split_once('=') {
            Some((target, level)) => !is_target(target) || !levels.contains(&level),
            None => !levels.contains(directive),
        });
    match wrong {
        None => Ok(text),
        Some(directive) => Err(Wrong::new(
            "log.level",
            format!("\"{directive}\" is not a level"),
            "write error, warn, info, debug or trace; for a part of the program \"info,bgp=debug\"",
        )),
    }
}
