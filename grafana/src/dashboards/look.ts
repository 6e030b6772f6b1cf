/** Colours and thresholds: all there are, so that one means the same on every panel. */

/** The colour of an outcome is that of nothing else. */
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
  limit: "#8F3BB8",
  spam_filtered: "#A352CC",
  content: "#B877D9",
  cancelled: "#DEB6F2",
  invalid_number: "#1250B0",
  blacklisted: "#1F60C4",
  handset_absent: "#3274D9",
  handset_error: "#5794F2",
  not_supported: "#8AB8FF",
  network: "#AD0317",
  routing: "#C4162A",
  provider_error: "#F2495C",
  portability: "#FF7383",
  roaming: "#FFA6B0",
  expired: "#7A4B2A",
  unknown: "#B58863",
};

/** Results of requests: blue is taken, purple not understood, brown turned away, pink could not be taken. */
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

/** A colour from each value on; the first holds below all of them. */
export type Steps = [null | number, string][];

export const NEUTRAL: Steps = [[null, VOLUME]];

const rising = (amber: number, red: number): Steps => [
  [null, OUTCOME.delivered],
  [amber, OUTCOME.pending],
  [red, OUTCOME.failed],
];

/** What is good, in one place. Red begins where the alerts do, as alerts/smscope.rules.yaml has them. */
export const THRESHOLDS = {
  deliveryRate: [
    [null, OUTCOME.failed],
    [0.8, OUTCOME.pending],
    [0.92, OUTCOME.delivered],
  ] as Steps,
  failureRate: rising(0.08, 0.2),
  /** Difference of two delivery rates, in points. */
  deliveryChange: [
    [null, OUTCOME.failed],
    [-0.1, OUTCOME.pending],
    [-0.03, OUTCOME.delivered],
  ] as Steps,
  /** Past the horizon of 72 h a message should have expired. */
  oldestPending: [
    [null, VOLUME],
    [73 * 3_600, OUTCOME.failed],
  ] as Steps,
  expiredRate: rising(0.03, 0.05),
  stopRate: rising(0.01, 0.02),
  excess: rising(1, 10),
  /** The provider wants its answer within 300 ms. */
  answerTime: rising(0.1, 0.3),
  answersInTime: [
    [null, OUTCOME.failed],
    [0.95, OUTCOME.pending],
    [0.99, OUTCOME.delivered],
  ] as Steps,
  commitTime: rising(0.1, 0.5),
  silence: rising(900, 3_600),
  share: rising(0.01, 0.05),
  full: rising(0.8, 0.95),
  /** Of a daily or monthly limit. */
  limit: rising(0.75, 0.9),
  /** Seconds that a certificate still has. */
  certificate: [
    [null, OUTCOME.failed],
    [14 * 86_400, OUTCOME.pending],
    [21 * 86_400, OUTCOME.delivered],
  ] as Steps,
  /** Of the calls of our own public URL. */
  cameThrough: [
    [null, OUTCOME.failed],
    [0.5, OUTCOME.pending],
    [0.99, OUTCOME.delivered],
  ] as Steps,
  backlog: rising(1_000, 10_000),
  backlogAge: rising(60, 900),
  anyAtAll: rising(1, 10),
  /** One is too many. What is counted by increase() is a fraction. */
  incident: [
    [null, OUTCOME.delivered],
    [0.5, OUTCOME.failed],
  ] as Steps,
} as const;
