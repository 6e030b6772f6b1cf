/**
 * Says how queries are built, by the grammars of Prometheus' and Grafana's own editors: standard input is a JSON array of
 * {language, expr}, variables filled in; standard output one answer for each.
 */

import { parser as logql } from "@grafana/lezer-logql";
import type { SyntaxNode, Tree } from "@lezer/common";
import { parser as promql } from "@prometheus-io/lezer-promql";
import { readFileSync } from "node:fs";

interface Query {
  language: "promql" | "logql";
  expr: string;
}

interface Selector {
  metric: string;
  matchers: { label: string; op: string; value: string }[];
  /** Of a range vector. */
  range?: string;
  /** The function right around it. */
  call?: string;
}

interface Answer {
  /** Where the grammar does not fit; empty is a query. */
  errors: string[];
  /** Of PromQL. */
  selectors: Selector[];
  /** Labels that results are grouped or joined by. */
  grouping: string[];
  /** Of LogQL: ranges of range aggregations. */
  ranges: string[];
}

function answer({ language, expr }: Query): Answer {
  const tree: Tree = (language === "promql" ? promql : logql).parse(expr);
  const text = (node: SyntaxNode) => expr.slice(node.from, node.to);
  const unquoted = (node: SyntaxNode) => text(node).slice(1, -1);
  const nodes: SyntaxNode[] = [];
  tree.iterate({ enter: (node) => void nodes.push(node.node) });
  const named = (name: string) => nodes.filter((node) => node.name === name);

  const selector = (node: SyntaxNode): Selector => {
    const matchers = node.getChild("LabelMatchers")?.getChildren("UnquotedLabelMatcher") ?? [];
    const metric = node.getChild("Identifier");
    const matrix = node.parent?.name === "MatrixSelector" ? node.parent : null;
    const inner = matrix ?? node;
    // An offset, or the moment of `@`, stands between a selector and its function.
    const around = ["OffsetExpr", "StepInvariantExpr"].includes(inner.parent?.name ?? "") ? inner.parent! : inner;
    const call = around.parent?.name === "FunctionCallBody" ? around.parent.parent : null;
    const range = matrix?.getChild("DurationExpr");
    const callName = call?.getChild("FunctionIdentifier");
    return {
      metric: metric ? text(metric) : "",
      matchers: matchers.map((matcher) => {
        const [label, op, value] = [
          matcher.getChild("LabelName"),
          matcher.getChild("MatchOp"),
          matcher.getChild("StringLiteral"),
        ];
        return { label: label ? text(label) : "", op: op ? text(op) : "", value: value ? unquoted(value) : "" };
      }),
      ...(range && { range: text(range) }),
      ...(callName && { call: text(callName) }),
    };
  };

  return {
    errors: nodes
      .filter((node) => node.type.isError)
      .map((node) => `at ${node.from}: ${expr.slice(node.from, node.from + 20)}`),
    selectors: named("VectorSelector").map(selector),
    grouping: named("GroupingLabels").flatMap((node) => node.getChildren("LabelName").map(text)),
    ranges: named("Range").map((node) => unquoted(node)),
  };
}

const queries = JSON.parse(readFileSync(0, "utf8")) as Query[];
process.stdout.write(JSON.stringify(queries.map(answer)));
