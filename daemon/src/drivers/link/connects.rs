//! TCP connections that are made for their answer alone.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::timeout;
use tracing::debug;

use crate::sockets::{self, Endpoint};

/// Most at once; a round that finds no room is not answered.
const MOST: usize = 32;

type Connect = Pin<Box<dyn Future<Output = Option<u32>> + Send>>;

/// Those that have not been answered yet.
#[derive(Default)]
pub(super) struct Connects(FuturesUnordered<Connect>);

impl Connects {
    /// Gives up when the answer would count for nothing.
    pub(super) fn begin(&self, endpoint: Endpoint, round: u32, patience: Duration) {
        if self.0.len() >= MOST {
            return;
        }
        self.0.push(Box::pin(async move {
            match timeout(patience, sockets::knock(&endpoint)).await {
                Ok(Ok(())) => Some(round),
                Ok(Err(error)) => {
                    debug!(%error, "probe by TCP");
                    None
                }
                Err(_) => None,
            }
        }));
    }

    /// The next round that is answered. Cancel-safe.
    pub(super) async fn answered(&mut self) -> u32 {
        while let Some(answer) = self.0.next().await {
            if let Some(round) = answer {
                return round;
            }
        }
        pending().await
    }

    /// Closes all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
