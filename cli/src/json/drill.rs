//! Drills and drains for programs.

use api::v1;
use api::v1::drain_event::Stage;
use api::v1::drill_event::Event;
use api::v1::drill_report::Verdict;
use api::v1::drill_step::Kind;
use serde::Serialize;

use crate::units::seconds;

/// `skybridge drill`: one a line, the report last.
#[derive(Serialize, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DrillEvent {
    Step {
        kind: &'static str,
        after: Option<f64>,
        text: String,
    },
    Report {
        lasted: Option<f64>,
        end: String,
        completed: bool,
        was_active: bool,
        detected_in: Option<f64>,
        switched_in: Option<f64>,
        returned_in: Option<f64>,
        lost_transmit_packets: u64,
        lost_receive_packets: u64,
        objective: Option<f64>,
        verdict: &'static str,
    },
}

impl From<&Event> for DrillEvent {
    fn from(event: &Event) -> Self {
        match event {
            Event::Step(step) => Self::Step {
                kind: kind(step.kind()),
                after: seconds(step.after.as_ref()),
                text: step.text.clone(),
            },
            Event::Report(report) => Self::Report {
                lasted: seconds(report.lasted.as_ref()),
                end: report.end.clone(),
                completed: report.completed,
                was_active: report.was_active,
                detected_in: seconds(report.detected_in.as_ref()),
                switched_in: seconds(report.switched_in.as_ref()),
                returned_in: seconds(report.returned_in.as_ref()),
                lost_transmit_packets: report.lost_transmit_packets,
                lost_receive_packets: report.lost_receive_packets,
                objective: seconds(report.objective.as_ref()),
                verdict: verdict(report.verdict()),
            },
        }
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Unspecified => "unknown",
        Kind::Begun => "begun",
        Kind::Detected => "detected",
        Kind::Switched => "switched",
        Kind::Lifted => "lifted",
        Kind::Returned => "returned",
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "missed",
        Verdict::None | Verdict::Unspecified => "none",
    }
}

/// `skybridge drill stop`.
#[derive(Serialize, Debug)]
pub(crate) struct EndDrill {
    ended: bool,
}

impl From<&v1::EndDrillResponse> for EndDrill {
    fn from(message: &v1::EndDrillResponse) -> Self {
        Self {
            ended: message.ended,
        }
    }
}

/// `skybridge drain` and `undrain`: one a line.
#[derive(Serialize, Debug)]
pub(crate) struct DrainEvent {
    stage: &'static str,
    text: String,
}

impl From<&v1::DrainEvent> for DrainEvent {
    fn from(message: &v1::DrainEvent) -> Self {
        let stage = match message.stage() {
            Stage::Unspecified => "unknown",
            Stage::Waiting => "waiting",
            Stage::Done => "done",
            Stage::TimedOut => "timed_out",
            Stage::Blind => "blind",
        };
        Self {
            stage,
            text: message.text.clone(),
        }
    }
}
