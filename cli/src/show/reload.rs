//! `skybridge reload`.

use anyhow::anyhow;
use api::v1;
use api::v1::system_client::SystemClient;
use tonic::transport::Channel;

use crate::output::Output;
use crate::{Failure, Outcome, answer, client, json, output};

use super::clean;

pub(crate) async fn run(channel: Channel, output: &mut Output) -> Result<Outcome, Failure> {
    match SystemClient::new(channel)
        .reload(v1::ReloadRequest {})
        .await
    {
        Ok(response) => {
            let response = response.into_inner();
            answer(
                output,
                || json::Reload::from(&response),
                |_| render(&response),
            )
        }
        Err(status) if client::is_negative(&status) => {
            output::complain(&refusal(status.message()));
            Ok(Outcome::Negative)
        }
        Err(status) => Err(client::refused(&status)),
    }
}

/// What is wrong may be several findings of several lines, each with its own beginning.
fn refusal(findings: &str) -> Failure {
    let gap = if findings.contains('\n') { '\n' } else { ' ' };
    anyhow!("the file was refused, nothing changed:{gap}{findings}")
}

fn render(response: &v1::ReloadResponse) -> String {
    let revision = response.revision;
    if response.changes.is_empty() {
        return format!("nothing changed: revision {revision}\n");
    }
    let changes: String = response
        .changes
        .iter()
        .map(|line| format!("  {}\n", clean(line)))
        .collect();
    format!("revision {revision}\n{changes}")
}
