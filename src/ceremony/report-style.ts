/** Style sheet of report.html: light, A4, readable in black and white, no fonts or pictures to load. */
export const REPORT_STYLE = `
:root { --ink: #1a1d21; --soft: #4d555e; --rule: #c9cfd6; --band: #f3f5f7; --ok: #0b5d2a; --bad: #9b1c1c; --warn: #7a4a00; }
* { box-sizing: border-box; }
html { background: #e9ecef; }
body { margin: 0 auto; padding: 12mm 14mm; max-width: 210mm; background: #fff; color: var(--ink);
  font: 9.2pt/1.36 "Helvetica Neue", Helvetica, Arial, "DejaVu Sans", sans-serif; }
h1 { font-size: 17pt; line-height: 1.15; margin: 0.5mm 0 2.5mm; letter-spacing: -0.01em; }
h2 { font-size: 10.5pt; margin: 4.5mm 0 1mm; padding-bottom: 0.6mm; border-bottom: 0.4mm solid var(--ink); }
h3 { font-size: 9.2pt; margin: 0 0 0.5mm; }
p { margin: 0 0 1.5mm; }
.kicker { margin: 0; color: var(--soft); font-size: 8.4pt; letter-spacing: 0.05em; text-transform: uppercase; }
.mono, code { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 7.7pt; font-weight: 400; overflow-wrap: anywhere; }
.verdict { margin: 0 0 2mm; padding: 1.6mm 3.5mm; border: 0.4mm solid; border-left-width: 2.4mm; }
.verdict strong { font-size: 12pt; margin-right: 3mm; }
.verdict.good { border-color: var(--ok); color: var(--ok); }
.verdict.bad { border-color: var(--bad); color: var(--bad); }
.verdict.other { border-color: var(--warn); color: var(--warn); }
.verdict span { color: var(--ink); }
.notice { margin: 0 0 2mm; padding: 1.2mm 3.5mm; border: 0.4mm dashed var(--warn); color: var(--warn); font-weight: 600; }
.level { margin: 0 0 3mm; padding: 2mm 3.5mm; background: var(--band); border-left: 1.2mm solid var(--ink); }
.level p { margin: 0.6mm 0 0; }
.level .claim { font-size: 11.5pt; font-weight: 600; margin: 0; }
dl { display: grid; grid-template-columns: 24mm 1fr; gap: 0.5mm 3mm; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; min-width: 0; }
.block { break-inside: avoid; } .block caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.line { display: block; line-height: 1.3; font-size: 8.6pt; } .mono.line { font-size: 7.7pt; }
table { width: 100%; border-collapse: collapse; font-size: 8.5pt; }
caption { text-align: left; color: var(--soft); padding: 0.6mm 0; font-size: 8.2pt; }
th, td { text-align: left; vertical-align: top; padding: 0.7mm 2.5mm 0.7mm 0; border-bottom: 0.2mm solid var(--rule); }
thead th { color: var(--soft); font-weight: 600; border-bottom: 0.3mm solid var(--ink); white-space: nowrap; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
tbody th { font-weight: 600; white-space: nowrap; }
.ev { display: inline-block; padding: 0 1.4mm; border: 0.3mm solid; border-radius: 1mm; font-size: 7.6pt; font-weight: 400; line-height: 1.45; white-space: nowrap; }
.ev-hsm-enforced { color: #0b3d66; background: #e4f0fa; border-style: double; border-width: 0.7mm; }
.ev-crypto-verified { color: #0b5d2a; background: #e6f5ea; }
.ev-module-reported { color: #5a3d00; background: #fdf3dc; }
.ev-software-enforced { color: #4b2a73; background: #f2ebfa; border-style: dashed; }
.ev-human-asserted { color: #6b2424; background: #fbeaea; border-style: dotted; }
.st { font-weight: 700; white-space: nowrap; }
.st-ok { color: var(--ok); } .st-failed { color: var(--bad); } .st-not-applicable { color: var(--soft); font-weight: 400; }
.sub { color: var(--soft); }
.num { white-space: nowrap; font-variant-numeric: tabular-nums; }
.step td { background: var(--band); font-weight: 600; }
.notable td { background: #fff4e0; }
ul { margin: 0 0 1.5mm; padding-left: 5mm; }
.key { display: flex; flex-wrap: wrap; gap: 0.8mm 4mm; margin: 0 0 2.5mm; font-size: 8.2pt; color: var(--soft); }
footer { margin-top: 6mm; padding-top: 1.5mm; border-top: 0.2mm solid var(--rule); color: var(--soft); font-size: 8.2pt; }
@page { size: A4; margin: 12mm 14mm; }
@media print { html { background: #fff; } body { padding: 0; max-width: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } .sheet { break-before: page; } h2 { break-after: avoid; } }
`
