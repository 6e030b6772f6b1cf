/** What recipients do: they reply, read, and opt out. */

import { OUTCOME, STOP, THRESHOLDS, VOLUME } from "./look.js";
import { increase, ratio, select, sum } from "./metrics.js";
import { lines, stat } from "./panels.js";

/** Replies have neither flow nor country, so what they are compared with must not be filtered by them either. */
const OF_REPLIES = { filters: ["source", "channel"] as const };
const stops = (range: string) => sum(increase("sms_replies_total", range, { where: ['kind="stop"'] }));
const delivered = (range: string) => sum(increase("sms_messages_delivered_total", range, OF_REPLIES));

const read = sum(increase("sms_messages_read_total", "$__range"), "channel");

export const replies = {
  title: "What recipients do",
  panels: [
    stat({
      title: "STOP rate",
      description:
        "Opt-outs for each message delivered in the time range. Above 1 % people did not want, or did not know, what they got: check what was sent last. Networks block senders for this.",
      none: "Nothing was delivered",
      unit: "percentunit",
      decimals: 2,
      width: 4,
      height: 8,
      queries: [{ name: "STOP rate", expr: ratio(stops("$__range"), delivered("$__range")) }],
      steps: THRESHOLDS.stopRate,
    }),
    lines({
      title: "STOPs per delivered message",
      description:
        "Each point is the hour before it. A peak right after a campaign is that campaign; a rise on all days is your list growing old.",
      none: "Nothing was delivered in this time range",
      unit: "percentunit",
      width: 8,
      soft: { max: 0.02 },
      queries: [{ name: "STOP", expr: ratio(stops("1h"), delivered("1h")) }],
      colors: { STOP },
    }),
    lines({
      title: "Replies and opt-outs",
      description: "Inbound messages in the hour before each point.",
      none: "No replies in this time range",
      unit: "suffix:per hour",
      width: 8,
      stacked: true,
      queries: [{ name: "{{kind}}", expr: sum(increase("sms_replies_total", "1h"), "kind") }],
      colors: { reply: VOLUME, stop: STOP },
    }),
    stat({
      title: "Read",
      description:
        "Share of the delivered messages that were read, of each channel that reports it (RCS, WhatsApp). SMS reports none, so it has no rate.",
      none: "No reads are reported",
      unit: "percentunit",
      decimals: 1,
      width: 4,
      height: 8,
      queries: [
        {
          name: "{{channel}}",
          expr: `(${read} > 0)\n/\n${sum(increase("sms_messages_delivered_total", "$__range"), "channel")}\n> 0.001`,
        },
      ],
      steps: [[null, OUTCOME.read]],
    }),
    lines({
      title: "Flooded recipients",
      description:
        "Times that a recipient reached `recipient_flood` messages (20 by default) within an hour, by source, in the hour before each point. Any is too many: a loop in an application, or fraud. The runbook SmsRecipientFlooded shows how to list them.",
      none: "No recipient was flooded in this time range",
      unit: "suffix:per hour",
      width: 24,
      queries: [{ name: "{{source}}", expr: sum(increase("smscope_recipients_flooded_total", "1h"), "source") }],
      colors: {},
      calcs: ["lastNotNull", "max"],
    }),
  ],
};

const NO_LIST = "No list of opt-outs: [opt_outs] is off";
const AFTER_OPT_OUT = "sms_messages_after_opt_out_total";

export const optOuts = {
  title: "Opt-outs, where [opt_outs] is on",
  optional: true,
  panels: [
    lines({
      title: "Numbers that have opted out",
      description:
        "On the list of opt-outs, once for each sender that they wrote to. It climbs by the STOPs above and by what `smscope opt-outs` adds. A fall that nobody made: ask who removed them.",
      none: NO_LIST,
      unit: "locale",
      width: 10,
      queries: [{ name: "{{source}}", expr: `max by (source) (${select("sms_opt_outs")})` }],
      colors: {},
      calcs: ["min", "max", "lastNotNull"],
    }),
    stat({
      title: "Sent after opt-out",
      description:
        "Messages of the time range that were accepted or sent after their recipient had opted out, by flow. Transactional messages and one-time passwords after a marketing STOP are lawful; a marketing message is an incident in France and the EU: stop its sender; check first whether it queries `/v1/opt-outs`, and what it does if it gets no response.",
      none: "[opt_outs] is off",
      unit: "locale",
      decimals: 0,
      width: 4,
      height: 8,
      queries: [{ name: "{{flow}}", expr: sum(increase(AFTER_OPT_OUT, "$__range"), "flow") }],
    }),
    lines({
      title: "Messages to those who opted out",
      description:
        "By source and flow, in the hour before each point: the flow says which service does not ask before it sends.",
      none: NO_LIST,
      unit: "suffix:per hour",
      width: 10,
      queries: [{ name: "{{source}} {{flow}}", expr: sum(increase(AFTER_OPT_OUT, "1h"), "source", "flow") }],
      colors: {},
    }),
  ],
};
