//! The services, a few lines a call.

use std::net::IpAddr;
use std::pin::Pin;

use api::v1::events_server::Events;
use api::v1::links_server::Links;
use api::v1::peers_server::Peers;
use api::v1::routes_server::Routes;
use api::v1::system_server::System;
use api::v1::{
    Event, ListGroupsRequest, ListGroupsResponse, ListLinksRequest, ListLinksResponse,
    ListPeersRequest, ListPeersResponse, ListRoutesRequest, ListRoutesResponse, ListTunnelsRequest,
    ListTunnelsResponse, ReloadRequest, ReloadResponse, ResetPeerRequest, ResetPeerResponse,
    StatusRequest, StatusResponse, WatchRequest, reset_peer_request,
};
use bgp::rib::RouteView;
use bgp::{Family, Prefix};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{events, render};
use crate::drivers::messages::{Command, FibMessage, Manner, Reset};
use crate::drivers::rib::read;
use crate::snapshot::Reader;

/// Routes in one message of an answer.
const PAGE: usize = 500;
/// Routes read from the RIB at once.
const READ: usize = 10_000;

/// See the [module](self).
#[derive(Clone)]
pub(super) struct Services {
    pub(super) reader: Reader,
    pub(super) commands: mpsc::Sender<Command>,
}

#[tonic::async_trait]
impl System for Services {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let snapshot = self.reader.snapshot().await;
        Ok(Response::new(render::status(&snapshot, &self.reader.board)))
    }

    async fn reload(&self, _: Request<ReloadRequest>) -> Result<Response<ReloadResponse>, Status> {
        let (answer, answered) = oneshot::channel();
        self.commands
            .send(Command::Reload(answer))
            .await
            .map_err(|_| ending())?;
        let reloaded = answered.await.map_err(|_| ending())?;
        let reloaded = reloaded.map_err(Status::failed_precondition)?;
        let (revision, changes) = (reloaded.revision, reloaded.changes);
        Ok(Response::new(ReloadResponse { revision, changes }))
    }
}

#[tonic::async_trait]
impl Links for Services {
    async fn list(
        &self,
        _: Request<ListLinksRequest>,
    ) -> Result<Response<ListLinksResponse>, Status> {
        let links = render::links(&self.reader.snapshot().await);
        Ok(Response::new(ListLinksResponse { links }))
    }

    async fn list_groups(
        &self,
        _: Request<ListGroupsRequest>,
    ) -> Result<Response<ListGroupsResponse>, Status> {
        let groups = render::groups(&self.reader.snapshot().await);
        Ok(Response::new(ListGroupsResponse { groups }))
    }

    async fn list_tunnels(
        &self,
        _: Request<ListTunnelsRequest>,
    ) -> Result<Response<ListTunnelsResponse>, Status> {
        let tunnels = render::tunnels(&self.reader.snapshot().await);
        Ok(Response::new(ListTunnelsResponse { tunnels }))
    }
}

#[tonic::async_trait]
impl Peers for Services {
    async fn list(
        &self,
        _: Request<ListPeersRequest>,
    ) -> Result<Response<ListPeersResponse>, Status> {
        let peers = render::peers(&self.reader.snapshot().await);
        Ok(Response::new(ListPeersResponse { peers }))
    }

    async fn reset(
        &self,
        request: Request<ResetPeerRequest>,
    ) -> Result<Response<ResetPeerResponse>, Status> {
        let request = request.into_inner();
        let manner = match request.manner() {
            reset_peer_request::Manner::Session => Manner::Session,
            reset_peer_request::Manner::Hard => Manner::Hard,
            reset_peer_request::Manner::SoftIn => Manner::SoftIn,
            reset_peer_request::Manner::SoftOut => Manner::SoftOut,
            reset_peer_request::Manner::Unspecified => {
                return Err(Status::invalid_argument("no manner is asked for"));
            }
        };
        let said: String = request.peer.chars().take(64).collect();
        let reset = Reset {
            peer: request.peer,
            manner,
            message: request.message,
        };
        let (answer, answered) = oneshot::channel();
        self.commands
            .send(Command::Reset(reset, answer))
            .await
            .map_err(|_| ending())?;
        let done = answered.await.map_err(|_| ending())?;
        let unknown = || Status::not_found(format!("no peer is called {said}"));
        let done = done.ok_or_else(unknown)?;
        Ok(Response::new(ResetPeerResponse { done }))
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Routes for Services {
    type ListStream = Answers<ListRoutesResponse>;

    async fn list(
        &self,
        request: Request<ListRoutesRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let question = Question::parse(&request.into_inner())?;
        let (answers, stream) = mpsc::channel(4);
        let reader = self.reader.clone();
        tokio::spawn(async move {
            // The one who asked may go away in the middle.
            let _ = question.answer(&reader, &answers).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

#[tonic::async_trait]
impl Events for Services {
    type WatchStream = Answers<Event>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let stream = events::watch(&self.reader.board.journal, &request.into_inner());
        Ok(Response::new(Box::pin(stream)))
    }
}

fn ending() -> Status {
    Status::unavailable("skybridged is stopping")
}

/// Which routes are asked for.
struct Question {
    which: Which,
    limit: usize,
}

enum Which {
    All,
    Holding(IpAddr),
    Exactly(Prefix),
    Within(Prefix),
}

struct Gone;

impl Question {
    fn parse(request: &ListRoutesRequest) -> Result<Self, Status> {
        let text = request.prefix.trim();
        let which = if text.is_empty() {
            Which::All
        } else if let Ok(prefix) = text.parse::<Prefix>() {
            let prefix = prefix.trunc();
            if request.longer {
                Which::Within(prefix)
            } else {
                Which::Exactly(prefix)
            }
        } else if let Ok(address) = text.parse::<IpAddr>() {
            Which::Holding(address)
        } else {
            let said: String = text.chars().take(64).collect();
            return Err(Status::invalid_argument(format!(
                "{said:?} is neither a prefix (10.0.0.0/8) nor an address (10.1.2.3)"
            )));
        };
        let limit = if request.limit == 0 {
            usize::MAX
        } else {
            request.limit as usize
        };
        Ok(Self { which, limit })
    }

    async fn answer(
        self,
        reader: &Reader,
        answers: &mpsc::Sender<Result<ListRoutesResponse, Status>>,
    ) -> Result<(), Gone> {
        let limit = self.limit;
        match self.which {
            Which::Exactly(prefix) => {
                let found = read(&reader.rib, move |rib| rib.route(&prefix))
                    .await
                    .ok_or(Gone)?;
                send(reader, answers, found.into_iter().collect()).await
            }
            Which::Holding(address) => {
                let found = read(&reader.rib, move |rib| rib.longest_match(address)).await;
                send(reader, answers, found.ok_or(Gone)?.into_iter().collect()).await
            }
            Which::All => {
                let mut left = limit;
                for family in Family::ALL {
                    left = walk(reader, answers, family, None, left).await?;
                }
                Ok(())
            }
            Which::Within(prefix) => {
                walk(reader, answers, Family::of(&prefix), Some(prefix), limit)
                    .await
                    .map(drop)
            }
        }
    }
}

/// Sends the routes of a family in order, all or those within `cover`. Returns how many more may
/// be sent.
async fn walk(
    reader: &Reader,
    answers: &mpsc::Sender<Result<ListRoutesResponse, Status>>,
    family: Family,
    cover: Option<Prefix>,
    mut left: usize,
) -> Result<usize, Gone> {
    let mut after = None;
    while left > 0 {
        let page = read(&reader.rib, move |rib| rib.routes(family, after, READ))
            .await
            .ok_or(Gone)?;
        let Some(last) = page.last() else { break };
        after = Some(last.prefix);
        let inside = |route: &RouteView| cover.is_none_or(|cover| cover.contains(&route.prefix));
        let wanted: Vec<_> = page.into_iter().filter(inside).take(left).collect();
        left -= wanted.len();
        for part in wanted.chunks(PAGE) {
            send(reader, answers, part.to_vec()).await?;
        }
    }
    Ok(left)
}

async fn send(
    reader: &Reader,
    answers: &mpsc::Sender<Result<ListRoutesResponse, Status>>,
    routes: Vec<RouteView>,
) -> Result<(), Gone> {
    let prefixes = routes.iter().map(|route| route.prefix).collect();
    let (answer, answered) = oneshot::channel();
    reader
        .fib
        .send(FibMessage::Read(prefixes, answer))
        .await
        .map_err(|_| Gone)?;
    let kernel = answered.await.map_err(|_| Gone)?;
    let routes = render::routes(reader, &routes, &kernel);
    answers
        .send(Ok(ListRoutesResponse { routes }))
        .await
        .map_err(|_| Gone)
}
