/** smscope's own health, for platform engineers: are webhooks stored and passed on in time, and at what price. */

import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { account } from "./account.js";
import { fleet } from "./fleet.js";
import { dashboard, type Row } from "./frame.js";
import { OUTCOME, QUANTILES, redLine, RESULT, THRESHOLDS, VOLUME } from "./look.js";
import { increase, type Metric, ofSmscope, ratio, select, sum } from "./metrics.js";
import { lastWebhook, now } from "./now.js";
import { certificates, clients, publicUrl } from "./outside.js";
import { heatmap, lines, stat } from "./panels.js";
import { process, running } from "./process.js";
import { relays, resends } from "./reactions.js";
import { quantiles } from "./speed.js";
import { exporting, store } from "./store.js";
import { VARIABLES } from "./variables.js";

const REQUESTS = "smscope_webhook_requests_total";
const ANSWERS = "smscope_webhook_duration_seconds_bucket";
const NO_REQUESTS = "No requests in this time";

const results = (range: string, ...names: string[]) =>
  sum(increase(REQUESTS, range, { where: [`result=~"${names.join("|")}"`] }));
const perHour = (metric: Metric) => sum(increase(metric, "1h"), "source");
const REJECTED = ["unauthorized", "forbidden", "too_large"];
const NOT_STORED = ["timeout", "overloaded", "error"];

const inTime = (range: string) =>
  ratio(
    sum(increase(ANSWERS, range, { where: ['le="0.25"'] })),
    sum(increase("smscope_webhook_duration_seconds_count", range)),
  );

const HEIGHT = 6;
const WINDOWS = [
  ["15 minutes", "15m"],
  ["1 hour", "1h"],
] as const;

const health: Row = now(
  stat({
    title: "Answered in time",
    description:
      "Share of answers within 250 ms, the largest step below the 300 ms that the provider wants. It retries slower ones, as duplicates. Check the commit time and the disk first.",
    none: NO_REQUESTS,
    unit: "percentunit",
    decimals: 2,
    width: 5,
    height: HEIGHT,
    queries: WINDOWS.map(([name, window]) => ({ name, expr: inTime(window) })),
    steps: THRESHOLDS.answersInTime,
  }),
  stat({
    title: "Not stored",
    description:
      "Requests that smscope could not store: timeout, overloaded or error. The provider retries them for a day, so nothing is lost yet. More than a few: disk full, store slow, or too many at once.",
    none: NO_REQUESTS,
    unit: "locale",
    decimals: 0,
    width: 4,
    height: HEIGHT,
    queries: WINDOWS.map(([name, window]) => ({ name, expr: results(window, ...NOT_STORED) })),
    steps: THRESHOLDS.anyAtAll,
  }),
  stat({
    title: "Rejected",
    description:
      "Share of requests with a wrong token, from an address or channel that is not allowed, or too large, of the last hour. After a change of token: the provider still has the old URL. Otherwise someone tries tokens.",
    none: NO_REQUESTS,
    unit: "percentunit",
    decimals: 1,
    width: 3,
    height: HEIGHT,
    queries: [{ name: "rejected", expr: ratio(results("1h", ...REJECTED), results("1h", ".+")) }],
    steps: THRESHOLDS.share,
  }),
  lastWebhook(),
  stat({
    title: "Starts",
    description:
      "Starts of the process in the last 24 hours, after the first that is seen of an instance; a pod with a new address is a new instance. Each is marked on the graphs. Not by you: check for out of memory, or a failing liveness probe.",
    none: "No smscope is seen",
    unit: "locale",
    decimals: 0,
    width: 2,
    height: HEIGHT,
    queries: [
      { name: "restarts", expr: `sum(${ofSmscope(`changes(${select("process_start_time_seconds")}[24h])`)})` },
    ],
    steps: THRESHOLDS.anyAtAll,
  }),
);

const requests: Row = {
  title: "Requests",
  panels: [
    lines({
      title: "Requests by result",
      description:
        "Blue is stored (accepted) or known already (duplicate), purple stored but not understood, brown rejected, pink not stored. Everything but pink is as it should be; the graphs below say what to do.",
      none: NO_REQUESTS,
      unit: "suffix:per min",
      width: 12,
      stacked: true,
      queries: [{ name: "{{result}}", expr: `${sum(increase(REQUESTS, "5m"), "result")} / 5 > 0` }],
      colors: RESULT,
      calcs: ["mean", "max"],
    }),
    lines({
      title: "Answer time",
      description:
        "From request read to answer written, in the 10 minutes before each point. The provider wants it within 300 ms (dashed line) and retries slower ones. It is nearly all commit time: compare with the store.",
      none: NO_REQUESTS,
      unit: "s",
      width: 12,
      queries: quantiles(ANSWERS, "10m"),
      colors: QUANTILES,
      limit: [
        [null, VOLUME],
        [0.3, OUTCOME.failed],
      ],
    }),
    lines({
      title: "Duplicates",
      description:
        "Share of the stored events that had been stored before, of the hour before each point. A few are normal. Many: the provider does not see our answers in time; check the response time, and the proxy between.",
      none: NO_REQUESTS,
      unit: "percentunit",
      width: 8,
      soft: { max: 0.2 },
      queries: [
        { name: "duplicate", expr: ratio(results("1h", "duplicate"), results("1h", "accepted", "duplicate")) },
      ],
      colors: RESULT,
    }),
    lines({
      title: "Not understood, or only leniently",
      description:
        "In the hour before each point. unrecognized: authenticated webhooks that are neither receipt nor reply; they are stored raw, answered 200, and lost for the figures. unread receipts: those of them that look like one, so receipts are lost: the provider changed its format; `sqlite3` shows them, docs/store.md says how. repaired: damaged JSON that was read all the same; its sender has a bug.",
      none: NO_REQUESTS,
      unit: "suffix:per hour",
      width: 8,
      queries: [
        {
          name: "{{source}} unrecognized",
          expr: sum(increase(REQUESTS, "1h", { where: ['result="unrecognized"'] }), "source"),
        },
        { name: "{{source}} unread receipts", expr: perHour("smscope_webhook_unread_receipts_total") },
        { name: "{{source}} repaired", expr: perHour("smscope_webhook_repaired_total") },
      ],
      colors: {},
      calcs: ["lastNotNull", "max"],
    }),
    lines({
      title: "Rejected and not stored",
      description:
        "By source and why. Source `unknown` is one that is not configured. unauthorized: wrong token or secret; forbidden: address or channel id; overloaded: queue or disk full.",
      none: "No rejection is seen",
      unit: "suffix:per hour",
      width: 8,
      queries: [
        {
          name: "{{source}} {{result}}",
          expr: `${sum(
            increase(REQUESTS, "1h", { where: [`result=~"${[...REJECTED, ...NOT_STORED].join("|")}"`] }),
            "source",
            "result",
          )} > 0`,
        },
      ],
      colors: {},
    }),
    heatmap({
      title: "Spread of answer times",
      description:
        "A cell is the answers that took that long; brighter is more. A second band far above the first: a disk that stalls now and then.",
      none: NO_REQUESTS,
      unit: "s",
      width: 12,
      expr: sum(increase(ANSWERS, "$__rate_interval"), "le"),
    }),
    lines({
      title: "Silence of each source",
      description:
        "Time since its last webhook. A saw tooth whose teeth are as long as your traffic is sparse; one that only climbs is a source that is silent.",
      none: "No webhook since the start",
      unit: "suffix:min",
      width: 12,
      queries: [
        {
          name: "{{source}}",
          expr: `(time() - max by (source) (${select("smscope_last_webhook_timestamp_seconds")})) / 60`,
        },
      ],
      colors: {},
      limit: redLine(THRESHOLDS.silence.map(([value, color]) => [value === null ? null : value / 60, color])),
      calcs: ["lastNotNull", "max"],
    }),
  ],
};

export function self(): Dashboard {
  return dashboard({
    uid: "smscope-self",
    title: "smscope health",
    description: "Whether webhooks are answered in time, stored, and passed on, and what that costs the machine.",
    variables: VARIABLES.self,
    from: "now-6h",
    refresh: "30s",
    rows: [
      health,
      requests,
      clients,
      store,
      process,
      running,
      fleet,
      exporting,
      certificates,
      publicUrl,
      relays,
      resends,
      account,
    ],
  });
}
