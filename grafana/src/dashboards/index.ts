import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { deliverability } from "./deliverability.js";
import { failures } from "./failures.js";
import { journey } from "./journey.js";
import { objectiveAndCost } from "./objective.js";
import { self } from "./self.js";

/** Each dashboard with its path in the repository. */
export function dashboards(): [string, Dashboard][] {
  return [
    ["dashboards/deliverability.json", deliverability()],
    ["dashboards/failures.json", failures()],
    ["dashboards/journey.json", journey()],
    ["dashboards/objective.json", objectiveAndCost()],
    ["dashboards/self.json", self()],
  ];
}
