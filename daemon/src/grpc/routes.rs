//! Questions about routes: which, of whom, and how many.

use std::net::IpAddr;
use std::sync::Arc;

use api::v1::list_routes_request::View;
use api::v1::{ListRoutesRequest, ListRoutesResponse};
use bgp::rib::{PathView, Rib, RouteView, Selection, Step};
use bgp::{Family, PeerId, Prefix};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use super::render;
use crate::drivers::messages::FibMessage;
use crate::drivers::rib::read;
use crate::snapshot::Reader;

/// Routes in one message of an answer, and read from the RIB at once.
const PAGE: usize = 500;
/// Places of the table looked at at once.
const PLACES: usize = 20_000;

/// Which routes are asked for.
pub(super) struct Question {
    which: Which,
    of: Of,
    limit: usize,
}

enum Which {
    All,
    Holding(IpAddr),
    Exactly(Prefix),
    Within(Prefix),
}

/// Whose paths are shown.
#[derive(Clone, Copy)]
enum Of {
    Everybody,
    ReceivedFrom(PeerId),
    AcceptedFrom(PeerId),
    AdvertisedTo(PeerId),
}

/// The one who asked is, or the RIB.
pub(super) struct Gone;

type Answers = mpsc::Sender<Result<ListRoutesResponse, Status>>;

impl Question {
    /// # Errors
    ///
    /// Neither prefix nor address; no such peer; a view of nobody.
    pub(super) fn parse(request: &ListRoutesRequest, reader: &Reader) -> Result<Self, Status> {
        let limit = if request.limit == 0 {
            usize::MAX
        } else {
            request.limit as usize
        };
        Ok(Self {
            which: Which::parse(request)?,
            of: Of::parse(request, reader)?,
            limit,
        })
    }

    pub(super) async fn answer(self, reader: &Reader, answers: &Answers) -> Result<(), Gone> {
        let Self { which, of, limit } = self;
        match which {
            Which::Exactly(prefix) => {
                let found = look(reader, of, vec![prefix]).await?;
                send(reader, answers, found).await
            }
            Which::Holding(address) => {
                let found = read(&reader.rib, move |rib| rib.longest_match(address)).await;
                let prefix = found.ok_or(Gone)?.map(|route| route.prefix);
                let found = look(reader, of, prefix.into_iter().collect()).await?;
                send(reader, answers, found).await
            }
            Which::All => {
                let mut left = limit;
                for family in Family::ALL {
                    left = walk(reader, answers, family, of, None, left).await?;
                }
                Ok(())
            }
            Which::Within(prefix) => {
                let family = Family::of(&prefix);
                let walked = walk(reader, answers, family, of, Some(prefix), limit);
                walked.await.map(drop)
            }
        }
    }
}

impl Which {
    fn parse(request: &ListRoutesRequest) -> Result<Self, Status> {
        let text = request.prefix.trim();
        if text.is_empty() {
            return Ok(Self::All);
        }
        if let Ok(prefix) = text.parse::<Prefix>() {
            let prefix = prefix.trunc();
            return Ok(if request.longer {
                Self::Within(prefix)
            } else {
                Self::Exactly(prefix)
            });
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Holding(address));
        }
        let said: String = text.chars().take(64).collect();
        Err(Status::invalid_argument(format!(
            "{said:?} is neither a prefix (10.0.0.0/8) nor an address (10.1.2.3)"
        )))
    }
}

impl Of {
    fn parse(request: &ListRoutesRequest, reader: &Reader) -> Result<Self, Status> {
        let view = request.view();
        if request.peer.is_empty() {
            return match view {
                View::Unspecified => Ok(Self::Everybody),
                View::Received | View::Accepted | View::Advertised => {
                    Err(Status::invalid_argument("say of which peer"))
                }
            };
        }
        let said: String = request.peer.chars().take(64).collect();
        let peer = reader
            .peer(&request.peer)
            .ok_or_else(|| Status::not_found(format!("no peer is called {said}")))?;
        Ok(match view {
            View::Unspecified | View::Received => Self::ReceivedFrom(peer),
            View::Accepted => Self::AcceptedFrom(peer),
            View::Advertised => Self::AdvertisedTo(peer),
        })
    }

    /// Prefixes worth a look.
    fn selection(self, cover: Option<Prefix>) -> Selection {
        match (self, cover) {
            (Self::Everybody, None) => Selection::All,
            (Self::Everybody, Some(cover)) => Selection::Within(cover),
            (Self::ReceivedFrom(peer) | Self::AcceptedFrom(peer), _) => {
                Selection::ReceivedFrom(peer)
            }
            (Self::AdvertisedTo(peer), _) => Selection::AdvertisedTo(peer),
        }
    }

    /// The destination with the paths that are asked for, if there are any.
    fn view(self, rib: &Rib, prefix: &Prefix) -> Option<RouteView> {
        if let Self::AdvertisedTo(peer) = self {
            return advertised(rib, peer, prefix);
        }
        let mut route = rib.route(prefix)?;
        route.paths.retain(|path| match self {
            Self::ReceivedFrom(peer) => path.peer == Some(peer),
            Self::AcceptedFrom(peer) => path.peer == Some(peer) && render::is_eligible(path.step),
            Self::Everybody | Self::AdvertisedTo(_) => true,
        });
        if let Self::ReceivedFrom(_) = self {
            for path in &mut route.paths {
                path.attrs = Arc::clone(&path.received);
            }
        }
        (!route.paths.is_empty()).then_some(route)
    }
}

/// What the peer was told, beside the name of the peer whose path it is.
fn advertised(rib: &Rib, peer: PeerId, prefix: &Prefix) -> Option<RouteView> {
    let attrs = rib.advertised(peer, prefix)?;
    let best = rib
        .route(prefix)
        .and_then(|route| route.paths.into_iter().next());
    let path = PathView {
        peer: best.as_ref().and_then(|path| path.peer),
        path_id: None,
        stale: false,
        received: Arc::clone(&attrs),
        attrs,
        best: true,
        step: best.map_or(Step::OnlyPath, |path| path.step),
    };
    Some(RouteView {
        prefix: *prefix,
        paths: vec![path],
    })
}

async fn look(reader: &Reader, of: Of, prefixes: Vec<Prefix>) -> Result<Vec<RouteView>, Gone> {
    let views = read(&reader.rib, move |rib| {
        let views = prefixes.iter().filter_map(|prefix| of.view(rib, prefix));
        views.collect()
    });
    views.await.ok_or(Gone)
}

/// Sends the routes of a family in order, all or those within `cover`. Returns how many more may
/// be sent. No look at the RIB is long.
async fn walk(
    reader: &Reader,
    answers: &Answers,
    family: Family,
    of: Of,
    cover: Option<Prefix>,
    mut left: usize,
) -> Result<usize, Gone> {
    if left == 0 {
        return Ok(0);
    }
    let prefixes = collect(reader, answers, family, of.selection(cover)).await?;
    let prefixes = tokio::task::spawn_blocking(move || sorted(prefixes, cover))
        .await
        .map_err(|_| Gone)?;
    for page in prefixes.chunks(PAGE) {
        let mut found = look(reader, of, page.to_vec()).await?;
        found.truncate(left);
        left -= found.len();
        send(reader, answers, found).await?;
        if left == 0 {
            break;
        }
    }
    Ok(left)
}

async fn collect(
    reader: &Reader,
    answers: &Answers,
    family: Family,
    selection: Selection,
) -> Result<Vec<Prefix>, Gone> {
    let mut prefixes = Vec::new();
    let mut from = None;
    loop {
        let page = read(&reader.rib, move |rib| {
            rib.prefixes(family, selection, from, PLACES)
        });
        let page = page.await.ok_or(Gone)?;
        prefixes.extend(page.prefixes);
        from = page.next;
        if from.is_none() {
            return Ok(prefixes);
        }
        if answers.is_closed() {
            return Err(Gone);
        }
    }
}

fn sorted(mut prefixes: Vec<Prefix>, cover: Option<Prefix>) -> Vec<Prefix> {
    if let Some(cover) = cover {
        prefixes.retain(|prefix| cover.contains(prefix));
    }
    prefixes.sort_unstable();
    prefixes
}

async fn send(reader: &Reader, answers: &Answers, routes: Vec<RouteView>) -> Result<(), Gone> {
    if routes.is_empty() {
        return Ok(());
    }
    let prefixes = routes.iter().map(|route| route.prefix).collect();
    let (answer, answered) = oneshot::channel();
    let question = FibMessage::Read(prefixes, answer);
    reader.fib.send(question).await.map_err(|_| Gone)?;
    let kernel = answered.await.map_err(|_| Gone)?;
    let routes = render::routes(reader, &routes, &kernel);
    let answer = Ok(ListRoutesResponse { routes });
    answers.send(answer).await.map_err(|_| Gone)
}
