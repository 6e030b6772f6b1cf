/** One message, or all of one person: what happened, in order, and how long each step took. */

import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { dashboard } from "./frame.js";
import { JOURNEY, TRACE } from "./links.js";
import { OUTCOME, STOP, VOLUME } from "./look.js";
import { quantile } from "./metrics.js";
import { coloured, lanes, logs, lokiStat, records, spans, table } from "./panels.js";
import { DELAYED, HAPPENED, NAMED, WANTED } from "./sources.js";
import { VARIABLES } from "./variables.js";

const HOW =
  "Put a message id, a refClient or a recipient hash into Message, whole. Events may be days apart, and records are found by their arrival: widen the time range.";
const NONE = "Nothing found: put a whole message id, refClient or recipient hash into Message, or widen the time range";

/** By event name; by smsmode's own status where Loki keeps no event names. */
const EVENTS: Record<string, string> = {
  "sms.message.scheduled": VOLUME,
  "sms.message.enroute": OUTCOME.pending,
  "sms.message.delivered": OUTCOME.delivered,
  "sms.message.failed": OUTCOME.failed,
  "sms.message.read": OUTCOME.read,
  "sms.message.expired": OUTCOME.expired,
  "sms.message.unknown": OUTCOME.unknown,
  "sms.reply.received": VOLUME,
  "sms.reply.stop": STOP,
  SCHEDULED: VOLUME,
  ENROUTE: OUTCOME.pending,
  DELIVERED: OUTCOME.delivered,
  UNDELIVERED: OUTCOME.failed,
  UNDELIVERABLE: OUTCOME.failed,
  READ: OUTCOME.read,
};

const found = {
  title: "What was found (needs Loki)",
  panels: [
    lokiStat({
      title: "Messages",
      description: `How many messages were found: one by a message id, maybe more by a refClient or a recipient hash. ${HOW}`,
      none: NONE,
      unit: "short",
      width: 8,
      expr: `count(sum by (messaging_message_id) (count_over_time(${WANTED} [$__range])))`,
    }),
    lokiStat({
      title: "Events",
      description: `How many log records were found: receipts, replies and expiries. Tables here show the newest 1,000. ${HOW}`,
      none: NONE,
      unit: "short",
      width: 8,
      expr: `sum(count_over_time(${WANTED} [$__range]))`,
    }),
    lokiStat({
      title: "Slowest delivery",
      description:
        "The longest time from sent (else accepted) to delivered, by the provider's clock, among the messages that were found. Compare it with what is usual, at the bottom.",
      none: "None of them was delivered",
      unit: "s",
      width: 8,
      expr: `max(max_over_time(${WANTED} | unwrap sms_delivery_duration [$__range]))`,
    }),
    records({
      title: "Events in order",
      description: `Oldest first. Time is when it happened by the provider's clock (the arrival where the provider gave no time); Receipt late by is how much later it arrived here, so a late receipt stands where it belongs. Status and detail are the provider's own words. A failure after a delivery changed nothing: what is known never gets worse. A click on the recipient hash shows all messages to that number. ${HOW}`,
      none: NONE,
      unit: "string",
      width: 24,
      height: 10,
      expr: WANTED + NAMED + HAPPENED + DELAYED,
      by: "Time",
      ascending: true,
      columns: [
        { field: "happened", name: "Time", unit: "dateTimeAsSystem", width: 190 },
        { field: "event", name: "Event", mappings: coloured(EVENTS), width: 190 },
        { field: "sms_status_value", name: "Status", width: 120 },
        { field: "sms_status_detail", name: "Detail", width: 160 },
        { field: "error_type", name: "Reason", width: 120 },
        { field: "sms_delivery_duration", name: "Delivered in (s)", width: 120 },
        { field: "receipt_delay", name: "Receipt late by (s)", width: 140 },
        { field: "sms_country", name: "Country", width: 80 },
        { field: "sms_network_name", name: "Network", width: 120 },
        { field: "messaging_message_id", name: "Message", links: JOURNEY },
        { field: "messaging_message_conversation_id", name: "refClient", links: JOURNEY },
        { field: "sms_recipient_masked", name: "Recipient", width: 140 },
        { field: "sms_recipient_hash", name: "Recipient hash", links: JOURNEY },
        { field: "trace_id", name: "Trace", links: TRACE },
        { field: "Line", name: "In words" },
      ],
    }),
  ],
};

const delays = {
  title: "Delays between events (needs Loki)",
  panels: [
    lanes({
      title: "From event to event",
      description: `A lane a message. A block begins with an event, by the provider's clock, and lasts until the next one: point at it for how long that was. ${HOW}`,
      none: NONE,
      unit: "string",
      width: 14,
      height: 9,
      expr: WANTED + NAMED + HAPPENED,
      lane: "messaging_message_id",
      state: "event",
      mappings: coloured(EVENTS),
    }),
    spans({
      title: "From first to last event",
      description: `One row a message, by the provider's clock. A single event: its other receipts did not come, or are outside the time range. ${HOW}`,
      none: NONE,
      unit: "short",
      width: 10,
      height: 9,
      expr: WANTED + HAPPENED,
      group: "messaging_message_id",
      by: "First",
      ascending: true,
      columns: [
        { field: "messaging_message_id", name: "Message", links: JOURNEY },
        { field: "happened (count)", name: "Events", width: 70 },
        { field: "happened (min)", name: "First", unit: "dateTimeAsSystem", width: 170 },
        { field: "happened (max)", name: "Last", unit: "dateTimeAsSystem", width: 170 },
        { field: "Elapsed", name: "Elapsed", unit: "ms", width: 100 },
      ],
    }),
  ],
};

const BUCKETS = "sms_delivery_duration_seconds_bucket";

const more = {
  title: "To compare with",
  panels: [
    table({
      title: "Usual time to deliver",
      description:
        "From sent (else accepted) to delivered in the time range, by country: a message slower than its country's p95 is one of the slowest twenty.",
      none: "Nothing was delivered in this time range",
      unit: "s",
      width: 10,
      height: 10,
      queries: [0.95, 0.5, 0.99].map((q) => `${quantile(q, BUCKETS, "$__range", "country")} >= 0`),
      by: "Country",
      ascending: true,
      columns: [
        { field: "country", name: "Country" },
        { field: "Value #B", name: "p50" },
        { field: "Value #A", name: "p95" },
        { field: "Value #C", name: "p99" },
      ],
    }),
    logs({
      title: "Log records",
      description: `The records as they are; open one for all its attributes. ${HOW}`,
      none: NONE,
      unit: "string",
      width: 14,
      height: 10,
      expr: WANTED,
    }),
  ],
};

export function journey(): Dashboard {
  return dashboard({
    uid: "smscope-journey",
    title: "smscope / Message journey",
    description: "Finds one message by its id, its refClient or its recipient's hash, and shows its events in order.",
    variables: VARIABLES.journey,
    from: "now-7d",
    refresh: "",
    rows: [found, delays, more],
  });
}
