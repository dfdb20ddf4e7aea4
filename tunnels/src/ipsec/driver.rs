//! The task between the machine and strongSwan's socket. It decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::{AbortHandle, JoinHandle},
    time::timeout,
};
use tracing::{debug, info, warn};

use super::{
    callers::Callers,
    conn, event,
    failure::Transcript,
    machine::{CallId, Ike, Input, Output, State},
    vici::{Client, Message, client::Error},
};
use crate::spec::IpsecSpec;

/// Where strongSwan listens, unless it is told otherwise.
pub const SOCKET: &str = "/run/charon.vici";
/// Between two attempts to reach strongSwan.
const RECONNECT: Duration = Duration::from_secs(2);
/// strongSwan gives up by itself earlier or later, as its own file says; this is when we stop waiting.
const CALL: Duration = Duration::from_secs(30);
/// The event that is a line of strongSwan's log.
const LOG: &str = "log";
/// Orders and results on their way.
const INBOX: usize = 64;

/// How every IPsec tunnel is, by link.
pub type States = BTreeMap<String, Standing>;

/// How one tunnel is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Whether it carries packets.
    pub state: State,
    /// When it came to this.
    pub since: SystemTime,
    /// Why nobody watches over it, if nobody does.
    pub unwatched: Option<String>,
}

/// What the task is told.
#[derive(Debug)]
enum Order {
    Want(String, Box<IpsecSpec>),
    Forget(String),
    /// Every link that is wanted has been told.
    Complete,
}

/// What an attempt has come to.
#[derive(Debug)]
enum Report {
    Delayed(String, CallId, String),
    Initiated(String, CallId, Result<(), String>),
}

/// The way to the task. Dropping it ends the task and leaves all tunnels as they are.
#[derive(Debug)]
pub struct Handle {
    orders: mpsc::Sender<Order>,
    states: watch::Receiver<Arc<States>>,
    wanted: BTreeMap<String, IpsecSpec>,
    task: JoinHandle<()>,
}

impl Handle {
    /// Starts the task, which reaches for strongSwan once [`Handle::complete`] has been called.
    #[must_use]
    pub fn start(socket: &Path, seed: u64) -> Self {
        let (orders, inbox) = mpsc::channel(INBOX);
        let (told, states) = watch::channel(Arc::new(States::new()));
        let driver = Driver {
            socket: socket.to_owned(),
            machine: Ike::new(seed),
            inbox,
            reports: mpsc::channel(INBOX),
            told,
            commands: None,
            absence: None,
            callers: Callers::default(),
            keys: BTreeMap::new(),
            turns: Arc::new(Semaphore::new(1)),
            calls: BTreeMap::new(),
        };
        Self {
            orders,
            states,
            wanted: BTreeMap::new(),
            task: tokio::spawn(driver.run()),
        }
    }

    /// This link should have this tunnel.
    pub async fn want(&mut self, link: &str, spec: &IpsecSpec) {
        self.wanted.insert(link.to_owned(), spec.clone());
        let order = Order::Want(link.to_owned(), Box::new(spec.clone()));
        self.send(order).await;
    }

    /// This link should have none.
    pub async fn forget(&mut self, link: &str) {
        self.wanted.remove(link);
        self.send(Order::Forget(link.to_owned())).await;
    }

    /// Every link that is wanted has been told.
    pub async fn complete(&mut self) {
        self.send(Order::Complete).await;
    }

    /// What a link was last said to want.
    #[must_use]
    pub fn wanted(&self, link: &str) -> Option<&IpsecSpec> {
        self.wanted.get(link)
    }

    /// How a link's tunnel is.
    #[must_use]
    pub fn standing(&self, link: &str) -> Option<Standing> {
        self.states.borrow().get(link).cloned()
    }

    /// Resolves when a tunnel is another way than it was. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.states.changed().await.is_err() {
            // The task has ended, which only a fault of the program does.
            std::future::pending::<()>().await;
        }
    }

    async fn send(&self, order: Order) {
        if self.orders.send(order).await.is_err() {
            warn!("the IPsec task has ended");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Driver {
    socket: PathBuf,
    machine: Ike,
    inbox: mpsc::Receiver<Order>,
    reports: (mpsc::Sender<Report>, mpsc::Receiver<Report>),
    told: watch::Sender<Arc<States>>,
    commands: Option<Client>,
    absence: Option<String>,
    callers: Callers,
    /// What strongSwan calls the private keys that links have loaded.
    keys: BTreeMap<String, String>,
    /// A call takes one while it lasts: strongSwan has a thread wait for each, and needs others to hear answers.
    turns: Arc<Semaphore>,
    /// The latest call of each link.
    calls: BTreeMap<String, AbortHandle>,
}

impl Driver {
    async fn run(mut self) {
        // What carries packets is to be found before anybody is called.
        loop {
            match self.inbox.recv().await {
                Some(Order::Complete) => break,
                Some(order) => self.obey(order).await,
                None => return,
            }
        }
        loop {
            let lost = match self.connect().await {
                Ok(events) => match self.serve(events).await {
                    Some(lost) => lost,
                    None => return,
                },
                Err(error) => error,
            };
            self.commands = None;
            let calls = std::mem::take(&mut self.calls);
            calls.values().for_each(AbortHandle::abort);
            let reason = absence(&self.socket, &lost);
            if self.absence.as_ref() != Some(&reason) {
                warn!(reason, "no strongSwan");
                self.absence = Some(reason.clone());
            }
            self.input(Input::Lost(reason)).await;
            self.tell_all();
            if !self.pause().await {
                return;
            }
        }
    }

    /// Opens both connections. Events are asked for before the listing, so that none is missed.
    async fn connect(&mut self) -> Result<Client, Error> {
        let mut events = Client::connect(&self.socket).await?;
        for name in event::EVENTS.into_iter().chain([LOG]) {
            events.subscribe(name).await?;
        }
        let mut commands = Client::connect(&self.socket).await?;
        let version = commands.call("version", &Message::new()).await?;
        let stats = commands.call("stats", &Message::new()).await?;
        self.turns = Arc::new(Semaphore::new(calls_at_once(&stats)));
        let conns = commands.call("get-conns", &Message::new()).await?;
        let mut children = Vec::new();
        commands.subscribe("list-sa").await?;
        commands
            .call_streaming("list-sas", &Message::new(), CALL, |message| {
                children.extend(event::listed(&message));
            })
            .await?;
        info!(
            version = version.text("version").unwrap_or("unknown"),
            "strongSwan answers"
        );
        self.commands = Some(commands);
        self.absence = None;
        let conns = conns.list("conns").into_iter().map(str::to_owned).collect();
        self.input(Input::Connected { conns, children }).await;
        self.tell_all();
        Ok(events)
    }

    /// Until the connection is lost, for the reason returned; or, with `None`, until nobody wants anything.
    async fn serve(&mut self, mut events: Client) -> Option<Error> {
        while self.commands.is_some() {
            tokio::select! {
                order = self.inbox.recv() => self.obey(order?).await,
                report = self.reports.1.recv() => self.report(report?).await,
                event = events.event() => match event {
                    Ok((name, message)) if name == LOG => self.hear(&message).await,
                    Ok((name, message)) => {
                        for (link, change) in event::read(&name, &message) {
                            debug!(link, ?change, "IPsec");
                            self.input(Input::Changed(&link, change)).await;
                        }
                    }
                    Err(error) => return Some(error),
                },
                () = until(self.machine.poll_timeout()) => self.input(Input::Timeout).await,
            }
        }
        Some(Error::Closed)
    }

    /// Before the next attempt to connect. False when nobody wants anything any more.
    async fn pause(&mut self) -> bool {
        let until = tokio::time::Instant::now() + RECONNECT;
        loop {
            tokio::select! {
                order = self.inbox.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return false,
                },
                Some(report) = self.reports.1.recv() => self.report(report).await,
                () = tokio::time::sleep_until(until) => return true,
            }
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Want(link, spec) => self.input(Input::Wanted(&link, spec)).await,
            Order::Forget(link) => self.input(Input::Unwanted(&link)).await,
            Order::Complete => {}
        }
    }

    async fn hear(&mut self, message: &Message) {
        if let Some((link, cause)) = self.callers.hear(message, &self.machine) {
            self.input(Input::Refused(&link, cause)).await;
        }
    }

    async fn report(&mut self, report: Report) {
        match report {
            Report::Delayed(link, call, reason) => {
                self.input(Input::Delayed(&link, call, reason)).await;
            }
            Report::Initiated(link, call, result) => {
                self.input(Input::Initiated(&link, call, result)).await;
            }
        }
    }

    /// Into the machine, and what it then wants, until it wants nothing more.
    async fn input(&mut self, input: Input<'_>) {
        self.machine.handle(input, Instant::now());
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Load(link, spec) => {
                    let result = self.load(&link, &spec).await;
                    let loaded = Input::Loaded(&link, result);
                    self.machine.handle(loaded, Instant::now());
                }
                Output::Inspect => {
                    // Without an answer the connection is over, and all is loaded with the next.
                    if let Ok(inspected) = self.inspect().await {
                        self.machine.handle(inspected, Instant::now());
                    }
                }
                Output::Remove(name) => self.remove(&name).await,
                Output::Terminate(name) => self.attempt("terminate", &conn::terminate(&name)).await,
                Output::Initiate(link, call, spec) => self.initiate(link, call, *spec),
                Output::State(link) => self.tell(&link),
            }
        }
        self.forget_unwanted();
    }

    async fn load(&mut self, link: &str, spec: &IpsecSpec) -> Result<(), String> {
        let mut key = None;
        for (command, message) in conn::secrets(link, spec) {
            let loaded = self.command(command, &message).await;
            let answer = loaded.map_err(|error| format!("{command}: {error}"))?;
            key = key.or_else(|| answer.text("id").map(str::to_owned));
        }
        let loaded = self
            .command("load-conn", &conn::load_conn(link, spec))
            .await;
        loaded.map_err(|error| error.to_string())?;
        // Whoever may prove who we are with the last one, may do so no longer.
        if key.is_some() {
            let name = Message::new().with("id", conn::name(link));
            self.attempt("unload-shared", &name).await;
        }
        self.hold_key(link, key).await;
        Ok(())
    }

    /// This link has this private key from now on; one that no link has any more is unloaded.
    async fn hold_key(&mut self, link: &str, key: Option<String>) {
        let last = match &key {
            Some(key) => self.keys.insert(link.to_owned(), key.clone()),
            None => self.keys.remove(link),
        };
        if let Some(last) = last.filter(|last| !self.keys.values().any(|key| key == last)) {
            self.attempt("unload-key", &Message::new().with("id", last))
                .await;
        }
    }

    /// What strongSwan has loaded.
    async fn inspect(&mut self) -> Result<Input<'static>, Error> {
        let nothing = Message::new();
        let conns = self.command("get-conns", &nothing).await?;
        let shared = self.command("get-shared", &nothing).await?;
        let keys = self.command("get-keys", &nothing).await?;
        let owned = |names: Vec<&str>| -> BTreeSet<String> {
            names.into_iter().map(str::to_owned).collect()
        };
        let mut with_secret = owned(shared.list("keys"));
        let keys = owned(keys.list("keys"));
        let with_key = self.keys.iter().filter(|(_, key)| keys.contains(*key));
        with_secret.extend(with_key.map(|(link, _)| conn::name(link)));
        Ok(Input::Inspected {
            conns: owned(conns.list("conns")),
            with_secret,
        })
    }

    async fn remove(&mut self, name: &str) {
        // First the connection, so that nobody is let in by it meanwhile.
        self.attempt("unload-conn", &Message::new().with("name", name))
            .await;
        self.attempt("unload-shared", &Message::new().with("id", name))
            .await;
        if let Some(link) = conn::link(name) {
            if let Some(call) = self.calls.remove(link) {
                call.abort();
            }
            self.hold_key(link, None).await;
        }
        self.attempt("terminate", &conn::terminate(name)).await;
    }

    /// A command about something that may not be there.
    async fn attempt(&mut self, command: &str, message: &Message) {
        if let Err(error) = self.command(command, message).await {
            debug!(command, %error, "strongSwan");
        }
    }

    /// An error of the connection itself ends it, and [`Driver::serve`] with it.
    async fn command(&mut self, command: &str, message: &Message) -> Result<Message, Error> {
        let client = self.commands.as_mut().ok_or(Error::Closed)?;
        let answer = client.call(command, message).await;
        if matches!(
            answer,
            Err(Error::Io(_) | Error::Closed | Error::Silent | Error::Nonsense(_))
        ) {
            self.commands = None;
        }
        answer
    }

    /// A call takes its time, so it has a connection and a task of its own. Nobody waits for the answer to the one
    /// before.
    fn initiate(&mut self, link: String, id: CallId, spec: IpsecSpec) {
        let (socket, reports) = (self.socket.clone(), self.reports.0.clone());
        let (turns, name) = (self.turns.clone(), link.clone());
        let task = tokio::spawn(async move {
            // Nobody closes it.
            let Ok(_turn) = turns.acquire().await else {
                return;
            };
            let result = call(&socket, (&link, id), &spec, &reports).await;
            // Nobody to tell: the daemon stops.
            let _ = reports.send(Report::Initiated(link, id, result)).await;
        });
        if let Some(last) = self.calls.insert(name, task.abort_handle()) {
            last.abort();
        }
    }

    fn tell(&self, link: &str) {
        let Some(state) = self.machine.state(link) else {
            return;
        };
        let unwatched = self
            .absence
            .clone()
            .filter(|_| !self.machine.is_connected());
        self.told.send_modify(|states| {
            let since = SystemTime::now();
            let standing = Standing {
                state,
                since,
                unwatched,
            };
            Arc::make_mut(states).insert(link.to_owned(), standing);
        });
    }

    /// Whether anybody watches over them is part of how they stand.
    fn tell_all(&self) {
        let links: Vec<String> = self.told.borrow().keys().cloned().collect();
        links.iter().for_each(|link| self.tell(link));
    }

    fn forget_unwanted(&self) {
        self.told.send_if_modified(|states| {
            let gone = states.keys().any(|link| self.machine.state(link).is_none());
            if gone {
                Arc::make_mut(states).retain(|link, _| self.machine.state(link).is_some());
            }
            gone
        });
    }
}

/// Half of the threads that strongSwan has to spare, as `stats` tells.
fn calls_at_once(stats: &Message) -> usize {
    let workers = stats.section("workers");
    let idle = workers.and_then(|workers| workers.number::<usize>("idle"));
    (idle.unwrap_or_default() / 2).max(1)
}

/// One call, with what strongSwan says meanwhile.
async fn call(
    socket: &Path,
    (link, id): (&str, CallId),
    spec: &IpsecSpec,
    reports: &mpsc::Sender<Report>,
) -> Result<(), String> {
    let mut transcript = Transcript::default();
    let called = async {
        let mut client = Client::connect(socket).await?;
        client.subscribe("control-log").await?;
        let message = conn::initiate(link, CALL);
        let said = |message: Message| {
            let Some(line) = message.text("msg") else {
                return;
            };
            debug!(link, line, "strongSwan");
            transcript.push(line);
            if let Some(cause) = transcript.known_cause(spec) {
                // A full inbox hears of the next line, or of the end.
                let _ = reports.try_send(Report::Delayed(link.to_owned(), id, cause));
            }
        };
        client
            .call_streaming("initiate", &message, CALL * 2, said)
            .await
    };
    let answer = timeout(CALL * 2, called)
        .await
        .unwrap_or(Err(Error::Silent));
    answer
        .map(drop)
        .map_err(|error| transcript.cause(spec, &error.to_string()))
}

fn absence(socket: &Path, error: &Error) -> String {
    let socket = socket.display();
    match error {
        Error::Io(io) if io.kind() == std::io::ErrorKind::NotFound => format!(
            "strongSwan does not run: there is no {socket}; install charon-systemd and strongswan-swanctl, and \
             start strongswan.service"
        ),
        Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
            format!("strongSwan does not run: nobody listens at {socket}; start strongswan.service")
        }
        Error::Io(io) if io.kind() == std::io::ErrorKind::PermissionDenied => format!(
            "{socket} may not be opened by this user; the package's drop-in for strongswan.service lets the group \
             skybridge"
        ),
        Error::Io(_)
        | Error::Closed
        | Error::Silent
        | Error::Nonsense(_)
        | Error::Unknown(_)
        | Error::Refused(_) => format!("strongSwan at {socket}: {error}"),
    }
}

/// Removes every connection with our prefix, and its associations, for an uninstallation. Returns their
/// names; without strongSwan there are none.
///
/// # Errors
/// strongSwan's.
pub async fn flush(socket: &Path) -> Result<Vec<String>, Error> {
    let Ok(mut client) = Client::connect(socket).await else {
        return Ok(Vec::new());
    };
    let conns = client.call("get-conns", &Message::new()).await?;
    let conns = conns.list("conns").into_iter();
    let ours: Vec<String> = conns
        .filter(|name| conn::link(name).is_some())
        .map(str::to_owned)
        .collect();
    for name in &ours {
        client
            .call("unload-conn", &Message::new().with("name", name))
            .await?;
        for (command, message) in [
            ("unload-shared", Message::new().with("id", name)),
            ("terminate", conn::terminate(name)),
        ] {
            if let Err(error) = client.call(command, &message).await {
                // It had none.
                debug!(command, %error, "strongSwan");
            }
        }
    }
    Ok(ours)
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
