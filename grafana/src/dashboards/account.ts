/** The account at the provider: credit, limits, and whether its API answers. */

import type { Row } from "./frame.js";
import { redLine, THRESHOLDS } from "./look.js";
import { increase, ratio, select, sum } from "./metrics.js";
import { lines, stat } from "./panels.js";

const NOT_ASKED = "smsmode is not asked: [account] is off";

const used = (scope: "account" | "channel", by: string) =>
  `max by (${by}) (${ratio(select(`smscope_${scope}_consumption`), select(`smscope_${scope}_consumption_limit`))})`;

export const account: Row = {
  title: "Account at the provider, where [account] is on",
  optional: true,
  panels: [
    lines({
      title: "Credit",
      description:
        "What the provider says is left, in its own unit. At 0 every message fails. A slope that is steeper than usual: something sends more than it should. Days left are in the alert on it.",
      none: NOT_ASKED,
      unit: "locale",
      width: 6,
      queries: [
        {
          name: "{{source}} {{organisation}}",
          expr: `max by (source, organisation) (${select("smscope_account_balance")})`,
        },
      ],
      colors: {},
      calcs: ["lastNotNull", "min", "max"],
    }),
    lines({
      title: "Share of limits that is used",
      description:
        "Of what a channel or the organisation may use in a day or month. It falls to 0 when the period ends. At the dashed line the alert begins, at 100 % every message fails: have the limit raised, if the traffic is yours.",
      none: `${NOT_ASKED}, or no limit is set`,
      unit: "percentunit",
      width: 9,
      queries: [
        {
          name: "{{source}} {{channel_name}} {{period}}",
          expr: used("channel", "source, channel_id, channel_name, period"),
        },
        { name: "{{source}} {{organisation}} {{period}}", expr: used("account", "source, organisation, period") },
      ],
      colors: {},
      limit: redLine(THRESHOLDS.limit),
    }),
    lines({
      title: "Failed requests to its API",
      description:
        "By what was asked for and why it failed, in the hour before each point. unauthorized: the key was withdrawn. rate_limited: someone else uses it too. The others are the provider or the way to it; smscope's diagnostics have the reason.",
      none: "smsmode's API is not asked: [account] and [reconcile] are off",
      unit: "suffix:per hour",
      width: 6,
      queries: [
        {
          name: "{{operation}} {{result}}",
          expr: sum(
            increase("smscope_api_requests_total", "1h", { where: ['result!="ok"'] }),
            "operation",
            "result",
          ),
        },
      ],
      colors: {},
    }),
    stat({
      title: "Last seen",
      description:
        "Time since the account was last seen whole. Red is an hour, when credit and limits end on the graphs: see why requests fail.",
      none: "[account] is off",
      unit: "dtdurations",
      width: 3,
      height: 8,
      queries: [
        {
          name: "{{source}}",
          expr: `time() - max by (source) (${select("smscope_account_last_success_timestamp_seconds")})`,
        },
      ],
      steps: THRESHOLDS.silence,
    }),
  ],
};
