//! `tautline exchange` and `tautline gateway`: what they run, and how they show it.

mod table;

use std::cell::Cell;
use std::io;

use tautline_market::live::{
    ExchangeConfig, ExchangeReport, GatewayConfig, GatewayReport, RunError, run_exchange,
    run_gateway_until,
};
use tautline_relay::endpoint::DestinationPlace;

use crate::Failure;
use crate::screen::{Form, Screen, Size};

/// Runs a simulated exchange, and shows how it stands each second.
pub(crate) fn exchange(config: &ExchangeConfig, json: bool) -> Result<(), Failure> {
    let mut screen = Screen::stdout(json);
    let summary = run_exchange(config, &mut |report| show(&mut screen, report))?;
    finish(&mut screen, &summary)
}

/// Runs a gateway, and shows how it stands each second; on standard error if quotes go to standard output.
/// One that publishes nowhere is there for who reads its reports, and ends when nobody can any more.
///
/// # Errors
/// [`Failure::Doubt`], if the books are not those of the exchange at the end, and what else may fail.
pub(crate) fn gateway(config: &GatewayConfig, json: bool) -> Result<(), Failure> {
    let taken = config.to.iter().any(|to| to.place == DestinationPlace::Stdout);
    let mut screen = if taken { Screen::stderr(json) } else { Screen::stdout(json) };
    let is_in_vain = Cell::new(false);
    let mut tell = |report: &GatewayReport| {
        show(&mut screen, report);
        is_in_vain.set(config.to.is_empty() && screen.has_failed());
    };
    let end = run_gateway_until(config, &mut tell, &mut || is_in_vain.get());
    let told = match &end {
        Err(RunError::Ended { summary, .. }) if taken && !json => {
            Some(finish(&mut screen, &without_last_word(summary)))
        }
        Err(error) => error.summary().map(|it| finish(&mut screen, it)),
        Ok(summary) => Some(finish(&mut screen, summary)),
    };
    let summary = end?;
    told.transpose()?;
    summary.trouble().map_or(Ok(()), |why| Err(Failure::Doubt(why)))
}

/// The summary for a screen on which the last word stands as well: that names the destination that has failed,
/// and why.
fn without_last_word(summary: &GatewayReport) -> GatewayReport {
    let mut summary = summary.clone();
    summary.destinations.iter_mut().for_each(|to| to.error = None);
    summary
}

/// What can be shown.
trait Report: serde::Serialize {
    /// The live table, in which no line is longer than there are columns, and of instruments as many are
    /// shown as there is room for.
    fn table(&self, room: Size) -> Vec<String>;
    /// One line.
    fn line(&self) -> String;
}

impl Report for ExchangeReport {
    fn table(&self, room: Size) -> Vec<String> {
        table::exchange(self, room)
    }

    fn line(&self) -> String {
        table::exchange_line(self)
    }
}

impl Report for GatewayReport {
    fn table(&self, room: Size) -> Vec<String> {
        table::gateway(self, room)
    }

    fn line(&self) -> String {
        table::gateway_line(self)
    }
}

fn show(screen: &mut Screen, report: &impl Report) {
    let lines = match screen.form() {
        Form::Json => json(report),
        Form::Live => Ok(report.table(screen.room())),
        Form::Plain => Ok(vec![report.line()]),
    };
    screen.show(lines);
}

fn finish(screen: &mut Screen, summary: &impl Report) -> Result<(), Failure> {
    let lines = match screen.form() {
        Form::Json => json(summary)?,
        Form::Live => summary.table(Size { columns: screen.width(), ..Size::ENDLESS }),
        Form::Plain => summary.table(Size::ENDLESS),
    };
    Ok(screen.finish(&lines)?)
}

fn json(report: &impl serde::Serialize) -> io::Result<Vec<String>> {
    Ok(vec![serde_json::to_string(report)?])
}
