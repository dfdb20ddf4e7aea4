//! The messages of a connection, each judged by the state of that connection (RFC 4271 §8.2.2).

use std::time::Instant;

use super::collision::{self, End};
use super::conn::{Connection, Due, Stage};
use super::{
    Cease, Conn, DownReason, MessageCounts, Negotiated, Output, Session, State, negotiate,
};
use crate::route::RouteEvent;
use crate::types::Family;
use crate::wire::{
    self, Frame, MessageKind, Notification, Open, RouteRefresh, Severity, decode_update,
};

/// Events in one [`Output::Routes`], about; a message may add a few more.
const ROUTES_LIMIT: usize = 512;

impl Session {
    pub(super) fn on_message(&mut self, conn: Conn, frame: Frame<'_>, now: Instant) {
        count(&mut self.counters.messages.received, frame.kind);
        let Some(connection) = &mut self.connections[conn as usize] else {
            return;
        };
        let state = connection.state();
        if state == State::Established {
            connection.restart_hold(now);
        }
        match (state, frame.kind) {
            (_, MessageKind::Notification) => self.on_notification(conn, frame.body, now),
            (State::OpenSent, MessageKind::Open) => self.on_open(conn, frame.body, now),
            (State::OpenConfirm, MessageKind::Keepalive) => self.on_established(conn, now),
            (State::Established, MessageKind::Keepalive) => {}
            (State::Established, MessageKind::Update) => self.on_update(conn, frame.body, now),
            (State::Established, MessageKind::RouteRefresh) => {
                self.on_route_refresh(conn, frame.body, now);
            }
            (State::OpenSent, _) => self.unexpected(conn, 1, frame.kind, now),
            (State::OpenConfirm, _) => self.unexpected(conn, 2, frame.kind, now),
            (State::Established | State::Idle | State::Connect | State::Active, _) => {
                self.unexpected(conn, 3, frame.kind, now);
            }
        }
    }

    /// RFC 6608: the subcode names the state, the data the type of the message.
    fn unexpected(&mut self, conn: Conn, subcode: u8, kind: MessageKind, now: Instant) {
        let notification = Notification::new(5, subcode, &[kind as u8]);
        self.fail(conn, notification, now);
    }

    fn on_notification(&mut self, conn: Conn, body: &[u8], now: Instant) {
        let Some(notification) = Notification::decode(body) else {
            return;
        };
        self.hang_up(conn, None);
        self.attempt_ended(DownReason::Received(notification), now);
    }

    fn on_open(&mut self, conn: Conn, body: &[u8], now: Instant) {
        let Some(local) = self.connections[conn as usize].as_ref().map(|c| c.local) else {
            return;
        };
        let negotiated = Open::decode(body).and_then(|open| {
            let negotiated = negotiate::negotiate(&self.config, &open, conn, local);
            self.counters.received = open.capabilities.into();
            negotiated
        });
        let negotiated = match negotiated {
            Ok(negotiated) => negotiated,
            Err(notification) => return self.fail(conn, notification, now),
        };
        if self.collides(conn, &negotiated) {
            return;
        }
        let Some(connection) = &mut self.connections[conn as usize] else {
            return;
        };
        connection.lengths = negotiate::lengths(&self.config, &negotiated);
        connection.stage = Stage::OpenConfirm(Box::new(negotiated));
        if connection.hold_time().is_some() {
            // Without one the wait for the KEEPALIVE still has the end that the wait for the OPEN had.
            connection.restart_hold(now);
        }
        connection.restart_keepalive(now, &mut self.jitter);
        self.outgoing[conn as usize].keepalive = Due::Yes;
    }

    /// Resolves a collision with the other connection; `true` when it was this one that had to go.
    /// That the other may still be in OpenSent makes no difference: this one has said who the peer
    /// is (RFC 4271 §6.8 allows it), and waiting lets the ends disagree about which has come further.
    fn collides(&mut self, conn: Conn, negotiated: &Negotiated) -> bool {
        let other = match conn {
            Conn::Inbound => Conn::Outbound,
            Conn::Outbound => Conn::Inbound,
        };
        if self.connections[other as usize].is_none() {
            return false;
        }
        let ours = End {
            router_id: self.config.router_id,
            asn: self.config.local_asn,
        };
        let theirs = End {
            router_id: negotiated.router_id,
            asn: self.config.peer_asn,
        };
        let loser = collision::loser(ours, theirs);
        let cease = Notification::cease(Cease::ConnectionCollision);
        self.hang_up(loser, Some(&cease));
        loser == conn
    }

    fn on_established(&mut self, conn: Conn, now: Instant) {
        let Some(connection) = &mut self.connections[conn as usize] else {
            return;
        };
        let Stage::OpenConfirm(negotiated) =
            std::mem::replace(&mut connection.stage, Stage::OpenSent)
        else {
            return;
        };
        connection.stage = Stage::Established(negotiated.clone());
        connection.restart_hold(now);
        let cease = Notification::cease(Cease::ConnectionCollision);
        for other in [Conn::Inbound, Conn::Outbound] {
            if other != conn && self.connections[other as usize].is_some() {
                self.hang_up(other, Some(&cease));
            }
        }
        self.give_up_dial();
        self.established_at = Some(now);
        self.refuse_until = None;
        self.peer_restart.clone_from(&negotiated.graceful_restart);
        self.counters.last_attempt = None;
        self.counters.established += 1;
        self.output(Output::Up(*negotiated));
    }

    fn on_update(&mut self, conn: Conn, body: &[u8], now: Instant) {
        let Some(Connection {
            stage: Stage::Established(negotiated),
            ..
        }) = &self.connections[conn as usize]
        else {
            return;
        };
        self.faults.clear();
        let decoded = decode_update(
            body,
            &negotiated.dialect,
            &mut self.routes,
            &mut self.faults,
        );
        self.count_faults();
        match decoded {
            Ok(()) if self.routes.len() >= ROUTES_LIMIT => self.flush_routes(),
            Ok(()) => {}
            Err(notification) => self.fail(conn, notification, now),
        }
    }

    /// An UPDATE counts once, by its worst fault.
    fn count_faults(&mut self) {
        let Some(worst) = self.faults.iter().max_by_key(|fault| fault.severity) else {
            return;
        };
        let errors = &mut self.counters.update_errors;
        match worst.severity {
            Severity::PrefixDiscard => errors.prefix_discard += 1,
            Severity::AttributeDiscard => errors.attribute_discard += 1,
            Severity::TreatAsWithdraw => errors.treat_as_withdraw += 1,
            Severity::SessionReset => errors.session_reset += 1,
        }
        self.counters.last_fault = Some(*worst);
    }

    /// Unknown subtypes and families that were not agreed on are ignored (RFC 2918 §4,
    /// RFC 7313 §5).
    fn on_route_refresh(&mut self, conn: Conn, body: &[u8], now: Instant) {
        let Some(refresh) = RouteRefresh::decode(body) else {
            let message = wire::whole(MessageKind::RouteRefresh, body);
            return self.fail(conn, Notification::refresh_length(&message), now);
        };
        let family = Family::from_afi_safi(refresh.afi, refresh.safi);
        let Some((family, (_, negotiated))) =
            family.and_then(|family| Some((family, self.established_with(family)?)))
        else {
            return;
        };
        match (refresh.subtype, negotiated.enhanced_refresh) {
            (RouteRefresh::REQUEST, _) => self.ask_for_all(family),
            (RouteRefresh::BEGINS, true) => self.routes.push(RouteEvent::RefreshBegins(family)),
            (RouteRefresh::ENDS, true) => self.routes.push(RouteEvent::RefreshEnds(family)),
            _ => {}
        }
    }

    /// Asked for twice before anyone has heard of it is asked for once.
    fn ask_for_all(&mut self, family: Family) {
        let refresh = Output::Refresh(family);
        if !self.outputs.contains(&refresh) {
            self.output(refresh);
        }
    }
}

fn count(counts: &mut MessageCounts, kind: MessageKind) {
    let count = match kind {
        MessageKind::Open => &mut counts.open,
        MessageKind::Update => &mut counts.update,
        MessageKind::Notification => &mut counts.notification,
        MessageKind::Keepalive => &mut counts.keepalive,
        MessageKind::RouteRefresh => &mut counts.route_refresh,
    };
    *count += 1;
}
