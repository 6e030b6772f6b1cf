/** Where panels get their data from, and how Loki is asked. */

import type { DataSourceRef } from "@grafana/grafana-foundation-sdk/common";

export const PROMETHEUS: DataSourceRef = { type: "prometheus", uid: "${datasource}" };
export const LOKI: DataSourceRef = { type: "loki", uid: "${loki}" };

/** Log records of smscope; attributes are structured metadata, their dots underscores. */
export const RECORDS = '{service_name="$service"}';

const FILTERED = ["source", "channel", "flow", "country"].map((name) => `sms_${name}=~"$${name}"`).join(" | ");

/** Records of failed messages: they alone have an error type. */
export const FAILED = `${RECORDS} | error_type=~"$reason" | ${FILTERED}`;

export const ATTRIBUTES_OF_FAILURES = ["error_type", "sms_status_value", "sms_status_detail", "sms_network_name"];

const IDS = ["messaging_message_id", "messaging_message_conversation_id", "sms_recipient_hash"];

/** Records with this message id, refClient or recipient hash; none while the text box is empty. */
export const WANTED = `${RECORDS} | ${IDS.map((id) => `(${id}="$message" and ${id}!="")`).join(" or ")}`;

const stage = (label: string, template: string) => ` | label_format ${label}=\`${template}\``;

/** What happened. Loki kept no event name before grafana/loki#21229 (2026); the provider's status then stands for it. */
export const NAMED = stage("event", '{{ or .event_name .sms_status_value "see the record" }}');

const ARRIVAL = "divf (unixEpochNanos __timestamp__) 1000000000";
/** The provider's clock, in seconds. */
const HAPPENED = 'divf (unixEpochMillis (toDate "2006-01-02T15:04:05Z07:00" .sms_status_time)) 1000';

/** Seconds from when it happened by the provider to its arrival here. */
export const DELAYED = stage(
  "receipt_delay",
  `{{ if .sms_status_time }}{{ printf "%.1f" (subf (${ARRIVAL}) (${HAPPENED})) }}{{ end }}`,
);

/** When it happened by the provider, else when it arrived: in seconds, to be unwrapped. */
const AT = stage("at", `{{ if .sms_status_time }}{{ ${HAPPENED} }}{{ else }}{{ ${ARRIVAL} }}{{ end }}`);

/** When the message began: a delivery says how long it took from sent, else accepted. */
const START =
  AT + stage("start", "{{ if .sms_delivery_duration }}{{ subf .at .sms_delivery_duration }}{{ else }}{{ .at }}{{ end }}");

/** Providers' clocks have seconds: of two events in the same second the later step of a message comes second. */
const STEP = stage(
  "step",
  '{{ if eq .event "accepted" }}0{{ else if eq .event "sms.message.scheduled" "SCHEDULED" }}1{{ else if eq .event "sms.message.enroute" "ENROUTE" }}2{{ else if eq .event "sms.message.read" "READ" }}4{{ else }}3{{ end }}',
);

/** The attributes by which an event of a journey is shown. */
export const OF_EVENT = [
  "event",
  "messaging_message_id",
  "messaging_message_conversation_id",
  "sms_status_time",
  "sms_status_value",
  "sms_status_detail",
  "error_type",
  "sms_country",
  "sms_network_name",
  "sms_recipient_masked",
  "sms_recipient_hash",
  "receipt_delay",
  "trace_id",
];

const earliest = (by: string[], stages: string, label: string) =>
  `min by (${by.join(", ")}) (min_over_time(${stages} | unwrap ${label} [$__range]))`;

const FIRST = earliest(["messaging_message_id"], WANTED + START, "start");
/** `first` is subtracted of the events of each message. */
const minus = (instant: string, first: string) => `(\n${instant}\n- on (messaging_message_id) group_left ()\n${first}\n)`;

/** Every event, and that the provider accepted the message, where a delivery says when that was. */
const EVENTS = WANTED + NAMED + DELAYED + AT;
const ACCEPTED = `${WANTED} | sms_delivery_duration!=""${stage("event", "accepted")}${START}`;
const OF_ACCEPTANCE = OF_EVENT.filter((name) => !/status|error|delay|trace|network/.test(name));

/** Events by the value of one label, and acceptances by that of another. */
const both = (events: string, accepted: string, first: string) =>
  `${minus(earliest(OF_EVENT, EVENTS + STEP + events, "value"), first)}\nor\n${minus(earliest(OF_ACCEPTANCE, ACCEPTED + accepted, "value"), first)}`;

/** Seconds from the beginning of its message to each event. */
export const ELAPSED = both(stage("value", "{{ .at }}"), stage("value", "{{ .start }}"), FIRST);

/**
 * The order of events, by their times and, within a second, by the steps of a message. Subtracting nothing gives it the
 * labels of the other, by which the two become one table.
 */
export const ORDER = both(
  stage("value", "{{ addf .at (divf .step 10000) }}"),
  stage("value", "{{ .start }}"),
  `(0 * ${FIRST})`,
);

/** Messages of which there are events, and how many. */
export const MESSAGES = `count(sum by (messaging_message_id) (count_over_time(${WANTED} [$__range])))`;
