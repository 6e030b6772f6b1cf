/** What a product owner looks at: is it well, why not and where, how fast, what does it cost. */

import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { dashboard } from "./frame.js";
import { failuresOf } from "./links.js";
import { BEFORE, OUTCOME, QUANTILES, REASON, STOP, THRESHOLDS, VOLUME } from "./look.js";
import { decided, deliveryRate, failureRate, increase, quantile, rate, ratio, select, sum } from "./metrics.js";
import { bars, heatmap, lines, stat, table } from "./panels.js";
import { VARIABLES } from "./variables.js";

const BY_ARRIVAL =
  "By arrival of the receipt: a message counts when it became known to be delivered or failed, not when it was sent. During an incident late receipts flatter or blacken the figure; `smscope report` gives it by the hour of sending.";
const FIRST = "The very first message of a new combination of filters is not seen by it.";
const NO_MESSAGES = "No messages in this time range";
const NO_RECEIPTS = "No final receipts in this time range";

/** Failures beyond the share that the week before had, of the messages of now; all of them where there was no week before. */
function excess(by: string[]): string {
  const failed = sum(increase("sms_messages_failed_total", "$__range"), ...by);
  return `${failed}\n- ${decided("$__range", by)}\n* (${failureRate("7d offset $__range", by)})\nor ${failed}`;
}

const perMinute = (metric: Parameters<typeof rate>[0], ...by: string[]) => `${sum(rate(metric), ...by)} * 60`;

const now = {
  title: "Now",
  panels: [
    stat({
      title: "Delivery rate",
      description: `Share of messages that were delivered, of all that were delivered or failed in the time range. Messages of which nothing is heard are counted further right, as expired.\n\n${BY_ARRIVAL}\n\nHealthy routes fail 1 to 4 %; below 92 % look at the reasons and countries further down.`,
      none: NO_RECEIPTS,
      unit: "percentunit",
      decimals: 2,
      width: 4,
      queries: [{ name: "delivered", expr: deliveryRate("$__range") }],
      steps: THRESHOLDS.deliveryRate,
    }),
    stat({
      title: "Against last week",
      description: `Delivery rate minus that of the same time range a week earlier, in points: -2 % means that it fell from, say, 96 % to 94 %.\n\n${BY_ARRIVAL}\n\nA fall of more than two points is worth a look even while the rate itself is still good.`,
      none: "Nothing from a week ago yet",
      unit: "percentunit",
      decimals: 2,
      width: 3,
      queries: [{ name: "change", expr: `(${deliveryRate("$__range")})\n-\n(${deliveryRate("$__range offset 1w")})` }],
      steps: THRESHOLDS.deliveryChange,
    }),
    stat({
      title: "Messages",
      description: `Messages first seen in the time range: at their first receipt, or when your application registered them. ${FIRST}`,
      none: NO_MESSAGES,
      unit: "short",
      width: 3,
      queries: [{ name: "messages", expr: sum(increase("sms_messages_total", "$__range")) }],
    }),
    stat({
      title: "Delivered, failed, expired",
      description:
        "Messages that became delivered, failed or expired in the time range. Expired: no final receipt within the horizon (72 hours unless set otherwise). They need not be the messages first seen in it. A late receipt can make a failed message delivered; it then counts in both.",
      none: NO_RECEIPTS,
      unit: "short",
      width: 6,
      queries: [
        { name: "delivered", expr: sum(increase("sms_messages_delivered_total", "$__range")) },
        { name: "failed", expr: sum(increase("sms_messages_failed_total", "$__range")) },
        { name: "expired", expr: sum(increase("sms_messages_expired_total", "$__range")) },
      ],
      colours: { delivered: OUTCOME.delivered, failed: OUTCOME.failed, expired: OUTCOME.expired },
    }),
    stat({
      title: "Expired",
      description:
        "Share of messages that ended without any final receipt, of all that ended in the time range. A healthy route reports on over 97 %. More: the provider loses receipts, or cannot bring them to smscope.",
      none: NO_RECEIPTS,
      unit: "percentunit",
      decimals: 2,
      width: 3,
      queries: [
        {
          name: "expired share",
          expr: ratio(
            sum(increase("sms_messages_expired_total", "$__range")),
            `(${decided("$__range")} + ${sum(increase("sms_messages_expired_total", "$__range"))})`,
          ),
        },
      ],
      steps: THRESHOLDS.expiredRate,
    }),
    stat({
      title: "Pending",
      description:
        "Messages that wait for their final receipt at the end of the time range, scheduled ones left out. Some always do; look at whether it grows (below), and at the oldest.",
      none: NO_MESSAGES,
      unit: "short",
      width: 2,
      queries: [{ name: "pending", expr: sum(select("sms_messages_pending", { where: ['state="enroute"'] })) }],
      colours: { pending: OUTCOME.pending },
    }),
    stat({
      title: "Oldest pending",
      description:
        "How long the oldest pending message has waited for its final receipt. Even a healthy route never reports on a few, so days are normal, up to the horizon (72 hours unless set otherwise), at which they expire. Past it expiry is stuck: see smscope itself.",
      none: "Nothing is pending",
      unit: "dtdurations",
      width: 3,
      queries: [{ name: "oldest", expr: `time() - min(${select("sms_messages_pending_oldest_timestamp_seconds")})` }],
      steps: THRESHOLDS.oldestPending,
    }),
  ],
};

const overTime = {
  title: "Over time",
  panels: [
    lines({
      title: "Delivered, failed and expired, a minute",
      description: `Messages a minute by what became of them, stacked. Read the red part against the green: red that grows with green is more traffic, red that grows alone is trouble.\n\n${BY_ARRIVAL}`,
      none: NO_RECEIPTS,
      unit: "mpm",
      width: 12,
      stacked: true,
      queries: [
        { name: "delivered", expr: perMinute("sms_messages_delivered_total") },
        { name: "failed", expr: perMinute("sms_messages_failed_total") },
        { name: "expired", expr: perMinute("sms_messages_expired_total") },
      ],
      colours: { delivered: OUTCOME.delivered, failed: OUTCOME.failed, expired: OUTCOME.expired },
    }),
    lines({
      title: "Delivery rate, now and a week earlier",
      description: `Each point is the rate of the hour before it, so that a quiet minute does not make a spike. The dashed line is the same hour a week earlier, which has the same weekday and time of day.\n\n${BY_ARRIVAL}\n\nWhere the lines part is where to zoom in; then open Failures.`,
      none: NO_RECEIPTS,
      unit: "percentunit",
      width: 12,
      max: 1,
      queries: [
        { name: "delivered", expr: deliveryRate("1h") },
        { name: "a week earlier", expr: deliveryRate("1h offset 1w") },
      ],
      colours: { delivered: OUTCOME.delivered, "a week earlier": BEFORE },
      dashed: ["a week earlier"],
    }),
    lines({
      title: "Pending over time",
      description:
        "Messages that wait for their final receipt, and those scheduled for later. It should go up and down with the traffic. Growing while traffic is even: receipts are late or lost; ask the provider, and look at smscope itself.",
      none: NO_MESSAGES,
      unit: "short",
      width: 12,
      stacked: true,
      queries: [{ name: "{{state}}", expr: sum(select("sms_messages_pending"), "state") }],
      colours: { enroute: OUTCOME.pending, scheduled: VOLUME },
    }),
    lines({
      title: "Age of the oldest pending message",
      description:
        "It climbs until the oldest message is delivered or expires, so it is a saw tooth, often near the horizon (72 hours): even a healthy route never reports on a few. Compare sources: one far above its own past has a stuck route.",
      none: "Nothing is pending",
      unit: "dtdurations",
      width: 12,
      queries: [
        {
          name: "{{source}}",
          expr: `time() - min by (source) (${select("sms_messages_pending_oldest_timestamp_seconds")})`,
        },
      ],
      colours: {},
    }),
  ],
};

const why = {
  title: "Why and where messages fail",
  panels: [
    lines({
      title: "Failures by reason, a minute",
      description:
        "Purple is yours to change: credit, limits, what was sent. Blue is the recipient: wrong or blocked numbers, phones that are off. Red is the networks and the provider. A reason that starts suddenly is an incident, one that is always there is your address list.",
      none: "Nothing failed in this time range",
      unit: "mpm",
      width: 12,
      height: 9,
      stacked: true,
      queries: [{ name: "{{reason}}", expr: `${perMinute("sms_messages_failed_total", "reason")} > 0` }],
      colours: REASON,
    }),
    bars({
      title: "Failure rate by reason",
      description: `Of all messages that were delivered or failed in the time range, the share that failed for each reason. Together they are the failure rate.\n\n${BY_ARRIVAL}`,
      none: "Nothing failed in this time range",
      unit: "percentunit",
      width: 12,
      height: 9,
      query: {
        name: "{{reason}}",
        expr: `sort_desc(\n${sum(increase("sms_messages_failed_total", "$__range"), "reason")}\n/ on () group_left ()\n(${decided("$__range")} > 0)\n> 0)`,
      },
      colours: REASON,
    }),
    table({
      title: "Countries by impact",
      description: `Above normal: failures beyond those that the same traffic would have had at the failure rate of the week before the time range; where there is no week before, all of them. That ranks a small rise in a large country above a bad day of three messages. Below zero: better than usual.\n\n${BY_ARRIVAL}\n\nA click on a country opens its failures.`,
      none: NO_RECEIPTS,
      unit: "short",
      width: 24,
      height: 10,
      queries: [
        `${excess(["country"])}`,
        sum(increase("sms_messages_failed_total", "$__range"), "country"),
        failureRate("$__range", ["country"]),
        failureRate("7d offset $__range", ["country"]),
        decided("$__range", ["country"]),
        sum(increase("sms_messages_expired_total", "$__range"), "country"),
      ],
      by: "Above normal",
      columns: [
        { field: "country", name: "Country", links: failuresOf("country") },
        { field: "Value #A", name: "Above normal", decimals: 0, steps: THRESHOLDS.excess },
        { field: "Value #B", name: "Failed", decimals: 0 },
        { field: "Value #C", name: "Failure rate", unit: "percentunit", decimals: 1, steps: THRESHOLDS.failureRate },
        { field: "Value #D", name: "Normal (7 days before)", unit: "percentunit", decimals: 1 },
        { field: "Value #E", name: "Messages decided", decimals: 0 },
        { field: "Value #F", name: "Expired", decimals: 0 },
      ],
    }),
  ],
};

const BUCKETS = "sms_delivery_duration_seconds_bucket";
const CLOCK = "From sent (else accepted) to delivered, both by the provider's clock, of messages that were delivered.";

const howFast = {
  title: "How fast messages are delivered",
  panels: [
    lines({
      title: "Time to deliver",
      description: `${CLOCK} Half of them took at most p50, 95 of 100 at most p95. p50 up: the route is slow. Only p99 up: some phones were off. The scale is logarithmic.`,
      none: "Nothing was delivered in this time range",
      unit: "s",
      width: 12,
      logarithmic: true,
      queries: [
        { name: "p50", expr: quantile(0.5, BUCKETS, "$__rate_interval") },
        { name: "p95", expr: quantile(0.95, BUCKETS, "$__rate_interval") },
        { name: "p99", expr: quantile(0.99, BUCKETS, "$__rate_interval") },
      ],
      colours: QUANTILES,
    }),
    heatmap({
      title: "Time to deliver, all of it",
      description: `${CLOCK} A column is a moment, a cell the messages that took that long; darker is more. Two bands are two routes, or phones that are on and off. A band that climbs is a queue at the provider.`,
      none: "Nothing was delivered in this time range",
      unit: "s",
      width: 12,
      expr: sum(increase(BUCKETS, "$__rate_interval"), "le"),
    }),
    table({
      title: "Time to deliver by country",
      description: `${CLOCK} Of the whole time range, slowest first.`,
      none: "Nothing was delivered in this time range",
      unit: "s",
      width: 12,
      queries: [0.95, 0.5, 0.99].map((q) => `${quantile(q, BUCKETS, "$__range", "country")} >= 0`),
      by: "p95",
      columns: [
        { field: "country", name: "Country" },
        { field: "Value #B", name: "p50" },
        { field: "Value #A", name: "p95" },
        { field: "Value #C", name: "p99" },
      ],
    }),
    lines({
      title: "How late receipts come",
      description:
        "From the provider's status time to the arrival of the receipt. This is the provider's way to you, not the message's way to the phone. Steps at 30 s, 2 min, 10 min and more are its retries: then answers were refused, slow or lost, see smscope itself. The more it is, the staler every ratio here.",
      none: "No receipts in this time range",
      unit: "s",
      width: 12,
      logarithmic: true,
      queries: [
        { name: "p50", expr: quantile(0.5, "sms_receipt_delay_seconds_bucket", "$__rate_interval") },
        { name: "p95", expr: quantile(0.95, "sms_receipt_delay_seconds_bucket", "$__rate_interval") },
        { name: "p99", expr: quantile(0.99, "sms_receipt_delay_seconds_bucket", "$__rate_interval") },
      ],
      colours: QUANTILES,
    }),
  ],
};

/** Replies have neither flow nor country, so what they are compared with must not be filtered by them either. */
const OF_REPLIES = { filters: ["source", "channel"] as const };
const stops = (range: string) => sum(increase("sms_replies_total", range, { where: ['kind="stop"'] }));
const delivered = (range: string) => sum(increase("sms_messages_delivered_total", range, OF_REPLIES));

const NO_LIST = "No list is kept: [opt_outs] is off";
const AFTER_OPT_OUT = "sms_messages_after_opt_out_total";

const replies = {
  title: "Replies and opt-outs",
  panels: [
    stat({
      title: "STOP rate",
      description:
        "Opt-outs for each message delivered in the time range. Above 1 % people did not want, or did not know, what they got: look at what was sent last. Networks block senders for this.",
      none: "Nothing was delivered in this time range",
      unit: "percentunit",
      decimals: 2,
      width: 4,
      height: 8,
      queries: [{ name: "STOP rate", expr: ratio(stops("$__range"), delivered("$__range")) }],
      steps: THRESHOLDS.stopRate,
    }),
    lines({
      title: "STOP rate over time",
      description:
        "Each point is the hour before it. A peak right after a campaign is that campaign; a rise on all days is your list growing old.",
      none: "Nothing was delivered in this time range",
      unit: "percentunit",
      width: 8,
      queries: [{ name: "STOP", expr: ratio(stops("1h"), delivered("1h")) }],
      colours: { STOP },
    }),
    lines({
      title: "Replies, an hour",
      description: "Inbound messages in the hour before each point: opt-outs, and all other replies.",
      none: "No replies in this time range",
      unit: "short",
      width: 8,
      stacked: true,
      queries: [{ name: "{{kind}}", expr: sum(increase("sms_replies_total", "1h"), "kind") }],
      colours: { reply: VOLUME, stop: STOP },
    }),
    stat({
      title: "Read rate",
      description:
        "Messages read for each one delivered. Only channels that report it (RCS, WhatsApp) have any; choose one above, as SMS would thin it out.",
      none: "Nothing was delivered in this time range",
      unit: "percentunit",
      decimals: 1,
      width: 4,
      height: 8,
      queries: [
        {
          name: "read",
          expr: ratio(
            sum(increase("sms_messages_read_total", "$__range")),
            sum(increase("sms_messages_delivered_total", "$__range")),
          ),
        },
      ],
      colours: { read: OUTCOME.read },
    }),
    lines({
      title: "Numbers that have opted out",
      description:
        "On the list of opt-outs, once for each sender that they wrote to. It climbs by the STOPs above and by what `smscope opt-outs` adds. A fall that nobody made: ask who removed them.",
      none: NO_LIST,
      unit: "short",
      width: 8,
      queries: [{ name: "{{source}}", expr: `max by (source) (${select("sms_opt_outs")})` }],
      colours: {},
    }),
    stat({
      title: "Sent after opt-out",
      description:
        "Messages of the time range that were accepted or sent after their recipient had opted out. In France and the EU one is an incident: stop what sends them; look first at whether it asks `/v1/opt-outs`, and what it does when that does not answer.",
      none: NO_LIST,
      unit: "short",
      decimals: 0,
      width: 4,
      height: 8,
      queries: [{ name: "after opt-out", expr: sum(increase(AFTER_OPT_OUT, "$__range")) }],
      steps: THRESHOLDS.incident,
    }),
    lines({
      title: "Sent after opt-out, an hour",
      description: "By source and flow, in the hour before each point: the flow says which service does not ask before it sends.",
      none: NO_LIST,
      unit: "short",
      width: 12,
      queries: [{ name: "{{source}} {{flow}}", expr: sum(increase(AFTER_OPT_OUT, "1h"), "source", "flow") }],
      colours: {},
    }),
  ],
};

const spent = (range: string, ...by: string[]) => sum(increase("sms_message_cost_total", range), ...by);
const wasted = (range: string, ...by: string[]) => sum(increase("sms_message_failed_cost_total", range), ...by);
const OF_PARTS = { filters: ["source", "channel", "country"] as const };
const PRICE =
  "As the provider's receipts price them, once a message, in units of the currency; `credits` are those of the legacy API.";

const cost = {
  title: "Cost",
  panels: [
    stat({
      title: "Cost",
      description: `${PRICE} Messages of the time range, one figure a currency. Currencies are never added up.`,
      none: "No prices in this time range",
      unit: "locale",
      decimals: 2,
      width: 4,
      queries: [{ name: "{{currency}}", expr: spent("$__range", "currency") }],
    }),
    stat({
      title: "Cost of failed messages",
      description: `${PRICE} What was spent on messages that failed in the time range. Invalid and blocked numbers are the part that cleaning your list would save.`,
      none: "No prices in this time range",
      unit: "locale",
      decimals: 2,
      width: 4,
      queries: [{ name: "{{currency}}", expr: wasted("$__range", "currency") }],
      steps: [[null, OUTCOME.failed]],
    }),
    stat({
      title: "Parts a message",
      description:
        "SMS are billed by the part. Above 1 texts are long, or a character such as an emoji or a curly quote makes them UCS-2, which halves what fits.",
      none: NO_MESSAGES,
      unit: "short",
      decimals: 2,
      width: 4,
      queries: [
        {
          name: "parts",
          expr: ratio(
            sum(increase("sms_message_parts_total", "$__range")),
            sum(increase("sms_messages_total", "$__range", OF_PARTS)),
          ),
        },
      ],
    }),
    lines({
      title: "Cost, an hour",
      description: `${PRICE} Each point is the hour before it.`,
      none: "No prices in this time range",
      unit: "locale",
      width: 12,
      height: 8,
      queries: [{ name: "{{currency}}", expr: spent("1h", "currency") }],
      colours: {},
    }),
    table({
      title: "Cost by country",
      description: `${PRICE} Failed: the part that was spent on messages that failed. Order by it to see where failures cost most.`,
      none: "No prices in this time range",
      unit: "locale",
      width: 24,
      queries: [
        `${spent("$__range", "country", "currency")} > 0`,
        `${wasted("$__range", "country", "currency")} > 0`,
        ratio(wasted("$__range", "country", "currency"), spent("$__range", "country", "currency")),
      ],
      by: "Cost",
      columns: [
        { field: "country", name: "Country", links: failuresOf("country") },
        { field: "currency", name: "Currency" },
        { field: "Value #A", name: "Cost", decimals: 2 },
        { field: "Value #B", name: "Failed", decimals: 2 },
        { field: "Value #C", name: "Failed share", unit: "percentunit", decimals: 1, steps: THRESHOLDS.failureRate },
      ],
    }),
  ],
};

export function deliverability(): Dashboard {
  return dashboard({
    uid: "smscope-deliverability",
    title: "smscope / Deliverability",
    description: "What became of the messages, why and where they failed, how long they took, what they cost.",
    variables: VARIABLES.deliverability,
    from: "now-24h",
    refresh: "1m",
    rows: [now, overTime, why, howFast, replies, cost],
  });
}
