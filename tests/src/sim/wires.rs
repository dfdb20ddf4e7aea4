//! What happens below the routers: datagrams and TCP on the cables.

use std::time::Duration;

use bgp::PeerId;
use bgp::session::Conn;

use super::link::Datagram;
use super::peer::{self, Wish};
use super::router::{Effect, Router};
use super::stream::{Content, End, Stream};
use super::{Cable, Event, Network, Place, Random, Stop};

/// How long a closing connection may take to deliver its last words.
const LINGER: Duration = Duration::from_secs(2);
/// A peer that does not answer a SYN for so long is not there.
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);
/// Until the first SYN is repeated; doubles with each (RFC 6298 §2).
const FIRST_SYN_RETRY: Duration = Duration::from_secs(1);

impl Network {
    /// Lets a router do what it can, and does what it wants.
    pub(super) fn settle(&mut self, router: usize) {
        let Some(running) = &mut self.routers[router] else {
            return;
        };
        for effect in running.settle(self.now) {
            match effect {
                Effect::Wish(peer, wish) => self.perform(router, peer, wish),
                Effect::Datagram(peer, datagram) => self.send_datagram(router, peer, datagram),
            }
        }
        self.transmit(router);
        let running = self.routers[router].as_ref();
        self.deadlines[router] = running.and_then(Router::poll_timeout);
    }

    fn end_at(&self, router: usize, peer: PeerId) -> (usize, usize) {
        let cable = self.topology.routers[router].peers[peer.0 as usize].cable;
        let first = self.cables[cable].ends[0] == (router, peer);
        (cable, usize::from(!first))
    }

    fn perform(&mut self, router: usize, peer: PeerId, wish: Wish) {
        let (cable, end) = self.end_at(router, peer);
        match wish {
            Wish::Dial => {
                self.streams_opened += 1;
                let stream = self.streams_opened;
                let place = Place { cable, stream, end };
                let made = Stream::new(end, &mut self.random);
                self.cables[cable].streams.insert(stream, made);
                self.schedule(DIAL_TIMEOUT, Event::DialTimeout(place));
                self.on_syn(place, FIRST_SYN_RETRY);
            }
            Wish::HangUp { stream, last } => {
                self.close(Place { cable, stream, end }, &last);
            }
            Wish::Close { stream } => self.close(Place { cable, stream, end }, &[]),
        }
    }

    fn send_datagram(&mut self, router: usize, peer: PeerId, datagram: Datagram) {
        let (cable, end) = self.end_at(router, peer);
        let Cable {
            is_up, cuts, delay, ..
        } = self.cables[cable];
        if is_up && !self.random.happens(self.loss_per_thousand) {
            let event = Event::Datagram {
                cable,
                end: 1 - end,
                cuts,
                datagram,
            };
            self.schedule(delay, event);
        }
    }

    /// Writes what the sessions of a router have, as far as there is room.
    fn transmit(&mut self, router: usize) {
        loop {
            let mut arrivals = Vec::new();
            let Some(running) = &mut self.routers[router] else {
                return;
            };
            for (peer, spec) in running
                .peers
                .iter_mut()
                .zip(&self.topology.routers[router].peers)
            {
                let cable = &mut self.cables[spec.cable];
                let end = usize::from(cable.ends[0] != (router, peer.id));
                let path = cable.path(self.now, self.loss_per_thousand);
                for (number, out) in peer.fill() {
                    let Some(stream) = cable.streams.get_mut(&number) else {
                        continue;
                    };
                    let count = stream.write(end, out, path, &mut self.random);
                    peer::written(out, count);
                    if count > 0 {
                        arrivals.push(Place {
                            cable: spec.cable,
                            stream: number,
                            end: 1 - end,
                        });
                    }
                }
            }
            if arrivals.is_empty() {
                return;
            }
            for place in arrivals {
                self.expect_arrival(place);
            }
        }
    }

    pub(super) fn expect_arrival(&mut self, place: Place) {
        let stream = self.cables[place.cable].streams.get(&place.stream);
        if let Some(at) = stream.and_then(|stream| stream.next_arrival(place.end)) {
            self.schedule_at(at.max(self.now), Event::Stream(place));
        }
    }

    pub(super) fn end_of(&self, place: Place) -> Option<End> {
        let stream = self.cables[place.cable].streams.get(&place.stream)?;
        Some(stream.ends[place.end])
    }

    fn stream(&mut self, place: Place) -> Option<(&mut Stream, &mut Random)> {
        let stream = self.cables[place.cable].streams.get_mut(&place.stream)?;
        Some((stream, &mut self.random))
    }

    pub(super) fn on_syn(&mut self, place: Place, wait: Duration) {
        if self.end_of(place) != Some(End::Opening) {
            return;
        }
        let Cable { is_up, delay, .. } = self.cables[place.cable];
        if is_up && !self.random.happens(self.loss_per_thousand) {
            self.schedule(delay, Event::SynArrives(place));
        }
        self.schedule(wait, Event::Syn(place, wait * 2));
    }

    pub(super) fn on_syn_arrival(&mut self, place: Place) {
        let Cable {
            is_up,
            delay,
            cuts,
            ref ends,
            ..
        } = self.cables[place.cable];
        let (router, _) = ends[1 - place.end];
        if !is_up {
            return;
        }
        if self.routers[router].is_some() {
            self.schedule(delay, Event::SynAckArrives(place));
        } else {
            self.schedule(delay, Event::Reset(place, cuts));
        }
    }

    pub(super) fn on_syn_ack(&mut self, place: Place) {
        if !self.cables[place.cable].is_up || self.end_of(place) != Some(End::Opening) {
            return;
        }
        let path = self.cables[place.cable].path(self.now, self.loss_per_thousand);
        if let Some((stream, _)) = self.stream(place) {
            stream.ends[place.end] = End::Open;
            stream.push(place.end, Content::Accept, path);
        }
        let other = Place {
            end: 1 - place.end,
            ..place
        };
        self.expect_arrival(other);
        self.connected(place, Conn::Outbound);
    }

    fn connected(&mut self, place: Place, conn: Conn) {
        let (router, peer) = self.cables[place.cable].ends[place.end];
        if let Some(running) = &mut self.routers[router] {
            let wish = running
                .peer(peer)
                .on_connected(conn, place.stream, self.now);
            if let Some(wish) = wish {
                self.perform(router, peer, wish);
            }
            self.settle(router);
        }
    }

    /// Delivers one thing that has arrived.
    pub(super) fn on_arrival(&mut self, place: Place) {
        let now = self.now;
        let Some((stream, _)) = self.stream(place) else {
            return;
        };
        let Some(content) = stream.receive(place.end, now) else {
            return;
        };
        let end = stream.ends[place.end];
        match (content, end) {
            (Content::Accept, End::Opening) => self.accept(place),
            (Content::Bytes(bytes), End::Open) => {
                let (router, peer) = self.cables[place.cable].ends[place.end];
                if let Some(running) = &mut self.routers[router] {
                    running.peer(peer).on_bytes(place.stream, &bytes, now);
                    self.settle(router);
                }
            }
            (Content::Fin, End::Open) => {
                self.close(place, &[]);
                self.closed(place);
            }
            (Content::Fin, End::Lingering) => self.abandon(place),
            (Content::Accept | Content::Bytes(_), End::Gone) => self.send_reset(place),
            (Content::Accept, End::Open | End::Lingering)
            | (Content::Bytes(_), End::Lingering | End::Opening)
            | (Content::Fin, End::Gone | End::Opening) => {}
        }
        self.expect_arrival(place);
        // There is room again for whoever sent it.
        let (sender, _) = self.cables[place.cable].ends[1 - place.end];
        self.transmit(sender);
    }

    fn accept(&mut self, place: Place) {
        let (router, _) = self.cables[place.cable].ends[place.end];
        if self.routers[router].is_none() {
            self.abandon(place);
            return self.send_reset(place);
        }
        if let Some((stream, _)) = self.stream(place) {
            stream.ends[place.end] = End::Open;
        }
        self.connected(place, Conn::Inbound);
    }

    /// This end says that it is done, and waits for the other to be.
    fn close(&mut self, place: Place, last: &[u8]) {
        let path = self.cables[place.cable].path(self.now, self.loss_per_thousand);
        if let Some((stream, random)) = self.stream(place) {
            stream.finish(place.end, last, path, random);
            self.schedule(LINGER, Event::Linger(place));
            self.expect_arrival(Place {
                end: 1 - place.end,
                ..place
            });
        }
    }

    fn closed(&mut self, place: Place) {
        let (router, peer) = self.cables[place.cable].ends[place.end];
        if let Some(running) = &mut self.routers[router] {
            running.peer(peer).on_closed(place.stream, self.now);
            self.settle(router);
        }
    }

    fn send_reset(&mut self, from: Place) {
        let Cable {
            is_up, delay, cuts, ..
        } = self.cables[from.cable];
        if is_up {
            let to = Place {
                end: 1 - from.end,
                ..from
            };
            self.schedule(delay, Event::Reset(to, cuts));
        }
    }

    pub(super) fn on_reset(&mut self, place: Place) {
        match self.end_of(place) {
            Some(End::Opening) => self.fail_dial(place),
            Some(End::Open) => {
                self.abandon(place);
                self.closed(place);
            }
            Some(End::Lingering) => self.abandon(place),
            Some(End::Gone) | None => {}
        }
    }

    pub(super) fn fail_dial(&mut self, place: Place) {
        self.abandon(place);
        let dialled = self.cables[place.cable].streams.get(&place.stream);
        let dialled = dialled.is_none_or(|stream| stream.dialled_by == place.end);
        let (router, peer) = self.cables[place.cable].ends[place.end];
        if let Some(running) = self.routers[router].as_mut().filter(|_| dialled) {
            running.peer(peer).on_dial_failed(self.now);
            self.settle(router);
        }
    }

    pub(super) fn abandon(&mut self, place: Place) {
        if let Some((stream, _)) = self.stream(place) {
            stream.abandon(place.end);
            if stream.is_over() {
                self.cables[place.cable].streams.remove(&place.stream);
            }
        }
    }

    /// The router at this end of a cable is no more, and neither are its sockets.
    pub(super) fn drop_streams(&mut self, cable: usize, end: usize, stop: Stop) {
        let streams: Vec<u64> = self.cables[cable].streams.keys().copied().collect();
        for stream in streams {
            let place = Place { cable, stream, end };
            let was = self.end_of(place);
            let dialled = self.cables[cable].streams.get(&stream);
            let dialled = dialled.is_some_and(|stream| stream.dialled_by == end);
            if was == Some(End::Opening) && !dialled {
                // A dial that has not reached this router has no socket here.
                continue;
            }
            self.abandon(place);
            if stop == Stop::Killed && was == Some(End::Open) {
                self.send_reset(place);
            }
        }
    }
}
