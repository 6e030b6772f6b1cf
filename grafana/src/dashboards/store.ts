/** smscope's disk, and what leaves it by OTLP. */

import type { Row } from "./frame.js";
import { QUANTILES, redLine, THRESHOLDS, VOLUME } from "./look.js";
import { increase, type Metric, ratio, select, sum } from "./metrics.js";
import { lines, stat } from "./panels.js";
import { quantiles } from "./speed.js";

const NO_PROCESS = "No smscope is seen: nothing scrapes it, and nothing arrives by OTLP";
const NOT_EXPORTED = "Nothing is exported: no OTLP endpoint is set";

/** Gauges are of one process, and a rule of `max` of it is the same by either path. */
const each = (metric: Metric) => `max by (instance) (${select(metric)})`;

export const store: Row = {
  title: "Store",
  panels: [
    lines({
      title: "Commit time",
      description:
        "One durable commit, disk sync included, in the 10 minutes before each point; many events share one. Above 100 ms answers get near the provider's 300 ms: a busy or network disk. A pod's volume may be throttled.",
      none: "No commits in this time range",
      unit: "s",
      width: 8,
      queries: quantiles("smscope_store_commit_duration_seconds_bucket", "10m"),
      colors: QUANTILES,
    }),
    lines({
      title: "Size and limit",
      description:
        "Bytes in use in the database, the limit where one is set, and the write-ahead log beside it, a few MiB. A log that grows: a reader is open, such as a forgotten `sqlite3` shell. At the limit the oldest exported raw events are deleted first, then webhooks get 503. It should level off after `store.retention`.",
      none: NO_PROCESS,
      unit: "bytes",
      width: 8,
      queries: [
        { name: "size {{instance}}", expr: each("smscope_store_size_bytes") },
        { name: "limit {{instance}}", expr: each("smscope_store_limit_bytes") },
        { name: "write-ahead log {{instance}}", expr: each("smscope_store_wal_size_bytes") },
      ],
      colors: {},
      calcs: ["lastNotNull", "max"],
    }),
    lines({
      title: "Events in the journal",
      description:
        "Raw events. Growing without end: `store.retention` is long for this traffic, or nothing is exported while a logs endpoint is set.",
      none: NO_PROCESS,
      unit: "locale",
      width: 8,
      queries: [{ name: "{{instance}}", expr: each("smscope_store_events") }],
      colors: {},
      calcs: ["lastNotNull", "max"],
    }),
  ],
};

const SIGNALS = { logs: VOLUME, metrics: QUANTILES.p50 };

export const exporting: Row = {
  title: "Export by OTLP, where an endpoint is set",
  optional: true,
  panels: [
    lines({
      title: "Records accepted",
      description:
        "Log records and metric points that the endpoint accepted. Logs at zero while the backlog grows: see failures.",
      none: NOT_EXPORTED,
      unit: "suffix:per min",
      width: 6,
      queries: [{ name: "{{signal}}", expr: `${sum(increase("smscope_export_records_total", "5m"), "signal")} / 5` }],
      colors: SIGNALS,
    }),
    lines({
      title: "Log records that wait",
      description:
        "It rises while the Collector is away and falls fast afterwards; nothing is lost for seven days.",
      none: NOT_EXPORTED,
      unit: "locale",
      width: 6,
      queries: [{ name: "{{signal}}", expr: sum(select("smscope_export_backlog_records"), "signal") }],
      colors: SIGNALS,
      limit: redLine(THRESHOLDS.backlog),
      calcs: ["lastNotNull", "max"],
    }),
    lines({
      title: "Age of the oldest of them",
      description:
        "Seconds are normal. At `store.export_retention` (7 days) records are dropped. Climbing: the endpoint is away, or rejects (401, 403, 404 hold everything): smscope's own log says which.",
      none: "Nothing waits",
      unit: "suffix:min",
      width: 6,
      queries: [
        {
          name: "{{signal}}",
          expr: `(time() - min by (signal) (${select("smscope_export_oldest_timestamp_seconds")})) / 60`,
        },
      ],
      colors: SIGNALS,
      limit: redLine(THRESHOLDS.backlogAge),
      calcs: ["lastNotNull", "max"],
    }),
    lines({
      title: "Failed requests and dropped records",
      description:
        "In the hour before each point. Requests that failed: most are retried. Records dropped: rejected by the endpoint, or too old; those are lost to your logs, though still in the store as long as raw events are.",
      none: NOT_EXPORTED,
      unit: "suffix:per hour",
      width: 6,
      queries: [
        { name: "{{signal}} requests failed", expr: sum(increase("smscope_export_failures_total", "1h"), "signal") },
        {
          name: "{{signal}} records dropped",
          expr: sum(increase("smscope_export_dropped_records_total", "1h"), "signal"),
        },
      ],
      colors: {},
    }),
    stat({
      title: "Share of the store's limit",
      description:
        "Bytes in use of `store.size_limit`, where one is set. Above 80 %: raise the limit, shorten `store.retention`, or see why export lags.",
      none: "No limit is set",
      unit: "percentunit",
      decimals: 1,
      width: 6,
      queries: [
        { name: "full", expr: `max(${ratio(each("smscope_store_size_bytes"), each("smscope_store_limit_bytes"))})` },
      ],
      steps: THRESHOLDS.full,
    }),
  ],
};
