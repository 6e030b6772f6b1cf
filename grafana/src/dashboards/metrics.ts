/** The metrics that dashboards may ask for, with their labels, and the selectors and sums that they are asked with. */

/** Labels that a variable of every dashboard filters, in the order of the variables. */
export const FILTERS = ["source", "channel", "flow", "country"] as const;
export type Filter = (typeof FILTERS)[number];

const MESSAGE = ["source", "channel", "flow", "country"] as const;
const COST = ["source", "channel", "country", "currency"] as const;

/** A test compares this table with the catalogue of the program; buckets and counts of histograms are named as queried. */
export const METRICS = {
  sms_messages_total: MESSAGE,
  sms_messages_delivered_total: MESSAGE,
  sms_messages_failed_total: [...MESSAGE, "reason"],
  sms_messages_read_total: MESSAGE,
  sms_messages_expired_total: MESSAGE,
  sms_messages_corrected_total: [...MESSAGE, "from"],
  sms_messages_pending: [...MESSAGE, "state"],
  sms_messages_pending_oldest_timestamp_seconds: ["source"],
  sms_receipts_total: ["source", "channel", "status", "outcome"],
  sms_network_outcomes_total: ["source", "network", "network_name", "outcome"],
  sms_messages_after_opt_out_total: MESSAGE,
  sms_opt_outs: ["source"],
  sms_relay_attempts_total: ["relay", "result"],
  sms_resend_outcomes_total: ["resend", "outcome"],
  sms_resends_pending: ["resend"],
  sms_resends_total: ["resend", "result"],
  sms_relay_dead_letters: ["relay"],
  sms_relay_pending: ["relay"],
  sms_relay_pending_oldest_timestamp_seconds: ["relay"],
  sms_replies_total: ["source", "channel", "kind"],
  sms_message_parts_total: ["source", "channel", "country"],
  sms_message_cost_total: COST,
  sms_message_failed_cost_total: COST,
  sms_delivery_duration_seconds_bucket: ["source", "channel", "country", "le"],
  sms_receipt_delay_seconds_bucket: ["source", "le"],
  smscope_webhook_requests_total: ["source", "result"],
  smscope_webhook_repaired_total: ["source"],
  smscope_webhook_unread_receipts_total: ["source"],
  smscope_webhook_duration_seconds_bucket: ["source", "le"],
  smscope_webhook_duration_seconds_count: ["source"],
  smscope_last_webhook_timestamp_seconds: ["source"],
  smscope_export_records_total: ["signal"],
  smscope_export_failures_total: ["signal"],
  smscope_export_dropped_records_total: ["signal"],
  smscope_export_backlog_records: ["signal"],
  smscope_export_oldest_timestamp_seconds: ["signal"],
  smscope_store_commit_duration_seconds_bucket: ["le"],
  smscope_store_events: [],
  smscope_store_size_bytes: [],
  smscope_store_limit_bytes: [],
  smscope_store_wal_size_bytes: [],
  smscope_labels_capped_total: ["label"],
  smscope_task_failures_total: ["task"],
  smscope_recipients_flooded_total: ["source"],
  smscope_auth_failures_throttled_total: [],
  smscope_tls_certificate_expiry_timestamp_seconds: [],
  smscope_tls_handshake_failures_total: [],
  smscope_self_probe_certificate_expiry_timestamp_seconds: ["source"],
  smscope_self_probe_duration_seconds_bucket: ["source", "le"],
  smscope_self_probes_total: ["source", "result"],
  smscope_account_balance: ["source", "organisation"],
  smscope_account_consumption: ["source", "organisation", "period"],
  smscope_account_consumption_limit: ["source", "organisation", "period"],
  smscope_account_last_success_timestamp_seconds: ["source"],
  smscope_api_requests_total: ["source", "operation", "result"],
  smscope_channel_consumption: ["source", "channel_id", "channel_name", "period"],
  smscope_channel_consumption_limit: ["source", "channel_id", "channel_name", "period"],
  smscope_fleet_leader: [],
  smscope_fleet_replicas: [],
  smscope_inbox_events: [],
  smscope_inbox_oldest_timestamp_seconds: [],
  smscope_inbox_stuck_total: [],
  smscope_store_synchronous: [],
  smscope_build_info: ["version", "revision", "rustc"],
  process_cpu_seconds_total: [],
  process_max_fds: [],
  process_open_fds: [],
  process_resident_memory_bytes: [],
  process_start_time_seconds: [],
  process_threads: [],
} as const satisfies Record<string, readonly string[]>;

export type Metric = keyof typeof METRICS;

export interface Where {
  /** Further matchers, such as `kind="stop"`. */
  where?: string[];
  /** The filters that apply, where not all that the metric has: two sides of a ratio have to be of the same messages. */
  filters?: readonly Filter[];
}

export function filtersOf(metric: Metric): Filter[] {
  const labels: readonly string[] = METRICS[metric];
  return FILTERS.filter((filter) => labels.includes(filter));
}

/** Names and beginnings of names of what is durable: stored with the events, or a gauge of what is stored. */
const DURABLE =
  /^(sms_(?!delivery_duration|receipt_delay|relay_duration)|smscope_(store_(events|size|wal_size|limit)|export_(backlog|oldest)|account_(balance|active|consumption)|channel_|fleet_replicas))/;

/**
 * The instance under which the replicas of a fleet show what is durable (`smscope metrics relabel`). It is that of every
 * replica: whoever looks at one of them has to see the fleet's counts beside it.
 */
const FLEET = "smscope-fleet";

/** What `instance` of a durable series may be. */
export const DURABLE_INSTANCE = `$instance|${FLEET}`;

/**
 * A selector of `metric` with a matcher for each variable of which it has the label. All is `.*`, which also matches a
 * series without the label: job and instance are not always there when metrics arrive by OTLP.
 */
export function select(metric: Metric, { where = [], filters = filtersOf(metric) }: Where = {}): string {
  const instance = DURABLE.test(metric) ? `instance=~"${DURABLE_INSTANCE}"` : 'instance=~"$instance"';
  const matchers = filters.map((label) => `${label}=~"$${label}"`);
  return `${metric}{${['job=~"$job"', instance, ...matchers, ...where].join(", ")}}`;
}

/** `range` may have an offset: `1h offset 1w`. */
export function increase(metric: Metric, range: string, where?: Where): string {
  return over("increase", metric, range, where);
}

export function rate(metric: Metric, where?: Where): string {
  return over("rate", metric, "$__rate_interval", where);
}

function over(call: string, metric: Metric, range: string, where?: Where): string {
  const [window, ...offset] = range.split(" ");
  return `${call}(${[`${select(metric, where)}[${window}]`, ...offset].join(" ")})`;
}

export function sum(expr: string, ...by: string[]): string {
  return by.length === 0 ? `sum(${expr})` : `sum by (${by.join(", ")}) (${expr})`;
}

/**
 * A rate per minute by `label`: the `count` largest of the time range each, all others as one series. More than a handful
 * of series share hues that nobody can tell apart.
 */
export function largest(count: number, metric: Metric, label: string, where?: Where): { expr: string; name: string }[] {
  const each = sum(rate(metric, where), label);
  const top = `topk(${count}, ${sum(`increase(${select(metric, where)}[$__range] @ end())`, label)} > 0)`;
  return [
    { name: `{{${label}}}`, expr: `${each} * 60\nand on (${label})\n${top}` },
    { name: OTHERS, expr: `sum(\n${each}\nunless on (${label})\n${top}\n) * 60 > 0` },
  ];
}

/** Not "other": that is the value of a label at its cap. */
export const OTHERS = "all others";

export function perMinute(metric: Metric, by: string[] = [], where?: Where): string {
  return `${sum(rate(metric, where), ...by)} * 60`;
}

/** `whole` is never 0: where nothing was counted there is no ratio, and the panel says so. */
export function ratio(part: string, whole: string): string {
  return `${part}\n/\n(${whole} > 0)`;
}

/**
 * Messages that were delivered or failed in `range`: by arrival of the receipt, not by when they were sent. The alerts
 * use the same; expired ones, of which nothing was heard, are shown beside it.
 */
export function decided(range: string, by: string[] = [], where?: Where): string {
  const counts = ["sms_messages_delivered_total", "sms_messages_failed_total"] as const;
  return `(${counts.map((metric) => sum(increase(metric, range, where), ...by)).join(" + ")})`;
}

export function deliveryRate(range: string, by: string[] = [], where?: Where): string {
  return ratio(sum(increase("sms_messages_delivered_total", range, where), ...by), decided(range, by, where));
}

export function failureRate(range: string, by: string[] = [], where?: Where): string {
  return ratio(sum(increase("sms_messages_failed_total", range, where), ...by), decided(range, by, where));
}

export function quantile(q: number, metric: Metric, window: string, ...by: string[]): string {
  const call = window === "$__rate_interval" ? "rate" : "increase";
  return `histogram_quantile(${q}, ${sum(over(call, metric, window), "le", ...by)})`;
}

/** `process_*` is of every program that is scraped: only those that are an smscope. */
export function ofSmscope(expr: string): string {
  return `${expr} and on (job, instance) ${select("smscope_build_info")}`;
}
