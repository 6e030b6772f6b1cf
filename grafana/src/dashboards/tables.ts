/** Tables, and what shows log records. */

import type { Builder, Dataquery } from "@grafana/grafana-foundation-sdk/cog";
import * as common from "@grafana/grafana-foundation-sdk/common";
import {
  type DataTransformerConfig,
  type DynamicConfigValue,
  FieldColorModeId,
  type Panel,
  type ValueMapping,
} from "@grafana/grafana-foundation-sdk/dashboard";
import * as log from "@grafana/grafana-foundation-sdk/logs";
import * as lokiQuery from "@grafana/grafana-foundation-sdk/loki";
import * as statPanel from "@grafana/grafana-foundation-sdk/stat";
import * as tablePanel from "@grafana/grafana-foundation-sdk/table";
import { NEUTRAL, type Steps } from "./look.js";
import { type Basics, colorMode, GREY_NOTHING, ref, target, thresholds, withBasics } from "./panels.js";
import { LOKI, PROMETHEUS } from "./sources.js";

export type Links = { title: string; url: string }[];

export interface Column {
  /** The field as the query or the transformations before give it: a label, or `Value #A`. */
  field: string;
  name: string;
  /** Of a figure; a label is a name, even where it looks like a number. */
  unit?: string;
  decimals?: number;
  steps?: Steps;
  links?: Links;
  mappings?: ValueMapping[];
  /** Pixels that the content needs, where it is wider than the heading. */
  min?: number;
  /** Whether a filter can be set in the heading: where there are many rows of few values. */
  filter?: boolean;
}

export interface Table extends Basics {
  columns: Column[];
  /** Name of the column that rows are ordered by; they come in order where there is none. */
  by?: string;
  ascending?: boolean;
}

const isValue = ({ field }: Column) => field.startsWith("Value #");

/** Pixels of a heading, with the icons that stand beside it. */
const heading = ({ name, filter }: Column, sorted: boolean) =>
  Math.ceil(name.length * 7.4) + 16 + (filter ? 22 : 0) + (sorted ? 20 : 0);

/** One row for each set of labels; the queries are joined by them. Columns of values are `Value #A` and so on, in that order. */
export function table({ queries, ...rest }: Table & { queries: string[] }): Builder<Panel> {
  const targets = queries.map((expr, index) => target({ expr, name: "" }, index, "table"));
  return columnsOf(rest, PROMETHEUS, queries, targets, [{ id: "merge", options: {} }]);
}

function columnsOf(
  { columns, by, ascending = false, ...basics }: Table,
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
  const panel = withBasics(new tablePanel.PanelBuilder(), basics, source, exprs)
    .cellHeight(common.TableCellHeight.Sm)
    .colorScheme(colorMode(FieldColorModeId.Thresholds))
    .thresholds(thresholds(NEUTRAL))
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
  if (by) panel.sortBy([new common.TableSortByFieldStateBuilder().displayName(by).desc(!ascending)]);
  for (const column of columns) {
    const { name, decimals, steps, links, mappings, min = 0, filter } = column;
    const unit = column.unit ?? (isValue(column) ? undefined : "string");
    const properties: DynamicConfigValue[] = [
      // The panel's text for no data would else stand in every empty cell.
      { id: "noValue", value: "–" },
      // Grafana's own minimum is so wide that the last columns of a table are out of sight.
      { id: "custom.minWidth", value: Math.max(min, heading(column, name === by)) },
    ];
    if (unit) properties.push({ id: "unit", value: unit });
    if (decimals !== undefined) properties.push({ id: "decimals", value: decimals });
    if (filter) properties.push({ id: "custom.filterable", value: true });
    if (links) properties.push({ id: "links", value: links });
    if (mappings) properties.push({ id: "mappings", value: mappings });
    if (steps) properties.push({ id: "thresholds", value: thresholds(steps).build() });
    if (steps || mappings)
      properties.push({ id: "custom.cellOptions", value: { type: common.TableCellDisplayMode.ColorText } });
    panel.overrideByName(name, properties);
  }
  return panel;
}

function lokiTarget(expr: string, kind: "range" | "instant", index = 0): Builder<Dataquery> {
  const query = new lokiQuery.DataqueryBuilder()
    .datasource(LOKI)
    .editorMode(lokiQuery.QueryEditorMode.Code)
    .expr(expr)
    .queryType(kind)
    .refId(ref(index));
  return kind === "range" ? query.maxLines(1_000) : query;
}

/** Attributes of log records as columns. */
const ATTRIBUTES: DataTransformerConfig = {
  id: "extractFields",
  options: { source: "labels", format: "json", replace: false, keepTime: false },
};

/** One row for each log record; columns are its attributes, `Time` and `Line`. */
export function records({ expr, ...rest }: Table & { expr: string }): Builder<Panel> {
  return columnsOf(rest, LOKI, [], [lokiTarget(expr, "range")], [ATTRIBUTES]);
}

/** One row for each set of attributes, with what Loki computes of them; rows are ordered by `order`, a field, if it is given. */
export function computed({ queries, order, ...rest }: Table & { queries: string[]; order?: string }): Builder<Panel> {
  const targets = queries.map((expr, index) => lokiTarget(expr, "instant", index));
  const transformations: DataTransformerConfig[] = [];
  if (queries.length > 1) transformations.push({ id: "merge", options: {} });
  if (order) transformations.push({ id: "sortBy", options: { fields: {}, sort: [{ field: order, desc: false }] } });
  return columnsOf(rest, LOKI, [], targets, transformations);
}

/** A count or figure of log records. */
export function lokiStat({ expr, ...basics }: Basics & { expr: string }): Builder<Panel> {
  return withBasics(new statPanel.PanelBuilder(), { height: 4, ...basics }, LOKI, [])
    .graphMode(common.BigValueGraphMode.None)
    .colorMode(common.BigValueColorMode.Value)
    .textMode(common.BigValueTextMode.Value)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(["lastNotNull"]))
    .colorScheme(colorMode(FieldColorModeId.Thresholds))
    .thresholds(thresholds(NEUTRAL))
    .mappings([GREY_NOTHING])
    .targets([lokiTarget(expr, "instant")]);
}

/** Log records as they are, with all their attributes. */
export function logs({ expr, ...basics }: Basics & { expr: string }): Builder<Panel> {
  return withBasics(new log.PanelBuilder(), basics, LOKI, [])
    .showTime(true)
    .wrapLogMessage(true)
    .enableLogDetails(true)
    .sortOrder(common.LogsSortOrder.Descending)
    .targets([lokiTarget(expr, "range")]);
}
