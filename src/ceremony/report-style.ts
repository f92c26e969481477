/** Style sheet of report.html: light, A4, readable in black and white, no fonts or pictures to load. */
export const REPORT_STYLE = `
:root { --ink: #1a1d21; --soft: #4d555e; --rule: #c9cfd6; --band: #f3f5f7; --ok: #0b5d2a; --bad: #9b1c1c; --warn: #7a4a00; }
* { box-sizing: border-box; }
html { background: #e9ecef; }
body { margin: 0 auto; padding: 14mm 15mm; max-width: 210mm; background: #fff; color: var(--ink);
  font: 10pt/1.42 "Helvetica Neue", Helvetica, Arial, "DejaVu Sans", sans-serif; }
h1 { font-size: 19pt; line-height: 1.2; margin: 1mm 0 2mm; letter-spacing: -0.01em; }
h2 { font-size: 12pt; margin: 7mm 0 2mm; padding-bottom: 1mm; border-bottom: 0.4mm solid var(--ink); }
h3 { font-size: 10pt; margin: 0 0 1mm; }
p { margin: 0 0 2mm; }
.kicker { margin: 0; color: var(--soft); font-size: 9pt; letter-spacing: 0.04em; text-transform: uppercase; }
.mono, code { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 8.4pt; overflow-wrap: anywhere; }
.verdict { display: flex; flex-wrap: wrap; gap: 2mm 5mm; align-items: baseline; margin: 3mm 0 4mm; padding: 2.5mm 4mm;
  border: 0.5mm solid; border-left-width: 3mm; }
.verdict strong { font-size: 13pt; }
.verdict.good { border-color: var(--ok); color: var(--ok); }
.verdict.bad { border-color: var(--bad); color: var(--bad); }
.verdict.other { border-color: var(--warn); color: var(--warn); }
.verdict span { color: var(--ink); }
.notice { margin: 0 0 3mm; padding: 2mm 4mm; border: 0.4mm dashed var(--warn); color: var(--warn); font-weight: 600; }
.level { margin: 0 0 4mm; padding: 3mm 4mm; background: var(--band); border-left: 1.2mm solid var(--ink); }
.level p { margin: 0.8mm 0 0; }
.level .claim { font-size: 12pt; font-weight: 600; margin: 0; }
dl { display: grid; grid-template-columns: 32mm 1fr; gap: 1mm 4mm; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; min-width: 0; }
.words { display: block; line-height: 1.35; }
table { width: 100%; border-collapse: collapse; font-size: 9pt; }
caption { text-align: left; color: var(--soft); padding-bottom: 1mm; }
th, td { text-align: left; vertical-align: top; padding: 1.1mm 2.5mm 1.1mm 0; border-bottom: 0.2mm solid var(--rule); }
thead th { color: var(--soft); font-weight: 600; border-bottom: 0.3mm solid var(--ink); }
thead { display: table-header-group; }
tr { break-inside: avoid; }
tbody th { font-weight: 600; white-space: nowrap; }
.ev { display: inline-block; padding: 0 1.6mm; border: 0.3mm solid; border-radius: 1mm; font-size: 8pt; line-height: 1.5; white-space: nowrap; }
.ev-hsm-enforced { color: #0b3d66; background: #e4f0fa; border-style: double; border-width: 0.8mm; }
.ev-crypto-verified { color: #0b5d2a; background: #e6f5ea; }
.ev-module-reported { color: #5a3d00; background: #fdf3dc; }
.ev-software-enforced { color: #4b2a73; background: #f2ebfa; border-style: dashed; }
.ev-human-asserted { color: #6b2424; background: #fbeaea; border-style: dotted; }
.st { font-weight: 700; white-space: nowrap; }
.st-ok { color: var(--ok); } .st-failed { color: var(--bad); } .st-not-applicable { color: var(--soft); font-weight: 400; }
.sub { color: var(--soft); }
.num { white-space: nowrap; font-variant-numeric: tabular-nums; }
.step td, .step th { background: var(--band); font-weight: 600; }
.notable td { background: #fff4e0; }
ul { margin: 0 0 2mm; padding-left: 5mm; }
.key { display: flex; flex-wrap: wrap; gap: 1mm 3mm; margin: 0 0 3mm; font-size: 8.5pt; color: var(--soft); }
footer { margin-top: 8mm; padding-top: 2mm; border-top: 0.2mm solid var(--rule); color: var(--soft); font-size: 8.5pt; }
@page { size: A4; margin: 14mm 15mm; }
@media print { html { background: #fff; } body { padding: 0; max-width: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } .sheet { break-before: page; } h2 { break-after: avoid; } }
`
