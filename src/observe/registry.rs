//! Metrics in memory, in the text format of Prometheus (exposition format 0.0.4).

use super::metrics::{Counter, Gauge, Histogram, Metrics};
use crate::os::Unpoisoned;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

/// The maximum number of step types that one metric distinguishes. Further ones are summed under `other`, so that item
/// names used as step types can't fill the memory. Other labels have few values and need no limit.
const MOST_TYPES: usize = 1_000;
const TYPE: &str = "type";
const OTHER: &str = "other";

/// Every metric, in memory.
#[derive(Default)]
pub struct Registry {
    /// Counters without a label, by position. They are incremented for every claim, so they take no lock.
    plain: [AtomicU64; Counter::ALL.len()],
    labelled: [Mutex<BTreeMap<String, u64>>; Counter::ALL.len()],
    histograms: [Mutex<BTreeMap<String, Distribution>>; Histogram::ALL.len()],
    gauges: [Mutex<BTreeMap<Vec<String>, f64>>; Gauge::ALL.len()],
}

#[derive(Default)]
struct Distribution {
    /// One more than there are bounds.
    buckets: Vec<u64>,
    sum: f64,
}

impl Registry {
    pub fn new() -> Registry {
        Registry::default()
    }

    /// A counter's value, over all labels.
    pub fn total(&self, counter: Counter) -> u64 {
        self.by_label(counter).values().sum()
    }

    /// A counter's values by label. The empty label has what was counted without one.
    pub fn by_label(&self, counter: Counter) -> BTreeMap<String, u64> {
        let plain = self.plain[counter as usize].load(Ordering::Relaxed);
        let mut found = lock(&self.labelled[counter as usize]).clone();
        found.extend((plain > 0).then(|| (String::new(), plain)));
        found
    }

    /// Replaces all values of a gauge at once: missing ones disappear, and no reader sees a mixture. Each value comes
    /// with the values of the gauge's labels, in order. Values with equal labels are summed.
    pub fn replace<'a, const LABELS: usize>(
        &self,
        gauge: Gauge,
        values: impl IntoIterator<Item = ([&'a str; LABELS], f64)>,
    ) {
        let types = gauge.described().2.iter().position(|it| *it == TYPE);
        let (mut all, mut distinct) = (BTreeMap::new(), BTreeSet::new());
        for (mut labels, value) in values {
            if let Some(name) = types.and_then(|it| labels.get_mut(it)).filter(|it| !it.is_empty()) {
                if distinct.len() < MOST_TYPES {
                    distinct.insert(*name);
                }
                *name = if distinct.contains(*name) { *name } else { OTHER };
            }
            *all.entry(labels.map(str::to_string).to_vec()).or_default() += value;
        }
        *lock(&self.gauges[gauge as usize]) = all;
    }

    /// The complete text for `/metrics`. Counters and histograms without a label are included even while they are zero.
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        self.write_counters(&mut text);
        self.write_histograms(&mut text);
        self.write_gauges(&mut text);
        text
    }

    fn write_counters(&self, text: &mut String) {
        for counter in Counter::ALL {
            let (name, help, label) = counter.described();
            let name = format!("windlass_{name}_total");
            head(text, &name, help, "counter");
            let found = self.by_label(counter);
            if found.is_empty() && label.is_none() {
                let _ = writeln!(text, "{name} 0");
            }
            for (value, count) in found {
                let labels = labels(label.as_slice(), &[value]);
                let _ = writeln!(text, "{name}{} {count}", braced(&labels));
            }
        }
    }

    fn write_histograms(&self, text: &mut String) {
        for histogram in Histogram::ALL {
            let (name, help, label) = histogram.described();
            let name = format!("windlass_{name}");
            head(text, &name, help, "histogram");
            for (value, distribution) in lock(&self.histograms[histogram as usize]).iter() {
                let own = labels(label.as_slice(), std::slice::from_ref(value));
                let bounds = histogram.bounds().iter().map(f64::to_string).chain(["+Inf".to_string()]);
                let mut below = 0;
                for (bound, count) in bounds.zip(&distribution.buckets) {
                    below += count;
                    let mut labels = own.clone();
                    labels.push(format!("le=\"{bound}\""));
                    let _ = writeln!(text, "{name}_bucket{} {below}", braced(&labels));
                }
                let _ = writeln!(text, "{name}_sum{} {}", braced(&own), distribution.sum);
                let _ = writeln!(text, "{name}_count{} {below}", braced(&own));
            }
        }
    }

    fn write_gauges(&self, text: &mut String) {
        for gauge in Gauge::ALL {
            let (name, help, names) = gauge.described();
            let name = format!("windlass_{name}");
            head(text, &name, help, "gauge");
            for (values, value) in lock(&self.gauges[gauge as usize]).iter() {
                let _ = writeln!(text, "{name}{} {value}", braced(&labels(names, values)));
            }
        }
    }
}

impl Metrics for Registry {
    fn add(&self, counter: Counter, label: &str, by: u64) {
        if label.is_empty() {
            self.plain[counter as usize].fetch_add(by, Ordering::Relaxed);
            return;
        }
        let mut labelled = lock(&self.labelled[counter as usize]);
        let bounded = counter.described().2 == Some(TYPE);
        let label = label_of(&labelled, label, bounded);
        *labelled.entry(label.to_string()).or_default() += by;
    }

    fn observe(&self, histogram: Histogram, label: &str, value: f64) {
        if !value.is_finite() {
            return;
        }
        let mut by_label = lock(&self.histograms[histogram as usize]);
        let label = label_of(&by_label, label, histogram.described().2 == Some(TYPE));
        let bounds = histogram.bounds();
        let distribution = by_label.entry(label.to_string()).or_default();
        distribution.buckets.resize(bounds.len() + 1, 0);
        distribution.buckets[bounds.partition_point(|bound| *bound < value)] += 1;
        distribution.sum += value;
    }
}

/// The label under which to count, given the labels that the metric already has.
fn label_of<'a, T>(counted: &BTreeMap<String, T>, label: &'a str, bounded: bool) -> &'a str {
    let has_room = !bounded || counted.len() < MOST_TYPES || counted.contains_key(label);
    if has_room { label } else { OTHER }
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn labels(names: &[&str], values: &[String]) -> Vec<String> {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let present = names.iter().zip(values).filter(|it| !it.1.is_empty());
    present.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect()
}

fn braced(labels: &[String]) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unpoisoned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_names_units_labels_and_values() {
        let registry = Registry::new();
        registry.count(Counter::ClaimIdle);
        registry.add(Counter::StepCompleted, "par\"se\\\n", 3);
        registry.replace(Gauge::Steps, [(["PENDING", "parse"], 5.0)]);
        registry.replace(Gauge::WalBytes, [([], 4096.0)]);
        let text = registry.prometheus();
        for line in [
            "# HELP windlass_claim_idle_total Claims that found nothing to do.",
            "# TYPE windlass_claim_idle_total counter",
            "windlass_claim_idle_total 1",
            "windlass_claim_attempts_total 0",
            r#"windlass_step_completed_total{type="par\"se\\\n"} 3"#,
            r#"windlass_steps{status="PENDING",type="parse"} 5"#,
            "windlass_wal_bytes 4096",
            "# TYPE windlass_step_duration_seconds histogram",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
        assert_eq!((registry.total(Counter::StepCompleted), registry.total(Counter::LeaseLost)), (3, 0));
    }

    #[test]
    fn buckets_count_everything_up_to_their_bound() {
        let registry = Registry::new();
        for millis in [1, 2, 2, 400, 10_000_000u32] {
            registry.observe(Histogram::StepDuration, "a", f64::from(millis) / 1000.0);
        }
        registry.observe(Histogram::StepDuration, "a", f64::NAN);
        let text = registry.prometheus();
        for line in [
            r#"windlass_step_duration_seconds_bucket{type="a",le="0.001"} 1"#,
            r#"windlass_step_duration_seconds_bucket{type="a",le="0.005"} 3"#,
            r#"windlass_step_duration_seconds_bucket{type="a",le="0.5"} 4"#,
            r#"windlass_step_duration_seconds_bucket{type="a",le="7200"} 4"#,
            r#"windlass_step_duration_seconds_bucket{type="a",le="+Inf"} 5"#,
            r#"windlass_step_duration_seconds_count{type="a"} 5"#,
            r#"windlass_step_duration_seconds_sum{type="a"} 10000.405"#,
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
    }

    #[test]
    fn endless_labels_end_up_under_other() {
        let registry = Registry::new();
        for number in 0..5_000 {
            registry.add(Counter::StepFailed, &format!("type-{number}"), 1);
        }
        let labels = registry.by_label(Counter::StepFailed);
        assert!(labels.len() <= MOST_TYPES + 1, "{}", labels.len());
        assert_eq!((registry.total(Counter::StepFailed), labels[OTHER] > 3_000), (5_000, true));
        // Other metrics are unaffected: neither another counter, nor one with a label of few values.
        registry.add(Counter::StepCompleted, "parse", 1);
        registry.add(Counter::WorkerRecycled, "age", 1);
        registry.add(Counter::ArtifactBytes, "in", 1);
        for (counter, label) in
            [(Counter::StepCompleted, "parse"), (Counter::WorkerRecycled, "age"), (Counter::ArtifactBytes, "in")]
        {
            assert_eq!(registry.by_label(counter), BTreeMap::from([(label.to_string(), 1)]), "{counter:?}");
        }
        for number in 0..=MOST_TYPES {
            registry.add(Counter::WorkerRecycled, &format!("reason-{number}"), 1);
        }
        assert!(!registry.by_label(Counter::WorkerRecycled).contains_key(OTHER), "only types are bounded");
    }

    #[test]
    fn the_sum_of_a_gauge_is_true_however_many_types_there_are() {
        let registry = Registry::new();
        let types: Vec<String> = (0..5_000).map(|it| format!("type-{it}")).collect();
        let of_types = types.iter().flat_map(|it| [(["ready", it.as_str()], 2.0), (["running", it.as_str()], 1.0)]);
        registry.replace(Gauge::Steps, of_types.chain([(["delayed", ""], 7.0)]));
        registry.replace(Gauge::PoolBusy, [(["a"], 1.0)]);
        registry.replace(Gauge::WalBytes, [([], 4096.0)]);
        let text = registry.prometheus();
        for line in [
            r#"windlass_steps{status="delayed"} 7"#,
            r#"windlass_steps{status="ready",type="type-999"} 2"#,
            r#"windlass_steps{status="running",type="other"} 4000"#,
            r#"windlass_pool_busy{pool="a"} 1"#,
            "windlass_wal_bytes 4096",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}");
        }
        let ready = text.lines().filter(|it| it.starts_with(r#"windlass_steps{status="ready""#));
        let values: Vec<u32> = ready.filter_map(|it| it.rsplit(' ').next()?.parse().ok()).collect();
        assert_eq!((values.len(), values.iter().sum::<u32>()), (MOST_TYPES + 1, 10_000));
    }

    #[test]
    fn what_is_gone_from_a_gauge_does_not_stay() {
        let registry = Registry::new();
        registry.replace(Gauge::PoolBusy, [(["a"], 1.0)]);
        registry.replace(Gauge::PoolBusy, [(["b"], 1.0)]);
        let text = registry.prometheus();
        assert!(!text.contains(r#"{pool="a"}"#) && text.contains(r#"{pool="b"}"#), "{text}");
    }

    #[test]
    fn every_metric_has_its_own_name() {
        let mut names: Vec<&str> = Counter::ALL.iter().map(|it| it.described().0).collect();
        names.extend(Histogram::ALL.iter().map(|it| it.described().0));
        names.extend(Gauge::ALL.iter().map(|it| it.described().0));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
