/**
 * Puts what is recorded into the expressions that use it, so that they can be asked of a Prometheus that has no rules loaded.
 *
 * A recorded name becomes its expression. A threshold is recorded by several rules, which differ in their labels: the selector's
 * matchers choose among them, now instead of at each evaluation. Where they choose none, that side of an `or` is left out.
 */

import type { SyntaxNode } from "@lezer/common";
import { parser } from "@prometheus-io/lezer-promql";
import type { Recording } from "./rules.js";

export function inliner(recordings: Recording[]): (expr: string) => string {
  function inline(expr: string): string {
    const rendered = render(parser.parse(expr).topNode, expr);
    if (rendered === undefined) throw new Error(`nothing is left of ${expr}`);
    return rendered.replace(/\s+/g, " ").replaceAll("( ", "(").replaceAll(" )", ")").trim();
  }

  /** The text of a node, or undefined where it can have no result. */
  function render(node: SyntaxNode, expr: string): string | undefined {
    if (node.name === "VectorSelector") return selector(node, expr);
    const children = kids(node);
    const parts = children.map((child) => render(child, expr));
    if (node.name === "BinaryExpr" && parts.includes(undefined)) {
      const [left, right] = [parts[0], parts.at(-1)];
      return node.getChild("Or") ? (left ?? right) : node.getChild("Unless") ? left : undefined;
    }
    if (parts.includes(undefined)) return undefined;
    let [text, at] = ["", node.from];
    children.forEach((child, index) => {
      text += expr.slice(at, child.from) + parts[index];
      at = child.to;
    });
    return text + expr.slice(at, node.to);
  }

  function selector(node: SyntaxNode, expr: string): string | undefined {
    const text = expr.slice(node.from, node.to);
    const name = node.getChild("Identifier");
    const rules = recordings.filter(({ record }) => name && record === expr.slice(name.from, name.to));
    if (rules.length === 0) return text;
    if (node.parent?.name === "MatrixSelector" || node.parent?.name === "OffsetExpr") {
      throw new Error(`${text}: a window or an offset belongs into the recorded expression`);
    }
    const matchers = kids(node.getChild("LabelMatchers")).map((matcher) => {
      const [label = "", operator = "", value = ""] = kids(matcher).map((part) => expr.slice(part.from, part.to));
      if (operator !== "=" && operator !== "!=") throw new Error(`${text}: only = and != can be decided here`);
      return { label, equal: operator === "=", value: value.slice(1, -1) };
    });
    const chosen = rules.filter(({ labels }) =>
      matchers.every(({ label, equal, value }) => ((labels?.[label] ?? "") === value) === equal),
    );
    if (chosen.length === 0) return undefined;
    const labelled = chosen.map(({ expr, labels }) =>
      Object.entries(labels ?? {}).reduce(
        (inner, [label, value]) => `label_replace(${inner}, "${label}", "${value}", "", "")`,
        inline(expr),
      ),
    );
    const joined = labelled.join(" or ");
    return /^\w+\([^()]*\)$/.test(joined) ? joined : `(${joined})`;
  }

  return inline;
}

function kids(node: SyntaxNode | null): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  for (let child = node?.firstChild; child; child = child.nextSibling) found.push(child);
  return found;
}
