/** Links from a value to where more is said of it. Paths are Grafana's own, so they work under any root URL. */

const FILTERED = ["source", "channel", "flow", "country", "reason"] as const;
type Filtered = (typeof FILTERED)[number];

/**
 * The failures dashboard, narrowed to the row that was clicked: each of `columns`, by the name of the column that has it,
 * is that of the row; the other filters stay as they are.
 */
export function failuresOf(columns: Partial<Record<Filtered, string>>): { title: string; url: string }[] {
  const others = ["datasource", "job", "instance", ...FILTERED.filter((name) => name !== "reason")];
  const parameters = [
    ...others.filter((name) => !(name in columns)).map((name) => `\${${name}:queryparam}`),
    ...Object.entries(columns).map(([name, column]) => `var-${name}=\${__data.fields["${column}"]}`),
  ];
  return [{ title: "Failures of this row", url: `/d/smscope-failures?\${__url_time_range}&${parameters.join("&")}` }];
}

/** All that is known of a message. Its first events may be older than what is looked at now. */
export const JOURNEY = [
  {
    title: "Journey of ${__value.raw}",
    url: "/d/smscope-journey?from=now-7d&to=now&${datasource:queryparam}&${loki:queryparam}&${tempo:queryparam}&${service:queryparam}&var-message=${__value.raw}",
  },
];

const EXPLORE = JSON.stringify({
  trace: {
    datasource: "${tempo}",
    queries: [
      { refId: "A", datasource: { type: "tempo", uid: "${tempo}" }, queryType: "traceql", query: "${__value.raw}" },
    ],
    range: { from: "now-7d", to: "now" },
  },
});

/** The trace that sent the message. A URL, not the data source's own link: that one would fix the Tempo by its uid. */
export const TRACE = [
  {
    title: "Trace ${__value.raw}",
    // Grafana fills the variables in after this, so their braces must stay as they are.
    url: `/explore?schemaVersion=1&panes=${encodeURIComponent(EXPLORE).replace(/%24%7B(\w+(?:\.\w+)?)%7D/g, "${$1}")}`,
  },
];
