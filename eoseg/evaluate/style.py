"""How the page looks, and the little script it has."""

STYLE = """
:root { --ink: #1c2733; --soft: #5b6875; --line: #dbe1e7; --ground: #f6f8fa; --accent: #0b5c8c; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 24px 20px 40px; }
h1 { margin: 0 0 6px; font-size: 1.75rem; line-height: 1.2; }
h2 { margin: 0 0 12px; font-size: 1.15rem; }
p { margin: 0 0 12px; max-width: 75ch; color: var(--soft); }
section { margin: 18px 0; padding: 18px; background: #fff; border: 1px solid var(--line);
  border-radius: 8px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
.card { padding: 10px 14px; border-left: 4px solid var(--accent); background: var(--ground); }
.what { color: var(--soft); font-size: .9rem; }
.figure { font-size: 1.7rem; font-weight: 650; font-variant-numeric: tabular-nums; line-height: 1.25; }
.interval { color: var(--soft); font-size: .85rem; font-variant-numeric: tabular-nums; }
.notes { margin: 14px 0 0; padding-left: 20px; color: var(--soft); font-size: .9rem; }
.shots { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: 12px; }
.charts { display: flex; flex-wrap: wrap; gap: 16px; align-items: flex-start; }
figure { margin: 0; min-width: 0; }
figcaption { margin-top: 4px; color: var(--soft); font-size: .9rem; }
img { display: block; max-width: 100%; height: auto; }
.shots img { width: 100%; image-rendering: pixelated; border: 1px solid var(--line); }
.shots figure { cursor: zoom-in; }
.shots figure.wide { grid-column: 1 / -1; cursor: zoom-out; }
.charts figure { flex: 0 1 auto; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 12px 0 0; padding: 0; list-style: none;
  font-size: .9rem; }
.swatch { display: inline-block; width: 14px; height: 14px; margin-right: 6px; border: 1px solid #777;
  vertical-align: -2px; }
.scroll { overflow-x: auto; margin-bottom: 14px; }
table { border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--soft); font-weight: 600; }
tbody th { font-weight: 600; }
.record td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.record th { vertical-align: top; font-weight: 400; color: var(--soft); }
pre { margin: 0; padding: 12px; overflow-x: auto; background: var(--ground); border: 1px solid var(--line);
  border-radius: 6px; font: .85rem/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
footer { color: var(--soft); font-size: .85rem; }
@media (max-width: 560px) {
  main { padding: 16px 10px 30px; }
  section { padding: 12px; }
  h1 { font-size: 1.4rem; }
  .cards { grid-template-columns: 1fr 1fr; }
  .shots { grid-template-columns: 1fr 1fr; gap: 8px; }
}
@media print {
  body { background: #fff; font-size: 11pt; }
  main { max-width: none; padding: 0; }
  section { border: 0; padding: 0; break-inside: avoid; }
  .shots { grid-template-columns: 1fr 1fr; }
  pre { white-space: pre-wrap; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

SCRIPT = """
for (const shot of document.querySelectorAll(".shots figure"))
  shot.addEventListener("click", () => shot.classList.toggle("wide"));
"""
