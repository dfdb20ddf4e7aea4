//! One `skybridged` under test: its file, its process, and questions over its API.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use api::v1::events_client::EventsClient;
use api::v1::links_client::LinksClient;
use api::v1::peers_client::PeersClient;
use api::v1::system_client::SystemClient;
use api::v1::{
    Event, Link, ListLinksRequest, ListPeersRequest, Peer, StatusRequest, StatusResponse,
    WatchRequest,
};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use super::netns::Namespace;
use super::process::{Process, beside};

/// A question that takes longer has failed.
const ANSWER: Duration = Duration::from_secs(2);

/// A `skybridged` in a namespace.
#[derive(Debug)]
pub struct Nva {
    namespace: Namespace,
    directory: PathBuf,
    binaries: Binaries,
    process: Option<Process>,
}

impl Nva {
    /// One that is not started yet, with all it owns under `directory`.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made.
    pub fn new(namespace: &Namespace, directory: &Path, binaries: &Binaries) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let (namespace, directory) = (namespace.clone(), directory.to_owned());
        Ok(Self {
            namespace,
            directory,
            binaries: binaries.clone(),
            process: None,
        })
    }

    /// Writes its configuration; `body` follows the sections that every router of a lab shares.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn configure(&self, body: &str) -> Result<()> {
        let mut text = String::new();
        writeln!(text, "[api]\nsocket = \"{}\"\n", self.socket().display())?;
        writeln!(text, "[metrics]\nlisten = \"127.0.0.1:9179\"\n")?;
        text.push_str(body);
        Ok(fs::write(self.config(), text)?)
    }

    /// Starts the daemon.
    ///
    /// # Errors
    ///
    /// When there is no binary. That it runs is seen only by asking it.
    pub fn start(&mut self) -> Result<()> {
        self.start_under(&[])
    }

    /// Starts the daemon through another program, such as `setpriv` and its arguments.
    ///
    /// # Errors
    ///
    /// As [`Nva::start`].
    pub fn start_under(&mut self, wrapper: &[&str]) -> Result<()> {
        let mut command = self.namespace.command("env");
        command.args(wrapper).arg(&self.binaries.daemon);
        command.arg("--config").arg(self.config());
        let name = format!("skybridged in {}", self.namespace.name());
        self.process = Some(Process::spawn(&name, &mut command, &self.log())?);
        Ok(())
    }

    /// Its process.
    ///
    /// # Errors
    ///
    /// Before the first start.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("the daemon was not started")
    }

    /// Errors, with the end of its log, unless it runs.
    ///
    /// # Errors
    ///
    /// As said.
    pub fn check_alive(&mut self) -> Result<()> {
        self.process()?.check_alive()
    }

    /// Where it runs.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.directory.join("skybridge.toml")
    }

    /// Its API socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("skybridge.sock")
    }

    /// What it writes to standard output and error.
    pub fn log(&self) -> PathBuf {
        self.directory.join("skybridged.log")
    }

    /// How a person asks it something: the command line up to the subcommand.
    pub fn question(&self) -> String {
        format!(
            "{} --socket {}",
            self.binaries.cli.display(),
            self.socket().display()
        )
    }

    /// Runs `skybridge` against it and returns what it prints.
    ///
    /// # Errors
    ///
    /// When it exits with anything but 0: what it said.
    pub fn cli(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.binaries.cli);
        super::netns::output(command.arg("--socket").arg(self.socket()).args(args))
    }

    /// The one-screen status, typed.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn status(&self) -> Result<StatusResponse> {
        self.ask(async |channel| {
            Ok(SystemClient::new(channel)
                .status(StatusRequest {})
                .await?
                .into_inner())
        })
    }

    /// Its peers.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn peers(&self) -> Result<Vec<Peer>> {
        self.ask(async |channel| {
            Ok(PeersClient::new(channel)
                .list(ListPeersRequest {})
                .await?
                .into_inner()
                .peers)
        })
    }

    /// Its links.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn links(&self) -> Result<Vec<Link>> {
        self.ask(async |channel| {
            Ok(LinksClient::new(channel)
                .list(ListLinksRequest {})
                .await?
                .into_inner()
                .links)
        })
    }

    /// What has happened, as far as it remembers.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn events(&self) -> Result<Vec<Event>> {
        self.ask(async |channel| {
            let request = WatchRequest {
                after: 0,
                history: true,
                no_follow: true,
            };
            let answer = EventsClient::new(channel).watch(request).await?;
            let (mut stream, mut events) = (answer.into_inner(), Vec::new());
            while let Some(event) = stream.message().await? {
                events.push(event);
            }
            Ok(events)
        })
    }

    /// What its metrics endpoint serves.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn metrics(&self) -> Result<String> {
        self.namespace.run(
            "curl",
            &["-sf", "--max-time", "2", "http://127.0.0.1:9179/metrics"],
        )
    }

    fn ask<T>(&self, question: impl AsyncFnOnce(Channel) -> Result<T>) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let socket = self.socket();
        runtime.block_on(async {
            let asked = async { question(connect(socket).await?).await };
            tokio::time::timeout(ANSWER, asked)
                .await
                .context("the API does not answer")?
        })
    }
}

async fn connect(socket: PathBuf) -> Result<Channel> {
    let connector = tower::service_fn(move |_uri: tonic::transport::Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    // The name is never resolved: the connector decides where this goes.
    let endpoint = Endpoint::try_from("http://skybridge.invalid")?;
    Ok(endpoint.connect_with_connector(connector).await?)
}

/// The two programs under test.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `skybridged`.
    pub daemon: PathBuf,
    /// `skybridge`.
    pub cli: PathBuf,
}

impl Binaries {
    /// Those in `$SKYBRIDGE_BIN`, or those of the same build as the program that runs.
    ///
    /// # Errors
    ///
    /// When there are none: how to build them.
    pub fn find() -> Result<Self> {
        let given = std::env::var_os("SKYBRIDGE_BIN").map(PathBuf::from);
        let program = |name: &str| match &given {
            Some(directory) => Ok(directory.join(name)),
            None => beside(name),
        };
        Ok(Self {
            daemon: program("skybridged")?,
            cli: program("skybridge")?,
        })
    }
}

/// A WireGuard key pair.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// File with the private key, mode 0600.
    pub private: PathBuf,
    /// Base64.
    pub public: String,
}

impl KeyPair {
    /// Makes a key and keeps it in `file`.
    ///
    /// # Errors
    ///
    /// When `wg` is missing or the file exists.
    pub fn generate(file: &Path) -> Result<Self> {
        let private = super::netns::output(Command::new("wg").arg("genkey"))?;
        let mut kept = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file)?;
        kept.write_all(private.as_bytes())?;
        kept.set_permissions(fs::Permissions::from_mode(0o600))?;
        let mut wg = Command::new("wg")
            .arg("pubkey")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        wg.stdin
            .take()
            .context("wg reads the key on standard input")?
            .write_all(private.as_bytes())?;
        let public = String::from_utf8(wg.wait_with_output()?.stdout)?
            .trim()
            .to_owned();
        Ok(Self {
            private: file.to_owned(),
            public,
        })
    }
}
