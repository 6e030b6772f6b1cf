/** Rule files as Prometheus and Loki read them. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

export interface Recording {
  record: string;
  expr: string;
  labels?: Record<string, string>;
}

export interface Alert {
  alert: string;
  expr: string;
  for: string;
  /** Loki's ruler knows none. */
  keep_firing_for?: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

export interface Group {
  name: string;
  interval?: string;
  rules: (Recording | Alert)[];
}

export const isAlert = (rule: Recording | Alert): rule is Alert => "alert" in rule;
export const isRecording = (rule: Recording | Alert): rule is Recording => "record" in rule;

const root = join(import.meta.dirname, "../../..");

export function groups(path: string): Group[] {
  return (parse(readFileSync(join(root, path), "utf8")) as { groups: Group[] }).groups;
}
