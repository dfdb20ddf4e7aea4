//! The network between the clouds, as a lab sees it: a namespace that forwards and can be cut.

use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

use super::netns::{End, Namespace, cable};

/// Newlines end statements for the nftables of Debian 12.
const CUT: &str = "table ip cut {
  chain forwarded {
    type filter hook forward priority 0; policy drop;
  }
}
";

/// One way across. It forwards between what is attached to it until it is cut.
#[derive(Debug)]
pub struct Internet {
    namespace: Namespace,
}

impl Internet {
    /// Makes the namespace that is this internet.
    ///
    /// # Errors
    ///
    /// See [`Namespace::create`].
    pub fn create(name: &str) -> Result<Self> {
        let namespace = Namespace::create(name)?;
        namespace.sysctl("net.ipv4.ip_forward", "1")?;
        Ok(Self { namespace })
    }

    /// Plugs `node` in; `own` is the address of the internet's router on that cable.
    ///
    /// # Errors
    ///
    /// See [`cable`].
    pub fn attach(&self, node: End<'_>, own: &str) -> Result<()> {
        let interface = format!("to-{}", node.address.replace(['.', '/'], "-"));
        let interface = interface
            .get(..interface.len().min(15))
            .unwrap_or("to-node");
        cable(
            node,
            End {
                namespace: &self.namespace,
                interface,
                address: own,
            },
        )
    }

    /// Loses every packet from here on, silently: no interface goes down, no ICMP error returns.
    ///
    /// # Errors
    ///
    /// When it is cut already or nftables is missing.
    pub fn cut(&self) -> Result<()> {
        self.nft(CUT)
    }

    /// Ends a cut.
    ///
    /// # Errors
    ///
    /// When it is not cut.
    pub fn restore(&self) -> Result<()> {
        self.nft("delete table ip cut")
    }

    fn nft(&self, rules: &str) -> Result<()> {
        let mut child = self
            .namespace
            .command("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child
            .stdin
            .take()
            .context("nft takes its rules on standard input")?
            .write_all(rules.as_bytes())?;
        let done = child.wait_with_output()?;
        if !done.status.success() {
            bail!("nft: {}", String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(())
    }
}
