//! Structured logs, whose level can change while the daemon runs.

use std::io;
use std::sync::OnceLock;

use config::model::{Log, LogFormat};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Why the log is not as wanted.
#[derive(thiserror::Error, Debug)]
pub(crate) enum LogError {
    #[error("[log] level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    #[error("the log cannot change: {0}")]
    Change(String),
}

/// The level as the file says. boringtun calls a handshake that nobody answers an error; our own
/// tunnels say it better, so that it is heard only when asked for by name.
fn filter(log: &Log) -> Result<EnvFilter, LogError> {
    let quiet = if log.level.contains("boringtun") {
        ""
    } else {
        ",boringtun=off"
    };
    Ok(EnvFilter::try_new(format!("{}{quiet}", log.level))?)
}

/// Starts logging to standard error, where systemd and people look for it.
///
/// # Errors
///
/// The level cannot be read, or logging has been started before.
pub(crate) fn start(log: &Log) -> Result<(), LogError> {
    let (filter, handle) = reload::Layer::new(filter(log)?);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match log.format {
        LogFormat::Json => registry
            .with(fmt::layer().json().with_writer(io::stderr))
            .try_init(),
        LogFormat::Text => registry
            .with(
                fmt::layer()
                    .with_target(false)
                    .with_ansi(false)
                    .with_writer(io::stderr),
            )
            .try_init(),
    };
    started.map_err(|error| LogError::Change(error.to_string()))?;
    LEVEL
        .set(handle)
        .map_err(|_| LogError::Change("it has been started before".to_owned()))
}

/// Changes the level. The format cannot change while the daemon runs.
///
/// # Errors
///
/// The level cannot be read.
pub(crate) fn change(log: &Log) -> Result<(), LogError> {
    let filter = filter(log)?;
    let handle = LEVEL
        .get()
        .ok_or_else(|| LogError::Change("it was never started".to_owned()))?;
    handle
        .reload(filter)
        .map_err(|error| LogError::Change(error.to_string()))
}
