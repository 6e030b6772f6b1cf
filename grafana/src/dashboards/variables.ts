/** The variables of the dashboards. Links between dashboards pass them on, so a name means the same on each. */

import {
  type VariableModel,
  VariableHide,
  VariableRefresh,
  VariableSort,
  VariableType,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { DURABLE_INSTANCE, FILTERS } from "./metrics.js";
import { PROMETHEUS } from "./sources.js";

const VISIBILITY = { shown: VariableHide.DontHide, hidden: VariableHide.HideVariable } as const;
type Visibility = keyof typeof VISIBILITY;

function datasource(
  name: string,
  label: string,
  kind: string,
  description: string,
  visibility: Visibility = "shown",
): VariableModel {
  return {
    type: VariableType.Datasource,
    name,
    label,
    description,
    query: kind,
    regex: "",
    multi: false,
    includeAll: false,
    refresh: VariableRefresh.OnDashboardLoad,
    hide: VISIBILITY[visibility],
    skipUrlSync: false,
  };
}

/** Values of a label, All by default. `all` is what All matches: `.*` also matches series without the label. */
function choice(name: string, label: string, query: string, visibility: Visibility, all: string): VariableModel {
  return {
    type: VariableType.Query,
    name,
    label,
    query: { qryType: 1, query, refId: "PrometheusVariableQueryEditor-VariableQuery" },
    definition: query,
    datasource: PROMETHEUS,
    regex: "",
    multi: true,
    includeAll: true,
    allValue: all,
    current: { selected: true, text: ["All"], value: ["$__all"] },
    refresh: VariableRefresh.OnTimeRangeChanged,
    sort: VariableSort.AlphabeticalCaseInsensitiveAsc,
    hide: VISIBILITY[visibility],
    skipUrlSync: false,
  };
}

function text(
  name: string,
  label: string,
  description: string,
  value = "",
  visibility: Visibility = "shown",
): VariableModel {
  return {
    type: VariableType.Textbox,
    name,
    label,
    description,
    query: value,
    current: { selected: true, text: value, value },
    options: [{ selected: true, text: value, value }],
    hide: VISIBILITY[visibility],
    skipUrlSync: false,
  };
}

const prometheus = datasource("datasource", "Data source", "prometheus", "Prometheus, or what speaks its language.");
const loki = datasource("loki", "Loki", "loki", "Where the log records are; only the log panels need it.");
const tempo = datasource(
  "tempo",
  "Tempo data source",
  "tempo",
  "Where links of trace ids lead; nothing else needs it.",
  "hidden",
);
const service = (visibility: Visibility) =>
  text("service", "Log service", "service_name of the log records: OTEL_SERVICE_NAME.", "smscope", visibility);

const title = (name: string) => name.charAt(0).toUpperCase() + name.slice(1);

/**
 * Job, instance and the filters, each offering what the ones before it leave. Hidden ones filter nothing that is seen, but
 * links pass them on.
 */
function filters(hidden: readonly string[]): VariableModel[] {
  let above = "";
  return ["job", "instance", ...FILTERS].map((name) => {
    const metric = name === "job" || name === "instance" ? "smscope_build_info" : "sms_messages_total";
    const query = `label_values(${metric}${above && `{${above}}`}, ${name})`;
    // What follows asks for series that are durable.
    above += `${above && ", "}${name}=~"${name === "instance" ? DURABLE_INSTANCE : `$${name}`}"`;
    return choice(name, title(name), query, hidden.includes(name) ? "hidden" : "shown", ".*");
  });
}

/** Every failure has a reason, so here All can ask for one: the same variable then also picks failures among log records. */
const reason = choice("reason", "Reason", "label_values(sms_messages_failed_total, reason)", "shown", ".+");

/** A row of its own for each: they cannot be added up. */
const currency = choice("currency", "Currency", "label_values(sms_message_cost_total, currency)", "hidden", ".*");

const OBJECTIVES = [0.9, 0.92, 0.95, 0.97, 0.98, 0.99, 0.995];
const DEFAULT_OBJECTIVE = 0.95;
const percent = (share: number) => `${Math.round(share * 1_000) / 10} %`;

/** The delivery rate that is promised. */
const objective: VariableModel = {
  type: VariableType.Custom,
  name: "objective",
  label: "Objective",
  description: "Delivery rate that was agreed on.",
  query: OBJECTIVES.map((share) => `${percent(share)} : ${share}`).join(", "),
  multi: false,
  includeAll: false,
  current: { selected: true, text: percent(DEFAULT_OBJECTIVE), value: String(DEFAULT_OBJECTIVE) },
  options: OBJECTIVES.map((share) => ({
    selected: share === DEFAULT_OBJECTIVE,
    text: percent(share),
    value: String(share),
  })),
  hide: VariableHide.DontHide,
  skipUrlSync: false,
};

/** Figures of messages are sums over all instances: which one stored a message says nothing. */
const OF_PROCESS = ["job", "instance"];

export const VARIABLES = {
  deliverability: [prometheus, ...filters(OF_PROCESS)],
  // The log service is set on the journey, whose links pass it on: with it the controls need a second row.
  failures: [prometheus, loki, tempo, service("hidden"), ...filters(OF_PROCESS), reason],
  objective: [prometheus, objective, ...filters(OF_PROCESS), currency],
  journey: [
    prometheus,
    loki,
    tempo,
    service("shown"),
    text("message", "Message", "A message id, a refClient or a recipient hash, whole."),
    ...filters([...OF_PROCESS, ...FILTERS]),
  ],
  self: [prometheus, ...filters(["channel", "flow", "country"])],
};
