/** What the person on call opens from an alert: how bad, since when, what changed, where, and which messages. */

import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { dashboard, type Row } from "./frame.js";
import { failuresOf, JOURNEY, TRACE } from "./links.js";
import { BEFORE, OUTCOME, REASON, redLine, THRESHOLDS } from "./look.js";
import { decided, failureRate, increase, largest, perMinute, ratio, select, sum, type Where } from "./metrics.js";
import { BY_ARRIVAL, byNetwork, failingNow } from "./now.js";
import { colored, lines, stat } from "./panels.js";
import { ATTRIBUTES_OF_FAILURES, DELAYED, FAILED } from "./sources.js";
import { computed, logs, records, table } from "./tables.js";
import { VARIABLES } from "./variables.js";

const NOTHING = "Nothing failed";
const NO_RECEIPTS = "No final receipts";

/** Reasons are chosen among failures only; what they are a share of has none. */
const CHOSEN: Where = { where: ['reason=~"$reason"'] };
const failed = (range: string, ...by: string[]) => sum(increase("sms_messages_failed_total", range, CHOSEN), ...by);
const share = (range: string, ...by: string[]) => ratio(failed(range, ...by), decided(range, by));

const ENROUTE = select("sms_messages_pending", { where: ['state="enroute"'] });

const sinceWhen: Row = {
  title: "How bad is it, and since when",
  panels: [
    stat({
      title: "Last hour",
      description:
        "Messages that became failed or delivered in the last hour: is this three people or three thousand? Both are zero: nothing arrives at all; check the last webhook, above.",
      none: NO_RECEIPTS,
      unit: "locale",
      decimals: 0,
      width: 4,
      height: 10,
      queries: [
        { name: "failed", expr: failed("1h") },
        { name: "delivered", expr: sum(increase("sms_messages_delivered_total", "1h")) },
        { name: "more pending than 1 h ago", expr: `sum(${ENROUTE}) - sum(${ENROUTE} offset 1h)` },
      ],
      colors: { failed: OUTCOME.failed, delivered: OUTCOME.delivered },
    }),
    lines({
      title: "Failures by reason",
      description:
        "The five most frequent reasons of the time range, and all others together. Purple is yours: credit, limits, what was sent. Blue is the recipient. Red is the networks and the provider. One color that starts at one moment is one cause; all of them growing is more traffic.",
      none: NOTHING,
      unit: "suffix:per min",
      width: 10,
      height: 10,
      stacked: true,
      queries: largest(5, "sms_messages_failed_total", "reason", CHOSEN),
      colors: REASON,
      calcs: ["mean", "max"],
    }),
    lines({
      title: "Share that fails, every 15 minutes",
      description: `Each point is the 15 minutes before it. The dashed curve is a week earlier, the dashed line where the alert on it begins. ${BY_ARRIVAL}`,
      none: NO_RECEIPTS,
      unit: "percentunit",
      width: 10,
      height: 10,
      soft: { max: 0.2 },
      limit: redLine(THRESHOLDS.failureRate),
      queries: [
        { name: "failed", expr: share("15m") },
        { name: "a week earlier", expr: share("15m offset 1w") },
      ],
      colors: { failed: OUTCOME.failed, "a week earlier": BEFORE },
      dashed: ["a week earlier"],
    }),
  ],
};

const EACH = ["source", "reason", "country", "channel", "flow"];
const EACH_COLUMN = { source: "Source", reason: "Reason", country: "Country", channel: "Channel", flow: "Flow" };
const failing = `${failed("1h", ...EACH)} > 0.5`;
/** Of what fails now, how much more or less that is than `usual`; all of it where there is no usual. */
const more = (usual: string) =>
  `(\n${failed("1h", ...EACH)}\n- ${usual}\nor ${failed("1h", ...EACH)}\n) and (${failing})`;

const whatChanged: Row = {
  title: "What changed",
  panels: [
    table({
      title: "This hour against usual",
      description:
        "What failed in the last hour by reason, country, channel and flow, against the mean hour of the 24 before it and the same hour last week. More than usual: this hour minus that mean. The first row is where to start; a click narrows this dashboard to it. Whatever the time range, this is about now.",
      none: "Nothing failed in the last hour",
      unit: "locale",
      width: 24,
      height: 10,
      queries: [
        more(`${failed("24h offset 1h", ...EACH)} / 24`),
        failing,
        `${failed("24h offset 1h", ...EACH)} / 24 and (${failing})`,
        `${failed("1h offset 1w", ...EACH)} and (${failing})`,
      ],
      by: "More than usual",
      columns: [
        { field: "source", name: "Source", min: 110, filter: true },
        { field: "reason", name: "Reason", links: failuresOf(EACH_COLUMN), mappings: colored(REASON), min: 140, filter: true },
        { field: "country", name: "Country", links: failuresOf({ country: "Country" }), filter: true },
        { field: "channel", name: "Channel", min: 110, filter: true },
        { field: "flow", name: "Flow", min: 150, filter: true },
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
      unit: "locale",
      width: 8,
      height: 9,
      queries: [
        `${failed("1h", "source", "reason", "country")} > 0\nunless\n${failed("7d offset 1h", "source", "reason", "country")} > 0`,
      ],
      by: "Failed",
      columns: [
        { field: "source", name: "Source", min: 100 },
        { field: "reason", name: "Reason", mappings: colored(REASON), min: 130 },
        { field: "country", name: "Country" },
        { field: "Value #A", name: "Failed", decimals: 0 },
      ],
    }),
    lines({
      title: "Receipts by outcome",
      description:
        "Distinct receipts as the provider words them. Pending only: it accepts messages and reports no end. Unknown: it sends a status that is not documented; the message stays pending and never counts as failed.",
      none: "No receipts in this time",
      unit: "suffix:per min",
      width: 8,
      height: 9,
      queries: [{ name: "{{outcome}}", expr: perMinute("sms_receipts_total", ["outcome"]) }],
      colors: OUTCOME,
      calcs: ["mean", "max"],
    }),
    lines({
      title: "Corrections",
      description:
        "Messages that were failed or expired until a later receipt said otherwise. Many of them: the provider reports too early, and failure rates are too high by as much.",
      none: "No failure was corrected",
      unit: "suffix:per min",
      width: 8,
      height: 9,
      queries: [{ name: "{{from}}", expr: perMinute("sms_messages_corrected_total", ["from"]) }],
      colors: { failed: OUTCOME.failed, expired: OUTCOME.expired },
      calcs: ["mean", "max"],
    }),
  ],
};

function whereTable(title: string, description: string, by: string[], names: { field: string; name: string; min?: number }[]) {
  const columns = Object.fromEntries(names.map(({ field, name }) => [field, name]));
  return table({
    title,
    description: `${description} ${BY_ARRIVAL}`,
    none: NO_RECEIPTS,
    unit: "locale",
    width: 8,
    height: 9,
    queries: [failed("$__range", ...by), share("$__range", ...by), failureRate("24h offset $__range", by)],
    by: "Failed",
    columns: [
      ...names.map((column) => ({ ...column, links: failuresOf(columns) })),
      { field: "Value #A", name: "Failed", decimals: 0 },
      { field: "Value #B", name: "Rate", unit: "percentunit", decimals: 1, steps: THRESHOLDS.failureRate },
      { field: "Value #C", name: "24 h before", unit: "percentunit", decimals: 1 },
    ],
  });
}

const networks = (range: string) => byNetwork(range, ["network", "network_name"]);
const networkRate = (range: string) => ratio(networks(range).failed, networks(range).ended);

const where: Row = {
  title: "Where",
  panels: [
    whereTable("By country", "Failures of the time range.", ["country"], [{ field: "country", name: "Country" }]),
    whereTable(
      "By channel and flow",
      "Failures of the time range. One flow alone: what it sends, or its sender name.",
      ["channel", "flow"],
      [
        { field: "channel", name: "Channel", min: 100 },
        { field: "flow", name: "Flow", min: 145 },
      ],
    ),
    table({
      title: "By network",
      description: `Final outcomes by mobile network, if the provider reports it; MCC and MNC are its code, for tickets. One network of a country alone: its fault, not yours; report it to the provider. Reasons are not known by network. ${BY_ARRIVAL}`,
      none: "No network is known of what ended in this time range",
      unit: "locale",
      width: 8,
      height: 9,
      queries: [networks("$__range").failed, networkRate("$__range"), networkRate("24h offset $__range")],
      by: "Failed",
      columns: [
        { field: "network_name", name: "Network", min: 150 },
        { field: "network", name: "Code", min: 70 },
        { field: "Value #A", name: "Failed", decimals: 0 },
        { field: "Value #B", name: "Rate", unit: "percentunit", decimals: 1, steps: THRESHOLDS.networkFailureRate },
        { field: "Value #C", name: "24 h before", unit: "percentunit", decimals: 1 },
      ],
    }),
    lines({
      title: "Failures by country",
      description:
        "The five countries with most failures, and all others together. One country that starts at one moment: a network or a route there. All at once: the account, the provider, or what you sent.",
      none: NOTHING,
      unit: "suffix:per min",
      width: 12,
      stacked: true,
      queries: largest(5, "sms_messages_failed_total", "country", CHOSEN),
      colors: {},
      calcs: ["mean", "max"],
    }),
    lines({
      title: "Failures by network",
      description:
        "The five networks with most failures, and all others together. One that starts at one moment, and the others not: that network, or the route to it.",
      none: "No network is known of what failed",
      unit: "suffix:per min",
      width: 12,
      stacked: true,
      queries: largest(5, "sms_network_outcomes_total", "network_name", { where: ['outcome="failed"'] }),
      colors: {},
      calcs: ["mean", "max"],
    }),
  ],
};

const LOKI_NEEDED =
  "Needs Loki with the log records that smscope sends by OTLP, of the service `smscope`; where OTEL_SERVICE_NAME is another, set it on the journey, and come back by its link. Job and instance do not apply; source, channel, flow, country and reason do.";
const NO_RECORD = "No log record of a failed message, or no Loki";

const messages: Row = {
  title: "Which messages (needs Loki)",
  optional: true,
  panels: [
    records({
      title: "Failed messages",
      description: `The newest 1,000 of the time range, by arrival of the receipt. A click on the message opens its journey, on the recipient all that happened to that person's number (the hash is the same for one number, and says nothing else), on the trace the request that sent it. ${LOKI_NEEDED}`,
      none: NO_RECORD,
      unit: "string",
      width: 24,
      height: 12,
      expr: FAILED + DELAYED,
      by: "Time",
      columns: [
        { field: "Time", name: "Time", unit: "dateTimeAsSystem", min: 175 },
        { field: "error_type", name: "Reason", mappings: colored(REASON), min: 125, filter: true },
        { field: "sms_status_value", name: "Status", min: 140, filter: true },
        { field: "sms_status_detail", name: "Detail", min: 190 },
        { field: "sms_country", name: "Country", filter: true },
        { field: "sms_network_name", name: "Network", min: 145, filter: true },
        { field: "sms_recipient_masked", name: "Recipient", min: 130 },
        { field: "messaging_message_id", name: "Message", links: JOURNEY, min: 110 },
        { field: "messaging_message_conversation_id", name: "refClient", links: JOURNEY, min: 100 },
        { field: "sms_recipient_hash", name: "Hash", links: JOURNEY, min: 80 },
        { field: "receipt_delay", name: "Late by (s)", min: 90 },
        { field: "trace_id", name: "Trace", links: TRACE, min: 70 },
      ],
    }),
    computed({
      title: "In the provider's own words",
      description: `Failures of the time range by the provider's own status and detail and by network: what to quote when you call them. Several codes share one reason. ${LOKI_NEEDED}`,
      none: NO_RECORD,
      unit: "locale",
      width: 12,
      height: 10,
      queries: [`sum by (${ATTRIBUTES_OF_FAILURES.join(", ")}) (count_over_time(${FAILED} [$__range]))`],
      by: "Failed",
      columns: [
        { field: "error_type", name: "Reason", mappings: colored(REASON), min: 125 },
        { field: "sms_status_value", name: "Status", min: 140 },
        { field: "sms_status_detail", name: "Detail", min: 200 },
        { field: "sms_network_name", name: "Network", min: 145 },
        { field: "Value #A", name: "Failed" },
      ],
    }),
    logs({
      title: "Log records",
      description: `The same records as they are; open one for all its attributes. ${LOKI_NEEDED}`,
      none: NO_RECORD,
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
    title: "SMS failures",
    description: "How bad it is, since when, what changed, where, and which messages: for the person on call.",
    variables: VARIABLES.failures,
    from: "now-3h",
    refresh: "30s",
    rows: [failingNow, sinceWhen, whatChanged, where, messages],
  });
}
