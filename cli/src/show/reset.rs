//! `skybridge reset`.

use anyhow::anyhow;
use api::v1;
use api::v1::peers_client::PeersClient;
use api::v1::reset_peer_request::Manner;
use tonic::transport::Channel;

use crate::output::Output;
use crate::{Failure, Outcome, answer, client, json, output};

use super::clean;

pub(crate) async fn run(
    channel: Channel,
    peer: String,
    manner: Manner,
    message: Option<String>,
    output: &mut Output,
) -> Result<Outcome, Failure> {
    let request = v1::ResetPeerRequest {
        peer,
        manner: manner.into(),
        message: message.unwrap_or_default(),
    };
    match PeersClient::new(channel).reset(request).await {
        Ok(response) => {
            let response = response.into_inner();
            answer(
                output,
                || json::Reset::from(&response),
                |_| format!("{}\n", clean(&response.done)),
            )
        }
        Err(status) if client::is_negative(&status) => {
            output::complain(&anyhow!("{}", status.message()));
            Ok(Outcome::Negative)
        }
        Err(status) => Err(client::refused(&status)),
    }
}
