/** The first row of every dashboard: what fires, how it is now, and where it is worst. */

import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import type { Panel } from "@grafana/grafana-foundation-sdk/dashboard";
import type { Row } from "./frame.js";
import { type Steps, THRESHOLDS } from "./look.js";
import { deliveryRate, failureRate, increase, ratio, select, sum } from "./metrics.js";
import { firingAlerts, stat } from "./panels.js";

const HEIGHT = 6;

export const BY_ARRIVAL = "By arrival of the receipt, not by when the message was sent.";

/** `panels` have 17 columns between them. */
export function now(...panels: Builder<Panel>[]): Row {
  return { title: "Now", panels: [firingAlerts(7, HEIGHT), ...panels] };
}

/** The same figure of windows that end now, whatever the time range is. */
const WINDOWS = [
  ["last 15 minutes", "15m"],
  ["last hour", "1h"],
  ["same hour last week", "1h offset 1w"],
] as const;

const RATES = {
  none: "No final receipt in the last hour",
  unit: "percentunit",
  decimals: 1,
  width: 8,
  height: HEIGHT,
};

export const deliveryNow = stat({
  ...RATES,
  title: "Delivery rate",
  description: `Share of messages that were delivered, of all that were delivered or failed. ${BY_ARRIVAL}\n\nOnly the last 15 minutes are bad: it begins. Only the last hour: it may be over. Amber and red begin where the alerts on failures do.`,
  queries: WINDOWS.map(([name, window]) => ({ name, expr: deliveryRate(window) })),
  steps: THRESHOLDS.deliveryRate,
});

export const failureNow = stat({
  ...RATES,
  title: "Failure rate",
  description: `Share of messages that failed, of all that were delivered or failed. ${BY_ARRIVAL}\n\nThe last 15 minutes far above the others: it is going on now. Only the last hour: it may be over. Like last week: this is how that hour is.`,
  queries: WINDOWS.map(([name, window]) => ({ name, expr: failureRate(window) })),
  steps: THRESHOLDS.failureRate,
});

export interface Outcomes {
  failed: string;
  ended: string;
}

/** Delivered and failed by mobile network, by its name: the code is for tickets. */
export function byNetwork(range: string, ...by: string[]): Outcomes {
  const of = (outcome: string) => sum(increase("sms_network_outcomes_total", range, { where: [outcome] }), ...by);
  return { failed: of('outcome="failed"'), ended: of('outcome=~"delivered|failed"') };
}

function byCountry(range: string): Outcomes {
  const of = (metric: "sms_messages_delivered_total" | "sms_messages_failed_total") =>
    sum(increase(metric, range), "country");
  return {
    failed: of("sms_messages_failed_total"),
    ended: `(${of("sms_messages_delivered_total")} + ${of("sms_messages_failed_total")})`,
  };
}

/** Below this many a share says nothing: 1 of 3 is 33 %. */
const ENOUGH = 10;

/** The worst of the last 15 minutes; where nobody had enough messages, of the last hour. */
function worst(title: string, name: string, of: (range: string) => Outcomes, steps: Steps): Builder<Panel> {
  const worstOf = (range: string) => {
    const { failed, ended } = of(range);
    return `topk(1, ${ratio(failed, ended)} and ${ended} >= ${ENOUGH})`;
  };
  return stat({
    title,
    description: `The highest failure rate of the last 15 minutes among those with at least ${ENOUGH} final receipts; of the last hour, where none has as many. ${BY_ARRIVAL}\n\nRed begins where the alert does. Failures has the others.`,
    none: "Too few final receipts",
    unit: "percentunit",
    decimals: 0,
    width: 3,
    height: HEIGHT,
    queries: [{ name, expr: `${worstOf("15m")}\nor on ()\n${worstOf("1h")}` }],
    steps,
  });
}

export const worstNetwork = worst(
  "Worst network",
  "{{network_name}}",
  (range) => byNetwork(range, "network_name"),
  THRESHOLDS.networkFailureRate,
);

export const worstCountry = worst("Worst country", "{{country}}", byCountry, THRESHOLDS.countryFailureRate);

export const lastWebhook = stat({
  title: "Last webhook",
  description:
    "Time since the provider last called. Minutes while you send: it cannot reach you, or does not try. That is no failure of messages; open smscope health.",
  none: "No webhook since smscope started",
  unit: "dtdurations",
  width: 3,
  height: HEIGHT,
  queries: [{ name: "ago", expr: `time() - max(${select("smscope_last_webhook_timestamp_seconds")})` }],
  steps: THRESHOLDS.silence,
});

export const messagesNow: Row = now(deliveryNow, worstNetwork, worstCountry, lastWebhook);
