/** The first row of every dashboard: what fires, how it is now, and where it is worst. */

import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import type { Panel } from "@grafana/grafana-foundation-sdk/dashboard";
import type { Row } from "./frame.js";
import { alertAt, type Steps, THRESHOLDS } from "./look.js";
import { decided, deliveryRate, failureRate, increase, ratio, select, sum, type Where } from "./metrics.js";
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
  ["a week ago", "1h offset 1w"],
] as const;

const RATES = {
  none: "No final receipt in the last hour",
  unit: "percentunit",
  decimals: 1,
  width: 8,
  height: HEIGHT,
};

const deliveryNow = (where?: Where) =>
  stat({
  ...RATES,
  title: "Delivery rate",
  description: `Share of messages that were delivered, of all that were delivered or failed. ${BY_ARRIVAL}\n\nOnly the last 15 minutes are bad: it begins. Only the last hour: it may be over. Amber and red begin where the alerts on failures do.`,
  queries: WINDOWS.map(([name, window]) => ({ name, expr: deliveryRate(window, [], where) })),
  steps: THRESHOLDS.deliveryRate,
});

const failureNow = stat({
  ...RATES,
  title: "Failure rate",
  description: `Share of messages that failed, of all that were delivered or failed. ${BY_ARRIVAL}\n\nThe last 15 minutes far above the others: it is going on now. Only the last hour: it may be over. Like last week: this is how that hour is.`,
  queries: WINDOWS.map(([name, window]) => ({ name, expr: failureRate(window) })),
  steps: THRESHOLDS.failureRate,
});

interface Outcomes {
  failed: string;
  ended: string;
}

/** Delivered and failed by mobile network, by its name: the code is for tickets. */
export function byNetwork(range: string, by: string[], { where = [], ...filters }: Where = {}): Outcomes {
  const of = (outcome: string) =>
    sum(increase("sms_network_outcomes_total", range, { ...filters, where: [...where, outcome] }), ...by);
  return { failed: of('outcome="failed"'), ended: of('outcome=~"delivered|failed"') };
}

function byCountry(range: string, where?: Where): Outcomes {
  return {
    failed: sum(increase("sms_messages_failed_total", range, where), "country"),
    ended: decided(range, ["country"], where),
  };
}

/** Below this many a share says nothing: 1 of 3 is 33 %. The alerts on networks and countries begin there too. */
const ENOUGH = alertAt("spike_decided");

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

const worstNetwork = (where?: Where) =>
  worst(
    "Worst network",
    "{{network_name}}",
    (range) => byNetwork(range, ["network_name"], where),
    THRESHOLDS.networkFailureRate,
  );

const worstCountry = (where?: Where) =>
  worst("Worst country", "{{country}}", (range) => byCountry(range, where), THRESHOLDS.countryFailureRate);

export const lastWebhook = (where?: Where) =>
  stat({
    title: "Last webhook",
    description:
      "Time since the provider last called. Minutes while you send: it cannot reach you, or does not try. That is no failure of messages; open smscope health.",
    none: "None since the start",
    unit: "s",
    decimals: 1,
    width: 3,
    height: HEIGHT,
    queries: [{ name: "ago", expr: `time() - max(${select("smscope_last_webhook_timestamp_seconds", where)})` }],
    steps: THRESHOLDS.silence,
  });

/** `rate` is how the dashboard looks at it: as what is delivered, or as what fails. */
const messages = (rate: Builder<Panel>, where?: Where) =>
  now(rate, worstNetwork(where), worstCountry(where), lastWebhook(where));

export const deliveredNow = messages(deliveryNow());
export const failingNow = messages(failureNow);
/** Of all messages, where the filters are not in sight. */
export const unfilteredNow = messages(deliveryNow({ filters: [] }), { filters: [] });
