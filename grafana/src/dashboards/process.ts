/** What smscope uses of its machine, and which versions run. */

import type { Row } from "./frame.js";
import { NEUTRAL, THRESHOLDS } from "./look.js";
import { increase, ofSmscope, rate, select, sum } from "./metrics.js";
import { lines, stat } from "./panels.js";
import { table } from "./tables.js";

const NO_PROCESS = "No smscope is seen: nothing scrapes it, and nothing arrives by OTLP";

export const process: Row = {
  title: "Process",
  panels: [
    lines({
      title: "Memory",
      description: "Resident memory. Tens of MB, level. A steady climb over days is a bug: report it.",
      none: NO_PROCESS,
      unit: "bytes",
      width: 6,
      queries: [{ name: "{{instance}}", expr: ofSmscope(select("process_resident_memory_bytes")) }],
      colors: {},
      calcs: ["lastNotNull", "max"],
    }),
    lines({
      title: "CPU",
      description:
        "Of one whole core. It follows the requests; without any it is near zero. Busy without requests: report it.",
      none: NO_PROCESS,
      unit: "percentunit",
      width: 6,
      queries: [{ name: "{{instance}}", expr: ofSmscope(rate("process_cpu_seconds_total")) }],
      colors: {},
      calcs: ["mean", "max"],
    }),
    lines({
      title: "File descriptors in use",
      description:
        "Share of the limit of open files. Near 1, connections wait: raise the limit, or lower `http.max_connections`.",
      none: NO_PROCESS,
      unit: "percentunit",
      width: 6,
      soft: { max: 0.1 },
      queries: [
        {
          name: "{{instance}}",
          expr: ofSmscope(`${select("process_open_fds")} / (${select("process_max_fds")} > 0)`),
        },
      ],
      colors: {},
      calcs: ["lastNotNull", "max"],
    }),
    lines({
      title: "Threads",
      description:
        "Level: one for each core, the store's writer, its checkpoints, the metric reader, and a few short-lived ones.",
      none: NO_PROCESS,
      unit: "locale",
      width: 6,
      queries: [{ name: "{{instance}}", expr: ofSmscope(select("process_threads")) }],
      colors: {},
      calcs: ["lastNotNull", "max"],
    }),
  ],
};

export const running: Row = {
  title: "What is running",
  panels: [
    table({
      title: "Instances",
      description:
        "Version, source revision and compiler of each instance, and how long it has been up. Two rows of one instance: it was upgraded within the last minutes.",
      none: NO_PROCESS,
      unit: "dtdurations",
      width: 16,
      height: 5,
      queries: [
        `time() - (${select("smscope_build_info")} * on (job, instance) group_left () ${select("process_start_time_seconds")})`,
      ],
      by: "Up for",
      ascending: true,
      columns: [
        { field: "job", name: "Job", min: 110 },
        { field: "instance", name: "Instance", min: 150 },
        { field: "version", name: "Version" },
        { field: "revision", name: "Revision", min: 130 },
        { field: "rustc", name: "Compiler" },
        { field: "Value #A", name: "Up for", steps: NEUTRAL, min: 150 },
      ],
    }),
    stat({
      title: "Failed tasks",
      description:
        "Background tasks and threads that panicked or ended in the time range, each followed by a restart; and panics of one connection, command or relay attempt, which end that one only. Any is a bug: report it, with the log.",
      none: "No smscope is seen",
      unit: "locale",
      decimals: 0,
      width: 4,
      height: 5,
      queries: [{ name: "failed", expr: sum(increase("smscope_task_failures_total", "$__range")) }],
      steps: THRESHOLDS.incident,
    }),
    stat({
      title: "Labels capped",
      description:
        "Events of the time range whose channel, flow, status, network or currency became `other`, as that label has its 50 values. Any: something puts free text into it; the log records have what it was.",
      none: "None at its cap",
      unit: "locale",
      decimals: 0,
      width: 4,
      height: 5,
      queries: [{ name: "capped", expr: sum(increase("smscope_labels_capped_total", "$__range")) }],
      steps: THRESHOLDS.anyAtAll,
    }),
  ],
};
