//! Drills: what is asked for, and what is told of them.

use std::ops::RangeInclusive;
use std::time::Duration;

use api::v1::{self, drill_event, drill_report, drill_step};
use links::{DrillEnd, DrillReport, Fault, Progress, Role, Verdict};
use tonic::Status;

use super::render::duration;
use crate::drivers::drill::Said;
use crate::drivers::messages::{Denied, Ordered};

/// The shortest drill that shows anything, and the longest that is still one.
const LASTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// Less is no delay, and what takes longer than this is lost for whoever waits.
const DELAYS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);

/// What is asked for.
pub(super) fn order(request: &v1::DrillRequest) -> Result<Ordered, Status> {
    let fault = match request.fault() {
        v1::Fault::Silence => Fault::Silence,
        v1::Fault::Withdrawal => Fault::Withdrawal,
        v1::Fault::Loss if request.loss_ratio > 0.0 && request.loss_ratio <= 1.0 => {
            Fault::Loss(request.loss_ratio)
        }
        v1::Fault::Loss => {
            return Err(Status::invalid_argument(
                "loss_ratio is not over 0 and up to 1",
            ));
        }
        v1::Fault::Delay => {
            let by = within(request.delay, DELAYS);
            Fault::Delay(
                by.ok_or_else(|| Status::invalid_argument("delay is not from 1 ms to 10 s"))?,
            )
        }
        v1::Fault::Unspecified => return Err(Status::invalid_argument("no fault is asked for")),
    };
    let lasts = within(request.lasts, LASTS);
    let lasts = lasts.ok_or_else(|| Status::invalid_argument("lasts is not from 1 s to 1 h"))?;
    Ok(Ordered {
        link: request.link.clone(),
        fault,
        lasts,
    })
}

fn within(
    time: Option<prost_types::Duration>,
    range: RangeInclusive<Duration>,
) -> Option<Duration> {
    let time = Duration::try_from(time?).ok()?;
    range.contains(&time).then_some(time)
}

/// Why nothing is done.
pub(super) fn denied(denied: Denied, link: &str) -> Status {
    match denied {
        Denied::Unknown => {
            let said: String = link.chars().take(64).collect();
            Status::not_found(format!("no link is called {said}"))
        }
        Denied::Refused(why) => Status::failed_precondition(why),
    }
}

/// What is told.
pub(super) fn event(link: &str, said: Said) -> v1::DrillEvent {
    let event = match said {
        Said::Progress(progress, after) => drill_event::Event::Step(step(link, progress, after)),
        Said::Report(ref drill) => drill_event::Event::Report(report(drill)),
    };
    v1::DrillEvent { event: Some(event) }
}

fn step(link: &str, progress: Progress, after: Duration) -> v1::DrillStep {
    let (kind, text) = match progress {
        Progress::Begun => (drill_step::Kind::Begun, format!("the fault is on {link}")),
        Progress::Detected(state) => (drill_step::Kind::Detected, format!("{link} is {state}")),
        Progress::Switched => (drill_step::Kind::Switched, "traffic has moved".to_owned()),
        Progress::Lifted(end) => (
            drill_step::Kind::Lifted,
            format!("the fault is lifted: {end}"),
        ),
        Progress::Returned => (drill_step::Kind::Returned, format!("{link} is as before")),
    };
    v1::DrillStep {
        kind: kind.into(),
        after: Some(duration(after)),
        text,
    }
}

fn report(report: &DrillReport) -> v1::DrillReport {
    let verdict = match report.verdict() {
        Verdict::Met => drill_report::Verdict::Met,
        Verdict::Missed => drill_report::Verdict::Missed,
        Verdict::Nothing => drill_report::Verdict::None,
    };
    v1::DrillReport {
        lasted: Some(duration(report.lasted)),
        end: report.end.to_string(),
        completed: report.end == DrillEnd::Elapsed,
        was_active: report.role == Role::Active,
        detected_in: report.detected.map(duration),
        switched_in: report.switched.map(duration),
        returned_in: report.returned.map(duration),
        lost_transmit_packets: report.lost.transmit,
        lost_receive_packets: report.lost.receive,
        objective: report.objective.map(duration),
        verdict: verdict.into(),
    }
}
