/** What all dashboards have in common: links, annotations, and panels laid out in rows. */

import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  type AnnotationQuery,
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  type DashboardLink,
  DashboardLinkType,
  type Panel,
  type RowPanel,
  type VariableModel,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { ANNOTATION } from "./look.js";
import { ofSmscope, select } from "./metrics.js";
import { PROMETHEUS } from "./sources.js";

export interface Row {
  title: string;
  /** For a feature that is off by default, or a system that not everyone has: closed, its queries are not sent. */
  optional?: boolean;
  /** One row for each value of this variable. */
  repeat?: string;
  panels: Builder<Panel>[];
}

export interface Frame {
  uid: string;
  title: string;
  description: string;
  variables: VariableModel[];
  from: string;
  refresh: string;
  rows: Row[];
}

/** The SDK's builders of variables, links and annotations add defaults that hide them in a menu, so these are plain. */
const plain = <T>(value: T): Builder<T> => ({ build: () => value });

/** The dashboards by their uids, as links name them. Those with a time range of their own do not accept another's. */
const DASHBOARDS = [
  { uid: "smscope-deliverability", link: "Delivery", ownTime: false },
  { uid: "smscope-failures", link: "Failures", ownTime: false },
  { uid: "smscope-objective", link: "Objective", ownTime: true },
  { uid: "smscope-journey", link: "Journey", ownTime: true },
  { uid: "smscope-self", link: "smscope", ownTime: false },
] as const;

function linksOf(uid: string): DashboardLink[] {
  return DASHBOARDS.filter((other) => other.uid !== uid).map((other) => ({
    title: other.link,
    type: DashboardLinkType.Link,
    icon: "dashboard",
    tooltip: other.ownTime ? "With these filters" : "With this time range and these filters",
    url: `/d/${other.uid}`,
    tags: [],
    asDropdown: false,
    targetBlank: false,
    includeVars: true,
    keepTime: !other.ownTime,
  }));
}

/**
 * Marks a moment: the value of a sample is the time of the mark, in seconds, so that it is there once and in its place, and
 * none is drawn at the left edge for what began earlier. Releases differ in where they look for the query: `expr` or `target`.
 */
function moments(name: string, color: string, seconds: string, texts: [title: string, text: string]): AnnotationQuery {
  const expr = `(${seconds}) * 1000 >= $__from`;
  const target = { refId: "Anno", datasource: PROMETHEUS, expr, interval: "60s", range: true };
  return {
    name,
    datasource: PROMETHEUS,
    enable: true,
    hide: true,
    iconColor: color,
    expr,
    target: target as unknown as AnnotationQuery["target"],
    step: "60s",
    titleFormat: texts[0],
    textFormat: texts[1],
    tagKeys: "",
    useValueForTime: true,
  };
}

// The rules of alerts/ give all their alerts this service. An alert that is only pending has begun, and fires nothing yet.
const OURS = 'service="smscope", severity=~"critical|warning"';

const ANNOTATIONS: AnnotationQuery[] = [
  moments(
    "Alerts",
    ANNOTATION.alert,
    `ALERTS_FOR_STATE{${OURS}} and ignoring (alertstate) ALERTS{alertstate="firing", ${OURS}}`,
    ["{{alertname}} began", "{{severity}} {{source}} {{network_name}} {{country}} {{reason}}"],
  ),
  moments("Restarts", ANNOTATION.restart, ofSmscope(select("process_start_time_seconds")), [
    "smscope started",
    "{{instance}}",
  ]),
];

/** The grid of a dashboard is this wide. */
const WIDTH = 24;

/**
 * The release whose form of panels this is. Without it Grafana takes them for the oldest form that it knows, and its
 * migrations shrink bars to nothing.
 */
const PLUGIN_VERSION = "11.0.0";

export function dashboard({ uid, title, description, variables, from, refresh, rows }: Frame): Dashboard {
  const builder = new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(["smscope"])
    .readonly()
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from, to: "now" })
    .refresh(refresh)
    .links(linksOf(uid).map(plain))
    .annotations(ANNOTATIONS.map(plain))
    .variables(variables.map(plain));
  const built = builder.build();
  built.panels = layOut(rows);
  return built;
}

/** Panels of a row from left to right, and on a new line where there is no more room. */
function layOut(rows: Row[]): (Panel | RowPanel)[] {
  const laid: (Panel | RowPanel)[] = [];
  let id = 0;
  let top = 0;
  for (const { title, optional = false, repeat, panels } of rows) {
    const heading: RowPanel = {
      type: "row",
      id: ++id,
      title,
      collapsed: optional,
      gridPos: { x: 0, y: top, w: WIDTH, h: 1 },
      panels: [],
      ...(repeat && { repeat }),
    };
    laid.push(heading);
    top += 1;
    let [left, line, height] = [0, top, 0];
    // A panel may be on several dashboards, and a builder gives the same object each time.
    for (const panel of panels.map((panel) => ({ ...panel.build() }))) {
      const { w, h } = panel.gridPos ?? { w: WIDTH, h: 8 };
      if (left + w > WIDTH) [left, line, height] = [0, line + height, 0];
      panel.id = ++id;
      panel.pluginVersion = PLUGIN_VERSION;
      panel.gridPos = { x: left, y: line, w, h };
      [left, height] = [left + w, Math.max(height, h)];
      (optional ? heading.panels : laid).push(panel);
    }
    // Panels of a closed row take no room.
    if (!optional) top = line + height;
  }
  return laid;
}
