//! Our table of nftables, through `nft`: it alone speaks all that a rule needs, and a file given to it is one
//! transaction.

use std::{io, process::Stdio, time::Duration};

use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use crate::{clamp, spec::TunnelSpec};

/// It takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keeps the table as it should be.
#[derive(Debug, Default)]
pub(super) struct Nft {
    /// What was last given to the kernel, or could not be.
    last: Option<String>,
}

impl Nft {
    /// Has the rules for these tunnels, and no others. What fails is said once, and tried again when the rules
    /// change: connections then rely on path MTU discovery.
    pub(super) async fn set(&mut self, tunnels: &[TunnelSpec]) {
        let wanted = clamp::ruleset(tunnels);
        if self.last.as_ref() == Some(&wanted) {
            return;
        }
        match run(&wanted).await {
            Ok(_) if wanted == clamp::ruleset(&[]) => {}
            Ok(_) => tracing::info!(
                table = clamp::TABLE,
                "TCP segments are clamped to the MTU of each tunnel"
            ),
            // Nothing to clamp, and nobody who could have clamped before.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && wanted == clamp::ruleset(&[]) => {}
            Err(error) => {
                tracing::warn!(%error, "TCP segments are not clamped; is the package nftables installed?");
            }
        }
        self.last = Some(wanted);
    }
}

/// Removes our table, if there is one.
///
/// # Errors
/// `nft` runs and fails.
pub(super) async fn flush() -> io::Result<()> {
    match run(&clamp::ruleset(&[])).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map(drop),
    }
}

/// Has `nft` do what stands in a file of its, in one transaction. What it prints.
///
/// # Errors
///
/// There is no `nft`, it takes too long, or it refuses: its first line.
pub async fn run(ruleset: &str) -> io::Result<String> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let given = async {
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(ruleset.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = timeout(PATIENCE, given).await??;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().unwrap_or("it does not say why");
    Err(io::Error::other(format!("nft: {first}")))
}
