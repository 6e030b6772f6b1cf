/** smscope itself, for platform engineers: are webhooks taken, kept and passed on, and at what price. */

import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { dashboard } from "./frame.js";
import { NEUTRAL, OUTCOME, QUANTILES, RESULT, THRESHOLDS, VOLUME } from "./look.js";
import { increase, type Metric, ofSmscope, quantile, rate, ratio, select, sum } from "./metrics.js";
import { account, door, publicUrl } from "./outside.js";
import { heatmap, lines, stat, table } from "./panels.js";
import { relays, resends } from "./reactions.js";
import { VARIABLES } from "./variables.js";

const REQUESTS = "smscope_webhook_requests_total";
const ANSWERS = "smscope_webhook_duration_seconds_bucket";
const COMMITS = "smscope_store_commit_duration_seconds_bucket";
const NO_REQUESTS = "No requests in this time range";
const NO_PROCESS = "No smscope is seen: nothing scrapes it, and nothing comes by OTLP";
const NOT_EXPORTED = "Nothing is exported: no OTLP endpoint is set";

const results = (range: string, ...names: string[]) =>
  sum(increase(REQUESTS, range, { where: [`result=~"${names.join("|")}"`] }));
const REFUSED = ["unauthorized", "forbidden", "too_large"];
const LOST = ["timeout", "overloaded", "error"];

/** Gauges are of one process, and a rule of `max` of it is the same by either path. */
const each = (metric: Metric) => `max by (instance) (${select(metric)})`;

const isItWell = {
  title: "Is it well",
  panels: [
    stat({
      title: "Requests a second",
      description: "All requests to /hooks, whatever became of them.",
      none: NO_PROCESS,
      unit: "reqps",
      width: 3,
      decimals: 2,
      queries: [{ name: "requests", expr: sum(rate(REQUESTS)) }],
    }),
    stat({
      title: "Answered within 250 ms",
      description:
        "Share of answers within 250 ms, the largest step below the 300 ms that the provider wants. Slower ones are sent again, as duplicates. Look at the commit time and the disk first.",
      none: NO_REQUESTS,
      unit: "percentunit",
      decimals: 2,
      width: 4,
      queries: [
        {
          name: "in time",
          expr: ratio(
            sum(increase(ANSWERS, "$__range", { where: ['le="0.25"'] })),
            sum(increase("smscope_webhook_duration_seconds_count", "$__range")),
          ),
        },
      ],
      steps: THRESHOLDS.answersInTime,
    }),
    stat({
      title: "Not kept",
      description:
        "Requests of the time range that smscope could not take: timeout, overloaded or error. The provider sends them again for a day, so nothing is lost yet. More than a few: disk full, store slow, or too many at once.",
      none: NO_REQUESTS,
      unit: "short",
      decimals: 0,
      width: 3,
      queries: [{ name: "not kept", expr: results("$__range", ...LOST) }],
      steps: THRESHOLDS.anyAtAll,
    }),
    stat({
      title: "Turned away",
      description:
        "Share of requests with a wrong token, from an address or channel that is not allowed, or too large. After a change of token: the provider still has the old URL. Otherwise someone knocks.",
      none: NO_REQUESTS,
      unit: "percentunit",
      decimals: 2,
      width: 3,
      queries: [{ name: "turned away", expr: ratio(results("$__range", ...REFUSED), results("$__range", ".+")) }],
      steps: THRESHOLDS.share,
    }),
    stat({
      title: "Last webhook",
      description:
        "Time since the last authenticated webhook. Long, while messages are sent: proxy, DNS, firewall, or the provider.",
      none: "No webhook since the start",
      unit: "dtdurations",
      width: 3,
      queries: [{ name: "ago", expr: `time() - max(${select("smscope_last_webhook_timestamp_seconds")})` }],
      steps: THRESHOLDS.silence,
    }),
    stat({
      title: "Waiting for export",
      description:
        "Log records that wait to be sent. They are on disk and wait for up to seven days; see Export below.",
      none: NOT_EXPORTED,
      unit: "short",
      width: 3,
      queries: [{ name: "records", expr: sum(select("smscope_export_backlog_records")) }],
      steps: THRESHOLDS.backlog,
    }),
    stat({
      title: "Restarts",
      description:
        "Starts of the process in the time range, after the first that is seen of an instance; a pod with a new address is a new instance. Each is marked on the graphs. Not by you: look for out of memory, or a failing liveness probe.",
      none: NO_PROCESS,
      unit: "short",
      decimals: 0,
      width: 3,
      queries: [
        {
          name: "restarts",
          expr: `sum(${ofSmscope(`changes(${select("process_start_time_seconds")}[$__range])`)})`,
        },
      ],
      steps: THRESHOLDS.anyAtAll,
    }),
    stat({
      title: "Labels capped",
      description:
        "Events of the time range whose channel, flow, status, network or currency became `other`, as that label has its 50 values. Any: something puts free text into it; the log records have what it was.",
      none: "No label is at its cap",
      unit: "short",
      decimals: 0,
      width: 2,
      queries: [{ name: "capped", expr: sum(increase("smscope_labels_capped_total", "$__range")) }],
      steps: THRESHOLDS.anyAtAll,
    }),
  ],
};

const requests = {
  title: "Requests",
  panels: [
    lines({
      title: "Requests by result",
      description:
        "Blue is kept (accepted) or known already (duplicate), purple kept but not understood, brown turned away, pink not taken. Everything but pink is as it should be; the graphs below say what to do.",
      none: NO_REQUESTS,
      unit: "reqps",
      width: 12,
      stacked: true,
      queries: [{ name: "{{result}}", expr: `${sum(rate(REQUESTS), "result")} > 0` }],
      colours: RESULT,
    }),
    lines({
      title: "Answer time",
      description:
        "From request read to answer written. The provider wants it within 300 ms (dashed line) and sends again what is slower. It is nearly all commit time: compare with the store.",
      none: NO_REQUESTS,
      unit: "s",
      width: 12,
      queries: [
        { name: "p50", expr: quantile(0.5, ANSWERS, "$__rate_interval") },
        { name: "p95", expr: quantile(0.95, ANSWERS, "$__rate_interval") },
        { name: "p99", expr: quantile(0.99, ANSWERS, "$__rate_interval") },
      ],
      colours: QUANTILES,
      limit: [
        [null, VOLUME],
        [0.3, OUTCOME.failed],
      ],
    }),
    lines({
      title: "Duplicates",
      description:
        "Share of what was taken that had been taken before. A few are normal. Many: the provider does not see our answers in time; look at the answer time, and at the proxy between.",
      none: NO_REQUESTS,
      unit: "percentunit",
      width: 8,
      queries: [
        {
          name: "duplicate",
          expr: ratio(
            sum(rate(REQUESTS, { where: ['result="duplicate"'] })),
            sum(rate(REQUESTS, { where: ['result=~"accepted|duplicate"'] })),
          ),
        },
      ],
      colours: RESULT,
    }),
    lines({
      title: "Unrecognized, an hour",
      description:
        "Authenticated webhooks that are neither receipt nor reply. They are kept raw, answered 200, and lost for the figures. A new kind of callback, or the provider changed its format: `sqlite3` shows them, docs/store.md says how.",
      none: NO_REQUESTS,
      unit: "short",
      width: 8,
      queries: [
        { name: "{{source}}", expr: sum(increase(REQUESTS, "1h", { where: ['result="unrecognized"'] }), "source") },
      ],
      colours: {},
    }),
    lines({
      title: "Turned away and not taken",
      description:
        "Requests by source and why. Source `unknown` is one that is not configured. unauthorized: wrong token or secret; forbidden: address or channel id; overloaded: queue or disk full.",
      none: "Nothing was turned away",
      unit: "reqps",
      width: 8,
      queries: [
        {
          name: "{{source}} {{result}}",
          expr: `${sum(rate(REQUESTS, { where: [`result=~"${[...REFUSED, ...LOST].join("|")}"`] }), "source", "result")} > 0`,
        },
      ],
      colours: {},
    }),
    heatmap({
      title: "Answer time, all of it",
      description:
        "A cell is the answers that took that long; darker is more. A second band far above the first: a disk that stalls now and then.",
      none: NO_REQUESTS,
      unit: "s",
      width: 12,
      expr: sum(increase(ANSWERS, "$__rate_interval"), "le"),
    }),
    lines({
      title: "Time since the last webhook",
      description:
        "By source. A saw tooth whose teeth are as long as your traffic is sparse; one that only climbs is a source that went silent.",
      none: "No webhook since the start",
      unit: "dtdurations",
      width: 12,
      queries: [
        { name: "{{source}}", expr: `time() - max by (source) (${select("smscope_last_webhook_timestamp_seconds")})` },
      ],
      colours: {},
    }),
  ],
};

const store = {
  title: "Store",
  panels: [
    lines({
      title: "Commit time",
      description:
        "One durable commit, disk sync included; many events share one. Above 100 ms answers get near the provider's 300 ms: a busy or network disk. A pod's volume may be throttled.",
      none: "No commits in this time range",
      unit: "s",
      width: 8,
      queries: [
        { name: "p50", expr: quantile(0.5, COMMITS, "$__rate_interval") },
        { name: "p95", expr: quantile(0.95, COMMITS, "$__rate_interval") },
        { name: "p99", expr: quantile(0.99, COMMITS, "$__rate_interval") },
      ],
      colours: QUANTILES,
    }),
    lines({
      title: "Size and limit",
      description:
        "Bytes in use in the database, and the limit where one is set. At the limit the oldest exported raw events go first, then webhooks get 503. It should level off after `store.retention`.",
      none: NO_PROCESS,
      unit: "bytes",
      width: 8,
      queries: [
        { name: "size {{instance}}", expr: each("smscope_store_size_bytes") },
        { name: "limit {{instance}}", expr: each("smscope_store_limit_bytes") },
      ],
      colours: {},
    }),
    lines({
      title: "Events in the journal",
      description:
        "Raw events that are kept. Growing without end: `store.retention` is long for this traffic, or nothing is exported while a logs endpoint is set.",
      none: NO_PROCESS,
      unit: "short",
      width: 6,
      queries: [{ name: "{{instance}}", expr: each("smscope_store_events") }],
      colours: {},
    }),
    stat({
      title: "Full",
      description:
        "Bytes in use of the configured limit. Above 80 %: raise the limit, shorten `store.retention`, or see why export lags.",
      none: "No limit is set",
      unit: "percentunit",
      decimals: 1,
      width: 2,
      height: 8,
      queries: [
        { name: "full", expr: `max(${ratio(each("smscope_store_size_bytes"), each("smscope_store_limit_bytes"))})` },
      ],
      steps: THRESHOLDS.full,
    }),
  ],
};

const SIGNALS = { logs: VOLUME, metrics: QUANTILES.p50 };

const exporting = {
  title: "Export by OTLP",
  panels: [
    lines({
      title: "Records sent",
      description:
        "Log records and metric points that the endpoint took, a second. Logs at zero while the backlog grows: see failures.",
      none: NOT_EXPORTED,
      unit: "cps",
      width: 6,
      queries: [{ name: "{{signal}}", expr: sum(rate("smscope_export_records_total"), "signal") }],
      colours: SIGNALS,
    }),
    lines({
      title: "Waiting",
      description:
        "Log records that wait. It rises while the Collector is away and falls fast afterwards; nothing is lost for seven days.",
      none: NOT_EXPORTED,
      unit: "short",
      width: 6,
      queries: [{ name: "{{signal}}", expr: sum(select("smscope_export_backlog_records"), "signal") }],
      colours: SIGNALS,
    }),
    lines({
      title: "Age of the oldest that waits",
      description:
        "Seconds are normal. At `store.export_retention` (7 days) records are dropped. Climbing: the endpoint is away, or refuses (401, 403, 404 hold everything): smscope's own log says which.",
      none: "Nothing waits",
      unit: "dtdurations",
      width: 6,
      queries: [
        { name: "{{signal}}", expr: `time() - min by (signal) (${select("smscope_export_oldest_timestamp_seconds")})` },
      ],
      colours: SIGNALS,
      limit: [
        [null, VOLUME],
        [THRESHOLDS.backlogAge[2]?.[0] ?? null, OUTCOME.failed],
      ],
    }),
    lines({
      title: "Failed and dropped, an hour",
      description:
        "Requests that failed: most are sent again. Records dropped: rejected by the endpoint, or too old; those are lost to your logs, though still in the store while raw events are kept.",
      none: NOT_EXPORTED,
      unit: "short",
      width: 6,
      queries: [
        { name: "{{signal}} requests failed", expr: sum(increase("smscope_export_failures_total", "1h"), "signal") },
        {
          name: "{{signal}} records dropped",
          expr: sum(increase("smscope_export_dropped_records_total", "1h"), "signal"),
        },
      ],
      colours: {},
    }),
  ],
};

const process = {
  title: "Process",
  panels: [
    lines({
      title: "Memory",
      description: "Resident memory. Tens of MB, level. A steady climb over days is a bug: report it.",
      none: NO_PROCESS,
      unit: "bytes",
      width: 6,
      queries: [{ name: "{{instance}}", expr: ofSmscope(select("process_resident_memory_bytes")) }],
      colours: {},
    }),
    lines({
      title: "CPU",
      description:
        "Cores in use: 1 is one whole core. It follows the requests; without any it is near zero. Busy without requests: report it.",
      none: NO_PROCESS,
      unit: "short",
      width: 6,
      queries: [{ name: "{{instance}}", expr: ofSmscope(rate("process_cpu_seconds_total")) }],
      colours: {},
    }),
    lines({
      title: "File descriptors in use",
      description:
        "Share of the limit of open files. Near 1, connections wait: raise the limit, or lower `http.max_connections`.",
      none: NO_PROCESS,
      unit: "percentunit",
      width: 6,
      queries: [
        {
          name: "{{instance}}",
          expr: ofSmscope(`${select("process_open_fds")} / (${select("process_max_fds")} > 0)`),
        },
      ],
      colours: {},
    }),
    lines({
      title: "Threads",
      description:
        "Level: one a core, the store's writer, its checkpoints, the metric reader, and a few that come and go.",
      none: NO_PROCESS,
      unit: "short",
      width: 6,
      queries: [{ name: "{{instance}}", expr: ofSmscope(select("process_threads")) }],
      colours: {},
    }),
    table({
      title: "What is running",
      description:
        "Version, source revision and compiler of each instance, and how long it has been up. Two rows of one instance: it was upgraded within the last minutes.",
      none: NO_PROCESS,
      unit: "dtdurations",
      width: 24,
      height: 6,
      queries: [
        `time() - (${select("smscope_build_info")} * on (job, instance) group_left () ${select("process_start_time_seconds")})`,
      ],
      by: "Up for",
      ascending: true,
      columns: [
        { field: "job", name: "Job" },
        { field: "instance", name: "Instance" },
        { field: "version", name: "Version" },
        { field: "revision", name: "Revision" },
        { field: "rustc", name: "Compiler" },
        { field: "Value #A", name: "Up for", steps: NEUTRAL },
      ],
    }),
  ],
};

export function self(): Dashboard {
  return dashboard({
    uid: "smscope-self",
    title: "smscope / smscope itself",
    description: "Whether webhooks are taken in time, kept, and passed on, and what that costs the machine.",
    variables: VARIABLES.self,
    from: "now-6h",
    refresh: "30s",
    rows: [isItWell, requests, door, publicUrl, store, exporting, relays, resends, account, process],
  });
}
