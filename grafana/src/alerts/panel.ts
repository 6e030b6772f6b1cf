/** Which panel of a dashboard shows what an alert is about: Grafana links the two by the ids of both. */

interface Panel {
  id?: number;
  type?: string;
  targets?: { expr?: string }[];
  panels?: Panel[];
}

interface Dashboard {
  uid?: string;
  panels?: Panel[];
}

/** Metrics of PromQL, attributes of LogQL. */
const names = (expr: string) => new Set(expr.match(/\b(?:sms|smscope|error|messaging)_[a-z_]+/g) ?? []);

const flat = (panels: Panel[]): Panel[] => panels.flatMap((panel) => [panel, ...flat(panel.panels ?? [])]);

/** The panel that has most of the query's metrics in common, a graph before a number; the first one if none has any. */
export function panelOf(dashboards: unknown[], uid: string, expr: string): number {
  const dashboard = (dashboards as Dashboard[]).find((dashboard) => dashboard.uid === uid);
  if (!dashboard) throw new Error(`there is no dashboard ${uid}`);
  const wanted = names(expr);
  const score = ({ type, targets = [] }: Panel) => {
    const shown = names(targets.map(({ expr }) => expr ?? "").join(" "));
    const common = [...wanted].filter((name) => shown.has(name)).length;
    return 2 * common + (common > 0 && type === "timeseries" ? 1 : 0);
  };
  const panels = flat(dashboard.panels ?? []).filter(({ id, type }) => id !== undefined && type !== "row");
  const best = panels.reduce((best, panel) => (score(panel) > score(best) ? panel : best));
  return best.id as number;
}
