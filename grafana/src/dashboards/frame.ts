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
  RowBuilder,
  type VariableModel,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { ANNOTATION } from "./look.js";
import { ofSmscope, select } from "./metrics.js";
import { PROMETHEUS } from "./sources.js";

export interface Row {
  title: string;
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

const LINK: DashboardLink = {
  title: "smscope",
  type: DashboardLinkType.Dashboards,
  icon: "external link",
  tooltip: "The other dashboards, with this time range and these filters",
  tags: ["smscope"],
  asDropdown: false,
  targetBlank: false,
  includeVars: true,
  keepTime: true,
};

const ANNOTATIONS: AnnotationQuery[] = [
  {
    name: "Alerts",
    datasource: PROMETHEUS,
    enable: true,
    hide: false,
    iconColor: ANNOTATION.alert,
    // The rules of alerts/smscope.rules.yaml give all their alerts this service; the watchdog, which always fires, is of
    // no severity.
    expr: 'ALERTS{alertstate="firing", service="smscope", severity!="none"}',
    step: "60s",
    titleFormat: "{{alertname}}",
    textFormat: "{{severity}} {{source}} {{country}} {{reason}}",
    tagKeys: "severity",
    useValueForTime: false,
  },
  {
    name: "Restarts",
    datasource: PROMETHEUS,
    enable: true,
    hide: false,
    iconColor: ANNOTATION.restart,
    // The value of a sample is the time of the mark, so that a start is marked once and where it was.
    expr: `(${ofSmscope(select("process_start_time_seconds"))}) * 1000`,
    step: "60s",
    titleFormat: "smscope started",
    textFormat: "{{instance}}",
    tagKeys: "",
    useValueForTime: true,
  },
];

/** The grid of a dashboard is this wide. */
const WIDTH = 24;

export function dashboard({ uid, title, description, variables, from, refresh, rows }: Frame): Dashboard {
  const builder = new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(["smscope"])
    .readonly()
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from, to: "now" })
    .refresh(refresh)
    .links([plain(LINK)])
    .annotations(ANNOTATIONS.map(plain))
    .variables(variables.map(plain));
  let id = 0;
  let top = 0;
  for (const row of rows) {
    builder.withRow(new RowBuilder(row.title).id(++id).gridPos({ x: 0, y: top, w: WIDTH, h: 1 }));
    top += 1;
    let [left, height] = [0, 0];
    for (const panel of row.panels.map((panel) => panel.build())) {
      const { w, h } = panel.gridPos ?? { w: WIDTH, h: 8 };
      if (left + w > WIDTH) {
        [left, top, height] = [0, top + height, 0];
      }
      panel.id = ++id;
      panel.gridPos = { x: left, y: top, w, h };
      [left, height] = [left + w, Math.max(height, h)];
      builder.withPanel(plain(panel));
    }
    top += height;
  }
  return builder.build();
}
