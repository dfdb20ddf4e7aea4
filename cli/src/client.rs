//! The way to the daemon: gRPC over a Unix socket, and sentences for when it fails.

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::Failure;

/// A daemon that has not begun to answer by then will not.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connects, so that everything that can be wrong with the socket shows here.
pub(crate) async fn connect(socket: &Path) -> Result<Channel, Failure> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|error| sentence(socket, &error))?;
    let mut first = Some(stream);
    let path = socket.to_owned();
    let connector = tower::service_fn(move |_| {
        let first = first.take();
        let path = path.clone();
        async move {
            let stream = match first {
                Some(stream) => stream,
                None => UnixStream::connect(path).await?,
            };
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    // The address is a formality: the connector knows where to go.
    Endpoint::from_static("http://skybridge.invalid")
        .timeout(PATIENCE)
        .connect_with_connector(connector)
        .await
        .map_err(|error| {
            anyhow!(
                "{} does not speak gRPC: is it the socket of skybridged? ({error})",
                socket.display()
            )
        })
}

fn sentence(socket: &Path, error: &io::Error) -> Failure {
    let at = socket.display();
    let is = |kind| error.kind() == kind;
    if is(io::ErrorKind::NotFound) {
        return anyhow!(
            "skybridged is not running, or listens elsewhere: there is no {at}; \
             start it (systemctl start skybridged) or say --socket PATH"
        );
    }
    if is(io::ErrorKind::ConnectionRefused) {
        return anyhow!(
            "skybridged is not running: nobody listens at {at}; \
             start it (systemctl start skybridged)"
        );
    }
    if is(io::ErrorKind::PermissionDenied) {
        return anyhow!("you may not use {at}: run as root, or join the group skybridge");
    }
    anyhow!("cannot reach skybridged at {at}: {error}")
}

/// What the daemon answered instead of an answer.
pub(crate) fn refused(status: &Status) -> Failure {
    let said = status.message();
    match status.code() {
        Code::Unimplemented => anyhow!(
            "this skybridged does not know that request: it is older than this command line, or newer"
        ),
        Code::PermissionDenied | Code::Unauthenticated => {
            anyhow!("skybridged does not let you: {said}; run as root, or join the group skybridge")
        }
        Code::DeadlineExceeded | Code::Cancelled => {
            anyhow!("skybridged does not answer: see its log (journalctl -u skybridged)")
        }
        Code::Unavailable => anyhow!("skybridged went away: {said}"),
        Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition => anyhow!("{said}"),
        Code::Ok
        | Code::Unknown
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::DataLoss => anyhow!("skybridged could not do it: {said} ({})", status.code()),
    }
}

/// The daemon understood, and says no.
pub(crate) fn is_negative(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition
    )
}
