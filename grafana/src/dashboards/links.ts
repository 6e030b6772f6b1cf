/** Links from a value to where more is said of it. Paths are Grafana's own, so they work under any root URL. */

const failuresWith = (label: string, filters: string[]) =>
  `/d/smscope-failures?\${__url_time_range}&${filters.map((name) => `\${${name}:queryparam}`).join("&")}&var-${label}=\${__value.raw}`;

/** The failures dashboard, narrowed to the value, with the other filters kept. */
export function failuresOf(label: "country" | "reason"): { title: string; url: string }[] {
  const filters = ["datasource", "job", "instance", "source", "channel", "flow", "country"];
  return [
    {
      title: "Failures: ${__value.raw}",
      url: failuresWith(
        label,
        filters.filter((name) => name !== label),
      ),
    },
  ];
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
