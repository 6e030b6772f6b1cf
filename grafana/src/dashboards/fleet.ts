/** Several replicas on one PostgreSQL: which one leads, and how far it is behind. */

import type { Row } from "./frame.js";
import { OUTCOME, redLine, THRESHOLDS, VOLUME } from "./look.js";
import { increase, select, sum } from "./metrics.js";
import { lines, stat } from "./panels.js";

const NO_FLEET = "No fleet: smscope runs with its own store";

export const fleet: Row = {
  title: "Fleet, where several replicas share a PostgreSQL",
  optional: true,
  panels: [
    lines({
      title: "Leader by replica",
      description:
        "1 for the replica that leads, stacked: the top is at 1, and its color is the leader's. A gap of seconds is a hand-over. At 0 nobody counts, exports or relays; webhooks are stored until the inbox is full.",
      none: NO_FLEET,
      unit: "locale",
      width: 8,
      stacked: true,
      decimals: 0,
      queries: [{ name: "{{instance}}", expr: `max by (instance) (${select("smscope_fleet_leader")})` }],
      colors: {},
      calcs: ["lastNotNull", "max"],
    }),
    lines({
      title: "Age of the oldest event in the inbox",
      description:
        "How late counts, log records and relays are: the time since the oldest acknowledged event that the leader has not processed. Well under a second is normal, some seconds after a leader has died. Climbing: nobody leads, or PostgreSQL is slow.",
      none: "The inbox is empty",
      unit: "s",
      width: 8,
      queries: [{ name: "age", expr: `time() - max(${select("smscope_inbox_oldest_timestamp_seconds")})` }],
      colors: { age: VOLUME },
      limit: redLine(THRESHOLDS.inboxAge),
      calcs: ["lastNotNull", "max"],
    }),
    lines({
      title: "Events in the inbox",
      description:
        "Acknowledged events that the leader has not processed. A burst shows as a peak. Above a minute of the leader's work replicas answer 503, and the provider retries.",
      none: NO_FLEET,
      unit: "locale",
      width: 8,
      queries: [{ name: "events", expr: `max(${select("smscope_inbox_events")})` }],
      colors: { events: VOLUME },
      calcs: ["lastNotNull", "max"],
    }),
    lines({
      title: "Replicas",
      description:
        "alive: by the lease that each renews in PostgreSQL, as the leader counts them. reporting: those whose metrics arrive here. Fewer that report: a target is missing in the scrape. Fewer alive: one is cut off from PostgreSQL.",
      none: NO_FLEET,
      unit: "locale",
      width: 8,
      decimals: 0,
      queries: [
        { name: "alive", expr: `max(${select("smscope_fleet_replicas")})` },
        { name: "reporting", expr: `count(${select("smscope_fleet_leader")})` },
      ],
      colors: {},
      calcs: ["lastNotNull", "max"],
    }),
    stat({
      title: "Synchronous standby",
      description:
        "1: a failover of PostgreSQL loses nothing that was acknowledged. 0: commits wait for no standby, and a failover may lose the last events; the provider does not send them again.",
      none: NO_FLEET,
      unit: "locale",
      decimals: 0,
      width: 8,
      height: 8,
      queries: [{ name: "synchronous", expr: `min(${select("smscope_store_synchronous")})` }],
      steps: [
        [null, OUTCOME.pending],
        [1, OUTCOME.delivered],
      ],
    }),
    stat({
      title: "Requests set aside",
      description:
        "Requests of the time range that the leader could not process. They are stored in the table `inbox_stuck`, and are not counted, exported or relayed. Any: `smscope store status` shows the error of each.",
      none: NO_FLEET,
      unit: "locale",
      decimals: 0,
      width: 8,
      height: 8,
      queries: [{ name: "set aside", expr: sum(increase("smscope_inbox_stuck_total", "$__range")) }],
      steps: THRESHOLDS.incident,
    }),
  ],
};
