//! The gRPC services: translate, read or call the router, translate back.
//!
//! They listen on a Unix socket that only our user and group may open; whoever can open it may read
//! everything, reload the file, reset peers, and drain or drill links.

mod drain;
mod drill;
mod events;
mod render;
mod routes;
mod services;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use api::v1::events_server::EventsServer;
use api::v1::links_server::LinksServer;
use api::v1::peers_server::PeersServer;
use api::v1::routes_server::RoutesServer;
use api::v1::system_server::SystemServer;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use crate::drivers::messages::Command;
use crate::snapshot::Reader;

/// Owner and group.
const SOCKET_MODE: u32 = 0o660;
/// Questions about routes that are answered at once.
const WALKS: usize = 4;
/// Calls that one client may have under way.
const CONCURRENT: usize = 64;

/// Listens on a Unix socket. One that an ended process left behind is replaced.
///
/// # Errors
///
/// Another daemon answers there, or the directory cannot be written.
pub(crate) async fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    if UnixStream::connect(path).await.is_ok() {
        bail!(
            "another skybridged answers on {}: stop it, or set [api] socket to another path",
            path.display()
        );
    }
    let in_the_way = fs::symlink_metadata(path).map(|there| !there.file_type().is_socket());
    if in_the_way.unwrap_or(false) {
        bail!(
            "{} is there and no socket: set [api] socket to a path of its own",
            path.display()
        );
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| {
                format!(
                    "cannot replace {}: it must be ours to remove",
                    path.display()
                )
            });
        }
        _ => {}
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| {
            format!(
                "cannot make {}: set [api] socket to a path we may write",
                directory.display()
            )
        })?;
    }
    let listener = UnixListener::bind(path).with_context(|| {
        format!(
            "cannot listen on {}: set [api] socket to a path we may write",
            path.display()
        )
    })?;
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))
        .with_context(|| format!("cannot restrict access to {}", path.display()))?;
    Ok(listener)
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: UnixListener, reader: Reader, commands: mpsc::Sender<Command>) {
    let (health, health_service) = tonic_health::server::health_reporter();
    let services = services::Services {
        reader,
        commands,
        walks: Arc::new(Semaphore::new(WALKS)),
    };
    health
        .set_serving::<SystemServer<services::Services>>()
        .await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(api::DESCRIPTORS)
        .build_v1();
    let reflection = match reflection {
        Ok(reflection) => reflection,
        Err(error) => {
            tracing::error!(%error, "the API's own description is broken");
            return;
        }
    };
    let served = Server::builder()
        .concurrency_limit_per_connection(CONCURRENT)
        .add_service(health_service)
        .add_service(reflection)
        .add_service(SystemServer::new(services.clone()))
        .add_service(LinksServer::new(services.clone()))
        .add_service(PeersServer::new(services.clone()))
        .add_service(RoutesServer::new(services.clone()))
        .add_service(EventsServer::new(services))
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the API ended");
    }
}
