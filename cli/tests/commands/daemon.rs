//! A daemon that always gives the same answers, on a Unix socket of its own.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::v1;
use prost_types::{Duration, Timestamp};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{self as stream, Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Ends with its value.
pub(crate) struct Daemon {
    pub(crate) socket: PathBuf,
    refuses: Arc<AtomicBool>,
    _runtime: Runtime,
}

#[derive(Clone)]
struct Canned {
    refuses: Arc<AtomicBool>,
}

impl Daemon {
    pub(crate) fn start(socket: &Path) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let refuses = Arc::new(AtomicBool::new(false));
        let canned = Canned {
            refuses: Arc::clone(&refuses),
        };
        let listener = {
            let _guard = runtime.enter();
            UnixListener::bind(socket).expect("a socket of our own")
        };
        runtime.spawn(
            Server::builder()
                .add_service(v1::system_server::SystemServer::new(canned.clone()))
                .add_service(v1::links_server::LinksServer::new(canned.clone()))
                .add_service(v1::peers_server::PeersServer::new(canned.clone()))
                .add_service(v1::routes_server::RoutesServer::new(canned.clone()))
                .add_service(v1::events_server::EventsServer::new(canned))
                .serve_with_incoming(UnixListenerStream::new(listener)),
        );
        Self {
            socket: socket.to_owned(),
            refuses,
            _runtime: runtime,
        }
    }

    pub(crate) fn refuse_reload(&self) {
        self.refuses.store(true, Ordering::Relaxed);
    }
}

fn link() -> v1::Link {
    v1::Link {
        name: "wg-a".to_owned(),
        group: "azure".to_owned(),
        state: v1::LinkState::Up.into(),
        active: true,
        ..v1::Link::default()
    }
}

fn group() -> v1::Group {
    v1::Group {
        name: "azure".to_owned(),
        policy: "priority".to_owned(),
        links: vec!["wg-a".to_owned()],
        active: vec!["wg-a".to_owned()],
        ..v1::Group::default()
    }
}

fn peer() -> v1::Peer {
    v1::Peer {
        name: "gw".to_owned(),
        address: "192.0.2.1".to_owned(),
        asn: 64512,
        state: v1::peer::State::Established.into(),
        router_id: "192.0.2.9".to_owned(),
        hold_time: Some(Duration {
            seconds: 90,
            nanos: 0,
        }),
        ..v1::Peer::default()
    }
}

fn route(prefix: &str) -> v1::Route {
    v1::Route {
        prefix: prefix.to_owned(),
        paths: vec![v1::Path {
            peer: "gw".to_owned(),
            best: true,
            step: "only".to_owned(),
            nexthop: "10.99.0.1".to_owned(),
            as_path: "65020".to_owned(),
            ..v1::Path::default()
        }],
        hops: vec![v1::Hop {
            nexthop: "10.99.0.1".to_owned(),
            interface: "sb-wg-a".to_owned(),
            link: "wg-a".to_owned(),
            active: true,
        }],
        installed: true,
        discards: false,
    }
}

fn event(sequence: u64) -> v1::Event {
    v1::Event {
        sequence,
        at: Some(Timestamp {
            seconds: 1_795_257_301,
            nanos: 0,
        }),
        severity: v1::event::Severity::Info.into(),
        kind: "link-state".to_owned(),
        subject: "wg-a".to_owned(),
        text: "up: 5 answers".to_owned(),
    }
}

#[tonic::async_trait]
impl v1::system_server::System for Canned {
    async fn status(
        &self,
        _: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        Ok(Response::new(v1::StatusResponse {
            router_name: "nva-test".to_owned(),
            asn: 65010,
            router_id: "10.0.0.1".to_owned(),
            groups: vec![group()],
            links: vec![link()],
            peers: vec![peer()],
            ..v1::StatusResponse::default()
        }))
    }

    async fn reload(
        &self,
        _: Request<v1::ReloadRequest>,
    ) -> Result<Response<v1::ReloadResponse>, Status> {
        if self.refuses.load(Ordering::Relaxed) {
            return Err(Status::invalid_argument("t.toml:1:1: everything is wrong"));
        }
        let changes = vec!["link wg-b: added".to_owned()];
        Ok(Response::new(v1::ReloadResponse {
            revision: 2,
            changes,
        }))
    }
}

#[tonic::async_trait]
impl v1::links_server::Links for Canned {
    async fn list(
        &self,
        _: Request<v1::ListLinksRequest>,
    ) -> Result<Response<v1::ListLinksResponse>, Status> {
        Ok(Response::new(v1::ListLinksResponse {
            links: vec![link()],
        }))
    }

    async fn list_groups(
        &self,
        _: Request<v1::ListGroupsRequest>,
    ) -> Result<Response<v1::ListGroupsResponse>, Status> {
        Ok(Response::new(v1::ListGroupsResponse {
            groups: vec![group()],
        }))
    }

    async fn list_tunnels(
        &self,
        _: Request<v1::ListTunnelsRequest>,
    ) -> Result<Response<v1::ListTunnelsResponse>, Status> {
        let tunnel = v1::Tunnel {
            name: "wg-a".to_owned(),
            kind: "wireguard".to_owned(),
            backend: "kernel".to_owned(),
            up: true,
            ..v1::Tunnel::default()
        };
        Ok(Response::new(v1::ListTunnelsResponse {
            tunnels: vec![tunnel],
        }))
    }

    type DrillStream = Answers<v1::DrillEvent>;

    /// What is asked for comes back in the report.
    async fn drill(
        &self,
        request: Request<v1::DrillRequest>,
    ) -> Result<Response<Self::DrillStream>, Status> {
        use v1::drill_event::Event;
        let request = request.into_inner();
        if request.link != "wg-a" {
            return Err(Status::failed_precondition(
                "traffic would have nowhere to go",
            ));
        }
        let how_much = match request.delay {
            Some(delay) => format!("{delay}"),
            None => request.loss_ratio.to_string(),
        };
        let step = v1::DrillStep {
            kind: v1::drill_step::Kind::Detected.into(),
            after: request.lasts,
            text: format!("{:?} {how_much}", request.fault()),
        };
        let report = v1::DrillReport {
            completed: true,
            lost_transmit_packets: 3,
            ..v1::DrillReport::default()
        };
        let events = [Event::Step(step), Event::Report(report)];
        let events = events.map(|event| Ok(v1::DrillEvent { event: Some(event) }));
        Ok(Response::new(Box::pin(stream::iter(events))))
    }

    type DrainStream = Answers<v1::DrainEvent>;

    async fn drain(
        &self,
        request: Request<v1::DrainRequest>,
    ) -> Result<Response<Self::DrainStream>, Status> {
        use v1::drain_event::Stage;
        let request = request.into_inner();
        let end = match request.link.as_str() {
            "wg-a" => Stage::Done,
            "wg-b" => Stage::TimedOut,
            _ => return Err(Status::not_found("no link is called nobody")),
        };
        let text = format!("{:?}", request.order());
        let events = [Stage::Waiting, end].map(|stage| {
            Ok(v1::DrainEvent {
                stage: stage.into(),
                text: text.clone(),
            })
        });
        Ok(Response::new(Box::pin(stream::iter(events))))
    }

    async fn end_drill(
        &self,
        _: Request<v1::EndDrillRequest>,
    ) -> Result<Response<v1::EndDrillResponse>, Status> {
        Ok(Response::new(v1::EndDrillResponse { ended: true }))
    }
}

#[tonic::async_trait]
impl v1::peers_server::Peers for Canned {
    async fn list(
        &self,
        _: Request<v1::ListPeersRequest>,
    ) -> Result<Response<v1::ListPeersResponse>, Status> {
        Ok(Response::new(v1::ListPeersResponse {
            peers: vec![peer()],
        }))
    }

    async fn reset(
        &self,
        request: Request<v1::ResetPeerRequest>,
    ) -> Result<Response<v1::ResetPeerResponse>, Status> {
        let request = request.into_inner();
        if request.peer != "gw" {
            return Err(Status::not_found("no peer is called nobody"));
        }
        let done = format!("{:?} {}", request.manner(), request.message);
        Ok(Response::new(v1::ResetPeerResponse { done }))
    }
}

#[tonic::async_trait]
impl v1::routes_server::Routes for Canned {
    type ListStream = Answers<v1::ListRoutesResponse>;

    async fn list(
        &self,
        request: Request<v1::ListRoutesRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let routes = match request.into_inner().prefix.as_str() {
            "" => vec![route("10.20.0.0/16"), route("10.21.0.0/16")],
            "nonsense" => return Err(Status::invalid_argument("\"nonsense\" is not a prefix")),
            _ => Vec::new(),
        };
        let parts = routes.into_iter().map(|route| {
            Ok(v1::ListRoutesResponse {
                routes: vec![route],
            })
        });
        Ok(Response::new(Box::pin(stream::iter(
            parts.collect::<Vec<_>>(),
        ))))
    }
}

#[tonic::async_trait]
impl v1::events_server::Events for Canned {
    type WatchStream = Answers<v1::Event>;

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let held = stream::iter([Ok(event(1)), Ok(event(2))]);
        if request.into_inner().no_follow {
            return Ok(Response::new(Box::pin(held)));
        }
        Ok(Response::new(Box::pin(held.chain(stream::pending()))))
    }
}
