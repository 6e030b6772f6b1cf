/** What smscope meets outside of itself: who connects to it, its own public URL, and the account that it asks about. */

import { OUTCOME, QUANTILES, THRESHOLDS, VOLUME } from "./look.js";
import { increase, quantile, ratio, select, sum } from "./metrics.js";
import { lines, stat } from "./panels.js";

const NO_TLS = "No TLS here: neither a certificate in [http.tls], nor an https public_url that is probed";
const NOT_PROBED = "The public URL is not called: [self_probe] is off";
const NOT_ASKED = "smsmode is not asked: [account] is off";

const PROBES = "smscope_self_probes_total";
const CAME_THROUGH = { where: ['result=~"ok|slow"'] };
const PROBE_TIME = "smscope_self_probe_duration_seconds_bucket";

export const door = {
  title: "Certificates and strangers",
  panels: [
    stat({
      title: "Certificates end in",
      description:
        "Time until the certificate of the listener, and that which the public URL shows, end; of a chain the first to end. Red is two weeks, where the alert begins: whatever renews it did not run. smscope takes a renewed file up by itself; a proxy has to be told.",
      none: NO_TLS,
      unit: "dtdurations",
      width: 8,
      height: 8,
      queries: [
        {
          name: "listener {{instance}}",
          expr: `min by (instance) (${select("smscope_tls_certificate_expiry_timestamp_seconds")}) - time()`,
        },
        {
          name: "public URL of {{source}}",
          expr: `min by (source) (${select("smscope_self_probe_certificate_expiry_timestamp_seconds")}) - time()`,
        },
      ],
      steps: THRESHOLDS.certificate,
    }),
    lines({
      title: "TLS handshakes that failed, an hour",
      description:
        "A few are scanners of the internet, and whoever speaks no TLS. Many at once, and no webhooks: the provider does not trust the certificate, as after a renewal whose chain is not whole, or has no client certificate to show.",
      none: "The listener has no TLS",
      unit: "short",
      width: 8,
      queries: [
        {
          name: "{{instance}}",
          expr: sum(increase("smscope_tls_handshake_failures_total", "1h"), "instance"),
        },
      ],
      colours: {},
    }),
    lines({
      title: "Guesses and refused addresses, an hour",
      description:
        "Requests with a wrong token or secret (unauthorized) or from an address or channel that is not allowed (forbidden), by source; and guesses past what an address has free, each of which costs it a second. Any of those: someone tries tokens, or the provider has an old one.",
      none: "Nobody was refused",
      unit: "short",
      width: 8,
      queries: [
        {
          name: "{{source}} {{result}}",
          expr: `${sum(
            increase("smscope_webhook_requests_total", "1h", { where: ['result=~"unauthorized|forbidden"'] }),
            "source",
            "result",
          )} > 0`,
        },
        { name: "guesses slowed down", expr: sum(increase("smscope_guesses_limited_total", "1h")) },
      ],
      colours: {},
    }),
  ],
};

export const publicUrl = {
  title: "Public URL",
  panels: [
    stat({
      title: "Calls that came through",
      description:
        "Share of smscope's own calls of its public URL, in the time range, that came back to this process. Red begins where the alert does: then the provider most likely cannot call either. `smscope check --public-url` says which step fails.",
      none: NOT_PROBED,
      unit: "percentunit",
      decimals: 1,
      width: 6,
      height: 8,
      queries: [
        {
          name: "{{source}}",
          expr: ratio(
            sum(increase(PROBES, "$__range", CAME_THROUGH), "source"),
            sum(increase(PROBES, "$__range"), "source"),
          ),
        },
      ],
      steps: THRESHOLDS.cameThrough,
    }),
    lines({
      title: "Calls by result, an hour",
      description:
        "`ok` and `slow` came through. dns, connect, timeout: the way here. tls: the certificate. refused: something else answers, or the proxy changes the path. other: another smscope is behind the same name.",
      none: NOT_PROBED,
      unit: "short",
      width: 9,
      queries: [
        { name: "{{source}} {{result}}", expr: `${sum(increase(PROBES, "1h"), "source", "result")} > 0` },
      ],
      colours: {},
    }),
    lines({
      title: "Answer time of the public URL",
      description:
        "From call to answer, by the way that the provider takes, without connecting. Above 300 ms (dashed line) the provider sends again. Far above the answer time of the requests: the proxy or the network between.",
      none: NOT_PROBED,
      unit: "s",
      width: 9,
      queries: [
        { name: "p50", expr: quantile(0.5, PROBE_TIME, "$__rate_interval") },
        { name: "p95", expr: quantile(0.95, PROBE_TIME, "$__rate_interval") },
        { name: "p99", expr: quantile(0.99, PROBE_TIME, "$__rate_interval") },
      ],
      colours: QUANTILES,
      limit: [
        [null, VOLUME],
        [0.3, OUTCOME.failed],
      ],
    }),
  ],
};

const used = (scope: "account" | "channel", by: string) =>
  `max by (${by}) (${ratio(select(`smscope_${scope}_consumption`), select(`smscope_${scope}_consumption_limit`))})`;

export const account = {
  title: "Account at the provider",
  panels: [
    lines({
      title: "Credit",
      description:
        "What the provider says is left, in its own unit. At 0 every message fails. A slope that is steeper than usual: something sends more than it should. Days left are in the alert on it.",
      none: NOT_ASKED,
      unit: "short",
      width: 6,
      queries: [
        {
          name: "{{source}} {{organisation}}",
          expr: `max by (source, organisation) (${select("smscope_account_balance")})`,
        },
      ],
      colours: {},
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
      colours: {},
      limit: [
        [null, VOLUME],
        [THRESHOLDS.limit[2]?.[0] ?? null, OUTCOME.failed],
      ],
    }),
    lines({
      title: "Requests to the provider's API that failed, an hour",
      description:
        "By what was asked for and why it failed. unauthorized: the key was withdrawn. rate_limited: someone else uses it too. The others are the provider or the way to it; smscope's diagnostics have the reason.",
      none: "smsmode's API is not asked: [account] and [reconcile] are off",
      unit: "short",
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
      colours: {},
    }),
    stat({
      title: "Account last seen",
      description:
        "Time since the account was last seen whole. Red is an hour, when credit and limits end on the graphs: see why requests fail.",
      none: NOT_ASKED,
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
