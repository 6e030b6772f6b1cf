/** What a product owner reports: the objective and its budget by flow, days and weeks, and cost by currency. */

import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { dashboard, type Row } from "./frame.js";
import { failuresOf } from "./links.js";
import { OUTCOME, THRESHOLDS, VOLUME } from "./look.js";
import { deliveryRate, failureRate, increase, ratio, sum } from "./metrics.js";
import { deliveredNow } from "./now.js";
import { DELIVERY_RATE, lines, OUTCOMES, stat } from "./panels.js";
import { table } from "./tables.js";
import { VARIABLES } from "./variables.js";

const DEFINITION =
  "Delivered, of all that were delivered or failed, by arrival of the receipt; expired messages are beside it. The objective is chosen above.";
const NO_RECEIPTS = "No final receipts";

/** What is left of the failures that the objective allows: 1 is all, 0 none, below 0 the objective is missed. */
const budget = (range: string, by: string[] = []) => `1 - (\n${failureRate(range, by)}\n) / (1 - $objective)`;

const objective: Row = {
  title: "Objective, last 30 days",
  panels: [
    stat({
      title: "Delivered of 30 days",
      description: `${DEFINITION}\n\nGreen: the objective is met. The last 30 days, whatever the time range is.`,
      none: NO_RECEIPTS,
      unit: "percentunit",
      decimals: 2,
      width: 4,
      height: 7,
      queries: [{ name: "delivered", expr: deliveryRate("30d") }],
      steps: [[null, VOLUME]],
    }),
    stat({
      title: "Budget left",
      description:
        "Share of the failures that the objective allows in 30 days and that have not happened yet. With an objective of 95 %, 5 of 100 messages may fail; if 4 did, 20 % is left. Below zero: the objective is missed; put reliability before new campaigns.",
      none: NO_RECEIPTS,
      unit: "percentunit",
      decimals: 0,
      width: 4,
      height: 7,
      queries: [{ name: "left", expr: budget("30d") }],
      steps: THRESHOLDS.budget,
    }),
    table({
      title: "Budget by flow",
      description: `${DEFINITION}\n\nBudget: as beside it, of each flow alone. A click on a flow opens its failures.`,
      none: NO_RECEIPTS,
      unit: "locale",
      width: 16,
      height: 7,
      queries: [
        budget("30d", ["flow"]),
        deliveryRate("30d", ["flow"]),
        sum(increase("sms_messages_total", "30d"), "flow"),
        sum(increase("sms_messages_failed_total", "30d"), "flow"),
        sum(increase("sms_messages_expired_total", "30d"), "flow"),
      ],
      by: "Messages",
      columns: [
        { field: "flow", name: "Flow", links: failuresOf({ flow: "Flow" }), min: 145 },
        { field: "Value #A", name: "Budget left", unit: "percentunit", decimals: 0, steps: THRESHOLDS.budget },
        { field: "Value #B", name: "Delivered", unit: "percentunit", decimals: 2 },
        { field: "Value #C", name: "Messages", decimals: 0 },
        { field: "Value #D", name: "Failed", decimals: 0 },
        { field: "Value #E", name: "Expired", decimals: 0 },
      ],
    }),
  ],
};

/** Points are at midnight; what a point is of is the day that begins there, today as far as it has come. */
const DAY = "1d offset -1d";
const BY_DAY = { interval: "1d", width: 12 } as const;

const days: Row = {
  title: "By day",
  panels: [
    lines({
      title: "Messages by outcome",
      description: "One bar for each day, today as far as it has come, stacked.",
      none: NO_RECEIPTS,
      unit: "locale",
      decimals: 0,
      ...BY_DAY,
      bars: true,
      stacked: true,
      queries: [
        { name: "delivered", expr: sum(increase("sms_messages_delivered_total", DAY)) },
        { name: "failed", expr: sum(increase("sms_messages_failed_total", DAY)) },
        { name: "expired", expr: sum(increase("sms_messages_expired_total", DAY)) },
      ],
      colors: OUTCOMES,
    }),
    lines({
      title: "Delivery rate by flow",
      description: `${DEFINITION}\n\nOne point for each day and flow. The axis begins at 80 % and lower if a rate does.`,
      none: NO_RECEIPTS,
      unit: "percentunit",
      ...BY_DAY,
      ...DELIVERY_RATE,
      queries: [{ name: "{{flow}}", expr: deliveryRate(DAY, ["flow"]) }],
      colors: {},
    }),
  ],
};

/** The same 7 days, so that weekdays are alike. */
const WEEKS = [
  ["Last 7 days", "7d"],
  ["The 7 days before", "7d offset 1w"],
  ["2 weeks before", "7d offset 2w"],
  ["3 weeks before", "7d offset 3w"],
] as const;

function byWeek(title: string, description: string, value: (range: string) => string, column: object) {
  return table({
    title,
    description: `${description} Four times 7 days that end now, so that weekdays are alike, whatever the time range is.`,
    none: NO_RECEIPTS,
    unit: "locale",
    width: 12,
    height: 7,
    queries: WEEKS.map(([, range]) => value(range)),
    by: "Last 7 days",
    columns: [
      { field: "flow", name: "Flow", min: 135 },
      ...WEEKS.map(([name], index) => ({ field: `Value #${"ABCD"[index]}`, name, ...column })),
    ],
  });
}

const weeks: Row = {
  title: "By week",
  panels: [
    byWeek("Messages of a week", "Messages first seen, by flow.", (range) => sum(increase("sms_messages_total", range), "flow"), {
      decimals: 0,
    }),
    byWeek("Delivery rate of a week", DEFINITION, (range) => deliveryRate(range, ["flow"]), {
      unit: "percentunit",
      decimals: 2,
      steps: THRESHOLDS.deliveryRate,
    }),
  ],
};

const CURRENCY = { where: ['currency=~"$currency"'] };
const spent = (range: string, ...by: string[]) => sum(increase("sms_message_cost_total", range, CURRENCY), ...by);
const wasted = (range: string, ...by: string[]) => sum(increase("sms_message_failed_cost_total", range, CURRENCY), ...by);
const PRICE =
  "As the provider's receipts price them, once a message, in units of the currency; `credits` are those of the legacy API. Currencies are never added up: each has its own row.";
const NO_PRICES = "No prices in this time";

/** Cost has no flow, so messages that it is compared with are not filtered by it either. */
const OF_COST = { filters: ["source", "channel", "country"] as const };

const cost: Row = {
  title: "Cost in $currency",
  repeat: "currency",
  panels: [
    stat({
      title: "Spent",
      description: `${PRICE} The last 7 days, those before, and 30 days, whatever the time range is.`,
      none: NO_PRICES,
      unit: "locale",
      decimals: 2,
      width: 6,
      height: 8,
      queries: [
        { name: "last 7 days", expr: spent("7d") },
        { name: "week before", expr: spent("7d offset 1w") },
        { name: "30 days", expr: spent("30d") },
      ],
    }),
    stat({
      title: "Spent on failures",
      description: `${PRICE} On messages that failed in the last 30 days, and their share of what was spent. Invalid and blocked numbers are the part that a clean list would save.`,
      none: NO_PRICES,
      unit: "locale",
      decimals: 2,
      width: 3,
      height: 8,
      queries: [{ name: "failed", expr: wasted("30d") }],
      colors: { failed: OUTCOME.failed },
    }),
    stat({
      title: "Parts per message",
      description:
        "SMS are billed by the part; of all currencies. Above 1 texts are long, or a character such as an emoji or a curly quote makes them UCS-2, which halves what fits.",
      none: NO_PRICES,
      unit: "none",
      decimals: 2,
      width: 3,
      height: 8,
      queries: [
        {
          name: "parts",
          expr: ratio(sum(increase("sms_message_parts_total", "30d")), sum(increase("sms_messages_total", "30d", OF_COST))),
        },
      ],
    }),
    lines({
      title: "Money by day",
      description: `${PRICE} One bar for each day, today as far as it has come.`,
      none: NO_PRICES,
      unit: "locale",
      decimals: 2,
      ...BY_DAY,
      bars: true,
      queries: [
        { name: "all messages", expr: spent(DAY) },
        { name: "failed", expr: wasted(DAY) },
      ],
      colors: { "all messages": VOLUME, failed: OUTCOME.failed },
    }),
    table({
      title: "Most expensive countries",
      description: `${PRICE} Of the last 30 days. Failed: the part that was spent on messages that failed. Order by it to see where failures cost most.`,
      none: NO_PRICES,
      unit: "locale",
      width: 24,
      height: 7,
      queries: [
        `${spent("30d", "country")} > 0`,
        `${wasted("30d", "country")} > 0`,
        ratio(wasted("30d", "country"), spent("30d", "country")),
      ],
      by: "30 days",
      columns: [
        { field: "country", name: "Country", links: failuresOf({ country: "Country" }) },
        { field: "Value #A", name: "30 days", decimals: 2 },
        { field: "Value #B", name: "Failed", decimals: 2 },
        { field: "Value #C", name: "Failed share", unit: "percentunit", decimals: 1, steps: THRESHOLDS.failureRate },
      ],
    }),
  ],
};

export function objectiveAndCost(): Dashboard {
  return dashboard({
    uid: "smscope-objective",
    title: "SMS objective and cost",
    description: "Whether the objective is met and what is left of its budget, by flow, day and week, and what it costs.",
    variables: VARIABLES.objective,
    from: "now-30d",
    // Queries of 30 days are long, and their results change slowly.
    refresh: "",
    rows: [deliveredNow, objective, days, weeks, cost],
  });
}
