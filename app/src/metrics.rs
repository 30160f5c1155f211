//! Numbers of a role for Prometheus, on a port of this machine when asked for.
//!
//! Invariant: the port is loopback: whoever may read the numbers of a role has an account on its machine.

use std::net::SocketAddr;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::report::Report;
use crate::wrong_use;

/// What Prometheus is told of one number.
#[derive(Clone, Copy)]
pub(crate) enum Sample {
    /// Only grows while the process lives.
    Counter(&'static str, &'static str, u64),
    /// May fall.
    Gauge(&'static str, &'static str, u64),
}

/// The port at which the numbers of this process are read.
pub(crate) struct Metrics(());

impl Metrics {
    /// Listens at `address`; nothing is listened at without one.
    pub(crate) fn listen(
        address: Option<SocketAddr>,
        report: &Report,
    ) -> anyhow::Result<Option<Self>> {
        let Some(address) = address else {
            return Ok(None);
        };
        if !address.ip().is_loopback() {
            return Err(wrong_use(format!(
                "--metrics {address}: the numbers are not protected, so they are given on loopback alone: use 127.0.0.1:{}",
                address.port()
            )));
        }
        let (recorder, exporter) = PrometheusBuilder::new()
            .with_http_listener(address)
            .build()
            .map_err(|error| wrong_use(format!("--metrics {address}: {error}")))?;
        metrics::set_global_recorder(recorder)
            .map_err(|_| anyhow::anyhow!("the numbers of this process are given already"))?;
        tokio::spawn(exporter);
        report.say(format!(
            "numbers for Prometheus at http://{address}/metrics"
        ));
        Ok(Some(Self(())))
    }

    /// What stands behind each name from now on.
    pub(crate) fn tell(&self, samples: impl IntoIterator<Item = Sample>) {
        for sample in samples {
            match sample {
                Sample::Counter(name, help, value) => {
                    describe_counter!(name, help);
                    counter!(name).absolute(value);
                }
                Sample::Gauge(name, help, value) => {
                    describe_gauge!(name, help);
                    gauge!(name).set(value as f64);
                }
            }
        }
    }
}
