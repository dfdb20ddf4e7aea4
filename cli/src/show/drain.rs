//! `skybridge drain` and `undrain`: what is waited for, until it is so.

use anyhow::{anyhow, bail};
use api::v1;
use api::v1::drain_event::Stage;
use api::v1::drain_request::Order;
use api::v1::links_client::LinksClient;
use tonic::transport::Channel;

use crate::args::DrainArgs;
use crate::output::{Output, Printed};
use crate::{Failure, Outcome, client, json, output};

use super::{Screen, Tone, clean};

pub(crate) async fn run(
    channel: Channel,
    args: DrainArgs,
    order: Order,
    output: &mut Output,
) -> Result<Outcome, Failure> {
    let request = v1::DrainRequest {
        link: args.link,
        order: order.into(),
        patience: args.timeout.try_into().ok(),
    };
    let link = clean(&request.link);
    let mut stream = match LinksClient::new(channel).drain(request).await {
        Ok(response) => response.into_inner(),
        Err(status) if client::is_negative(&status) => {
            output::complain(&anyhow!("{}", status.message()));
            return Ok(Outcome::Negative);
        }
        Err(status) => return Err(client::refused(&status)),
    };
    loop {
        let event = stream.message().await;
        let Some(event) = event.map_err(|status| client::refused(&status))? else {
            bail!("skybridged ended the stream: it is stopping")
        };
        match output.printed() {
            Printed::Json => output.json_line(&json::DrainEvent::from(&event))?,
            Printed::Text => {
                let text = render(&link, &event, &output.screen());
                output.text(&text)?;
            }
        }
        match event.stage() {
            Stage::Done => return Ok(Outcome::Good),
            Stage::TimedOut | Stage::Blind => return Ok(Outcome::Negative),
            Stage::Waiting | Stage::Unspecified => {}
        }
    }
}

fn render(link: &str, event: &v1::DrainEvent, screen: &Screen) -> String {
    let text = clean(&event.text);
    match event.stage() {
        Stage::Waiting | Stage::Unspecified => format!("{link}: waiting: {text}\n"),
        Stage::Done => format!("{link}: {}\n", screen.paint(Tone::Good, &text)),
        Stage::TimedOut | Stage::Blind => format!("{link}: {}\n", screen.paint(Tone::Odd, &text)),
    }
}
