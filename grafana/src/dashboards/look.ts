/** Colors and thresholds: all there are, so that one means the same on every panel. */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { groups, isRecording } from "../alerts/rules.js";

/** The color of an outcome is that of nothing else. */
export const OUTCOME = {
  delivered: "#56A64B",
  failed: "#E02F44",
  pending: "#FF9830",
  expired: "#8E8E8E",
  read: "#3274D9",
  unknown: "#B877D9",
} as const;

/** What is counted and has no outcome: messages, requests, replies. */
export const VOLUME = "#5794F2";
/** The same figure at another time. */
export const BEFORE = "#CA95E5";
/** From the usual case to the slowest. */
export const QUANTILES = { p50: "#8AB8FF", p95: "#3274D9", p99: "#A352CC" } as const;
export const STOP = "#A352CC";

/**
 * Reasons by who can do something about them: purple is the account or what was sent, blue the recipient, red and brown
 * the networks and the provider.
 */
export const REASON: Record<string, string> = {
  credit: "#6B1FA0",
  limit: "#C15CFF",
  spam_filtered: "#D44FC0",
  content: "#8F5BD6",
  cancelled: "#DEB6F2",
  invalid_number: "#1F60C4",
  blacklisted: "#37B5C9",
  handset_absent: "#5794F2",
  handset_error: "#A9CCFF",
  not_supported: "#1D7F99",
  network: "#AD0317",
  routing: "#FF7383",
  provider_error: "#C9302C",
  portability: "#FFA6B0",
  roaming: "#D9705B",
  expired: "#7A4B2A",
  unknown: "#B58863",
};

/** Results of requests: blue is stored, purple not understood, brown rejected, pink not stored. */
export const RESULT: Record<string, string> = {
  accepted: "#3274D9",
  duplicate: "#8AB8FF",
  probe: "#C0D8FF",
  unrecognized: "#A352CC",
  unauthorized: "#7A4B2A",
  forbidden: "#8F6544",
  too_large: "#B58863",
  timeout: "#FFA6B0",
  overloaded: "#FF7383",
  error: "#F2495C",
};

export const ANNOTATION = { alert: "#C4162A", restart: "#5794F2" } as const;

/** A color from each value on; the first holds below all of them. */
export type Steps = [null | number, string][];

export const NEUTRAL: Steps = [[null, VOLUME]];

/** A text that stands for data is neither good nor bad. */
export const NO_DATA = "#7B8087";

/** Wherever in alerts/ the rules stand. */
const RULES = readdirSync(join(import.meta.dirname, "../../../alerts"))
  .filter((name) => /^smscope.*\.rules\.yaml$/.test(name))
  .flatMap((name) => groups(`alerts/${name}`))
  .flatMap(({ rules }) => rules.filter(isRecording));

/** A default of the alerts: figures and alerts cannot disagree on what is bad. */
export function alertAt(name: string): number {
  const expr = RULES.find(({ record }) => record === `smscope:threshold:${name}`)?.expr;
  const value = Number(/^vector\(([\d.]+)\)$/.exec(expr ?? "")?.[1] ?? NaN);
  if (Number.isNaN(value)) {
    throw new Error(`alerts/smscope*.rules.yaml: no smscope:threshold:${name} of the form vector(NUMBER)`);
  }
  return value;
}

const rising = (amber: number, red: number): Steps => [
  [null, OUTCOME.delivered],
  [amber, OUTCOME.pending],
  [red, OUTCOME.failed],
];

const falling = (amber: number, red: number): Steps => [
  [null, OUTCOME.failed],
  [red, OUTCOME.pending],
  [amber, OUTCOME.delivered],
];

const FAILING = [alertAt("failure_ratio_elevated"), alertAt("failure_ratio_high")] as const;

/** Where a value turns amber and red, in one place. */
export const THRESHOLDS = {
  failureRate: rising(...FAILING),
  deliveryRate: falling(...(FAILING.map((failed) => Math.round((1 - failed) * 1_000) / 1_000) as [number, number])),
  networkFailureRate: rising(FAILING[0], alertAt("network_failure_ratio")),
  countryFailureRate: rising(FAILING[0], alertAt("country_failure_ratio")),
  /** Difference of two delivery rates, in points. */
  deliveryChange: falling(-0.03, -alertAt("delivery_drop")),
  /** Past the horizon a message should have expired. In hours. */
  oldestPending: [
    [null, VOLUME],
    [alertAt("pending_age_seconds") / 3_600, OUTCOME.failed],
  ] as Steps,
  expiredRate: rising(0.03, 0.05),
  stopRate: rising(0.01, 0.02),
  excess: rising(1, 10),
  /** Share of what an objective allows to fail that is left. */
  budget: falling(0.25, 0),
  /** The provider wants its answer within 300 ms. */
  answersInTime: falling(0.99, 0.95),
  silence: rising(900, 3_600),
  share: rising(0.01, 0.05),
  full: rising(0.8, 0.95),
  /** Of a daily or monthly limit. */
  limit: rising(0.75, 0.9),
  /** Seconds that a certificate still has. */
  certificate: falling(21 * 86_400, 14 * 86_400),
  /** Of the calls of our own public URL. */
  cameThrough: falling(0.99, 0.5),
  backlog: rising(1_000, 10_000),
  /** In minutes. */
  backlogAge: rising(1, 15),
  /** In seconds. */
  inboxAge: rising(5, alertAt("inbox_age_seconds")),
  anyAtAll: rising(1, 10),
  /** One is too many. What is counted by increase() is a fraction. */
  incident: [
    [null, OUTCOME.delivered],
    [0.5, OUTCOME.failed],
  ] as Steps,
} as const;

/** A line across a graph where `steps` turn red. */
export function redLine(steps: Steps): Steps {
  const red = steps.find(([value, color]) => color === OUTCOME.failed && value !== null);
  if (!red) throw new Error("these steps have no red that begins at a value");
  return [[null, VOLUME], red];
}
