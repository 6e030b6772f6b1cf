/** Where panels get their data from, and how Loki is asked. */

import type { DataSourceRef } from "@grafana/grafana-foundation-sdk/common";

export const PROMETHEUS: DataSourceRef = { type: "prometheus", uid: "${datasource}" };
export const LOKI: DataSourceRef = { type: "loki", uid: "${loki}" };

/** Log records of smscope; attributes are structured metadata, their dots underscores. */
export const RECORDS = '{service_name="$service"}';

const FILTERED = ["source", "channel", "flow", "country"].map((name) => `sms_${name}=~"$${name}"`).join(" | ");

/** Records of failed messages: they alone have an error type. */
export const FAILED = `${RECORDS} | error_type=~"$reason" | ${FILTERED}`;

const IDS = ["messaging_message_id", "messaging_message_conversation_id", "sms_recipient_hash"];

/** Records with this message id, refClient or recipient hash; none while the text box is empty. */
export const WANTED = `${RECORDS} | ${IDS.map((id) => `(${id}="$message" and ${id}!="")`).join(" or ")}`;

/** What happened. Loki kept no event name before grafana/loki#21229 (2026); the provider's status then stands for it. */
export const NAMED = ' | label_format event=`{{ or .event_name .sms_status_value "see the record" }}`';

/** When it happened by the provider's clock, else its arrival here, which is the time of the record. */
export const HAPPENED =
  ' | label_format happened=`{{ or .sms_status_time (__timestamp__ | date "2006-01-02T15:04:05.000-07:00") }}`';

/** Seconds from when it happened by the provider to its arrival here; empty where the provider gave no time. */
export const DELAYED =
  " | label_format receipt_delay=`{{ if .sms_status_time }}" +
  '{{ divf (sub (unixEpochNanos __timestamp__) (unixEpochNanos (toDate "2006-01-02T15:04:05Z07:00" .sms_status_time))) 1000000000 }}' +
  "{{ end }}`";
