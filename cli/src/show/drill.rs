//! `skybridge drill`: what happens, as it happens, and what came of it.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{anyhow, bail};
use api::v1;
use api::v1::drill_event::Event;
use api::v1::drill_report::Verdict;
use api::v1::links_client::LinksClient;
use tonic::transport::Channel;

use crate::args::{Drill, DrillOn};
use crate::output::{Output, Printed};
use crate::units::{count, millis};
use crate::{Failure, Outcome, answer, client, json, output};

use super::{Screen, Tone, clean};

pub(crate) async fn run(
    channel: Channel,
    drill: Drill,
    output: &mut Output,
) -> Result<Outcome, Failure> {
    let request = match drill {
        Drill::Fail { on } => request(on, v1::Fault::Silence),
        Drill::Withdraw { on } => request(on, v1::Fault::Withdrawal),
        Drill::Loss { on, percent } => v1::DrillRequest {
            loss_ratio: percent / 100.0,
            ..request(on, v1::Fault::Loss)
        },
        Drill::Delay { on, by } => v1::DrillRequest {
            delay: by.try_into().ok(),
            ..request(on, v1::Fault::Delay)
        },
        Drill::Stop => return stop(channel, output).await,
    };
    follow(channel, request, output).await
}

fn request(on: DrillOn, fault: v1::Fault) -> v1::DrillRequest {
    v1::DrillRequest {
        link: on.link,
        fault: fault.into(),
        lasts: on.lasts.try_into().ok(),
        ..v1::DrillRequest::default()
    }
}

async fn stop(channel: Channel, output: &mut Output) -> Result<Outcome, Failure> {
    let response = LinksClient::new(channel)
        .end_drill(v1::EndDrillRequest {})
        .await;
    let ended = response
        .map_err(|status| client::refused(&status))?
        .into_inner();
    let text = match ended.ended {
        true => "the drill is ended; the one who began it sees the report\n",
        false => "no drill is under way\n",
    };
    answer(output, || json::EndDrill::from(&ended), |_| text.to_owned())
}

async fn follow(
    channel: Channel,
    request: v1::DrillRequest,
    output: &mut Output,
) -> Result<Outcome, Failure> {
    let mut links = LinksClient::new(channel);
    let link = clean(&request.link);
    let mut stream = match links.drill(request).await {
        Ok(response) => response.into_inner(),
        Err(status) if client::is_negative(&status) => {
            output::complain(&anyhow!("{}", status.message()));
            return Ok(Outcome::Negative);
        }
        Err(status) => return Err(client::refused(&status)),
    };
    if output.printed() == Printed::Text {
        output.text(&format!("drill on {link}; Ctrl-C ends it\n"))?;
    }
    let mut interrupted = false;
    loop {
        let event = tokio::select! {
            event = stream.message() => event.map_err(|status| client::refused(&status))?,
            hit = tokio::signal::ctrl_c(), if !interrupted => {
                hit?;
                interrupted = true;
                links
                    .end_drill(v1::EndDrillRequest {})
                    .await
                    .map_err(|status| client::refused(&status))?;
                continue;
            }
        };
        let Some(event) = event.and_then(|event| event.event) else {
            bail!("skybridged ended the drill without a report: it is stopping")
        };
        match output.printed() {
            Printed::Json => output.json_line(&json::DrillEvent::from(&event))?,
            Printed::Text => {
                let text = render(&event, &output.screen());
                output.text(&text)?;
            }
        }
        if let Event::Report(report) = event {
            return Ok(judge(&report));
        }
    }
}

fn judge(report: &v1::DrillReport) -> Outcome {
    match report.verdict() {
        Verdict::Missed => Outcome::Negative,
        _ if !report.completed => Outcome::Negative,
        Verdict::Met | Verdict::None | Verdict::Unspecified => Outcome::Good,
    }
}

fn render(event: &Event, screen: &Screen) -> String {
    match event {
        Event::Step(step) => {
            let after = step.after.and_then(|after| Duration::try_from(after).ok());
            let after = after.unwrap_or_default().as_secs_f64();
            format!("{after:>9.3} s  {}\n", clean(&step.text))
        }
        Event::Report(report) => summary(report, screen),
    }
}

fn summary(report: &v1::DrillReport, screen: &Screen) -> String {
    let mut text = String::from("\n");
    // Writing to a string cannot fail.
    let mut line = |what: &str, said: String| {
        let _ = writeln!(text, "{what:<15} {said}");
    };
    let or_not = |time: Option<&prost_types::Duration>| match time {
        Some(_) => millis(time),
        None => "not".to_owned(),
    };
    line("detected in", or_not(report.detected_in.as_ref()));
    if report.was_active {
        let switched = or_not(report.switched_in.as_ref());
        line(
            "switched in",
            format!("{switched}{}", objective(report, screen)),
        );
    } else {
        line(
            "switched in",
            "nothing had to move: the link carried no traffic".to_owned(),
        );
    }
    line(
        "packets lost",
        format!(
            "{} out, {} in",
            report.lost_transmit_packets, report.lost_receive_packets
        ),
    );
    line("returned in", or_not(report.returned_in.as_ref()));
    if !report.completed {
        let lasted = report
            .lasted
            .and_then(|lasted| Duration::try_from(lasted).ok());
        let seconds = lasted.unwrap_or_default().as_secs();
        let early = format!(
            "early, after {}: {}",
            count(seconds, "second"),
            clean(&report.end)
        );
        line("ended", screen.paint(Tone::Odd, &early));
    }
    text
}

fn objective(report: &v1::DrillReport, screen: &Screen) -> String {
    let limit = millis(report.objective.as_ref());
    match report.verdict() {
        Verdict::Met => screen.paint(Tone::Good, &format!("  within the objective, {limit}")),
        Verdict::Missed => screen.paint(Tone::Bad, &format!("  over the objective, {limit}")),
        Verdict::None | Verdict::Unspecified => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{millis, screen};
    use super::*;

    fn report() -> v1::DrillReport {
        v1::DrillReport {
            lasted: millis(0),
            end: "its time was over".to_owned(),
            completed: true,
            was_active: true,
            detected_in: millis(312),
            switched_in: millis(313),
            returned_in: None,
            lost_transmit_packets: 313,
            lost_receive_packets: 12,
            objective: millis(500),
            verdict: Verdict::Met.into(),
        }
    }

    #[test]
    fn a_report_says_what_was_found_and_what_was_promised() {
        let expected = "\ndetected in     312.00 ms\n\
                        switched in     313.00 ms  within the objective, 500.00 ms\n\
                        packets lost    313 out, 12 in\n\
                        returned in     not\n";
        assert_eq!(summary(&report(), &screen()), expected);
    }

    #[test]
    fn a_drill_that_ended_early_or_missed_its_objective_answers_no() {
        let early = v1::DrillReport {
            completed: false,
            ..report()
        };
        let missed = v1::DrillReport {
            verdict: Verdict::Missed.into(),
            ..report()
        };
        assert_eq!(judge(&report()), Outcome::Good);
        assert_eq!(judge(&early), Outcome::Negative);
        assert_eq!(judge(&missed), Outcome::Negative);
        let text = summary(&early, &screen());
        assert!(
            text.contains("ended           early, after 0 seconds"),
            "{text}"
        );
    }
}
