//! Every metric, and the HTTP endpoint that serves them.
//!
//! Labels are names of configured things and words from fixed lists; never a prefix, an AS path or
//! an error text. A configured thing that is down still has its series.

mod table;

use std::fmt::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::snapshot::{Reader, Snapshot};

/// What is read at scrape time. The handler fills it, the registry's collector encodes it.
#[derive(Default, Debug)]
struct Latest(Mutex<Option<Arc<Snapshot>>>);

#[derive(Debug)]
struct Gauges(Arc<Latest>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let snapshot = self
            .0
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(snapshot) = snapshot else {
            return Ok(());
        };
        table::encode(&snapshot, &mut encoder)
    }
}

/// Listens for scrapes.
///
/// # Errors
///
/// The address is taken or not ours.
pub(crate) async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves `/metrics` until it is aborted.
pub(crate) async fn serve(listener: TcpListener, reader: Reader) {
    let latest = Arc::new(Latest::default());
    let mut registry = Registry::with_prefix("skybridge");
    reader.board.counters.register(&mut registry);
    registry.register_collector(Box::new(Gauges(Arc::clone(&latest))));
    let registry = Arc::new(registry);
    let scrape = move || {
        let (reader, latest, registry) =
            (reader.clone(), Arc::clone(&latest), Arc::clone(&registry));
        async move {
            let snapshot = reader.snapshot().await;
            *latest.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(snapshot));
            let mut text = String::new();
            match encode(&mut text, &registry) {
                Ok(()) => {
                    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                    ([(header::CONTENT_TYPE, TYPE)], text).into_response()
                }
                Err(Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }
        }
    };
    let app = Router::new().route("/metrics", get(scrape));
    if let Err(error) = axum::serve(listener, app).await {
        tracing::error!(%error, "the metrics endpoint ended");
    }
}
