/** What the person on call opens from an alert: how bad, since when, what changed, where, and which messages. */

import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { dashboard } from "./frame.js";
import { failuresOf, JOURNEY, TRACE } from "./links.js";
import { BEFORE, OUTCOME, REASON, THRESHOLDS } from "./look.js";
import { decided, failureRate, increase, type Metric, rate, ratio, select, sum, type Where } from "./metrics.js";
import { coloured, counts, lines, logs, records, stat, table } from "./panels.js";
import { DELAYED, FAILED, NAMED } from "./sources.js";
import { VARIABLES } from "./variables.js";

const BY_ARRIVAL = "By arrival of the receipt, not by when the message was sent.";
const NOTHING = "Nothing failed";
const NO_RECEIPTS = "No final receipts in this time";

/** Reasons are chosen among failures only; what they are a share of has none. */
const CHOSEN: Where = { where: ['reason=~"$reason"'] };
const failed = (range: string, ...by: string[]) => sum(increase("sms_messages_failed_total", range, CHOSEN), ...by);
const share = (range: string, ...by: string[]) => ratio(failed(range, ...by), decided(range, by));

const ENROUTE = select("sms_messages_pending", { where: ['state="enroute"'] });

const howBad = {
  title: "How bad is it",
  panels: [
    stat({
      title: "Failure rate, now and before",
      description: `Share of messages that failed, of all that were delivered or failed. ${BY_ARRIVAL}\n\nThe last 15 minutes far above the others: it is going on now. Only the last hour: it may be over. Like last week: this is how that hour is.`,
      none: NO_RECEIPTS,
      unit: "percentunit",
      decimals: 1,
      width: 12,
      queries: [
        { name: "last 15 minutes", expr: share("15m") },
        { name: "last hour", expr: share("1h") },
        { name: "24 hours before that", expr: share("24h offset 1h") },
        { name: "same hour last week", expr: share("1h offset 1w") },
      ],
      steps: THRESHOLDS.failureRate,
    }),
    stat({
      title: "Failed, last hour",
      description: "Messages that became failed in the last hour: is this three people or three thousand?",
      none: NO_RECEIPTS,
      unit: "short",
      decimals: 0,
      width: 3,
      queries: [{ name: "failed", expr: failed("1h") }],
      colours: { failed: OUTCOME.failed },
    }),
    stat({
      title: "Delivered, last hour",
      description:
        "Messages that became delivered in the last hour. Zero, and failed is zero too: nothing comes in at all; look at the last webhook, to the right.",
      none: NO_RECEIPTS,
      unit: "short",
      decimals: 0,
      width: 3,
      queries: [{ name: "delivered", expr: sum(increase("sms_messages_delivered_total", "1h")) }],
      colours: { delivered: OUTCOME.delivered },
    }),
    stat({
      title: "Pending, against 1 h ago",
      description:
        "How many more messages wait for their final receipt than an hour ago. Far above zero while traffic is even: receipts do not come, and the failures are still ahead.",
      none: "No hour of history yet",
      unit: "short",
      decimals: 0,
      width: 3,
      queries: [{ name: "pending", expr: `sum(${ENROUTE}) - sum(${ENROUTE} offset 1h)` }],
      colours: { pending: OUTCOME.pending },
    }),
    stat({
      title: "Last webhook",
      description:
        "Time since the provider last called. Minutes while you send: it cannot reach you, or does not try. That is no failure of messages; open smscope itself.",
      none: "No webhook since smscope started",
      unit: "dtdurations",
      width: 3,
      queries: [{ name: "ago", expr: `time() - max(${select("smscope_last_webhook_timestamp_seconds")})` }],
      steps: THRESHOLDS.silence,
    }),
    lines({
      title: "Failures by reason, a minute",
      description:
        "Purple is yours: credit, limits, what was sent. Blue is the recipient. Red is the networks and the provider. One colour that starts at one moment is one cause; all of them growing is more traffic.",
      none: NOTHING,
      unit: "mpm",
      width: 12,
      height: 9,
      stacked: true,
      queries: [{ name: "{{reason}}", expr: `${sum(rate("sms_messages_failed_total", CHOSEN), "reason")} * 60 > 0` }],
      colours: REASON,
    }),
    lines({
      title: "Failure rate, now and a week earlier",
      description: `Each point is the 15 minutes before it. The dashed line is a week earlier. ${BY_ARRIVAL}`,
      none: NO_RECEIPTS,
      unit: "percentunit",
      width: 12,
      height: 9,
      queries: [
        { name: "failed", expr: share("15m") },
        { name: "a week earlier", expr: share("15m offset 1w") },
      ],
      colours: { failed: OUTCOME.failed, "a week earlier": BEFORE },
      dashed: ["a week earlier"],
    }),
  ],
};

const EACH = ["source", "reason", "country", "channel", "flow"];
const failing = `${failed("1h", ...EACH)} > 0.5`;
/** Of what fails now, how much more or less that is than `usual`; all of it where there is no usual. */
const more = (usual: string) =>
  `(\n${failed("1h", ...EACH)}\n- ${usual}\nor ${failed("1h", ...EACH)}\n) and (${failing})`;

const whatChanged = {
  title: "What changed",
  panels: [
    table({
      title: "This hour against usual",
      description:
        "What failed in the last hour by reason, country, channel and flow, against the mean hour of the 24 before it and the same hour last week. More than usual: this hour minus that mean. The first row is where to start. Columns can be filtered. Whatever the time range, this is about now.",
      none: "Nothing failed in the last hour",
      unit: "short",
      width: 16,
      height: 10,
      queries: [
        more(`${failed("24h offset 1h", ...EACH)} / 24`),
        failing,
        `${failed("24h offset 1h", ...EACH)} / 24 and (${failing})`,
        `${failed("1h offset 1w", ...EACH)} and (${failing})`,
      ],
      by: "More than usual",
      columns: [
        { field: "source", name: "Source" },
        { field: "reason", name: "Reason", links: failuresOf("reason"), mappings: coloured(REASON) },
        { field: "country", name: "Country", links: failuresOf("country") },
        { field: "channel", name: "Channel" },
        { field: "flow", name: "Flow" },
        { field: "Value #A", name: "More than usual", decimals: 0, steps: THRESHOLDS.excess },
        { field: "Value #B", name: "This hour", decimals: 0 },
        { field: "Value #C", name: "Mean hour of 24 h", decimals: 1 },
        { field: "Value #D", name: "Same hour last week", decimals: 0 },
      ],
    }),
    table({
      title: "New reasons",
      description:
        "Reasons that were seen in the last hour and not once in the 7 days before it, by country. With less than 7 days of history everything is new. Something new is hardly ever the recipients: think of your last change, the account, the provider.",
      none: "Nothing failed for a new reason in the last hour",
      unit: "short",
      width: 8,
      height: 10,
      queries: [
        `${failed("1h", "source", "reason", "country")} > 0\nunless\n${failed("7d offset 1h", "source", "reason", "country")} > 0`,
      ],
      by: "Failed",
      columns: [
        { field: "source", name: "Source" },
        { field: "reason", name: "Reason", mappings: coloured(REASON) },
        { field: "country", name: "Country" },
        { field: "Value #A", name: "Failed", decimals: 0 },
      ],
    }),
  ],
};

function whereTable(title: string, description: string, by: string[], columns: [string, string][]) {
  return table({
    title,
    description: `${description} ${BY_ARRIVAL}`,
    none: NO_RECEIPTS,
    unit: "short",
    width: 8,
    height: 9,
    queries: [failed("$__range", ...by), share("$__range", ...by), failureRate("24h offset $__range", by)],
    by: "Failed",
    columns: [
      ...columns.map(([field, name]) => ({
        field,
        name,
        ...(field === "country" && { links: failuresOf("country") }),
      })),
      { field: "Value #A", name: "Failed", decimals: 0 },
      { field: "Value #B", name: "Rate", unit: "percentunit", decimals: 1, steps: THRESHOLDS.failureRate },
      { field: "Value #C", name: "24 h before", unit: "percentunit", decimals: 1 },
    ],
  });
}

const networks = (range: string, outcome: string) =>
  sum(increase("sms_network_outcomes_total", range, { where: [outcome] }), "source", "network");
const NETWORK_FAILED = 'outcome="failed"';
const NETWORK_ALL = 'outcome=~"delivered|failed"';

const perMinute = (metric: Metric, by: string, where?: Where) => `${sum(rate(metric, where), by)} * 60 > 0`;

const where = {
  title: "Where",
  panels: [
    whereTable("By country", "Failures of the time range.", ["country"], [["country", "Country"]]),
    whereTable(
      "By channel and flow",
      "Failures of the time range. One flow alone: what it sends, or its sender name.",
      ["channel", "flow"],
      [
        ["channel", "Channel"],
        ["flow", "Flow"],
      ],
    ),
    table({
      title: "By network",
      description: `Final outcomes by mobile network (MCC and MNC), where the provider looked it up. One network of a country alone: its trouble, not yours; tell the provider. Reasons are not known by network. ${BY_ARRIVAL}`,
      none: "No network is known of what ended in this time range",
      unit: "short",
      width: 8,
      height: 9,
      queries: [
        networks("$__range", NETWORK_FAILED),
        ratio(networks("$__range", NETWORK_FAILED), networks("$__range", NETWORK_ALL)),
        ratio(networks("24h offset $__range", NETWORK_FAILED), networks("24h offset $__range", NETWORK_ALL)),
      ],
      by: "Failed",
      columns: [
        { field: "source", name: "Source" },
        { field: "network", name: "Network" },
        { field: "Value #A", name: "Failed", decimals: 0 },
        { field: "Value #B", name: "Rate", unit: "percentunit", decimals: 1, steps: THRESHOLDS.failureRate },
        { field: "Value #C", name: "24 h before", unit: "percentunit", decimals: 1 },
      ],
    }),
    lines({
      title: "Failures by country, a minute",
      description:
        "One country that starts at one moment: a network or a route there. All together: the account, the provider, or what you sent.",
      none: NOTHING,
      unit: "mpm",
      width: 8,
      stacked: true,
      queries: [{ name: "{{country}}", expr: perMinute("sms_messages_failed_total", "country", CHOSEN) }],
      colours: {},
    }),
    lines({
      title: "Receipts by outcome, a minute",
      description:
        "Distinct receipts as the provider words them. Pending only: it takes messages and reports no end. Unknown: it sends a status that is not documented; the message stays pending and never counts as failed.",
      none: "No receipts in this time",
      unit: "rpm",
      width: 8,
      queries: [{ name: "{{outcome}}", expr: perMinute("sms_receipts_total", "outcome") }],
      colours: OUTCOME,
    }),
    lines({
      title: "Failures taken back, a minute",
      description:
        "Messages that were failed or expired until a later receipt said otherwise. Many of them: the provider reports too early, and failure rates are too high by as much.",
      none: "No failure was taken back",
      unit: "mpm",
      width: 8,
      queries: [{ name: "{{from}}", expr: perMinute("sms_messages_corrected_total", "from") }],
      colours: { failed: OUTCOME.failed, expired: OUTCOME.expired },
    }),
  ],
};

const LOKI_NEEDED =
  "Needs Loki with the log records that smscope sends by OTLP. Job and instance do not apply; source, channel, flow, country and reason do.";

const messages = {
  title: "Which messages (needs Loki)",
  panels: [
    records({
      title: "Failed messages",
      description: `The newest 1,000 of the time range, by their arrival. A click on the message opens its journey, on the recipient all that happened to that person's number (the hash is the same for one number, and says nothing else), on the trace the request that sent it. ${LOKI_NEEDED}`,
      none: "No log record of a failed message, or no Loki",
      unit: "string",
      width: 24,
      height: 12,
      expr: FAILED + NAMED + DELAYED,
      by: "Time",
      columns: [
        { field: "Time", name: "Time", width: 190 },
        { field: "error_type", name: "Reason", mappings: coloured(REASON), width: 130 },
        { field: "sms_status_value", name: "Status", width: 130 },
        { field: "sms_status_detail", name: "Detail", width: 170 },
        { field: "sms_country", name: "Country", width: 80 },
        { field: "sms_network_name", name: "Network", width: 130 },
        { field: "sms_recipient_masked", name: "Recipient", width: 140 },
        { field: "messaging_message_id", name: "Message", links: JOURNEY },
        { field: "messaging_message_conversation_id", name: "refClient", links: JOURNEY },
        { field: "sms_recipient_hash", name: "Recipient hash", links: JOURNEY },
        { field: "receipt_delay", name: "Receipt late by (s)", width: 140 },
        { field: "trace_id", name: "Trace", links: TRACE },
      ],
    }),
    counts({
      title: "In the provider's own words",
      description: `Failures of the time range by the provider's own status and detail and by network: what to quote when you call them. Several codes share one reason. ${LOKI_NEEDED}`,
      none: "No log record of a failed message, or no Loki",
      unit: "short",
      width: 12,
      height: 10,
      expr: `sum by (error_type, sms_status_value, sms_status_detail, sms_network_name) (count_over_time(${FAILED} [$__range]))`,
      by: "Failed",
      columns: [
        { field: "error_type", name: "Reason", mappings: coloured(REASON) },
        { field: "sms_status_value", name: "Status" },
        { field: "sms_status_detail", name: "Detail" },
        { field: "sms_network_name", name: "Network" },
        { field: "Value #A", name: "Failed" },
      ],
    }),
    logs({
      title: "Log records of failed messages",
      description: `The same records as they are; open one for all its attributes. ${LOKI_NEEDED}`,
      none: "No log record of a failed message, or no Loki",
      unit: "string",
      width: 12,
      height: 10,
      expr: FAILED,
    }),
  ],
};

export function failures(): Dashboard {
  return dashboard({
    uid: "smscope-failures",
    title: "smscope / Failures",
    description: "How bad it is, since when, what changed, where, and which messages: for whoever was woken up.",
    variables: VARIABLES.failures,
    from: "now-3h",
    refresh: "30s",
    rows: [howBad, whatChanged, where, messages],
  });
}
