/** How fast messages are delivered, and how late receipts arrive. */

import { QUANTILES } from "./look.js";
import { increase, type Metric, quantile, sum } from "./metrics.js";
import { heatmap, lines, type Query } from "./panels.js";
import { table } from "./tables.js";

export const DURATIONS = "sms_delivery_duration_seconds_bucket";
const CLOCK = "From sent (else accepted) to delivered, both by the provider's clock, of messages that were delivered.";
const NOTHING = "Nothing was delivered in this time range";

/** The median and the slow ends, over a window that even a quiet night fills. */
export function quantiles(metric: Metric, window: string): Query[] {
  return [
    { name: "p50", expr: quantile(0.5, metric, window) },
    { name: "p95", expr: quantile(0.95, metric, window) },
    { name: "p99", expr: quantile(0.99, metric, window) },
  ];
}

export function quantilesByCountry(title: string, description: string, width: number) {
  return table({
    title,
    description,
    none: NOTHING,
    unit: "s",
    width,
    queries: [0.95, 0.5, 0.99].map((q) => `${quantile(q, DURATIONS, "$__range", "country")} >= 0`),
    by: "p95",
    columns: [
      { field: "country", name: "Country" },
      { field: "Value #B", name: "p50", decimals: 1, min: 90 },
      { field: "Value #A", name: "p95", decimals: 1, min: 90 },
      { field: "Value #C", name: "p99", decimals: 1, min: 90 },
    ],
  });
}

export const speed = {
  title: "How fast messages are delivered",
  panels: [
    lines({
      title: "Time to deliver",
      description: `${CLOCK} Each point is the hour before it. Half of them took at most p50, 95 of 100 at most p95. p50 up: the route is slow. Only p99 up: some phones were off. The scale is logarithmic.`,
      none: NOTHING,
      unit: "s",
      width: 12,
      logarithmic: true,
      queries: quantiles(DURATIONS, "1h"),
      colors: QUANTILES,
    }),
    heatmap({
      title: "Spread of delivery times",
      description: `${CLOCK} A column is a moment, a cell the messages that took that long; brighter is more. Two bands are two routes, or phones that are on and off. A band that climbs is a queue at the provider.`,
      none: NOTHING,
      unit: "s",
      width: 12,
      expr: sum(increase(DURATIONS, "$__rate_interval"), "le"),
    }),
    quantilesByCountry("Slowest countries", `${CLOCK} Of the whole time range, slowest first.`, 12),
    lines({
      title: "How late receipts arrive",
      description:
        "From the provider's status time to the arrival of the receipt, in the hour before each point. This is the provider's way to you, not the message's way to the phone. Steps at 30 s, 2 min, 10 min and more are its retries: then answers were rejections, slow or lost, see smscope health. The higher it is, the staler every ratio here.",
      none: "No receipts in this time range",
      unit: "s",
      width: 12,
      logarithmic: true,
      queries: quantiles("sms_receipt_delay_seconds_bucket", "1h"),
      colors: QUANTILES,
    }),
  ],
};
