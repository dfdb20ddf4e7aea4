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

/// The attempt, and the round that it answers.
type Connect = Pin<Box<dyn Future<Output = (usize, Option<u32>)> + Send>>;

/// Those that have not been answered yet.
#[derive(Default)]
pub(super) struct Connects {
    open: FuturesUnordered<Connect>,
    /// Which of several keys signs the next ones: the far end may not have all of them.
    attempt: usize,
}

impl Connects {
    /// Gives up when the answer would count for nothing.
    pub(super) fn begin(&self, endpoint: Endpoint, round: u32, patience: Duration) {
        if self.open.len() >= MOST {
            return;
        }
        let attempt = self.attempt;
        self.open.push(Box::pin(async move {
            let answer = match timeout(patience, sockets::knock(&endpoint, attempt)).await {
                Ok(Ok(())) => Some(round),
                Ok(Err(error)) => {
                    debug!(%error, "probe by TCP");
                    None
                }
                Err(_) => None,
            };
            (attempt, answer)
        }));
    }

    /// The next round that is answered. Cancel-safe.
    pub(super) async fn answered(&mut self) -> u32 {
        while let Some((attempt, answer)) = self.open.next().await {
            if let Some(round) = answer {
                self.attempt = attempt;
                return round;
            }
            // Those begun before the first of them failed had the same key.
            if attempt == self.attempt {
                self.attempt = attempt.wrapping_add(1);
            }
        }
        pending().await
    }

    /// Closes all.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }
}
