//! `smscope metrics`: what a scrape of several replicas needs to know of the metrics.

use std::process::ExitCode;

use clap::Subcommand;

use super::Exit;
use super::terminal::print;
use crate::serve::durable_metrics;

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Metrics {
    /// Print the relabeling by which Prometheus sees the durable series of a fleet under one instance, whichever replica leads
    Relabel {
        /// As a PodMonitor of the Prometheus operator has it
        #[arg(long)]
        pod_monitor: bool,
    },
}

/// The width of a line of names.
const WIDTH: usize = 100;

/// # Errors
/// None.
pub fn run(command: &Metrics) -> Result<ExitCode, Exit> {
    let Metrics::Relabel { pod_monitor } = command;
    let keys = match pod_monitor {
        true => ["metricRelabelings", "sourceLabels", "targetLabel"],
        false => ["metric_relabel_configs", "source_labels", "target_label"],
    };
    print(&relabeling(keys));
    Ok(ExitCode::SUCCESS)
}

/// Names alone, without a group: where an empty replacement is taken for none, the default `$1` is empty as well.
fn relabeling([list, source, target]: [&str; 3]) -> String {
    let mut names = vec![String::new()];
    for metric in durable_metrics() {
        if names[names.len() - 1].len() + metric.name.len() > WIDTH {
            names.push(String::new());
        }
        names.last_mut().expect("there is a line").extend([metric.name, "|"]);
    }
    let names = names.join("\\\n      ");
    format!(
        "{list}:\n  # Printed by `smscope metrics relabel`: the durable series are the fleet's, whichever replica shows them.\n  \
         - {source}: [__name__]\n    regex: &durable \"\\\n      {}\"\n    {target}: instance\n    replacement: smscope-fleet\n  \
         - {source}: [__name__]\n    regex: *durable\n    {target}: pod\n    replacement: \"\"\n",
        names.trim_end_matches('|')
    )
}
