/**
 * alerts/grafana/: the alerts of alerts/*.rules.yaml as rules that Grafana evaluates itself, for its file provisioning.
 *
 * Nothing has to be loaded in Prometheus for them: what is recorded there is put into the expressions here.
 */

import { stringify } from "yaml";
import { inliner } from "./inline.js";
import { panelOf } from "./panel.js";
import { type Alert, type Group, groups, isAlert, isRecording } from "./rules.js";

type Kind = "prometheus" | "loki";

const HEAD = (from: string) => `# Made of ${from} by \`npm run generate\` in grafana/: change it there. Loaded from
# /etc/grafana/provisioning/alerting; docs/alerts.md#in-grafana says how, and which names it expects.
`;

/** What Grafana gets of each file of rules; the later ones use what the first records. */
const FILES: { from: string; to: string; kind: Kind }[] = [
  { from: "alerts/smscope.rules.yaml", to: "alerts/grafana/smscope.yaml", kind: "prometheus" },
  { from: "alerts/smscope-extra.rules.yaml", to: "alerts/grafana/smscope-extra.yaml", kind: "prometheus" },
  { from: "alerts/smscope-features.rules.yaml", to: "alerts/grafana/smscope-features.yaml", kind: "prometheus" },
  { from: "alerts/loki.rules.yaml", to: "alerts/grafana/smscope-loki.yaml", kind: "loki" },
];

export function alerts(dashboards: unknown[]): [string, string][] {
  const recordings = FILES.filter(({ kind }) => kind === "prometheus")
    .flatMap(({ from }) => groups(from))
    .flatMap(({ rules }) => rules.filter(isRecording));
  const inline = inliner(recordings);
  return FILES.map(({ from, to, kind }) => {
    const make = (alert: Alert) => rule(alert, kind, kind === "prometheus" ? inline(alert.expr) : collapse(alert.expr), dashboards);
    const provisioned = { apiVersion: 1, groups: groups(from).flatMap((group) => converted(group, make)) };
    return [to, HEAD(from) + stringify(provisioned, { lineWidth: 130, aliasDuplicateObjects: false })];
  });
}

function converted(group: Group, make: (alert: Alert) => object) {
  const rules = group.rules.filter(isAlert).map(make);
  return rules.length === 0 ? [] : [{ orgId: 1, name: group.name, folder: "smscope", interval: group.interval ?? "1m", rules }];
}

/** LogQL has nothing recorded; its line breaks are only for people. */
const collapse = (expr: string) => expr.replace(/\s+/g, " ").replaceAll("( ", "(").replaceAll(" )", ")").trim();

/**
 * Whatever the query returns fires, and no result is all right, as in Prometheus. The condition is the value of the query itself, so
 * that Grafana shows the share and not a 1: no alert of ours has 0 for its value.
 *
 * A Prometheus that cannot be queried is reported once, by the alert on smscope's absence, instead of by each of them. A Loki that
 * cannot (too many series, a time-out) is reported by each rule: an alert that was never evaluated must not look healthy.
 */
function rule(alert: Alert, kind: Kind, expr: string, dashboards: unknown[]) {
  const dashboard = /\/d\/([\w-]+)/.exec(alert.annotations.dashboard ?? "")?.[1] ?? "";
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
    condition: "B",
    data: [
      query,
      expression("B", "math", { expression: "$A" }),
    ],
    noDataState: "OK",
    execErrState: kind === "loki" || alert.alert === "SmscopeAbsent" ? "Error" : "OK",
    for: alert.for,
    ...(alert.keep_firing_for && { keepFiringFor: alert.keep_firing_for }),
    missing_series_evals_to_resolve: 1,
    isPaused: false,
    labels: alert.labels,
    annotations: {
      ...Object.fromEntries(Object.entries(alert.annotations).map(([name, text]) => [name, template(text)])),
      __dashboardUid__: dashboard,
      __panelId__: `${panelOf(dashboards, dashboard, expr)}`,
    },
  };
}

/** SmsFailureRatioHigh is sms-failure-ratio-high; Grafana takes 40 characters. */
function uid(name: string): string {
  const uid = name.replace(/(?!^)[A-Z]/g, "-$&").toLowerCase();
  if (uid.length > 40) throw new Error(`${uid} is longer than Grafana's 40 characters`);
  return uid;
}

/**
 * The functions are the same in Grafana. The value is that of the query, by its letter; a label or a value that is missing, as in a
 * rule without data, is empty instead of an error.
 */
const template = (text: string) =>
  text.replace(/\$labels\.(\w+)/g, '(index $labels "$1")').replace(/\$value\b/g, '(index $values "A").Value');
