/** What became of the messages, why and where they failed, how long they took, what recipients replied. */

import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { dashboard } from "./frame.js";
import { failuresOf } from "./links.js";
import { BEFORE, OUTCOME, REASON, THRESHOLDS, VOLUME } from "./look.js";
import {
  decided,
  deliveryRate,
  failureRate,
  increase,
  largest,
  perMinute,
  ratio,
  select,
  sum,
} from "./metrics.js";
import { deliveredNow } from "./now.js";
import { bars, DELIVERY_RATE, lines, OUTCOMES, stat } from "./panels.js";
import { optOuts, replies } from "./replies.js";
import { speed } from "./speed.js";
import { table } from "./tables.js";
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

const expired = sum(increase("sms_messages_expired_total", "$__range"));

const range = {
  title: "Time range",
  panels: [
    stat({
      title: "Delivered share",
      description: `Share of messages that were delivered, of all that were delivered or failed in the time range. Messages without a final receipt are counted further right, as expired.\n\n${BY_ARRIVAL}\n\nHealthy routes fail 1 to 4 %; amber and red begin where the alerts do.`,
      none: "No final receipts",
      unit: "percentunit",
      decimals: 2,
      width: 4,
      queries: [{ name: "delivered", expr: deliveryRate("$__range") }],
      steps: THRESHOLDS.deliveryRate,
    }),
    stat({
      title: "Against last week",
      description: `Delivery rate minus that of the same time range a week earlier, in points: -2 % means that it fell from, say, 96 % to 94 %.\n\n${BY_ARRIVAL}\n\nA fall of more than two points is worth a check even while the rate itself is still good.`,
      none: "No week before",
      unit: "percentunit",
      decimals: 2,
      width: 4,
      queries: [{ name: "change", expr: `(${deliveryRate("$__range")})\n-\n(${deliveryRate("$__range offset 1w")})` }],
      steps: THRESHOLDS.deliveryChange,
    }),
    stat({
      title: "Messages",
      description: `Messages first seen in the time range: at their first receipt, or when your application registered them. ${FIRST}`,
      none: "No messages",
      unit: "locale",
      decimals: 0,
      width: 3,
      queries: [{ name: "messages", expr: sum(increase("sms_messages_total", "$__range")) }],
    }),
    stat({
      title: "Outcomes",
      description:
        "Messages that became delivered, failed or expired in the time range. Expired: no final receipt within the horizon (72 hours unless set otherwise). They need not be the messages first seen in it. A late receipt can make a failed message delivered; it then counts in both.",
      none: "No final receipts",
      unit: "locale",
      decimals: 0,
      width: 5,
      queries: [
        { name: "delivered", expr: sum(increase("sms_messages_delivered_total", "$__range")) },
        { name: "failed", expr: sum(increase("sms_messages_failed_total", "$__range")) },
        { name: "expired", expr: expired },
      ],
      colors: OUTCOMES,
    }),
    stat({
      title: "Expired share",
      description:
        "Share of messages that ended without any final receipt, of all that ended in the time range. A healthy route reports on over 97 %. More: the provider loses receipts, or cannot deliver them to smscope.",
      none: "No final receipts",
      unit: "percentunit",
      decimals: 2,
      width: 3,
      queries: [{ name: "expired share", expr: ratio(expired, `(${decided("$__range")} + ${expired})`) }],
      steps: THRESHOLDS.expiredRate,
    }),
    stat({
      title: "Pending",
      description:
        "Messages that wait for their final receipt at the end of the time range, scheduled ones left out. Some always do; check whether it grows (below), and the oldest.",
      none: "No messages",
      unit: "locale",
      decimals: 0,
      width: 2,
      queries: [{ name: "pending", expr: sum(select("sms_messages_pending", { where: ['state="enroute"'] })) }],
      colors: { pending: OUTCOME.pending },
    }),
    stat({
      title: "Oldest",
      description:
        "How long the oldest pending message has waited for its final receipt. Even a healthy route never reports on a few, so days are normal, up to the horizon (72 hours unless set otherwise), at which they expire. Past it expiry is stuck: see smscope health.",
      none: "Nothing is pending",
      unit: "suffix:hours",
      decimals: 1,
      width: 3,
      queries: [{ name: "oldest", expr: oldestHours() }],
      steps: THRESHOLDS.oldestPending,
    }),
  ],
};

function oldestHours(...by: string[]): string {
  const oldest = select("sms_messages_pending_oldest_timestamp_seconds");
  const first = by.length === 0 ? `min(${oldest})` : `min by (${by.join(", ")}) (${oldest})`;
  return `(time() - ${first}) / 3600`;
}

const overTime = {
  title: "Over time",
  panels: [
    lines({
      title: "Delivered, failed and expired",
      description: `Messages by what became of them, stacked. Read the red part against the green: red that grows with green is more traffic, red that grows alone is trouble.\n\n${BY_ARRIVAL}`,
      none: NO_RECEIPTS,
      unit: "suffix:per min",
      width: 12,
      stacked: true,
      queries: [
        { name: "delivered", expr: perMinute("sms_messages_delivered_total") },
        { name: "failed", expr: perMinute("sms_messages_failed_total") },
        { name: "expired", expr: perMinute("sms_messages_expired_total") },
      ],
      colors: OUTCOMES,
    }),
    lines({
      title: "Delivery rate, hour by hour",
      description: `Each point is the rate of the hour before it, so that a quiet minute does not make a spike. The dashed line is the same hour a week earlier, which has the same weekday and time of day.\n\n${BY_ARRIVAL}\n\nThe axis begins at 80 % and lower if the rate does. Where the lines part is where to zoom in; then open Failures.`,
      none: NO_RECEIPTS,
      unit: "percentunit",
      width: 12,
      ...DELIVERY_RATE,
      queries: [
        { name: "delivered", expr: deliveryRate("1h") },
        { name: "a week earlier", expr: deliveryRate("1h offset 1w") },
      ],
      colors: { delivered: OUTCOME.delivered, "a week earlier": BEFORE },
      dashed: ["a week earlier"],
    }),
    lines({
      title: "Waiting for a final receipt",
      description:
        "Pending messages, and those scheduled for later. It should rise and fall with the traffic. Growing while traffic is even: receipts are late or lost; ask the provider, and check smscope health.",
      none: NO_MESSAGES,
      unit: "locale",
      width: 12,
      stacked: true,
      queries: [{ name: "{{state}}", expr: sum(select("sms_messages_pending"), "state") }],
      colors: { enroute: OUTCOME.pending, scheduled: VOLUME },
    }),
    lines({
      title: "Age of the oldest pending message",
      description:
        "It climbs until the oldest message is delivered or expires, so it is a saw tooth, often near the horizon (72 hours): even a healthy route never reports on a few. Compare sources: one far above its own past has a stuck route.",
      none: "Nothing is pending",
      unit: "suffix:hours",
      width: 12,
      queries: [{ name: "{{source}}", expr: oldestHours("source") }],
      colors: {},
      calcs: ["lastNotNull", "max"],
    }),
  ],
};

const why = {
  title: "Why and where messages fail",
  panels: [
    lines({
      title: "Failures by reason",
      description:
        "The five most frequent reasons of the time range, and all others together. Purple is yours to change: credit, limits, what was sent. Blue is the recipient: wrong or blocked numbers, phones that are off. Red is the networks and the provider. A reason that starts suddenly is an incident, one that is always there is your address list.",
      none: "Nothing failed in this time range",
      unit: "suffix:per min",
      width: 12,
      height: 10,
      stacked: true,
      queries: largest(5, "sms_messages_failed_total", "reason"),
      colors: REASON,
    }),
    bars({
      title: "Share of each reason",
      description: `Of all messages that were delivered or failed in the time range, the share that failed for each reason; the ten most frequent.\n\n${BY_ARRIVAL}`,
      none: "Nothing failed in this time range",
      unit: "percentunit",
      width: 12,
      height: 10,
      query: {
        name: "{{reason}}",
        expr: `sort_desc(topk(10,\n${sum(increase("sms_messages_failed_total", "$__range"), "reason")}\n/ on () group_left ()\n(${decided("$__range")} > 0)\n> 0))`,
      },
      colors: REASON,
    }),
    table({
      title: "Countries by impact",
      description: `Above normal: failures beyond those that the same traffic would have had at the failure rate of the week before the time range; where there is no week before, all of them. That ranks a small rise in a large country above a bad day of three messages. Below zero: better than usual.\n\n${BY_ARRIVAL}\n\nA click on a country opens its failures.`,
      none: NO_RECEIPTS,
      unit: "locale",
      width: 12,
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
        { field: "country", name: "Country", links: failuresOf({ country: "Country" }) },
        { field: "Value #A", name: "Above normal", decimals: 0, steps: THRESHOLDS.excess },
        { field: "Value #B", name: "Failed", decimals: 0 },
        { field: "Value #C", name: "Rate", unit: "percentunit", decimals: 1, steps: THRESHOLDS.failureRate },
        { field: "Value #D", name: "Week before", unit: "percentunit", decimals: 1 },
        { field: "Value #E", name: "Ended", decimals: 0 },
        { field: "Value #F", name: "Expired", decimals: 0 },
      ],
    }),
    table({
      title: "By flow",
      description: `What one-time passwords, transactional and marketing messages came to, in the time range. Change: delivery rate minus that of the same time range a week earlier, in points.\n\n${BY_ARRIVAL}\n\nA click on a flow opens its failures.`,
      none: NO_RECEIPTS,
      unit: "locale",
      width: 12,
      height: 10,
      queries: [
        sum(increase("sms_messages_total", "$__range"), "flow"),
        deliveryRate("$__range", ["flow"]),
        `(${deliveryRate("$__range", ["flow"])})\n-\n(${deliveryRate("$__range offset 1w", ["flow"])})`,
        sum(increase("sms_messages_failed_total", "$__range"), "flow"),
        sum(increase("sms_messages_expired_total", "$__range"), "flow"),
      ],
      by: "Messages",
      columns: [
        { field: "flow", name: "Flow", links: failuresOf({ flow: "Flow" }), min: 145 },
        { field: "Value #A", name: "Messages", decimals: 0 },
        { field: "Value #B", name: "Delivered", unit: "percentunit", decimals: 1, steps: THRESHOLDS.deliveryRate },
        { field: "Value #C", name: "Change", unit: "percentunit", decimals: 1, steps: THRESHOLDS.deliveryChange },
        { field: "Value #D", name: "Failed", decimals: 0 },
        { field: "Value #E", name: "Expired", decimals: 0 },
      ],
    }),
  ],
};

export function deliverability(): Dashboard {
  return dashboard({
    uid: "smscope-deliverability",
    title: "SMS deliverability",
    description: "What became of the messages, why and where they failed, how long they took, what recipients replied.",
    variables: VARIABLES.deliverability,
    from: "now-24h",
    refresh: "1m",
    rows: [deliveredNow, range, overTime, why, speed, replies, optOuts],
  });
}
