/** What events set off: relays, and resent messages. */

import type { Row } from "./frame.js";
import { increase, ratio, select, sum } from "./metrics.js";
import { lines } from "./panels.js";

const NOT_RELAYED = "Nothing is relayed: no [[relay]] is configured";
const NOT_RESENT = "Nothing is resent: no [[resend]] is configured";
const RESEND_OUTCOMES = "sms_resend_outcomes_total";

export const relays: Row = {
  title: "Relays, where a [[relay]] is configured",
  optional: true,
  panels: [
    lines({
      title: "Attempts by result",
      description:
        "In the hour before each point: `delivered`, or why not. Everything else is retried until `relay.max_age`; `smscope relay list` has the last error.",
      none: NOT_RELAYED,
      unit: "suffix:per hour",
      width: 6,
      queries: [
        { name: "{{relay}} {{result}}", expr: `${sum(increase("sms_relay_attempts_total", "1h"), "relay", "result")} > 0` },
      ],
      colors: {},
    }),
    lines({
      title: "Waiting deliveries",
      description:
        "Events that a target has yet to accept. It rises while the target is away and falls fast afterwards; nothing is lost until `relay.max_age`.",
      none: NOT_RELAYED,
      unit: "locale",
      width: 6,
      queries: [{ name: "{{relay}}", expr: sum(select("sms_relay_pending"), "relay") }],
      colors: {},
      calcs: ["lastNotNull", "max"],
    }),
    lines({
      title: "Age of the oldest delivery",
      description:
        "Seconds are normal. At `relay.max_age` (a day) it becomes a dead letter. Climbing: the target is away, or rejects.",
      none: "Nothing waits",
      unit: "suffix:min",
      width: 6,
      queries: [
        {
          name: "{{relay}}",
          expr: `(time() - min by (relay) (${select("sms_relay_pending_oldest_timestamp_seconds")})) / 60`,
        },
      ],
      colors: {},
    }),
    lines({
      title: "Dead letters",
      description:
        "Deliveries that smscope gave up; they are stored until their events are deleted. Once the target is healthy, `smscope relay retry` redrives them.",
      none: NOT_RELAYED,
      unit: "locale",
      width: 6,
      queries: [{ name: "{{relay}}", expr: sum(select("sms_relay_dead_letters"), "relay") }],
      colors: {},
    }),
  ],
};

export const resends: Row = {
  title: "Resent messages, where a [[resend]] is configured",
  optional: true,
  panels: [
    lines({
      title: "Failed messages by what became of their resend",
      description:
        "In the hour before each point. sent, requested: they are on their way. over_budget: more fail than may be resent, or a loop. rejected, uncertain: the provider's API fails, none of these is retried. too_late: `delay` is long for the time that a message is useful.",
      none: NOT_RESENT,
      unit: "suffix:per hour",
      width: 8,
      queries: [
        { name: "{{resend}} {{result}}", expr: `${sum(increase("sms_resends_total", "1h"), "resend", "result")} > 0` },
      ],
      colors: {},
    }),
    lines({
      title: "Share that a resend recovers",
      description:
        "Of the failed messages whose end is known, those whose text arrived by another message, in the 6 hours before each point. Near 0: what is resent fails again, so it costs and does not help; remove the reason from the rule, or wait longer.",
      none: `${NOT_RESENT}, or no resent message has ended`,
      unit: "percentunit",
      width: 8,
      queries: [
        {
          name: "{{resend}}",
          expr: ratio(
            sum(increase(RESEND_OUTCOMES, "6h", { where: ['outcome="recovered"'] }), "resend"),
            sum(increase(RESEND_OUTCOMES, "6h"), "resend"),
          ),
        },
      ],
      colors: {},
    }),
    lines({
      title: "Waiting for their resend",
      description:
        "Failed messages whose `delay` has not passed. As many as fail within it; it rises with a spike of failures, and the budget cuts it down.",
      none: NOT_RESENT,
      unit: "locale",
      width: 8,
      queries: [{ name: "{{resend}}", expr: sum(select("sms_resends_pending"), "resend") }],
      colors: {},
    }),
  ],
};
