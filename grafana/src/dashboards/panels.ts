/** The kinds of panel that graph or state figures. Each asks for what no panel may lack. */

import * as bargauge from "@grafana/grafana-foundation-sdk/bargauge";
import type { Builder, Dataquery } from "@grafana/grafana-foundation-sdk/cog";
import * as common from "@grafana/grafana-foundation-sdk/common";
import {
  type DynamicConfigValue,
  FieldColorBuilder,
  FieldColorModeId,
  MappingType,
  type Panel,
  SpecialValueMatch,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type ValueMapping,
} from "@grafana/grafana-foundation-sdk/dashboard";
import * as heat from "@grafana/grafana-foundation-sdk/heatmap";
import * as prometheusQuery from "@grafana/grafana-foundation-sdk/prometheus";
import * as statPanel from "@grafana/grafana-foundation-sdk/stat";
import * as textPanel from "@grafana/grafana-foundation-sdk/text";
import * as series from "@grafana/grafana-foundation-sdk/timeseries";
import { NEUTRAL, NO_DATA, OUTCOME, type Steps } from "./look.js";
import { FILTERS, METRICS, filtersOf, type Metric, OTHERS } from "./metrics.js";
import { PROMETHEUS } from "./sources.js";

/** What every panel has. */
export interface Basics {
  title: string;
  /** How to read it, and what to do. */
  description: string;
  /** Shown where there is no data: why that may be. */
  none: string;
  unit: string;
  width: number;
  height?: number;
}

/** A query of Prometheus with the name of its result. */
export interface Query {
  expr: string;
  name: string;
}

const PROM_FORMAT = prometheusQuery.PromQueryFormat;

type Common = {
  title(title: string): unknown;
  description(description: string): unknown;
  unit(unit: string): unknown;
  noValue(text: string): unknown;
  datasource(source: common.DataSourceRef): unknown;
  span(width: number): unknown;
  height(height: number): unknown;
};

export function withBasics<T extends Common>(
  panel: T,
  basics: Basics,
  source: common.DataSourceRef,
  exprs: string[],
): T {
  panel.title(basics.title);
  panel.description([basics.description, ...unfiltered(exprs)].join("\n\n"));
  panel.unit(basics.unit);
  panel.noValue(basics.none);
  panel.datasource(source);
  panel.span(basics.width);
  panel.height(basics.height ?? 8);
  return panel;
}

/** Says which filters of the dashboard do not apply, as a metric has no such label. */
function unfiltered(exprs: string[]): string[] {
  const names = (Object.keys(METRICS) as Metric[]).filter((metric) =>
    exprs.some((expr) => expr.includes(`${metric}{`)),
  );
  const ofMessages = names.filter((metric) => metric.startsWith("sms_"));
  const missing = FILTERS.filter((filter) => ofMessages.some((metric) => !filtersOf(metric).includes(filter)));
  return missing.length === 0 ? [] : [`Not filtered by ${missing.join(" and ")}: the metric has no such label.`];
}

export function target(
  { expr, name }: Query,
  index: number,
  kind: "range" | "instant" | "table" | "heatmap",
): Builder<Dataquery> {
  const query = new prometheusQuery.DataqueryBuilder()
    .datasource(PROMETHEUS)
    .editorMode(prometheusQuery.QueryEditorMode.Code)
    .expr(expr)
    .legendFormat(name)
    .refId(ref(index))
    .format(
      {
        range: PROM_FORMAT.TimeSeries,
        instant: PROM_FORMAT.TimeSeries,
        table: PROM_FORMAT.Table,
        heatmap: PROM_FORMAT.Heatmap,
      }[kind],
    );
  return kind === "instant" || kind === "table" ? query.instant() : query.range();
}

/** A, B, C, … */
export const ref = (index: number) => String.fromCharCode("A".charCodeAt(0) + index);

export function thresholds(steps: Steps): ThresholdsConfigBuilder {
  return new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps(steps.map(([value, color]) => ({ value, color })));
}

export const colorMode = (mode: FieldColorModeId) => new FieldColorBuilder().mode(mode);
const fixed = (color: string): DynamicConfigValue => ({
  id: "color",
  value: { mode: FieldColorModeId.Fixed, fixedColor: color },
});

/** The text of a figure without data would else have the color of the lowest threshold. */
export const GREY_NOTHING: ValueMapping = {
  type: MappingType.SpecialValue,
  options: { match: SpecialValueMatch.NullAndNan, result: { color: NO_DATA, index: 0 } },
};

export interface Stat extends Basics {
  queries: Query[];
  steps?: Steps;
  /** By the name of a query, where each has its own. */
  colors?: Record<string, string>;
  decimals?: number;
}

/** The figure of the whole time range, or of now. */
export function stat({ queries, steps = NEUTRAL, colors = {}, decimals, ...basics }: Stat): Builder<Panel> {
  const panel = withBasics(
    new statPanel.PanelBuilder(),
    { height: 4, ...basics },
    PROMETHEUS,
    queries.map(({ expr }) => expr),
  )
    .graphMode(common.BigValueGraphMode.None)
    .colorMode(common.BigValueColorMode.Value)
    .textMode(
      queries.length > 1 || queries[0]?.name.includes("{{")
        ? common.BigValueTextMode.ValueAndName
        : common.BigValueTextMode.Value,
    )
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(["lastNotNull"]))
    .colorScheme(colorMode(FieldColorModeId.Thresholds))
    .thresholds(thresholds(steps))
    .mappings([GREY_NOTHING])
    .targets(queries.map((query, index) => target(query, index, "instant")));
  for (const [name, color] of Object.entries(colors)) {
    panel.overrideByName(name, [fixed(color)]);
  }
  return decimals === undefined ? panel : panel.decimals(decimals);
}

export interface Lines extends Basics {
  queries: Query[];
  /** By the name of a series. */
  colors: Record<string, string>;
  stacked?: boolean;
  /** The step, where points are of whole days. */
  interval?: string;
  /** One bar for each step. */
  bars?: boolean;
  decimals?: number;
  /** Series of these names are another time's, and dashed. */
  dashed?: string[];
  /** A line across the panel from which on a value is bad. */
  limit?: Steps;
  logarithmic?: boolean;
  /** Where an axis begins and ends as long as the values allow it: a fall of a rate near 1 is seen, and noise is not. */
  soft?: { min?: number; max?: number };
  max?: number;
  /** What the legend says of each series. */
  calcs?: string[];
}

/** Where the axis of a delivery rate begins. */
export const DELIVERY_RATE = { soft: { min: 0.8, max: 1 }, max: 1 } as const;

/** Development over time. */
export function lines({
  queries,
  colors,
  stacked,
  interval,
  bars,
  decimals,
  dashed = [],
  limit,
  logarithmic,
  soft,
  max,
  calcs = ["min", "mean", "max"],
  ...basics
}: Lines): Builder<Panel> {
  // A table below a graph takes its height, and half of the series are out of sight; beside a narrow one it takes the width.
  const wide = basics.width >= 10;
  const panel = withBasics(
    new series.PanelBuilder(),
    basics,
    PROMETHEUS,
    queries.map(({ expr }) => expr),
  )
    .drawStyle(bars ? common.GraphDrawStyle.Bars : common.GraphDrawStyle.Line)
    .lineWidth(stacked || bars ? 1 : 2)
    .fillOpacity(bars ? 70 : stacked ? 40 : 0)
    .showPoints(interval && !bars ? common.VisibilityMode.Always : common.VisibilityMode.Never)
    .spanNulls(false)
    .colorScheme(colorMode(FieldColorModeId.PaletteClassicByName))
    .tooltip(
      new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending),
    )
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(wide ? common.LegendDisplayMode.Table : common.LegendDisplayMode.List)
        .placement(wide ? common.LegendPlacement.Right : common.LegendPlacement.Bottom)
        .showLegend(true)
        .calcs(calcs),
    )
    .targets(queries.map((query, index) => target(query, index, "range")));
  if (interval) panel.interval(interval);
  if (decimals !== undefined) panel.decimals(decimals);
  if (stacked) panel.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal).group("A"));
  if (logarithmic) {
    panel.scaleDistribution(new common.ScaleDistributionConfigBuilder().type(common.ScaleDistribution.Log).log(10));
  } else if (soft?.min === undefined) {
    panel.min(0);
  }
  if (soft?.min !== undefined) panel.axisSoftMin(soft.min);
  if (soft?.max !== undefined) panel.axisSoftMax(soft.max);
  if (limit) {
    panel.thresholds(thresholds(limit));
    panel.thresholdsStyle(new common.GraphThresholdsStyleConfigBuilder().mode(common.GraphThresholdsStyleMode.Dashed));
  }
  const dash = { id: "custom.lineStyle", value: { fill: "dash", dash: [8, 8] } };
  const others = queries.some(({ name }) => name === OTHERS) ? { [OTHERS]: NO_DATA } : {};
  for (const [name, color] of Object.entries({ ...colors, ...others })) {
    panel.overrideByName(name, [fixed(color), ...(dashed.includes(name) ? [dash] : [])]);
  }
  if (max !== undefined) panel.max(max);
  // On a logarithmic axis Grafana writes the text for no data at every tick that has no label.
  return logarithmic ? withoutText(panel) : panel;
}

function withoutText(panel: Builder<Panel>): Builder<Panel> {
  const built = panel.build();
  delete built.fieldConfig?.defaults.noValue;
  return { build: () => built };
}

/** Where most of it is: cells of time and bucket. */
export function heatmap({ expr, ...basics }: Basics & { expr: string }): Builder<Panel> {
  return withBasics(new heat.PanelBuilder(), basics, PROMETHEUS, [expr])
    .calculate(false)
    .yAxis(new heat.YAxisConfigBuilder().unit(basics.unit))
    .rowsFrame(new heat.RowsHeatmapOptionsBuilder().layout(common.HeatmapCellLayout.Auto))
    .cellValues(new heat.CellValuesBuilder().unit("short"))
    .color(
      new heat.HeatmapColorOptionsBuilder()
        .mode(heat.HeatmapColorMode.Scheme)
        .scheme("Blues")
        .scale(heat.HeatmapColorScale.Exponential)
        .exponent(0.5)
        .fill("dark-blue")
        .steps(64)
        .reverse(false),
    )
    .tooltip(new heat.HeatmapTooltipBuilder().mode(common.TooltipDisplayMode.Single).yHistogram(true))
    .targets([target({ expr, name: "{{le}}" }, 0, "heatmap")]);
}

/** Shares that add up, longest first. */
export function bars({
  query,
  colors,
  ...basics
}: Basics & { query: Query; colors: Record<string, string> }): Builder<Panel> {
  const panel = withBasics(new bargauge.PanelBuilder(), basics, PROMETHEUS, [query.expr])
    .displayMode(common.BarGaugeDisplayMode.Basic)
    .orientation(common.VizOrientation.Horizontal)
    .valueMode(common.BarGaugeValueMode.Text)
    .showUnfilled(false)
    .min(0)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(["lastNotNull"]))
    .colorScheme(colorMode(FieldColorModeId.PaletteClassicByName))
    .mappings([GREY_NOTHING])
    .targets([target(query, 0, "instant")]);
  for (const [name, color] of Object.entries(colors)) {
    panel.overrideByName(name, [fixed(color)]);
  }
  return panel;
}

/** A few sentences in place of data. */
export function text({ title, content, width, height }: Record<"title" | "content", string> & Record<"width" | "height", number>): Builder<Panel> {
  return new textPanel.PanelBuilder()
    .title(title)
    .mode(textPanel.TextMode.Markdown)
    .content(content)
    .span(width)
    .height(height);
}

/** Grafana's own list, so that alerts of Prometheus, of Loki and of Grafana itself are in it. The SDK has no builder for it. */
export function firingAlerts(width: number, height: number): Builder<Panel> {
  const panel: Panel = {
    type: "alertlist",
    title: "Firing alerts",
    description:
      "Critical and warning alerts of smscope that fire now, by Prometheus, Loki or Grafana; open one for its runbook. Empty and figures are bad: see whether the rules are loaded (docs/alerts.md), and whether the data source may list its alerts (Manage alerts via Alerting UI).",
    gridPos: { x: 0, y: 0, w: width, h: height },
    options: {
      viewMode: "list",
      groupMode: "default",
      groupBy: [],
      maxItems: 20,
      // The most severe first.
      sortOrder: 3,
      dashboardAlerts: false,
      alertName: "",
      // By the labels that the rules of alerts/ give all their alerts: names of alerts change.
      alertInstanceLabelFilter: '{service="smscope", severity=~"critical|warning"}',
      stateFilter: { firing: true, pending: false, noData: false, normal: false, error: true },
    },
  };
  return { build: () => panel };
}

/** The color of a text value. */
export function colored(colors: Record<string, string>): ValueMapping[] {
  const options = Object.entries(colors).map(([text, color], index) => [text, { color, index }]);
  return [{ type: MappingType.ValueToText, options: Object.fromEntries(options) }];
}

/** Delivered, failed, expired, as series and figures name them. */
export const OUTCOMES = { delivered: OUTCOME.delivered, failed: OUTCOME.failed, expired: OUTCOME.expired };
