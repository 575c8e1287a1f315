"""How the pages look, and the little script they have."""

LIGHT = {
    **{"ink": "#1c2733", "soft": "#55626f", "line": "#dbe1e7", "ground": "#f5f7f9", "card": "#ffffff"},
    **{"accent": "#0b5c8c", "heat": "#3b86b5", "warn": "#8a4b00"},
    **{"c1": "#0072b2", "c2": "#c95b00", "c3": "#00805d", "c4": "#a8508a"},
    **{"train": "#0072b2", "val": "#e69f00", "test": "#009e73"},
}
"""Colours of the light theme. Text is `ink` or `soft` on `card` or `ground`, at 4.5 to 1 or more."""

DARK = {
    **{"ink": "#e7ecf1", "soft": "#a3b1be", "line": "#33414e", "ground": "#10171d", "card": "#18222b"},
    **{"accent": "#79bfe9", "heat": "#1f6f9f", "warn": "#f0b35f"},
    **{"c1": "#5bb4e8", "c2": "#f0883e", "c3": "#3cc59a", "c4": "#d98abf"},
    **{"train": "#3a94cc", "val": "#e69f00", "test": "#1fb88c"},
}
"""Colours of the dark theme, by the same names."""

HEAT = 0.6
"""The most that `heat` covers of a cell, so that `ink` can be read on it."""


def _variables(colors: dict[str, str]) -> str:
    return " ".join(f"--{name}: {color};" for name, color in colors.items())


_THEMES = f"""
:root {{ color-scheme: light dark; {_variables(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}
@media print {{ :root {{ {_variables(LIGHT)} }} }}
"""

_RULES = """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 32px 24px 48px; }
h1 { margin: 0 0 8px; font-size: 1.9rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 0 0 12px; font-size: 1.2rem; }
h3 { margin: 18px 0 8px; font-size: 1rem; }
p { margin: 0 0 12px; max-width: 75ch; color: var(--soft); overflow-wrap: anywhere; }
p.lead { color: var(--ink); font-size: 1.06rem; }
p.missing { margin: 0 0 8px; padding: 2px 0 2px 12px; border-left: 3px solid var(--line); }
p.warn { padding-left: 12px; border-left: 3px solid var(--warn); color: var(--ink); }
a { color: var(--accent); }
header { margin-bottom: 18px; }
nav ul { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0; padding: 0; list-style: none; }
nav a { display: inline-block; padding: 4px 0; text-decoration: none; }
nav a:hover, nav a:focus { text-decoration: underline; }
section { margin: 18px 0; padding: 20px; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
  margin: 0 0 14px; }
.card { padding: 10px 14px; border-left: 4px solid var(--accent); background: var(--ground); }
.what { color: var(--soft); font-size: .9rem; }
.figure { font-size: 1.7rem; font-weight: 650; font-variant-numeric: tabular-nums; line-height: 1.25; }
.interval { color: var(--soft); font-size: .85rem; font-variant-numeric: tabular-nums; }
.notes { margin: 0 0 12px; padding-left: 20px; color: var(--soft); font-size: .9rem; max-width: 90ch;
  overflow-wrap: anywhere; }
.shots { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: 12px; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(320px, 100%), 1fr));
  gap: 12px 32px; align-items: start; margin-bottom: 10px; }
.columns > div { min-width: 0; }
.columns th, .columns td { padding-left: 8px; padding-right: 8px; }
.columns th:first-child { padding-left: 0; }
.charts { display: flex; flex-wrap: wrap; gap: 18px 28px; align-items: flex-start; margin-bottom: 8px; }
.charts figure { flex: 0 1 auto; max-width: 100%; }
.charts figure:has(svg) { flex: 1 1 310px; max-width: 430px; }
.charts svg.chart { width: 100%; }
figure { margin: 0; min-width: 0; }
figcaption { margin: 4px 0; color: var(--soft); font-size: .9rem; }
.charts figcaption { margin-bottom: 8px; color: var(--ink); font-weight: 600; }
img, svg.chart { display: block; max-width: 100%; height: auto; }
svg.chart text { font-family: inherit; font-variant-numeric: tabular-nums; }
.shots img { width: 100%; image-rendering: pixelated; border: 1px solid var(--line); }
.shots figure { cursor: zoom-in; }
.shots figure.wide { grid-column: 1 / -1; cursor: zoom-out; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 12px 0; padding: 0; list-style: none;
  font-size: .9rem; }
.swatch { display: inline-block; width: 14px; height: 14px; margin-right: 6px; border: 1px solid var(--soft);
  border-radius: 2px; vertical-align: -2px; }
.swatch.train { background: var(--train); } .swatch.val { background: var(--val); }
.swatch.test { background: var(--test); }
.scroll { max-width: 100%; overflow-x: auto; margin-bottom: 14px; }
table { border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums; }
caption { padding: 6px 0 4px; text-align: left; color: var(--soft); font-size: .9rem; }
th, td { padding: 5px 12px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 600; }
.matrix td { min-width: 40px; padding: 4px 6px; border: 1px solid var(--card); text-align: center; }
.matrix thead th { padding: 4px 8px; text-align: center; }
.matrix.many thead th:not(:first-child) span { writing-mode: vertical-rl; transform: rotate(180deg); }
.matrix tbody th { max-width: 160px; overflow: hidden; text-overflow: ellipsis; }
.shade { background: color-mix(in srgb, var(--heat) calc(var(--share) * HEAT), transparent); }
.record { width: 100%; table-layout: fixed; }
.record th { width: 30%; padding-right: 12px; vertical-align: top; font-weight: 400; color: var(--soft);
  white-space: normal; overflow-wrap: anywhere; }
.record td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
details { margin: 8px 0; }
summary { cursor: pointer; color: var(--accent); }
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
pre { margin: 8px 0 0; padding: 12px; overflow-x: auto; background: var(--ground);
  border: 1px solid var(--line); border-radius: 6px;
  font: .85rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
footer { color: var(--soft); font-size: .85rem; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media (max-width: 560px) {
  main { padding: 18px 10px 30px; }
  section { padding: 14px 12px; border-radius: 8px; }
  h1 { font-size: 1.4rem; }
  .cards { grid-template-columns: 1fr 1fr; gap: 8px; }
  .card { padding: 8px 10px; }
  .figure { font-size: 1.4rem; }
  .shots { grid-template-columns: 1fr 1fr; gap: 8px; }
  .record th { width: 38%; }
  th, td { padding: 5px 6px; }
  table { font-size: .88rem; }
  thead th { white-space: normal; }
}
@media print {
  body { background: #fff; font-size: 10pt; }
  main { max-width: none; padding: 0; }
  nav, summary { display: none; }
  section { border: 0; padding: 0; }
  figure, tr, .card, .chart { break-inside: avoid; }
  h2 { break-after: avoid; }
  .shots { grid-template-columns: 1fr 1fr; }
  .scroll, pre { overflow: visible; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

STYLE = _THEMES + _RULES.replace("HEAT", str(HEAT))

SCRIPT = """
for (const shot of document.querySelectorAll(".shots figure")) {
  shot.addEventListener("click", () => shot.classList.toggle("wide"));
  shot.addEventListener("keydown", (event) => { if (event.key === "Enter") shot.classList.toggle("wide"); });
}
"""
