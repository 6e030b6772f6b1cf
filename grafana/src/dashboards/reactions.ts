/** What events set off: they go on to others, and failed messages are sent again. */

import { increase, ratio, select, sum } from "./metrics.js";
import { lines } from "./panels.js";

const NOT_RELAYED = "Nothing is relayed: no [[relay]] is configured";
const NOT_RESENT = "Nothing is sent again: no [[resend]] is configured";
const RESEND_OUTCOMES = "sms_resend_outcomes_total";

export const relays = {
  title: "Relays",
  panels: [
    lines({
      title: "Attempts by result, an hour",
      description:
        "What targets said: `delivered`, or why not. Everything else is tried again until `relay.max_age`. Look at `smscope relay list` for the last error.",
      none: NOT_RELAYED,
      unit: "short",
      width: 6,
      queries: [
        { name: "{{relay}} {{result}}", expr: `${sum(increase("sms_relay_attempts_total", "1h"), "relay", "result")} > 0` },
      ],
      colours: {},
    }),
    lines({
      title: "Waiting deliveries",
      description:
        "Events that a target has yet to take. It rises while the target is away and falls fast afterwards; nothing is lost until `relay.max_age`.",
      none: NOT_RELAYED,
      unit: "short",
      width: 6,
      queries: [{ name: "{{relay}}", expr: sum(select("sms_relay_pending"), "relay") }],
      colours: {},
    }),
    lines({
      title: "Age of the oldest delivery",
      description:
        "Seconds are normal. At `relay.max_age` (a day) it becomes a dead letter. Climbing: the target is away, or refuses.",
      none: "Nothing waits",
      unit: "dtdurations",
      width: 6,
      queries: [
        {
          name: "{{relay}}",
          expr: `time() - min by (relay) (${select("sms_relay_pending_oldest_timestamp_seconds")})`,
        },
      ],
      colours: {},
    }),
    lines({
      title: "Dead letters",
      description:
        "Deliveries that were given up and are kept until their events go. Once the target is well, `smscope relay retry` sends them again.",
      none: NOT_RELAYED,
      unit: "short",
      width: 6,
      queries: [{ name: "{{relay}}", expr: sum(select("sms_relay_dead_letters"), "relay") }],
      colours: {},
    }),
  ],
};

export const resends = {
  title: "Sending again",
  panels: [
    lines({
      title: "Failed messages to be sent again, an hour",
      description:
        "By what became of them. sent, requested: they are on their way. over_budget: more fail than may be sent again, or a loop. refused, uncertain: the provider's API is in trouble, none of these is tried again. too_late: `delay` is long for `useful_for`.",
      none: NOT_RESENT,
      unit: "short",
      width: 8,
      queries: [
        { name: "{{resend}} {{result}}", expr: `${sum(increase("sms_resends_total", "1h"), "resend", "result")} > 0` },
      ],
      colours: {},
    }),
    lines({
      title: "Share that sending again recovers",
      description:
        "Of the failed messages whose end is known, those whose text arrived by another message. Near 0: what is sent again fails again, so it costs and does not help; take the reason out of the rule, or wait longer.",
      none: `${NOT_RESENT}, or no message that was sent again has come to its end`,
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
      colours: {},
    }),
    lines({
      title: "Waiting to be sent again",
      description:
        "Failed messages whose `delay` has not passed. As many as fail within it; it rises with a spike of failures, and the budget cuts it down.",
      none: NOT_RESENT,
      unit: "short",
      width: 8,
      queries: [{ name: "{{resend}}", expr: sum(select("sms_resends_pending"), "resend") }],
      colours: {},
    }),
  ],
};
