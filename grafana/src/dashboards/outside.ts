/** What smscope meets outside of itself: who connects to it, certificates, and its own public URL. */

import type { Row } from "./frame.js";
import { OUTCOME, QUANTILES, THRESHOLDS, VOLUME } from "./look.js";
import { increase, ratio, select, sum } from "./metrics.js";
import { lines, stat } from "./panels.js";
import { quantiles } from "./speed.js";

const NO_TLS = "No TLS here: neither a certificate in [http.tls], nor an https public_url that is probed";
const NOT_PROBED = "The public URL is not called: [self_probe] is off";

const PROBES = "smscope_self_probes_total";
const CAME_THROUGH = { where: ['result=~"ok|slow"'] };
const PROBE_TIME = "smscope_self_probe_duration_seconds_bucket";

export const clients: Row = {
  title: "Who connects",
  panels: [
    lines({
      title: "Failed authentications",
      description:
        "In the hour before each point: requests with a wrong token or secret (unauthorized) or from an address or channel that is not allowed (forbidden), by source; and those that were throttled, as their address had failed too often. Any of those: someone tries tokens, or the provider has an old one.",
      none: "No failed authentication is seen",
      unit: "suffix:per hour",
      width: 24,
      height: 6,
      queries: [
        {
          name: "{{source}} {{result}}",
          expr: `${sum(
            increase("smscope_webhook_requests_total", "1h", { where: ['result=~"unauthorized|forbidden"'] }),
            "source",
            "result",
          )} > 0`,
        },
        { name: "throttled", expr: sum(increase("smscope_auth_failures_throttled_total", "1h")) },
      ],
      colors: {},
    }),
  ],
};

export const certificates: Row = {
  title: "Certificates, where smscope or its public URL has TLS",
  optional: true,
  panels: [
    stat({
      title: "Certificates end in",
      description:
        "Time until the certificate of the listener, and that which the public URL shows, end; of a chain the first to end. Red is two weeks, where the alert begins: its renewal did not run. smscope reloads a renewed file by itself; a proxy has to be reloaded.",
      none: NO_TLS,
      unit: "dtdurations",
      width: 12,
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
      title: "Failed TLS handshakes",
      description:
        "In the hour before each point. A few are scanners of the internet, and clients that speak no TLS. Many at once, and no webhooks: the provider does not trust the certificate, as after a renewal whose chain is not whole, or has no client certificate to show.",
      none: "The listener has no TLS",
      unit: "suffix:per hour",
      width: 12,
      queries: [
        {
          name: "{{instance}}",
          expr: sum(increase("smscope_tls_handshake_failures_total", "1h"), "instance"),
        },
      ],
      colors: {},
    }),
  ],
};

export const publicUrl: Row = {
  title: "Public URL, where [self_probe] is on",
  optional: true,
  panels: [
    stat({
      title: "Calls that came back",
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
      title: "Calls by result",
      description:
        "In the hour before each point. `ok` and `slow` succeeded. dns, connect, timeout: the network path. tls: the certificate. rejected: another server answers, or the proxy changes the path. other: another smscope is behind the same name.",
      none: NOT_PROBED,
      unit: "suffix:per hour",
      width: 9,
      queries: [
        { name: "{{source}} {{result}}", expr: `${sum(increase(PROBES, "1h"), "source", "result")} > 0` },
      ],
      colors: {},
    }),
    lines({
      title: "Time to answer there",
      description:
        "From call to answer, by the provider's path, without connecting, in the hour before each point. Above 300 ms (dashed line) the provider sends its webhook again. Far above the answer time of the requests: the proxy or the network between.",
      none: NOT_PROBED,
      unit: "s",
      width: 9,
      queries: quantiles(PROBE_TIME, "1h"),
      colors: QUANTILES,
      limit: [
        [null, VOLUME],
        [0.3, OUTCOME.failed],
      ],
    }),
  ],
};

