//! Links that are emptied or filled: what is asked for, and what is told of it.

use std::time::Duration;

use api::v1::{self, drain_event, drain_request};
use links::{DrainEnd, Order};
use tonic::Status;

use crate::drivers::drain::Told;
use crate::drivers::messages::Emptied;

/// The longest wait.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What is asked for.
pub(super) fn order(request: &v1::DrainRequest) -> Result<Emptied, Status> {
    let order = match request.order() {
        drain_request::Order::Drain => Order::Drain,
        drain_request::Order::Carry => Order::Carry,
        drain_request::Order::Unspecified => {
            return Err(Status::invalid_argument("no order is given"));
        }
    };
    let patience = request.patience.unwrap_or_default();
    let patience = Duration::try_from(patience).ok();
    let patience = patience.filter(|patience| *patience <= PATIENCE);
    let patience =
        patience.ok_or_else(|| Status::invalid_argument("patience is not from 0 s to 1 h"))?;
    Ok(Emptied {
        link: request.link.clone(),
        order,
        patience,
    })
}

/// What is told.
pub(super) fn event(told: Told) -> v1::DrainEvent {
    let (stage, text) = match told {
        Told::Waiting(waiting) => (drain_event::Stage::Waiting, waiting.to_string()),
        Told::End(end @ DrainEnd::TimedOut(_)) => (drain_event::Stage::TimedOut, end.to_string()),
        Told::End(end @ (DrainEnd::Empty | DrainEnd::Carries | DrainEnd::StandsBy)) => {
            (drain_event::Stage::Done, end.to_string())
        }
        Told::Blind(why) => (
            drain_event::Stage::Blind,
            format!("the order stands, but packets cannot be counted: {why}"),
        ),
    };
    v1::DrainEvent {
        stage: stage.into(),
        text,
    }
}
