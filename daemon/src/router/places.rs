//! What has to be taken before anything changes: ports, sockets, the kernel's ear.

use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as SocketAddrUnix, UnixListener};

use anyhow::Context;
use config::Config;
use socket2::Socket;
use tokio::net::TcpListener;
use tunnels::backend::Linux;

use crate::fib::Netlink;
use crate::{grpc, metrics, sockets};

/// Abstract socket name, one a network namespace.
const ROUTES: &[u8] = b"skybridge/routes";

/// What is taken before anything is changed: if one of these fails, nothing has happened.
pub(super) struct Places {
    pub(super) listeners: Vec<(SocketAddr, Socket)>,
    pub(super) metrics: Option<(SocketAddr, TcpListener)>,
    pub(super) api: tokio::net::UnixListener,
    pub(super) kernel: Netlink,
    pub(super) tunnels: Linux,
    pub(super) routes: Option<UnixListener>,
}

impl Places {
    pub(super) async fn take(config: &Config) -> anyhow::Result<Self> {
        let mut listeners = Vec::new();
        for address in &config.router.listen {
            listeners.push((*address, bind(*address)?));
        }
        let metrics = match config.metrics.listen {
            Some(address) => Some((address, listen_for_scrapes(address).await?)),
            None => None,
        };
        let api = grpc::listen(&config.api.socket).await?;
        let routes = config.fib.install.then(claim_routes).transpose()?;
        let kernel = Netlink::open(config.fib.table, config.fib.metric)
            .context("cannot open a netlink socket to the kernel's routing tables")?;
        let tunnels = Linux::open()
            .context("cannot open a netlink socket for tunnels")?
            .with_vici(&config.strongswan.socket);
        Ok(Self {
            listeners,
            metrics,
            api,
            kernel,
            tunnels,
            routes,
        })
    }
}

/// Takes the right to this network namespace's routes and nexthops that carry our protocol number:
/// two daemons would each take the other's for leftovers. Held as a name that the kernel frees
/// with the process.
fn claim_routes() -> anyhow::Result<UnixListener> {
    let claim = || UnixListener::bind_addr(&SocketAddrUnix::from_abstract_name(ROUTES)?);
    claim().context(
        "another skybridged manages the routes of this network namespace: stop it, or set [fib] install = false",
    )
}

pub(super) fn bind(address: SocketAddr) -> anyhow::Result<Socket> {
    sockets::bind(address).map_err(|error| {
        let kind = error.kind();
        let remedy = if kind == std::io::ErrorKind::AddrInUse {
            "another BGP daemon has it: stop it, or set [router] listen to another address"
        } else if kind == std::io::ErrorKind::PermissionDenied {
            "ports below 1024 need CAP_NET_BIND_SERVICE: run as root, or from the packaged unit"
        } else if kind == std::io::ErrorKind::AddrNotAvailable {
            "no interface has that address: correct [router] listen"
        } else {
            "set [router] listen to another address"
        };
        anyhow::anyhow!("cannot accept BGP connections on {address}: {error}; {remedy}")
    })
}

pub(super) async fn listen_for_scrapes(address: SocketAddr) -> anyhow::Result<TcpListener> {
    metrics::listen(address).await.with_context(|| {
        format!("cannot serve metrics on {address}: set [metrics] listen to a free address, or to \"off\"")
    })
}
