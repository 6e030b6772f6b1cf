/** One message, or all of one person: what happened, in order, and how long each step took. */

import { type Dashboard, MappingType, type ValueMapping } from "@grafana/grafana-foundation-sdk/dashboard";
import { dashboard, type Row } from "./frame.js";
import { JOURNEY, TRACE } from "./links.js";
import { OUTCOME, STOP, VOLUME } from "./look.js";
import { unfilteredNow } from "./now.js";
import { text } from "./panels.js";
import { ELAPSED, MESSAGES, ORDER, WANTED } from "./sources.js";
import { quantilesByCountry } from "./speed.js";
import { computed, logs, lokiStat } from "./tables.js";
import { VARIABLES } from "./variables.js";

const HOW =
  "Enter a message id, a refClient or a recipient hash in Message, whole. Events may be days apart: widen the time range.";
const NONE = "Nothing asked for, or nothing found in this time range";
const NO_COUNT = "Nothing found";

const HELP = `Enter one of these in **Message** above, whole:

- the provider's **message id**, or the **refClient** that your application gave the message
- a **recipient hash**, for all messages of one phone number: \`smscope hash +33612345678\` prints it, on the machine of smscope
`;

/** By event name, else by smsmode's own status where Loki keeps no event names: in a word, with its color. */
const EVENTS: [names: string[], word: string, color: string][] = [
  [["accepted"], "accepted", VOLUME],
  [["sms.message.scheduled", "SCHEDULED"], "scheduled", VOLUME],
  [["sms.message.enroute", "ENROUTE"], "en route", OUTCOME.pending],
  [["sms.message.delivered", "DELIVERED"], "delivered", OUTCOME.delivered],
  [["sms.message.failed", "UNDELIVERED", "UNDELIVERABLE"], "failed", OUTCOME.failed],
  [["sms.message.read", "READ"], "read", OUTCOME.read],
  [["sms.message.expired"], "expired", OUTCOME.expired],
  [["sms.message.unknown"], "unknown", OUTCOME.unknown],
  [["sms.reply.received"], "reply", VOLUME],
  [["sms.reply.stop"], "STOP", STOP],
  [["sms.resend.requested"], "resend", VOLUME],
];

const WORDS: ValueMapping[] = [
  {
    type: MappingType.ValueToText,
    options: Object.fromEntries(
      EVENTS.flatMap(([names, text, color], index) => names.map((name) => [name, { text, color, index }])),
    ),
  },
];

const found: Row = {
  title: "Message (needs Loki)",
  panels: [
    text({ title: "What to enter", content: HELP, width: 12, height: 5 }),
    lokiStat({
      title: "Messages",
      description: `How many messages were found: one by a message id, maybe more by a refClient or a recipient hash. ${HOW}`,
      none: NO_COUNT,
      unit: "locale",
      width: 4,
      height: 5,
      expr: MESSAGES,
    }),
    lokiStat({
      title: "Events",
      description: `How many log records were found: receipts, replies and expiries. ${HOW}`,
      none: NO_COUNT,
      unit: "locale",
      width: 4,
      height: 5,
      expr: `sum(count_over_time(${WANTED} [$__range]))`,
    }),
    lokiStat({
      title: "Slowest delivery",
      description:
        "The longest time from sent (else accepted) to delivered, by the provider's clock, among the messages that were found. Compare it with what is usual, at the bottom.",
      none: "None was delivered",
      unit: "s",
      width: 4,
      height: 5,
      expr: `max(max_over_time(${WANTED} | unwrap sms_delivery_duration [$__range]))`,
    }),
    computed({
      title: "Step by step",
      description: `In the order of the provider's clock; within one second in the order of the steps. After: since the message was accepted or sent where a delivery says when that was, else since its first event. Late by: how many seconds later the receipt arrived here. Status and detail are the provider's own words. A failure after a delivery changed nothing: what is known never gets worse. A click on the hash shows all messages to that number. ${HOW}`,
      none: NONE,
      unit: "s",
      width: 24,
      height: 10,
      queries: [ELAPSED, ORDER],
      order: "Value #B",
      columns: [
        { field: "Value #A", name: "After", unit: "s", decimals: 1, min: 70 },
        { field: "event", name: "Event", mappings: WORDS, min: 110 },
        { field: "sms_status_value", name: "Status", min: 130 },
        { field: "sms_status_detail", name: "Detail", min: 125 },
        { field: "error_type", name: "Reason", min: 120 },
        { field: "sms_country", name: "Country" },
        { field: "sms_network_name", name: "Network", min: 110 },
        { field: "sms_status_time", name: "Provider's time", min: 225 },
        { field: "receipt_delay", name: "Late by (s)" },
        { field: "messaging_message_id", name: "Message", links: JOURNEY, min: 80 },
        { field: "messaging_message_conversation_id", name: "refClient", links: JOURNEY, min: 85 },
        { field: "sms_recipient_masked", name: "Recipient", min: 120 },
        { field: "sms_recipient_hash", name: "Hash", links: JOURNEY, min: 60 },
        { field: "trace_id", name: "Trace", links: TRACE, min: 60 },
      ],
    }),
  ],
};

const more: Row = {
  title: "To compare with",
  panels: [
    quantilesByCountry(
      "Usual time to deliver",
      "From sent (else accepted) to delivered in the time range, by country: a message slower than its country's p95 is one of the slowest twenty.",
      10,
    ),
    logs({
      title: "Log records",
      description: `The records as they are; open one for all its attributes. Their time is the arrival. ${HOW}`,
      none: NONE,
      unit: "string",
      width: 14,
      expr: WANTED,
    }),
  ],
};

export function journey(): Dashboard {
  return dashboard({
    uid: "smscope-journey",
    title: "SMS message journey",
    description: "Finds one message by its id, its refClient or its recipient's hash, and shows its events in order.",
    variables: VARIABLES.journey,
    from: "now-7d",
    refresh: "",
    rows: [unfilteredNow, found, more],
  });
}
