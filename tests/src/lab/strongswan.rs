//! One strongSwan in a namespace: the one that a router drives, or a cloud's VPN gateway.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::netns::{Namespace, output};
use super::process::{Process, wait_for};

const CHARON: &str = "/usr/lib/ipsec/charon";
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether this kernel has XFRM interfaces. Only making one tells.
pub fn has_xfrm(namespace: &Namespace) -> bool {
    let made = namespace.ip("link add probe type xfrm if_id 4294967295");
    made.is_ok() && namespace.ip("link del probe").is_ok()
}

/// A `charon` with all it owns under a directory. Dropping it kills it.
#[derive(Debug)]
pub struct StrongSwan {
    namespace: Namespace,
    directory: PathBuf,
    process: Option<Process>,
}

impl StrongSwan {
    /// Starts it, with nothing loaded. Dead peers are given up after some seconds.
    ///
    /// # Errors
    ///
    /// When it is not installed or does not come up.
    pub fn start(namespace: &Namespace, directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        // Without ESP in the kernel it would not start at all. Its own routes what the first tunnel lets pass
        // into that, which shall not be what it says to others.
        let (esp, apart) = match has_xfrm(namespace) {
            true => ("kernel-netlink", ""),
            false => (
                "kernel-libipsec kernel-netlink",
                "socket-default { fwmark = 0x42 }\n kernel-netlink { fwmark = !0x42 }",
            ),
        };
        let conf = format!(
            "charon {{
  load_modular = no
  load = random nonce drbg aes sha1 sha2 hmac kdf gmp gcm openssl pem pkcs1 pkcs8 x509 pubkey constraints {esp} socket-default vici
  retransmit_timeout = 1.0
  retransmit_tries = 3
  install_routes = no
  plugins {{ vici {{ socket = unix://{} }}
    {apart} }}
  filelog {{ log {{ path = {}
    default = 1 }} }}
}}
",
            directory.join("vici").display(),
            directory.join("charon.log").display(),
        );
        fs::write(directory.join("strongswan.conf"), conf)?;
        let mut strongswan = Self {
            namespace: namespace.clone(),
            directory: directory.to_owned(),
            process: None,
        };
        strongswan.launch()?;
        Ok(strongswan)
    }

    /// Starts it again after [`StrongSwan::kill`].
    ///
    /// # Errors
    ///
    /// As [`StrongSwan::start`].
    pub fn launch(&mut self) -> Result<()> {
        // It keeps its pid under /run, where there can be only one.
        let script = format!("mount -t tmpfs tmpfs /run && exec {CHARON}");
        let mut command = self.namespace.command("unshare");
        command
            .args(["-m", "sh", "-c", &script])
            .env("STRONGSWAN_CONF", self.directory.join("strongswan.conf"));
        let log = self.directory.join("output");
        let name = format!("strongSwan in {}", self.namespace.name());
        let mut process = Process::spawn(&name, &mut command, &log)?;
        wait_for("strongSwan's socket", PATIENCE, || {
            process.check_alive()?;
            UnixStream::connect(self.socket())
                .context("not yet")
                .map(drop)
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// SIGKILL: what it has put into the kernel stays there.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.process.as_mut().context("it does not run")?.kill()
    }

    /// Its VICI socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("vici")
    }

    /// Loads connections and secrets in the form of `swanctl.conf`, instead of those loaded before.
    ///
    /// # Errors
    ///
    /// When it does not take them: what `swanctl` says.
    pub fn load(&self, conf: &str) -> Result<()> {
        let file = self.directory.join("swanctl.conf");
        fs::write(&file, conf)?;
        let file = file.display().to_string();
        self.swanctl(&["--load-all", "--noprompt", "--clear", "--file", &file])
            .map(drop)
    }

    /// Gives it a file that [`StrongSwan::load`] shall find.
    ///
    /// - `place`: `private`, `x509` or `x509ca`
    ///
    /// # Errors
    ///
    /// When it cannot be copied.
    pub fn own(&self, place: &str, file: &Path) -> Result<()> {
        let place = self.directory.join(place);
        fs::create_dir_all(&place)?;
        let name = file.file_name().context("a file has a name")?;
        fs::copy(file, place.join(name))?;
        Ok(())
    }

    /// Runs `swanctl`; the first argument is the command.
    ///
    /// # Errors
    ///
    /// What it says when it fails.
    pub fn swanctl(&self, args: &[&str]) -> Result<String> {
        let uri = format!("unix://{}", self.socket().display());
        let mut command = std::process::Command::new("swanctl");
        // Keys and certificates of this one, not the host's.
        let command = command.env("SWANCTL_DIR", &self.directory);
        output(command.args(args).args(["--uri", &uri]))
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("charon.log")).unwrap_or_default()
    }
}
