/**
 * alerts/grafana/: the alerts of alerts/*.rules.yaml as rules that Grafana evaluates itself, for its file provisioning.
 *
 * Nothing has to be loaded in Prometheus for them: what is recorded there is put into the expressions here.
 */

import { stringify } from "yaml";
import { inliner } from "./inline.js";
import { type Alert, type Group, groups, isAlert, isRecording } from "./rules.js";

type Kind = "prometheus" | "loki";

const HEAD = (from: string) => `# Made of ${from} by \`npm run generate\` in grafana/: change it there. Loaded from
# /etc/grafana/provisioning/alerting; docs/alerts.md#in-grafana says how, and which names it expects.
`;

export function alerts(): [string, string][] {
  return [
    file("alerts/smscope.rules.yaml", "alerts/grafana/smscope.yaml", "prometheus"),
    file("alerts/loki.rules.yaml", "alerts/grafana/smscope-loki.yaml", "loki"),
  ];
}

function file(from: string, to: string, kind: Kind): [string, string] {
  const source = groups(from);
  const inline = kind === "prometheus" ? inliner(source.flatMap((group) => group.rules).filter(isRecording)) : collapse;
  const provisioned = { apiVersion: 1, groups: source.flatMap((group) => converted(group, kind, inline)) };
  return [to, HEAD(from) + stringify(provisioned, { lineWidth: 130, aliasDuplicateObjects: false })];
}

function converted(group: Group, kind: Kind, inline: (expr: string) => string) {
  const rules = group.rules.filter(isAlert).map((alert) => rule(alert, kind, inline(alert.expr)));
  return rules.length === 0 ? [] : [{ orgId: 1, name: group.name, folder: "smscope", interval: group.interval ?? "1m", rules }];
}

/** LogQL has nothing recorded; its line breaks are only for people. */
const collapse = (expr: string) => expr.replace(/\s+/g, " ").replaceAll("( ", "(").replaceAll(" )", ")").trim();

/**
 * As Grafana itself imports a Prometheus rule: whatever the query returns fires, zero and less included, and no result is all
 * right. A query that cannot be asked is said once, by the alert on smscope's absence, instead of by each of them.
 */
function rule(alert: Alert, kind: Kind, expr: string) {
  const meta = { orgId: 1, intervalMs: 1000, maxDataPoints: 43200 };
  const expression = (refId: string, type: string, model: object) => ({
    refId,
    queryType: "",
    relativeTimeRange: { from: 0, to: 0 },
    datasourceUid: "__expr__",
    model: { refId, type, datasource: { type: "__expr__", uid: "__expr__" }, ...model, ...meta },
  });
  const query = {
    refId: "A",
    queryType: kind === "loki" ? "instant" : "",
    relativeTimeRange: { from: 600, to: 0 },
    datasourceUid: kind,
    model: {
      refId: "A",
      datasource: { type: kind, uid: kind },
      editorMode: "code",
      expr,
      instant: true,
      range: false,
      ...(kind === "loki" && { queryType: "instant" }),
      ...meta,
    },
  };
  return {
    uid: uid(alert.alert),
    title: alert.alert,
    condition: "C",
    data: [
      query,
      expression("B", "math", { expression: "is_number($A) || is_nan($A) || is_inf($A)" }),
      expression("C", "threshold", { expression: "B", conditions: [{ evaluator: { type: "gt", params: [0] } }] }),
    ],
    noDataState: "OK",
    execErrState: alert.alert === "SmscopeAbsent" ? "Error" : "OK",
    for: alert.for,
    ...(alert.keep_firing_for && { keepFiringFor: alert.keep_firing_for }),
    missing_series_evals_to_resolve: 1,
    isPaused: false,
    labels: alert.labels,
    annotations: Object.fromEntries(Object.entries(alert.annotations).map(([name, text]) => [name, template(text)])),
  };
}

/** SmsFailureRatioHigh is smscope-failure-ratio-fast; Grafana takes 40 characters. */
function uid(name: string): string {
  const uid = name.replace(/(?!^)[A-Z]/g, "-$&").toLowerCase();
  if (uid.length > 40) throw new Error(`${uid} is longer than Grafana's 40 characters`);
  return uid;
}

/** Functions and $labels are the same in Grafana; the value is that of the query, by its letter. */
const template = (text: string) => text.replace(/\$value\b/g, "$values.A.Value");
