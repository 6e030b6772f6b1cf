/** The kinds of panel that dashboards are made of. Each asks for what no panel may lack. */

import * as bargauge from "@grafana/grafana-foundation-sdk/bargauge";
import type { Builder, Dataquery } from "@grafana/grafana-foundation-sdk/cog";
import * as common from "@grafana/grafana-foundation-sdk/common";
import {
  type DataTransformerConfig,
  type DynamicConfigValue,
  FieldColorBuilder,
  FieldColorModeId,
  MappingType,
  type Panel,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type ValueMapping,
} from "@grafana/grafana-foundation-sdk/dashboard";
import * as heat from "@grafana/grafana-foundation-sdk/heatmap";
import * as log from "@grafana/grafana-foundation-sdk/logs";
import * as lokiQuery from "@grafana/grafana-foundation-sdk/loki";
import * as prometheusQuery from "@grafana/grafana-foundation-sdk/prometheus";
import * as statPanel from "@grafana/grafana-foundation-sdk/stat";
import * as timeline from "@grafana/grafana-foundation-sdk/statetimeline";
import * as tablePanel from "@grafana/grafana-foundation-sdk/table";
import * as series from "@grafana/grafana-foundation-sdk/timeseries";
import { NEUTRAL, type Steps } from "./look.js";
import { FILTERS, METRICS, filtersOf, type Metric } from "./metrics.js";
import { LOKI, PROMETHEUS } from "./sources.js";

/** What every panel says. */
interface Said {
  title: string;
  /** How to read it, and what to do. */
  description: string;
  /** Shown where there is no data: why that may be. */
  none: string;
  unit: string;
  width: number;
  height?: number;
}

/** A query of Prometheus with the name of what it gives. */
export interface Query {
  expr: string;
  name: string;
}

export type Links = { title: string; url: string }[];

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

function say<T extends Common>(panel: T, said: Said, source: common.DataSourceRef, exprs: string[]): T {
  panel.title(said.title);
  panel.description([said.description, ...unfiltered(exprs)].join("\n\n"));
  panel.unit(said.unit);
  panel.noValue(said.none);
  panel.datasource(source);
  panel.span(said.width);
  panel.height(said.height ?? 8);
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

function target(
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
const ref = (index: number) => String.fromCharCode("A".charCodeAt(0) + index);

function thresholds(steps: Steps): ThresholdsConfigBuilder {
  return new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps(steps.map(([value, color]) => ({ value, color })));
}

const colorMode = (mode: FieldColorModeId) => new FieldColorBuilder().mode(mode);
const fixed = (color: string): DynamicConfigValue => ({
  id: "color",
  value: { mode: FieldColorModeId.Fixed, fixedColor: color },
});

export interface Stat extends Said {
  queries: Query[];
  steps?: Steps;
  /** By the name of a query, where each has its own. */
  colours?: Record<string, string>;
  decimals?: number;
}

/** The figure of the whole time range, or of now. */
export function stat({ queries, steps = NEUTRAL, colours = {}, decimals, ...said }: Stat): Builder<Panel> {
  const panel = say(
    new statPanel.PanelBuilder(),
    { height: 4, ...said },
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
    .targets(queries.map((query, index) => target(query, index, "instant")));
  for (const [name, color] of Object.entries(colours)) {
    panel.overrideByName(name, [fixed(color)]);
  }
  return decimals === undefined ? panel : panel.decimals(decimals);
}

export interface Lines extends Said {
  queries: Query[];
  /** By the name of a series. */
  colours: Record<string, string>;
  stacked?: boolean;
  /** Series of these names are another time's, and dashed. */
  dashed?: string[];
  /** A line across the panel from which on a value is bad. */
  limit?: Steps;
  logarithmic?: boolean;
  max?: number;
}

/** What went on over time. */
export function lines({
  queries,
  colours,
  stacked,
  dashed = [],
  limit,
  logarithmic,
  max,
  ...said
}: Lines): Builder<Panel> {
  const panel = say(
    new series.PanelBuilder(),
    said,
    PROMETHEUS,
    queries.map(({ expr }) => expr),
  )
    .drawStyle(common.GraphDrawStyle.Line)
    .lineWidth(stacked ? 1 : 2)
    .fillOpacity(stacked ? 40 : 0)
    .showPoints(common.VisibilityMode.Never)
    .spanNulls(false)
    .colorScheme(colorMode(FieldColorModeId.PaletteClassicByName))
    .tooltip(
      new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending),
    )
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.List)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(true)
        .calcs([]),
    )
    .targets(queries.map((query, index) => target(query, index, "range")));
  if (stacked) {
    panel.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal).group("A"));
  }
  if (!logarithmic) {
    panel.min(0);
  } else {
    panel.scaleDistribution(new common.ScaleDistributionConfigBuilder().type(common.ScaleDistribution.Log).log(10));
  }
  if (limit) {
    panel.thresholds(thresholds(limit));
    panel.thresholdsStyle(new common.GraphThresholdsStyleConfigBuilder().mode(common.GraphThresholdsStyleMode.Dashed));
  }
  for (const [name, color] of Object.entries(colours)) {
    const dash = { id: "custom.lineStyle", value: { fill: "dash", dash: [8, 8] } };
    panel.overrideByName(name, [fixed(color), ...(dashed.includes(name) ? [dash] : [])]);
  }
  return max === undefined ? panel : panel.max(max);
}

export interface Column {
  /** The field as the query or the transformations before give it: a label, or `Value #A`. */
  field: string;
  name: string;
  unit?: string;
  decimals?: number;
  steps?: Steps;
  links?: Links;
  mappings?: ValueMapping[];
  width?: number;
}

export interface Table extends Said {
  columns: Column[];
  /** Name of the column that rows are ordered by. */
  by: string;
  ascending?: boolean;
}

/** One row a set of labels; the queries are joined by them. Columns of values are `Value #A` and so on, in that order. */
export function table({ queries, ...rest }: Table & { queries: string[] }): Builder<Panel> {
  const targets = queries.map((expr, index) => target({ expr, name: "" }, index, "table"));
  return columnsOf(rest, PROMETHEUS, queries, targets, [{ id: "merge", options: {} }]);
}

function columnsOf(
  { columns, by, ascending = false, ...said }: Table,
  source: common.DataSourceRef,
  exprs: string[],
  targets: Builder<Dataquery>[],
  transformations: DataTransformerConfig[],
): Builder<Panel> {
  // The value of a query that is alone, or alone in giving anything, has no suffix: that can only be the first.
  const fields = columns.flatMap(({ field, name }) =>
    field === "Value #A"
      ? [
          [field, name],
          ["Value", name],
        ]
      : [[field, name]],
  );
  const panel = say(new tablePanel.PanelBuilder(), said, source, exprs)
    .cellHeight(common.TableCellHeight.Sm)
    .filterable(true)
    .colorScheme(colorMode(FieldColorModeId.Thresholds))
    .thresholds(thresholds(NEUTRAL))
    .sortBy([new common.TableSortByFieldStateBuilder().displayName(by).desc(!ascending)])
    .targets(targets)
    .transformations([
      ...transformations,
      { id: "filterFieldsByName", options: { include: { names: fields.map(([field]) => field) } } },
      {
        id: "organize",
        options: {
          excludeByName: {},
          indexByName: Object.fromEntries(fields.map(([field], index) => [field, index])),
          renameByName: Object.fromEntries(fields),
        },
      },
    ]);
  for (const { name, unit, decimals, steps, links, mappings, width } of columns) {
    // The panel's text for no data would else stand in every empty cell.
    const properties: DynamicConfigValue[] = [{ id: "noValue", value: "–" }];
    if (unit) properties.push({ id: "unit", value: unit });
    if (decimals !== undefined) properties.push({ id: "decimals", value: decimals });
    if (width) properties.push({ id: "custom.width", value: width });
    if (links) properties.push({ id: "links", value: links });
    if (mappings) properties.push({ id: "mappings", value: mappings });
    if (steps) properties.push({ id: "thresholds", value: thresholds(steps).build() });
    if (steps || mappings)
      properties.push({ id: "custom.cellOptions", value: { type: common.TableCellDisplayMode.ColorText } });
    panel.overrideByName(name, properties);
  }
  return panel;
}

/** Where most of it is: cells of time and bucket. */
export function heatmap({ expr, ...said }: Said & { expr: string }): Builder<Panel> {
  return say(new heat.PanelBuilder(), said, PROMETHEUS, [expr])
    .calculate(false)
    .yAxis(new heat.YAxisConfigBuilder().unit(said.unit))
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
  colours,
  ...said
}: Said & { query: Query; colours: Record<string, string> }): Builder<Panel> {
  const panel = say(new bargauge.PanelBuilder(), said, PROMETHEUS, [query.expr])
    .displayMode(common.BarGaugeDisplayMode.Basic)
    .orientation(common.VizOrientation.Horizontal)
    .valueMode(common.BarGaugeValueMode.Text)
    .showUnfilled(false)
    .min(0)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(["lastNotNull"]))
    .colorScheme(colorMode(FieldColorModeId.PaletteClassicByName))
    .targets([target(query, 0, "instant")]);
  for (const [name, color] of Object.entries(colours)) {
    panel.overrideByName(name, [fixed(color)]);
  }
  return panel;
}

function lokiTarget(expr: string, kind: "range" | "instant", lineLimit = 500): Builder<Dataquery> {
  const query = new lokiQuery.DataqueryBuilder()
    .datasource(LOKI)
    .editorMode(lokiQuery.QueryEditorMode.Code)
    .expr(expr)
    .queryType(kind)
    .refId("A");
  return kind === "range" ? query.maxLines(lineLimit) : query;
}

/** Attributes of log records as columns; `happened`, where a query makes it, is a time. */
const ATTRIBUTES: DataTransformerConfig[] = [
  { id: "extractFields", options: { source: "labels", format: "json", replace: false, keepTime: false } },
  {
    id: "convertFieldType",
    options: { fields: {}, conversions: [{ targetField: "happened", destinationType: "time" }] },
  },
];

/** One row a log record; columns are its attributes, `Time` (its arrival) and `Line`. */
export function records({ expr, ...rest }: Table & { expr: string }): Builder<Panel> {
  return columnsOf(rest, LOKI, [], [lokiTarget(expr, "range", 1_000)], ATTRIBUTES);
}

/** One row a set of attributes, counted by Loki; the count is `Value #A`. */
export function counts({ expr, ...rest }: Table & { expr: string }): Builder<Panel> {
  return columnsOf(rest, LOKI, [], [lokiTarget(expr, "instant")], []);
}

/** Records grouped by one attribute, with the first and the last time of `happened`. */
export function spans({ expr, group, ...rest }: Table & { expr: string; group: string }): Builder<Panel> {
  return columnsOf(
    rest,
    LOKI,
    [],
    [lokiTarget(expr, "range", 1_000)],
    [
      ...ATTRIBUTES,
      {
        id: "groupBy",
        options: {
          fields: {
            [group]: { operation: "groupby", aggregations: [] },
            happened: { operation: "aggregate", aggregations: ["count", "min", "max"] },
          },
        },
      },
      {
        id: "calculateField",
        options: {
          mode: "binary",
          alias: "Elapsed",
          binary: { left: "happened (max)", operator: "-", right: "happened (min)" },
          replaceFields: false,
        },
      },
    ],
  );
}

/** A lane for each value of `lane`, coloured by what `state` is at the time of `happened`. */
export function lanes({
  expr,
  lane,
  state,
  mappings,
  ...said
}: Said & { expr: string; lane: string; state: string; mappings: ValueMapping[] }): Builder<Panel> {
  return say(new timeline.PanelBuilder(), said, LOKI, [])
    .mergeValues(false)
    .showValue(common.VisibilityMode.Auto)
    .rowHeight(0.8)
    .mappings(mappings)
    .displayName("${__field.labels." + lane + "}")
    .tooltip(new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Single).sort(common.SortOrder.None))
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.List)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(true)
        .calcs([]),
    )
    .targets([lokiTarget(expr, "range", 1_000)])
    .transformations([
      ...ATTRIBUTES,
      { id: "filterFieldsByName", options: { include: { names: ["happened", state, lane] } } },
      { id: "sortBy", options: { fields: {}, sort: [{ field: "happened", desc: false }] } },
      { id: "partitionByValues", options: { fields: [lane], keepFields: false, naming: { asLabels: true } } },
    ]);
}

/** A count or figure of log records. */
export function lokiStat({ expr, ...said }: Said & { expr: string }): Builder<Panel> {
  return say(new statPanel.PanelBuilder(), { height: 4, ...said }, LOKI, [])
    .graphMode(common.BigValueGraphMode.None)
    .colorMode(common.BigValueColorMode.Value)
    .textMode(common.BigValueTextMode.Value)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(["lastNotNull"]))
    .colorScheme(colorMode(FieldColorModeId.Thresholds))
    .thresholds(thresholds(NEUTRAL))
    .targets([lokiTarget(expr, "instant")]);
}

/** Log records as they are, with all their attributes. */
export function logs({ expr, ...said }: Said & { expr: string }): Builder<Panel> {
  return say(new log.PanelBuilder(), said, LOKI, [])
    .showTime(true)
    .wrapLogMessage(true)
    .enableLogDetails(true)
    .sortOrder(common.LogsSortOrder.Descending)
    .targets([lokiTarget(expr, "range")]);
}

/** The colour of a text value. */
export function coloured(colours: Record<string, string>): ValueMapping[] {
  const options = Object.entries(colours).map(([text, color], index) => [text, { color, index }]);
  return [{ type: MappingType.ValueToText, options: Object.fromEntries(options) }];
}
