//! The services, a few lines a call.

use std::pin::Pin;
use std::sync::Arc;

use api::v1::events_server::Events;
use api::v1::links_server::Links;
use api::v1::peers_server::Peers;
use api::v1::routes_server::Routes;
use api::v1::system_server::System;
use api::v1::{
    DrainEvent, DrainRequest, DrillEvent, DrillRequest, EndDrillRequest, EndDrillResponse, Event,
    ListGroupsRequest, ListGroupsResponse, ListLinksRequest, ListLinksResponse, ListPeersRequest,
    ListPeersResponse, ListRoutesRequest, ListRoutesResponse, ListTunnelsRequest,
    ListTunnelsResponse, ReloadRequest, ReloadResponse, ResetPeerRequest, ResetPeerResponse,
    StatusRequest, StatusResponse, WatchRequest, reset_peer_request,
};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use super::routes::Question;
use super::{drain, drill, events, render};
use crate::drivers::messages::{Command, Manner, Reset};
use crate::snapshot::Reader;

/// See the [module](self).
#[derive(Clone)]
pub(super) struct Services {
    pub(super) reader: Reader,
    pub(super) commands: mpsc::Sender<Command>,
    /// Questions about routes that may be answered at once.
    pub(super) walks: Arc<Semaphore>,
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

    type DrillStream = Answers<DrillEvent>;

    async fn drill(
        &self,
        request: Request<DrillRequest>,
    ) -> Result<Response<Self::DrillStream>, Status> {
        let ordered = drill::order(&request.into_inner())?;
        let (link, (answer, answered)) = (ordered.link.clone(), oneshot::channel());
        self.commands
            .send(Command::Drill(ordered, answer))
            .await
            .map_err(|_| ending())?;
        let sayings = answered.await.map_err(|_| ending())?;
        let sayings = sayings.map_err(|denied| drill::denied(denied, &link))?;
        let events = ReceiverStream::new(sayings).map(move |said| Ok(drill::event(&link, said)));
        Ok(Response::new(Box::pin(events)))
    }

    type DrainStream = Answers<DrainEvent>;

    async fn drain(
        &self,
        request: Request<DrainRequest>,
    ) -> Result<Response<Self::DrainStream>, Status> {
        let emptied = drain::order(&request.into_inner())?;
        let (link, (answer, answered)) = (emptied.link.clone(), oneshot::channel());
        self.commands
            .send(Command::Drain(emptied, answer))
            .await
            .map_err(|_| ending())?;
        let tellings = answered.await.map_err(|_| ending())?;
        let tellings = tellings.map_err(|denied| drill::denied(denied, &link))?;
        let events = ReceiverStream::new(tellings).map(|told| Ok(drain::event(told)));
        Ok(Response::new(Box::pin(events)))
    }

    async fn end_drill(
        &self,
        _: Request<EndDrillRequest>,
    ) -> Result<Response<EndDrillResponse>, Status> {
        let (answer, answered) = oneshot::channel();
        self.commands
            .send(Command::EndDrill(answer))
            .await
            .map_err(|_| ending())?;
        let ended = answered.await.map_err(|_| ending())?;
        Ok(Response::new(EndDrillResponse { ended }))
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
        let question = Question::parse(&request.into_inner(), &self.reader)?;
        let (answers, stream) = mpsc::channel(4);
        let (reader, walks) = (self.reader.clone(), Arc::clone(&self.walks));
        tokio::spawn(async move {
            // A copy of all prefixes is held for each: few at once, and the others wait.
            let Ok(_permit) = walks.acquire().await else {
                return;
            };
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
