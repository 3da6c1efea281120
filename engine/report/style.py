"""The style of a report's page. It is light or dark as the reader's system is."""

__all__ = ["STYLE"]

STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1c2430; --soft: #596473; --line: #dde2e8; --tile: #f5f7f9;
 --good: #2a78c8; --bad: #d5542a; --rest: #8a94a0;
 --error0: #8f2f2f; --error1: #e2a13a; --error2: #b5477f; --error3: #7a5a44; --error4: #ee9090;
 --in: #3a8f8f; --write: #a7c957; --read: #4d9f6b; --out: #7d5fc0; --many: #34507f; --time: #6f8197; --money: #b08a1e; }
@media (prefers-color-scheme: dark) { :root { --page: #14181e; --ink: #e6eaef; --soft: #9aa6b4; --line: #2f3844;
 --tile: #1c222a; --good: #5aa2ec; --bad: #f0784e; --rest: #778290;
 --error0: #c95c5c; --error1: #f0bd62; --error2: #dc7fae; --error3: #b08d74; --error4: #f7b5b5;
 --in: #5fbcbc; --write: #c2df7c; --read: #6cc28d; --out: #a68be6; --many: #86a5dd; --time: #93a4b8;
 --money: #d9b44a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 48px; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; }
h2 { margin: 44px 0 12px; font-size: 1.2rem; }
.of { margin: 4px 0 20px; color: var(--soft); overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(var(--across), minmax(0, 1fr)); gap: 10px; margin: 0; }
.tiles div { background: var(--tile); border-radius: 8px; padding: 10px 14px; }
.tiles dt { color: var(--soft); font-size: .82rem; text-wrap: balance; }
.tiles dd { margin: 0; font-size: 1.3rem; font-weight: 600; white-space: nowrap; font-variant-numeric: tabular-nums; }
figure { margin: 0 0 24px; min-width: 0; }
figcaption { margin-bottom: 8px; color: var(--soft); text-wrap: pretty; }
figcaption strong { color: var(--ink); margin-right: .4em; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 8px 36px; }
.plot { display: grid; grid-template-columns: auto 1fr; column-gap: 8px; font-size: .8rem; color: var(--soft); }
.plot svg { width: 100%; height: 180px; overflow: visible; }
.plot .y { display: flex; flex-direction: column; justify-content: space-between; margin: -.75em 0; text-align: right;
 font-variant-numeric: tabular-nums; }
.plot .x { grid-column: 2; position: relative; height: 1.7em; margin-top: 4px; }
.plot .x span { position: absolute; white-space: nowrap; transform: translateX(-50%); }
.plot .x .first { transform: none; }
.plot .x .last { transform: translateX(-100%); }
.plot .axis { grid-column: 2; text-align: center; }
line.grid { stroke: var(--line); stroke-width: 1px; vector-effect: non-scaling-stroke; }
line.mark { stroke: var(--ink); stroke-width: 1px; stroke-dasharray: 4 4; vector-effect: non-scaling-stroke; }
rect { fill: var(--is); } .swatch { background: var(--is); }
.good { --is: var(--good); } .bad { --is: var(--bad); } .rest { --is: var(--rest); }
.error0 { --is: var(--error0); } .error1 { --is: var(--error1); } .error2 { --is: var(--error2); }
.error3 { --is: var(--error3); } .error4 { --is: var(--error4); } .in { --is: var(--in); }
.write { --is: var(--write); } .read { --is: var(--read); } .out { --is: var(--out); } .many { --is: var(--many); }
.time { --is: var(--time); } .money { --is: var(--money); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; list-style: none; margin: 0 0 10px; padding: 0;
 font-size: .85rem; }
.swatch { display: inline-block; width: .75em; height: .75em; border-radius: 2px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { padding: 5px 18px 5px 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
.word { text-align: left; }
th { font-weight: 400; } thead th { color: var(--soft); font-size: .85rem; }
th:first-child { text-align: left; }
tbody th { white-space: normal; overflow-wrap: anywhere; min-width: 11em; text-wrap: pretty; }
.bars { width: 100%; table-layout: auto; }
.bars th { min-width: 0; width: 34%; } .bars td { width: 1%; padding-right: 0; }
.bars td.bar { width: auto; padding-right: 12px; }
svg.bar { display: block; width: 100%; height: 14px; }
details { margin-top: 6px; font-size: .85rem; } summary { color: var(--soft); cursor: pointer; }
details .wide { max-height: 320px; overflow-y: auto; }
@media (max-width: 760px) { .tiles { grid-template-columns: 1fr 1fr; }
 .tiles div:last-child:nth-child(odd) { grid-column: 1 / -1; } }
@media (max-width: 560px) { .plot .x span:nth-child(even) { display: none; } tbody th { min-width: 0; }
 figcaption strong { display: block; }
 .stacked, .stacked tbody { display: block; }
 .stacked thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
 .stacked tr { display: flex; flex-wrap: wrap; gap: 0 16px; padding: 6px 0; border-bottom: 1px solid var(--line); }
 .stacked th, .stacked td { padding: 0; border: 0; text-align: left; }
 .stacked tbody th { flex: 1 0 100%; } .stacked td { white-space: normal; overflow-wrap: anywhere; }
 .stacked td::before { content: attr(data-label) "\\00a0"; color: var(--soft); } .stacked .none { display: none; }
 .bars tr { display: grid; grid-template-columns: 1fr auto; border-bottom: 1px solid var(--line); }
 .bars th, .bars td { border: 0; width: auto; } .bars th { grid-column: 1 / -1; padding-bottom: 0; }
 .bars td.bar { align-self: center; } }
footer { color: var(--soft); font-size: .88rem; } footer ul { padding-left: 1.2em; } footer li { text-wrap: pretty; }
a:focus-visible, summary:focus-visible, .wide:focus-visible { outline: 2px solid var(--good); outline-offset: 2px; }
"""
